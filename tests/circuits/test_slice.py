"""From a checkpoint and a task to a circuit on the disk, and back."""

import numpy as np
import pytest

from circuits import Circuit, eap, logit_difference, repeated_tokens
from probe.suites import open_suite
from tests.suites.hub_format import save_neox


def test_a_circuit_of_a_checkpoint_knows_whose_it_is(tmp_path):
    for step in (1, 2):
        save_neox(tmp_path / "suite" / "neox" / f"step{step}", seed=step)
    suite = open_suite(str(tmp_path / "suite"))
    found = {}
    for step in (1, 2):
        checkpoint = suite["neox", step]
        scores = eap(checkpoint.load(), repeated_tokens(4, 5, 256), logit_difference)
        largest = np.abs(scores.values) >= np.sort(np.abs(scores.values), axis=None)[-10]
        found[step] = scores.circuit(largest, model_digest=checkpoint.digest, step=checkpoint.step)
        found[step].save(str(tmp_path / f"{step}.json"))
    assert found[1].n_edges == 10
    assert 0 <= found[1].jaccard(found[2]) < 1
    path = str(tmp_path / "2.json")
    assert Circuit.load(path, model_digest=suite["neox", 2].digest) == found[2]
    assert Circuit.load(path).step == 2
    with pytest.raises(ValueError, match="the circuit is of the model"):
        Circuit.load(path, model_digest=suite["neox", 1].digest)
