"""What a batch runs on one checkpoint: names the hooks it needs, calls measures, yields rows.

``base``         Probe, Observation, Row, Array
``registry``     probes by name, from entry points or ``module:Name``
``performance``  loss and accuracy
``weights``      sums of squared weights
``spectra``      Fourier spectra and circles of the weights
``linear``       what can be read linearly from the residual stream
``progress``     key frequencies, restricted and excluded loss, explained variance of the logits
"""

from probe.probes.base import Array, Observation, Probe, Row

__all__ = ["Array", "Observation", "Probe", "Row"]
