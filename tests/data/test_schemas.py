"""Bad tables are refused with one line that names file, row and column; nothing is changed."""

import json

import numpy as np
import pandas as pd
import pytest

from t2lib._checks import DataError
from t2lib.data.schemas import read_table, validate

COUNTS = {
    "suite": "mine",
    "model": "small",
    "task": "sums",
    "n_params": 1e6,
    "n_tokens": 1e9,
    "question": 0,
    "n_samples": 10,
    "n_correct": 3,
}
CURVE = {
    "suite": "mine",
    "model": "small",
    "task": "sums",
    "n_params": 1e6,
    "n_tokens": 1e9,
    "k": 1,
    "n_questions": 5,
    "pass_at_k": 0.25,
    "neg_log_pass": 2.0,
    "mean_nll": 2.0,
}
POINT = {
    "suite": "mine",
    "model": "small",
    "n_params": 1e6,
    "n_tokens": 1e9,
    "train_flops": 6e15,
    "loss": 3.0,
}


def three_rows(row, varying, **second):
    """Three rows that differ in one column; the second one has the given values."""
    rows = [{**row, varying: value} for value in (1, 2, 3)]
    rows[1].update(second)
    return pd.DataFrame(rows, dtype=object)


def refusal(table, schema, tmp_path):
    """Write the table as CSV, read it back, return the error without the file's name."""
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    before = path.read_bytes()
    with pytest.raises(DataError) as error:
        read_table(path, schema)
    message = str(error.value)
    assert path.read_bytes() == before
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_good_tables_pass_with_number_types(tmp_path):
    path = tmp_path / "good.csv"
    three_rows(COUNTS, "question").to_csv(path, index=False)
    table = read_table(path, "questions_counts")
    assert table["n_params"].dtype == float
    assert table["n_samples"].dtype == int
    assert table.index.tolist() == [0, 1, 2]
    for suffix in ("parquet", "jsonl"):
        path = tmp_path / f"good.{suffix}"
        if suffix == "parquet":
            table.to_parquet(path)
        else:
            table.to_json(path, orient="records", lines=True)
        pd.testing.assert_frame_equal(read_table(path, "questions_counts"), table)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"n_params": 0}, "row 3, column n_params: 0 is not a positive finite number"),
        ({"n_params": -5}, "row 3, column n_params: -5 is not a positive finite number"),
        ({"n_params": np.nan}, "row 3, column n_params: nan is empty or not a number"),
        ({"n_params": np.inf}, "row 3, column n_params: inf is not a positive finite number"),
        ({"n_params": "70M"}, "row 3, column n_params: '70M' is not a number"),
        ({"n_tokens": 0}, "row 3, column n_tokens: 0 is not a positive finite number"),
        ({"n_tokens": -1}, "row 3, column n_tokens: -1 is not a positive finite number"),
        ({"n_tokens": np.nan}, "row 3, column n_tokens: nan is empty or not a number"),
        ({"n_tokens": -np.inf}, "row 3, column n_tokens: -inf is not a positive finite number"),
        ({"n_samples": 0, "n_correct": 0}, "row 3, column n_samples: 0 is less than 1"),
        ({"n_samples": 9.5}, "row 3, column n_samples: 9.5 is not a whole number"),
        ({"n_correct": 11}, "row 3, column n_correct: 11 is larger than n_samples"),
        ({"n_correct": -1}, "row 3, column n_correct: -1 is less than 0"),
        ({"model": None}, "row 3, column model: nan is empty or not a number"),
    ],
)
def test_bad_counts(second, message, tmp_path):
    table = three_rows(COUNTS, "question", **second)
    assert refusal(table, "questions_counts", tmp_path) == message


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"k": 0}, "row 3, column k: 0 is less than 1"),
        ({"k": 1.5}, "row 3, column k: 1.5 is not a whole number"),
        ({"k": "many"}, "row 3, column k: 'many' is not a number"),
        ({"n_questions": 0}, "row 3, column n_questions: 0 is less than 1"),
        ({"pass_at_k": 1.1}, "row 3, column pass_at_k: 1.1 is not between 0 and 1"),
        (
            {"neg_log_pass": -0.5},
            "row 3, column neg_log_pass: -0.5 is not a finite number of 0 or more",
        ),
        ({"mean_nll": np.inf}, "row 3, column mean_nll: inf is not a finite number of 0 or more"),
    ],
)
def test_bad_curves(second, message, tmp_path):
    assert refusal(three_rows(CURVE, "k", **second), "curves", tmp_path) == message


def test_k_above_n(tmp_path):
    table = three_rows(COUNTS, "k", k=11).assign(question=[0, 1, 2])
    message = refusal(table, "questions_counts", tmp_path)
    assert message.startswith("row 3, column k: 11 is larger than n_samples")


def test_negative_nll(tmp_path):
    likelihoods = {k: v for k, v in COUNTS.items() if not k.startswith("n_s")} | {"nll": 1.0}
    message = refusal(three_rows(likelihoods, "question", nll=-0.1), "questions_nll", tmp_path)
    assert message == "row 3, column nll: -0.1 is not a finite number of 0 or more"


