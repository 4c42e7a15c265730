"""Memory itself: which facts a model knows by heart, how many exposures that took, and how many bits that is.

* ``exactness``    whether an answer is right to the last token, and M, the share of facts of which that is so
* ``beyond_rule``  M*, what is right on trained facts beyond what a rule gets right, and memory by poison
* ``separation``   how well losses tell facts that were shown from others
* ``exposures``    T(N, tau), and the exposures that each fact took
* ``survival``     the share learned by so many exposures where some facts, or seeds, never got there
* ``power_law``    T against the number of parameters
* ``forgetting``   what is left after the last exposure
* ``capacity``     bits held of a set of data
* ``saturation``   where they stop growing with the data

And what it depends on:

* ``frequency``        what is known in bins of exposures, and as a curve that never falls
* ``exposure_slopes``  how it rises with every doubling of exposures, and after how many half is known
* ``gap``              the most frequent tenth of the operands, pairs, or operands and answers against the least
* ``ranks``            Spearman's correlation of exposures and what is known
* ``difficulty``       the slope at equal difficulty, of the ``features`` of arithmetic facts
* ``contrast``         24 x 18 against 23 x 18, multiples against their neighbours
* ``extraction``       which texts are recited, by the length of the prompt and by duplicates
* ``counterfactual``   what is known of an example for having been trained on it

``arguments`` checks what these are given, ``clustered`` allows for facts that share an operand, ``logistic_model`` is
their regression.
"""

from probe.measures.memorization.arguments import Estimate
from probe.measures.memorization.beyond_rule import BeyondRule, PoisonMemory, memory_beyond_rule, poison_memory
from probe.measures.memorization.capacity import MemorizedBits, recovered_bits, unintended_bits
from probe.measures.memorization.contrast import (
    NeighbourContrast,
    OperandContrast,
    neighbour_contrast,
    operand_contrast,
)
from probe.measures.memorization.counterfactual import CounterfactualMemorization, counterfactual_memorization
from probe.measures.memorization.difficulty import EqualDifficulty, fit_equal_difficulty
from probe.measures.memorization.exactness import (
    AnswerCorrectness,
    answers_correct,
    memorized_share,
    share_over_seeds,
)
from probe.measures.memorization.exposure_slopes import (
    ExposureLine,
    ExposureLogistic,
    fit_exposure_line,
    fit_exposure_logistic,
)
from probe.measures.memorization.exposures import (
    ExposuresToMemorize,
    FactExposures,
    exposures_to_memorize,
    fact_exposures,
)
from probe.measures.memorization.extraction import Extraction, MemorizationScore, extractable_texts, memorization_score
from probe.measures.memorization.features import arithmetic_features
from probe.measures.memorization.forgetting import Forgetting, fit_forgetting
from probe.measures.memorization.frequency import (
    ByExposure,
    RisingAccuracy,
    accuracy_by_exposure,
    rising_accuracy,
    score_by_exposure,
)
from probe.measures.memorization.gap import FrequencyGap, frequency_gap
from probe.measures.memorization.power_law import PowerLaw, fit_power_law
from probe.measures.memorization.ranks import rank_correlation
from probe.measures.memorization.saturation import Capacity, fit_capacity
from probe.measures.memorization.separation import LossSeparation, loss_separation
from probe.measures.memorization.survival import LearnedCurve, kaplan_meier

__all__ = [
    "AnswerCorrectness",
    "BeyondRule",
    "ByExposure",
    "Capacity",
    "CounterfactualMemorization",
    "EqualDifficulty",
    "Estimate",
    "ExposureLine",
    "ExposureLogistic",
    "ExposuresToMemorize",
    "Extraction",
    "FactExposures",
    "Forgetting",
    "FrequencyGap",
    "LearnedCurve",
    "LossSeparation",
    "MemorizationScore",
    "MemorizedBits",
    "NeighbourContrast",
    "OperandContrast",
    "PoisonMemory",
    "PowerLaw",
    "RisingAccuracy",
    "accuracy_by_exposure",
    "answers_correct",
    "arithmetic_features",
    "counterfactual_memorization",
    "exposures_to_memorize",
    "extractable_texts",
    "fact_exposures",
    "fit_capacity",
    "fit_equal_difficulty",
    "fit_exposure_line",
    "fit_exposure_logistic",
    "fit_forgetting",
    "fit_power_law",
    "frequency_gap",
    "kaplan_meier",
    "loss_separation",
    "memorization_score",
    "memorized_share",
    "memory_beyond_rule",
    "neighbour_contrast",
    "operand_contrast",
    "poison_memory",
    "rank_correlation",
    "recovered_bits",
    "rising_accuracy",
    "score_by_exposure",
    "share_over_seeds",
    "unintended_bits",
]
