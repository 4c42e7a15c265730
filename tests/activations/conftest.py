import pytest

from tests.activations.small_suite import write_suite


@pytest.fixture(scope="session")
def suite(tmp_path_factory):
    """Two sizes at three steps."""
    return write_suite(tmp_path_factory.mktemp("suite"))
