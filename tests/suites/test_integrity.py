"""What is wrong with checkpoints is found, and nothing is found in those that are as they should be."""

import itertools
import json
from dataclasses import dataclass, field
from math import inf, nan

import pandas as pd
import pytest
import torch

from probe.suites import format as suite_format
from probe.suites import open_suite
from probe.suites.architecture import Architecture, Shape
from probe.suites.integrity import check, duplicates
from probe.suites.overview import table
from probe.suites.spacing import missing_steps
from probe.suites.suite import Model, Suite
from probe.tasks import ModularArithmetic
from probe.training.ensemble import Member
from probe.training.run import train
from probe.training.settings import Schedule, TrainingSettings

ARCH = Architecture(d_vocab=5, n_ctx=3, d_model=8, n_heads=2, n_layers=2, normalization="LN", biases=True)


@dataclass(frozen=True)
class Stub(Model):
    """A model whose weights at a step are in memory, or an error, and that notes what is done with it."""

    name: str
    at: dict
    done: list = field(default_factory=list)
    far: tuple = ()
    task: object = None
    seed: object = None
    examples_per_step: float = nan
    tokens_per_step: float = nan
    n_params = 10
    n_params_without_embeddings = 4
    n_ctx = 3
    d_vocab = 5

    def steps(self):
        return tuple(sorted(self.at))

    def at_hand(self, step):
        return step not in self.far

    def location(self, step):
        return f"{self.name}@{step}"

    def digest(self, step):
        return suite_format.digest(self.at[step])

    def weights(self, step):
        self.done.append(("read", step))
        if isinstance(self.at[step], Exception):
            raise self.at[step]
        return self.at[step]

    def load(self, step, device, dtype):
        raise NotImplementedError

    def skeleton(self):
        raise NotImplementedError

    def size(self, step):
        self.done.append(("size", step))
        return 100 + step

    def release(self, step):
        self.done.append(("release", step))


def weights(seed, scale=1.0):
    return {name: weight * scale for name, weight in ARCH.initial_weights(seed).items()}


def healthy(steps=range(0, 1000, 100), first=0):
    return {step: weights(first + i, 1 + i / 20) for i, step in enumerate(steps)}


def suite_of(*models):
    return Suite.of("stub", models)


def problems(at, **how):
    """By step, what is found of a model."""
    found = check(suite_of(Stub("m", at)), **how)
    return {row.step: row.problems for row in found.itertuples() if row.problems}


def test_a_row_a_checkpoint():
    model = Stub("m", healthy())
    heard = []
    found = check(suite_of(model), progress=lambda *counts: heard.append(counts))
    assert list(found.columns) == ["model", "step", "digest", "norm", "non_finite", "problems"]
    assert found["step"].tolist() == list(range(0, 1000, 100))
    assert (found["problems"] == "").all()
    assert (found["non_finite"] == 0).all()
    assert found["digest"].tolist() == [suite_format.digest(at) for at in model.at.values()]
    norm = sum(weight.double().square().sum().item() for weight in model.at[500].values()) ** 0.5
    assert found["norm"][5] == pytest.approx(norm, rel=1e-12)
    assert heard == [(done, 10) for done in range(11)]
    assert model.done == [(what, step) for step in range(0, 1000, 100) for what in ("read", "release")]


def test_the_same_weights_at_several_steps_and_in_several_models():
    at = healthy()
    at[400] = at[100]
    other = Stub("n", dict.fromkeys(range(0, 6), at[900]) | {100: weights(77)})
    found = check(suite_of(Stub("m", at), other)).set_index(["model", "step"])["problems"]
    assert found["m", 100] == "the same weights as step 400"
    assert found["m", 400] == "the same weights as step 100"
    assert found["n", 0] == "the same weights as m at step 900, step 1, step 2 and 3 more"
    assert found["m", 900] == "the same weights as n at step 0, n at step 1, n at step 2 and 3 more"
    assert (found != "").sum() == 2 + 1 + 6


def test_duplicates_by_digest_alone():
    at = healthy()
    at[400] = at[800] = at[100]
    at[0] = at[900]
    model = Stub("m", at)
    assert duplicates(suite_of(model), "m") == [(400, 100), (800, 100), (900, 0)]
    assert duplicates(suite_of(model), "m", [800, 400, 0]) == [(400, 800)]
    assert duplicates(suite_of(Stub("m", healthy())), "m") == []
    assert model.done == [], "no weights were read"


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_values_that_are_not_finite(value):
    at = healthy()
    at[300]["blocks.1.mlp.W_in"][2, 3:5] = value
    at[300]["ln_final.b"][0] = value
    found = check(suite_of(Stub("m", at)))
    assert found["problems"][3] == "3 values are not finite, the first of them in blocks.1.mlp.W_in"
    assert found["non_finite"].tolist() == [0, 0, 0, 3, 0, 0, 0, 0, 0, 0]
    assert (found["problems"] != "").sum() == 1, "its norm is not compared"


