"""The command t2 samples: forecasts, a plan that is written whole, and bad tables in one line."""

import json
from pathlib import Path

import pandas as pd
import pytest

import t2lib as t2

ROWS = {"question": list("abcdef"), "n_samples": [50] * 6, "n_correct": [0, 0, 0, 1, 4, 20]}


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table of one checkpoint in an otherwise empty working folder."""
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(ROWS).to_csv("counts.csv", index=False)
    return Path("counts.csv")


def test_forecast_and_plan_are_those_of_the_functions(run, table):
    code, out, said = run("samples", table, "--k", 1000, "--k", 10, "--more", 99, "--json")
    assert code == 0 and said.startswith("plan.csv: ")
    (answer,) = json.loads(out)
    counts = ROWS["n_samples"], ROWS["n_correct"]
    expected = t2.predict_pass_at_k(*counts, [10, 1000]).reset_index().to_dict("records")
    assert answer["forecast"] == expected and answer["answered"] == 3
    plan = pd.read_csv("plan.csv")
    assert list(plan["more"]) == list(t2.sampling_plan(*counts, 99, k=1000))
    assert plan["more"].sum() == 99 and list(plan["question"]) == ROWS["question"]


def test_checkpoints_and_tasks_are_told_apart_and_rows_stay_in_order(run, table):
    rows = pd.concat([pd.DataFrame(ROWS).assign(model=name) for name in ("big", "small")])
    rows.sample(frac=1, random_state=0).to_csv(table, index=False)
    code, out, _ = run("samples", table, "--k", 100, "--more", 10)
    assert code == 0 and out.count("pass@100 ") == 2
    assert "small: 6 questions, 50 samples each, 3 answered" in out
    plan = pd.read_csv("plan.csv")
    assert plan.drop(columns="more").equals(pd.read_csv(table))
    assert list(plan.groupby("model")["more"].sum()) == [10, 10]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_correct": [0, 51, 0, 1, 4, 20]}, "row 3, column n_correct: 51 is larger than n_samp"),
        ({"n_samples": [50, 50, 0, 50, 50, 50]}, "row 4, column n_samples: 0 is less than 1"),
        ({"n_correct": [0, "x", 0, 1, 4, 20]}, "row 3, column n_correct: 'x' is not a number"),
        ({"question": list("abcdea")}, "row 7, columns question: repeats row 2"),
        ({"n_correct": [0] * 6}, "column n_correct: 0 in every row: nothing can be forecast"),
    ],
)
def test_bad_tables_are_one_line_and_nothing_is_written(run, table, change, message):
    pd.DataFrame(ROWS | change).to_csv(table, index=False)
    code, out, err = run("samples", table, "--k", 100, "--more", 10)
    assert (code, out) == (1, "") and err.count("\n") == 1
    assert err.startswith("t2: error: counts.csv: ") and message in err
    assert not Path("plan.csv").exists()


def test_what_is_there_is_not_overwritten_unless_told(run, table):
    Path("plan.csv").write_text("mine")
    code, _, err = run("samples", table, "--k", 100, "--more", 10)
    assert code == 1 and "--force" in err and Path("plan.csv").read_text() == "mine"
    code, _, err = run("samples", table, "--k", 9, "--more", 10, "-o", table, "--force")
    assert code == 1 and "one of the files that were read" in err
    assert run("samples", table, "--k", 100, "--more", 10, "--force")[0] == 0


def test_a_missing_column_is_named(run, table):
    pd.DataFrame(ROWS).rename(columns={"n_correct": "right"}).to_csv(table, index=False)
    code, _, err = run("samples", table, "--k", 100)
    assert code == 1 and "counts.csv: column n_correct: missing" in err
