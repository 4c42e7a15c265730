"""Capture of two sites to disk against the bare forward pass, and against a cache that is saved batch by batch.

The model is a GPT-NeoX of 6 layers and d_model 256 with Pythia's vocabulary. The bare forward pass is that of
transformers itself, without hooks and with the attention that it chooses.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM

import probe
from tests.benchmarks.timing import seconds

Row = tuple[str, str, str]

SITES = ["blocks.2.hook_resid_post", "blocks.5.hook_resid_post"]
VOCABULARY = 50_304
N_POSITIONS = 128
BATCH = 16
SEQUENCES, FEWER_SEQUENCES = 2000, 240
"""What is captured; and what is timed instead where each sequence costs several times as much."""


def rows(device: str) -> Iterator[Row]:
    """What was compared, the ratio, and what it has to be."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "neox" / "step1"
        config = GPTNeoXConfig(
            vocab_size=VOCABULARY,
            hidden_size=256,
            num_hidden_layers=6,
            num_attention_heads=8,
            intermediate_size=1024,
            max_position_embeddings=N_POSITIONS,
        )
        GPTNeoXForCausalLM(config).save_pretrained(model)
        if device == "cpu":
            yield from memory(folder)
        yield from throughput(folder, device)


def throughput(folder: str, device: str) -> Iterator[Row]:
    suite = probe.open_suite(f"{folder}/neox")
    tokens = shown(SEQUENCES)
    fewer = tokens[:FEWER_SEQUENCES]
    bridge = suite["neox", 1].load(device)
    plain = AutoModelForCausalLM.from_pretrained(f"{folder}/neox/step1").eval().to(device)
    out = Path(folder) / "capture.zarr"

    def batches(of: np.ndarray) -> Iterator[torch.Tensor]:
        for start in range(0, len(of), BATCH):
            yield torch.as_tensor(of[start : start + BATCH], device=device)

    @torch.no_grad()
    def bare(model: Callable[[torch.Tensor], object], of: np.ndarray) -> None:
        for batch in batches(of):
            model(batch)
        if device == "cuda":
            torch.cuda.synchronize()

    @torch.no_grad()
    def cached() -> None:
        for i, batch in enumerate(batches(fewer)):
            _, cache = bridge.run_with_cache(batch, names_filter=SITES)
            torch.save({site: cache[site] for site in SITES}, f"{folder}/{i}.pt")

    def captured() -> None:
        shutil.rmtree(out, ignore_errors=True)
        batch_size = BATCH if device == "cpu" else None
        probe.capture(suite, tokens, SITES, out=out, progress=False, device=device, batch_size=batch_size)

    took = seconds(
        {
            "bare": lambda: bare(plain, fewer),
            "blocks": lambda: bare(plain.gpt_neox, tokens),
            "cache": cached,
            "capture": captured,
        },
        rounds=2,
    )
    stored = probe.open_capture(out)
    with torch.no_grad():
        _, cache = bridge.run_with_cache(torch.as_tensor(tokens[:BATCH], device=device), names_filter=SITES)
    for site in SITES:
        np.testing.assert_allclose(stored[site][0, 0, :BATCH], cache[site].cpu(), atol=1e-4)
    each = {name: time / (FEWER_SEQUENCES if name in ("bare", "cache") else SEQUENCES) for name, time in took.items()}
    yield "capture of 2 sites, throughput / bare forward pass", f"{each['bare'] / each['capture']:.2f}", "at least .85"
    yield "the same / forward pass without the logits", f"{each['blocks'] / each['capture']:.2f}", ""
    yield "the same / run_with_cache and torch.save", f"{each['cache'] / each['capture']:.2f}", "at least 1.5"


def shown(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, VOCABULARY, (n, N_POSITIONS))


ALONE = """
import json, resource, sys
import torch
torch.set_num_threads(1)
import probe
from tests.benchmarks.capture import BATCH, SEQUENCES, SITES, shown
folder, what = sys.argv[1:]
suite, tokens = probe.open_suite(f"{folder}/neox"), shown(SEQUENCES)
if what == "capture":
    probe.capture(suite, tokens, SITES, out=f"{folder}/memory.zarr", progress=False, batch_size=BATCH)
else:
    model = suite["neox", 1].load()
    with torch.no_grad():
        for start in range(0, 4 * BATCH, BATCH):  # more of them take no more memory
            model(torch.as_tensor(tokens[start : start + BATCH]))
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


def memory(folder: str) -> Iterator[Row]:
    """Peak of a process that captures all sequences, over that of one that only runs them."""
    peak = {}
    for what in ("capture", "bare"):
        ran = subprocess.run([sys.executable, "-c", ALONE, folder, what], capture_output=True, text=True, check=True)
        peak[what] = json.loads(ran.stdout)
    yield "the same, peak memory / bare forward pass", f"{peak['capture'] / peak['bare']:.2f}", "at most 1.3"