def test_a_matrix_that_is_zero():
    at = healthy()
    for step in (0, 500):
        at[step]["blocks.0.attn.W_O"] = torch.zeros(2, 4, 8)
        at[step]["unembed.W_U"] = torch.zeros(8, 5)
    assert (at[100]["blocks.0.attn.b_Q"] == 0).all(), "biases may be"
    assert problems(at) == {500: "zero throughout: blocks.0.attn.W_O, unembed.W_U"}
    at[0] = {name: torch.zeros_like(weight) for name, weight in at[0].items()}
    assert problems(at)[0] == "all weights are zero"


def test_other_shapes_than_at_most_steps():
    at = healthy()
    at[0] = Architecture(**{**ARCH.to_dict(), "d_vocab": 6, "d_vocab_out": 5}).initial_weights(0)
    at[900] = {name: weight for name, weight in at[900].items() if not name.startswith("blocks.1")}
    at[900]["extra"] = torch.ones(2)
    found = problems(at)
    assert found == {
        0: "other shapes than at most steps: embed.W_E is [6, 8], not [5, 8]",
        900: "other shapes than at most steps: blocks.1.attn.W_K is missing, not [2, 8, 4], blocks.1.attn.W_O is"
        " missing, not [2, 4, 8], blocks.1.attn.W_Q is missing, not [2, 8, 4] and 14 more",
    }


def test_a_checkpoint_that_cannot_be_read_does_not_stop_the_check():
    at = healthy()
    at[200], at[300] = suite_format.DamagedCheckpointError("m@200 is\n  cut short"), OSError("no answer")
    model = Stub("m", at)
    found = check(suite_of(model))
    assert found["problems"].tolist()[2:4] == ["cannot be read: m@200 is cut short", "cannot be read: no answer"]
    assert (found["problems"] != "").sum() == 2
    assert found["digest"].tolist()[2:4] == ["", ""]
    assert (
        found["norm"].isna().tolist() == found["non_finite"].isna().tolist() == [step in (2, 3) for step in range(10)]
    )
    assert ("release", 200) in model.done
    assert problems({0: ValueError("x")}) == {0: "cannot be read: x"}


@pytest.mark.parametrize("factor", [3.0, 0.3, 30.0, 1 / 30])
def test_a_norm_away_from_those_before_and_after(factor):
    at = healthy()
    at[400] = weights(4, 1.2 * factor)
    found = problems(at)
    assert list(found) == [400]
    assert found[400].startswith("implausible norm ")
    assert " at step 300 and " in found[400]
    assert problems({**healthy(), 400: weights(4, 1.2 * 1.7)}) == {}


@pytest.mark.parametrize("factor", [11.0, 1 / 11])
def test_a_jump_of_the_norm(factor):
    at = {step: weights(i, 1.0 if step < 600 else factor) for i, step in enumerate(range(0, 1000, 100))}
    found = problems(at)
    assert list(found) == [600]
    assert " at step 500" in found[600]
    at = {step: weights(i, 1.0 if step < 600 else factor**0.9) for i, step in enumerate(range(0, 1000, 100))}
    assert problems(at) == {}


def test_norms_that_change_much_at_every_step_are_not_implausible():
    assert problems({step: weights(step, 2.5 if step % 2 else 1.0) for step in range(10)}) == {}
    assert problems({step: weights(step, 5.0**-step) for step in range(10)}) == {}
    rises_at_once = {step: weights(step, min(max(3.0 ** (step - 5), 1), 9)) for step in range(12)}
    assert problems(rises_at_once) == {}, "where it goes through is not away from both"


def test_steps_that_are_missing():
    at = healthy()
    del at[300], at[400]
    assert problems(at) == {500: "missing before it: step 300, step 400"}
    assert problems(at, steps=[0, 100, 200, 500]) == {}, "of steps that were chosen none is missing"
    chosen = Suite.of("stub", [Stub("m", at)], [0, 100, 200, 500])
    assert (check(chosen)["problems"] == "").all()


PYTHIA = [0, *(2**i for i in range(10)), *range(1000, 144_000, 1000)]


@pytest.mark.parametrize(
    ("steps", "missing"),
    [
        ([1000, 2000, 4000], {4000: [3000]}),
        (PYTHIA, {}),
        (PYTHIA[:12], {}),
        (PYTHIA[:13], {}),
        ([step for step in PYTHIA if step not in (3000, 77_000, 78_000)], {4000: [3000], 79_000: [77_000, 78_000]}),
        ([*PYTHIA[:11], 1000, 2000, 4000], {4000: [3000]}),
        ([0, 500, 1000, 1500, 2500, 3000, 3017], {2500: [2000]}),
        ([*range(5), *range(6, 12)], {6: [5]}),
        ([0, 1, 2, 4], {}),
        ([1, 10, 100, 1000], {}),
        ([1, 2, 3, 5, 7, 8, 9, 11, 12, 13], {}),
        ([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], {}),
        ([0, 10, 20, 50, 100, 200], {}),
        ([0, 1000, 2000, 4000, 8000, 16000], {}),
        ([0, 10, 30, 40], {30: [20]}),
        ([0, 1000, 2000, 4000], {4000: [3000]}),
        ([0, 128, 256, 512, 1024], {}),
        ([5], {}),
        ([], {}),
    ],
)
def test_gaps_between_evenly_spaced_steps(steps, missing):
    assert missing_steps(steps) == missing


