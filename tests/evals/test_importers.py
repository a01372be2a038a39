"""Logs and tables as teams have them become the curves that their questions give."""

import gzip
import json
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow
import pytest
from harness_logs import (
    RUNS,
    arguments,
    choice_row,
    choice_rows,
    question_table,
    sample_row,
    sample_rows,
    write_log,
    write_table,
)

import t2lib as t2
from t2lib.data.layouts import gemstones_nll
from t2lib.data.schemas import validate
from t2lib.evals.harness import read_samples, results_file
from t2lib.evals.runs import read_runs

# --- harness logs ---------------------------------------------------------------------------------


def test_multiple_choice_gives_the_right_answers_likelihood(tmp_path):
    rows, nll = choice_rows(30)
    write_log(tmp_path / "run1", rows)
    found = t2.read_results(tmp_path, runs=RUNS)
    curves = found.curves
    assert found.files == 1 and found.skipped == [] and found.notes == []
    assert curves["k"].tolist() == [2**i for i in range(17)]
    assert set(curves["task"]) == {"arc_easy"} and set(curves["model"]) == {"run1"}
    assert set(curves["n_params"]) == {1.2e9} and set(curves["n_tokens"]) == {2e10}
    assert set(curves["suite"]) == {"own"} and set(curves["n_questions"]) == {30}
    np.testing.assert_allclose(curves["pass_at_k"], t2.pass_at_k_from_nll(nll, curves["k"]))
    np.testing.assert_allclose(curves["neg_log_pass"], t2.neg_log_pass_from_nll(nll, curves["k"]))
    np.testing.assert_allclose(curves["mean_nll"], nll.mean())
    validate(curves, "curves")


def test_older_logs_hold_numbers_and_no_filter(tmp_path):
    rows, nll = choice_rows(10)
    for row in rows:
        del row["filter"], row["metrics"]
        row["target"] = int(row["target"])
        row["resps"] = [[[float(value), False]] for [[value, _]] in row["resps"]]
        row["arguments"] = [list(pair.values()) for pair in row["arguments"].values()]
    write_log(tmp_path, rows)
    (answers,), _ = read_samples(next(tmp_path.glob("*.jsonl")))
    np.testing.assert_allclose(answers.nll, nll)


def test_target_may_be_the_choices_text_or_the_documents_gold(tmp_path):
    rows, nll = choice_rows(10)
    for row in rows:
        row["target"] = " " + row["doc"]["choices"][int(row["target"])]
    (answers,), _ = read_samples(write_log(tmp_path, rows))
    np.testing.assert_allclose(answers.nll, nll)
    for row in rows:
        row["doc"]["gold"] = row["doc"]["answer"]
        del row["target"]
    (answers,), _ = read_samples(write_log(tmp_path, rows))
    np.testing.assert_allclose(answers.nll, nll)


def digits_row(question, logs, target, acc):
    """Choices whose texts are digits: a target of 1 may be the number or the text."""
    row = choice_row(question, logs, target, acc=acc)
    row["arguments"] = arguments([("2 - 1 =", " 1"), ("2 - 1 =", " 0")])
    return row


def test_accuracy_tells_a_choices_number_from_its_text(tmp_path):
    # The right choice is the text "1", number 0: with it acc is 1 where number 0 is the likeliest.
    rows = [digits_row(0, [-1.0, -2.0], 1, 1.0), digits_row(1, [-3.0, -2.0], 1, 0.0)]
    (answers,), _ = read_samples(write_log(tmp_path, rows))
    assert answers.nll.tolist() == [1.0, 3.0]
    for row in rows:
        del row["acc"]
    with pytest.raises(t2.DataError, match="column target: a choice's number or its text"):
        read_samples(write_log(tmp_path, rows))


def test_accuracy_that_contradicts_the_target_is_refused(tmp_path):
    rows, _ = choice_rows(5)
    rows[3]["acc"] = 1.0 - rows[3]["acc"]
    with pytest.raises(t2.DataError, match=r"row 4, column acc: .*not known"):
        read_samples(write_log(tmp_path, rows))


def test_a_score_between_0_and_1_has_no_single_right_answer(tmp_path):
    rows, _ = choice_rows(5)
    rows[0]["acc"] = 0.43
    with pytest.raises(t2.DataError, match=r"row 1, column acc: 0\.43 is not 0 or 1"):
        read_samples(write_log(tmp_path, rows))


