"""Programs that tracr compiled (``compile_with_tracr.py``), their circuits read off from the RASP code.

Tracr gives every variable of a program directions of its own in the residual stream, each operation an MLP or a head,
and the operations to layers in order of depth; all other heads and MLPs are 0. Tokens carry a direction that is always
1. Questions begin with BOS, to which a head attends where it selects nothing.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file
from torch import Tensor

from circuits import Metric, Pairs, logit_difference
from probe.suites.architecture import Architecture
from tests.circuits.programs.program import Edges, Program

FOLDER = Path(__file__).parent / "compiled"


@dataclass(frozen=True)
class Compiled:
    """What was stored of a program."""

    name: str

    @cached_property
    def config(self) -> dict[str, Any]:
        """``architecture``, ``tokens`` and ``output_values`` by id, and names of ``residual_stream``'s directions."""
        return json.loads((FOLDER / self.name / "config.json").read_text())

    def weights(self) -> tuple[Architecture, dict[str, Tensor]]:
        return Architecture(**self.config["architecture"]), load_file(FOLDER / self.name / "weights.safetensors")

    @property
    def d_vocab(self) -> int:
        return len(self.config["tokens"])

    @cached_property
    def _answers(self) -> dict[str, Any]:
        return json.loads((FOLDER / self.name / "outputs.json").read_text())

    @property
    def inputs(self) -> np.ndarray:
        """All questions of full length [question, position], BOS first."""
        return np.array(self._answers["inputs"])

    @property
    def outputs(self) -> np.ndarray:
        """What tracr's model answers [question, position - 1], as ids or as the number itself; nan: not defined."""
        return np.array(self._answers["outputs"], dtype=float)


def _chosen(compiled: Compiled, fitting: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, ...]:
    """Clean and corrupted questions, after which position they are asked, and what tracr answers there to either.

    Args:
        compiled: of which program.
        fitting: [clean question, corrupted question, position - 1], which of these fit; n are drawn among them.
        n: pairs.
        seed: of what is drawn.
    """
    clean, corrupted, at = np.nonzero(fitting)
    kept = np.random.default_rng(seed).choice(len(at), n, replace=False)
    clean, corrupted, at = clean[kept], corrupted[kept], at[kept]
    questions, answers = compiled.inputs, compiled.outputs
    return questions[clean], questions[corrupted], at + 1, answers[clean, at], answers[corrupted, at]


def _fraction_pairs(compiled: Compiled, n: int, seed: int) -> Pairs:
    """Any two questions, asked at any position, of which the clean one has the larger fraction."""
    outputs = compiled.outputs
    clean, corrupted, at, *_ = _chosen(compiled, outputs[:, None] > outputs, n, seed)
    return Pairs(clean, corrupted, np.zeros(n, dtype=int), compiled.d_vocab, answer_positions=at)


def _detect_pairs(compiled: Compiled, n: int, seed: int) -> Pairs:
    """Clean questions that have abc where they are asked; in the corrupted ones all three tokens are others there."""
    true = compiled.config["output_values"].index(True)
    read = np.lib.stride_tricks.sliding_window_view(compiled.inputs[:, 1:], 3, axis=1)
    others = (read[:, None] != read).all(-1)
    fitting = np.zeros((*others.shape[:2], compiled.outputs.shape[1]), dtype=bool)
    fitting[..., 2:] = others & (compiled.outputs == true)[:, None, 2:]
    clean, corrupted, at, *_ = _chosen(compiled, fitting, n, seed)
    answers = np.full(n, true)
    return Pairs(clean, corrupted, answers, compiled.d_vocab, 1 - answers, answer_positions=at)


def _sort_pairs(compiled: Compiled, n: int, seed: int) -> Pairs:
    """Any two questions, asked at any position, at which their sorted tokens differ."""
    outputs = compiled.outputs
    clean, corrupted, at, answers, wrong = _chosen(compiled, outputs[:, None] != outputs, n, seed)
    right, other = answers.astype(int), wrong.astype(int)
    return Pairs(clean, corrupted, right, compiled.d_vocab, other, answer_positions=at)


output = Metric("output", 1, lambda logits, asked: logits[:, 0].double())
"""The number that a program with a numerical output gives: its only logit."""


def _program(
    name: str, pairs: Callable[[Compiled, int, int], Pairs], metric: Metric, **edges: Edges
) -> tuple[Compiled, Program]:
    compiled = Compiled(name)
    return compiled, Program(name, compiled.weights, partial(pairs, compiled), metric, **edges)


