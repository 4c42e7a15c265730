"""How often verdicts on curves of known shape are right, undecided and wrong, and intervals of thresholds hold them.

``python -m tests.measures.scale.verdict_rates`` prints the tables that the measures state in their docstrings.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from probe.measures.scale import Threshold, shape, threshold

Curve = Callable[[np.ndarray], np.ndarray]
DECADES = 5.0
SIZES, ITEMS = (6, 8, 12), (50, 200, 1000)
CHANCE = 0.25
SCATTER = 0.15
"""Standard deviation of models about a curve, in logits: about .03 at a share of .3."""


@dataclass(frozen=True)
class Known:
    """A curve whose shape is known.

    Attributes:
        name: as tables have it.
        kind: what verdict is right.
        curve: share right, of the log of the size from 0 to 1.
        place: where it changes, if it does.
    """

    name: str
    kind: str
    curve: Curve
    place: float | None = None


KNOWN = (
    Known("flat, .25", "flat", lambda u: 0.25 + 0 * u),
    Known("flat, .02", "flat", lambda u: 0.02 + 0 * u),
    Known("power law, .8 - .55 exp(-3 u)", "power_law", lambda u: 0.8 - 0.55 * np.exp(-3 * u)),
    Known("line, .25 + .5 u", "power_law", lambda u: 0.25 + 0.5 * u),
    Known("line, .3 + .1 u", "power_law", lambda u: 0.3 + 0.1 * u),
    Known("logistic, .1 to .8 at .55, width .08", "logistic", lambda u: 0.1 + 0.7 * expit((u - 0.55) / 0.08), 0.55),
    Known("logistic, .1 to .9 at .6, width .15", "logistic", lambda u: 0.1 + 0.8 * expit((u - 0.6) / 0.15), 0.6),
    Known("broken, slopes .1 and 1.4 at .6", "broken", lambda u: 0.1 + 0.1 * u + 1.3 * np.maximum(u - 0.6, 0), 0.6),
    Known("broken, level and 1.2 at .6", "broken", lambda u: 0.25 + 1.2 * np.maximum(u - 0.6, 0), 0.6),
    Known("jump, .05 to .6 at .6", "jump", lambda u: np.where(u < 0.6, 0.05, 0.6), 0.6),
    Known("jump, 0 to .2 at the largest", "jump", lambda u: np.where(u < 0.999, 0.0, 0.2), 0.999),
    Known("U, .35 + (u - .55)^2", "u_shape", lambda u: 0.35 + (u - 0.55) ** 2, 0.55),
    Known("inverted U, .6 - abs(u - .5)", "inverted_u", lambda u: 0.6 - np.abs(u - 0.5), 0.5),
)
RISES: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "jump": lambda beyond, room: (beyond > 0) * 1.0,
    "line": lambda beyond, room: beyond / room,
    "saturating": lambda beyond, room: -np.expm1(-6 * beyond),
}


def sizes_of(u: np.ndarray) -> np.ndarray:
    """Sizes 10^7 to 10^12."""
    return 10 ** (7 + DECADES * u)


def measured(curve: Curve, u: np.ndarray, n_items: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Shares of so many items, and their standard errors as they are published."""
    value = rng.binomial(n_items, curve(u)) / n_items
    return value, np.sqrt(value * (1 - value) / n_items)


def verdict_rates(
    known: Known, n_sizes: int, n_items: int, n_curves: int, seed: int = 0, scatter: float = 0.0, errors: bool = True
) -> dict[str, float]:
    """Shares of verdicts that are "right", "undecided" and "wrong", of the likeliest kind that is "flat", and "held".

    "held" are the places in their intervals, of the right verdicts that have one; nan where none has. ``scatter`` is a
    standard deviation of models about the curve, in logits. Without ``errors`` no standard errors are given.
    """
    rng = np.random.default_rng(seed)
    u = np.linspace(0, 1, n_sizes)
    kinds, held = [], []
    for _ in range(n_curves):
        off = rng.normal(size=n_sizes) * scatter

        def scattered(at: np.ndarray, off: np.ndarray = off) -> np.ndarray:
            share = known.curve(at)
            odds = share / (1 - share) * np.exp(off)
            return odds / (1 + odds)

        value, error = measured(scattered, u, n_items, rng)
        if not errors:
            found = shape(sizes_of(u), value)
        elif error.any():
            found = shape(sizes_of(u), value, error)
        else:
            found = shape(sizes_of(u), value, 0.5 / n_items)
        kinds.append(found.kind)
        if found.kind == known.kind and found.place is not None and known.place is not None:
            held.append(found.place.low <= sizes_of(np.array(known.place)) <= found.place.high)
    told = np.array(kinds)
    return {
        "right": float((told == known.kind).mean()),
        "undecided": float((told == "undecided").mean()),
        "wrong": float(((told != known.kind) & (told != "undecided")).mean()),
        "flat": float((told == "flat").mean()),
        "held": float(np.mean(held)) if held else np.nan,
    }


