"""Models on the hub: listed, fetched one at a time, deleted after use, and worked with when there is no hub."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from math import isnan
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

from probe.suites import hub_listing, open_suite
from probe.suites.hub_listing import HubUnreachableError
from tests.suites import hub_format
from tests.suites.hub_server import FakeHub

STEPS = (0, 1, 512, 1000, 2000)
SIZES = {"EleutherAI/pythia-14m": 8, "EleutherAI/pythia-31m": 16, "EleutherAI/pythia-70m-deduped": 24}
SMALL = "EleutherAI/pythia-14m"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folder of each revision of each repository."""
    root, words = tmp_path_factory.mktemp("saved"), hub_format.tokenizer()
    repos = {
        repo: {
            f"step{step}": hub_format.save_neox(root / repo / f"step{step}", d_model, 2, seed=step, tokenizer=words)
            for step in STEPS
        }
        for repo, d_model in SIZES.items()
    }
    repos = {repo: {**revisions, "main": revisions["step2000"]} for repo, revisions in repos.items()}
    repos["someone/one"] = {"main": hub_format.save_gpt2(root / "one")}
    sharded = hub_format.save_neox(root / "sharded", tokenizer=words, max_shard_size="30KB")
    (sharded / "training.bin").write_bytes(bytes(10_000))
    (sharded / "README.md").write_text("about")
    repos["someone/sharded"] = {"main": sharded, "checkpoint-7": sharded}
    repos["someone/empty"] = {"main": root / "nothing", "step5": root / "nothing"}
    (root / "nothing").mkdir()
    (root / "nothing" / "config.json").write_bytes((root / "one" / "config.json").read_bytes())
    return repos


@pytest.fixture
def hub(saved, tmp_path, monkeypatch):
    """A hub to be asked, with an empty cache."""
    hub = FakeHub(saved)
    at(hub.url, tmp_path / "cache", monkeypatch)
    yield hub
    hub.close()
    huggingface_hub.close_session()


