"""What the viewer's front end asks and is told. The page, the notebook and the saved file speak this and nothing else.

A question is a name and parameters. ``/api/<name>?<parameters>`` of the page, a message of the widget and a key of the
saved file are the same question, and all get the same answer:

``run``       what there is: models, steps, graphs, the task, whether a model is at hand
``curves``    measures of one model over its steps, and the dates read off them
``scores``    of all edges at one model and step, in the order of ``edges`` of the model's graph
``history``   of one edge, or of a node (the sum of the sizes of its edges), over all steps of all models
``map``       right answers and exposures of a task's questions at one model and step                             live
``node``      of one node on one example: pattern, attribution, roles, spectrum                                    live
``edge``      of one edge: its score on each pair, and what ablating it does to the metric                         live
``forward``   of one prompt: predictions, logit lens, patterns, perhaps with nodes ablated or patched              live

Live ones are computed on the model when asked; the others are read from the run. Numbers that are not finite are null.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _all_finite(values: Any) -> Any:
    return [_finite(value) for value in values] if isinstance(values, list) else values


Number = Annotated[float | None, BeforeValidator(_finite)]
Numbers = Annotated[list[float | None], BeforeValidator(_all_finite)]


class Message(BaseModel):
    """Fields that are not known are refused, so that a mistyped one is not lost."""

    model_config = ConfigDict(extra="forbid")


class GraphShape(Message):
    """The graph of a model. ``sources`` and ``destinations`` are names, in the order in which the model computes them;
    ``n_before`` is how many sources each destination reads: the first so many."""

    sources: list[str]
    destinations: list[str]
    n_before: list[int]
    n_layers: int
    n_heads: int


class ModelEntry(Message):
    """A model of the suite, in order of ``n_params``. ``steps`` have weights, ``scored`` have edge scores."""

    name: str
    n_params: int
    seed: int | None
    graph: GraphShape | None = Field(description="null where edges of this model cannot be told apart")
    steps: list[int]
    scored: list[int]


class TaskEntry(Message):
    """What the models were trained on. ``tokens`` are as they are shown, by number."""

    family: str
    title: str
    tokens: list[str]
    example: list[int] = Field(description="a question to begin with")
    n_examples: int
    mapped: bool = Field(description="whether `map` has an answer")


class Run(Message):
    """What there is. ``address`` is the folder, as it was given, by which a notebook opens it."""

    name: str
    address: str
    models: list[ModelEntry]
    task: TaskEntry | None
    metric: str | None = Field(description="what edge scores are about; null if there are none")
    ablation: str | None
    stored: bool = Field(description="whether edge scores are read from the run; else they are computed when asked for")
    live: bool = Field(description="whether a model is at hand for live questions")
    running: bool = Field(description="whether the batch may still add to it")
    revision: str = Field(description="changes when there is more")
    notes: list[str] = Field(description="what is missing, and how to get it")


class Curve(Message):
    """One measure over steps. ``group`` says which curves share an axis, such as ``accuracy`` or ``loss``."""

    name: str
    group: str
    unit: str
    step: list[int]
    value: Numbers
    low: Numbers | None = None
    high: Numbers | None = None


class Curves(Message):
    """Measures of one model. ``dates`` are steps: memorized, generalized, circuit faithful; null if not within it, left
    out if not measured."""

    model: str
    curves: list[Curve]
    dates: dict[str, Number]


class Scores(Message):
    """Edge scores at one model and step. ``values`` and ``inside`` are by edge: for each destination in turn, the
    sources that it reads. ``inside``: whether the edge is in the circuit found at this step, of which the faithfulness
    is told too. Where the run stored no scores they are computed, and of a circuit nothing is said."""

    model: str
    step: int
    values: Numbers
    inside: list[bool] | None
    faithfulness: Number
    low: Number
    high: Number
    random: Number = Field(description="faithfulness of random circuits, the control")
    metric_whole: Number
    metric_none: Number


class History(Message):
    """Scores over steps, for each model that has the part. ``inside`` is null for a node."""

    class Line(Message):
        model: str
        step: list[int]
        score: Numbers
        inside: list[bool] | None

    name: str
    lines: list[Line]


class Map(Message):
    """Questions with two operands as a grid, or examples in rows over steps.

    ``right``: [row][column] probability of the right answer, null where there is no such question; ``answer``: the
    model's, as shown, null where answers are long; ``held_out``: not trained on; ``exposures``: how often it was shown
    up to this step.
    """

    model: str
    step: int
    kind: Literal["operands", "steps"]
    row_title: str
    column_title: str
    rows: list[str]
    columns: list[str]
    right: list[Numbers]
    answer: list[list[str]] | None
    correct: list[list[bool | None]]
    held_out: list[list[bool | None]] | None
    exposures: list[Numbers] | None


class Estimate(Message):
    """A mean with its 95 % interval over ``n`` pairs, or examples."""

    mean: Number
    low: Number
    high: Number
    n: int


class Pattern(Message):
    """What each query attends to: ``values`` [query][key], of one head."""

    head: str
    values: list[Numbers]


class Role(Message):
    """A score of a head, such as induction, beside its control."""

    name: str
    value: Estimate
    control: Estimate | None


class Spectrum(Message):
    """Share of variance by Fourier frequency, and the two coordinates of the largest one, ``key``, by token: null of
    tokens that are none of what was looked at."""

    what: str
    frequency: list[int]
    share: Numbers
    key: int
    circle_x: Numbers
    circle_y: Numbers


class TopExample(Message):
    """An example at which a node writes most: ``size`` is the norm of what it writes at the answer position."""

    example: int
    tokens: list[str]
    size: Number
    correct: bool


class NodeAnswer(Message):
    """Of one node; parts that it does not have are null. Where nothing says what the model was asked, there is no
    example, and no tokens."""

    model: str
    step: int
    node: str
    example: int
    tokens: list[str]
    pattern: Pattern | None
    attribution: Estimate | None = Field(description="what it adds to the metric directly, through the last norm as is")
    roles: list[Role]
    spectrum: Spectrum | None
    top: list[TopExample]


class EdgeAnswer(Message):
    """Of one edge. ``values`` are scores by pair; ``whole`` and ``ablated`` are the metric without and with it ablated;
    ``change`` is ablated less whole, pair by pair."""

    model: str
    step: int
    edge: str
    metric: str
    ablation: str
    values: Numbers
    score: Estimate
    whole: Estimate
    ablated: Estimate
    change: Estimate


class Prediction(Message):
    token: str
    probability: Number
    logit: Number


class LensLayer(Message):
    """What the model would say after a layer, at the answer position."""

    name: str
    top: list[Prediction]
    right: Number = Field(description="probability of the token that the whole model says first")


class ForwardAnswer(Message):
    """Of one prompt; ``predictions``, ``lens`` and ``patterns`` are with what is ablated, ``without`` are predictions
    of the model as it is. Patterns are left out where they are too much to be told, as of long prompts."""

    model: str
    step: int
    tokens: list[str]
    predictions: list[Prediction]
    without: list[Prediction]
    lens: list[LensLayer]
    patterns: list[Pattern]


class Nothing(Message):
    """Parameters of ``run``: none."""


class OfModel(Message):
    """Parameters of ``curves``."""

    model: str


class OfStep(OfModel):
    """Parameters of ``scores`` and ``map``."""

    step: int


class OfPart(Message):
    """Parameters of ``history``: an edge, as in ``L0.H1 -> L1.H0.k``, or a node."""

    name: str


class OfNode(OfStep):
    """Parameters of ``node``: which one, and on which example of the task, by number."""

    node: str
    example: Annotated[int, Field(ge=0)] = 0


class OfEdge(OfStep):
    """Parameters of ``edge``."""

    edge: str


class OfPrompt(OfStep):
    """Parameters of ``forward``: a prompt, as tokens or as a text for the model's tokenizer. ``ablated`` are nodes that
    write zero, or, if there is another prompt of the same length, what they write on that."""

    tokens: Annotated[list[int], Field(max_length=1024)] | None = None
    text: Annotated[str, Field(max_length=20_000)] | None = None
    other: Annotated[list[int], Field(max_length=1024)] | None = None
    ablated: Annotated[list[str], Field(max_length=4096)] = []


class Failure(Message):
    """Why there is no answer: which field, what it was, what was expected."""

    error: str


QUESTIONS: dict[str, tuple[type[Message], type[Message], bool]] = {
    "run": (Nothing, Run, False),
    "curves": (OfModel, Curves, False),
    "scores": (OfStep, Scores, False),
    "history": (OfPart, History, False),
    "map": (OfStep, Map, True),
    "node": (OfNode, NodeAnswer, True),
    "edge": (OfEdge, EdgeAnswer, True),
    "forward": (OfPrompt, ForwardAnswer, True),
}
"""By name: parameters, answer, and whether it is computed on a model."""