FRACTION_OF_X = _program(
    "fraction_of_x",
    _fraction_pairs,
    output,
    moved=(("embed", "L0.MLP"), ("L0.MLP", "L1.H0.v"), ("L1.H0", "logits")),
    fixed=(("embed", "L1.H0.q"), ("embed", "L1.H0.k")),
)
"""The share of x among the tokens so far, itself included: ``make_frac_prevs(tokens == "x")``, causal, one logit.

``is_x = numerical(tokens == "x")`` is L0.MLP, which reads embed. ``Aggregate(Select(indices, indices, <=), is_x)`` is
L1.H0: queries and keys are positions, of embed; values are is_x. Its output is the logit. Not BOS: where something is
selected, its score of 50 is far below 100; it is in the mean only if queries or keys are taken away.
"""

DETECT_ABC = _program(
    "detect_abc",
    _detect_pairs,
    logit_difference,
    moved=(
        ("embed", "L0.MLP"),
        ("L0.MLP", "L1.H0.v"),
        ("L0.MLP", "L1.H1.v"),
        ("L1.H0", "L1.MLP"),
        ("L1.H1", "L1.MLP"),
        ("L1.MLP", "L2.MLP"),
        ("L0.MLP", "L2.MLP"),
        ("L2.MLP", "logits"),
    ),
    fixed=(
        ("embed", "L1.H0.q"),
        ("embed", "L1.H0.k"),
        ("embed", "L1.H1.q"),
        ("embed", "L1.H1.k"),
        ("embed", "L1.MLP"),
        ("embed", "L2.MLP"),
    ),
    flat=(
        ("embed", "L0.MLP"),
        ("L0.MLP", "L1.H0.v"),
        ("L0.MLP", "L1.H1.v"),
        ("L1.H0", "L1.MLP"),
        ("L1.H1", "L1.MLP"),
        ("L1.MLP", "L2.MLP"),
        ("L0.MLP", "L2.MLP"),
    ),
)
"""Whether the last three tokens are a, b, c: ``detect_pattern(tokens, "abc")``, causal, defined from the third on.

``tokens == "a"``, ``== "b"`` and ``== "c"`` are L0.MLP, which reads embed. ``shift_by(2, tokens == "a")`` and
``shift_by(1, tokens == "b")`` are L1.H0 and L1.H1: queries and keys are positions, values are of L0.MLP. Their ``&`` is
L1.MLP, the ``&`` of that and ``tokens == "c"``, of L0.MLP, is L2.MLP: each of its neurons is relu(x + y - 1), and the 1
is of embed. L0's and L2's heads are 0.

On clean questions both of two are true, and the neurons for one true and one false are exactly at their thresholds. So
what the gradient at a head's values or at an MLP is, and with it EAP, is a matter of rounding.
"""

SORT = _program(
    "sort",
    _sort_pairs,
    logit_difference,
    moved=(
        ("embed", "L0.H0.q"),
        ("embed", "L0.H0.k"),
        ("L0.H0", "L0.MLP"),
        ("L0.MLP", "L1.H0.k"),
        ("embed", "L1.H0.v"),
        ("L1.H0", "logits"),
    ),
    fixed=(("embed", "L0.H0.v"), ("embed", "L0.MLP"), ("embed", "L1.H0.q")),
    flat=(("embed", "L0.H0.q"), ("embed", "L0.H0.k"), ("L0.H0", "L0.MLP"), ("L0.MLP", "L1.H0.k")),
)
"""Tokens in ascending order, all different: ``make_sort_unique(tokens, tokens)``, not causal.

``target_pos = SelectorWidth(Select(tokens, tokens, <))``, how many tokens are smaller, is L0.H0 and L0.MLP: L0.H0
attends to the smaller tokens and to BOS alike (queries and keys of embed) and takes the mean of "is BOS" (values of
embed), L0.MLP makes the number of 1 / (1 + number), with a 1 and "is BOS" of embed. ``Aggregate(Select(target_pos,
indices, ==), tokens)`` is L1.H0: keys are target_pos, of L0.MLP, queries are positions, of embed, values are tokens, of
embed. L1.MLP is 0. embed -> L1.H0.k, the key of BOS, is in the weights but of no effect: it is for queries that select
nothing, and here all select one token.
"""

COMPILED = (FRACTION_OF_X, DETECT_ABC, SORT)
"""What was stored of each, and the program."""
