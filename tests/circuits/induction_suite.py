"""Two-layer attention-only models that learn, in seconds, to go on with sequences that are repeated.

With this weight decay one head of the first layer comes to look at the previous token, and both of the second go by it.
"""

from collections.abc import Sequence

import pytest

from probe.suites import Suite, open_suite
from probe.suites.architecture import Architecture, Shape
from probe.tasks import RepeatedTokens
from probe.training.ensemble import Member
from probe.training.run import train
from probe.training.settings import Schedule, TrainingSettings

SHAPE = Shape(d_model=64, n_layers=2, n_heads=2, attn_only=True)
STEPS = (0, 20, 40, 60, 80, 100, 150, 200, 300, 400)
MODEL = "d64-s0"


def induction_suite(folder: str, seeds: Sequence[int] = (0,)) -> Suite:
    """Models ``d64-s<seed>`` with checkpoints at ``STEPS``: about 5 s each. They are not trained twice in a folder."""
    members = [Member(f"d64-s{seed}", RepeatedTokens(4096, 16, 4, 8, seed=seed), seed, 1e-2, 1.0) for seed in seeds]
    settings = TrainingSettings(
        STEPS[-1], batch_size=64, loss_dtype="float32", checkpoints=Schedule(log_until=0, every=None, steps=STEPS)
    )
    train(Architecture.of(SHAPE, members[0].task), members, settings, folder, device="cpu")
    return open_suite(folder)


@pytest.fixture(scope="session")
def induction(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """The suite of seed 0. Every module that imports this has one folder, so all train it once."""
    return induction_suite(str(tmp_path_factory.getbasetemp() / "induction"))
