"""The command: what it prints where, its exit codes, what it writes and what it never touches."""

import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from at_hand import ROOT, heed_interrupts
from suites import HOSTILE, curve_table

import t2lib as t2
from t2lib.command import shared as cli

COMMANDS = [["fit"], ["plan"], ["samples"], ["data", "list"], ["data", "fetch"], ["data", "verify"]]


@pytest.fixture
def curves(tmp_path, monkeypatch):
    """A table of curves in an otherwise empty working folder."""
    monkeypatch.chdir(tmp_path)
    curve_table().to_csv("curves.csv", index=False)
    return Path("curves.csv")


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """Numbers of a fit with resamples."""
    path = tmp_path_factory.mktemp("numbers") / "numbers.json"
    suite = t2.fit_suite(curve_table(), n_bootstrap=5)
    path.write_text(suite.text(), encoding="utf-8")
    return path


def one_line(code, out, err, expected, pattern):
    assert code == expected, err
    assert out == ""
    assert err.count("\n") == 1 and err.startswith("t2: error: "), err
    assert re.search(pattern, err), err


FAST = ["--n-bootstrap", "0", "--jobs", "1", "--no-report"]


# -------------------------------------------------------------------------------------- usage


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_examples(run, command):
    code, out, err = run(*command, "--help")
    assert (code, err) == (0, "")
    assert f"t2 {' '.join(command)}" in out.split("Examples:")[1]


def test_help_lists_commands_and_exit_codes(run):
    code, out, _ = run("--help")
    assert code == 0
    for word in ("fit", "plan", "data", "Exit codes:", "130  interrupted"):
        assert word in out


def test_version(run):
    code, out, err = run("--version")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"t2 (\d+\.\d+.*|, not installed)\n", out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing command"),
        (["nope"], "No such command 'nope'"),
        (["fit"], "Missing argument"),
        (["fit", "x", "--bogus"], "No such option"),
        (["fit", "x", "--n-bootstrap", "many"], "integer"),
        (["plan", "--draws", "-1"], "'--draws'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run, arguments, message):
    one_line(*run(*arguments), cli.USAGE, message)


# ---------------------------------------------------------------------------------------- fit


def test_fit_writes_the_numbers(run, curves):
    code, out, err = run("fit", curves, *FAST, "--json", "out.json")
    assert (code, err) == (0, "")
    file, maths, words, last = out.splitlines()
    assert (file, last) == ("out.json", "24 checkpoints of 2 tasks, 0 notes, 0 warnings")
    plan = (
        r"(maths|words): .*, best on held-out checkpoints: N = .*, k = .*, inside what was fitted\."
    )
    assert re.fullmatch(plan, maths) and re.fullmatch(plan, words)
    found = t2.SuiteFit.read("out.json")
    assert found.tasks == ["maths", "words"]
    assert found.numbers["source"] == {"files": 1, "skipped": [], "notes": [], "left_out": []}
    assert sorted(os.listdir()) == ["curves.csv", "out.json"]


def test_fit_to_stdout_is_json_alone(run, curves):
    table = curve_table()
    table.loc[table["model"] == "m5", "n_questions"] = 100
    table.to_csv(curves, index=False)
    code, out, err = run("fit", curves, *FAST, "--task", "words", "--json", "-")
    assert code == 0 and err.endswith("\n20 checkpoints of 1 task, 1 note, 0 warnings\n")
    assert "note: task words: checkpoints differ in number of questions (200 at 20 check" in err
    assert list(json.loads(out)["tasks"]) == ["words"]
    assert os.listdir() == ["curves.csv"]


def test_nothing_is_overwritten_without_force(run, curves):
    Path("report.html").write_text("mine")
    Path("out.json").write_text("mine too")
    one_line(*run("fit", curves), cli.BAD_INPUT, r"report\.html: is there already; --force")
    one_line(
        *run("fit", curves, *FAST, "--json", "out.json"), cli.BAD_INPUT, r"out\.json: is there"
    )
    assert Path("report.html").read_text() == "mine"
    assert Path("out.json").read_text() == "mine too"
    assert run("fit", curves, *FAST, "--json", "out.json", "--force")[0] == 0
    assert t2.SuiteFit.read("out.json").tasks
    assert sorted(os.listdir()) == ["curves.csv", "out.json", "report.html"]


def test_a_file_that_comes_while_the_laws_are_fitted_is_not_overwritten(run, curves, monkeypatch):
    real = t2.fit_suite

    def slow(*arguments, **options):
        Path("out.json").write_text("came in between")
        return real(*arguments, **options)

    monkeypatch.setattr("t2lib.studies.suite_fits.fit_suite", slow)
    one_line(*run("fit", curves, *FAST, "--json", "out.json"), cli.BAD_INPUT, "is there already")
    assert Path("out.json").read_text() == "came in between"
    assert sorted(os.listdir()) == ["curves.csv", "out.json"]


def test_both_files_appear_or_none(tmp_path):
    (tmp_path / "b").mkdir()
    with pytest.raises(t2.DataError, match="is a folder"):
        cli.write_all({tmp_path / "a": "text", tmp_path / "b": "text"}, force=True)
    assert os.listdir(tmp_path) == ["b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.csv"], r"missing\.csv: no such file"),
        (["curves.csv", "-o", "no/such/report.html"], "no/such: no such folder"),
        (["curves.csv", "-o", "."], "is a folder"),
        (["curves.csv", "-o", "x.json"], "two names"),
        (["curves.csv", "--task", "<b>"], "no task named '<b>'"),
        (["curves.csv", "--n-bootstrap", "1"], "n_bootstrap is 1"),
        (["curves.csv", "--train-flops", "nan"], "train_flops is nan"),
        (["curves.csv", "--cut-off", "-1"], "cut_off is -1"),
        (["curves.csv", "--runs", "runs.yml"], "runs.yml"),
    ],
)
def test_bad_input_to_fit_is_one_line(run, curves, arguments, message):
    report = [] if "-o" in arguments else ["--no-report"]
    one_line(*run("fit", *arguments, "--jobs", 1, *report), cli.BAD_INPUT, message)
    assert os.listdir() == ["curves.csv"]


