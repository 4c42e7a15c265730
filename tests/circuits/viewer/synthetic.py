"""Answers that no model gave, for looking at what the front end makes of them: smooth, known, and of any size."""

import math
from functools import cache

import numpy as np

from circuits.graph import Edge, Graph
from circuits.viewer import messages as m

SCRIPT = "<script>document.title='run'</script>"
"""A token that would do harm if it were taken for more than text."""


class SyntheticAnswers:
    """Of a made-up suite; every edge's score grows along a sigmoid of its own.

    Args:
        shapes: layers and heads of each model.
        n_steps: checkpoints of each model, 10 steps apart.
        live: whether it says that a model is at hand; then it answers live questions.
    """

    def __init__(self, shapes=((2, 2), (2, 4)), n_steps=12, live=True):
        self.graphs = {f"l{layers}-h{heads}": Graph(layers, heads) for layers, heads in shapes}
        self.steps = [10 * i for i in range(n_steps)]
        self.live, self.running, self.revision = live, False, "1"
        self.asked: list[tuple[str, dict]] = []

    def answer(self, name, parameters, cancelled=lambda: False):
        self.asked.append((name, dict(parameters)))
        asked = m.QUESTIONS[name][0].model_validate(dict(parameters))
        if getattr(asked, "model", None) not in (None, *self.graphs):
            raise ValueError(f"model: got {asked.model!r}; expected one of {', '.join(self.graphs)}")
        return getattr(self, f"_{name}")(asked)

    @cache  # noqa: B019  # it lives as long as the test
    def values(self, model, step):
        graph = self.graphs[model]
        drawn = np.random.default_rng(graph.n_edges)
        final = drawn.normal(size=graph.mask.shape) * drawn.exponential(size=graph.mask.shape)
        begins = drawn.uniform(0, self.steps[-1], size=graph.mask.shape)
        return graph.mask * final / (1 + np.exp((begins - step) / 8))

    def by_edge(self, of, model):
        graph = self.graphs[model]
        return [of[row, column] for column in range(graph.n_destinations) for row in range(graph.n_before[column])]

    def _run(self, asked):
        entries = []
        for name, graph in self.graphs.items():
            shape = m.GraphShape(
                sources=list(graph.source_names),
                destinations=list(graph.destination_names),
                n_before=graph.n_before.tolist(),
                n_layers=graph.n_layers,
                n_heads=graph.n_heads,
            )
            entries.append(
                m.ModelEntry(
                    name=name, n_params=1000 * graph.n_edges, seed=0, graph=shape, steps=self.steps, scored=self.steps
                )
            )
        task = m.TaskEntry(
            family="made up",
            title="a made-up task",
            tokens=[SCRIPT, "1", "2", "3", "="],
            example=[0, 2, 4],
            n_examples=16,
            mapped=True,
        )
        return m.Run(
            name="made-up",
            address="runs/made-up",
            models=entries,
            task=task,
            metric="logit_difference",
            ablation="corrupted",
            stored=True,
            live=self.live,
            running=self.running,
            revision=self.revision,
            notes=[],
        )

    def _curves(self, asked):
        grown = [1 / (1 + math.exp((60 - step) / 10)) for step in self.steps]
        lines = [
            m.Curve(name="test accuracy", group="accuracy", unit="share", step=self.steps, value=grown),
            m.Curve(name="train accuracy", group="accuracy", unit="share", step=self.steps, value=[1.0] * len(grown)),
            m.Curve(name="test loss", group="loss", unit="nats", step=self.steps, value=[4 * (1 - g) for g in grown]),
        ]
        return m.Curves(model=asked.model, curves=lines, dates={"memorized": 10.0, "generalized": 80.0})

    def _scores(self, asked):
        values = self.values(asked.model, asked.step)
        return m.Scores(
            model=asked.model,
            step=asked.step,
            values=[round(value, 9) for value in self.by_edge(values, asked.model)],
            inside=[bool(inside) for inside in self.by_edge(np.abs(values) > 1, asked.model)],
            faithfulness=0.9,
            low=0.8,
            high=1.0,
            random=0.1,
            metric_whole=3.0,
            metric_none=-3.0,
        )

    def _history(self, asked):
        lines = [
            m.History.Line(model=name, step=self.steps, score=[step / 100 for step in self.steps], inside=None)
            for name in self.graphs
        ]
        return m.History(name=asked.name, lines=lines)

    def _map(self, asked):
        n = 4
        right = [[((i + j) % n) / n for j in range(n)] for i in range(n)]
        return m.Map(
            model=asked.model,
            step=asked.step,
            kind="operands",
            row_title="first operand",
            column_title="second operand",
            rows=[SCRIPT, "1", "2", "3"],
            columns=[str(j) for j in range(n)],
            right=right,
            answer=[[str((i + j) % n) for j in range(n)] for i in range(n)],
            correct=[[r > 0.5 for r in row] for row in right],
            held_out=[[i == j for j in range(n)] for i in range(n)],
            exposures=[[float(i) for _ in range(n)] for i in range(n)],
        )

    def _estimate(self, mean):
        return m.Estimate(mean=mean, low=mean - 0.5, high=mean + 0.5, n=64)

    def _node(self, asked):
        head = asked.node.startswith("L") and "MLP" not in asked.node
        causal = [[1 / (i + 1) if j <= i else 0.0 for j in range(3)] for i in range(3)]
        return m.NodeAnswer(
            model=asked.model,
            step=asked.step,
            node=asked.node,
            example=asked.example,
            tokens=[SCRIPT, "2", "="],
            pattern=m.Pattern(head=asked.node, values=causal) if head else None,
            attribution=self._estimate(1.25),
            roles=[m.Role(name="previous token", value=self._estimate(0.5), control=self._estimate(0.1))] * head,
            spectrum=None,
            top=[m.TopExample(example=3, tokens=["1", "2", "="], size=2.5, correct=True)],
        )

    def _edge(self, asked):
        score = float(self.values(asked.model, asked.step)[self.graphs[asked.model].place(Edge.named(asked.edge))])
        return m.EdgeAnswer(
            model=asked.model,
            step=asked.step,
            edge=asked.edge,
            metric="logit_difference",
            ablation="corrupted",
            values=[score + 0.01 * i for i in range(-8, 9)],
            score=self._estimate(score),
            whole=self._estimate(3.0),
            ablated=self._estimate(3.0 + score),
            change=self._estimate(score),
        )

    def _forward(self, asked):
        said = [m.Prediction(token=token, probability=p, logit=math.log(p)) for token, p in (("3", 0.7), ("1", 0.3))]
        tokens = [str(t) for t in asked.tokens or [0, 2, 4]]
        n = len(tokens)
        return m.ForwardAnswer(
            model=asked.model,
            step=asked.step,
            tokens=tokens,
            predictions=said[::-1] if asked.ablated else said,
            without=said,
            lens=[m.LensLayer(name="embed", top=said, right=0.3), m.LensLayer(name="L0", top=said, right=0.7)],
            patterns=[m.Pattern(head="L0.H0", values=[[1.0 if j == 0 else 0.0 for j in range(n)] for _ in range(n)])],
        )
