"""Reading results: two versions of the harness, BIG-bench and tables, and what may be wrong with them."""

import json

import numpy as np
import pandas as pd
import pytest

from probe.scaling import read
from probe.scaling.harness_results import PYTHIA_PARAMETERS, pythia_parameters
from probe.scaling.tidy import COLUMNS

OLD = {
    "results": {
        "lambada_openai": {"ppl": 11.37, "ppl_stderr": 0.32, "acc": 0.4632, "acc_stderr": 0.0069},
        "piqa": {"acc": 0.697, "acc_stderr": 0.0107, "acc_norm": 0.6975, "acc_norm_stderr": 0.0107},
    },
    "versions": {"lambada_openai": 0, "piqa": 0},
    "config": {
        "model": "hf-causal",
        "model_args": "pretrained=EleutherAI/pythia-v1.1-12b-deduped,revision=step13000",
        "num_fewshot": 5,
        "limit": None,
    },
}
NEW = {
    "results": {
        "arc_easy": {"alias": "arc_easy", "acc,none": 0.6, "acc_stderr,none": 0.01, "name": "arc_easy"},
        "gsm8k": {
            "alias": "gsm8k",
            "exact_match,strict-match": 0.02,
            "exact_match_stderr,strict-match": 0.004,
            "exact_match,flexible-extract": 0.03,
            "exact_match_stderr,flexible-extract": "N/A",
        },
    },
    "group_subtasks": {"arc_easy": []},
    "configs": {"arc_easy": {"task": "arc_easy"}},
    "versions": {"arc_easy": 1.0, "gsm8k": 3.0},
    "n-shot": {"arc_easy": 0, "gsm8k": 5},
    "n-samples": {"arc_easy": {"original": 2376, "effective": 2376}},
    "config": {
        "model": "hf",
        "model_args": {"pretrained": "somebody/small-model", "revision": "main"},
        "model_num_parameters": 25_000_000,
    },
    "lm_eval_version": "0.4.9",
}


def bigbench(name="4b", n_params=3623973888, task="modified_arithmetic", low=0.0, score=0.25):
    """As ``bigbench.api.results`` has it."""
    return {
        "scores": [
            {
                "score_dict": {"exact_str_match": score, "bleu": 100 * score},
                "preferred_score": "exact_str_match",
                "number_of_shots": shots,
                "low_score": low,
                "high_score": 1.0,
                "subtask_description": part,
            }
            for shots, part in ((0, task), (3, task), (3, "two digits"))
        ],
        "task": {"task_name": task},
        "model": {
            "model_family": "BIG-G T=0",
            "model_name": name,
            "total_params": 2 * n_params,
            "non_embedding_params": n_params + 1,
            "flop_matched_non_embedding_params": n_params,
            "training_batch_size": 32,
            "training_steps": 100,
            "description": "",
            "decoding_params": {},
        },
        "queries": [],
    }


def write(folder, name, content):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file


def changed(content, **parts):
    return json.loads(json.dumps(content)) | parts


def test_results_of_version_0_3(tmp_path):
    table = read(write(tmp_path, "12b-deduped-5shot_step13000.json", OLD))
    assert tuple(table.columns) == COLUMNS
    assert table[["task", "metric", "value", "stderr"]].to_numpy().tolist() == [
        ["lambada_openai", "acc", 0.4632, 0.0069],
        ["lambada_openai", "ppl", 11.37, 0.32],
        ["piqa", "acc", 0.697, 0.0107],
        ["piqa", "acc_norm", 0.6975, 0.0107],
    ]
    assert set(table["model"]) == {"EleutherAI/pythia-v1.1-12b-deduped"}
    assert (table["n_params"] == 11_846_072_320).all()
    assert (table["step"] == 13_000).all()
    assert (table["n_shot"] == 5).all()
    assert table["chance"].isna().all()


def test_results_of_version_0_4(tmp_path):
    table = read(write(tmp_path, "results_2024-07-01T00-00-00.json", NEW)).set_index(["task", "metric"])
    assert table.index.tolist() == [
        ("arc_easy", "acc"),
        ("gsm8k", "exact_match,flexible-extract"),
        ("gsm8k", "exact_match,strict-match"),
    ]
    assert table["value"].tolist() == [0.6, 0.03, 0.02]
    np.testing.assert_array_equal(table["stderr"], [0.01, np.nan, 0.004])
    np.testing.assert_array_equal(table["n_items"], [2376, np.nan, np.nan])
    assert table["n_shot"].tolist() == [0, 5, 5]
    assert table["step"].isna().all()
    assert (table["n_params"] == 25_000_000).all()
    assert set(table["model"]) == {"somebody/small-model"}


def test_a_folder_of_models_and_steps_as_pythias(tmp_path):
    """The step is in the name where the revision does not say it; the smallest models come first."""
    for size in ("12b", "70m"):
        for step in (1000, 143000):
            config = {"model": "hf-causal", "model_args": f"pretrained=EleutherAI/pythia-{size}", "num_fewshot": 0}
            write(tmp_path, f"pythia-{size}/zero-shot/{size}_step{step}.json", changed(OLD, config=config))
    (tmp_path / "README.md").write_text("not read")
    table = read(str(tmp_path))
    assert len(table) == 16
    found = table[["n_params", "step"]].drop_duplicates().to_numpy().tolist()
    assert found == [[PYTHIA_PARAMETERS[size], step] for size in ("70m", "12b") for step in (1000, 143000)]


