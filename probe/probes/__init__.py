"""What a batch runs on one checkpoint: names the hooks it needs, calls measures, yields rows.

``base``         Probe, Observation, Row, Array
``registry``     probes by name, from entry points or ``module:Name``
``performance``  loss and accuracy
``weights``      sums of squared weights
``spectra``      Fourier spectra and circles of the weights
``linear``       what can be read linearly from the residual stream
``fourier``      key frequencies, progress measures of the logits, frequencies of neurons and heads
``groups``       the same by irreducible representations, for any finite group
"""

from probe.probes.base import Array, Observation, Probe, Row

__all__ = ["Array", "Observation", "Probe", "Row"]