def test_choices_that_differ_in_the_context_are_told_by_accuracy(tmp_path):
    pairs = [
        ("The cup did not fit because the cup", " was too big."),
        ("... the bag", " was too big."),
    ]
    rows = [
        choice_row(0, [-4.0, -5.0], 0, arguments=arguments(pairs), target="was too big.", acc=1.0),
        choice_row(1, [-4.0, -5.0], 0, arguments=arguments(pairs), target="was too big.", acc=0.0),
    ]
    (answers,), _ = read_samples(write_log(tmp_path, rows, "winogrande"))
    assert answers.nll.tolist() == [4.0, 5.0]


def test_unconditional_requests_of_mutual_information_are_left_out(tmp_path):
    rows, nll = choice_rows(4)
    for row in rows:
        pairs = [tuple(pair.values()) for pair in row["arguments"].values()]
        row["arguments"] = arguments(pairs + [("", text) for _, text in pairs])
        row["resps"] += [[["-0.1", "False"]] for _ in pairs]
    (answers,), _ = read_samples(write_log(tmp_path, rows))
    np.testing.assert_allclose(answers.nll, nll)


def test_one_continuation_is_the_right_one(tmp_path):
    row = choice_row(0, [-2.5], 0, target=" word", arguments=arguments([("context", " word")]))
    row |= {"acc": 0, "perplexity": -2.5}
    (answers,), _ = read_samples(write_log(tmp_path, [row], "lambada_openai"))
    assert answers.nll.tolist() == [2.5] and answers.task == "lambada_openai"


def test_repeats_give_n_and_c(tmp_path):
    counts = np.array([0, 3, 8, 5])
    write_log(tmp_path / "run1", sample_rows(counts, 8), "sums")
    found = t2.read_results(tmp_path, runs=RUNS)
    assert (found.counts["n_samples"] == 8).all()
    assert found.counts["n_correct"].tolist() == counts.tolist()
    curves = found.curves
    assert curves["k"].tolist() == [1, 2, 4, 8]
    wanted = t2.pass_at_k(8, counts[:, None], curves["k"].to_numpy()).mean(axis=0)
    np.testing.assert_allclose(curves["pass_at_k"], wanted)
    assert curves[["neg_log_pass", "mean_nll"]].isna().all(axis=None)


def test_k_stops_at_the_smallest_number_of_samples(tmp_path):
    rows = [sample_row(0, ["42"] * 8, 1.0), sample_row(1, ["41"] * 5, 0.0)]
    write_log(tmp_path / "run1", rows, "sums")
    assert t2.read_results(tmp_path, runs=RUNS).curves["k"].tolist() == [1, 2, 4]
    assert t2.read_results(tmp_path, runs=RUNS, k=[5, 3, 6]).curves["k"].tolist() == [3, 5]
    with pytest.raises(t2.DataError, match="no k of 5 or less"):
        t2.read_results(tmp_path, runs=RUNS, k=[6, 100])


@pytest.mark.parametrize("k", [0, [1, 2.5], [], [np.nan], [-1]])
def test_k_must_be_whole_and_positive(tmp_path, k):
    write_log(tmp_path / "run1", sample_rows([1], 2))
    with pytest.raises(ValueError, match="want whole numbers of 1 or more"):
        t2.read_results(tmp_path, runs=RUNS, k=k)


def test_pass_at_1_and_lists_of_scores_give_c(tmp_path):
    rows = [sample_row(i, ["a", "b", "c"], 0) for i in range(2)]
    for row in rows:
        del row["exact_match"]
    rows[0]["pass@1"] = 2 / 3
    rows[1]["pass@1"] = [1, 0, 0]
    (answers,), _ = read_samples(write_log(tmp_path, rows, "humaneval"))
    assert answers.n_samples.tolist() == [3, 3] and answers.n_correct.tolist() == [2, 1]


def test_a_single_response_is_one_sample(tmp_path):
    rows = [sample_row(i, ["42"], i % 2, filtered_resps=["42"]) for i in range(4)]
    (answers,), _ = read_samples(write_log(tmp_path, rows, "sums"))
    assert answers.n_samples.tolist() == [1] * 4 and answers.n_correct.tolist() == [0, 1, 0, 1]


