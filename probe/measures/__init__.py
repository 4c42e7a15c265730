"""Pure functions: arrays in, numbers out. No model, no file, no plot.

Inputs are numpy arrays or torch tensors of any floating type on any device that has float64; sums are
accumulated in float64 and results are ``torch.float64`` tensors on the input's device, batched over leading
dimensions unless said otherwise.

* ``performance``      cross-entropy and accuracy per example, and their mean over a subset
* ``weights``          sums of squared weights by part of the model
* ``fourier``          Fourier basis, spectrum, Gini coefficient, circles
* ``progress``          the logit cube: logit cosines, explained variance, restricted and excluded loss
* ``key_frequencies``  which frequencies a network uses, by three named rules, each beside a null
* ``transition``       when a network memorized, when it generalized, and the phases between
* ``intervals``        bootstrap intervals over seeds
* ``folds``            which examples are held out together; scores, their intervals and differences
* ``moments``          means and products of activations and targets, accumulated batch by batch
* ``linear``           ridge probes of every entry and target at once, from moments
* ``classifiers``      logistic probes
* ``directions``       mass-mean and LDA directions, from moments
* ``controls``         what a probe's score is compared with: shuffled targets, a probe that is not linear
* ``sweep``            the same probe at every model, step, site, position and head of a capture

Nothing is imported here: ``from probe.measures.fourier import frequency_power`` loads torch, importing this
package does not.
"""