def at(url, cache, monkeypatch):
    """Let the hub's client ask at ``url``; it reads the environment once, when it is imported."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))


def offline(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def bytes_of_weights(cache):
    """Bytes of large files in a cache: what they are called there is twice as long as what others are."""
    return sum(blob.stat().st_size for blob in Path(cache).glob("models--*/blobs/*") if len(blob.name) == 64)


def logits(checkpoint):
    return checkpoint.load()(torch.tensor([[1, 2, 3]]))


def the_one_in(folder):
    return next(open_suite(folder).checkpoints())


def test_what_there_is_is_listed_before_weights_are_fetched(hub, tmp_path):
    suite = open_suite("EleutherAI/pythia-{14m,31m}")
    assert suite.models == ("pythia-14m", "pythia-31m")
    assert suite.steps("pythia-31m") == STEPS
    checkpoint = suite["pythia-31m", 512]
    file = hub.repos["EleutherAI/pythia-31m"]["step512"] / "model.safetensors"
    assert checkpoint.location == "EleutherAI/pythia-31m@step512"
    assert checkpoint.size == file.stat().st_size
    assert checkpoint.digest == open_suite(file.parent)["pythia-31m", 512].digest
    assert checkpoint.n_params == open_suite(file.parent)["pythia-31m", 512].n_params
    assert checkpoint.tokens_seen == 512 * 2048 * 1024
    assert checkpoint.examples_seen == 512 * 1024
    assert suite.by_name["pythia-31m"].tokenizer()("The rain")["input_ids"]
    assert not checkpoint.model.at_hand(512)
    assert hub.fetched() == []
    assert bytes_of_weights(tmp_path / "cache") == 0
    assert len([path for _, path in hub.requests if path.endswith("pythia-31m/revision/step512")]) == 1


def test_a_checkpoint_is_fetched_once_when_it_is_used(hub, saved, tmp_path, monkeypatch):
    suite = open_suite("EleutherAI/pythia-{14m,31m}", steps=[0, 512])
    assert suite.steps("pythia-31m") == (0, 512)
    checkpoint = suite["pythia-31m", 512]
    before = checkpoint.digest
    torch.testing.assert_close(logits(checkpoint), logits(the_one_in(saved["EleutherAI/pythia-31m"]["step512"])))
    assert hub.fetched() == ["EleutherAI/pythia-31m@step512"]
    assert checkpoint.model.at_hand(512)
    assert not checkpoint.model.at_hand(0)
    again = suite["pythia-31m", 512]
    assert (again.digest, again.size) == (before, bytes_of_weights(tmp_path / "cache"))
    assert again.load().tokenizer is not None
    asked = len(hub.requests)
    logits(open_suite("EleutherAI/pythia-31m")["pythia-31m", 512])
    assert [path.split("/")[-1] for _, path in hub.requests[asked:]] == ["pythia-31m", "refs"]
    assert hub.fetched() == ["EleutherAI/pythia-31m@step512"]


def test_names_in_braces_and_deduped(hub):
    assert open_suite("{EleutherAI,EleutherAI}/pythia-70m", deduped=True).models == ("pythia-70m-deduped",)
    hub.repos["someone/pythia-14m"] = hub.repos[SMALL]
    suite = open_suite("{EleutherAI/pythia-14m, someone/pythia-14m}")
    assert suite.models == ("EleutherAI/pythia-14m", "someone/pythia-14m")
    assert suite["someone/pythia-14m", 1].location == "someone/pythia-14m@step1"
    assert isnan(suite["someone/pythia-14m", 1].tokens_seen)
    assert open_suite("someone/pythia-14m", tokens_per_step=10)["pythia-14m", 512].tokens_seen == 5120


def test_a_folder_comes_before_a_name_on_the_hub(hub, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(saved[SMALL]["step1"], "EleutherAI/pythia-14m/step77")
    assert open_suite(SMALL).steps("pythia-14m") == (77,)
    assert hub.requests == []


@pytest.mark.parametrize("keep", [0, 1, 3, None])
def test_a_sweep_needs_the_disk_of_as_many_as_are_kept(hub, tmp_path, keep):
    suite, most = open_suite(SMALL, keep=keep), 0
    size = suite["pythia-14m", 0].size
    for checkpoint in suite.checkpoints():
        logits(checkpoint)
        most = max(most, bytes_of_weights(tmp_path / "cache"))
        checkpoint.model.release(checkpoint.step)
    kept = len(STEPS) if keep is None else keep
    assert bytes_of_weights(tmp_path / "cache") == kept * size
    assert most == min(kept + 1, len(STEPS)) * size
    assert hub.fetched() == [f"{SMALL}@step{step}" for step in STEPS]
    model = suite.by_name["pythia-14m"]
    assert [step for step in STEPS if model.at_hand(step)] == list(STEPS[len(STEPS) - kept :])
    assert model.tokenizer() is not None
    logits(suite["pythia-14m", 0])
    assert len(hub.fetched()) == len(STEPS) + (keep is not None)


def test_those_used_last_are_kept(hub):
    suite = open_suite(SMALL, keep=2)
    model = suite.by_name["pythia-14m"]
    for step in (0, 1, 0, 512):
        logits(suite["pythia-14m", step])
        model.release(step)
    assert [step for step in STEPS if model.at_hand(step)] == [0, 512]


def test_what_was_fetched_twice_counts_once(hub, tmp_path):
    suite = open_suite(SMALL, keep=1)
    for _ in range(2):
        logits(suite["pythia-14m", 0])
        for blob in (tmp_path / "cache").glob("models--*/blobs/*"):
            if len(blob.name) == 64:
                blob.rename(tmp_path / "away")
    logits(suite["pythia-14m", 0])
    suite.by_name["pythia-14m"].release(0)
    assert suite.by_name["pythia-14m"].at_hand(0)


def test_what_another_program_has_fetched_in_part_is_completed(hub):
    fetch = huggingface_hub.snapshot_download
    for step, files in ((0, ["config.json", "model.safetensors"]), (1, ["model.safetensors"])):
        fetch(SMALL, revision=f"step{step}", cache_dir=constants.HF_HUB_CACHE, allow_patterns=files)
    suite = open_suite(SMALL)
    model = suite.by_name["pythia-14m"]
    assert [model.at_hand(step) for step in (0, 1)] == [True, False]
    assert model.tokenizer() is not None
    logits(suite["pythia-14m", 1])
    assert hub.fetched() == [f"{SMALL}@step0", f"{SMALL}@step1"]


def test_what_was_cached_before_is_never_deleted(hub, tmp_path):
    size = open_suite(SMALL)["pythia-14m", 0].size
    logits(open_suite(SMALL)["pythia-14m", 0])
    suite = open_suite(SMALL, keep=0)
    for step in (0, 1):
        logits(suite["pythia-14m", step])
        suite.by_name["pythia-14m"].release(step)
    assert suite.by_name["pythia-14m"].at_hand(0)
    assert bytes_of_weights(tmp_path / "cache") == size


def test_what_cannot_be_deleted_now_is_deleted_later(hub, tmp_path):
    """While another process begins to fetch, the hub's client finds the cache in disorder and deletes nothing."""
    suite = open_suite(SMALL, keep=0)
    model = suite.by_name["pythia-14m"]
    logits(suite["pythia-14m", 0])
    other = tmp_path / "cache" / "models--EleutherAI--pythia-14m" / "refs" / "step9999"
    other.write_text("0" * 40)
    model.release(0)
    assert model.at_hand(0)
    other.unlink()
    logits(suite["pythia-14m", 1])
    model.release(1)
    assert bytes_of_weights(tmp_path / "cache") == 0