SETTINGS = {
    "output_type": "generate_until",
    "metric_list": [
        {
            "metric": "exact_match",
            "aggregation": "mean",
            "higher_is_better": True,
            "ignore_case": True,
            "ignore_punctuation": False,
            "regexes_to_ignore": [",", r"\$", "(?s).*#### "],
        }
    ],
    "filter_list": [
        {
            "name": "strict",
            "filter": [
                {"function": "regex", "regex_pattern": r"answer is (\-?[0-9,]+)"},
                {"function": "take_first"},
            ],
        },
        {
            "name": "loose",
            "filter": [
                {
                    "function": "regex",
                    "regex_pattern": r"(-?[0-9,]{2,})|(-?[0-9]+)",
                    "group_select": -1,
                },
                {"function": "take_first"},
            ],
        },
        {
            "name": "maj@3",
            "filter": [{"function": "majority_vote"}, {"function": "take_first"}],
        },
    ],
}


def first_scored_rows():
    """Three responses each, of which the harness scored the first one, under three filters."""
    responses = ["The answer is 1,042.", "I say 1042", "The answer is 7."]
    rows = []
    for question in range(2):
        for name, first in [("strict", "1,042"), ("loose", "1,042"), ("maj@3", "7")]:
            row = sample_row(question, responses, float(name != "maj@3"), filter=name)
            rows.append(row | {"filtered_resps": [first], "target": "... #### 1042"})
    return rows


def test_repeats_that_were_not_scored_are_scored_by_the_tasks_settings(tmp_path):
    results = {"configs": {"gsm8k": SETTINGS}, "n-samples": {"gsm8k": {"effective": 2}}}
    write_log(tmp_path / "run1", first_scored_rows(), "gsm8k", results=results)
    found = t2.read_results(tmp_path, runs=RUNS, k=[1])
    rates = dict(zip(found.curves["task"], found.curves["pass_at_k"], strict=True))
    assert rates == pytest.approx({"gsm8k,strict": 1 / 3, "gsm8k,loose": 2 / 3})
    assert any("filter maj@3 left out" in note for note in found.notes)
    assert any("gsm8k,loose" in note and "first response" in note for note in found.notes)


@pytest.mark.parametrize("how", ["no settings", "another answer", "another score", "code"])
def test_repeats_that_cannot_be_scored_are_refused(tmp_path, how):
    rows = [row for row in first_scored_rows() if row["filter"] == "strict"]
    settings = json.loads(json.dumps(SETTINGS))
    if how == "another answer":
        rows[1]["filtered_resps"] = ["1043"]
    if how == "another score":
        rows[1]["exact_match"] = 0.0
    if how == "code":
        settings["process_results"] = "def process_results(doc, results): ..."
    results = None if how == "no settings" else {"configs": {"gsm8k": settings}}
    path = write_log(tmp_path, rows, "gsm8k", results=results)
    with pytest.raises(t2.DataError, match="scores 1 of 3 responses"):
        read_samples(path)


def test_several_right_answers_hide_the_count(tmp_path):
    rows = [sample_row(0, ["42", "41"], 1.0, target="['42', 'forty-two']")]
    with pytest.raises(t2.DataError, match="several right answers"):
        read_samples(write_log(tmp_path, rows, "open"))


def test_rolling_likelihoods_have_no_right_answer(tmp_path):
    row = sample_row(0, ["-123.5"], 0, arguments=arguments([("a whole text",)]))
    with pytest.raises(t2.DataError, match="rolling log-likelihood has no right answer"):
        read_samples(write_log(tmp_path, [row], "wikitext"))


def test_a_log_shorter_than_its_results_say_is_refused(tmp_path):
    rows, _ = choice_rows(5)
    results = {"n-samples": {"arc_easy": {"original": 9, "effective": 6}}}
    with pytest.raises(t2.DataError, match="5 questions, the results file beside it counts 6"):
        read_samples(write_log(tmp_path, rows, results=results))


# --- names of runs --------------------------------------------------------------------------------


def test_runs_are_named_by_any_part_of_the_path(tmp_path):
    rows, _ = choice_rows(3)
    for step in ("step1", "step2"):
        write_log(tmp_path / "logs" / step / "org__model", rows)
    sizes = {"n_params": 1e8, "model": "model"}
    runs = {"step1": {**sizes, "n_tokens": 1e9}, "step2/org__model": {**sizes, "n_tokens": 2e9}}
    curves = t2.read_results(tmp_path / "logs", runs=runs, k=1).curves
    assert curves["n_tokens"].tolist() == [1e9, 2e9] and set(curves["model"]) == {"model"}
    one = t2.read_results(tmp_path / "logs/step1/org__model", runs={"org/model": runs["step1"]})
    assert set(one.curves["n_tokens"]) == {1e9}
    runs["org/model"] = {**sizes, "n_tokens": 3e9}
    with pytest.raises(t2.DataError, match="is it run 'step1' or 'org/model'"):
        t2.read_results(tmp_path / "logs", runs=runs)


