"""Whatever a file holds: one line that says what is wrong and where, or numbers that are right."""

import json
import os
import pickle
import re
import string
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from at_hand import ROOT
from harness_logs import (
    RUNS,
    choice_row,
    choice_rows,
    question_table,
    sample_row,
    write_log,
    write_table,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import t2lib as t2
from t2lib._checks import DataError
from t2lib.evals.runs import number, read_runs

few = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refusal(path, runs=RUNS, **options):
    """Read; return the one line of the refusal, and check that skip_bad counts it."""
    with pytest.raises(DataError) as error:
        t2.read_results(path, runs=runs, **options)
    message = str(error.value)
    assert "\n" not in message and len(message) < 1000
    with pytest.raises(DataError, match=r"nothing could be read|no .* files found"):
        t2.read_results(path, runs=runs, skip_bad=True, **options)
    return message


# --- harness logs, by hand ------------------------------------------------------------------------


def broken(change):
    """Return three good multiple-choice lines of which ``change`` was done to the second."""
    rows = choice_rows(3)[0]
    change(rows[1])
    return rows


def set_log(value):
    def change(row):
        row["resps"][0][0][0] = value

    return change


WRONG = {
    "above 0": (set_log("0.5"), "row 2, column resps: log-likelihood 0.5 is above 0"),
    "nan": (set_log("nan"), "row 2, column resps: log-likelihood nan is not finite"),
    "inf": (set_log("inf"), "row 2, column resps: log-likelihood inf is above 0"),
    "text": (set_log("many"), "row 2, column resps: 'many' is not a number"),
    "true": (set_log(True), "row 2, column resps: True is not a number"),
    "null": (set_log(None), "row 2, column resps: None is not a number"),
    "1e999": (set_log(-(10**400)), "row 2, column resps"),
    "no target": (lambda r: r.pop("target"), "row 2, column target: missing"),
    "null target": (lambda r: r.update(target=None), "row 2, column target: missing"),
    "target out of range": (lambda r: r.update(target="9"), "column target: '9' names no choice"),
    "negative target": (lambda r: r.update(target="-1"), "column target: '-1' names no choice"),
    "two targets": (lambda r: r.update(target="[0, 1]"), "column target: '[0, 1]' names several"),
    "no resps": (lambda r: r.pop("resps"), "row 2, column resps: missing"),
    "empty resps": (lambda r: r.update(resps=[]), "row 2, column resps: not a list"),
    "no doc_id": (lambda r: r.pop("doc_id"), "row 2, column doc_id: None is not a question's"),
    "question twice": (lambda r: r.update(doc_id=0), "column doc_id: repeats question 0 of row 1"),
    "lost request": (lambda r: r["resps"].pop(), "row 2, column arguments: want a context"),
    "no arguments": (lambda r: r.pop("arguments"), "row 2, column arguments: want a context"),
    "another document": (
        lambda r: r.update(doc={"goal": "", "sol1": ""}),
        "row 2, column doc: its fields differ from row 1's (answer, choices, goal,",
    ),
    "generated text": (
        lambda r: r.update(sample_row(1, ["42"], 1.0, doc=r["doc"])),
        "row 2, column resps: log-likelihoods and generated text: mixed tasks in one file",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_line_of_likelihoods(tmp_path, case):
    change, wanted = WRONG[case]
    path = write_log(tmp_path / "run1", broken(change))
    message = refusal(path)
    assert message.startswith(f"{path}: ") and wanted in message


SAMPLES_WRONG = {
    "no responses": ({"resps": [[]]}, "row 2, column resps: 0 responses: nothing was sampled"),
    "share above 1": ({"exact_match": 1.5}, "column exact_match: 1.5 is not between 0 and 1"),
    "nan": ({"exact_match": float("nan")}, "column exact_match: nan is not between 0 and 1"),
    "no whole share": ({"exact_match": 0.3}, "column exact_match: 0.3 is not a share of 4"),
    "text": ({"exact_match": "yes"}, "column exact_match: 'yes' is not between 0 and 1"),
    "short list": ({"exact_match": [1, 0]}, "column exact_match: want 4 values, each 0 or 1"),
    "first only": (
        {"filtered_resps": ["42"]},
        "row 2, column exact_match: scores 1 of 4 responses",
    ),
    "no target": ({"target": None}, "row 2, column target: missing"),
    "two requests": ({"resps": [["a"] * 4, ["b"] * 4]}, "row 2, column resps: 2 requests for one"),
    "a number": (
        {"resps": [["a", "b", 3, "d"]]},
        "row 2, column resps: 3 is not a response's text",
    ),
}


@pytest.mark.parametrize("case", SAMPLES_WRONG)
def test_a_wrong_line_of_samples(tmp_path, case):
    changes, wanted = SAMPLES_WRONG[case]
    rows = [sample_row(i, ["42", "42", "1", "2"], 0.5) for i in range(3)]
    rows[1] |= changes
    assert wanted in refusal(write_log(tmp_path / "run1", rows, "sums"))


def test_a_metric_that_is_no_score_is_refused(tmp_path):
    row = sample_row(0, ["42", "41"], 0.5, metrics=["bleu"], bleu=0.4)
    del row["exact_match"]
    wanted = "row 1, column metrics: none of exact_match, pass@1, pass_at_1, acc, em, "
    assert wanted in refusal(write_log(tmp_path / "run1", [row]))


@pytest.mark.parametrize("cut", [1, 2, 30, 200])
def test_a_truncated_log(tmp_path, cut):
    path = write_log(tmp_path / "run1", choice_rows(3)[0])
    path.write_bytes(path.read_bytes()[:-cut])
    if cut == 1:  # only the last line's end is lost
        assert t2.read_results(path, runs=RUNS).curves["n_questions"].max() == 3
    else:
        assert "row 3, column" in (message := refusal(path)) and "cut off" in message


FILES_WRONG = {
    "empty": (b"", "the log is empty"),
    "blank": (b"\n \n", "the log is empty"),
    "a JSON list": (b'[\n  {\n "doc_id": 0}]', "row 3: the list is cut off: it has no end"),
    "a list in one line": (b'[{"doc_id": 0}]', "row 1: not a JSON object"),
    "a list and more": (b'[\n  {\n    "resps": [\n  },\n]', "row 4, column 3: not JSON"),
    "no object": (b"3\n", "row 1: not a JSON object"),
    "not UTF-8": (b'{"doc_id": "\xff"}\n', "row 1: not UTF-8 text"),
    "a pickle": (pickle.dumps({"nll": [1.0]}), "row 1"),
    "brackets": (b"[" * 200_000, "row 1: not JSON"),
    "long number": (b'{"doc_id": ' + b"9" * 10_000 + b"}", "row 1: not JSON that can be read"),
    "other keys": (b'{"a": 1}\n', "row 1: not a line of the harness's log"),
}


@pytest.mark.parametrize("case", FILES_WRONG)
def test_a_log_that_is_none(tmp_path, case):
    content, wanted = FILES_WRONG[case]
    path = write_log(tmp_path / "run1", [])
    path.write_bytes(content)
    assert wanted in refusal(path)


def test_lines_of_ten_million_characters(tmp_path):
    long = "x" * 10_000_000
    rows, nll = choice_rows(2)
    for row in rows:
        row["doc"]["passage"] = long
    path = write_log(tmp_path / "run1", rows)
    assert t2.read_results(path, runs=RUNS).curves["mean_nll"][0] == pytest.approx(nll.mean())
    for bad in (long, '{"doc_id": "' + long + '"}', '{"resps": [["' + long):
        path.write_text(bad)
        assert "row 1" in refusal(path)
    for suffix in ("csv", "jsonl"):
        table = tmp_path / f"table.{suffix}"
        table.write_text(f"model,nll\n{long}" if suffix == "csv" else f'{{"nll": "{long}"}}')
        refusal(table)


def test_a_line_without_an_end_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("t2lib.data.tables.LONGEST_JSON", 2**20)
    monkeypatch.setattr("t2lib.data.tables.LONGEST_CSV", 2**20)
    for name in ("samples_x.jsonl", "table.jsonl", "table.csv"):
        path = tmp_path / name
        path.write_bytes(b"a,b\n" * (name == "table.csv") + b"1" * 2**21)
        assert "longer than 1 MiB" in refusal(path, runs={tmp_path.name: RUNS["run1"]})


def test_filters_of_which_one_is_cut_off(tmp_path):
    rows = [sample_row(i, ["42"], 1.0, filter=name) for name in "ab" for i in range(3)]
    path = write_log(tmp_path / "run1", rows[:-1])
    assert "filters differ in their questions" in refusal(path)


# --- names and places -----------------------------------------------------------------------------


def test_run_names_without_n_and_d(tmp_path):
    path = write_log(tmp_path / "run2", choice_rows(3)[0])
    assert f"{path}: run 'run2' has no N and D" in refusal(tmp_path)
    assert f"{path}: no N and D: give a runs file" in refusal(tmp_path, runs=None)


def test_two_runs_with_one_name(tmp_path):
    for part in ("a", "b"):
        write_log(tmp_path / part / "run1", choice_rows(3)[0])
    assert "two runs with one name: run1, task arc_easy, 2e+10 tokens" in refusal(tmp_path)
    (tmp_path / "table.csv").write_text(
        "model,task,n_params,n_tokens,question,nll\nrun3,x,1e9,1e9,0,1\nrun4,x,1e9,1e9,0,1\n"
        "run4,y,2e9,2e9,0,1\n"
    )
    with pytest.raises(DataError, match=r"two runs with one name: run4 has 1e\+09 and 2e\+09"):
        t2.read_results(tmp_path / "table.csv")
    found = t2.read_results(tmp_path, runs=RUNS, skip_bad=True)
    assert set(found.curves["model"]) == {"run3"}
    assert len(found.skipped) == 2


def test_one_task_with_likelihoods_and_samples(tmp_path):
    write_log(tmp_path / "run1", choice_rows(3)[0], "task")
    write_log(tmp_path / "run2", [sample_row(0, ["42"], 1.0)], "task")
    runs = RUNS | {"run2": {"n_params": 1e6, "n_tokens": 1e9}}
    assert "task task has samples here and likelihoods in" in refusal(tmp_path, runs=runs)


def test_folders_and_links_in_the_place_of_files(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    secret = write_log(outside, choice_rows(3)[0])
    log = write_log(inside / "run1", choice_rows(3)[0])
    good = t2.read_results(inside, runs=RUNS)
    (inside / "link.jsonl").symlink_to(log)  # inside: the same file, read once
    (inside / "loop").symlink_to(inside)
    (inside / "one.csv").symlink_to(inside / "two.csv")  # a circle
    (inside / "two.csv").symlink_to(inside / "one.csv")
    (inside / ".hidden.csv").write_text("not read")
    (inside / "notes.txt").write_text("not read")
    assert t2.read_results(inside, runs=RUNS).curves.equals(good.curves)

    cases = {
        "away.jsonl": lambda path: path.symlink_to(secret),
        "away": lambda path: path.symlink_to(outside),
        "gone.csv": lambda path: path.symlink_to(tmp_path / "nowhere"),
        "folder.csv": lambda path: path.mkdir(),
        "pipe.jsonl": lambda path: os.mkfifo(path),
    }
    for name, make in cases.items():
        path = inside / name
        make(path)
        with pytest.raises(DataError) as error:
            t2.read_results(inside, runs=RUNS)
        assert str(error.value).startswith(f"{path}: ")
        found = t2.read_results(inside, runs=RUNS, skip_bad=True)
        assert len(found.skipped) == 1 and found.curves.equals(good.curves)
        path.rmdir() if name == "folder.csv" else path.unlink()
    for path in (tmp_path / "none", tmp_path / "empty.txt", outside / "folder.csv"):
        if path.suffix == ".csv":
            path.mkdir()
        if path.suffix == ".txt":
            path.touch()
        refusal(path)
    with pytest.raises(DataError, match="no files or folders"):
        t2.read_results([])


def test_a_folder_given_by_a_link_is_read(tmp_path):
    write_log(tmp_path / "real" / "run1", choice_rows(3)[0])
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    assert t2.read_results(tmp_path / "alias", runs=RUNS).files == 1


# --- runs files -----------------------------------------------------------------------------------

YAML_WRONG = {
    "runs:\n  a: {n_params: 1e9}": "row 2, column n_tokens: missing for run 'a'",
    "runs:\n  a: {n_params: 1e9, n_tokens: }": "row 2, column n_tokens: missing for run 'a'",
    "runs:\n  a: {n_params: '1,200', n_tokens: 1}": "row 2, column n_params: '1,200' is not a num",
    "runs:\n  a: {n_params: 1_000, n_tokens: 1}": "write it without separators",
    "runs:\n  a: {n_params: 1:30, n_tokens: 1}": "row 2, column n_params: '1:30' is not a number",
    "runs:\n  a: {n_params: 0x10, n_tokens: 1}": "column n_params: '0x10' is not a number",
    "runs:\n  a: {n_params: .nan, n_tokens: 1}": "column n_params: '.nan' is not a number",
    "runs:\n  a: {n_params: -1e9, n_tokens: 1}": "column n_params: '-1e9' is not a number",
    "runs:\n  a: {n_params: 0, n_tokens: 1}": "column n_params: 0 is not between 1 and 1e+24",
    "runs:\n  a: {n_params: 1e999, n_tokens: 1}": "column n_params: inf is not between 1 and 1e+24",
    "runs:\n  a: {n_params: [1], n_tokens: 1}": "row 2, column n_params",
    "runs:\n  a: {n_params: 1, n_tokens: 1, n_token: 1}": "unknown entry 'n_token': is n_tokens",
    "runs:\n  a: {n_params: 1, n_params: 2, n_tokens: 1}": "row 2: 'n_params' is there twice",
    "runs:\n  a: {n_params: 1, n_tokens: 1}\n  a: {n_params: 2, n_tokens: 1}": "row 3: 'a' is",
    "runs:\n  a: {n_params: 1, n_tokens: 1, model: m}\n  b: {n_params: 2, n_tokens: 1, model: m}": (
        "row 3, column n_params: model 'm' has another size at"
    ),
    "runs:\n  ' ': {n_params: 1, n_tokens: 1}": "row 2: a run without a name",
    "runs:\n  a: 3": "row 2: run 'a': want n_params and n_tokens",
    "runs: {}": "no runs in it",
    "runs: []": "want names with values",
    "a: {n_params: 1, n_tokens: 1}": "column runs: missing",
    "": "want names with values",
    "3": "want names with values",
    "runs: {a: {n_params: [}": "row 1: not YAML",
    "runs: {a: [}": "row 1: run 'a': want n_params and n_tokens",
    "runs:\n\ta: 1": "not YAML",
    "? [a]\n: b": "row 1: a name must be plain text",
    "runs: !!python/object/apply:os.system [echo]": "row 1: YAML tag 'tag:yaml.org,2002:python/obj",
    "runs:\n  a: !secret {n_params: 1, n_tokens: 1}": "row 2: YAML tag '!secret': tags are refused",
    "runs:\n  a: {n_params: !!float 1, n_tokens: 1}": "row 2: YAML tag",
    "runs:\n  a: &x {n_params: 1, n_tokens: 1}\n  b: *x": "row 3: YAML alias: aliases are refused",
    "[" * 50_000: "row 1: want names with values",
    "runs:\n  a: {n_params: " + "[" * 50_000: "row 2: nested too deeply",
    "runs:\n  a b: {n_params: 1, n_tokens: 1}\n  'a b ': {n_params: 1, n_tokens: 2}": (
        "row 3: run 'a b ' differs from 'a b' at "
    ),
    "runs:\n  a: {n_params: 1, n_tokens: 1}\n  \ufeffb: {n_params: 1, n_tokens: 1}": (
        "row 3: a byte order mark amid the text"
    ),
    "runs:\n  a: {n_params: 1e308, n_tokens: 1}": "column n_params: 1e+308 is not between 1 and 1",
    "runs:\n  a: {n_params: 1, n_tokens: 1e-300}": "column n_tokens: 1e-300 is not between 1 and",
    f"runs:\n  a: {{n_params: {10**400}, n_tokens: 1}}": "column n_params: '1000000",
    "runs:\n  a: {n_params: 1, n_tokens: 1}\n---\nruns: {}": "not YAML",
}


CSV_RUNS_WRONG = {
    "run;n_params;n_tokens\na;1;1": "row 1: columns are separated by semicolons: want commas",
    "run,n_params\na,1": "row 1, column n_tokens: missing",
    "run,n_params,n_tokens,n_params\na,1,1,1": "row 1, column n_params: there twice",
    "run,n_params,n_tokens\na,1,200,1": "row 2: has 4 cells, the header has 3",
    'run,n_params,n_tokens\na,"1,200",1': "row 2, column n_params: '1,200' is not a number",
    "run,n_params,n_tokens\na,1,1\n\na,1,1": "row 4: two runs named 'a'",
    'run,n_params,n_tokens\n"a,1,1': "row 2: not CSV",
    "run,n_params,n_tokens": "no runs in it",
    "": "row 1, column run: missing",
}


WRONG_RUNS = [("runs.yml", *wrong) for wrong in YAML_WRONG.items()]
WRONG_RUNS += [("runs.csv", *wrong) for wrong in CSV_RUNS_WRONG.items()]


@pytest.mark.parametrize(("name", "text", "message"), WRONG_RUNS)
def test_wrong_runs_files(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_runs(path)
    said = str(error.value)
    assert said.startswith(f"{path}: ") and message in said and "\n" not in said


def test_runs_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no such file"):
        read_runs(tmp_path / "none.yml")
    with pytest.raises(DataError, match="unknown kind of runs file"):
        read_runs(tmp_path / "runs.json")
    (tmp_path / "runs.yml").write_bytes(b"runs:\n  \xff: {}")
    with pytest.raises(DataError, match="not UTF-8 text: byte 8"):
        read_runs(tmp_path / "runs.yml")
    monkeypatch.setattr("t2lib.evals.runs._LARGEST", 10)
    with pytest.raises(DataError, match="not a runs file"):
        read_runs(tmp_path / "runs.yml")


# --- tables, by hand ------------------------------------------------------------------------------

HEADER = "model,task,n_params,n_tokens,question,nll\n"
COUNTS = "model,task,n_params,n_tokens,question,n_samples,n_correct\n"
GOOD = "a,t,1e9,2e10,0,1.5\n"
CSV_WRONG = {
    HEADER.replace(",", ";") + GOOD.replace(",", ";"): "columns must be separated by commas",
    HEADER.replace(",", "\t") + GOOD.replace(",", "\t"): "columns must be separated by commas",
    HEADER
    + GOOD
    + 'a,t,"1,000,000",2e10,1,1.5\n': "row 3, column n_params: '1,000,000' is not a n",
    HEADER + GOOD + "a,t,1,000,2e10,1,1.5\n": "row 3: has 7 cells, the header has 6",
    HEADER + GOOD + "a,t,1e9,2e10,1\n": "row 3: has 5 cells, the header has 6",
    HEADER + GOOD + '"a,t,1e9,2e10,1,1.5\na,t,1e9,2e10,2,1.5\n': "",
    HEADER + '"a\n",t,1e9,2e10,1,1.5\n': "3 lines make 2 rows: is a quotation mark missing?",
    HEADER
    + GOOD
    + "\n\na,t,1e9,2e10,1,-0.5\n": "row 5, column nll: -0.5 is not a finite number of",
    HEADER + GOOD + "\na,t,1e9,2e10,1,x\n": "row 4, column nll: 'x' is not a number",
    HEADER + GOOD + "a,t,1e9,2e10,1,1,5\n": "row 3: has 7 cells",
    HEADER + GOOD + 'a,t,1e9,2e10,1,"1,5"\n': "row 3, column nll: '1,5' is not a number",
    HEADER + GOOD + "a,t,1e9,2e10,1,nan\n": "row 3, column nll: nan is empty or not a number",
    HEADER + GOOD + "a,t,1e9,2e10,1,inf\n": "row 3, column nll: inf is not a finite number",
    HEADER + GOOD + "a,t,1e9,2e10,1,\n": "row 3, column nll: nan is empty or not a number",
    HEADER + GOOD + ",t,1e9,2e10,1,1\n": "row 3, column model: nan is empty",
    HEADER + GOOD + "a,t,0,2e10,1,1\n": "row 3, column n_params: 0 is not between 1 and 1e",
    HEADER + GOOD + "a,t,1e9,2e10,0.5,1\n": "row 3, column question: 0.5 is not a whole number",
    HEADER + GOOD + GOOD: "row 3",
    HEADER: "the table is empty",
    "": "not a CSV table",
    "model,model,nll\na,b,1\n": "row 1, column model: there twice",
    "a,b\n1,2\n": "no column nll, n_correct or pass_at_k (there is: a, b)",
    HEADER.replace("task,", "") + "a,1e9,2e10,0,1\n": "column task: missing",
    HEADER.replace("nll", "NLL") + GOOD: "no column nll",
    "nll,n_correct\n1,1\n": "columns nll and n_correct: one table holds one kind of result",
    COUNTS + "a,t,1e9,2e10,0,0,0\n": "row 2, column n_samples: 0 is less than 1",
    COUNTS + "a,t,1e9,2e10,0,4,5\n": "row 2, column n_correct: 5 is larger than n_samples",
    COUNTS + "a,t,1e9,2e10,0,4,-1\n": "row 2, column n_correct: -1 is less than 0",
    COUNTS + "a,t,1e9,2e10,0,4.5,1\n": "row 2, column n_samples: 4.5 is not a whole number",
}


@pytest.mark.parametrize("text", CSV_WRONG, ids=range(len(CSV_WRONG)))
def test_wrong_csv(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text)
    message = refusal(path)
    assert message.startswith(f"{path}: ") and CSV_WRONG[text].replace(".0 ", " ") in (
        message.replace(".0 ", " ")
    )


def test_a_byte_order_mark_is_no_part_of_the_name(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("\ufeff" + HEADER + GOOD, encoding="utf-8")
    assert t2.read_results(path).curves["mean_nll"].tolist() == [1.5] * 17
    path = tmp_path / "table.jsonl"
    row = {"model": "a", "task": "t", "n_params": 1e9, "n_tokens": 1e9, "question": 0, "nll": 2.5}
    path.write_text("\ufeff" + json.dumps(row))
    assert t2.read_results(path).curves["mean_nll"].tolist() == [2.5] * 17


JSON_WRONG = {
    '{"nll": 1}\n{"nll": 1, "more": 2}': "row 2, column more: not the columns of row 1",
    '{"nll": "1.5"}': "row 1, column nll: '1.5' is not a number",
    '{"nll": [1.5]}': "row 1, column nll: [1.5] is not a number",
    '{"nll": 1, "model": ["a"]}': "row 1, column model: ['a'] is not a name",
    '{"nll": NaN, "model": "a", "task": "t", "n_params": 1, "n_tokens": 1, "question": 0}': (
        "row 1, column nll: nan is empty or not a number"
    ),
    '{"nll": true, "model": "a", "task": "t", "n_params": 1, "n_tokens": 1, "question": 0}': (
        "row 1, column nll: True is not a number"
    ),
    '{"nll": 1e400, "model": "a", "task": "t", "n_params": 1, "n_tokens": 1, "question": 0}': (
        "row 1, column nll: inf is not a finite number"
    ),
    '{"nll": 1, "model": "", "task": "t", "n_params": 1, "n_tokens": 1, "question": 0}': (
        "row 1, column model: nan is empty"
    ),
    '{"nll": 1': "row 1, column",
}


@pytest.mark.parametrize("text", JSON_WRONG, ids=range(len(JSON_WRONG)))
def test_wrong_json_lines(tmp_path, text):
    path = tmp_path / "table.jsonl"
    path.write_text(text)
    assert JSON_WRONG[text] in refusal(path)


def test_wrong_parquet(tmp_path):
    path = tmp_path / "table.parquet"
    for content in (b"", b"PAR1", pickle.dumps([1]), os.urandom(500)):
        path.write_bytes(content)
        assert "not a Parquet table" in refusal(path)
    good = write_table(question_table(), path).read_bytes()
    for i in range(0, len(good), 97):
        path.write_bytes(good[:i] + good[i + 9 :])
        refusal(path)
    table = question_table().astype({"nll": object})
    table["nll"] = [[1.0]] * len(table)
    assert "column nll" in refusal(write_table(table, path))
    table["nll"] = ["1"] * len(table)
    assert "column nll" in refusal(write_table(table, path))
    write_table(question_table().assign(model=7).query("task == 'maths'").iloc[:3], path)
    assert set(t2.read_results(path).curves["model"]) == {"7"}


# --- fuzzing --------------------------------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["-1.5", "nan", "0.5", "False", "0", "1", "<b>", "\ud800"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
good_lines = st.sampled_from([choice_row(0, [-1.0, -2.0], 1), sample_row(0, ["42", "1"], 0.5)])


def read_or_refuse(path, runs=RUNS):
    """Return curves that keep every rule of a curve, or None after a refusal of one line."""
    try:
        curves = t2.read_results(path, runs=runs).curves
    except DataError as error:
        message = str(error)
        assert "\n" not in message and len(message) < 1000 and str(path) in message
        return None
    assert curves["pass_at_k"].between(0, 1).all() and np.isfinite(curves["pass_at_k"]).all()
    for _, rows in curves.groupby(["suite", "model", "task", "n_tokens"]):
        assert (np.diff(rows["pass_at_k"]) >= -1e-12).all()
    return curves


@few
@given(row=good_lines, key=st.data(), value=values)
def test_any_value_in_any_place_of_a_log(tmp_path, row, key, value):
    row = json.loads(json.dumps(row))
    place = row
    while True:  # walk to a random place of the line
        keys = list(place) if isinstance(place, dict) else range(len(place))
        if not keys:
            break
        at = key.draw(st.sampled_from(keys))
        if isinstance(place[at], dict | list) and place[at] and key.draw(st.booleans()):
            place = place[at]
            continue
        place[at] = value
        break
    path = tmp_path / "run1" / "samples_task.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(row) + "\n")
    curves = read_or_refuse(path)
    if curves is not None and "nll" in curves:
        assert (curves["mean_nll"] >= 0).all()


@few
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8")))
@pytest.mark.parametrize("name", ["samples_t.jsonl", "t.jsonl", "t.csv", "t.parquet"])
def test_any_bytes_in_any_file(tmp_path, name, content):
    path = tmp_path / "run1" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    read_or_refuse(path)


@few
@given(at=st.integers(0, 10**6), bits=st.integers(1, 255), name=st.sampled_from(["csv", "jsonl"]))
def test_a_flipped_byte_in_a_table(tmp_path, at, bits, name):
    path = write_table(question_table(n=3), tmp_path / f"t.{name}")
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= bits
    path.write_bytes(bytes(content))
    read_or_refuse(path)


cells = st.text(string.printable, max_size=12) | st.floats().map(str) | st.integers().map(str)


@few
@given(rows=st.lists(st.lists(cells, min_size=6, max_size=6), min_size=1, max_size=4))
def test_any_cells_in_a_csv_table(tmp_path, rows):
    path = tmp_path / "t.csv"
    pd.DataFrame(rows, columns=HEADER.strip().split(",")).to_csv(path, index=False)
    curves = read_or_refuse(path)
    if curves is not None:
        asked = {(row[0], row[1], float(row[3])) for row in rows}
        found = set(zip(curves["model"], curves["task"], curves["n_tokens"], strict=True))
        assert found == asked


@few
@given(text=st.text(max_size=60) | st.text("runs:{}[]!&*n_params,1 \n-'\"", max_size=60))
@pytest.mark.parametrize("name", ["runs.yml", "runs.csv"])
def test_any_text_in_a_runs_file(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        runs = read_runs(path)
    except DataError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    else:
        assert all(run.n_params > 0 and run.n_tokens > 0 for run in runs.values())


@given(value=st.floats(1, 9e11), unit=st.sampled_from(["", "k", "M", "B", "T"]))
def test_numbers_of_runs_keep_their_value(value, unit):
    factor = {"": 1, "k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}[unit]
    assert number(f"{value!r}{unit}") == pytest.approx(value * factor, rel=1e-15)


@given(text=st.text(max_size=30))
def test_any_text_as_a_number(text):
    try:
        value = number(text)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert value > 0 and np.isfinite(value) and "," not in text


@few
@given(
    n=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    data=st.data(),
)
def test_counts_come_through_any_form(tmp_path, n, data):
    c = [data.draw(st.integers(0, one)) for one in n]
    rows = [
        sample_row(i, ["42"] * right + ["x"] * (total - right), right / total)
        for i, (total, right) in enumerate(zip(n, c, strict=True))
    ]
    path = tmp_path / "run1" / "samples_task.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    curves = t2.read_results(path, runs=RUNS, k=1).curves
    assert curves["pass_at_k"][0] == pytest.approx(np.mean(np.array(c) / np.array(n)))


# --- strict at the border -------------------------------------------------------------------------


HUGE = str(10**400)


@pytest.mark.parametrize("column", ["n_params", "n_tokens", "question", "nll"])
@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_numbers_beyond_any_float(tmp_path, column, suffix):
    path = tmp_path / f"t{suffix}"
    write_table(question_table(), path)
    lines = path.read_text().splitlines()
    if suffix == ".csv":
        cells = lines[2].split(",")
        cells[lines[0].split(",").index(column)] = HUGE
        lines[2] = ",".join(cells)
    else:
        row = json.loads(lines[2]) | {column: 10**400}
        lines[2] = json.dumps(row)
    path.write_text("\n".join(lines) + "\n")
    assert refusal(path).startswith(f"{path}: row 3, column {column}: ")


@pytest.mark.parametrize("value", [1e308, 1e-300, 1e25, 0.5])
@pytest.mark.parametrize("column", ["n_params", "n_tokens"])
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_sizes_that_no_model_has(tmp_path, column, value, suffix):
    path = tmp_path / f"t{suffix}"
    table = question_table()
    table[column] = table[column].astype(float)
    table.loc[1, column] = value
    write_table(table, path)
    row = 2 if suffix != ".csv" else 3
    wanted = f"{path}: row {row}, column {column}: {value:g} is not between 1 and 1e+24"
    assert refusal(path) == wanted
    with pytest.raises(
        DataError, match=f"column {column}: {re.escape(f'{value:g}')} is not between"
    ):
        read_runs({"a": {"n_params": 1, "n_tokens": 1} | {column: value}})


def test_a_number_of_a_run_beyond_any_float():
    with pytest.raises(DataError, match=r"column n_params: 1000.* is not between 1 and 1e\+24"):
        read_runs({"a": {"n_params": 10**400, "n_tokens": 1}})


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("column", ["model", "task", "suite"])
@pytest.mark.parametrize("other", ["m 1 ", "m\u00a01", "m\u200b 1", "m  1", "m1"])
def test_names_that_differ_by_blanks_only(tmp_path, suffix, column, other):
    table = question_table(models=["small"]).query("task == 'maths'")
    one = table.assign(**{column: "m 1"})
    two = table.assign(**{column: other}, n_tokens=table["n_tokens"] * 2)
    write_table(pd.concat([one, two]), tmp_path / f"t{suffix}")
    with pytest.raises(DataError, match=rf"t{suffix}: column {column}: .* by blanks only$"):
        t2.read_results(tmp_path)
    (tmp_path / f"t{suffix}").unlink()
    write_table(one, tmp_path / f"a{suffix}")  # in two files too
    write_table(two, tmp_path / f"b{suffix}")
    with pytest.raises(DataError, match=rf"b{suffix}: column {column}: .* by blanks only$"):
        t2.read_results(tmp_path)
    kept = t2.read_results(tmp_path, skip_bad=True)
    assert set(kept.curves[column]) == {"m 1"} and len(kept.skipped) == 1


MARKS = {
    "header": (
        "suite,",
        "\ufeff\ufeffsuite,",
        "row 1, column \\ufeffsuite: holds a byte order mark",
    ),
    "cell": (
        "\nmine,",
        "\n\ufeffmine,",
        "row 2, column suite: '\\ufeffmine' holds a byte order mark",
    ),
    "column": (",nll,", ",nll,nll ,", "row 1, column nll: differs from 'nll' by blanks only"),
}


@pytest.mark.parametrize("case", MARKS)
def test_marks_and_blanks_in_a_csv_table(tmp_path, case):
    old, new, wanted = MARKS[case]
    path = tmp_path / "t.csv"
    table = question_table()
    write_table(table[["suite", "model", "task", "n_params", "n_tokens", "nll", "question"]], path)
    path.write_text(path.read_text().replace(old, new, 1))
    message = refusal(path)
    assert message.startswith(f"{path}: ") and wanted in message


JSON_BORDER = {
    '{"a": 1, "a": 2}': "row 3: not JSON that can be read: 'a' is there twice",
    '{"doc": {"x": 1, "x": 1}}': "row 3: not JSON that can be read: 'x' is there twice",
    '\ufeff{"a": 1}': "row 3, column 1: not JSON: Unexpected UTF-8 BOM",
    "[" * 100_000: "row 3: not JSON that can be read: ",
    '{"a": ' + "9" * 10_000 + "}": "row 3: not JSON that can be read: ",
}


@pytest.mark.parametrize("line", JSON_BORDER, ids=lambda line: line[:20])
def test_json_lines_are_read_strictly(tmp_path, line):
    path = tmp_path / "t.jsonl"
    write_table(question_table(), path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], line, *lines[2:]]) + "\n")
    message = refusal(path)
    assert message.startswith(f"{path}: ") and JSON_BORDER[line] in message
    log = write_log(tmp_path / "run1", choice_rows(3)[0])
    lines = log.read_text().splitlines()
    log.write_text("\n".join([*lines[:2], line, *lines[2:]]) + "\n")
    assert JSON_BORDER[line] in refusal(log)


def test_half_a_character_is_no_part_of_a_name(tmp_path):
    path = tmp_path / "t.jsonl"
    write_table(question_table(), path)
    row = json.loads(path.read_text().splitlines()[0])
    row |= {"model": "m\ud800", "question": 99}
    path.write_text(path.read_text() + json.dumps(row) + "\n")
    assert "column model: 'm\\ud800' holds" in refusal(path)
    log = write_log(tmp_path / "run1", choice_rows(3)[0])
    bad = os.fsencode(log.parent) + b"/samples_\xff_2024-01-01T00-00-00.jsonl"
    os.rename(log, bad)
    message = refusal(log.parent)
    assert message.isprintable() and "the task's name is not UTF-8 text" in message


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_hundred_thousand_columns_are_refused_at_once(tmp_path, suffix):
    """Seconds at most; Parquet, whose footer alone takes some, in twice the time of writing it."""
    path, began = tmp_path / f"wide{suffix}", time.process_time()
    names = [f"c{i}" for i in range(100_000)]
    if suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.table({name: [1] for name in names}), path)
    elif suffix == ".csv":
        path.write_text(",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
    else:
        path.write_text(json.dumps(dict.fromkeys(names, 1)) + "\n")
    made = time.process_time()
    with pytest.raises(DataError, match="100000 columns: want at most 1000"):
        t2.read_results(path)
    limit = 2 * (made - began) if suffix == ".parquet" else 4
    assert time.process_time() - made < limit


@pytest.mark.parametrize("suffix", [".yml", ".csv"])
def test_two_hundred_thousand_runs_are_read_in_seconds(tmp_path, suffix):
    path = tmp_path / f"runs{suffix}"
    form = "  r{}: {{n_params: 1B, n_tokens: 2B}}\n" if suffix == ".yml" else "r{},1B,2B\n"
    head = "runs:\n" if suffix == ".yml" else "run,n_params,n_tokens\n"
    path.write_text(head + "".join(map(form.format, range(200_000))))
    logs = [
        write_log(tmp_path / f"logs/r{i}", choice_rows(3)[0]) for i in range(9999, 200_000, 10_000)
    ]
    code = f"""
import resource
import t2lib as t2
t2.read_results  # imported before it is measured
before = resource.getrusage(resource.RUSAGE_SELF)
assert t2.read_results({str(tmp_path / "logs")!r}, runs={str(path)!r}).files == {len(logs)}
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime - before.ru_utime, (after.ru_maxrss - before.ru_maxrss) / 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, megabytes = map(float, done.stdout.split())
    assert seconds < 20 and megabytes < 400


def test_yaml_that_never_ends_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("t2lib.evals.runs._MOST_ENTRIES", 1000)
    path = tmp_path / "runs.yml"
    path.write_text("junk: [" + "a," * 2000 + "]\nruns:\n  a: {n_params: 1, n_tokens: 1}\n")
    with pytest.raises(DataError, match="row 1: more than 1000 entries: not a runs file"):
        read_runs(path)


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_broken_parquet_metadata(tmp_path, data):
    """What stands at the end of the file is schema and places; any byte of it may be wrong."""
    path = tmp_path / "t.parquet"
    table = pyarrow.Table.from_pandas(question_table(), preserve_index=True)
    pyarrow.parquet.write_table(table, path)
    content = bytearray(path.read_bytes())
    length = int.from_bytes(content[-8:-4], "little") + 8
    for at in data.draw(st.lists(st.integers(1, length), min_size=1, max_size=4)):
        content[-at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        t2.read_results(path)
    except DataError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


def test_pandas_own_metadata_is_not_read(tmp_path):
    path = tmp_path / "t.parquet"
    table = pyarrow.Table.from_pandas(question_table())
    pyarrow.parquet.write_table(table.replace_schema_metadata({"pandas": "{not JSON"}), path)
    assert len(t2.read_results(path).curves)
