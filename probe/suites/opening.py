"""From a path or a name to the suite there."""

from collections.abc import Sequence
from pathlib import Path

from probe import storage
from probe.suites.configs import Config
from probe.suites.hub import names_on_hub, read_hub
from probe.suites.mappings import NameMapping
from probe.suites.part import PartModel
from probe.suites.pretrained import lacking, read_pretrained
from probe.suites.statedicts import read_state_dicts
from probe.suites.suite import Model, Suite
from probe.suites.tensorfiles import SUFFIXES
from probe.suites.trained import read_trained
from probe.tasks import Task

_LOOKED_FOR = (
    "expected folders that each hold a config.json and weights: models that were trained here"
    " (<model>/step_00001000.safetensors), or in a local folder models in transformers' format"
    " (<model>/step1000/model.safetensors, or step1000/model.safetensors of one model, or model.safetensors of one"
    " step), or bare state dicts (<model>/step_1000.pt, or step_1000.pt of one model); or a file that holds one; or a"
    " name on the hub, such as EleutherAI/pythia-70m"
)


def open_suite(
    address: str | Path,
    *,
    steps: Sequence[int] | None = None,
    deduped: bool = False,
    mirror: str | Path | None = None,
    keep: int | None = None,
    tokens_per_step: float | None = None,
    task: Task | None = None,
    config: Config = None,
    mapping: NameMapping = None,
    step: int | None = None,
    part: str | None = None,
) -> Suite:
    """The suite at an address: models trained here, in transformers' format, as bare state dicts, or on the hub.

    Args:
        address: a folder of models that were trained here (local path or fsspec URL); a local folder of models in
            transformers' format, as ``read_pretrained`` finds them; a file that holds a state dict, or a folder of such
            files (local path or fsspec URL), as ``read_state_dicts`` finds them; or names on the hub, with braces for
            several of them: ``"EleutherAI/pythia-{70m,160m,410m}"``. Of a folder and a name on the hub, the folder is
            taken.
        steps: the only ones to offer; all that there are, if not given.
        deduped: of names on the hub, those that end in ``-deduped``.
        mirror: local folder in the layout of the hub's cache (``models--Org--name/``) to read instead of the hub.
        keep: how many fetched checkpoints are kept after use (``Model.release``): 0 for a sweep that needs the disk of
            one. All, if not given. What was in the cache before is never deleted.
        tokens_per_step: training tokens in an optimizer step, for models where neither they nor their family say.
        task: what models are asked that were not trained here.
        config, mapping, step: of state dicts: what they do not say of the model, how their tensors are named and laid
            out, and the step of a file, as ``read_state_dicts`` takes them.
        part: of models that were trained here on a mixture, the one task of it that they are taken as models of.

    Returns:
        Models are named after their folder or file, or after the last part of their name on the hub.

    Raises:
        ValueError: there is no suite, model or step there, or an argument has no meaning for it; the message names it.
        HubUnreachableError: the hub gives no answer, or is not to be asked (``HF_HUB_OFFLINE=1``, ``mirror``), and not
            all that is needed is in its cache; the message says what is and what is not.
    """
    place = str(address).rstrip("/")
    if task is not None and not isinstance(task, Task):
        raise ValueError(f"task: got {task!r}; expected a task, such as probe.ModularArithmetic(113)")
    if tokens_per_step is not None and not (isinstance(tokens_per_step, int | float) and tokens_per_step > 0):
        raise ValueError(f"tokens_per_step: got {tokens_per_step!r}; expected a number above 0")
    of_state_dicts = {"config": config, "mapping": mapping, "step": step}
    names = [] if place.endswith(SUFFIXES) else names_on_hub(place)
    if names and not storage.exists(place):
        _refuse("a name on the hub", **of_state_dicts, part=part)
        if mirror is not None:
            _refuse("a mirror, of which nothing is deleted", keep=keep)
        repos = [f"{name}-deduped" for name in names] if deduped else names
        return Suite.of(place, read_hub(repos, steps, mirror, keep, tokens_per_step, task), steps)
    is_said = any(given is not None for given in of_state_dicts.values())
    trained = [] if is_said else read_trained(place)
    models: Sequence[Model] = trained
    if not models and not is_said:
        models = read_pretrained(place, tokens_per_step, task)
    if not models:
        models = read_state_dicts(
            place, config=config, mapping=mapping, step=step, task=task, tokens_per_step=tokens_per_step
        )
    if not models:
        kind = "file" if place.endswith(SUFFIXES) else "folder"
        absent = "" if storage.exists(place) else f" (there is no such {kind})"
        if storage.exists(f"{place}/batch.yaml"):
            absent = f" (this is the folder of a run; the suite that it trained is {place}/suite)"
        why = f": {said}" if (said := lacking(place)) else ""
        raise ValueError(f"path: {place} holds no suite{why}; {_LOOKED_FOR}{absent}")
    _refuse("a folder", deduped=deduped or None, mirror=mirror, keep=keep)
    if trained:
        _refuse("models that were trained here, which say it", tokens_per_step=tokens_per_step, task=task)
    else:
        _refuse("models that were not trained here", part=part)
    if part is not None:
        models = [PartModel.of(model, part) for model in trained]
    return Suite.of(place, models, steps)


def _refuse(what: str, **given: object) -> None:
    """Refuse arguments that would have no effect."""
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name}: got {value!r}, which means nothing for {what}")