@pytest.mark.parametrize("name", ["runs.yml", "runs.yaml", "runs.csv"])
def test_a_runs_file_in_the_folder_is_found(tmp_path, name):
    write_log(tmp_path / "run1", choice_rows(3)[0])
    text = "runs:\n  run1: {n_params: 1.2e9, n_tokens: 20B}\n"
    if name.endswith("csv"):
        text = "\ufeffrun,n_params,n_tokens,model\nrun1,1.2B,20e9,\n"
    (tmp_path / name).write_text(text, encoding="utf-8")
    curves = t2.read_results(tmp_path).curves
    assert set(curves["n_tokens"]) == {2e10} and set(curves["n_params"]) == {1.2e9}


@pytest.mark.parametrize(
    ("text", "value"),
    {
        "1200000000": 1.2e9,
        "1.2e9": 1.2e9,
        "1.2B": 1.2e9,
        "350M": 3.5e8,
        ".5T": 5e11,
        "10 k": 1e4,
        "7b": 7e9,
        "+1E6": 1e6,
    }.items(),
)
def test_numbers_of_runs(text, value):
    runs = read_runs({"a": {"n_params": text, "n_tokens": 1e9}})
    assert runs["a"].n_params == value and runs["a"].model == "a"


# --- tables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("counts", [False, True])
def test_question_tables_of_every_kind(tmp_path, suffix, counts, monkeypatch):
    monkeypatch.setattr("t2lib.data.tables._CHUNK", 7)  # rows of a checkpoint lie in several chunks
    table = question_table(counts=counts).sample(frac=1, random_state=0)
    found = t2.read_results(write_table(table, tmp_path / f"table.{suffix}"), suite="unused")
    curves = found.curves
    assert set(curves["suite"]) == {"mine"} and set(curves["task"]) == {"maths", "<b>words</b>"}
    if counts:  # all of the questions, none of their names
        columns = table.columns.drop("question").tolist()
        seen = found.counts.astype(dict.fromkeys(["suite", "model", "task"], object))
        kept = [frame[columns].sort_values(columns).to_numpy().tolist() for frame in (seen, table)]
        assert kept[0] == kept[1]
    else:
        assert found.counts is None
    for (model, task), rows in table.groupby(["model", "task"]):
        mine = curves[(curves["model"] == model) & (curves["task"] == task)]
        if counts:
            assert mine["k"].tolist() == [1, 2, 4, 8, 16]
            n, c = rows[["n_samples", "n_correct"]].to_numpy().T[:, :, None]
            wanted = t2.pass_at_k(n, c, mine["k"].to_numpy()).mean(axis=0)
        else:
            wanted = t2.pass_at_k_from_nll(rows["nll"], mine["k"])
        np.testing.assert_allclose(mine["pass_at_k"], wanted)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_curve_tables_pass_through(tmp_path, suffix):
    first = t2.read_results(write_table(question_table(), tmp_path / "questions.parquet")).curves
    again = t2.read_results(write_table(first, tmp_path / f"curves.{suffix}")).curves
    pd.testing.assert_frame_equal(again, first, rtol=1e-12)
    short = first.drop(columns=["suite", "neg_log_pass", "mean_nll"])
    other = t2.read_results(write_table(short, tmp_path / f"short.{suffix}"), suite="named").curves
    assert set(other["suite"]) == {"named"} and other["mean_nll"].isna().all()


def test_a_table_may_leave_n_and_d_to_the_runs_file(tmp_path):
    table = question_table().drop(columns=["suite", "n_params", "n_tokens"])
    path = write_table(table, tmp_path / "table.csv")
    runs = {
        "small": {"n_params": "100M", "n_tokens": 2e9, "model": "S"},
        "large": {"n_params": "200M", "n_tokens": 2e9, "model": "L"},
    }
    curves = t2.read_results(path, runs=runs).curves
    assert set(zip(curves["model"], curves["n_params"], strict=True)) == {("S", 1e8), ("L", 2e8)}
    del runs["large"]
    with pytest.raises(t2.DataError, match=r"row 26, column model: run 'large' is not in the runs"):
        t2.read_results(path, runs=runs)
    with pytest.raises(t2.DataError, match="column n_params: missing"):
        t2.read_results(path)


