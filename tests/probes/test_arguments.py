"""What probes refuse before anything is trained or measured: arguments that make no sense, tasks that are too small."""

import math

import pytest

from probe.probes.complexity import Complexity
from probe.probes.linear import FourierProbe
from probe.probes.registry import probe_class
from probe.probes.representation import Representation
from probe.tasks import Facts, ModularArithmetic


@pytest.mark.parametrize(
    ("name", "argument", "given", "least"),
    [
        ("algorithm", "n_triples", 1, 2),
        ("complexity", "n_inputs", 1, 2),
        ("complexity", "n_chains", 1, 2),
        ("complexity", "burn_in", 99, 100),
        ("complexity", "n_draws", 3, 4),
        ("complexity", "gamma", 0.0, 1e-9),
        ("complexity", "gamma", math.inf, 1e9),
        ("fourier_probe", "n_shuffles", 0, 1),
        ("key_frequencies", "threshold", math.nan, 0.0),
        ("key_frequencies", "threshold", -0.001, 0.0),
        ("key_irreps", "threshold", 1.0, 0.999),
        ("representation", "neighbours", 0, 1),
        ("representation", "n_shuffles", 39, 40),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_before_anything_is_measured(name, argument, given, least):
    with pytest.raises(ValueError, match=f"^{argument}: got {given}; expected "):
        probe_class(name)(**{argument: given})
    assert getattr(probe_class(name)(**{argument: least}), argument) == least


def test_what_takes_more_questions_than_there_are_is_refused():
    units_of_3 = ModularArithmetic(3, "a*b", train_fraction=0.9)
    with pytest.raises(ValueError, match="an addition of 2 elements, of which there are fewer pairs than the 5 parts"):
        FourierProbe().check(units_of_3)
    FourierProbe().check(ModularArithmetic(3, train_fraction=0.9))
    with pytest.raises(ValueError, match="trains on 1 of its questions; a learning coefficient takes 2 or more"):
        Complexity().check(ModularArithmetic(2, train_fraction=0.25, split="ordered"))
    with pytest.raises(ValueError, match="neighbours: got 2 of 2 tokens; expected 1 or fewer"):
        Representation().check(units_of_3)
    Representation(neighbours=1).check(units_of_3)
    with pytest.raises(ValueError, match="do not begin with the tokens that answer them"):
        Representation().check(Facts(10))
