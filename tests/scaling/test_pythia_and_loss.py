"""Size against data on Pythia's published evaluations: on the same data, and beside the loss."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from probe.scaling import beyond_loss_table, catch_up_table, read

TABLE = Path(__file__).resolve().parents[3] / "shared/data/pythia/pythia_v1_opt_bloom_core_tasks.csv.gz"
pytestmark = pytest.mark.skipif(not TABLE.exists(), reason="the published measurements are not beside the checkout")


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory):
    rows = pd.read_csv(TABLE)
    rows = rows[(rows["suite"] == "pythia-v1") & (rows["variant"] == "deduped") & (rows["n_shot"] == 0)]
    rows = rows[rows["task"].isin(["lambada_openai", "piqa", "arc_easy"]) & rows["metric"].isin(["acc", "ppl"])]
    place = tmp_path_factory.mktemp("pythia") / "table.csv"
    kept = ["model", "n_params", "step", "n_shot", "task", "metric", "value", "stderr", "tokens"]
    rows[kept].to_csv(place, index=False)
    return read(place)


def test_smaller_models_on_more_data_get_to_where_larger_ones_were_and_the_smallest_do_not(evaluations):
    """2.8B at the end of its training is where 6.9B was before; 160M never is."""
    perplexity = evaluations[(evaluations["task"] == "lambada_openai") & (evaluations["metric"] == "ppl")]
    sizes = np.sort(perplexity["n_params"].unique())
    larger = perplexity["n_params"] == sizes[-1]
    early = perplexity[larger & (perplexity["tokens"] <= perplexity["tokens"].max() / 5)]
    found = catch_up_table(pd.concat([perplexity[~larger], early]), rising=False)
    found = found[found["target_n_params"] == sizes[-1]].set_index("n_params")
    assert found.loc[sizes[-2], "tokens"] < 2 * found.loc[sizes[-2], "target_tokens"]
    assert found.loc[sizes[0], "reason"].startswith("not reached with")
    reached = found["tokens"].dropna()
    assert (np.diff(reached.sort_index()) < 0).all()  # the smaller, the more data


def test_beside_the_loss_size_says_little(evaluations):
    """What ARC and PIQA have in common with perplexity is much more than what size adds at equal perplexity."""
    found = beyond_loss_table(evaluations[evaluations["step"] > 0], ("lambada_openai", "ppl")).set_index(
        ["task", "metric"]
    )
    for task in ("piqa", "arc_easy"):
        row = found.loc[(task, "acc")]
        assert row["with_loss"] < -0.9
        assert row["low"] <= row["correlation"] <= row["high"]
        assert abs(row["correlation"]) < -row["with_loss"]
