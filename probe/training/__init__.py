"""How our own suites come to be: one compact transformer, trained as an ensemble.

``architecture``  sizes and options of a model; names, shapes and initial values of its parameters
``program``       the training-time forward pass of all members at once, computing only what the loss needs
``settings``      optimizer, batch, steps, checkpoint schedule
``ensemble``      members of one shape trained together: step, checkpoint, resume
"""
