"""Readers of what others measured: the layout of a published file, and any table item by item."""

import io

import pandas as pd
import pytest

from probe.scaling.published import ITEM_COLUMNS, OPERAND_COLUMNS, read_items, read_operand_accuracies

PUBLISHED = """model,repo_name,n_params,step,n_shot,operation,operand,acc,stderr
big(v0),b,2000,1000,16,multiplication,1,0.5,0.07
big(v0),b,2000,1000,16,multiplication,0,0.02,0.02
small(v0),s,100,1000,0,addition,7,1,0
small(v0),s,100,500,0,addition,7,0,0
"""


def text(content: str) -> io.BytesIO:
    return io.BytesIO(content.encode())


def test_the_published_layout_is_read_smallest_models_first():
    table = read_operand_accuracies(text(PUBLISHED))
    assert tuple(table.columns) == OPERAND_COLUMNS
    assert table["model"].tolist() == ["small(v0)", "small(v0)", "big(v0)", "big(v0)"]
    assert table["step"].tolist() == [500, 1000, 1000, 1000]
    assert table["operand"].tolist() == [7, 7, 0, 1]
    assert table["accuracy"].tolist() == [0.0, 1.0, 0.02, 0.5]
    assert (table["n_items"] == 50).all()


@pytest.mark.parametrize("name", ["results.csv", "results.csv.gz", "results.parquet"])
def test_files_of_any_kind_give_the_same_table(tmp_path, name):
    table = read_operand_accuracies(text(PUBLISHED))
    path = tmp_path / name
    table.to_parquet(path) if name.endswith("parquet") else table.to_csv(path, index=False)
    pd.testing.assert_frame_equal(read_operand_accuracies(str(path)), table)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PUBLISHED.replace("n_shot", "shots"), "column 'n_shot' is missing"),
        (PUBLISHED.replace(",acc,", ",score,"), "column 'accuracy' is missing"),
        (PUBLISHED.replace("0.5,0.07", "50,0.07"), r"accuracy is 50.0 in row 1; expected a share"),
        (PUBLISHED.replace("0.02,0.02", ",0.02"), "accuracy is nan in row 2"),
        (PUBLISHED + "small(v0),s,100,500,0,addition,7,1,0\n", "two rows of {'model': 'small"),
    ],
)
def test_what_is_not_such_a_table_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        read_operand_accuracies(text(content))


ITEMS = "name,question,exact_match,size,subject\na,q1,1,10,x\na,q2,0,10,x\nb,q1,0.5,20,y\n"


def test_items_are_read_by_the_names_that_the_file_has():
    found = read_items(text(ITEMS), {"model": "name", "item": "question", "correct": "exact_match", "n_params": "size"})
    assert tuple(found.columns) == (*ITEM_COLUMNS, "subject")
    assert found["correct"].tolist() == [1.0, 0.0, 0.5]
    assert found["n_params"].tolist() == [10, 10, 20]
    assert found["exposures"].isna().all()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"model": "name", "item": "question"}, "column 'correct' is missing"),
        (
            {"model": "who", "item": "question", "correct": "exact_match"},
            "columns: model is called 'who', which the file",
        ),
        ({"model": "name", "item": "question", "correct": "size"}, "correct is 10 in row 1"),
        ({"model": "name", "item": "question", "correct": "subject"}, "correct is x in row 1; expected a share"),
        (
            {"model": "name", "item": "subject", "correct": "exact_match", "modl": "size"},
            "columns: got 'modl'; expected",
        ),
        ({"model": "subject", "item": "size", "correct": "exact_match"}, "two rows of {'model': 'x'"),
    ],
)
def test_items_that_lack_something_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        read_items(text(ITEMS), columns)
