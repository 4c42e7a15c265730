"""Small models and pairs for them."""

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig

from circuits import Pairs
from probe.suites.architecture import Architecture
from probe.suites.bridges import hooked
from probe.suites.hooked import HookedTransformer
from tests.suites.hub_format import llama_config
from tests.suites.plain import noisy_weights

SIZES = {"vocab_size": 40, "bos_token_id": 0, "eos_token_id": 0}


def ours(dtype=torch.float32, **options):
    """One of our models with noise on all weights, its architecture, and its weights."""
    options = {"d_model": 8, "n_heads": 2, "n_layers": 2, "activation": "gelu", **options}
    arch = Architecture(d_vocab=11, n_ctx=6, **options)
    weights = {name: weight.to(dtype) for name, weight in noisy_weights(arch).items()}
    return HookedTransformer.with_weights(arch, weights), arch, weights


def bridge(config, dtype=torch.float32):
    """A bridge with random weights, scaled up so that logits differ."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return hooked(model.to(dtype).eval(), "tiny")


def neox(dtype=torch.float32, **options):
    return bridge(
        GPTNeoXConfig(
            **{
                "hidden_size": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "intermediate_size": 32,
                "max_position_embeddings": 16,
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
                **SIZES,
                **options,
            }
        ),
        dtype,
    )


def gpt2(dtype=torch.float32):
    return bridge(GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=16, **SIZES), dtype)


def llama(dtype=torch.float32):
    """Four query heads, two of keys and values."""
    return bridge(llama_config(max_position_embeddings=16, **SIZES), dtype)


def random_pairs(n=5, length=5, d_vocab=11, seed=0, n_changed=1):
    """Random questions of one length, of which the first tokens are others in the corrupted ones."""
    drawn = np.random.default_rng(seed)
    clean = drawn.integers(d_vocab, size=(n, length))
    corrupted = clean.copy()
    corrupted[:, :n_changed] = (clean[:, :n_changed] + drawn.integers(1, d_vocab, size=(n, n_changed))) % d_vocab
    answers = drawn.integers(d_vocab, size=n)
    return Pairs(clean, corrupted, answers, d_vocab, (answers + 1) % d_vocab)
