"""Many logs put together: what must be alike, what is joined, what is passed over."""

import gzip
import json

import numpy as np
import pytest
from harness_logs import DATE, RUNS, choice_rows, sample_rows, write_log, write_table

import t2lib as t2
from t2lib._checks import DataErrors
from t2lib.evals.importers import results_file

LATER = "2025-03-02T12-00-00.123456"


def logs(folder, n, *, shots=(), rows=None, task="arc_easy", name="run{}", **more):
    """Write a log a run, with n-shot in its results file where it is given; return the runs."""
    runs = {}
    for i in range(n):
        content = {"results": {}, "n-shot": {task: shots[i]}} | more if shots else None
        write_log(folder / name.format(i), rows or choice_rows(8)[0], task, results=content)
        runs[name.format(i)] = {"n_params": 1e8, "n_tokens": 1e9 * (1 + i), "model": "m"}
    return runs


# --- the same questions, asked in the same way ----------------------------------------------------


def test_checkpoints_with_other_settings_are_named_and_the_larger_side_is_kept(tmp_path):
    runs = logs(tmp_path, 5, shots=[5, 0, 0, 5, 0])
    found = t2.read_results(tmp_path, runs=runs)
    (note,) = found.notes
    assert "task arc_easy: checkpoints differ in n-shot (0 at 3 checkpoints, 5 at 2)" in note
    assert note.endswith("left out are 2, fitted are the 3 with n-shot 0, --mix fits all")
    assert found.left_out == [note]
    assert found.curves["n_tokens"].unique().tolist() == [2e9, 3e9, 5e9]
    mixed = t2.read_results(tmp_path, runs=runs, mix=True)
    assert mixed.curves["n_tokens"].nunique() == 5
    assert "all are fitted together, as asked" in mixed.notes[0]


def test_a_setting_known_at_some_checkpoints_only_is_told(tmp_path):
    runs = logs(tmp_path, 5, shots=[5] * 5)
    for i in (0, 1):
        next((tmp_path / f"run{i}").glob("results_*")).unlink()
    found = t2.read_results(tmp_path, runs=runs)
    assert found.notes == ["task arc_easy: n-shot is 5 at 3 checkpoints and unknown at 2"]
    assert found.curves["n_tokens"].nunique() == 5


def test_other_questions_under_the_same_numbers_are_noticed(tmp_path):
    """By the log's own hash of a document, or by the document."""
    runs = logs(tmp_path, 3)
    rows = choice_rows(8)[0]
    for row in rows:
        row["doc_hash"] = "another"
    write_log(tmp_path / "run1", rows)
    found = t2.read_results(tmp_path, runs=runs)
    assert found.curves["n_tokens"].unique().tolist() == [1e9, 3e9]
    assert "differ in questions (8 (" in found.notes[0]


@pytest.mark.parametrize("kind", ["questions", "names", "curves"])
def test_a_table_s_checkpoints_are_compared_too(tmp_path, kind):
    rows = [
        {"model": f"m{i}", "task": "t", "n_params": 1e8 + i, "n_tokens": 1e9, "question": q}
        | {"n_samples": 4, "n_correct": q % 5}
        for i in range(3)
        for q in range(5 - (i == 2))
    ]
    table = t2.read_results(write_table(_frame(rows), tmp_path / "q.csv"), mix=True).curves
    if kind == "names":
        table = _frame(rows).assign(question=lambda t: "Name/" + t["question"].astype(str))
    found = t2.read_results(
        write_table(_frame(rows) if kind == "questions" else table, tmp_path / "t.csv")
    )
    assert set(found.curves["model"]) == {"m0", "m1"} and "at 2 checkpoints" in found.notes[0]


def _frame(rows):
    import pandas as pd

    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"temperature": 0.2}, "generation's temperature (0.8 at 2 checkpoints, 0.2 at 1)"),
        ({"top_p": 0.5}, "generation's top_p (not set at 2 checkpoints, 0.5 at 1)"),
        ({"max_gen_toks": 64}, "generation's max_gen_toks (not set at 2 checkpoints, 64 at 1)"),
        ({"until": "Q:"}, 'generation\'s until (["A:", "Q:"] at 2 checkpoints, ["Q:"] at 1)'),
        ({"until": ["A:", "Q:"], "seed": 5}, ""),
    ],
)
def test_samples_drawn_under_another_setting_are_left_out(tmp_path, setting, told):
    rows = sample_rows([1, 2], 4)
    for row in rows:
        row["arguments"]["gen_args_0"]["arg_1"] = {"until": ["Q:", "A:"], "temperature": 0.8}
    runs = logs(tmp_path, 3, rows=rows, task="sums")
    for row in rows:
        row["arguments"]["gen_args_0"]["arg_1"] |= setting
    write_log(tmp_path / "run2", rows, "sums")
    found = t2.read_results(tmp_path, runs=runs)
    assert found.counts["n_tokens"].nunique() == (2 if told else 3)
    assert len(found.notes) == bool(told) and all(f"differ in {told};" in x for x in found.notes)


