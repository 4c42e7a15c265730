"""Who is asked: models of several sizes and seeds, at several training steps.

``architecture``  sizes and options of our compact transformer; its parameters and their initial values
``format``        how a checkpoint is written, named, digested and checked
``suite``         Suite, Model and Checkpoint: what there is, without loading it
``opening``       from a path or name to the suite there
``trained``       models that were trained here
``hooked``        our compact transformer as a hooked model, with TransformerLens' hook names
"""

from probe.suites.opening import open_suite
from probe.suites.suite import Checkpoint, Suite

__all__ = ["Checkpoint", "Suite", "open_suite"]
