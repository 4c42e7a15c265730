"""Files of others: what is in them is found, and nothing in them is run."""

import collections
import os
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch

from probe.suites.format import DamagedCheckpointError
from probe.suites.tensorfiles import read_state_dict

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}
CURVES = {
    "train_losses": [1.0, 0.5],
    "epoch": 3,
    "loss": torch.tensor(0.5),
    "optimizer": {"state": {0: {"m": STATE["b"]}}},
}


def saved(tmp_path, content, name="model.pt", **how):
    torch.save(content, tmp_path / name, **how)
    return str(tmp_path / name)


def same(found):
    return list(found) == list(STATE) and all(torch.equal(found[name], value) for name, value in STATE.items())


@pytest.mark.parametrize(
    ("content", "entry"),
    [
        (STATE, None),
        (collections.OrderedDict(STATE), None),
        ({"model": STATE, **CURVES}, "model"),
        ({"model_state_dict": STATE, **CURVES}, "model_state_dict"),
        ({"ema": {"a.weight": STATE["b"]}, "state_dict": STATE}, "state_dict"),
        ({"net": STATE, "epoch": 1}, "net"),
        ({**STATE, "epoch": 1, "extra": {"a": STATE["b"]}}, None),
        ({"model": collections.OrderedDict({**STATE, "version": 2})}, "model"),
    ],
)
@pytest.mark.parametrize("name", ["model.pt", "model.pth"])
def test_the_state_dict_is_found_wherever_it_is(tmp_path, content, entry, name):
    found, said = read_state_dict(saved(tmp_path, content, name))
    assert same(found)
    assert said == entry


def test_safetensors_and_the_older_format(tmp_path):
    safetensors.torch.save_file(STATE, tmp_path / "model.safetensors")
    found, said = read_state_dict(str(tmp_path / "model.safetensors"))
    assert same(dict(sorted(found.items())))
    assert said is None
    assert same(read_state_dict(saved(tmp_path, STATE, _use_new_zipfile_serialization=False))[0])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"net": STATE, "ema": STATE}, r"holds several state dicts, 'net', 'ema'; expected one"),
        ({"model": STATE, "state_dict": STATE}, r"holds several state dicts, 'model', 'state_dict'"),
        ({"epoch": 1, "model": {}}, r"holds no state dict: among its entries \('epoch', 'model'\) are no tensors"),
        ([STATE], "holds list; expected a state dict"),
        (STATE["b"], "holds Tensor; expected a state dict"),
    ],
)
def test_none_and_several(tmp_path, content, says):
    with pytest.raises(ValueError, match=rf"model\.pt {says}"):
        read_state_dict(saved(tmp_path, content))


class Command:
    """What a hostile file holds: reading it the usual way runs a command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def pickled(content, file, protocol, kind):
    if kind == "pickle":
        pickle.dump(content, file, protocol=protocol)
    else:
        torch.save(content, file, pickle_protocol=protocol, _use_new_zipfile_serialization=kind == "zip")


@pytest.mark.parametrize("kind", ["zip", "older", "pickle"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_file_is_not_run(tmp_path, kind, protocol):
    content = {**(STATE if kind != "pickle" else {}), "step": Command(str(tmp_path / "ran"))}
    with (tmp_path / "model.pt").open("wb") as file:
        pickled(content, file, protocol, kind)
    with pytest.raises(ValueError, match=r"model\.pt") as caught:
        read_state_dict(str(tmp_path / "model.pt"))
    says = "is refused: it asks for posix.mkdir, and to read that would run code that the file chooses"
    assert says in str(caught.value)
    assert not isinstance(caught.value, DamagedCheckpointError), "fetching it again would not help"
    assert not (tmp_path / "ran").exists()
    with (tmp_path / "model.pt").open("rb") as file:
        pickle.load(file) if kind == "pickle" else torch.load(file, weights_only=False)
    assert (tmp_path / "ran").exists(), "the file does hold code"


class Network(torch.nn.Linear):
    """A class of somebody's own."""


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (Network(2, 2), r"\S*Network"),
        ({**STATE, "loss": np.float64(1)}, r"numpy\.\S*scalar"),
        (collections.defaultdict(list, STATE), r"collections\.defaultdict"),
    ],
)
def test_what_a_refused_file_asked_for_is_named(tmp_path, content, wanted):
    says = rf"model\.pt is refused: it asks for {wanted}, .*torch\.save\(model\.state_dict\(\), "
    with pytest.raises(ValueError, match=says):
        read_state_dict(saved(tmp_path, content))


@pytest.mark.parametrize("kind", ["zip", "older"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
def test_a_newer_protocol(tmp_path, kind):
    """Its names may be written once and referred to later; of tensors alone, torch does not read it either."""
    path = tmp_path / "model.pt"
    asking = {"a": collections.OrderedDict(STATE), "b": collections.defaultdict(list)}
    for content, says in (
        (asking, r"is refused: it asks for collections\.defaultdict,"),
        (STATE, r"cannot be read \(Unsupported operand 149\): .*not written by .* in its default pickle protocol"),
    ):
        with path.open("wb") as file:
            pickled(content, file, 4, kind)
        with pytest.raises(ValueError, match=rf"model\.pt {says}"):
            read_state_dict(str(path))


@pytest.mark.parametrize("keep", [0, 3, 100, -100, -1])
@pytest.mark.parametrize("name", ["model.pt", "older.pt", "model.safetensors"])
def test_a_file_that_ends_too_early_is_damaged(tmp_path, name, keep):
    path = tmp_path / name
    if name == "model.safetensors":
        safetensors.torch.save_file(STATE, path)
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=name == "model.pt")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedCheckpointError, match=rf"{name} cannot be read \(.+\).* fetch or save it again"):
        read_state_dict(str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_state_dict(str(tmp_path / "model.pt"))