def test_folders_are_variants_that_can_be_chosen(tmp_path):
    for shots in (0, 5):
        runs = logs(tmp_path / f"{shots}shot", 2, shots=[shots] * 2)
    with pytest.raises(t2.DataError, match="--variant 0shot or --variant 5shot reads one of them"):
        t2.read_results(tmp_path, runs=runs)
    found = t2.read_results(tmp_path, runs=runs, variant="5shot")
    assert found.files == 2 and found.notes == []
    with pytest.raises(t2.DataError, match="no folder named '3shot'"):
        t2.read_results(tmp_path, runs=runs, variant="3shot")


def test_a_question_with_few_samples_is_named_and_can_be_left_out(tmp_path):
    rows = [*sample_rows([1, 3, 8], 64), sample_rows([1], 1)[0] | {"doc_id": 3}]
    runs = logs(tmp_path, 2, rows=rows, task="sums")
    found = t2.read_results(tmp_path, runs=runs)
    (note,) = found.notes
    assert found.curves["k"].max() == 1
    assert "task sums: question 3 has 1 sample at m, 1e+09 tokens" in note
    assert "k stops at 1 there; so it is at 2 checkpoints; --min-samples 64" in note
    found = t2.read_results(tmp_path, runs=runs, min_samples=64)
    (note,) = found.notes
    assert found.curves["k"].max() == 64 and set(found.curves["n_questions"]) == {3}
    assert note.endswith("fewer than 64 samples that are left out: 2, at 2 of 2 checkpoints")
    with pytest.raises(t2.DataError, match="no question has 65 samples"):
        t2.read_results(tmp_path, runs=runs, min_samples=65)


# --- tasks that are joined ------------------------------------------------------------------------


def test_tasks_of_one_group_are_joined_question_by_question(tmp_path):
    more = {"group_subtasks": {"mmlu": ["mmlu_law", "mmlu_sets"]}, "results": {}}
    few, many = choice_rows(4, seed=1), choice_rows(12, seed=2)
    for i in range(2):
        for task, (rows, _) in {"mmlu_law": few, "mmlu_sets": many}.items():
            write_log(tmp_path / f"run{i}", rows, task, results=more)
    runs = {f"run{i}": {"n_params": 1e8, "n_tokens": 1e9 + i, "model": "m"} for i in range(2)}
    found = t2.read_results(tmp_path, runs=runs)
    assert set(found.curves["task"]) == {"mmlu"} and set(found.curves["n_questions"]) == {16}
    nll = np.concatenate([few[1], many[1]])
    one = found.curves[found.curves["n_tokens"] == 1e9]
    np.testing.assert_allclose(one["pass_at_k"], t2.pass_at_k_from_nll(nll, one["k"]))
    np.testing.assert_allclose(one["mean_nll"], nll.mean())
    (note,) = found.notes
    assert "joins the questions of 2 tasks (mmlu_law 4, mmlu_sets 12)" in note
    apart = t2.read_results(tmp_path, runs=runs, pool_groups=False)
    assert set(apart.curves["task"]) == {"mmlu_law", "mmlu_sets"} and apart.notes == []
    for tasks in (["mmlu"], ["mmlu_law"]):
        chosen = t2.read_results(tmp_path, runs=runs, tasks=tasks)
        assert set(chosen.curves["task"]) == set(tasks)


def test_any_tasks_can_be_joined_and_their_counts_with_them(tmp_path):
    for task in ("sums_a", "sums_b"):
        runs = logs(tmp_path, 3, rows=sample_rows([1, 2], 4), task=task)
    next((tmp_path / "run2").glob("*sums_b*")).unlink()
    found = t2.read_results(tmp_path, runs=runs, pool={"sums": "sums_*"})
    assert set(found.curves["task"]) == {"sums"} and found.curves["n_tokens"].nunique() == 2
    assert len(found.counts) == 8 and set(found.counts["task"]) == {"sums"}
    assert "left out: 1 checkpoint without some of them" in found.notes[0]
    assert "--no-pool" not in found.notes[-1]
    with pytest.raises(t2.DataError, match=r"pool x: no task is called bbh_. .there is: .*sums_a"):
        t2.read_results(tmp_path, runs=runs, pool={"x": "bbh_*"})
    with pytest.raises(t2.DataError, match="pool 'x': want NAME=PATTERN"):
        t2.read_results(tmp_path, runs=runs, pool={"x": ""})


