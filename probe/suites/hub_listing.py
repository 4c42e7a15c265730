"""What the hub says that it has, before anything is fetched: revisions, files, sizes, hashes."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from probe.suites.families import by_step
from probe.suites.hub_cache import MAIN, cached_places

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

_PATIENCE = 5
"""How often the hub is asked again when it says that it was asked too often."""
_Answer = TypeVar("_Answer")


class HubUnreachableError(OSError):
    """Something is needed that is not in the cache, and the hub gives no answer or is not to be asked."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a revision.

    Attributes:
        size: bytes.
        sha256: of its content; None for a small file, which the hub hashes in another way.
    """

    size: int
    sha256: str | None


def list_places(repo: str) -> Mapping[int, str]:
    """The revision (branch or tag) of each step; ``main`` at 0 where no name says a step.

    Raises:
        ValueError: there is no such repository, or two revisions are at the same step.
        Exception: the hub gives no answer; see ``asking``.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        _info(repo, None)  # first, because it gives up after a while, and what follows never does
        refs = _patiently(lambda: HfApi().list_repo_refs(repo))
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"address: got {repo!r}; there is no such folder, and on the hub no such repository"
            f" (one that is private or gated needs `hf auth login`): {first_line(error)}"
        ) from error
    return by_step({ref.name for ref in (*refs.branches, *refs.tags)}) or {0: MAIN}


def list_files(repo: str, revision: str) -> Mapping[str, RemoteFile]:
    """The files of a revision, by name."""
    return {
        file.rfilename: RemoteFile(file.size or 0, file.lfs.sha256 if file.lfs else None)
        for file in _info(repo, revision).siblings or ()
    }


@contextmanager
def asking(repo: str, cache: str, missing: str, offline: str | None = None) -> Iterator[None]:
    """Turn a failure to reach the hub into one that says what is cached and what is missing.

    Args:
        repo: ``Org/name``.
        cache: folder that is looked into.
        missing: what is asked for.
        offline: why the hub is not to be asked at all; None if it is.
    """
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError

    if offline is not None:
        raise unreachable(repo, cache, missing, offline)
    try:
        yield
    except (HTTPError, ConnectionError, LocalEntryNotFoundError) as error:
        raise unreachable(repo, cache, missing, first_line(error)) from error


def unreachable(repo: str, cache: str, missing: str, why: str) -> HubUnreachableError:
    return HubUnreachableError(
        f"hub: {repo} cannot be fetched ({why}); missing: {missing};"
        f" cached in {cache}: {listed(tuple(cached_places(cache, repo)))}"
    )


def listed(steps: Sequence[int]) -> str:
    """Steps as a message names them: of many, the first and the last."""
    shown = [str(step) for step in steps]
    if len(shown) > 12:
        shown = [*shown[:10], "...", shown[-1]]
    return f"steps {', '.join(shown)}" if shown else "nothing"


def _info(repo: str, revision: str | None) -> "ModelInfo":
    from huggingface_hub import HfApi, constants

    timeout = constants.HF_HUB_ETAG_TIMEOUT
    return _patiently(lambda: HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=timeout))


def _patiently(ask: Callable[[], _Answer]) -> _Answer:
    """The hub's answer; where it says that it was asked too often, after the wait that it asks for."""
    from huggingface_hub.errors import HfHubHTTPError

    for _ in range(_PATIENCE):
        try:
            return ask()
        except HfHubHTTPError as error:
            if error.response.status_code != 429:
                raise
            time.sleep(float(error.response.headers.get("Retry-After", 60)))
    return ask()


def first_line(error: BaseException) -> str:
    """Kind of an error and how its message begins: what the hub's client says goes on for several lines."""
    return next((f"{type(error).__name__}: {line}" for line in str(error).splitlines() if line), type(error).__name__)