def test_a_bad_table_is_named_by_row_and_column_and_can_be_skipped(run, curves):
    Path("bad.csv").write_text(curves.read_text().replace(",200,", ",-200,", 1))
    one_line(*run("fit", ".", *FAST), cli.BAD_INPUT, r"bad\.csv: row 2, column n_questions")
    code, out, err = run("fit", ".", *FAST, "--skip-bad")
    assert code == 0 and out.startswith("report.json\n")
    assert re.search(r"skipped: .*bad\.csv: row 2.*\n1 skipped\n", err)
    assert out.endswith(" warnings, 1 skipped\n")
    (line,) = t2.SuiteFit.read("report.json").numbers["source"]["skipped"]
    assert "bad.csv" in line


def test_tasks_and_laws_that_were_not_fitted_are_named_on_stderr(run, curves):
    table = curve_table()
    table[(table["task"] == "maths") | (table["model"] == "m1")].to_csv(curves, index=False)
    code, out, err = run("fit", curves, *FAST)
    assert code == 0 and out.startswith("report.json\n")
    assert err == "not fitted: words: 4 rows cannot fix 5 parameters\n"


def test_notes_and_skips_are_told_once_even_where_no_law_fits(run, curves):
    curve_table(["words"]).iloc[:1].to_csv(curves, index=False)
    Path("bad.csv").write_text("nothing\n")
    code, out, err = run("fit", ".", *FAST, "--skip-bad")
    assert (code, out, err.count("skipped: bad.csv")) == (1, "", 1)
    assert "no law fits any task" in err.splitlines()[-1]


def test_errors_beyond_the_floats_are_null_and_a_dash(run, curves):
    lines = ["model,task,n_params,n_tokens,k,n_questions,pass_at_k,neg_log_pass,mean_nll"]
    for i, j, k in itertools.product(range(4), range(3), (1, 2, 4)):
        nll = 20 - 2 * i - 1.5 * j
        share = 1 - (1 - math.exp(-0.09 * nll)) ** k
        N, D = 1e8 * 2**i, 2e9 * 2 ** (i + j)
        lines.append(f"m{i},words,{N},{D},{k},100,{share},{-math.log(share)},{nll}")
    curves.write_text("\n".join(lines))
    code, out, err = run("fit", curves, "--n-bootstrap", 0, "--jobs", 1)
    *_, plan, last = out.splitlines()
    assert plan.endswith(". Take care: see the warnings.") and last.endswith(", 2 warnings")
    assert code == 0 and "losses may not belong" in err and "overflow" not in err
    laws = t2.SuiteFit.read("report.json").task("words")["laws"]
    assert laws["BetaRegressionLaw"]["errors"]["in"]["neg_log_pass"] is None
    assert "<td>–</td>" in Path("report.html").read_text(encoding="utf-8")


def test_failed_resamples_are_counted_on_stderr(run, curves):
    table = curve_table(["maths"])
    table[table["model"].isin(["m0", "m5"])].to_csv(curves, index=False)
    code, out, err = run("fit", curves, "--no-report", "--jobs", 1, "--n-bootstrap", 8)
    assert code == 0
    assert re.search(r"maths, Chinchilla: \d resamples could not be fitted; the first: ", err)
    assert re.search(r"\(\d of 8 resamples failed\)", out)