# --- which logs are read --------------------------------------------------------------------------


def test_a_log_that_is_not_asked_for_stops_nothing(tmp_path):
    runs = logs(tmp_path, 2)
    for path in (tmp_path / "run0", tmp_path / "run1"):
        write_log(path, [{"resps": 3}], "wikitext")
    with pytest.raises(t2.DataError, match=r"2 faults: .*--skip-bad"):
        t2.read_results(tmp_path, runs=runs)
    assert t2.read_results(tmp_path, runs=runs, tasks=["arc_easy"]).files == 2
    with pytest.raises(t2.DataError, match="no task named 'x': want one of arc_easy, wikitext"):
        t2.read_results(tmp_path, runs=runs, tasks=["x"])


def test_of_a_run_evaluated_twice_the_latest_is_read(tmp_path):
    runs = logs(tmp_path, 1, shots=[0])
    rows, nll = choice_rows(8, seed=5)
    path = write_log(tmp_path / "run0", rows, date=LATER, results={"n-shot": {"arc_easy": 5}})
    found = t2.read_results(tmp_path, runs=runs)
    assert found.files == 1 and results_file(path) in found.inputs
    np.testing.assert_allclose(found.curves["mean_nll"], nll.mean())
    (note,) = found.notes
    assert f"evaluated again on {LATER}, which is read; n-shot was 0, then 5" in note


def test_several_revisions_of_a_model_may_lie_in_one_folder(tmp_path):
    days = [f"2025-03-0{day}T12-00-00.1" for day in (1, 2)]
    for step, day in enumerate(days, 1):
        content = {"config": {"model_args": f"pretrained=org/m,revision=step{step}000"}}
        write_log(tmp_path / "org__m", choice_rows(5)[0], date=day, results=content)
    sizes = {"n_params": 1e8, "model": "m"}
    runs = {f"org/m/step{i}000": {**sizes, "n_tokens": i * 1e9} for i in (1, 2)}
    found = t2.read_results(tmp_path, runs=runs)
    assert found.curves["n_tokens"].unique().tolist() == [1e9, 2e9] and found.notes == []
    with pytest.raises(t2.DataError, match=r"(?s)org__m/step1000'.*several revisions.*2 faults"):
        t2.read_results(tmp_path, runs={"org/m": runs["org/m/step1000"]})


def test_logs_of_0_4_0_lie_in_one_folder_as_indented_lists(tmp_path):
    for step in (1, 2):
        name = f"pretrained__org__m,revision__step{step}_arc_easy.jsonl"
        (tmp_path / name).write_text(json.dumps(choice_rows(4)[0], indent=2))
    (tmp_path / "pretrained__org__m_wikitext.jsonl").write_text("[\n]")
    (tmp_path / "results.json").write_text('{"configs": {"arc_easy": {}, "wikitext": {}}}')
    runs = {f"step{i}": {"n_params": 1e8, "n_tokens": i * 1e9, "model": "m"} for i in (1, 2)}
    found = t2.read_results(tmp_path, runs=runs, tasks=["arc_easy"])
    assert found.curves["n_tokens"].unique().tolist() == [1e9, 2e9] and found.files == 2
    with pytest.raises(t2.DataError, match=r"_wikitext.jsonl: "):
        t2.read_results(tmp_path, runs=runs)


def test_runs_are_named_as_they_were_given_to_the_harness(tmp_path):
    names = {
        "org/model-v1.0:step1000": "org__model-v1.0__step1000",
        "/mnt/ck//small/step2000": "__mnt__ck__small__step2000",
        "repo/name[rev": "repo__name__rev",
    }
    for folder in names.values():
        write_log(tmp_path / folder, choice_rows(3)[0])
    runs = {
        name: {"n_params": 1e8, "n_tokens": 1e9 + i, "model": "m"} for i, name in enumerate(names)
    }
    assert t2.read_results(tmp_path, runs=runs).files == 3
    runs["repo?name|rev"] = {"n_params": 1e8, "n_tokens": 9e9, "model": "m"}
    with pytest.raises(t2.DataError, match=r"is it run 'repo.*' or 'repo"):
        t2.read_results(tmp_path, runs=runs)


def test_output_path_json_names_runs_in_one_folder(tmp_path):
    for i, day in enumerate((DATE, LATER)):
        write_log(tmp_path, choice_rows(3)[0], date=day)
        (tmp_path / f"small-{i}_{day}.json").write_text('{"results": {}}')
    runs = {f"small-{i}": {"n_params": 1e8, "n_tokens": 1e9 + i, "model": "m"} for i in range(2)}
    found = t2.read_results(tmp_path, runs=runs)
    assert found.curves["n_tokens"].nunique() == 2 and found.notes == []


