"""Hooks to arrays.

``inputs``         what is shown: a task, token ids, texts
``sites``          which hook points a pattern means
``layout``         which of them a model has, and the shape of what is there, without its weights
``positions``, ``selection``  what is kept: positions; heads, projections
``forward``        one pass over the inputs with hooks on the chosen sites only
``streaming``      checkpoints batch by batch: ``probe.stream``
``reductions``     means, second moments and largest values over examples
``planning``       what a capture will be, and what it takes on the disk
``capture_store``  a capture on disk: a group per model and step, written in chunks
``writing``        batches into the store, while the model goes on
``dataset``        a capture as a labelled dataset: ``probe.open_capture``
``capturing``      all of it: ``probe.capture``
``store``          the small arrays that probes yield, a group per model and step
"""
