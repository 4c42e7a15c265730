"""Training an ensemble into a suite folder: checkpoints on schedule, resumable at any moment."""

import hashlib
import importlib.metadata
import json
import platform
import time
from collections.abc import Sequence
from typing import Any

import torch

from probe import storage
from probe.device import default_device
from probe.suites import format as suite_format
from probe.suites.architecture import Architecture
from probe.tasks import task_to_dict
from probe.training.ensemble import Ensemble, Member, examples_per_step
from probe.training.settings import TrainingSettings

STATE_EVERY_S = 15.0
"""Seconds of work that a killed run may lose."""


def train(
    arch: Architecture,
    members: Sequence[Member],
    settings: TrainingSettings,
    folder: str,
    *,
    device: str | None = None,
) -> None:
    """Train an ensemble and write every member's checkpoints to ``folder`` as a suite.

    Interrupted at any moment, the same call goes on from the last saved state, and on a CPU every checkpoint is the
    same bit for bit as without the interruption (on a GPU sums are not taken in a fixed order). Checkpoints that are
    there and whole are kept, so a call on a finished folder does nothing; damaged ones are trained again. A member
    whose loss is not finite is stopped and marked in its ``stopped.json``; the others go on. Use one torch thread per
    process and processes side by side: on small models more threads were slower.

    Args:
        arch: shape of every member.
        members: their names are the names of the models in the suite.
        settings: steps, batch, schedule.
        folder: local path or fsspec URL.
        device: such as ``"cpu"`` or ``"cuda"``; chosen automatically if None.

    Raises:
        ValueError: ``folder`` holds models of these names that were trained otherwise; or members, architecture and
            settings do not fit together.
    """
    ensemble: Ensemble | None = Ensemble(arch, members, settings, device or default_device())
    assert ensemble is not None
    for member in members:
        _write_config(folder, arch, member, settings, ensemble.device)
        for step in damaged_steps(folder, member.name):
            storage.remove(suite_format.step_path(folder, member.name, step))
    wanted = settings.checkpoints.up_to(settings.steps)
    if not any(missing_steps(folder, member.name, wanted) for member in members):
        return
    ensemble = _resumed(ensemble, folder, wanted) or ensemble
    saved_at = time.monotonic()
    while True:
        if ensemble.step in wanted:
            ensemble = _stop_diverged(ensemble, folder)
            if ensemble is None:
                return
            _write_checkpoints(ensemble, folder)
            done = ensemble.step == settings.steps
            if ensemble.step and (done or time.monotonic() - saved_at > STATE_EVERY_S):
                _save_state(ensemble, folder, members)
                saved_at = time.monotonic()
            if done:
                return
        ensemble.train_step()


def missing_steps(folder: str, model: str, wanted: Sequence[int]) -> tuple[int, ...]:
    """Steps of a model that are still to be written. A model that was stopped has none to come."""
    if storage.exists(suite_format.stopped_path(folder, model)):
        stopped = suite_format.read_json(suite_format.stopped_path(folder, model))["step"]
        wanted = [step for step in wanted if step < stopped]
    return tuple(sorted(set(wanted) - set(suite_format.steps_present(folder, model))))


def damaged_steps(folder: str, model: str) -> tuple[int, ...]:
    """Steps of a model whose weights file is truncated or altered. Reads every file."""
    damaged = []
    for step in suite_format.steps_present(folder, model):
        try:
            suite_format.read_tensors(suite_format.step_path(folder, model, step))
        except suite_format.DamagedCheckpointError:
            damaged.append(step)
    return tuple(damaged)


def _write_config(
    folder: str, arch: Architecture, member: Member, settings: TrainingSettings, device: torch.device
) -> None:
    """Say what the model is, once; refuse a folder in which it is another."""
    path = suite_format.config_path(folder, member.name)
    config: dict[str, Any] = {
        "architecture": arch.to_dict(),
        "task": task_to_dict(member.task),
        "seed": member.seed,
        "learning_rate": member.learning_rate,
        "weight_decay": member.weight_decay,
        "training": settings.to_dict(),
        "examples_per_step": examples_per_step(member.task, settings),
    }
    config = json.loads(json.dumps(config))
    if storage.exists(path):
        found = suite_format.read_json(path)
        for field, value in config.items():
            if found.get(field) != value:
                raise ValueError(
                    f"{path} describes a model trained otherwise: {field} is {found.get(field)}, asked for {value}."
                    " Choose another folder, or delete this one"
                )
        return
    config["trained_with"] = {
        "device": str(device),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "grokscope": importlib.metadata.version("grokscope"),
    }
    suite_format.write_json(path, config)


def _write_checkpoints(ensemble: Ensemble, folder: str) -> None:
    for i, member in enumerate(ensemble.members):
        path = suite_format.step_path(folder, member.name, ensemble.step)
        if not storage.exists(path):
            suite_format.write_tensors(path, ensemble.weights(i), {"step": ensemble.step})


def _stop_diverged(ensemble: Ensemble, folder: str) -> Ensemble | None:
    """The ensemble without members whose loss was not finite, each of which is marked."""
    diverged = ensemble.diverged()
    for i, step in diverged.items():
        name = ensemble.members[i].name
        reason = f"the training loss was not finite at step {step}"
        suite_format.write_json(suite_format.stopped_path(folder, name), {"step": step, "reason": reason})
        for written in suite_format.steps_present(folder, name):
            if written >= step:
                storage.remove(suite_format.step_path(folder, name, written))
    return ensemble.without(list(diverged)) if diverged else ensemble


def _state_path(folder: str, members: Sequence[Member]) -> str:
    names = hashlib.sha256("\n".join(member.name for member in members).encode()).hexdigest()
    return f"{folder}/.training/{names[:16]}.safetensors"


def _save_state(ensemble: Ensemble, folder: str, members: Sequence[Member]) -> None:
    about = {"members": [member.name for member in ensemble.members]}
    suite_format.write_tensors(_state_path(folder, members), ensemble.state(), about)


def _resumed(ensemble: Ensemble, folder: str, wanted: Sequence[int]) -> Ensemble | None:
    """The ensemble at its last saved state; None where there is none, or a checkpoint before it is missing."""
    path = _state_path(folder, ensemble.members)
    try:
        state, (about, _) = suite_format.read_tensors(path), suite_format.read_header(path)
    except (FileNotFoundError, suite_format.DamagedCheckpointError):
        return None
    step = int(state["step"])
    if any(missing_steps(folder, member.name, [w for w in wanted if w <= step]) for member in ensemble.members):
        return None
    kept = [member for member in ensemble.members if member.name in about["members"]]
    rest = Ensemble(ensemble.arch, kept, ensemble.settings, ensemble.device)
    rest.restore(state)
    return rest
