"""Which shape performance over scale has, and how sure that is.

1. Every form of ``forms`` is fitted by likelihood: normal, with the variance of the sampling error and, where values
   are off by more, of a scatter of models about the form (``fitting``). What is not what it is called is left out
   (``admission``).
2. Forms are compared by AIC, where a scatter is estimated with the correction for few sizes. Of forms of one kind the
   best counts. The probabilities are Akaike weights, exp(-AIC / 2) over their sum (Burnham & Anderson 2002, section
   2.9): of these forms, and of no others, the share of the evidence that each has. A kind that others contain as a
   limit has seldom much more than a half: those others fit no worse, and are only longer.
3. The largest sizes are held out: each form, fitted to the smaller ones, gives them a likelihood, averaged over the
   nodes of its grid by how likely they are.
4. The verdict is the simplest kind that no kind containing it improves on by more than ``CLOSE``, if all others are
   worse by ``FAR`` (Burnham & Anderson 2002, section 2.6: up to 2 there is substantial support, from 4 to 7
   considerably less). It is "undecided" if they are not; if by AIC without the correction for few sizes another kind is
   better by ``FAR``, which few sizes can neither show nor rule out; or if another kind foresaw the largest sizes and it
   did not.

"flat" says that no change was seen: by ``change``, how large one may have been missed.

Measured on 100 curves each, over five decades of size (``tests/measures/scale/verdict_rates.py``): percent right and
percent undecided, the rest wrong, with 6, 8 and 12 sizes and 50, 200 and 1000 items a size.

====================================  =======  =======  =======  =======  =======  =======  =======  =======  =======
curve, u from 0 to 1                  6, 50    6, 200   6, 1000  8, 50    8, 200   8, 1000  12, 50   12, 200  12, 1000
====================================  =======  =======  =======  =======  =======  =======  =======  =======  =======
flat, .25                              92   7   93   6   90   9   89  11   89  10   87  13   93   7   91   9   92   8
flat, .02                             100   0   94   5   92   7  100   0   93   7   93   7  100   0   95   5   95   5
power law, .8 - .55 exp(-3 u)          61  39   98   2   97   3   60  38   93   6   95   3   70  30   88  12   96   3
line, .25 + .5 u                       69  29   99   1   95   2   66  34   96   4   89  10   87  13   94   6   96   4
line, .3 + .1 u                         0  27    5  55   44  55    3  28    5  78   57  43    2  41    8  80   67  32
logistic, .1 to .8 at .55, width .08   28  65   94   6  100   0   12  84   71  29  100   0   10  90   90  10  100   0
logistic, .1 to .9 at .6, width .15     9  53   40  59  100   0    1  76   11  89   89  11    2  88   10  90   77  23
broken, slopes .1 and 1.4 at .6         0  98    2  98   50  50    2  97    3  97   59  39    1  98    9  91   60  39
broken, level and 1.2 at .6             0  96    1  97    1  98    0  93    3  95   38  59    0 100    1  97   45  55
jump, .05 to .6 at .6                  31  68   89  11   89  11   79  21   96   4   96   3   92   7   91   6  100   0
jump, 0 to .2 at the largest           73  14  100   0  100   0   70  19  100   0  100   0   64  20  100   0  100   0
U, .35 + (u - .55)^2                   15  73   82  18  100   0   17  74   73  27   91   9   26  68   80  20   89  11
inverted U, .6 - abs(u - .5)           98   1  100   0  100   0   98   2  100   0  100   0   99   1   99   1  100   0
====================================  =======  =======  =======  =======  =======  =======  =======  =======  =======

With 200 items or more 3 % of the verdicts or fewer are wrong, but for a rise of .1, which takes 1000 items not to be
told to be flat; with 50 items up to 38 % are of a wide logistic, 16 % of a last jump and 12 % of a U. The same with
1000 items where models scatter by .15 in logits (about .03), with standard errors and with none given:

====================================  =======  =======  =======  =======
curve, u from 0 to 1                  8 with   12 with  8 none   12 none
====================================  =======  =======  =======  =======
flat, .25                              68  23   73  12   81   9   73  10
flat, .02                              84  15   78  20   80   9   84  10
power law, .8 - .55 exp(-3 u)          53  30   82  14   56  43   86  14
line, .25 + .5 u                       71  21   86  13   91   9   90  10
line, .3 + .1 u                        23  41   21  55   38  31   31  46
logistic, .1 to .8 at .55, width .08   57  43   89  11   22  78   82  18
logistic, .1 to .9 at .6, width .15    33  63   26  74    4  93   20  78
broken, slopes .1 and 1.4 at .6        31  59   14  79   16  73   12  79
broken, level and 1.2 at .6            16  63   14  78    5  87   11  84
jump, .05 to .6 at .6                  82   5   97   2   81  17   93   6
jump, 0 to .2 at the largest          100   0  100   0  100   0  100   0
U, .35 + (u - .55)^2                   71  28   85  15   76  23   87  13
inverted U, .6 - abs(u - .5)           93   7   98   2   98   2  100   0
====================================  =======  =======  =======  =======

Of 5 sizes breaks are never told, the others as of 6. Where the verdict was right, 95 % intervals held the midpoint in
98 to 100 %, the break in 91 to 98 %, the turn in 95 to 99 % and the jump in 100 % of the cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.special import logsumexp

from probe.measures.intervals import Interval, check_confidence
from probe.measures.scale.admission import admitted
from probe.measures.scale.fitting import Fit, aic, criterion_of, fit_all
from probe.measures.scale.forms import CONTAINED_IN, KINDS
from probe.measures.scale.noise import Sizes, check_chance, checked_sizes
from probe.measures.scale.places import change_of, exponent_of, place_of
from probe.measures.scale.turns import turn_of_few

MIN_SIZES = 5
"""Sizes from which on forms can be compared."""
MANY_SIZES = 7
"""Sizes below which the correction for few sizes rules out so much that a turn is also looked for directly."""
CLOSE = 2.0
"""AIC by which a kind may be worse than one that contains it, and is still the simpler description."""
FAR = 6.0
"""AIC by which a kind is worse than the verdict to be ruled out: a relative likelihood of .05."""
_FORESEEN = 3.0  # in log likelihood, by how much another kind has to foresee the largest sizes better
_SURPRISED = 0.999  # quantile of chi squared beyond which a kind has not foreseen them


@dataclass(frozen=True)
class Shape:
    """The shape of performance over scale.

    Attributes:
        kind: the verdict: "power_law", "logistic", "broken", "u_shape", "inverted_u", "jump", "flat" or "undecided".
        probabilities: Akaike weight of every kind, 1 in all; all nan where there are too few sizes to compare them.
        likeliest: the simplest kind about as good as the best, also where the verdict is "undecided"; what follows is
            about it.
        reason: why it is undecided; "" where it is not.
        place: scale at which it changes, with its interval: midpoint of a logistic, break, turn; of a jump the first
            size after it, between the last one that may be before it and the first that may be after. None for others.
        exponent: b of a power law, scale^-b, with its interval; 0 is a straight line in log scale. None for others.
        change: of a flat curve, how much a straight line in log scale changes from the smallest size to the largest,
            with its interval: what may have been missed. None for others.
        fitted: values of the form at each size, in the order given.
        excess: scatter about the form beyond sampling error, a standard deviation in units of the values, the root mean
            square of the sizes; all of the scatter where no sampling error was given.
        held_out: log likelihood of the largest sizes by each kind, fitted to the others; nan where there are too few.
        n: sizes.
    """

    kind: str
    probabilities: dict[str, float]
    likeliest: str
    reason: str
    place: Interval | None
    exponent: Interval | None
    change: Interval | None
    fitted: Float[np.ndarray, " size"]
    excess: float
    held_out: dict[str, float]
    n: int


def shape(scale: Any, value: Any, stderr: Any = None, chance: float | None = None, confidence: float = 0.95) -> Shape:
    """Tell the shape of performance over scale.

    Fewer than 5 sizes are undecided, with one exception: of 3 or more with standard errors a turn beyond sampling error
    is told (``turns``), with no probability of it; so it is of 5 and 6, where the probabilities decide nothing.

    Args:
        scale: parameters, FLOPs, tokens or steps of each model; in any order, each once.
        value: performance of each: shares, scores or losses.
        stderr: standard error of each by its items, or one for all; None if unknown. Shares of which none or all are
            right have one of 0, which is not taken at its word (``noise``).
        chance: value before anything is learned, if known: logistic and jump may then begin at it.
        confidence: of the intervals.

    Raises:
        ValueError: one size only, one that is missing or given twice, something that is not finite, or values in
            percent beside a chance level that is a share.
    """
    sizes = checked_sizes(scale, value, stderr)
    check_confidence(confidence)
    if len(sizes.x) < 2:
        raise ValueError("scale: one size given, expected several: one has no shape")
    if chance is not None:
        check_chance(chance, sizes.value)
    if len(sizes.x) < MIN_SIZES:
        return _of_few(sizes)
    u = sizes.unit
    fits = fit_all(u, sizes, chance)
    every = _best_of_kinds(fits)
    of_kinds = {kind: fit for kind, fit in every.items() if admitted(fit, every["flat"], sizes)}
    criterion = {kind: criterion_of(fit) for kind, fit in of_kinds.items() if np.isfinite(criterion_of(fit))}
    plain = {kind: aic(fit) for kind, fit in of_kinds.items()}
    best_plain = min(plain, key=lambda kind: plain[kind])
    likeliest = _simplest(criterion) if criterion else best_plain
    held_out, surprise = _held_out(u, sizes, chance)
    if plain[likeliest] - plain[best_plain] > FAR or not criterion:
        reason = f"{best_plain} fits best, with more parameters than {len(u)} sizes can bear"
        likeliest = best_plain
    else:
        reason = _rivals(likeliest, criterion) or _foreseen(likeliest, len(u), held_out, surprise)
    turn = turn_of_few(sizes) if reason and len(u) < MANY_SIZES else "undecided"
    if turn in every:
        likeliest, reason = turn, ""
    fit = every[likeliest]
    curve = next((one for one in fits if len(one.form.nodes.get("exponent", ())) > 1), fit)
    fitted = np.empty(len(u))
    fitted[sizes.order] = fit.at(u)
    return Shape(
        kind="undecided" if reason else likeliest,
        probabilities=_weights(criterion),
        likeliest=likeliest,
        reason=reason,
        place=place_of(fit, sizes, confidence),
        exponent=exponent_of(curve, sizes, confidence) if likeliest == "power_law" else None,
        change=change_of(sizes, confidence) if likeliest == "flat" else None,
        fitted=fitted,
        excess=fit.excess(sizes),
        held_out=held_out,
        n=len(u),
    )


def _of_few(sizes: Sizes) -> Shape:
    none = dict.fromkeys(KINDS, np.nan)
    kind = turn_of_few(sizes)
    value = np.empty(len(sizes.x))
    value[sizes.order] = sizes.value
    reason = "" if kind != "undecided" else f"{len(sizes.x)} sizes; to compare forms takes {MIN_SIZES}"
    return Shape(kind, none, kind, reason, None, None, None, value, np.nan, none, len(sizes.x))


def _simplest(criterion: dict[str, float]) -> str:
    """The best kind, or one that it contains and that is not worse by more than ``CLOSE``: of these the best again."""
    best = min(criterion, key=lambda kind: criterion[kind])
    close = [kind for kind in criterion if best in CONTAINED_IN[kind] and criterion[kind] <= criterion[best] + CLOSE]
    if not close:
        return best
    within = [kind for kind in close if not any(other in close for other in _contained(kind))]
    return min(within, key=lambda kind: criterion[kind])


def _contained(kind: str) -> list[str]:
    return [other for other in KINDS if kind in CONTAINED_IN[other]]


def _weights(criterion: dict[str, float]) -> dict[str, float]:
    """Akaike weights of all kinds; 0 of those that were not admitted."""
    if not criterion:
        return dict.fromkeys(KINDS, np.nan)
    least = min(criterion.values())
    weights = {kind: float(np.exp((least - of_kind) / 2)) for kind, of_kind in criterion.items()}
    total = sum(weights.values())
    return {kind: weights.get(kind, 0.0) / total for kind in KINDS}


def _best_of_kinds(fits: list[Fit]) -> dict[str, Fit]:
    """Of each kind the fit of the least AIC, or where none has one of the greatest likelihood."""
    best: dict[str, Fit] = {}
    for fit in fits:
        other = best.get(fit.form.kind)
        if other is None or (criterion_of(fit), -fit.largest) < (criterion_of(other), -other.largest):
            best[fit.form.kind] = fit
    return best


def _held_out(
    u: Float[np.ndarray, " size"], sizes: Sizes, chance: float | None
) -> tuple[dict[str, float], dict[str, float]]:
    """Log likelihood of the largest quarter of the sizes by each kind, and its squared surprise."""
    n_held = max(1, len(u) // 4)
    n = len(u) - n_held
    later = sizes.value[n:]
    variance = None if sizes.variance is None else sizes.variance[n:]
    likelihood, surprise = dict.fromkeys(KINDS, np.nan), dict.fromkeys(KINDS, np.inf)
    for kind, fit in _best_of_kinds(fit_all(u[:n], sizes.first(n), chance)).items():
        log_weight, mean, spread = fit.ahead(u[n:], variance)
        log_density = -(((later - mean) / spread) ** 2 + np.log(2 * np.pi * spread**2)).sum(1) / 2
        likelihood[kind] = float(logsumexp(log_weight + log_density))
        weight = np.exp(log_weight)
        middle = weight @ mean
        surprise[kind] = float(((later - middle) ** 2 / (weight @ (spread**2 + (mean - middle) ** 2))).sum())
    return likelihood, surprise


def _rivals(likeliest: str, criterion: dict[str, float]) -> str:
    """Which other kind is not ruled out; "" if all are."""
    for kind in sorted(criterion, key=lambda kind: criterion[kind]):
        margin = -CLOSE if kind in CONTAINED_IN[likeliest] else FAR
        gap = criterion[kind] - criterion[likeliest]
        if kind != likeliest and gap < margin:
            return f"{likeliest} or {kind}: AIC of the latter {'more' if gap >= 0 else 'less'} by {abs(gap):.1f}"
    return ""


def _foreseen(likeliest: str, n: int, held_out: dict[str, float], surprise: dict[str, float]) -> str:
    """Which other kind foresaw the largest sizes where this one did not; "" if none. No jump can be foreseen."""
    n_held = max(1, n // 4)
    limit = stats.chi2.ppf(_SURPRISED, n_held)
    for kind, likelihood in held_out.items() if likeliest != "jump" else ():
        better = likelihood - held_out[likeliest]
        if surprise[kind] < limit <= surprise[likeliest] and better > _FORESEEN:
            return f"{kind} foresees the largest {n_held} sizes, {likeliest} does not"
    return ""
