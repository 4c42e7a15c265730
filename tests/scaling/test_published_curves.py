"""Published measurements over scale: what is reported of them, measured again."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from probe.scaling import breakthroughness, forecast, linearity, read, shape, shape_table, threshold

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the published measurements are not beside the checkout")


@pytest.fixture(scope="module")
def bigbench():
    """BIG-G of 12 sizes with three shots, and unit conversion by both metrics."""
    rows = pd.read_csv(DATA / "bigbench" / "bigg_t0_task_accuracy.csv")
    rows = rows[(rows["run"] == "3shot_A") | ((rows["run"] == "3shot_B") & (rows["task"] == "unit_conversion"))]
    return rows.drop(columns=["source", "query_type", "run"]).sort_values(["task", "metric", "n_params"])


def of_task(table, task, metric=None):
    found = table[(table["task"] == task) & (table["metric"] == (metric or table["metric"]))]
    return found["n_params"].to_numpy(), found["value"].to_numpy(), found["stderr"].to_numpy()


@pytest.mark.parametrize(
    ("task", "linear", "breakthrough"),
    [
        ("modified_arithmetic", 3.317, np.inf),
        ("word_unscrambling", 3.311, np.inf),
        ("word_sorting", 4.007, 49.0),
        ("mult_data_wrangling", 9.271, 12.417),
        ("qa_wikidata", 8.53, 14.5),
    ],
)
def test_linear_and_breakthrough_tasks_of_bigbench(bigbench, task, linear, breakthrough):
    _, value, error = of_task(bigbench, task)
    assert len(value) == 12
    assert linearity(value) == pytest.approx(linear, abs=6e-3)
    assert breakthroughness(value) == pytest.approx(breakthrough, abs=6e-3)
    floor = np.sqrt(2) * np.sqrt((error**2).mean())
    assert breakthroughness(value, floor) < 18  # with a floor none stands out by B alone


def test_breakthroughs_are_jumps_at_the_largest_size_and_linear_tasks_are_not(bigbench):
    for task in ("modified_arithmetic", "word_unscrambling"):
        scale, value, error = of_task(bigbench, task)
        found = shape(scale, value, error, 0.0)
        assert found.kind == "jump"
        assert found.place.estimate == scale[-1]
        left = threshold(scale, value, error, 0.0)
        assert left.scale == left.high == scale[-1]
        assert left.low >= scale[-4]
        with_hindsight = forecast(scale, value, 1, error, 0.0)
        assert not with_hindsight.covered
    for task in ("mult_data_wrangling", "qa_wikidata"):
        scale, value, error = of_task(bigbench, task)
        assert shape(scale, value, error, 0.0).kind == "logistic"
        assert threshold(scale, value, error, 0.0).scale <= scale[2]
    sorting = shape(*of_task(bigbench, "word_sorting"), 0.0)  # rises a little before it leaps: no level before a jump
    assert sorting.kind == "logistic"
    assert sorting.place.high == np.inf


def test_read_takes_the_table_as_it_is_published(bigbench, tmp_path):
    bigbench.to_csv(tmp_path / "bigg.csv", index=False)
    table = read(tmp_path / "bigg.csv")
    assert len(table) == 86 * 12
    verdicts = shape_table(table[table["task"].isin(["qa_wikidata", "modified_arithmetic"])], progress=False)
    assert set(verdicts["n"]) == {12}
    assert verdicts.set_index("task")["kind"].to_dict() == {"qa_wikidata": "logistic", "modified_arithmetic": "jump"}


def test_the_metric_changes_the_shape_of_unit_conversion(bigbench):
    scale, choice, choice_error = of_task(bigbench, "unit_conversion", "multiple_choice_grade")
    _, exact, exact_error = of_task(bigbench, "unit_conversion", "exact_str_match")
    published = [0.137, 0.302, 0.322, 0.361, 0.366, 0.371, 0.410, 0.415, 0.410, 0.424, 0.478, 0.522]
    np.testing.assert_allclose(choice, published, atol=6e-4)
    published = [0, 0, 0, 0, 0.039, 0, 0.013, 0.052, 0.065, 0.026, 0.065, 0.234]
    np.testing.assert_allclose(exact, published, atol=6e-4)
    assert shape(scale, choice, choice_error).kind == "power_law"  # slower and slower from the smallest size on
    accelerating = shape(scale, exact, exact_error, 0.0)
    assert accelerating.likeliest == "logistic"
    assert accelerating.place.high == np.inf  # its midpoint is beyond all that was measured
    assert accelerating.probabilities["power_law"] + accelerating.probabilities["flat"] < 0.01
    assert "broken" in accelerating.reason  # 77 items do not tell in what way it accelerates
    assert threshold(scale, exact, exact_error, 0.0).scale > 1e9


def test_ipa_transliteration_emerges_by_exact_match_and_rises_by_bleu():
    rows = pd.read_csv(DATA / "obs_scaling" / "emergent_tasks_with_compute.csv")
    metrics = ["ipa_transliterate_2_exact_match", "ipa_transliterate_2_bleu"]
    rows = rows.dropna(subset=["FLOPs (1E21)"])
    part = pd.cut(rows["FLOPs (1E21)"], [0, 3, 10, 30, 100, 300, np.inf])
    means = rows.groupby(part, observed=True)[metrics].mean()
    np.testing.assert_allclose(means[metrics[0]], [0, 0, 0, 0.021, 0.095, 0.232], atol=1e-3)
    np.testing.assert_allclose(means[metrics[1]], [0.071, 0.125, 0.551, 8.60, 20.0, 49.2], rtol=0.02)
    assert (np.diff(means[metrics[1]]) > 0).all()  # it rises where exact match sees nothing
    # of 1003 items one model of this bin has one right: .0005 on average, published as 0
    assert means[metrics[0]].iloc[2] < 1e-3
    middle = rows.groupby(part, observed=True)["FLOPs (1E21)"].median().to_numpy() * 1e21
    exact = means[metrics[0]].to_numpy()
    error = np.sqrt(exact * (1 - exact) / 1003)
    found = shape(middle, exact, error, 0.0)
    # six bins do not tell a logistic from two straight lines; all else is ruled out
    assert found.likeliest == "logistic"
    assert found.reason.startswith("logistic or broken")
    assert found.probabilities["logistic"] + found.probabilities["broken"] > 0.999
    assert found.place.low > middle[3]
    assert threshold(middle, exact, error, 0.0).scale == middle[3]


@pytest.fixture(scope="module")
def pythia():
    rows = pd.read_csv(DATA / "pythia" / "pythia_arithmetic_by_operand.csv.gz")
    return rows.groupby(["operation", "n_shot", "step", "n_params"])["acc"].mean()


def error_of(share, n_items=5000):
    return np.sqrt(share * (1 - share) / n_items)


def test_few_shot_addition_emerges_with_size_and_not_in_order(pythia):
    final = pythia.loc["addition", 16, 143_000]
    np.testing.assert_allclose(final, [0.018, 0.035, 0.032, 0.051, 0.685, 0.477, 0.874], atol=6e-4)
    zero_shot = pythia.loc["addition", 0, 143_000]
    np.testing.assert_allclose(zero_shot, [0, 0, 0.003, 0, 0.022, 0.013, 0.041], atol=6e-4)
    scale, value = final.index.to_numpy(float), final.to_numpy()
    assert value[4] - value[5] > 10 * np.hypot(*error_of(value[4:6]))  # 2.8B beats 6.9B
    found = shape(scale, value, error_of(value), 0.0)
    assert found.kind == "jump"
    assert (found.place.low, found.place.estimate) == (scale[3], scale[4])
    assert found.excess > 10 * error_of(value).max()
    # with a scatter as large as that between 2.8B and 6.9B, seven sizes do not tell a jump from a line unless it is
    # known where they start; in no case is it flat
    unknown = shape(scale, value, error_of(value))
    assert (unknown.kind, unknown.likeliest, unknown.probabilities["flat"]) == ("undecided", "jump", 0)
    # some sums are guessed by the smallest already: of 5000 items .018 is above 0 by more than sampling error
    assert "from the smallest size on" in threshold(scale, value, error_of(value), 0.0).reason


def test_perplexity_falls_smoothly_where_addition_jumps():
    rows = pd.read_csv(DATA / "pythia" / "pythia_v1_opt_bloom_core_tasks.csv.gz")
    rows = rows[(rows["suite"] == "pythia-v1") & (rows["variant"] == "deduped") & (rows["step"] == 143_000)]
    rows = rows[(rows["n_shot"] == 0) & (rows["task"] == "lambada_openai") & (rows["metric"] == "ppl")]
    rows = rows[rows["n_params"] > 1e8].sort_values("n_params")
    np.testing.assert_allclose(rows["value"], [32.2, 10.6, 7.41, 6.11, 5.00, 4.16, 3.87], rtol=0.02)
    assert (np.diff(rows["value"]) < 0).all()


def test_few_shot_arithmetic_emerges_along_training(pythia):
    steps = [13_000, 39_000, 65_000, 91_000, 117_000, 143_000]
    largest = max(pythia.index.get_level_values("n_params"))
    published = {
        "addition": [0.029, 0.100, 0.333, 0.688, 0.847, 0.874],
        "multiplication": [0.020, 0.105, 0.217, 0.344, 0.405, 0.448],
    }
    for operation, expected in published.items():
        value = np.array([pythia.loc[operation, 16, step, largest] for step in steps])
        np.testing.assert_allclose(value, expected, atol=6e-4)
        assert (np.diff(value) > 0).all()
    addition = np.array([pythia.loc["addition", 16, step, largest] for step in steps])
    found = shape(steps, addition, error_of(addition))
    # five parameters and a scatter for six evaluations: which it is cannot be said, and what fits is
    assert (found.kind, found.likeliest, found.probabilities["flat"]) == ("undecided", "logistic", 0)
    assert found.reason == "logistic fits best, with more parameters than 6 sizes can bear"
    assert 65_000 < found.place.low < found.place.high < 91_000


def test_chain_of_thought_hurts_small_models_and_helps_large_ones():
    rows = pd.read_csv(DATA / "published_tables" / "cot_by_model_size.csv")
    wide = rows[rows["task"] == "GSM8K"].pivot_table(
        index=["model_family", "n_params"], columns="prompting", values="accuracy_pct"
    )
    gain = (wide["chain_of_thought"] - wide["standard"]).round(1)
    assert gain.loc["LaMDA"].tolist() == [-2.2, -1.7, -1.6, 2.5, 7.8]
    assert gain.loc["GPT"].tolist() == [-1.7, -1.9, -1.6, 31.3]
    assert gain.loc["PaLM"].tolist() == [-0.8, 20.3, 39.0]
    sizes = gain.index.get_level_values("n_params").to_numpy()
    assert (gain[sizes < 1e10] < 0).all()
    assert (gain[sizes > 6e10] > 0).all()


def test_percentages_of_the_published_table_are_read_as_such(tmp_path):
    rows = pd.read_csv(DATA / "published_tables" / "cot_by_model_size.csv").dropna(subset=["n_params"])
    rows = rows.rename(columns={"accuracy_pct": "value"}).assign(metric="accuracy")
    rows["model"] = rows["model_family"] + " " + rows["size_label"]
    rows.to_csv(tmp_path / "cot.csv", index=False)
    with pytest.raises(ValueError, match="expected shares, 0 to 1"):
        read(tmp_path / "cot.csv")
    table = read(tmp_path / "cot.csv", percent=["accuracy"])
    assert table["value"].max() == 1
    assert table["value"][table["model"] == "PaLM 540B"].max() > 0.5


def test_scope_neglect_is_u_shaped_and_the_conjunction_fallacy_the_inverse():
    rows = pd.read_csv(DATA / "inverse_scaling" / "candidate_tasks_by_model.csv")
    rows = rows[(rows["model_family"] == "GPT-3") & (rows["metric"] == "accuracy")].sort_values("n_params")
    neglect = rows[rows["task"] == "scope-neglect-1shot"]
    np.testing.assert_allclose(neglect["value"], [0.585, 0.544, 0.408, 0.570], atol=1e-3)
    assert shape(neglect["n_params"], neglect["value"], neglect["stderr"]).kind == "u_shape"
    assert shape(neglect["n_params"], neglect["value"]).kind == "undecided"
    fallacy = rows[rows["task"] == "conjunction-fallacy-1shot"]
    np.testing.assert_allclose(fallacy["value"], [0.471, 0.500, 0.687, 0.347], atol=1e-3)
    assert shape(fallacy["n_params"], fallacy["value"], fallacy["stderr"]).kind == "inverted_u"


def test_mmlu_by_compute():
    rows = pd.read_csv(DATA / "obs_scaling" / "base_llm_benchmark_eval.csv").dropna(subset=["FLOPs (1E21)", "MMLU"])
    part = pd.cut(rows["FLOPs (1E21)"], [0, 1, 3, 10, 30, 60, 100, 300, np.inf])
    groups = rows.groupby(part, observed=True)
    means = groups["MMLU"].mean()
    np.testing.assert_allclose(means, [0.259, 0.270, 0.277, 0.304, 0.347, 0.390, 0.540, 0.673], atol=2e-3)
    spread = groups["MMLU"].std() / np.sqrt(groups["MMLU"].size())
    found = shape(groups["FLOPs (1E21)"].median() * 1e21, means, spread, 0.25)
    assert found.kind not in ("flat", "u_shape", "inverted_u", "jump")
    assert found.probabilities["power_law"] < 0.05  # slow, then fast
    left = threshold(groups["FLOPs (1E21)"].median() * 1e21, means, spread, 0.25)
    assert left.high <= 5e22
