"""What there is at an address: a run, perhaps still going on, or a suite without one.

``Opened.look`` lists the folder, which is cheap, and reads it again only where there is more than at the last look.
What was seen then is one ``Seen``, which does not change: all that one answer says is of one state of the run.
"""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float

from circuits.formation import PROBE, Formation, formation_of
from circuits.probes import CircuitFormation, FinalCircuit
from probe import storage
from probe.activations.store import read_array
from probe.batch.measure import COLUMNS
from probe.batch.models import TrainedSuite
from probe.batch.plan import Run
from probe.batch.results import results
from probe.suites import Suite, open_suite
from probe.suites.suite import Model

SCORES = "circuit_edge_scores"
"""The array that ``circuit_formation`` stores of each checkpoint."""
KEPT_NUMBERS = 1 << 24
"""Edge scores that are kept in memory, of the steps that were asked for last."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What there was at a look.

    Attributes:
        revision: changes when there is more.
        running: whether checkpoints or measurements of the batch are missing, so that there may be more.
        suite: the models, as far as they are there.
        results: of the run, a row a number; no rows where there is no run.
        stopped: models whose training ended early, and why.
        run: None where there is a suite only.
        asked: how edges are scored: as the run's batch says, or by default.
        records_scores: whether the batch stores edge scores.
    """

    revision: str
    running: bool
    suite: Suite
    results: pd.DataFrame
    stopped: Mapping[str, str]
    run: Run | None
    asked: CircuitFormation
    records_scores: bool

    @cached_property
    def steps_of(self) -> dict[str, tuple[int, ...]]:
        """Steps of each model for which there are weights."""
        return {name: self.suite.steps(name) for name in self.suite.models}

    @cached_property
    def at_hand(self) -> bool:
        """Whether weights of any model can be read without being fetched first."""
        return any(steps and self.model(name).at_hand(steps[-1]) for name, steps in self.steps_of.items())

    @cached_property
    def formation(self) -> Formation | None:
        """When circuits formed; None if nothing of it is measured yet, or ever."""
        return formation_of(self.results) if len(self._formed) else None

    @cached_property
    def scored(self) -> dict[str, list[int]]:
        """Steps of which edge scores are stored, by model."""
        found = self._formed.groupby("model")["step"].unique()
        return {str(name): sorted(map(int, steps)) for name, steps in found.items()}

    @cached_property
    def inside(self) -> dict[tuple[str, int], frozenset[str]]:
        """Edges of the circuit that was found at each step, by model and step."""
        rows = self._formed[(self._formed["metric"] == "in_circuit") & (self._formed["value"] == 1)]
        found: dict[tuple[str, int], list[str]] = {}
        columns = (rows[name].tolist() for name in ("model", "step", "key"))
        for model, step, edge in zip(*columns, strict=True):
            found.setdefault((model, step), []).append(edge)
        return {place: frozenset(edges) for place, edges in found.items()}

    @cached_property
    def of_circuit(self) -> dict[tuple[str, int], dict[tuple[str, str], float]]:
        """What ``circuit_formation`` says beside edges, by metric and key, by model and step."""
        rows = self._formed[~self._formed["metric"].isin(["edge_score", "in_circuit"])]
        found: dict[tuple[str, int], dict[tuple[str, str], float]] = {}
        columns = (rows[name].tolist() for name in ("model", "step", "metric", "key", "value"))
        for model, step, metric, key, value in zip(*columns, strict=True):
            found.setdefault((model, step), {})[metric, key] = value
        return found

    @cached_property
    def _formed(self) -> pd.DataFrame:
        return self.results[self.results["probe"] == PROBE]

    def model(self, name: str) -> Model:
        """
        Raises:
            ValueError: there is no such model; the message names the nearest.
        """
        self.suite.steps(name)
        return self.suite.by_name[name]

    def rows(self, model: str) -> pd.DataFrame:
        """The results of one model.

        Raises:
            ValueError: there is no such model; the message names the nearest.
        """
        return self.results[self.results["model"] == self.model(model).name]


class Opened:
    """A run or a suite at an address.

    Args:
        address: folder of a run; or of a suite, or a name on the hub, as ``probe.open_suite`` takes it.

    Raises:
        ValueError: there is neither.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        is_run = storage.exists(f"{self.address}/batch.yaml")
        self._run = Run.open(self.address) if is_run else None
        self._suite = None if is_run else open_suite(self.address)
        self._seen: Seen | None = None
        self._lock, self._scores_lock = threading.Lock(), threading.Lock()
        self._scores: OrderedDict[tuple[str, int], Float[np.ndarray, "source destination"]] = OrderedDict()

    def look(self, *, anew: bool) -> Seen:
        """What there is: as of now, or as of the last look if there was one.

        Raises:
            ValueError: a file is damaged.
        """
        seen = self._seen
        if seen is not None and not anew:
            return seen  # nobody waits for who looks anew
        with self._lock:
            revision = self._revision()
            if self._seen is None or self._seen.revision != revision:
                self._seen = self._read(revision)
            return self._seen

    def scores(self, model: str, step: int) -> Float[np.ndarray, "source destination"] | None:
        """Edge scores that the run stored of a model at a step; None if it has none.

        Raises:
            ValueError: the stored array is damaged.
        """
        with self._scores_lock:
            kept = self._scores.get((model, step))
            if kept is None:
                found = read_array(self.address, model, (step,), SCORES)
                if found is None:
                    return None
                kept = self._scores[model, step] = found.to_numpy()[0]
            self._scores.move_to_end((model, step))
            while len(self._scores) > max(1, KEPT_NUMBERS // kept.size):
                self._scores.popitem(last=False)
            return kept

    def _read(self, revision: str) -> Seen:
        asked, run = CircuitFormation(), self._run
        if run is None:
            assert self._suite is not None
            nothing = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
            return Seen(revision, False, self._suite, nothing, {}, None, asked, False)
        running = _is_running(run)  # before the results are read: what comes in between is seen at the next look
        said = [
            probe for spec in run.batch.probes if isinstance(probe := spec.build(), CircuitFormation | FinalCircuit)
        ]
        if said:
            asked = CircuitFormation(**asdict(said[-1]))
        records_scores = any(isinstance(probe, CircuitFormation) for probe in said)
        found = results(run.folder)
        return Seen(revision, running, _suite_of(run), found, run.stopped(), run, asked, records_scores)

    def _revision(self) -> str:
        """SHA-256 over the names of results and checkpoints."""
        run = self._run
        if run is not None and isinstance(run.batch.suite, TrainedSuite):
            folder = run.suite_folder
            there = {name: storage.list_files(f"{folder}/{name}", "") for name in storage.list_folders(folder)}
        else:
            suite = self._suite if run is None else run.suite
            assert suite is not None
            there = {name: [str(step) for step in suite.steps(name)] for name in suite.models}
        measured = [] if run is None else storage.list_files(f"{run.folder}/results", ".parquet")
        return hashlib.sha256(json.dumps([there, measured], sort_keys=True).encode()).hexdigest()


def _suite_of(run: Run) -> Suite:
    """The suite of a run; one without models while the first is still to be trained."""
    with suppress(ValueError):
        return run.suite
    return Suite(run.suite_folder, {})


def _is_running(run: Run) -> bool:
    """Whether checkpoints are to come, or to be measured. What is left of an earlier state of the run counts as done
    where it cannot be told from the number of results."""
    if any(present < expected for present, expected in run.models().values()):
        return True
    n_results, n_units = run.n_results(), run.n_to_measure()
    return n_results < n_units or (n_results > n_units and not all(map(run.is_done, run.units_so_far())))
