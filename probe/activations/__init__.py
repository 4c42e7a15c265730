"""Hooks to arrays.

``sites``    which hook points a pattern means
``forward``  one pass over the inputs with hooks on the chosen sites only
``store``    labelled arrays on disk, a group per model and step
"""