def test_pythia_is_known_by_its_former_names():
    former = ("19m", "125m", "350m", "800m", "1.3b", "2.7b", "6.7b", "13b")
    present = ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")
    for old, new in zip(former, present, strict=True):
        assert pythia_parameters(f"EleutherAI/pythia-{old}-deduped") == PYTHIA_PARAMETERS[new]
        assert pythia_parameters(f"pythia-v1.1-{new}-1MtokBS") == PYTHIA_PARAMETERS[new]
    assert np.isnan(pythia_parameters("EleutherAI/gpt-neo-1.3B"))
    assert np.isnan(pythia_parameters("pythia-3b"))


def test_scores_of_bigbench(tmp_path):
    write(tmp_path, "modified_arithmetic/results/scores_BIG-G_T=0_4b.json", bigbench())
    write(tmp_path, "modified_arithmetic/results/scores_BIG-G_T=0_8b.json", bigbench("8b", 8590102528))
    table = read(tmp_path)
    assert tuple(table.columns) == (*COLUMNS, "preferred")
    assert table["model"].unique().tolist() == ["BIG-G T=0 4b", "BIG-G T=0 8b"]
    assert table["n_params"].unique().tolist() == [3623973888, 8590102528]
    assert set(table["task"]) == {"modified_arithmetic", "modified_arithmetic:two digits"}
    preferred = table[table["preferred"]]
    assert set(preferred["metric"]) == {"exact_str_match"}
    assert (preferred["chance"] == 0).all()
    assert table[~table["preferred"]]["chance"].isna().all()
    assert (table[table["metric"] == "bleu"]["value"] == 25).all()
    assert sorted(table["n_shot"].unique()) == [0, 3]
    alone = bigbench()
    alone["score_data"] = alone.pop("scores")[0]
    assert len(read(write(tmp_path, "one.json", alone))) == 2


ROWS = """model,n_params,step,task,metric,value,stderr,n_items,chance,seed
b,2000,10,sums,accuracy,0.5,0.05,100,0.25,0
a,100,10,sums,accuracy,0.25,0.04,100,0.25,0
a,100,10,sums,accuracy,0.26,0.04,100,0.25,1
a,100,10,sums,loss,2.5,0.1,100,,0
"""


@pytest.fixture
def table_file(tmp_path):
    def made(text=ROWS, name="table.csv"):
        file = tmp_path / name
        file.write_text(text)
        return file

    return made


def test_a_tidy_table(table_file, tmp_path):
    table = read(table_file())
    assert tuple(table.columns) == (*COLUMNS, "seed")
    assert table["model"].tolist() == ["a", "a", "a", "b"]
    assert table["value"].tolist() == [0.25, 0.26, 2.5, 0.5]
    assert table["flops"].isna().all()
    for name in ("again.csv.gz", "again.parquet"):
        table.to_parquet(tmp_path / name) if name.endswith("parquet") else table.to_csv(tmp_path / name, index=False)
        pd.testing.assert_frame_equal(read(tmp_path / name), table)


def test_what_the_file_does_not_say_is_given(table_file):
    bare = "model,task,metric,value\nb,sums,accuracy,40\na,sums,accuracy,0.4\n"
    found = read(table_file(bare), sizes={"a": 1, "b": 2}, chance={"sums": 0.001}, percent=["accuracy"])
    assert found["value"].tolist() == [0.004, 0.4]
    assert found["n_params"].tolist() == [1, 2]
    assert found["chance"].tolist() == [0.001, 0.001]
    compute = bare.replace("40", "0.4").replace("value", "value,flops").replace("0.4\n", "0.4,1e20\n")
    assert read(table_file(compute))["flops"].tolist() == [1e20, 1e20]
    errors = ROWS.replace("0.5,0.05", "50,5").replace("0.25,0.04", "25,4").replace("0.26,0.04", "26,4")
    np.testing.assert_allclose(read(table_file(errors), percent=["accuracy"])["stderr"], [0.04, 0.04, 0.1, 0.05])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("metric,", "measure,"), "column 'metric' is missing; the table has model, n_params"),
        (("b,2000", "b,"), r"n_params: no size is given for 'b'; expected n_params, flops or tokens of every model"),
        (("b,2000", "b,-5"), "n_params: -5 given for b at step 10 in sums, expected numbers above 0"),
        (("b,2000", "b,big"), "n_params: 'big' given in row 1, expected numbers"),
        (("0.26,0.04,100,0.25,1", "0.26,0.04,100,0.25,0"), "two rows of a at step 10 in sums, with nothing else"),
        (
            ("0.5,0.05", "50,0.05"),
            "accuracy is 50 for b at step 10 in sums, and 0.25 for a at step 10 in sums; expected sh",
        ),
        (("0.5,0.05", "-0.5,0.05"), "accuracy is -0.5 for b"),
        (("0.5,0.05", ",0.05"), "value: missing for b at step 10 in sums, expected numbers"),
        (("0.5,0.05", "0.5,5"), "stderr: 5 given for b at step 10 in sums, more than a share can have"),
        (("0.5,0.05", "0.5,-0.05"), "stderr: -0.05 given for b"),
        (("0.25,0.04", "0.05,0.04"), "chance: 0.25 given, but accuracy is 0.05 for a at step 10 in sums, below it"),
        (("100,0.25,0\na", "100,25,0\na"), "chance: 25 given for b at step 10 in sums, expected a share below 1"),
    ],
)
def test_bad_rows_are_named(table_file, change, message):
    assert change[0] in ROWS
    with pytest.raises(ValueError, match=message):
        read(table_file(ROWS.replace(*change, 1)))


