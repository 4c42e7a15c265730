"""Who is asked: models of several sizes and seeds, at several training steps.

``architecture``  sizes and options of our compact transformer; its parameters and their initial values
``format``        how a checkpoint is written, named, digested and checked
``suite``         Suite and Checkpoint: what there is, without loading it
``hooked``        our compact transformer as a hooked model, with TransformerLens' hook names
"""

from probe.suites.suite import Checkpoint, Suite, open_suite

__all__ = ["Checkpoint", "Suite", "open_suite"]
