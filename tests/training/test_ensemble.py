from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from probe.suites.architecture import Architecture, Shape
from probe.suites.hooked import HookedTransformer
from probe.tasks import Duplicated, Facts, ModularArithmetic, Task
from probe.training.ensemble import Ensemble, Member
from probe.training.settings import TrainingSettings

P = 11
TASK = ModularArithmetic(P, train_fraction=0.7)
ARCH = Architecture.of(Shape(d_model=16), TASK)


def members_that_differ():
    return [
        Member("a", TASK, 0, 3e-3, 2.0),
        Member("b", ModularArithmetic(P, train_fraction=0.3, seed=5), 1, 3e-3, 2.0),
        Member("c", TASK, 2, 1e-2, 0.0),
    ]


def trained(members, settings, steps, arch=ARCH):
    ensemble = Ensemble(arch, members, settings, "cpu")
    for _ in range(steps):
        ensemble.train_step()
    return ensemble


def textbook_training(member, settings, steps):
    """The usual loop: all positions through the hooked model, float64 loss, torch's AdamW."""
    model = HookedTransformer.with_weights(ARCH, ARCH.initial_weights(member.seed))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=member.learning_rate, weight_decay=member.weight_decay, betas=settings.betas
    )
    tokens = torch.tensor(member.task.tokens[member.task.train_mask])
    answers = torch.tensor(member.task.answers[member.task.train_mask])
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = member.learning_rate * min(step / settings.warmup, 1)
        optimizer.zero_grad()
        F.cross_entropy(model(tokens)[:, -1].double(), answers).backward()
        optimizer.step()
    return {name: w.detach() for name, w in model.named_parameters()}


def test_every_member_becomes_what_the_usual_loop_makes_of_it():
    """Members of one ensemble that differ in seed, fraction, rate and decay, against one plain loop each."""
    members, settings = members_that_differ(), TrainingSettings(steps=40, warmup=10)
    ensemble = trained(members, settings, 40)
    for i, member in enumerate(members):
        expected = textbook_training(member, settings, 40)
        for name, w in ensemble.weights(i).items():
            torch.testing.assert_close(w, expected[name], atol=2e-4, rtol=2e-3, msg=f"{member.name} {name}")


@dataclass(frozen=True, eq=False)
class Made(Task):
    """A task that is given: some positions of some examples are scored."""

    rows: np.ndarray
    right: np.ndarray
    times: np.ndarray
    d_vocab: ClassVar[int] = 7
    answer_tokens: ClassVar[np.ndarray] = np.arange(7)

    tokens = property(lambda self: self.rows)
    targets = property(lambda self: self.right)
    exposures = property(lambda self: self.times)
    train_mask = property(lambda self: self.times > 0)
    subsets = property(lambda self: {"train": self.train_mask})

    @classmethod
    def drawn(cls, seed, scored):
        rng = np.random.default_rng(seed)
        targets = np.where(rng.random((20, 5)) < 0.5, rng.integers(7, size=(20, 5)), -1)
        targets[:, scored[0]] = 3
        targets[:, [i for i in range(5) if i not in scored]] = -1
        return cls(rng.integers(7, size=(20, 5)), targets, rng.integers(4, size=20))


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("batch_size", [None, 8])
def test_answers_of_several_tokens_at_positions_of_their_own_against_the_usual_loop(n_layers, batch_size):
    """Members that are scored at other positions, in unequally many of them, with unequal exposures."""
    members = [
        Member("a", Made.drawn(0, (1, 3)), 0, 3e-3, 1.0),
        Member("b", Made.drawn(1, (2, 3, 4)), 1, 1e-2, 0.0),
    ]
    arch = Architecture(d_model=12, n_heads=2, n_layers=n_layers, d_vocab=7, n_ctx=5)
    settings = TrainingSettings(steps=12, warmup=3, batch_size=batch_size)
    ensemble = trained(members, settings, 12, arch)
    for i, member in enumerate(members):
        task, shown = member.task, np.repeat(np.arange(20), member.task.exposures)
        model = HookedTransformer.with_weights(arch, arch.initial_weights(member.seed))
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=member.learning_rate, weight_decay=member.weight_decay, betas=settings.betas
        )
        for step in range(12):
            batch = shown
            if batch_size:
                number, place = divmod(step, len(shown) // batch_size)
                order = np.random.default_rng((member.seed, number)).permutation(len(shown))
                batch = shown[order[place * batch_size : (place + 1) * batch_size]]
            for group in optimizer.param_groups:
                group["lr"] = member.learning_rate * min(step / settings.warmup, 1)
            log_probs = model(torch.tensor(task.tokens)).double().log_softmax(-1)
            losses = [  # of each example the mean over its scored tokens
                -torch.stack([log_probs[e, p, t] for p, t in enumerate(task.targets[e].tolist()) if t >= 0]).mean()
                for e in batch
            ]
            optimizer.zero_grad()
            torch.stack(losses).mean().backward()
            optimizer.step()
        for name, w in model.named_parameters():
            torch.testing.assert_close(ensemble.weights(i)[name], w.detach(), atol=2e-4, rtol=2e-3, msg=name)


FACTS = [
    Facts(15, relations=2, values=3, frequency=Duplicated((1, 2)), special=0.3, special_passes=passes, seed=passes)
    for passes in (2, 4)
]


@pytest.mark.parametrize("batch_size", [None, 7])
def test_a_special_batch_against_the_usual_loop(batch_size):
    """Members whose special batches end at different steps, and one that has none: passes over a list of examples."""
    tasks = [*FACTS, Facts(15, relations=2, values=3)]
    arch = Architecture.of(Shape(d_model=8, n_heads=2), tasks[0])
    settings = TrainingSettings(steps=30, warmup=3, batch_size=batch_size)
    members = [Member(f"m{i}", task, i, 3e-3, 0.5) for i, task in enumerate(tasks)]
    ensemble = trained(members, settings, 30, arch)
    for i, member in enumerate(members):
        task, passed, batches = member.task, 0, []
        while len(batches) < 30:
            times = task.exposures + (task.special_exposures if passed < task.special_passes else 0)
            shown = np.repeat(np.arange(len(times)), times)
            order = np.random.default_rng((member.seed, passed)).permutation(len(shown))
            size = batch_size or len(shown)
            batches += [shown[order[j : j + size]] for j in range(0, len(shown) - size + 1, size)]
            passed += 1
        model = HookedTransformer.with_weights(arch, arch.initial_weights(member.seed))
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.5, betas=settings.betas)
        for step, batch in enumerate(batches[:30]):
            for group in optimizer.param_groups:
                group["lr"] = 3e-3 * min(step / settings.warmup, 1)
            logits = model(torch.tensor(task.tokens[batch]))[:, -1, : arch.d_vocab_out].double()
            optimizer.zero_grad()
            F.cross_entropy(logits, torch.tensor(task.targets[batch, -1])).backward()
            optimizer.step()
        for name, w in model.named_parameters():
            torch.testing.assert_close(ensemble.weights(i)[name], w.detach(), atol=2e-4, rtol=2e-3, msg=name)
        assert ensemble.examples_seen(i) == sum(map(len, batches[:30]))


