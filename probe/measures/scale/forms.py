"""The forms that performance over scale may have, each as a grid over what is not linear in it.

At u, the log of the scale, 0 at the smallest size and 1 at the largest:

* ``flat``         a constant
* ``power_law``    limit + a scale^-b with b >= 0: ever slower towards a limit; a straight line in log scale at b = 0,
                   which is also a form of its own with a parameter less
* ``logistic``     from one level to another, sigmoid((u - midpoint) / width)
* ``broken``       two straight lines in log scale that meet at a break, both rising or both falling or one of them
                   level; or two power laws, lines also in log value, where all values are above 0
* ``jump``         one level up to a size, and another from the next on
* ``u_shape``      falls to a turn between the smallest and the largest size, then rises: a parabola, or two lines
* ``inverted_u``   the same upside down

A stretch of ``broken`` has three sizes at least, the one at the break included: of one beyond it, any slope will do,
and nothing tells a break from a jump. A level stretch is a limit of two that rise and saves no parameter. Where the
chance level is known, logistic and jump may also begin at it, which saves one.

Some kinds contain others as a limit (``CONTAINED_IN``): a logistic is a jump if its width is none, a line if it is
wide, and far above its midpoint a power law; a broken line is straight if its slopes are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit

KINDS = ("flat", "power_law", "logistic", "broken", "jump", "u_shape", "inverted_u")

CONTAINED_IN = {
    "flat": ("power_law", "logistic", "broken", "jump", "u_shape", "inverted_u"),
    "power_law": ("logistic", "broken"),
    "jump": ("logistic",),
    "logistic": (),
    "broken": (),
    "u_shape": (),
    "inverted_u": (),
}
"""Of each kind those that fit every curve of its, or come as close as one likes."""

_EXPONENTS = np.concatenate([[0.0], np.geomspace(0.25, 40, 24)])  # over the range of sizes, in units of e
_MIDPOINTS = np.linspace(-0.15, 1.25, 57)
_WIDTHS = np.geomspace(0.02, 0.5, 13)
_TURNS = np.linspace(0.05, 0.95, 31)  # of the way from the first to the last size that is fitted
_BREAKS = np.linspace(0, 1, 25)  # of the way from the third to the third but last
_POWERS = np.array([0.0, 0.7, 1.5, 3, 6, 12, 20])
_POWER_BREAKS = np.linspace(0, 1, 9)
_FINER = 4


Nodes = dict[str, Float[np.ndarray, " node"]]
Columns = Callable[[Nodes, Float[np.ndarray, " u"]], Float[np.ndarray, "node u column"]]


@dataclass(frozen=True)
class Form:
    """Linear combinations of columns, at every node of a grid.

    Attributes:
        kind: one of ``KINDS``.
        n_parameters: those of the grid and the linear ones.
        nodes: of the grid, by the names of what is not linear.
        shapes: at nodes and u, what is combined.
        allowed: of the linear coefficients [..., column], whether they have the form.
        level: what is added to it all.
        log_volume: of the part of the grid that a node stands for, beside that of a node of the first grid.
    """

    kind: str
    n_parameters: int
    nodes: Nodes
    shapes: Columns
    allowed: Callable[[Float[np.ndarray, "... column"]], Bool[np.ndarray, ...]]
    level: float = 0.0
    log_volume: float = 0.0

    def columns(self, u: Float[np.ndarray, " u"]) -> Float[np.ndarray, "node u column"]:
        """What is combined at u."""
        return self.shapes(self.nodes, u)

    def closer(self, node: int, grid: Nodes) -> Form:
        """The same on a finer grid around a node, up to its neighbours on another grid."""
        axes = []
        for name, values in grid.items():
            places = np.unique(values)
            at = int(np.argmin(np.abs(places - self.nodes[name][node])))
            axes.append(np.linspace(places[max(at - 1, 0)], places[min(at + 1, len(places) - 1)], 2 * _FINER + 1))
        finer = [axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")]
        volume = self.log_volume - len(axes) * np.log(_FINER)
        return replace(self, nodes=dict(zip(grid, finer, strict=True)), log_volume=volume)


def forms(u: Float[np.ndarray, " size"], positive: bool, chance: float | None = None) -> list[Form]:
    """All that are compared for sizes at u.

    Args:
        u: sizes, ascending.
        positive: whether all values are above 0.
        chance: level before anything is learned, if known.
    """
    between = {"jump": (u[:-1] + u[1:]) / 2}
    turns = u[0] + np.ptp(u) * _TURNS
    first = min(2, len(u) - 1)
    room = max(u[-1 - first] - u[first], 0)
    breaks, few_breaks = (np.unique(u[first] + room * share) for share in (_BREAKS, _POWER_BREAKS))
    logistic = _grid(midpoint=_MIDPOINTS, width=_WIDTHS)
    found = [
        Form("flat", 1, {}, lambda _, at: np.ones((1, len(at), 1)), _any),
        Form("power_law", 2, {"exponent": _EXPONENTS[:1]}, _beside_level(_decay), _any),
        Form("power_law", 3, {"exponent": _EXPONENTS}, _beside_level(_decay), _any),
        Form("logistic", 4, logistic, _beside_level(_sigmoid), _any),
        Form("jump", 3, between, _beside_level(_beyond), _any),
        Form("broken", 4, {"break": breaks}, _beside_level(_stretches), _same_sign),
        Form("broken", 4, {"break": breaks}, _beside_level(_first_stretch), _any),
        Form("broken", 4, {"break": breaks}, _beside_level(_last_stretch), _any),
    ]
    for kind, allowed in (("u_shape", _all_above), ("inverted_u", _all_below)):
        found.append(Form(kind, 3, {"turn": turns}, _beside_level(_parabola), allowed))
        found.append(Form(kind, 4, {"turn": turns}, _beside_level(_two_lines), allowed))
    if positive:
        slopes = np.concatenate([-_POWERS[:0:-1], _POWERS])
        grid = _grid(**{"break": few_breaks, "first": slopes, "second": slopes})
        broken = (grid["first"] != grid["second"]) & (grid["first"] * grid["second"] >= 0)
        grid = {name: values[broken] for name, values in grid.items()}
        found.append(Form("broken", 4, grid, _two_powers, _last_above))
    if chance is not None:
        found.append(Form("logistic", 3, logistic, _sigmoid, _last_above, chance))
        found.append(Form("jump", 2, between, _beyond, _last_above, chance))
    return found


def _grid(**axes: Float[np.ndarray, " value"]) -> Nodes:
    values = np.meshgrid(*axes.values(), indexing="ij")
    return {name: axis.ravel() for name, axis in zip(axes, values, strict=True)}


def _any(coefficients: Float[np.ndarray, "... column"]) -> Bool[np.ndarray, ...]:
    return np.ones(coefficients.shape[:-1], dtype=bool)


def _last_above(coefficients: Float[np.ndarray, "... column"]) -> Bool[np.ndarray, ...]:
    return np.asarray(coefficients[..., -1] > 0)


def _same_sign(coefficients: Float[np.ndarray, "... column"]) -> Bool[np.ndarray, ...]:
    return np.asarray(coefficients[..., 1] * coefficients[..., 2] >= 0)


def _all_above(coefficients: Float[np.ndarray, "... column"]) -> Bool[np.ndarray, ...]:
    return np.asarray((coefficients[..., 1:] > 0).all(-1))


def _all_below(coefficients: Float[np.ndarray, "... column"]) -> Bool[np.ndarray, ...]:
    return np.asarray((coefficients[..., 1:] < 0).all(-1))


def _beside_level(shapes: Columns) -> Columns:
    """Beside a column of ones, for a level."""

    def both(nodes: Nodes, at: Float[np.ndarray, " u"]) -> Float[np.ndarray, "node u column"]:
        found = shapes(nodes, at)
        return np.concatenate([np.ones((*found.shape[:2], 1)), found], axis=2)

    return both


def _decay(nodes: Nodes, at: Float[np.ndarray, " u"]) -> Float[np.ndarray, "node u 1"]:
    """1 - scale^-b over its range, which is u where b is 0."""
    b = np.maximum(nodes["exponent"], 1e-9)[:, None]
    return (np.expm1(-b * at) / np.expm1(-b))[..., None]


def _sigmoid(nodes: Nodes, at: Float[np.ndarray, " u"]) -> Float[np.ndarray, "node u 1"]:
    return np.asarray(expit((at - nodes["midpoint"][:, None]) / nodes["width"][:, None]))[..., None]


def _beyond(nodes: Nodes, at: Float[np.ndarray, " u"]) -> Float[np.ndarray, "node u 1"]:
    return (at > nodes["jump"][:, None]).astype(np.float64)[..., None]


def _stretches(nodes: Nodes, at: Float[np.ndarray, " u"]) -> Float[np.ndarray, "node u 2"]:
    return np.stack(_parts(at, nodes["break"]), axis=-1)


def _first_stretch(nodes: Nodes, at: Float[np.ndarray, " u"]) -> Float[np.ndarray, "node u 1"]:
    return _stretches(nodes, at)[..., :1]


def _last_stretch(nodes: Nodes, at: Float[np.ndarray, " u"]) -> Float[np.ndarray, "node u 1"]:
    return _stretches(nodes, at)[..., 1:]


def _two_powers(nodes: Nodes, at: Float[np.ndarray, " u"]) -> Float[np.ndarray, "node u 1"]:
    """1 at the larger end of the range."""
    place, first, second = (nodes[name] for name in ("break", "first", "second"))
    before, after = _parts(at, place)
    top = np.maximum(first * place + second * (1 - place), 0)
    return np.exp(first[:, None] * before + second[:, None] * after - top[:, None])[..., None]


def _parabola(nodes: Nodes, at: Float[np.ndarray, " u"]) -> Float[np.ndarray, "node u 1"]:
    return ((at - nodes["turn"][:, None]) ** 2)[..., None]


def _two_lines(nodes: Nodes, at: Float[np.ndarray, " u"]) -> Float[np.ndarray, "node u 2"]:
    before, after = _parts(at, nodes["turn"])
    return np.stack([nodes["turn"][:, None] - before, after], axis=-1)


def _parts(
    at: Float[np.ndarray, " u"], place: Float[np.ndarray, " node"]
) -> tuple[Float[np.ndarray, "node u"], Float[np.ndarray, "node u"]]:
    """How far u is up to a place, and how far beyond it."""
    return np.minimum(at, place[:, None]), np.maximum(at - place[:, None], 0)
