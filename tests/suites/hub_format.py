"""Small models with random weights in transformers' format, and folders as the hub's cache lays them out."""

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, LlamaConfig, PreTrainedTokenizerFast
from transformers.utils import logging

TEXTS = (
    "The bell rings at noon, and the square is full of people.",
    "A model of a suite is asked at every step what it has come to know.",
    "When the rain ends, the river is as high as the bridge.",
)


def tokenizer(texts: Iterable[str] = TEXTS, vocab_size: int = 200) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on texts; ``<|endoftext|>`` is every special token, as GPT-NeoX has it."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=["<|endoftext|>"], show_progress=False)
    bpe.train_from_iterator(texts, trainer)
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=end, bos_token=end, unk_token=end)


def save_neox(
    folder: Path, d_model: int = 16, n_layers: int = 2, seed: int = 0, tokenizer: Any = None, **saving: Any
) -> Path:
    """A GPT-NeoX as Pythia's are: parallel attention, rotary positions on a quarter of each head, untied."""
    config = GPTNeoXConfig(
        vocab_size=256,
        hidden_size=d_model,
        num_hidden_layers=n_layers,
        num_attention_heads=2,
        intermediate_size=4 * d_model,
        max_position_embeddings=64,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
        bos_token_id=0,
        eos_token_id=0,
    )
    return _save(folder, config, seed, tokenizer, saving)


def save_gpt2(folder: Path, seed: int = 0, tokenizer: Any = None, **saving: Any) -> Path:
    """A GPT-2: learned positions, unembedding tied to the embedding."""
    config = GPT2Config(vocab_size=256, n_embd=16, n_layer=2, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0)
    return _save(folder, config, seed, tokenizer, saving)


def save_llama(folder: Path, seed: int = 0, tokenizer: Any = None, **saving: Any) -> Path:
    config = llama_config(vocab_size=256, max_position_embeddings=64, bos_token_id=0, eos_token_id=0)
    return _save(folder, config, seed, tokenizer, saving)


def llama_config(**sizes: Any) -> LlamaConfig:
    """A Llama with grouped queries: four heads, two of keys and values."""
    return LlamaConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=32,
        **sizes,
    )


def hub_layout(root: Path, repo: str, revisions: Mapping[str, Path]) -> Path:
    """Put folders into a cache or mirror as the hub's client does: blobs by hash, snapshots by commit, refs by name."""
    cached = root / f"models--{repo.replace('/', '--')}"
    (cached / "blobs").mkdir(parents=True, exist_ok=True)
    (cached / "refs").mkdir(exist_ok=True)
    for revision, folder in revisions.items():
        sha = commit(repo, folder)
        snapshot = cached / "snapshots" / sha
        snapshot.mkdir(parents=True, exist_ok=True)
        for file in sorted(folder.iterdir()):
            blob = etag(file)
            shutil.copyfile(file, cached / "blobs" / blob)
            (snapshot / file.name).symlink_to(Path("..", "..", "blobs", blob))
        (cached / "refs" / revision).write_text(sha)
    return cached


def commit(repo: str, folder: Path) -> str:
    """What stands for the commit of a folder's files: 40 hexadecimal digits that change when they do."""
    total = hashlib.sha1(repo.encode())
    for file in sorted(folder.iterdir()):
        total.update(file.name.encode() + file.read_bytes())
    return total.hexdigest()


def is_large(file: Path) -> bool:
    """Whether the hub keeps a file as a large one, named by its SHA-256."""
    return file.suffix in (".safetensors", ".bin")


def etag(file: Path) -> str:
    """What the hub names a file by: SHA-256 of a large one, and git's hash of another."""
    data = file.read_bytes()
    if is_large(file):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _save(folder: Path, config: Any, seed: int, tokenizer: Any, saving: Mapping[str, Any]) -> Path:
    """Save a model with initial weights of a seed, scaled up so that logits differ; ``saving`` goes to transformers."""
    torch.manual_seed(seed)
    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    model.save_pretrained(folder, **saving)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder
