"""Models on the hub: a repository a model, a branch or tag a step, fetched one checkpoint at a time.

A checkpoint is fetched into the cache of the hub's client when it is first used, after saying how large it is and
making sure that there is room, and may be deleted after use. What is cached is not asked for again. With
``HF_HUB_OFFLINE=1``, or from a mirror (a folder laid out as the cache is), there is what is there, and the network is
not touched.
"""

import errno
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

from probe.storage import free_space, readable_size
from probe.suites.families import Training, training_of
from probe.suites.hub_cache import cached_places, forget_empty, has_weights, snapshot
from probe.suites.hub_listing import (
    HubUnreachableError,
    RemoteFile,
    asking,
    first_line,
    list_files,
    list_places,
    listed,
    unreachable,
)
from probe.suites.pretrained import PretrainedModel
from probe.suites.weight_files import CONFIG, digest_of, has_tokenizer, weights_among, weights_in
from probe.tasks import Task

_NAME = re.compile(r"\w[\w.-]*/[\w.-]+")
_BRACES = re.compile(r"\{([^{}]*)\}")
_SMALL = ("*.json", "*.txt", "*.model")
"""Files that come with weights: the configuration, the tokenizer's, and the index of weights in several files."""


@dataclass(frozen=True, kw_only=True)
class HubModel(PretrainedModel):
    """A model on the hub, or in a mirror of it.

    Attributes:
        places: which revision each step is.
        repo: ``Org/name``.
        cache: folder into which is fetched; or the mirror.
        offline: why the hub is not to be asked; None if it is.
        keep: how many checkpoints that this object fetched are kept when they are released, the most recently used
            ones; None for all. What was cached before is never deleted, nor are configurations and tokenizers.
        fetched: steps of which this object fetched the weights, the least recently used first.
        listings: what the hub has said of the files of a step.
    """

    repo: str
    cache: str
    offline: str | None = None
    keep: int | None = None
    fetched: list[int] = field(default_factory=list, repr=False, compare=False)
    listings: dict[int, Mapping[str, RemoteFile]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def about_folder(self) -> Path:
        cached = [folder for step in self.steps() if (folder := self._snapshot(step)) and (folder / CONFIG).exists()]
        telling = [folder for folder in cached if has_tokenizer(folder)]
        if telling or (cached and self.offline is not None):
            return (telling or cached)[0]
        step = self.steps()[0]
        return self._fetch(step, self._small_files(step))

    def at_hand(self, step: int) -> bool:
        return has_weights(self.cache, self.repo, self.places[step])

    def folder(self, step: int) -> Path:
        """The local folder with the files of a step, which are fetched if they are not there.

        Raises:
            HubUnreachableError: they are not there and cannot be fetched.
            OSError: there is no room for them.
            ValueError: the revision holds no weights.
        """
        folder = self._snapshot(step)
        if folder is not None and self.at_hand(step):
            return folder
        names = [*self._weights_files(step), *self._small_files(step)]
        absent = [name for name in names if folder is None or not (folder / name).exists()]
        self._announce(step, sum(self._files(step)[name].size for name in absent))
        folder = self._fetch(step, names)
        if step not in self.fetched:
            self.fetched.append(step)
        return folder

    def location(self, step: int) -> str:
        return f"{self.repo}@{self.places[step]}"

    def digest(self, step: int) -> str:
        """As of a local folder with the same files. What is not at hand is not fetched for it: the hub says hashes."""
        if self.at_hand(step):
            return super().digest(step)
        files = {name: self._files(step)[name].sha256 for name in self._weights_files(step)}
        said = {name: sha256 for name, sha256 in files.items() if sha256 is not None}
        return digest_of(said) if said.keys() == files.keys() else super().digest(step)

    def size(self, step: int) -> int | None:
        if self.at_hand(step):
            return super().size(step)
        if self.offline is not None:
            return None
        return sum(self._files(step)[name].size for name in self._weights_files(step))

    def release(self, step: int) -> None:
        if self.keep is None or step not in self.fetched:
            return
        self.fetched.remove(step)
        self.fetched.append(step)
        for old in self.fetched[: max(0, len(self.fetched) - self.keep)]:
            self._delete_weights(old)
            if not self.at_hand(old):
                self.fetched.remove(old)

    def _snapshot(self, step: int) -> Path | None:
        return snapshot(self.cache, self.repo, self.places[step])

    def _files(self, step: int) -> Mapping[str, RemoteFile]:
        """The files of a step on the hub, by name. The hub is asked once."""
        if step not in self.listings:
            with asking(self.repo, self.cache, f"step {step}", self.offline):
                self.listings[step] = list_files(self.repo, self.places[step])
        return self.listings[step]

    def _weights_files(self, step: int) -> list[str]:
        names = weights_among(self._files(step))
        if not names:
            held = ", ".join(self._files(step))
            raise ValueError(
                f"{self.location(step)} has no weights such as model.safetensors; it has {held or 'nothing'}"
            )
        return names

    def _small_files(self, step: int) -> list[str]:
        return [name for name in self._files(step) if "/" not in name and any(fnmatch(name, kind) for kind in _SMALL)]

    def _fetch(self, step: int, names: Sequence[str]) -> Path:
        """The folder with files of a step, fetched into the cache unless they are there."""
        from huggingface_hub import snapshot_download

        revision = self.places[step]
        try:
            with asking(self.repo, self.cache, f"step {step}"):
                fetched = snapshot_download(
                    self.repo, revision=revision, cache_dir=self.cache, allow_patterns=list(names)
                )
        finally:
            forget_empty(self.cache, self.repo, revision)
        return Path(fetched)

    def _announce(self, step: int, size: int) -> None:
        """Say what is going to be fetched, where the hub's client shows progress; refuse if there is no room for it."""
        from huggingface_hub.utils import are_progress_bars_disabled

        folder, free = free_space(str(self.cache))
        if size > free:
            raise OSError(
                errno.ENOSPC,
                f"{self.location(step)} needs {readable_size(size)}, and {folder} has {readable_size(free)} left; free"
                " some space, set HF_HOME to a folder on another disk, or give keep=0 to delete each checkpoint after"
                " use",
            )
        if not are_progress_bars_disabled():
            print(f"fetching {self.location(step)}, {readable_size(size)}", file=sys.stderr)

    def _delete_weights(self, step: int) -> None:
        """Delete the weights of a step. They stay while the cache is in disorder, as when another process fetches."""
        from huggingface_hub import scan_cache_dir

        folder = self._snapshot(step)
        if folder is None:
            return
        names, found = weights_in(folder), scan_cache_dir(self.cache)
        files = [
            file
            for repo in found.repos
            for revision in repo.revisions
            for file in revision.files
            if (repo.repo_id, revision.commit_hash) == (self.repo, folder.name) and file.file_name in names
        ]
        found.delete_files(*files).execute()


def names_on_hub(address: str) -> list[str]:
    """The names ``Org/name`` that an address stands for, a choice in braces for each; none if it is no such address."""
    names = list(dict.fromkeys(_expanded(address)))
    return names if all(_NAME.fullmatch(name) for name in names) else []


def read_hub(
    repos: Sequence[str],
    steps: Sequence[int] | None = None,
    mirror: str | Path | None = None,
    keep: int | None = None,
    tokens_per_step: float | None = None,
    task: Task | None = None,
) -> list[HubModel]:
    """The models of repositories, with the steps that their branches and tags say. No weights are fetched.

    Args:
        repos: ``Org/name`` of each; a model is called ``name``, or all of it where two would be called the same.
        steps: which will be asked for; None for all.
        mirror: folder to read instead of the hub and its cache.
        keep: see ``HubModel``.
        tokens_per_step: training tokens in an optimizer step, where the family is not known, or known better.
        task: what the models are asked.

    Raises:
        ValueError: there is no such repository, or two revisions of one are at the same step; or an argument is not
            what is said above.
        HubUnreachableError: the hub gives no answer or is not to be asked, and not all of the steps are cached. Without
            ``steps``, and unless it was said to work offline, what is cached is not taken for all that there is.
    """
    from huggingface_hub import constants, is_offline_mode

    if keep is not None and keep < 0:
        raise ValueError(f"keep: got {keep}; expected at least 0")
    cache = Path(mirror or constants.HF_HUB_CACHE).expanduser()
    offline = "HF_HUB_OFFLINE is set" if is_offline_mode() else None
    if mirror is not None:
        offline = "of a mirror, there is only what is in it"
        if not cache.is_dir():
            raise ValueError(f"mirror: got {str(mirror)!r}; expected a folder that holds models--Org--name/")
    last = Counter(repo.split("/")[1] for repo in repos)
    models = []
    for repo in repos:
        places, why = _places(repo, str(cache), steps, offline)
        known = training_of(repo)
        rates = known if tokens_per_step is None else Training(tokens_per_step)
        models.append(
            HubModel(
                name=repo if last[repo.split("/")[1]] > 1 else repo.split("/")[1],
                places=places,
                repo=repo,
                cache=str(cache),
                offline=why,
                keep=keep,
                seed=known.seed,
                tokens_per_step=rates.tokens_per_step,
                examples_per_step=rates.examples_per_step,
                task=task,
            )
        )
    return models


def _places(
    repo: str, cache: str, steps: Sequence[int] | None, offline: str | None
) -> tuple[Mapping[int, str], str | None]:
    """The revision of each step, and why the hub is not to be asked further: where it cannot be, the cache may do."""
    if offline is None:
        try:
            with asking(repo, cache, "its list of steps" if steps is None else listed(steps)):
                return list_places(repo), None
        except HubUnreachableError as error:
            if steps is None:
                raise
            offline = first_line(error.__cause__ or error)
    places = cached_places(cache, repo)
    absent = sorted(set(steps or ()) - set(places))
    if absent or not places:
        raise unreachable(repo, cache, listed(absent) if absent else "everything", offline)
    return places, offline


def _expanded(text: str) -> list[str]:
    """A text for each choice of one of ``{a,b}``, in order."""
    braces = _BRACES.search(text)
    if braces is None:
        return [text]
    before, after = text[: braces.start()], text[braces.end() :]
    return [whole for choice in braces[1].split(",") for whole in _expanded(f"{before}{choice.strip()}{after}")]
