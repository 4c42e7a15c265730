"""How our own suites come to be: one compact transformer, trained as an ensemble.

``program``   the training-time forward pass of all members at once, computing only what the loss needs
``settings``  optimizer, batch, steps, checkpoint schedule
``exposure``  how often each example has been shown by a step
``ensemble``  members of one shape trained together, step by step
``run``       an ensemble trained into a suite folder: checkpoints, resume
"""