def test_what_the_special_batch_was_makes_no_difference_after_it_but_by_the_weights():
    """From the same state on, training goes as on the rest alone."""
    task = FACTS[0]
    rest = Facts(15, relations=2, values=3, frequency=Duplicated((1, 2)), special=0.3, special_passes=1, seed=2)
    assert (task.exposures == rest.exposures).all()
    arch = Architecture.of(Shape(d_model=8, n_heads=2), task)
    settings = TrainingSettings(steps=9)
    ensemble = trained([Member("m", task, 0)], settings, 2, arch)  # the special batch has just ended
    other = Ensemble(arch, [Member("m", rest, 0)], settings, "cpu")
    other.restore({name: state.clone() for name, state in ensemble.state().items()})
    for _ in range(5):
        ensemble.train_step()
        other.train_step()
    assert all(torch.equal(w, other.weights(0)[name]) for name, w in ensemble.weights(0).items())


def test_a_member_does_not_depend_on_its_company():
    members, settings = members_that_differ(), TrainingSettings(steps=40)
    together = trained(members, settings, 40)
    for i, member in enumerate(members):
        alone = trained([member], settings, 40).weights(0)
        for name, w in together.weights(i).items():
            torch.testing.assert_close(w, alone[name], atol=2e-4, rtol=2e-3)


def test_an_ensemble_groks():
    """Most of these seeds generalize after memorizing, on a split that no lookup can answer."""
    tasks = [ModularArithmetic(53, train_fraction=0.7, seed=seed) for seed in (0, 2, 3)]
    arch = Architecture.of(Shape(d_model=32), tasks[0])
    members = [Member(f"s{task.seed}", task, task.seed, 3e-3, 2.0) for task in tasks]
    ensemble = trained(members, TrainingSettings(steps=400), 400, arch)
    generalized = 0
    for i, task in enumerate(tasks):
        model = HookedTransformer.with_weights(arch, ensemble.weights(i))
        with torch.no_grad():
            right = model(torch.tensor(task.tokens))[:, -1, :53].argmax(-1) == torch.tensor(task.answers)
        assert right[torch.tensor(task.subsets["train"])].all()
        generalized += bool(right[torch.tensor(task.subsets["test_nonmirror"])].float().mean() > 0.98)
    assert generalized >= 2


def test_warm_up_starts_from_rate_zero():
    ensemble = trained([Member("a", TASK, 0)], TrainingSettings(steps=2, warmup=10), 1)
    initial = ARCH.initial_weights(0)
    assert all(torch.equal(w, initial[name]) for name, w in ensemble.weights(0).items())
    ensemble.train_step()
    assert not all(torch.equal(w, initial[name]) for name, w in ensemble.weights(0).items())