def test_none_of_our_own_schedules_has_gaps():
    per_decade, log_until, every = (1, 3, 10, 20, 50), (0, 10, 100, 1000), (None, 1, 10, 25, 100)
    for way in itertools.product(per_decade, log_until, every):
        for last in (3, 10, 28, 99, 101, 250, 1000):
            steps = Schedule(*way).up_to(last)
            assert missing_steps(steps) == {}, way


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Models that learn with no weight decay, with that of the demo, and with one that is far too heavy."""
    folder = str(tmp_path_factory.mktemp("trained"))
    task = ModularArithmetic(17, train_fraction=0.6)
    members = [
        Member("demo", task, 0, 3e-3, 2.0),
        Member("heavy", task, 1, 1e-2, 10.0),
        Member("none", task, 2, 1e-3, 0.0),
    ]
    settings = TrainingSettings(steps=600, checkpoints=Schedule(log_until=100, every=100))
    train(Architecture.of(Shape(d_model=32), task), members, settings, folder)
    return folder


def test_there_is_no_false_alarm_about_our_own_suites(trained):
    found = check(open_suite(trained))
    assert len(found) == 3 * len(Schedule().up_to(600))
    assert (found["problems"] == "").all(), found[found["problems"] != ""]
    heavy = found[found["model"] == "heavy"].set_index("step")["norm"]
    assert heavy.max() / heavy.min() > 2, "the decay is seen in the norm"
    assert found["digest"][0] == found["digest"][1], "the first step is taken at learning rate 0, and is not reported"
    assert duplicates(open_suite(trained), "demo") == []
    for sparse in ([0, 600], [0, 100, 600], [0, 1, 600]):
        assert (check(open_suite(trained), steps=sparse)["problems"] == "").all()


def test_without_warm_up_the_first_step_has_to_change_the_weights(trained, tmp_path):
    for step in (0, 1, 2):
        path = tmp_path / "demo" / f"step_{step:08d}.safetensors"
        path.parent.mkdir(exist_ok=True)
        with open(f"{trained}/demo/{path.name}", "rb") as file:
            path.write_bytes(file.read())
    with open(f"{trained}/demo/config.json") as file:
        config = json.load(file)
    assert config["training"]["warmup"] > 0
    config["training"]["warmup"] = 0
    (tmp_path / "demo" / "config.json").write_text(json.dumps(config))
    found = check(open_suite(tmp_path))["problems"].tolist()
    assert found == ["the same weights as step 1", "the same weights as step 0", ""]
    assert duplicates(open_suite(tmp_path), "demo") == [(1, 0)]


def test_a_damaged_file_of_ours(trained, tmp_path):
    for path in ("config.json", "step_00000100.safetensors", "step_00000600.safetensors"):
        (tmp_path / "demo").mkdir(exist_ok=True)
        with open(f"{trained}/demo/{path}", "rb") as file:
            (tmp_path / "demo" / path).write_bytes(file.read())
    damaged = tmp_path / "demo" / "step_00000100.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-4])
    found = check(open_suite(tmp_path))
    assert found["problems"][0].startswith(f"cannot be read: {damaged}")
    assert found["problems"][1] == ""


def test_the_table_of_a_suite(trained):
    found = table(open_suite(trained)).set_index("model").loc["demo"]
    arch = Architecture.of(Shape(d_model=32), ModularArithmetic(17))
    assert found["parameters"] == arch.n_params
    assert found["parameters_without_embeddings"] == arch.n_params_without_embeddings
    assert (found["steps"], found["first_step"], found["last_step"]) == (len(Schedule().up_to(600)), 0, 600)
    n_shown = int(ModularArithmetic(17, train_fraction=0.6).train_mask.sum())
    assert found["tokens"] == 600 * n_shown * 3
    assert found["flops"] == 6 * arch.n_params * found["tokens"]
    assert found["bytes"] > 4 * arch.n_params * found["steps"]
    assert found["task"] == str(ModularArithmetic(17, train_fraction=0.6))


def test_the_table_of_what_is_not_here():
    """The size of what would have to be fetched is asked for once."""
    model = Stub("m", healthy(), far=(0, 100, 200))
    unknown = Stub("n", {0: {}}, tokens_per_step=7.0)
    object.__setattr__(unknown, "size", lambda step: None)
    found = table(suite_of(model, unknown, Stub("o", {}))).set_index("model")
    assert found["bytes"]["m"] == sum(100 + step for step in range(300, 1000, 100)) + 3 * 300
    assert model.done.count(("size", 200)) == 1
    assert ("size", 100) not in model.done
    assert found["bytes"].isna().tolist() == [False, True, False]
    assert pd.isna(found["tokens"]["m"])
    assert found["tokens"]["n"] == 0
    assert found["task"]["m"] == ""
    assert (found["steps"]["o"], found["bytes"]["o"], found["last_step"].isna()["o"]) == (0, 0, True)
