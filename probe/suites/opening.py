"""From a path or a name to the suite there."""

from probe.suites.suite import Suite
from probe.suites.trained import read_trained


def open_suite(path: str) -> Suite:
    """The suite in a folder (local path or fsspec URL) of models with ``config.json`` and weights per step.

    Raises:
        ValueError: there is no model in it; the message says what is looked for.
    """
    folder = str(path).rstrip("/")
    models = read_trained(folder)
    if not models:
        raise ValueError(f"path: {folder} holds no suite; expected folders that each hold a config.json and weights")
    return Suite.of(folder, models)