def test_without_a_package_exit_code_3(run, curves, monkeypatch):
    monkeypatch.setitem(sys.modules, "t2lib.command.report", None)
    one_line(*run("fit", curves, *FAST[:-1]), cli.MISSING_PIECE, "t2lib.command.report is not inst")
    assert os.listdir() == ["curves.csv"]


def test_an_interrupt_leaves_nothing(run, curves, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("t2lib.studies.suite_fits.fit_suite", interrupted)
    one_line(*run("fit", curves, *FAST), cli.INTERRUPTED, "interrupted; nothing was written")
    assert os.listdir() == ["curves.csv"]


def test_an_unforeseen_fault_is_one_line_too(run, curves, monkeypatch):
    def fault(*_, **__):
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("t2lib.studies.suite_fits.fit_suite", fault)
    one_line(
        *run("fit", curves, *FAST), cli.BAD_INPUT, "ZeroDivisionError: two lines .*fault of t2"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_real_run_with_nothing_written(curves, number):
    command = [sys.executable, "-m", "t2lib", "fit", "curves.csv", "--no-report", "--jobs", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*command, "--n-bootstrap", "100000"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=heed_interrupts,
    ) as process:
        status = Path(f"/proc/{process.pid}/status")
        while "SigCgt" not in status.read_text() or not _handles(status, signal.SIGTERM):
            time.sleep(0.05)  # until Python and the command are there
            assert process.poll() is None
        time.sleep(1)
        process.send_signal(number)
        assert process.stderr
        said = process.stderr.read()
    # Where the interrupt hits an import, Python itself ends by the signal: 130 to every shell.
    assert process.returncode in (cli.INTERRUPTED, -signal.SIGINT), said
    assert said == "t2: error: interrupted; nothing was written\n"
    assert os.listdir() == ["curves.csv"]


def _handles(status, number):
    (mask,) = re.findall(r"SigCgt:\s*(\w+)", status.read_text())
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_the_whole_command_on_the_embedded_example(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("fit", ROOT / "data/example", "--n-bootstrap", 3, "--jobs", 1)
    assert code == 0 and out.startswith("report.json\nreport.html\n"), err
    assert re.fullmatch(r"\d+ checkpoints of 2 tasks, 1 note, 0 warnings", out.splitlines()[-1])
    assert sorted(os.listdir()) == ["report.html", "report.json"]
    page = Path("report.html").read_text(encoding="utf-8")
    found = t2.SuiteFit.read("report.json")
    assert {found.task(task)["kind"] for task in found.tasks} == {"likelihoods", "samples"}
    assert all(task in page for task in found.tasks)
    sampled = [task for task in found.tasks if found.task(task)["kind"] == "samples"]
    assert all("BetaConsistentLaw" in found.law_names(task) for task in sampled)
    code, out, _ = run("plan", "report.json", "--task", found.tasks[0], "--train-flops", 1e18)
    assert code == 0 and "over 3 of 3 resamples" in out


def test_gemstones_rewritten_as_harness_logs(run, tmp_path, released, monkeypatch):
    import numpy as np
    from harness_logs import choice_row, write_log

    from t2lib.data.layouts import gemstones_nll

    monkeypatch.setenv("T2LIB_MIRROR", str(released))
    monkeypatch.chdir(tmp_path)
    checkpoints, nll = gemstones_nll("openbook")
    chosen = np.flatnonzero(checkpoints.groupby("model").cumcount() % 17 == 3)
    lines = ["run,n_params,n_tokens,model"]
    for i in chosen:
        rows = [
            choice_row(question, [-loss, -loss - 1.0], 0)
            for question, loss in enumerate(nll[i, :100].astype(float))
        ]
        write_log(tmp_path / f"logs/run{i}", rows, "openbook")
        row = checkpoints.iloc[i]
        lines.append(f"run{i},{float(row['n_params'])!r},{float(row['n_tokens'])!r},{row['model']}")
    Path("runs.csv").write_text("\n".join(lines) + "\n")
    code, _, err = run("fit", "logs", "--runs", "runs.csv", *FAST)
    assert code == 0, err
    found = t2.SuiteFit.read("report.json")
    assert found.numbers["source"]["files"] == len(chosen) == 44
    first = checkpoints.iloc[chosen]
    direct = t2.fit_chinchilla(first["n_params"], first["n_tokens"], nll[chosen, :100].mean(axis=1))
    assert found.law("openbook", "Chinchilla").alpha == pytest.approx(direct.law.alpha, rel=1e-3)


# --------------------------------------------------------------------------------------- plan


def test_plan_from_a_file_is_what_the_library_answers(run, numbers):
    budget = ["--train-flops", 1e19, "--inference-flops", 4e9]
    code, out, err = run("plan", numbers, "--task", "maths", *budget, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    suite = t2.SuiteFit.read(numbers)
    name = suite.best_law("maths")
    law = suite.law("maths", name)
    # Without a smallest N it is the smallest fitted, not a model of one parameter.
    limits = {"n_range": (2e7, None)}
    plan = t2.allocate(law, train_flops=1e19, inference_flops=4e9, **limits)
    assert (found["law"], found["task"]) == (name, "maths")
    assert found["plan"]["N"] == pytest.approx(plan.N)
    assert found["plan"]["metric"] == pytest.approx(plan.metric)
    assert found["resamples"]["answered"] == 5
    low, high = found["resamples"]["spread"]["N"]
    assert low <= high
    low, high = found["resamples"]["forecast"]
    assert low <= found["plan"]["metric"] * 1.05 and high >= found["plan"]["metric"] * 0.95
    assert found["plan"]["where"].startswith("outside what was fitted: ")
    assert found["plan"]["nearest"][0]["seen"] == pytest.approx(
        found["plan"]["nearest"][0]["law"], rel=0.2
    )


def test_plan_says_how_far_it_leaves_what_was_fitted(run, numbers):
    _, out, _ = run("plan", numbers, "--task", "maths", "--train-flops", 1e25)
    assert re.search(
        r"k = 1 .*, outside what was fitted: N is [\d.e+]+ times and D is [\d.e+]+ times "
        r"the nearest place fitted \(N 1.5e\+09, D 4.8e\+11\)\n",
        out,
    )
    assert re.search(r"near by: N = 1.5e\+09, D = 4.8e\+11, k = 1 .* seen, .* by the law", out)
    assert re.search(r"pass_at_k of this plan from 0\.\d+ to 0\.\d+", out)
    limits = ["--min-params", 1e8, "--max-params", 1.2e9]
    _, out, _ = run("plan", numbers, "--task", "maths", "--train-flops", 1e25, *limits)
    assert re.search(r"N is 0.8 times and D is \S+ times", out) and "upper bound" in out


def test_costs_and_limits_reach_the_search(run, numbers):
    law = ["--task", "maths", "--law", "AdditiveLaw", "--draws", 0, "--json"]
    total = ["--total-flops", 1e20, "--queries", 1e6, "--prompt-tokens", 500]
    limits = ["--answer-tokens", 100, "--max-k", 8, "--unique-tokens", 1e9, "--verifier", 0.9]
    code, out, err = run("plan", numbers, *law, *total, *limits, "--no-cache")
    assert code == 0, err
    plan = t2.allocate(
        t2.SuiteFit.read(numbers).law("maths", "AdditiveLaw"),
        total_flops=1e20,
        queries=1e6,
        cost=t2.CostModel(500, 100, False),
        max_k=8,
        unique_tokens=1e9,
        verifier=0.9,
    )
    found = json.loads(out)["plan"]
    assert (found["N"], found["k"]) == (pytest.approx(plan.N), pytest.approx(plan.k))
    assert found["cost"]["total_flops"] == pytest.approx(1e20)


def test_other_ways_to_one_answer_reach_the_search(run, numbers):
    options = ["--task", "maths", "--law", "BetaConsistentLaw", "--draws", 0, "--json"]
    budget = ["--train-flops", 1e20, "--inference-flops", 4e9]
    law = t2.SuiteFit.read(numbers).law("maths", "BetaConsistentLaw")
    for flags, asked in (
        (["--false-positives", 0.1], {"false_positives": 0.1}),
        (["--vote", "differ"], {"vote": "differ"}),
        (["--stop-early", "--max-k", 50], {"stop_early": True, "max_k": 50}),
    ):
        code, out, err = run("plan", numbers, *options, *budget, *flags)
        assert code == 0, err
        plan = t2.allocate(
            law,
            train_flops=1e20,
            inference_flops=4e9,
            n_range=(law.support.ranges["N"][0], None),
            **asked,
        )
        found = json.loads(out)["plan"]
        assert found["metric_name"] == "answered_right"
        assert (found["N"], found["metric"]) == (pytest.approx(plan.N), pytest.approx(plan.metric))


def test_a_target_is_reached(run, numbers):
    options = ["--task", "maths", "--law", "BetaConsistentLaw", "--draws", 0, "--json"]
    request = ["--target", 0.5, "--inference-flops", 4e9]
    code, out, err = run("plan", numbers, *options, *request)
    assert code == 0, err
    plan = json.loads(out)["plan"]
    assert plan["metric"] == pytest.approx(0.5, abs=1e-6)
    law = t2.SuiteFit.read(numbers).law("maths", "BetaConsistentLaw")
    assert float(law.pass_at_k(plan["N"], plan["D"], plan["k"])) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize(("suite", "task"), [("gemstones", "arce"), ("pythia", "gsm8k")])
def test_embedded_suites_answer(run, suite, task):
    budget = ["--train-flops", 1e21, "--inference-flops", 2e9]
    code, out, err = run("plan", "--suite", suite, "--task", task, *budget)
    assert (code, err) == (0, "")
    assert f"BetaConsistentLaw of {task}" in out and f"embedded suite {suite}" in out
    assert "outside what was fitted" in out and "near by: " in out and "no resamples" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train-flops", 1e20], "several tasks; give --task, one of maths, words"),
        (["--task", "nope", "--train-flops", 1e20], "no task named 'nope'"),
        (["--task", "maths", "--law", "nope", "--train-flops", 1e20], "no law .* named 'nope'"),
        (["--task", "maths"], "train_flops or total_flops"),
        (["--task", "maths", "--train-flops", "-1"], "train_flops"),
        (["--task", "maths", "--train-flops", "nan"], "train_flops"),
        (["--task", "maths", "--train-flops", 1e20, "--total-flops", 1e20], "either"),
        (["--task", "maths", "--target", 0.5, "--total-flops", 1e20], "either a target or"),
        (["--task", "maths", "--train-flops", 1e20, "--verifier", 2], "verifier is 2"),
        (
            ["--task", "maths", "--law", "BetaConsistentLaw", "--train-flops", 1e20, "--vote", "x"],
            "vote is 'x': must be 'agree' or 'differ'",
        ),
        (["--task", "maths", "--train-flops", 1e20, "--inference-flops", 0.5], "inference"),
    ],
)
def test_requests_that_cannot_be_met_are_one_line(run, numbers, arguments, message):
    one_line(*run("plan", numbers, *arguments), cli.BAD_INPUT, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("{", "row 1, column 2: not JSON"),
        ("[]", "not numbers of t2 fit"),
        ('{"format": 99}', "format is 99"),
        ('{"format": 2}', "not numbers of t2 fit"),
        ('{"format": 2, "tasks": {"a": {"laws": 3}}}', "not numbers of t2 fit"),
    ],
)
def test_files_that_are_no_numbers_are_one_line(run, tmp_path, text, message):
    path = tmp_path / "n.json"
    if text is not None:
        path.write_text(text)
    one_line(*run("plan", path, "--train-flops", 1e20), cli.BAD_INPUT, message)


# --------------------------------------------------------------------------------------- data


def test_data_lists_the_registry(run):
    code, out, _ = run("data", "list", "chinchilla_points", "--json")
    assert code == 0
    (row,) = json.loads(out)
    assert row["name"] == "chinchilla_points" and row["bytes"] == 23224
    assert len(run("data", "list", "gadre_models")[1].splitlines()) == 104


def test_data_fetches_and_verifies_from_a_mirror(run, released, monkeypatch):
    monkeypatch.setenv("T2LIB_MIRROR", str(released))
    code, out, _ = run("data", "fetch", "chinchilla_points")
    assert code == 0 and Path(out.strip()).is_file()
    assert run("data", "verify", "chinchilla_points")[:2] == (
        0,
        "1 files verified, 0 not at hand\n",
    )


def test_what_is_not_at_hand_or_unknown_is_one_line(run, tmp_path, monkeypatch):
    monkeypatch.setenv("T2LIB_MIRROR", str(tmp_path))
    monkeypatch.setenv("T2LIB_CACHE", str(tmp_path / "cache"))
    code, out, err = run("data", "verify", "chinchilla_points")
    assert (code, out) == (1, "0 files verified, 1 not at hand\n")
    assert err.count("\n") == 1 and "1 of 1 files are not at hand" in err
    one_line(*run("data", "fetch", "chinchilla_points"), cli.BAD_INPUT, "chinchilla_points")
    one_line(*run("data", "list", HOSTILE), cli.BAD_INPUT, "no released file or group")


# ------------------------------------------------------------------------------------ a pipe


def test_no_colour_in_a_pipe_and_a_closed_pipe_is_no_error(curves):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "t2lib", "data", "list", "gemstones_json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout and process.stderr
        first = process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert b"\x1b" not in first and b"\t" in first
    assert (process.returncode, said) == (0, b"")