def test_results_without_samples_are_told_to_log_them(tmp_path):
    (tmp_path / "run9").mkdir()
    (tmp_path / "run9" / f"results_{DATE}.json").write_text('{"results": {}}')
    with pytest.raises(t2.DataError, match=r"no .* files found; .*results_.*--log_samples"):
        t2.read_results(tmp_path, runs=RUNS)
    runs = logs(tmp_path, 2)
    (note,) = t2.read_results(tmp_path, runs=runs).notes
    assert "run9" in note and "--log_samples" in note


# --- faults ---------------------------------------------------------------------------------------


def test_all_faults_are_told_at_once_with_the_option_that_skips_them(tmp_path, run):
    runs = logs(tmp_path / "logs", 6)
    for path in (tmp_path / "logs").rglob("*.jsonl"):
        path.write_text("")
    lines = ["run,n_params,n_tokens,model"]
    lines += [f"{name},{one['n_params']},{one['n_tokens']},m" for name, one in runs.items()]
    (tmp_path / "runs.csv").write_text("\n".join(lines))
    place = tmp_path / "report.html"
    arguments = ("fit", tmp_path / "logs", "--runs", tmp_path / "runs.csv", "-o", place)
    code, out, err = run(*arguments, "--jobs", 1)
    *told, last = err.splitlines()
    assert (code, out, len(told)) == (1, "", 6) and "6 faults: " in last and "--skip-bad" in last
    assert all(line.startswith("t2: error: ") and "the log is empty" in line for line in told)


def test_a_broken_results_file_is_a_fault_of_its_log(tmp_path):
    runs = logs(tmp_path, 2, shots=[0, 0])
    (tmp_path / "run1" / f"results_{DATE}.json").write_text("{")
    with pytest.raises(t2.DataError, match="not JSON"):
        t2.read_results(tmp_path, runs=runs)
    found = t2.read_results(tmp_path, runs=runs, skip_bad=True, tasks=["arc_easy"])
    assert found.files == 1 and "not JSON" in found.skipped[0]


def test_very_many_faults_that_are_the_same_share_a_line():
    error = DataErrors([f"{i}: empty" for i in range(99)] + ["x: no"], "skip")
    assert error.lines == ["0: empty (so it is with 98 more)", "x: no", "100 faults: skip"]


def test_a_pointer_of_git_lfs_is_named_with_the_command(tmp_path):
    path = tmp_path / "run1" / "t.parquet"
    path.parent.mkdir()
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(t2.DataError, match=r"a pointer of Git LFS.*git lfs pull"):
        t2.read_results(tmp_path, runs=RUNS)


@pytest.mark.parametrize("name", ["f.csv.gz", "x_eval_results.json"])
def test_a_pointer_of_git_lfs_is_named_whatever_it_is_called(tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(t2.DataError, match=r"a pointer of Git LFS.*git lfs pull"):
        t2.read_results(tmp_path, runs=RUNS)


def test_upper_case_is_read_and_unread_files_are_named(tmp_path):
    runs = logs(tmp_path, 3, shots=[0] * 3)
    (log,) = (tmp_path / "run0").glob("samples_*")
    log.rename(log.with_suffix(".JSONL"))
    (log,) = (tmp_path / "run1").glob("samples_*")
    log.with_suffix(".JSONL.GZ").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    (log,) = (tmp_path / "run2").glob("samples_*")
    log.rename(log.with_suffix(".json"))
    (tmp_path / "logs.tar.gz").write_text("")
    found = t2.read_results(tmp_path, runs=runs)
    assert found.files == 2
    (note,) = found.notes
    assert note.startswith("not read: 2 files that may be logs (1 .tar.gz, 1 .json); ")
    assert "beside 1 results file there is no other; read are" in note


# --- questions with names -------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_question_may_have_a_name(tmp_path, suffix):
    rows = [
        {"model": "m", "task": "t", "n_params": 1e8, "n_tokens": 2e9, "question": f"HumanEval/{q}"}
        | {"n_samples": 100, "n_correct": c}
        for q, c in enumerate([3, 50])
    ]
    found = t2.read_results(write_table(_frame(rows), tmp_path / f"t{suffix}"))
    assert found.curves["pass_at_k"][0] == pytest.approx(0.265)
    rows[1]["question"] = rows[0]["question"]
    with pytest.raises(t2.DataError, match="question: repeats row"):
        t2.read_results(write_table(_frame(rows), tmp_path / f"t{suffix}"))
    rows[1]["question"] = None
    with pytest.raises(t2.DataError, match="column question"):
        t2.read_results(write_table(_frame(rows), tmp_path / f"t{suffix}"))