@pytest.mark.parametrize("value", [0, -1, np.inf, np.nan, "x"])
@pytest.mark.parametrize("column", ["n_params", "n_tokens", "train_flops", "loss"])
def test_bad_points(column, value, tmp_path):
    message = refusal(three_rows(POINT, "loss", **{column: value}), "points", tmp_path)
    assert message.startswith(f"row 3, column {column}: ")


def test_points_need_no_model(tmp_path):
    table = three_rows(POINT, "loss").assign(model=None)
    assert validate(table, "points")["model"].isna().all()


def test_misspelt_column_is_suggested(tmp_path):
    table = three_rows(POINT, "loss").rename(columns={"n_params": "n_param"})
    assert refusal(table, "points", tmp_path) == "column n_params: missing; is 'n_param' meant?"


def test_missing_column(tmp_path):
    table = three_rows(POINT, "loss").drop(columns="loss")
    assert refusal(table, "points", tmp_path) == "column loss: missing"


@pytest.mark.parametrize("text", ["", "suite,model,n_params,n_tokens,train_flops,loss\n"])
def test_empty_table(text, tmp_path):
    path = tmp_path / "empty.csv"
    path.write_text(text)
    with pytest.raises(DataError, match="empty"):
        read_table(path, "points")


def test_duplicate_rows_name_both(tmp_path):
    table = three_rows(COUNTS, "question", question=1)
    message = refusal(table, "questions_counts", tmp_path)
    assert message.startswith("row 3, columns suite, model, task")
    assert message.endswith("repeats row 2")


def test_duplicates_count_where_the_model_is_not_known(tmp_path):
    table = three_rows(POINT, "loss", loss=1).assign(model=None)
    assert refusal(table, "points", tmp_path).endswith("repeats row 2")


def test_the_first_fault_is_the_topmost(tmp_path):
    table = three_rows(COUNTS, "question", n_tokens=-1, n_correct=99)
    table.loc[2, "n_params"] = 0
    assert refusal(table, "questions_counts", tmp_path).startswith("row 3, column n_tokens")


def test_blank_lines_do_not_shift_row_numbers(tmp_path):
    path = tmp_path / "table.csv"
    lines = three_rows(POINT, "loss", loss=-1).to_csv(index=False).splitlines()
    path.write_text("\n".join([lines[0], "", lines[1], "", *lines[2:], ""]))
    with pytest.raises(DataError, match=r"row 5, column loss: -1"):
        read_table(path, "points")


def test_parquet_rows_count_from_one_and_jsonl_rows_are_lines(tmp_path):
    table = three_rows(POINT, "loss", loss=-1).astype({"loss": float})
    table.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t.parquet: row 2, column loss"):
        read_table(tmp_path / "t.parquet", "points")
    table.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    with pytest.raises(DataError, match=r"t.jsonl: row 2, column loss"):
        read_table(tmp_path / "t.jsonl", "points")


@pytest.mark.parametrize(
    ("line", "message"),
    [('{"loss": }', "row 3, column 10: not JSON"), ("[1]", "row 3: not a JSON object")],
)
def test_jsonl_that_is_none(line, message, tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(f"{json.dumps(POINT)}\n\n{line}\n")
    with pytest.raises(DataError, match=message):
        read_table(path, "points")


def test_files_of_another_kind(tmp_path):
    for name, content in {
        "a.parquet": b"no parquet",
        "b.csv": b'a,b\n1,"2\n',
        "c.csv": b"\xff\xfe\x00",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as error:
            read_table(tmp_path / name, "points")
        assert str(error.value).startswith(f"{tmp_path / name}: ")
        assert "\n" not in str(error.value)
    (tmp_path / "d.pkl").write_bytes(b"")
    with pytest.raises(DataError, match="unknown kind of file"):
        read_table(tmp_path / "d.pkl", "points")
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "gone.csv", "points")


def test_validate_names_the_index_label_and_leaves_the_table_alone():
    table = three_rows(POINT, "loss", loss=-1)
    before = table.copy()
    with pytest.raises(DataError, match="runs: row 1, column loss: -1"):
        validate(table, "points", "runs")
    pd.testing.assert_frame_equal(table, before)


def test_labels_that_repeat_give_way_to_positions():
    table = pd.concat([three_rows(POINT, "loss"), three_rows(POINT, "loss", loss=-1)])
    with pytest.raises(DataError, match="runs: row 4, column loss: -1"):
        validate(table, "points", "runs")


def test_unknown_schema():
    with pytest.raises(ValueError, match="no schema named 'curve'"):
        validate(pd.DataFrame({"a": [1]}), "curve")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("path", "../secret", "leaves its folder"),
        ("path", "/etc/passwd", "leaves its folder"),
        ("sha256", "abc", "is not a sha256 in hex"),
        ("bytes", 0, "is less than 1"),
    ],
)
def test_bad_registry(column, value, message):
    row = {
        "name": "a",
        "repository": "o/r",
        "commit": "c",
        "path": "data/a.csv",
        "bytes": 3,
        "sha256": "0" * 64,
        "licence": "MIT",
        "citation": "key",
    }
    assert len(validate(pd.DataFrame([row]), "registry")) == 1
    with pytest.raises(DataError, match=f"column {column}: .* {message}"):
        validate(pd.DataFrame([{**row, column: value}]), "registry")
