"""How a representation of tokens is laid out, whatever its axes; controls by shuffling.

* ``nulls``           any of these measures beside the same measure on shuffled copies
* ``parallelograms``  representation quality: equal sums make parallelograms
* ``neighbours``      tokens that are near for the task are near in the representation
* ``similarity``      CKA and Procrustes between steps, seeds and sizes
* ``spread``          effective rank, participation ratio
* ``dimension``       intrinsic dimension of the cloud of points
* ``planes``          principal components, and the same picture at every step
"""

from probe.measures.representation.dimension import IntrinsicDimension, levina_bickel, two_nn
from probe.measures.representation.neighbours import cyclic_distances, neighbour_agreement
from probe.measures.representation.nulls import Compared, compared_with_null
from probe.measures.representation.parallelograms import parallelogram_quality
from probe.measures.representation.planes import PrincipalComponents, aligned_planes, principal_components
from probe.measures.representation.similarity import debiased_cka, linear_cka, procrustes_distance
from probe.measures.representation.spread import effective_rank, participation_ratio

__all__ = [
    "Compared",
    "IntrinsicDimension",
    "PrincipalComponents",
    "aligned_planes",
    "compared_with_null",
    "cyclic_distances",
    "debiased_cka",
    "effective_rank",
    "levina_bickel",
    "linear_cka",
    "neighbour_agreement",
    "parallelogram_quality",
    "participation_ratio",
    "principal_components",
    "procrustes_distance",
    "two_nn",
]
