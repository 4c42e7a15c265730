"""Pure functions: arrays in, numbers out. No model, no file, no plot.

Inputs are numpy arrays or torch tensors of any floating type on any device that has float64; sums are
accumulated in float64 and results are ``torch.float64`` tensors on the input's device, batched over leading
dimensions unless said otherwise.

* ``arrays``           what a measure is given, checked
* ``performance``      cross-entropy and accuracy per example, and their mean over a subset
* ``weights``          sums of squared weights by part of the model
* ``fourier``          Fourier structure on Z_p: spectra, key frequencies, logit cosines, restricted and excluded loss
* ``groups``           the same for any finite group, by irreducible representations
* ``cube``             the logit cube of a group's operation, on which both rest
* ``surviving``        what is still known when part of a network is taken away
* ``algorithm``        clock or pizza: symmetricity, irrelevance, circularity
* ``representation``   parallelograms, neighbours, dimension, similarity between steps and sizes, each beside a null
* ``transition``       from curves to dates: phases, change points, lead times, early warning, critical fraction
* ``complexity``       learning coefficient, curvature of the loss, number of linear mappings
* ``intervals``        intervals over seeds: by bootstrap, and Student's
* ``shares``           intervals of shares: exact, and Wilson's
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
