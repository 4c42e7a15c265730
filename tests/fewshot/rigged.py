"""Models whose answers are known by construction, and a tokenizer of whole numbers.

Attention and MLP write nothing, so that the next token depends on the last one alone: a table says on which.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, LlamaConfig, PreTrainedTokenizerFast

END = "<end>"
UNKNOWN = "<unknown>"
WORDS = (UNKNOWN, END, "\n", *"Q:A?=-.,", "What", "is", "times", "plus", "minus", "many", "so")
TEMPLATE = "Q: What is {a} times {b}? A:"


def tokenizer(numbers: int = 60, without: tuple[int, ...] = ()) -> PreTrainedTokenizerFast:
    """Numbers below ``numbers`` are a token each, but for those ``without``, which are split into digits."""
    return made([*WORDS, *(str(n) for n in range(numbers) if n not in without)])


def made(vocabulary: list[str]) -> PreTrainedTokenizerFast:
    """Words, marks and line ends; a number is a token if it is in the vocabulary, else it is digits."""
    whole = "|".join(sorted((word for word in vocabulary if word.isdecimal()), key=len, reverse=True))
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=UNKNOWN))
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(" "), "removed"),
            pre_tokenizers.Split(Regex(rf"\n|(?<![0-9])({whole})(?![0-9])|[0-9]|[^\w\s]"), "isolated"),
        ]
    )
    words.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token=END, unk_token=UNKNOWN)


def save(
    folder: Path, after: Mapping[str, str], kind: str = "neox", read: PreTrainedTokenizerFast | None = None
) -> Path:
    """Save a model that goes on after each token with the one that ``after`` gives, or else with a line end."""
    read = read or tokenizer()
    size = len(read)
    width = size + size % 2
    sizes = {"vocab_size": size, "bos_token_id": 1, "eos_token_id": 1, "tie_word_embeddings": False}
    if kind == "neox":
        config = GPTNeoXConfig(
            **sizes,
            hidden_size=width,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=4,
            max_position_embeddings=128,
        )
    else:
        config = GPT2Config(**sizes, n_embd=width, n_layer=1, n_head=2, n_inner=4, n_positions=128)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 or name.endswith("bias"):  # but not the scales of LayerNorm
                weight.zero_()
        embed, unembed = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        for word, token in read.get_vocab().items():
            embed[token, token] = 1
            unembed[read.get_vocab()[after.get(word, "\n")], token] = 1
    model.save_pretrained(folder)
    read.save_pretrained(folder)
    return folder


def save_random(folder: Path, kind: str, read: PreTrainedTokenizerFast, seed: int = 0) -> Path:
    """Save a small model with random weights, which are large enough for what it reads to matter."""
    sizes = {"vocab_size": len(read), "bos_token_id": 1, "eos_token_id": 1}
    layers = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32, "max_position_embeddings": 256}
    configs = {
        "neox": lambda: GPTNeoXConfig(**sizes, **layers, intermediate_size=64),
        "gpt2": lambda: GPT2Config(**sizes, n_embd=32, n_layer=2, n_head=4, n_positions=256),
        "llama": lambda: LlamaConfig(**sizes, **layers, intermediate_size=64, num_key_value_heads=2),
    }
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(configs[kind]())
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.4)
    model.save_pretrained(folder)
    read.save_pretrained(folder)
    return folder