def test_how_large_it_is_is_said_before(hub, capfd, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", None)
    suite = open_suite("someone/sharded")
    said = capfd.readouterr().err
    assert "fetching" not in said
    huggingface_hub.utils.enable_progress_bars()
    logits(suite["sharded", 7])
    folder = hub.repos["someone/sharded"]["checkpoint-7"]
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    said = capfd.readouterr().err
    assert f"fetching someone/sharded@checkpoint-7, {weights / 1000:.1f} kB" in said.replace("\r", "\n")
    huggingface_hub.utils.disable_progress_bars()
    logits(open_suite(SMALL)["pythia-14m", 0])
    assert capfd.readouterr().err == ""


def test_only_what_is_needed_is_fetched(hub, saved, tmp_path):
    folder = saved["someone/sharded"]["checkpoint-7"]
    checkpoint = open_suite("someone/sharded")["sharded", 7]
    assert checkpoint.digest == open_suite(folder)["sharded", 0].digest
    torch.testing.assert_close(logits(checkpoint), logits(the_one_in(folder)))
    assert checkpoint.digest == open_suite(folder)["sharded", 0].digest
    assert len(hub.fetched()) == len(list(folder.glob("model-*.safetensors"))) > 1
    assert hub.fetched("training.bin") == hub.fetched("README.md") == []
    assert hub.fetched("model.safetensors.index.json") == ["someone/sharded@main"]


@pytest.mark.filterwarnings("ignore:Not enough free disk space")
def test_there_has_to_be_room(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    suite = open_suite(SMALL)
    with pytest.raises(OSError, match=r"pythia-14m@step1 needs \d+\.\d kB, and /.* has 1\.0 kB left; .*keep=0"):
        suite["pythia-14m", 1].load()
    assert hub.fetched() == []


def test_a_repository_without_steps_is_at_step_0(hub, monkeypatch):
    suite = open_suite("someone/one")
    assert suite.steps("one") == (0,)
    assert suite["one", 0].location == "someone/one@main"
    assert isnan(suite["one", 0].tokens_seen)
    logits(suite["one", 0])
    offline(monkeypatch)
    assert open_suite("someone/one").steps("one") == (0,)


def test_main_of_a_family_that_has_steps_is_not_taken_for_step_0(hub, monkeypatch):
    huggingface_hub.snapshot_download(SMALL, cache_dir=constants.HF_HUB_CACHE)
    offline(monkeypatch)
    with pytest.raises(HubUnreachableError, match=r"missing: everything; cached in .*: nothing"):
        open_suite(SMALL)


def test_a_revision_without_weights(hub):
    suite = open_suite("someone/empty")
    with pytest.raises(
        ValueError, match=r"someone/empty@step5 has no weights such as model\.safetensors; it has config"
    ):
        suite["empty", 5].load()


def test_unknown_repositories_and_steps(hub):
    started = time.monotonic()
    for name in ("EleutherAI/pythia-71m", "runs/demo"):
        with pytest.raises(ValueError, match=f"address: got '{name}'; there is no such folder, and on the hub no such"):
            open_suite(name)
    with pytest.raises(ValueError, match="step: pythia-14m has no checkpoint at 600; the nearest is at 512"):
        open_suite(SMALL, steps=[0, 600])
    assert time.monotonic() - started < 5
    assert hub.fetched() == []


def test_without_a_hub_there_is_what_is_cached(hub, tmp_path, monkeypatch):
    online = open_suite(SMALL)
    results = {step: (online["pythia-14m", step].digest, logits(online["pythia-14m", step])) for step in (1, 512)}
    offline(monkeypatch)
    asked = len(hub.requests)
    suite = open_suite(SMALL)
    assert suite.steps("pythia-14m") == (1, 512)
    for step, (digest, expected) in results.items():
        assert suite["pythia-14m", step].digest == digest
        assert suite["pythia-14m", step].size == online["pythia-14m", step].size
        assert torch.equal(logits(suite["pythia-14m", step]), expected)
    assert suite.by_name["pythia-14m"].tokenizer() is not None
    with pytest.raises(
        HubUnreachableError, match=r"HF_HUB_OFFLINE is set.*missing: steps 0, 2000; cached in .*: steps 1, 512"
    ):
        open_suite(SMALL, steps=[0, 1, 2000])
    with pytest.raises(HubUnreachableError, match=r"pythia-31m.*missing: everything; cached in .*: nothing"):
        open_suite("EleutherAI/pythia-31m")
    shutil.rmtree(tmp_path / "cache" / "models--EleutherAI--pythia-14m" / "blobs")
    assert suite["pythia-14m", 512].size is None
    for use in ("load", "weights"):
        with pytest.raises(
            HubUnreachableError, match=r"HF_HUB_OFFLINE is set\); missing: step 512; cached in .*: nothing"
        ):
            getattr(suite["pythia-14m", 512], use)()
    assert len(hub.requests) == asked


def test_the_hub_goes_away_in_the_middle(hub):
    suite = open_suite(SMALL)
    logits(suite["pythia-14m", 0])
    logits(suite["pythia-14m", 512])
    hub.close()
    huggingface_hub.close_session()
    started = time.monotonic()
    for use in (lambda c: c.load(), lambda c: c.digest, lambda c: c.size):
        with pytest.raises(
            HubUnreachableError, match=r"ConnectError.*missing: step 1000; cached in .*/cache: steps 0, 512"
        ) as told:
            use(suite["pythia-14m", 1000])
    assert told.value.__cause__ is not None
    assert logits(suite["pythia-14m", 512]).shape == (1, 3, 256)
    assert open_suite(SMALL, steps=[0, 512]).steps("pythia-14m") == (0, 512)
    with pytest.raises(HubUnreachableError, match=r"ConnectError.*missing: steps 1; cached in .*: steps 0, 512"):
        open_suite(SMALL, steps=[0, 1])
    with pytest.raises(HubUnreachableError, match=r"missing: its list of steps; cached in .*: steps 0, 512"):
        open_suite(SMALL)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("failing", ["/tree/", "/resolve/", "model.safetensors"])
def test_a_download_that_fails_leaves_a_cache_that_works(hub, tmp_path, monkeypatch, failing):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the hub's client tries again for half a minute
    suite = open_suite(SMALL, keep=0)
    logits(suite["pythia-14m", 0])
    hub.failing = failing
    with pytest.raises(HubUnreachableError, match=r"missing: step 512; cached in .*: steps 0"):
        suite["pythia-14m", 512].load()
    suite.by_name["pythia-14m"].release(0)
    assert bytes_of_weights(tmp_path / "cache") == 0
    hub.failing = ""
    logits(suite["pythia-14m", 512])
    assert hub.fetched() == [f"{SMALL}@step0", f"{SMALL}@step512"]
    suite.by_name["pythia-14m"].release(512)
    assert bytes_of_weights(tmp_path / "cache") == 0


def test_a_hub_that_does_not_answer_is_not_waited_for(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.3)
    hub.silent.set()
    started = time.monotonic()
    with pytest.raises(HubUnreachableError, match=r"ReadTimeout.*missing: its list of steps; cached in .*: nothing"):
        open_suite(SMALL)
    assert time.monotonic() - started < 3


def test_a_hub_that_was_asked_too_often_is_asked_again(hub):
    hub.busy = 2
    assert open_suite(SMALL).steps("pythia-14m") == STEPS
    hub.busy = 1
    assert open_suite(SMALL)["pythia-14m", 1].size
    hub.busy = 100
    with pytest.raises(HubUnreachableError, match="429"):
        open_suite(SMALL)


def test_a_mirror_is_read_and_left_as_it_is(saved, tmp_path, monkeypatch):
    at("http://127.0.0.1:9", tmp_path / "cache", monkeypatch)
    mirror = tmp_path / "mirror"
    revisions = {name: folder for name, folder in saved[SMALL].items() if name in ("step0", "step512", "main")}
    hub_format.hub_layout(mirror, SMALL, revisions)
    before = sorted(str(path) for path in mirror.rglob("*"))
    suite = open_suite(SMALL, mirror=mirror)
    assert suite.steps("pythia-14m") == (0, 512)
    checkpoint = suite["pythia-14m", 512]
    assert checkpoint.tokens_seen == 512 * 2048 * 1024
    assert checkpoint.digest == open_suite(saved[SMALL]["step512"])["pythia-14m", 512].digest
    torch.testing.assert_close(logits(checkpoint), logits(the_one_in(saved[SMALL]["step512"])))
    checkpoint.model.release(512)
    assert sorted(str(path) for path in mirror.rglob("*")) == before
    assert not (tmp_path / "cache").exists()
    with pytest.raises(HubUnreachableError, match=r"mirror.*missing: steps 1; cached in .*/mirror: steps 0, 512"):
        open_suite(SMALL, mirror=mirror, steps=[0, 1])
    with pytest.raises(ValueError, match="keep: got 0, which means nothing for a mirror"):
        open_suite(SMALL, mirror=mirror, keep=0)
    with pytest.raises(ValueError, match=r"mirror: got '.*absent'; expected a folder that holds models--Org--name/"):
        open_suite(SMALL, mirror=tmp_path / "absent")
    with pytest.raises(ValueError, match="keep: got -1; expected at least 0"):
        open_suite(SMALL, keep=-1)


def test_the_digest_reads_a_file_that_the_cache_has_not_named_after_its_hash(saved, tmp_path, monkeypatch):
    """Where links are not possible, a cache has copies; where it shares files, links go on to another kind of hash."""
    mirror = hub_format.hub_layout(tmp_path, SMALL, {"step0": saved[SMALL]["step0"], "step1": saved[SMALL]["step1"]})
    suite = open_suite(SMALL, mirror=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(
            hashlib, "file_digest", lambda *file: pytest.fail("a file was read that its name tells the hash of")
        )
        digests = [checkpoint.digest for checkpoint in suite.checkpoints()]
    links = list(mirror.glob("snapshots/*/model.safetensors"))
    content = links[0].read_bytes()
    links[0].unlink()
    links[0].write_bytes(content)
    blob = mirror / "blobs" / Path(os.readlink(links[1])).name
    (tmp_path / "blobs").mkdir()
    blob.rename(tmp_path / "blobs" / ("e" * 64))
    blob.symlink_to(tmp_path / "blobs" / ("e" * 64))
    assert [checkpoint.digest for checkpoint in suite.checkpoints()] == digests


def test_many_steps_in_a_message():
    assert hub_listing.listed(range(12)) == f"steps {', '.join(map(str, range(12)))}"
    assert (
        hub_listing.listed(range(0, 15400, 100)) == "steps 0, 100, 200, 300, 400, 500, 600, 700, 800, 900, ..., 15300"
    )


SWEEP = """
import json, sys, torch
from probe.suites import open_suite
suite = open_suite("EleutherAI/pythia-{14m,31m}", **json.loads(sys.argv[1]))
for checkpoint in suite.checkpoints():
    logits = checkpoint.load()(torch.tensor([[1, 2, 3]]))
    print(json.dumps([checkpoint.location, checkpoint.digest, logits.sum().item()]))
    checkpoint.model.release(checkpoint.step)
"""


def sweep(home, url, **arguments):
    """What a process of its own says of checkpoints; ``url`` is where its hub is, and without it is to use none."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_ENDPOINT": url, "HF_HUB_OFFLINE": "0" if url else "1"}
    command = [sys.executable, "-c", SWEEP, json.dumps(arguments)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in told.stdout.splitlines()]


def test_processes_of_their_own_online_then_offline(saved, tmp_path):
    hub = FakeHub(saved)
    try:
        told = sweep(tmp_path / "home", hub.url, steps=[0, 1000])
    finally:
        hub.close()
    assert [line[0] for line in told] == [
        *("EleutherAI/pythia-14m@step0", "EleutherAI/pythia-14m@step1000"),
        *("EleutherAI/pythia-31m@step0", "EleutherAI/pythia-31m@step1000"),
    ]
    assert hub.fetched() == [line[0] for line in told]
    for location, digest, total in told:
        repo, revision = location.split("@")
        checkpoint = the_one_in(saved[repo][revision])
        assert digest == checkpoint.digest
        assert total == pytest.approx(logits(checkpoint).sum().item(), abs=1e-4)
    # nothing of what loads and runs the models asks for anything of its own, but for one thing that the client does
    ours = ("/api/models/EleutherAI/pythia-", "/EleutherAI/pythia-", "/api/agent-harnesses")
    assert [path for _, path in hub.requests if not path.startswith(ours)] == []
    assert sweep(tmp_path / "home", "", steps=[0, 1000]) == told
