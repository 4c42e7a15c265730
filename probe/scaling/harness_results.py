"""Results of lm-evaluation-harness: one JSON file per model and step, as of versions 0.3 and 0.4.

Version 0.3 names a metric ``acc`` and its standard error ``acc_stderr``; 0.4 names them ``acc,none`` and
``acc_stderr,none``, the second word being how answers were filtered. The step is in the revision of the model
(``revision=step143000``) or in the file's name (``..._step143000.json``), as in Pythia's published evaluations.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

VERSIONS = ("0.3", "0.4")
_NAMED = ("pretrained", "model", "path", "engine")  # in model_args, by which the harness knows a model
_STEP = re.compile(r"step[_-]?(\d+)")

PYTHIA_PARAMETERS = {
    "14m": 14_067_712,
    "31m": 30_494_720,
    "70m": 70_426_624,
    "160m": 162_322_944,
    "410m": 405_334_016,
    "1b": 1_011_781_632,
    "1.4b": 1_414_647_808,
    "2.8b": 2_775_208_960,
    "6.9b": 6_857_302_016,
    "12b": 11_846_072_320,
}
"""Parameters of the Pythia models (Biderman et al. 2023, arXiv 2304.01373), embeddings included."""
_FORMER_NAMES = {
    "19m": "70m",
    "125m": "160m",
    "350m": "410m",
    "800m": "1b",
    "1.3b": "1.4b",
    "2.7b": "2.8b",
    "6.7b": "6.9b",
    "13b": "12b",
}


def is_harness(content: Any) -> bool:
    """Whether a JSON file is laid out as results of the harness, of some version."""
    return isinstance(content, dict) and isinstance(content.get("results"), dict)


def harness_rows(content: dict[str, Any], name: str, sizes: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """A row per task and metric of one file.

    Args:
        content: of the file.
        name: of the file, for messages and for the step.
        sizes: parameters by model, before what the file says.

    Raises:
        ValueError: another version than 0.3 and 0.4, a model that is not named, or two steps for one file.
    """
    filtered = _is_filtered(content, name)
    config = content.get("config") or {}
    arguments = _arguments(config.get("model_args"))
    model = _model(content, config, arguments, name)
    place = {
        "model": model,
        "n_params": _n_params(model, config, sizes),
        "step": _step(arguments.get("revision"), name),
    }
    for task, measured in content["results"].items():
        shots = (content.get("n-shot") or {}).get(task, config.get("num_fewshot"))
        n_items = ((content.get("n-samples") or {}).get(task) or {}).get("effective")
        for key, value in measured.items():
            metric, _, kept = key.partition(",")
            if metric.endswith("_stderr") or not _is_number(value) or (filtered and not kept):
                continue
            stderr = measured.get(f"{metric}_stderr,{kept}" if filtered else f"{metric}_stderr")
            yield place | {
                "n_shot": shots if _is_number(shots) else math.nan,
                "task": task,
                "metric": metric if kept in ("", "none") else key,
                "value": float(value),
                "stderr": float(stderr) if _is_number(stderr) else math.nan,
                "n_items": n_items if _is_number(n_items) else math.nan,
            }


def pythia_parameters(model: str) -> float:
    """Parameters of a Pythia model by its name, new or old (125m is what is now called 160m); NaN if it is none."""
    after = model.lower().rpartition("pythia")[2] if "pythia" in model.lower() else ""
    for word in after.split("-"):
        size = _FORMER_NAMES.get(word, word)
        if size in PYTHIA_PARAMETERS:
            return float(PYTHIA_PARAMETERS[size])
    return math.nan


def _is_filtered(content: dict[str, Any], name: str) -> bool:
    """Whether metrics are named as of version 0.4."""
    said = content.get("lm_eval_version")
    if isinstance(said, str) and re.match(r"\d", said) and not re.match(r"0\.[34](\.|$)", said):
        raise ValueError(f"{name}: written by lm-evaluation-harness {said}, expected {' or '.join(VERSIONS)}")
    metrics = [
        key
        for measured in content["results"].values()
        if isinstance(measured, dict)
        for key, value in measured.items()
        if _is_number(value)
    ]
    filtered = [("," in key) for key in metrics]
    plain = [key for key in metrics if "," not in key]
    as_of_04 = any(filtered) and all(f"{key}_stderr" not in plain for key in plain)
    as_of_03 = bool(metrics) and not any(filtered)
    if not all(isinstance(measured, dict) for measured in content["results"].values()) or not (as_of_03 or as_of_04):
        raise ValueError(
            f"{name}: results are laid out as by no version of lm-evaluation-harness that is known here; expected "
            "results[task]['acc'] (0.3) or results[task]['acc,none'] (0.4)"
        )
    return as_of_04


def _arguments(given: Any) -> dict[str, str]:
    """Of the model: "pretrained=EleutherAI/pythia-70m,revision=step1000", or the same as a mapping."""
    if isinstance(given, dict):
        return {str(key): str(value) for key, value in given.items()}
    pairs = (argument.split("=", 1) for argument in str(given or "").split(","))
    return {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}


def _model(content: dict[str, Any], config: dict[str, Any], arguments: dict[str, str], name: str) -> str:
    named: list[Any] = [arguments[key] for key in _NAMED if key in arguments]
    model = [*named, content.get("model_name") or config.get("model")][0]
    if not isinstance(model, str) or not model:
        raise ValueError(f"{name}: the model is not named; expected config['model_args'] with pretrained=...")
    return model


def _n_params(model: str, config: dict[str, Any], sizes: Mapping[str, float]) -> float:
    if model in sizes:
        return float(sizes[model])
    said: Any = config.get("model_num_parameters")
    if _is_number(said) and said > 0:
        return float(said)
    return pythia_parameters(model)


def _step(revision: str | None, name: str) -> float:
    said = [int(found[-1]) for text in (revision, name) if text and (found := _STEP.findall(text))]
    if len(set(said)) > 1:
        raise ValueError(f"{name}: step {said[1]} by its name, but {said[0]} by the revision of its model")
    return float(said[0]) if said else math.nan


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
