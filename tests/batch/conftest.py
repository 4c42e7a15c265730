"""A run that came to its end undisturbed, for the others to be compared with."""

import pytest

from probe.batch.run import run
from tests.batch.batches import tiny_batch


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a run of ``tiny_batch()``; not to be changed."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    run(tiny_batch(), folder, workers=1, progress=False)
    return folder