def test_an_untrained_model_has_seen_no_tokens(table_file):
    text = "model,n_params,tokens,step,task,metric,value\na,100,0,0,sums,loss,3\na,100,50,1,sums,loss,2\n"
    assert read(table_file(text))["tokens"].tolist() == [0, 50]
    with pytest.raises(ValueError, match="tokens: -1 given for a at step 0 in sums, expected numbers above 0"):
        read(table_file(text.replace("100,0,0", "100,-1,0")))
    with pytest.raises(ValueError, match="n_params: 0 given for a at step 0 in sums"):
        read(table_file(text.replace("100,0,0", "0,0,0")))


def test_what_is_below_chance_by_sampling_error_alone_is_read(table_file):
    assert len(read(table_file(ROWS.replace("0.25,0.04", "0.15,0.04", 1)))) == 4  # 2.3 errors
    without_items = ROWS.replace("0.25,0.04,100", "0.05,0.04,", 1)
    with pytest.raises(ValueError, match="below it by more than 4 standard errors"):
        read(table_file(without_items))
    assert len(read(table_file(ROWS.replace("0.25,0.04,100", "0.05,,", 1)))) == 4  # nothing says how sure it is


def test_names_that_no_row_has_are_refused(table_file):
    with pytest.raises(ValueError, match="percent: 'acc' given, which no row has; there are accuracy, loss"):
        read(table_file(), percent=["acc"])
    with pytest.raises(ValueError, match="chance: 'products' given, which no row has; there are sums"):
        read(table_file(), chance={"products": 0.1})


def test_other_versions_and_other_files_are_refused(tmp_path):
    def refused(content, message):
        with pytest.raises(ValueError, match=message):
            read(write(tmp_path, "results.json", content))

    refused(changed(NEW, lm_eval_version="0.5.0"), "written by lm-evaluation-harness 0.5.0, expected 0.3 or 0.4")
    refused(changed(NEW, lm_eval_version="1.0"), "lm-evaluation-harness 1.0, expected")
    unknown = "laid out as by no version of lm-evaluation-harness that is known here"
    refused(changed(OLD, results={"piqa": [0.5]}), unknown)
    refused(changed(OLD, results={"piqa": {"acc": {"mean": 0.5}}}), unknown)
    refused(changed(OLD, results={"piqa": {"acc": 0.5, "acc_stderr": 0.1, "acc,none": 0.5}}), unknown)
    refused({"results": [1]}, "expected results of lm-evaluation-harness .* or scores of BIG-bench")
    refused([1, 2], "expected results of lm-evaluation-harness")
    refused(changed(OLD, config={"model_args": ""}), "the model is not named")
    nobody = changed(OLD, config={"model_args": "pretrained=nobody/model"})
    refused(nobody, "no size is given for 'nobody/model'")
    place = write(tmp_path, "results.json", nobody)
    assert (read(place, sizes={"nobody/model": 5})["n_params"] == 5).all()
    with pytest.raises(ValueError, match="step 2000 by its name, but 13000 by the revision"):
        read(write(tmp_path, "other/12b_step2000.json", OLD))
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ValueError, match=r"broken\.json: no JSON"):
        read(tmp_path / "broken.json")
    refused(changed(bigbench(), model={"model_name": "4b"}), "expected task.task_name, model.model_family")
    less = bigbench()
    del less["scores"][0]["low_score"]
    refused(less, "'low_score' of a score is missing")
    sizeless = bigbench()
    sizeless["model"] |= {"non_embedding_params": 0, "flop_matched_non_embedding_params": 0}
    refused(sizeless, "no size is given for 'BIG-G T=0 4b'")


def test_places_with_nothing_to_read(tmp_path):
    with pytest.raises(ValueError, match="path: no JSON file in"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read(tmp_path / "nothing.csv")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match=r"expected a folder, or a file ending with \.json, \.csv"):
        read(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match="nothing was measured in"):
        read(write(tmp_path, "empty.json", changed(bigbench(), scores=[])))


def test_an_evaluation_that_is_there_twice_is_refused(tmp_path):
    for name in ("first.json", "second.json"):
        write(tmp_path, name, OLD)
    with pytest.raises(ValueError, match=r"two rows of EleutherAI/pythia-v1\.1-12b-deduped at step 13000 in"):
        read(tmp_path)
