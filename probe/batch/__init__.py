"""batch.yaml -> plan -> run -> results table.

``source``    YAML with line numbers; what is wrong with a file, line by line
``expected``  what the JSON Schema of a model asks for, in words
``models``    which models a batch is about: a suite that it trains, or one that is there
``schema``    what a batch file may say
``plan``      a batch as jobs: what to train, which units of work to measure
``measure``   one unit of work: a checkpoint, its probes, one forward pass
``run``       the jobs, in parallel, resumable, with progress
``results``   what a run folder holds: the table, the arrays, how far it is
``bundled/``  batches that come with the package
"""
