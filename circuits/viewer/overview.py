"""What there is: the answer to ``run``."""

from collections.abc import Callable, Iterator

import numpy as np

from circuits.graph import Graph
from circuits.viewer.edge_scores import shape_of
from circuits.viewer.live.loaded import pairs_of
from circuits.viewer.messages import ModelEntry, Run, TaskEntry
from circuits.viewer.opened import Seen
from circuits.viewer.questions import operands_of, questions_of
from circuits.viewer.stored_map import records_recall
from circuits.viewer.wording import shown_by, title_of
from probe.suites.suite import Model


def overview_of(seen: Seen, graph_of: Callable[[Model], Graph]) -> Run:
    """
    Args:
        seen: the run or the suite.
        graph_of: the graph of a model; raises ValueError where there is none.
    """
    models = [seen.model(name) for name in seen.suite.models]
    entries, unscored = [], dict[str, list[str]]()
    for model in models:
        graph, scored = None, seen.scored.get(model.name, [])
        try:
            graph = graph_of(model)
            if not seen.records_scores and seen.at_hand:
                _check_pairs(seen, model)
                scored = list(seen.steps_of[model.name])
        except ValueError as error:
            unscored.setdefault(str(error), []).append(model.name)
        entries.append(
            ModelEntry(
                name=model.name,
                n_params=model.n_params,
                seed=model.seed,
                graph=None if graph is None else shape_of(graph),
                steps=list(seen.steps_of[model.name]),
                scored=scored,
            )
        )
    has_scores = any(entry.scored for entry in entries)
    return Run(
        name=seen.suite.address.rpartition("/")[2] if seen.run is None else seen.run.batch.name,
        address=seen.suite.address if seen.run is None else seen.run.folder,
        models=entries,
        task=_task(seen, models),
        metric=seen.asked.metric if has_scores else None,
        ablation=seen.asked.ablation if has_scores else None,
        stored=seen.records_scores,
        live=seen.at_hand,
        running=seen.running,
        revision=seen.revision,
        notes=[
            *_notes(seen, models, computed=has_scores and not seen.records_scores),
            *(f"No edge scores of {', '.join(names)}: {why}" for why, names in unscored.items()),
        ],
    )


def _check_pairs(seen: Seen, model: Model) -> None:
    if model.task is None:
        raise ValueError("task: nothing says what was trained on")
    pairs_of(model.task, seen.asked)


def _notes(seen: Seen, models: list[Model], computed: bool) -> Iterator[str]:
    """What is missing of the whole, and how to get it; ``computed``: edge scores are, when they are asked for."""
    if not models:
        yield "No model is there yet: the first is still to be trained."
    if computed:
        yield (
            f"Edge scores are computed when asked for (EAP-IG, {seen.asked.n_pairs} pairs). To have those of all steps"
            " and how faithful circuits are, run a batch with the probes final_circuit and circuit_formation."
        )
    if seen.run is None or "performance" not in {spec.build().name for spec in seen.run.batch.probes}:
        yield "No accuracy over steps: run a batch with the probe performance."
    tasks = {type(model.task) if model.task is None else title_of(model.task) for model in models}
    if len(tasks) > 1:
        yield "Models were trained on different tasks; questions and tokens shown are those of the first."
    for name, why in seen.stopped.items():
        yield f"Training of {name} was stopped: {why}"


def _task(seen: Seen, models: list[Model]) -> TaskEntry | None:
    model = next((model for model in models if model.task is not None), None)
    if model is None or model.task is None:
        return None
    task, questions = model.task, questions_of(model.task)
    example = int(np.argmin(task.train_mask))  # the first that was not trained on, if there is one
    return TaskEntry(
        family=task.family,
        title=title_of(task),
        tokens=shown_by(model)(range(model.d_vocab)),
        example=questions.tokens[example, : questions.lengths[example]].tolist(),
        n_examples=len(task.tokens),
        mapped=records_recall(seen) or (seen.at_hand and operands_of(task) is not None),
    )