def test_names_with_html_are_data(tmp_path):
    evil = "<script>alert(1)</script>&\"'"
    table = question_table(models=(evil, "b"))
    table = table[table["task"] == "maths"].assign(task=evil)
    curves = t2.read_results(write_table(table, tmp_path / "table.csv").parent).curves
    assert evil in set(curves["model"]) and set(curves["task"]) == {evil}
    log_folder = tmp_path / "logs" / "<i>run"
    write_log(log_folder, choice_rows(3)[0], task="<img src=x onerror=alert(1)>")
    runs = {"<i>run": {"n_params": 1e6, "n_tokens": 1e9, "model": evil}}
    curves = t2.read_results(tmp_path / "logs", runs=runs).curves
    assert set(curves["task"]) == {"<img src=x onerror=alert(1)>"}
    assert set(curves["model"]) == {evil}


# --- many files -----------------------------------------------------------------------------------


def many_logs(folder, n):
    runs = {}
    for i in range(n):
        write_log(folder / f"run{i:04d}", choice_rows(20, seed=i)[0])
        runs[f"run{i:04d}"] = {"n_params": 1e6 * (1 + i), "n_tokens": 1e9}
    return runs


def test_processes_do_not_change_the_result(tmp_path, capsys, recwarn, monkeypatch):
    monkeypatch.setattr("t2lib.evals.importers._FEW_BYTES", 0)
    runs = many_logs(tmp_path, 6)
    one = t2.read_results(tmp_path, runs=runs)
    two = t2.read_results(tmp_path, runs=runs, n_jobs=2, progress=True)
    pd.testing.assert_frame_equal(one.curves, two.curves)
    captured = capsys.readouterr()
    assert captured.out == "" and "6/6" in captured.err
    next((tmp_path / "run0000").glob("*.jsonl")).write_text("")
    with pytest.raises(t2.DataError, match="the log is empty"):
        t2.read_results(tmp_path, runs=runs, n_jobs=2)
    assert not [str(warning.message) for warning in recwarn]