def emerging(
    rise: str, n_sizes: int, n_items: int, rng: np.random.Generator, chance: float = CHANCE, top: float = 0.6
) -> tuple[float, Threshold]:
    """Where a simulated ability emerges, anywhere but beyond the outermost sizes, and where it is found to."""
    u = np.linspace(0, 1, n_sizes)
    at = rng.uniform(u[1], u[-2])

    def curve(sizes: np.ndarray) -> np.ndarray:
        return chance + top * RISES[rise](np.maximum(sizes - at, 0), 1 - at)

    value, error = measured(curve, u, n_items, rng)
    return float(sizes_of(np.array(at))), threshold(sizes_of(u), value, error, chance)


def coverage(rise: str, n_sizes: int, n_items: int, n_curves: int, seed: int = 0) -> dict[str, float]:
    """Shares of thresholds that their intervals "held", that are "exact"ly the first size beyond it, that were "seen".

    "width" is the median width of the interval, in gaps between sizes.
    """
    rng = np.random.default_rng(seed)
    gap = DECADES / (n_sizes - 1)
    held, exact, seen, width = [], [], [], []
    for _ in range(n_curves):
        at, found = emerging(rise, n_sizes, n_items, rng)
        scale = sizes_of(np.linspace(0, 1, n_sizes))
        held.append(found.low <= at <= found.high)
        seen.append(np.isfinite(found.scale))
        exact.append(found.scale == scale[np.searchsorted(scale, at, "right")])
        ends = np.log10(np.clip([found.low, found.high], scale[0] / 10**gap, scale[-1] * 10**gap))
        width.append((ends[1] - ends[0]) / gap)
    return {
        "held": float(np.mean(held)),
        "exact": float(np.mean(exact)),
        "seen": float(np.mean(seen)),
        "width": float(np.median(width)),
    }


def false_alarms(n_sizes: int, n_items: int, n_curves: int, seed: int = 0) -> float:
    """Share of curves that stay at the chance level, of which a threshold is told."""
    rng = np.random.default_rng(seed)
    u = np.linspace(0, 1, n_sizes)
    told = 0
    for _ in range(n_curves):
        value, error = measured(lambda at: CHANCE + 0 * at, u, n_items, rng)
        told += np.isfinite(threshold(sizes_of(u), value, error, CHANCE).high)
    return told / n_curves


def _percent(share: float) -> str:
    return "  -" if np.isnan(share) else f"{100 * share:3.0f}"


def main(n_curves: int) -> None:
    """Print the tables, with so many curves for each number."""
    settings: list[tuple[int, int, dict[str, Any]]] = [(a, b, {}) for a in SIZES for b in ITEMS]
    settings += [(a, 1000, {"scatter": SCATTER}) for a in (8, 12)]
    settings += [(a, 1000, {"scatter": SCATTER, "errors": False}) for a in (8, 12)]
    names = [f"{a},{b}{' scatter' if more else ''}{' no error' if len(more) == 2 else ''}" for a, b, more in settings]
    print(f"right, undecided of {n_curves}, the rest wrong:", "  ".join(names))
    for known in KNOWN:
        cells, worst, held, told = [], 0.0, 0.0, 0.0
        for n_sizes, n_items, more in settings:
            rates = verdict_rates(known, n_sizes, n_items, n_curves, **more)
            cells.append(f"{_percent(rates['right'])} {_percent(rates['undecided'])}")
            worst = max(worst, rates["wrong"])
            if known.place is not None and not more:
                held += rates["held"] * rates["right"] if rates["right"] else 0
                told += rates["right"]
        share = held / told if told else np.nan
        print(
            f"{known.name:38}", "  ".join(cells), f"  most wrong {_percent(worst)}  held {_percent(share)}", flush=True
        )
    for rise in RISES:
        cells = []
        for n_sizes, n_items, _ in settings[: len(SIZES) * len(ITEMS)]:
            found = coverage(rise, n_sizes, n_items, 3 * n_curves)
            cells.append(f"{_percent(found['held'])} {_percent(found['exact'])} {found['width']:.0f}")
        print(f"threshold, {rise:27}", "  ".join(cells), flush=True)
    alarms = (false_alarms(a, b, 3 * n_curves) for a, b, _ in settings[: len(SIZES) * len(ITEMS)])
    print("false alarms", "  ".join(map(_percent, alarms)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