@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("at", [1, 2, 5, 12])
def test_a_restored_ensemble_goes_on_bit_for_bit_before_and_after_special_batches_end(batch_size, at):
    arch = Architecture.of(Shape(d_model=8, n_heads=2), FACTS[0])
    members = [Member(f"m{i}", task, i) for i, task in enumerate(FACTS)]
    settings = TrainingSettings(steps=30, batch_size=batch_size)
    whole = trained(members, settings, 30, arch)
    resumed = Ensemble(arch, members, settings, "cpu")
    resumed.restore({name: state.clone() for name, state in trained(members, settings, at, arch).state().items()})
    for _ in range(30 - at):
        resumed.train_step()
    for i in range(2):
        assert all(torch.equal(w, resumed.weights(i)[name]) for name, w in whole.weights(i).items())
        assert resumed.examples_seen(i) == whole.examples_seen(i)


def test_a_restored_ensemble_goes_on_bit_for_bit():
    members, settings = members_that_differ(), TrainingSettings(steps=30, batch_size=16)
    whole = trained(members, settings, 30)
    half = trained(members, settings, 15)
    resumed = Ensemble(ARCH, members, settings, "cpu")
    resumed.restore({name: state.clone() for name, state in half.state().items()})
    for _ in range(15):
        resumed.train_step()
    for i in range(len(members)):
        expected = whole.weights(i)
        assert all(torch.equal(w, expected[name]) for name, w in resumed.weights(i).items())
        assert resumed.examples_seen(i) == 30 * 16


def test_a_mini_batch_step_is_that_of_its_examples():
    """With a batch as large as the training data, a mini-batch step is a full-batch step."""
    n = int(TASK.train_mask.sum())
    full = trained([Member("a", TASK, 0)], TrainingSettings(steps=5), 5).weights(0)
    batched = trained([Member("a", TASK, 0)], TrainingSettings(steps=5, batch_size=n), 5).weights(0)
    for name, w in full.items():
        torch.testing.assert_close(batched[name], w, atol=1e-5, rtol=1e-4)


def test_a_diverging_member_is_noticed_and_the_others_are_untouched():
    members = [Member("fine", TASK, 0, 3e-3, 2.0), Member("wild", TASK, 1, 1e30, 0.0)]
    settings = TrainingSettings(steps=20, warmup=0)
    ensemble = trained(members, settings, 10)
    assert set(ensemble.diverged()) == {1}
    assert 1 <= ensemble.diverged()[1] <= 3
    rest = ensemble.without([1])
    for _ in range(10):
        rest.train_step()
    alone = trained(members[:1], settings, 20).weights(0)
    for name, w in rest.weights(0).items():
        torch.testing.assert_close(w, alone[name], atol=2e-4, rtol=2e-3)
    assert ensemble.without([0, 1]) is None


def test_a_float32_loss_loses_what_a_float64_loss_keeps():
    """Late in training the loss is below float32's round-off: log_softmax gives exactly 0 and so no gradient."""
    logits = torch.zeros(1, 50)
    logits[0, 0] = 25.0
    answer = torch.tensor([0])
    assert F.cross_entropy(logits, answer) == 0
    assert F.cross_entropy(logits.double(), answer).item() == pytest.approx(49 * np.exp(-25), rel=1e-6)
    settings = TrainingSettings(steps=1, loss_dtype="float64")
    ensemble = Ensemble(ARCH, [Member("a", TASK, 0)], settings, "cpu")
    with torch.no_grad():
        assert ensemble._losses(*ensemble._batch()).dtype == torch.float64


@pytest.mark.parametrize(
    ("arch", "settings", "says"),
    [
        (ARCH, TrainingSettings(steps=1, batch_size=500), "batch_size: got 500; expected at most 85"),
        (Architecture(d_vocab=11, n_ctx=3), TrainingSettings(steps=1), "d_vocab: got 11; expected at least 12"),
        (Architecture(d_vocab=12, n_ctx=2), TrainingSettings(steps=1), "n_ctx: got 2; expected at least 3"),
        (Architecture(d_vocab=12, n_ctx=3, causal=False), TrainingSettings(steps=1), "causal: got False"),
        (
            Architecture(d_vocab=12, n_ctx=3, attention_coefficient=0.5),
            TrainingSettings(steps=1),
            r"attention_coefficient: got 0\.5; expected 1\.0, the only one that is trained here",
        ),
    ],
)
def test_what_does_not_fit_is_named(arch, settings, says):
    with pytest.raises(ValueError, match=says):
        Ensemble(arch, [Member("a", TASK, 0)], settings, "cpu")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"steps": -1}, "steps: got -1"),
        ({"steps": 1, "betas": (0.9, 1.0)}, "betas: got"),
        ({"steps": 1, "warmup": -1}, "warmup: got -1"),
        ({"steps": 1, "batch_size": 0}, "batch_size: got 0"),
        ({"steps": 1, "loss_dtype": "bfloat16"}, "loss_dtype: got 'bfloat16'"),
    ],
)
def test_bad_settings_are_named(fields, says):
    with pytest.raises(ValueError, match=says):
        TrainingSettings(**fields)


def test_bad_rates_are_named():
    with pytest.raises(ValueError, match="learning_rate: got 0"):
        Member("a", TASK, 0, learning_rate=0.0)
    with pytest.raises(ValueError, match="weight_decay: got -1"):
        Member("a", TASK, 0, weight_decay=-1.0)