def test_skip_bad_goes_on_and_counts(tmp_path):
    runs = many_logs(tmp_path, 4)
    bad = next((tmp_path / "run0002").glob("*.jsonl"))
    bad.write_text(bad.read_text()[:-20])
    (tmp_path / "run0003" / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(t2.DataError, match=r"run0002.*row 20, column"):
        t2.read_results(tmp_path, runs=runs)
    found = t2.read_results(tmp_path, runs=runs, skip_bad=True)
    assert found.counts is None
    assert found.files == 3 and len(found.skipped) == 2
    assert set(found.curves["model"]) == {"run0000", "run0001", "run0003"}


def test_gemstones_as_harness_logs_give_the_embedded_curves(tmp_path, released, monkeypatch):
    monkeypatch.setenv("T2LIB_MIRROR", str(released))
    checkpoints, nll = gemstones_nll("openbook")
    generator = np.random.default_rng(0)
    runs = {}
    which = [0, 34, 400, 769]
    for i in which:
        right = generator.integers(4, size=nll.shape[1])
        rows = []
        for question, loss in enumerate(nll[i].astype(float)):
            logs = (-loss - generator.gamma(1.0, 1.0, 4)).tolist()
            logs[right[question]] = -loss
            rows.append(choice_row(question, logs, int(right[question])))
        write_log(tmp_path / f"run{i}", rows, "openbook")
        row = checkpoints.iloc[i]
        runs[f"run{i}"] = {name: row[name] for name in ("model", "n_params", "n_tokens")}
        runs[f"run{i}"] |= {name: float(row[name]) for name in ("n_params", "n_tokens")}
    found = t2.read_results(tmp_path, runs=runs, suite="gemstones").curves
    embedded = t2.load_curves("gemstones")
    keys = ["suite", "model", "task", "n_params", "n_tokens", "k"]
    both = found.merge(embedded, on=[*keys, "n_questions"], suffixes=("", "_embedded"))
    assert len(both) == len(found) == 17 * len(which)
    for name in ("pass_at_k", "neg_log_pass", "mean_nll"):
        np.testing.assert_allclose(both[name], both[f"{name}_embedded"], rtol=1e-6)


PEAK = """
import resource, sys
import t2lib as t2
found = t2.read_results(sys.argv[1])
print(len(found.curves), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.parametrize("sampled", [False, True])
def test_memory_does_not_grow_with_the_number_of_files(tmp_path, sampled):
    import subprocess
    import sys

    import yaml

    peaks = {}
    text = "x" * 2000
    for n in (10, 1000):
        folder = tmp_path / str(n)
        runs = {}
        rows = sample_rows(np.arange(200) % 9, 8) if sampled else choice_rows(200)[0]
        for row in rows:
            row["doc"]["passage"] = text
        for i in range(n):
            write_log(folder / f"run{i}", rows)
            runs[f"run{i}"] = {"n_params": 1e6 + i, "n_tokens": 1e9}
        (folder / "runs.yml").write_text(yaml.safe_dump({"runs": runs}))
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(folder)], capture_output=True, text=True, check=True
        )
        length, peaks[n] = map(int, done.stdout.split())
        assert length == (4 if sampled else 17) * n
    size = sum(path.stat().st_size for path in (tmp_path / "1000").rglob("*.jsonl")) / 1024
    print(f"{size / 1024:.0f} MiB of logs; peak KiB: {peaks}")
    # The curve rows, 17 a file, and two small numbers for each sampled question may grow.
    assert peaks[1000] - peaks[10] < 0.05 * size


# --- packed files, and what is passed over --------------------------------------------------------


def pack(path, suffix):
    """Put a packed copy in a file's place, of two members where the format may have them."""
    content = path.read_bytes()
    halves = content[: len(content) // 2], content[len(content) // 2 :]
    packed = path.with_name(path.name + suffix)
    if suffix == ".gz":
        packed.write_bytes(b"".join(map(gzip.compress, halves)))
    else:
        codec = pyarrow.Codec("zstd")
        packed.write_bytes(b"".join(codec.compress(half).to_pybytes() for half in halves))
    path.unlink()
    return packed


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_packed_logs_and_tables_are_read_like_others(tmp_path, suffix):
    write_log(tmp_path / "plain/run1", choice_rows(30)[0])
    write_table(question_table(), tmp_path / "plain/a.csv")
    wanted = t2.read_results(tmp_path / "plain", runs=RUNS)
    for path in [*tmp_path.rglob("*.jsonl"), *tmp_path.rglob("*.csv")]:
        pack(path, suffix)
    found = t2.read_results(tmp_path / "plain", runs=RUNS)
    pd.testing.assert_frame_equal(found.curves, wanted.curves)
    assert (found.files, found.notes, found.skipped) == (2, [], [])


def test_a_packed_log_finds_its_results_file(tmp_path):
    path = write_log(tmp_path / "run1", choice_rows(3)[0])
    results = path.with_name(
        path.name.replace("samples_arc_easy", "results").replace(".jsonl", ".json")
    )
    assert results_file(path) == results_file(pack(path, ".gz")) == results


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("kind", [".csv", ".jsonl"])
def test_broken_packing_is_one_line(tmp_path, suffix, kind):
    path = pack(write_table(question_table(), tmp_path / f"t{kind}"), suffix)
    whole = path.read_bytes()
    what = "not gzip, or cut off" if suffix == ".gz" else "not zstandard, or cut off"
    for content in (whole[: len(whole) * 3 // 4], b"nonsense", whole[:10] + b"?" + whole[11:]):
        path.write_bytes(content)
        with pytest.raises(t2.DataError, match=rf"t{kind}{suffix}: {what}: |row \d+"):
            t2.read_results(path)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_line_that_unpacks_without_end_is_given_up(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("t2lib.data.tables.LONGEST_JSON", 2**20)
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"a": "' + bytes(2**28))
    path = pack(path, suffix)
    tracemalloc.start()
    with pytest.raises(t2.DataError, match=r"row 1: longer than 1 MiB"):
        t2.read_results(path)
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


def test_what_may_be_a_log_and_is_not_read_is_noted(tmp_path):
    write_table(question_table(), tmp_path / "t.csv")
    for name in (
        "samples_arc.json",
        "a.jsonl.bz2",
        "b.jsonl.bz2",
        "x.tsv",
        "c.NDJSON",
        "t.parquet.gz",
    ):
        (tmp_path / name).touch()
    for name in ("README.md", "config.json", "results_1.json", "runs.csv", ".hidden.jsonl.bz2"):
        (tmp_path / name).touch()
    (note,) = t2.read_results(tmp_path, runs=RUNS).notes
    assert note.startswith("not read: 6 files that may be logs (2 .jsonl.bz2, 1 .NDJSON, 1 .json, ")
    assert note.endswith("a.jsonl.bz2")


def test_every_reader_says_what_it_needs():
    from t2lib.evals.importers import READERS

    assert list(READERS)[-1] == "table"  # it takes whatever no other does
    for reader in READERS.values():
        assert reader.needs
