"""Scores of BIG-bench: one JSON file per task and model, with a score for each subtask and number of shots.

As the benchmark writes them (``bigbench.api.results``): ``scores`` is a list of ``score_dict``, ``preferred_score``,
``number_of_shots``, ``low_score``, ``high_score`` and ``subtask_description``; ``model`` has the numbers of parameters.
The low score is chance level for the preferred metric (Srivastava et al. 2022, arXiv 2206.04615, appendix).
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

_NEEDED = ("score_dict", "preferred_score", "number_of_shots", "low_score", "high_score")
_SCORES = ("scores", "score_data")


def is_bigbench(content: Any) -> bool:
    """Whether a JSON file is laid out as scores of BIG-bench."""
    return (
        isinstance(content, dict) and isinstance(content.get("model"), dict) and any(key in content for key in _SCORES)
    )


def bigbench_rows(content: dict[str, Any], name: str, sizes: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """A row per subtask, number of shots and metric of one file.

    ``n_params`` are those outside the embedding, of a sparse model as many as a dense one of the same FLOPs has.
    ``preferred`` says whether a metric is the task's own; of others the chance level is unknown.

    Args:
        content: of the file.
        name: of the file, for messages.
        sizes: parameters by model, before what the file says.

    Raises:
        ValueError: something of a score is missing, or the task or model is not named.
    """
    about = content["model"]
    family, of_family = about.get("model_family"), about.get("model_name")
    task = (content.get("task") or {}).get("task_name")
    if not family or not of_family or not task:
        raise ValueError(f"{name}: expected task.task_name, model.model_family and model.model_name")
    model = f"{family} {of_family}"
    n_params = sizes.get(model, about.get("flop_matched_non_embedding_params") or about.get("non_embedding_params"))
    scores = next(content[key] for key in _SCORES if key in content)
    for score in scores if isinstance(scores, list) else [scores]:
        missing = [key for key in _NEEDED if key not in score]
        if missing:
            raise ValueError(f"{name}: {missing[0]!r} of a score is missing; expected {', '.join(_NEEDED)}")
        part = str(score.get("subtask_description") or "")
        whole = part if part.startswith(task) else f"{task}:{part}" if part else task
        for metric, value in score["score_dict"].items():
            preferred = metric == score["preferred_score"]
            yield {
                "model": model,
                "n_params": float(n_params) if n_params and n_params > 0 else math.nan,
                "n_shot": score["number_of_shots"],
                "task": whole,
                "metric": metric,
                "value": value,
                "chance": score["low_score"] if preferred else math.nan,
                "preferred": preferred,
            }
