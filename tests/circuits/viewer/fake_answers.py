"""Answers of a run that was never made: two models of one layer, two steps, numbers that say what was asked."""

from collections.abc import Callable, Mapping
from typing import Any

from circuits.viewer import messages as m

N_HEADS = 2
SOURCES = ["embed", "L0.H0", "L0.H1", "L0.MLP"]
DESTINATIONS = ["L0.H0.q", "L0.H1.q", "L0.H0.k", "L0.H1.k", "L0.H0.v", "L0.H1.v", "L0.MLP", "logits"]
N_BEFORE = [1, 1, 1, 1, 1, 1, 3, 4]
EDGES = [f"{s} -> {d}" for d, n in zip(DESTINATIONS, N_BEFORE, strict=True) for s in SOURCES[:n]]
CIRCUIT = ["embed -> L0.H1.v", "L0.H1 -> logits"]
ODD = "</script><script>alert(1)</script>\u2028<!--"
"""A name that would break out of a page that takes it as it is."""


def never() -> bool:
    return False


class FakeAnswers:
    """
    Args:
        steps: of each model, by name.
        scored: those of the steps that have edge scores; all if not given.
        live: whether it says that a model is at hand.

    Attributes:
        asked: all that was, in order.
        before_node: what is done before ``node`` is answered, such as waiting.
    """

    def __init__(
        self,
        steps: Mapping[str, list[int]] | None = None,
        scored: Mapping[str, list[int]] | None = None,
        live: bool = True,
    ) -> None:
        self.steps = steps or {"d16-s0": [0, 20, 40], "d32-s0": [0, 20]}
        self.scored, self.live = scored or self.steps, live
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.before_node: Callable[[Callable[[], bool]], object] = lambda cancelled: None

    def answer(self, name: str, parameters: Mapping[str, Any], cancelled: Callable[[], bool] = never) -> m.Message:
        if name not in m.QUESTIONS:
            raise ValueError(f"name: got {name!r}; expected one of {', '.join(m.QUESTIONS)}")
        asked = m.QUESTIONS[name][0].model_validate(dict(parameters))
        self.asked.append((name, dict(parameters)))
        if isinstance(asked, m.OfModel) and asked.model not in self.steps:
            raise ValueError(f"model: got {asked.model!r}; expected one of {', '.join(self.steps)}")
        if name == "node":
            self.before_node(cancelled)
        answer: m.Message = getattr(self, name)(asked)
        return answer

    def run(self, asked: m.Nothing) -> m.Run:
        graph = m.GraphShape(sources=SOURCES, destinations=DESTINATIONS, n_before=N_BEFORE, n_layers=1, n_heads=N_HEADS)
        return m.Run(
            name=ODD,
            address="runs/odd",
            models=[
                m.ModelEntry(name=name, n_params=1000, seed=0, graph=graph, steps=steps, scored=self.scored[name])
                for name, steps in self.steps.items()
            ],
            task=m.TaskEntry(
                family="modular", title="a+b", tokens=["0", "1", ODD], example=[0, 1, 2], n_examples=4, mapped=True
            ),
            metric="logit_difference",
            ablation="corrupted",
            stored=True,
            live=self.live,
            running=True,
            revision="1",
            notes=[],
        )

    def curves(self, asked: m.OfModel) -> m.Curves:
        steps = self.steps[asked.model]
        curve = m.Curve(name="test accuracy", group="accuracy", unit="", step=steps, value=[1 / 3] * len(steps))
        return m.Curves(model=asked.model, curves=[curve], dates={"generalized": float("nan")})

    def scores(self, asked: m.OfStep) -> m.Scores:
        values: list[float | None] = [(asked.step + i) / 7 for i in range(len(EDGES))]
        return m.Scores(
            **asked.model_dump(),
            values=values,
            inside=[edge in CIRCUIT for edge in EDGES],
            faithfulness=0.9,
            low=0.8,
            high=float("inf"),
            random=0.1,
            metric_whole=3.0,
            metric_none=0.0,
        )

    def history(self, asked: m.OfPart) -> m.History:
        if asked.name not in [*EDGES, *SOURCES, "logits"]:
            raise ValueError(f"name: got {asked.name!r}")
        lines = [
            m.History.Line(model=name, step=steps, score=[1.0 + step for step in steps], inside=None)
            for name, steps in self.steps.items()
        ]
        return m.History(name=asked.name, lines=lines)

    def map(self, asked: m.OfStep) -> m.Map:
        return m.Map(
            **asked.model_dump(),
            kind="operands",
            row_title="a",
            column_title="b",
            rows=["0", "1"],
            columns=["0", "1"],
            right=[[1.0, 0.123456789], [0.0, None]],
            answer=[["0", "1"], ["1", ODD]],
            correct=[[True, True], [False, None]],
            held_out=None,
            exposures=None,
        )

    def node(self, asked: m.OfNode) -> m.NodeAnswer:
        return m.NodeAnswer(
            **asked.model_dump(),
            tokens=["0", "1", ODD],
            pattern=None,
            attribution=estimate(0.5),
            roles=[],
            spectrum=None,
            top=[],
        )

    def edge(self, asked: m.OfEdge) -> m.EdgeAnswer:
        return m.EdgeAnswer(
            **asked.model_dump(),
            metric="logit_difference",
            ablation="corrupted",
            values=[1 / 3, 2 / 3],
            score=estimate(0.5),
            whole=estimate(3.0),
            ablated=estimate(1.0),
            change=estimate(-2.0),
        )

    def forward(self, asked: m.OfPrompt) -> m.ForwardAnswer:
        said = [m.Prediction(token=ODD, probability=0.5, logit=1.0)]
        tokens = [str(token) for token in asked.tokens or []]
        return m.ForwardAnswer(
            model=asked.model, step=asked.step, tokens=tokens, predictions=said, without=said, lens=[], patterns=[]
        )


def estimate(mean: float) -> m.Estimate:
    return m.Estimate(mean=mean, low=mean - 0.1, high=mean + 0.1, n=2)
