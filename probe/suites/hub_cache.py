"""What is in a folder of the hub's layout: its client's cache, or a mirror of it. Nothing here reaches the network.

``models--Org--name/`` has ``refs/<revision>`` (a commit) and ``snapshots/<commit>/<file>``, each file a link to
``blobs/<hash>``, which is the file's SHA-256 where it is large.
"""

from pathlib import Path

from probe.suites.families import by_step, training_of
from probe.suites.weight_files import weights_in

MAIN = "main"
"""The revision that every repository has."""


def snapshot(cache: str, repo: str, revision: str) -> Path | None:
    """The folder with those files of a revision that are there; None if none is."""
    try:
        commit = _ref(cache, repo, revision).read_text().strip()
    except OSError:
        return None
    folder = _repo_folder(cache, repo) / "snapshots" / commit
    return folder if folder.is_dir() else None


def has_weights(cache: str, repo: str, revision: str) -> bool:
    """Whether the configuration and all weights of a revision are there."""
    folder = snapshot(cache, repo, revision)
    return folder is not None and bool(weights_in(folder))


def cached_places(cache: str, repo: str) -> dict[int, str]:
    """The revision of each step of which all weights are there, steps ascending.

    Where no revision's name says a step, ``main`` is at 0, unless the family is known to have steps: there ``main`` is
    the last of them, and the cache does not say which that is.

    Raises:
        ValueError: two revisions are at the same step.
    """
    refs = _repo_folder(cache, repo) / "refs"
    names = [ref.name for ref in refs.glob("*") if has_weights(cache, repo, ref.name)]
    places = by_step(names)
    if not places and MAIN in names and not training_of(repo).has_steps:
        return {0: MAIN}
    return places


def forget_empty(cache: str, repo: str, revision: str) -> None:
    """Remove the name of a revision of which no file came: the hub's client would take the cache for damaged."""
    if snapshot(cache, repo, revision) is None:
        _ref(cache, repo, revision).unlink(missing_ok=True)


def _repo_folder(cache: str, repo: str) -> Path:
    return Path(cache) / f"models--{repo.replace('/', '--')}"


def _ref(cache: str, repo: str, revision: str) -> Path:
    return _repo_folder(cache, repo) / "refs" / revision
