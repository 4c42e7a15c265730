"""Streams of exposures against the usual loader, and what is known of all facts against a bare forward pass."""

import tempfile
import tracemalloc
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from probe.activations.forward import activations_at
from probe.activations.sites import LOGITS
from probe.measures.performance import outcomes
from probe.suites import open_suite
from probe.suites.architecture import Architecture, Shape
from probe.tasks import Facts, Zipf
from probe.training.ensemble import Ensemble, Member
from probe.training.exposure import exposures_by
from probe.training.run import train
from probe.training.settings import TrainingSettings
from tests.benchmarks.timing import seconds

Row = tuple[str, str, str]

EXPOSURES, BATCH = 1_000_000, 512


def rows() -> Iterator[Row]:
    """What was compared, the ratio, and what it has to be."""
    yield from stream()
    yield one_pass()


def stream() -> Iterator[Row]:
    """A pass of 10^6 exposures in batches, against a loader that samples by weight; and its memory."""
    task = Facts(10_000, relations=2, frequency=Zipf(total=EXPOSURES), held_out=0.1)
    tokens, answers = torch.tensor(task.tokens), torch.tensor(task.answers)
    weights = torch.tensor(task.exposures, dtype=torch.float64)
    n_batches = int(task.exposures.sum()) // BATCH

    def ours() -> None:
        (batches,) = ensemble(task)._batches  # what a training step draws from
        for step in range(n_batches):
            chosen = torch.as_tensor(batches.at(step, BATCH))
            _ = tokens[chosen], answers[chosen]

    def loader() -> None:
        sampler = WeightedRandomSampler(weights, n_batches * BATCH)
        for _ in DataLoader(TensorDataset(tokens, answers), batch_size=BATCH, sampler=sampler):
            pass

    took = seconds({"ours": ours, "loader": loader}, rounds=3)
    what = "a pass of 10^6 exposures in batches of 512"
    yield f"{what}: a DataLoader with a weighted sampler / ours", f"{took['loader'] / took['ours']:.1f}", "at least 5"
    tracemalloc.start()
    ours()
    n_bytes = tracemalloc.get_traced_memory()[1] / int(task.exposures.sum())
    tracemalloc.stop()
    yield "the same: peak memory per exposure", f"{n_bytes:.0f} bytes", "under 40"
    steps = np.geomspace(1, 10 * n_batches, 30).astype(int)
    took = seconds({"passes": ours, "counts": lambda: exposures_by(task, BATCH, 0, steps)}, rounds=3)
    ratio = took["counts"] / (10 * took["passes"])
    yield "exposures of every fact at 30 steps of 10 passes / drawing these passes", f"{ratio:.2f}", "at most 2"


def ensemble(task: Facts) -> Ensemble:
    architecture = Architecture.of(Shape(d_model=8, n_heads=2), task)
    return Ensemble(architecture, [Member("m", task, seed=0)], TrainingSettings(steps=1, batch_size=BATCH), "cpu")


def one_pass() -> Row:
    """Exposures, log-probability and exactness of every fact at a checkpoint, against its forward pass and no more."""
    task = Facts(10_000, relations=2, frequency=Zipf(total=100_000))
    with tempfile.TemporaryDirectory() as folder:
        architecture = Architecture.of(Shape(d_model=64), task)
        train(architecture, [Member("m", task, seed=0)], TrainingSettings(steps=0), folder)
        checkpoint = open_suite(folder)["m", 0]
        model, tokens = checkpoint.load(), torch.as_tensor(task.tokens)
        answers, targets = torch.as_tensor(task.answer_tokens), torch.as_tensor(task.scored_answers)

        def all_facts() -> None:
            def score(examples: slice, found: dict) -> None:
                outcomes(found[LOGITS][:, list(task.scored)][..., answers], targets[examples])

            activations_at(model, tokens, [LOGITS], torch.as_tensor(task.answer_positions), look=score)
            _ = checkpoint.exposures

        @torch.no_grad()
        def forward() -> None:
            for part in tokens.split(1000):
                model(part)

        took = seconds({"all facts": all_facts, "forward": forward}, rounds=5)
    what = "what is known of 20,000 facts at a checkpoint / a bare forward pass over them"
    return what, f"{took['all facts'] / took['forward']:.2f}", "at most 1.5"
