"""Who is asked: models of several sizes and seeds, at several training steps.

``architecture``  sizes and options of our compact transformer; its parameters and their initial values
``format``        how a checkpoint is written, named, digested and checked
``suite``         Suite, Model and Checkpoint: what there is, without loading it
``opening``       from a path or name to the suite there
``trained``       models that were trained here
``part``          models that were trained on a mixture, as models of one of its tasks
``pretrained``    models in transformers' format, in local folders
``weight_files``  which of such a folder's files hold the weights, and their hash
``families``      what published families call their checkpoints, and how they were trained
``hub``           models on the hub, fetched one checkpoint at a time
``hub_listing``   what the hub says that it has, and the error where it says nothing
``hub_cache``     what is in the hub client's cache, or in a mirror
``statedicts``    models that are bare state dicts, a file a step
``tensorfiles``   the tensors of a weights file of others, without running what is in it
``pickles``       which class a file that is refused for it asked for
``configs``       what a config says of the model that a state dict is of
``mappings``      how the tensors of a state dict are named and laid out, and whether all of them fit
``compact``       state dicts of our compact transformer, in two layouts; its sizes from their shapes
``transformers_weights``  state dicts of GPT-NeoX and GPT-2 under transformers' names
``bridges``       models of transformers: their parameters, weights and hooks
``integrity``     whether checkpoints are what they claim to be
``spacing``       which steps are missing where the others are evenly spaced
``overview``      what there is in a suite, as a table
``hooked``        our compact transformer as a hooked model, with TransformerLens' hook names
"""

from probe.suites.opening import open_suite
from probe.suites.suite import Checkpoint, Suite

__all__ = ["Checkpoint", "Suite", "open_suite"]
