"""Frequencies: which neurons and heads compute with which Fourier frequency, and what the answer loses without them.

For models of a task whose operation is an addition in Z_n after renaming its tokens (``task.cyclic_form``).

``asking``    all questions in the order of that addition, answered with neurons replaced or as they are
``clusters``  the best frequency of each neuron and head; neurons of one frequency are its cluster
``path``      each frequency from the embedding through attention and neurons to the logits
``ablating``  the neurons of one frequency ablated, beside the excluded loss and random neurons
``figures``   pictures of these

All measures are those of ``probe.measures.fourier``.
"""

from typing import TYPE_CHECKING

from probe.lazily import imported_on_use

if TYPE_CHECKING:
    from circuits.frequency.ablating import FrequencyAblation, ablate_frequencies
    from circuits.frequency.clusters import FrequencyClusters, frequency_clusters
    from circuits.frequency.path import FrequencyPath, frequency_path

_HOME = {
    "FrequencyAblation": "circuits.frequency.ablating",
    "FrequencyClusters": "circuits.frequency.clusters",
    "FrequencyPath": "circuits.frequency.path",
    "ablate_frequencies": "circuits.frequency.ablating",
    "frequency_clusters": "circuits.frequency.clusters",
    "frequency_path": "circuits.frequency.path",
}

__all__ = [
    "FrequencyAblation",
    "FrequencyClusters",
    "FrequencyPath",
    "ablate_frequencies",
    "frequency_clusters",
    "frequency_path",
]

__getattr__, __dir__ = imported_on_use(__name__, _HOME)
