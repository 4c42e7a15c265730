"""Fourier structure on Z_p: frequencies k = 0 (the constant), 1, ..., p // 2, with angle w_k = 2 pi k / p.

* ``basis``         the orthonormal real basis, and its functions as targets of a probe
* ``spectra``       power, amplitude and phase by frequency, Gini, circles, degree-2 fits of neurons and heads
* ``logits``        the logit cube: logit cosines and explained variance
* ``losses``        restricted, excluded and trig loss: all progress measures of a network in one go
* ``significance``  which frequencies a network uses, by three named rules, each beside a null

For groups that are not cyclic: ``probe.measures.groups``.
"""

from probe.measures.cube import Progress
from probe.measures.fourier.basis import FourierTargets, fourier_basis, fourier_targets
from probe.measures.fourier.logits import logit_cosines, logit_fve, logit_fve_directions, sum_fve
from probe.measures.fourier.losses import progress, progress_of_sums
from probe.measures.fourier.significance import KeyFrequencies, by_embedding, by_logits, by_neurons, key_frequencies
from probe.measures.fourier.spectra import (
    amplitudes_and_phases,
    circle,
    circle_circularity,
    degree2_fit,
    fourier_norms,
    frequency_power,
    frequency_power_2d,
    gini,
    inverse_participation_ratio,
)

__all__ = [
    "FourierTargets",
    "KeyFrequencies",
    "Progress",
    "amplitudes_and_phases",
    "by_embedding",
    "by_logits",
    "by_neurons",
    "circle",
    "circle_circularity",
    "degree2_fit",
    "fourier_basis",
    "fourier_norms",
    "fourier_targets",
    "frequency_power",
    "frequency_power_2d",
    "gini",
    "inverse_participation_ratio",
    "key_frequencies",
    "logit_cosines",
    "logit_fve",
    "logit_fve_directions",
    "progress",
    "progress_of_sums",
    "sum_fve",
]
