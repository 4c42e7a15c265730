"""The measures of a model that have no figure of their own: what they are called, drawn on, and what they mean."""

from typing import Literal, NamedTuple

Scale = Literal["share", "log", "linear"]


class Meaning(NamedTuple):
    """Title and unit of a measure, the scale of its axis, and a clause that defines it, for captions."""

    title: str
    unit: str
    scale: Scale
    clause: str = ""


_EXPLAINED = "2 r - 1, r the correlation of the logits with"
MEASURES = {
    ("algorithm", "gradient_symmetricity"): Meaning(
        "gradient symmetricity", "cosine", "share",
        "cosine of a logit's gradients by the two operands' embeddings, 1 where they are treated alike, as by a pizza",
    ),
    ("algorithm", "distance_irrelevance"): Meaning(
        "distance irrelevance", "share of the spread", "share",
        "spread of the right logit over inputs of one a - b, as a share of that over all inputs, 0 in an ideal pizza",
    ),
    ("algorithm", "circularity"): Meaning(
        "circularity of W_E (first 4 components)", "share", "share",
        "mean over the first four principal components of W_E of the largest share that one frequency has of each"
        " (Zhong et al. 2023); not that of one frequency's circle",
    ),
    ("algorithm", "clock_fve"): Meaning(
        "logit FVE as a clock", "2 r - 1 (negative: r below .5)", "share",
        f"{_EXPLAINED} the cosines of the key frequencies, from -1 to 1",
    ),
    ("algorithm", "pizza_fve"): Meaning(
        "logit FVE as a pizza", "2 r - 1 (negative: r below .5)", "share",
        "the same with those cosines times |cos w(a - b)/2|",
    ),
    ("representation", "effective_rank"): Meaning(
        "effective rank of W_E", "dimensions", "linear", "exp of the entropy of the singular values' shares",
    ),
    ("representation", "participation_ratio"): Meaning(
        "participation ratio of W_E", "dimensions", "linear",
        "(sum v)² / sum v² of the variances v along principal components",
    ),
    ("representation", "intrinsic_dimension"): Meaning(
        "intrinsic dimension of W_E (TwoNN)", "dimensions", "linear",
        "from the ratio of distances to the second and the first neighbour",
    ),
    ("representation", "parallelogram_quality"): Meaning(
        "parallelograms of W_E that close", "share", "share",
        "of the pairs of pairs with one answer, those whose embeddings have nearly one sum",
    ),
    ("representation", "neighbour_agreement"): Meaning(
        "neighbours round the circle of k", "share of neighbours", "share",
        "of a token's nearest tokens in W_E, those that are nearest to it in the order of k t mod n",
    ),
    ("representation", "cka_with_last"): Meaning(
        "CKA of W_E with the last step's", "CKA", "share",
        "similarity of the tokens' inner products to those of the last step, 1 if alike, about 0 if unrelated",
    ),
    ("representation", "procrustes_from_last"): Meaning(
        "procrustes distance from the last W_E", "distance", "share",
        "what the best rotation leaves between the two, both of norm 1: 0 to 1.41",
    ),
    ("complexity", "llc"): Meaning(
        "local learning coefficient", "coefficient", "linear",
        "how fast the volume of weights of nearly the same training loss shrinks, sampled around these weights; with a"
        " meaning only at a minimum of the loss, so not before memorization",
    ),
    ("complexity", "llc_r_hat"): Meaning(
        "R-hat of the learning coefficient", "R-hat", "linear",
        "how far its sampling chains disagree, 1 if they agree",
    ),
    ("complexity", "hessian_top"): Meaning(
        "largest eigenvalue of the Hessian", "eigenvalue", "log", "largest curvature of the training loss",
    ),
    ("complexity", "regions"): Meaning(
        "activation patterns that occur", "patterns", "linear", "sets of neurons above 0 that some input has",
    ),
    ("complexity", "effective_regions"): Meaning(
        "effective number of activation patterns", "patterns", "linear", "2^entropy of how many inputs have each",
    ),
    ("complexity", "linear_mapping_number"): Meaning(
        "linear mapping number", "linear mappings", "linear",
        "2^entropy of how straight the logits are on the lines between inputs, 1 for one linear mapping (Liu et al."
        " 2023)",
    ),
    ("fourier_probe", "r2"): Meaning(
        "linear probe of cos, sin of the answer", "held-out R²", "share",
        "ridge regression of cos and sin of w times the answer on the residual stream",
    ),
    ("fourier_probe", "selectivity"): Meaning(
        "selectivity of the linear probe", "R² above shuffled", "share",
        "that R² less the one for answers that exchanged their targets",
    ),
}  # fmt: skip


def meaning_of(probe: str, metric: str) -> Meaning:
    """The meaning of a measure; its own name where nobody said more."""
    title = metric.replace("_", " ")
    return MEASURES.get((probe, metric), Meaning(title, title, "linear"))
