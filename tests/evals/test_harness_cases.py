"""Logs as the harness writes them for its own tasks: each gives the numbers that it should."""

import json

import numpy as np
import pytest
from harness_logs import DATE, arguments, choice_row, choice_rows, sample_row, write_log

from t2lib._checks import DataError
from t2lib.evals.harness import (
    groups_of,
    read_samples,
    results_file,
    revision_of,
    run_parts,
    task_of,
)
from t2lib.passk import pass_at_k

# --- what was right -------------------------------------------------------------------------------


def pass_at_row(question, n, c, ks):
    """A line of humaneval_64 and its kin: every response is scored, and pass@k logged."""
    row = sample_row(question, [f"pass # {i}" for i in range(n)], 0, target="check(f)")
    del row["exact_match"]
    values = {f"pass@{k}": float(pass_at_k(n, c, k)) for k in ks}
    return row | {"filter": "create_test", "metrics": list(values)} | values


def test_pass_at_larger_k_gives_c(tmp_path):
    counts = [0, 3, 40, 62]
    rows = [pass_at_row(i, 64, c, (2, 8, 16, 32, 64)) for i, c in enumerate(counts)]
    (answers,), notes = read_samples(write_log(tmp_path, rows, "humaneval_64"))
    assert answers.n_samples.tolist() == [64] * 4 and answers.n_correct.tolist() == counts
    assert notes == []
    path = write_log(tmp_path, [pass_at_row(i, 64, c, (2,)) for i, c in enumerate([0, 3, 40, 64])])
    counted = read_samples(path)[0][0].n_correct
    assert pass_at_k(64, counted, 2).mean() == pytest.approx(0.488839, abs=1e-6)


@pytest.mark.parametrize("c", [63, 64])
def test_pass_at_2_does_not_tell_all_right_from_all_but_one(tmp_path, c):
    rows = [pass_at_row(i, 64, c, (2, 8)) for i in range(2)]
    (answers,), _ = read_samples(write_log(tmp_path, rows, "humaneval_64"))
    assert answers.n_correct.tolist() == [64, 64]
    ((remark, number),) = answers.counted.items()
    assert number == 2 and "all responses right, or all but one" in remark


def test_pass_at_the_largest_k_alone_hides_c(tmp_path):
    path = write_log(tmp_path, [pass_at_row(0, 20, 15, (10,))], "humaneval")
    with pytest.raises(DataError, match="11 to 20 right responses of 20 have the values logged"):
        read_samples(path)
    row = pass_at_row(0, 20, 15, (2,)) | {"pass@2": 0.5}
    with pytest.raises(DataError, match="no number of right ones among 20"):
        read_samples(write_log(tmp_path, [row], "humaneval"))


@pytest.mark.parametrize(
    ("task", "values", "taken"),
    [
        ("drop", {"em": 1.0, "f1": 0.5}, "em"),
        ("ifeval", {"prompt_level_strict_acc": True, "inst_level_strict_acc": [True]}, "prompt_l"),
        ("minerva_math_algebra", {"exact_match": 1, "math_verify": 0}, "exact_match"),
    ],
)
def test_of_several_metrics_the_one_taken_is_named(tmp_path, task, values, taken):
    row = sample_row(0, ["a"], 0, filtered_resps=["a"])
    del row["exact_match"]
    path = write_log(tmp_path, [row | {"metrics": list(values)} | values], task)
    (answers,), (note,) = read_samples(path)
    assert answers.n_correct.tolist() == [1]
    assert note.startswith(f"task {task}: right is what {taken}") and "--metric" in note


def test_the_metric_can_be_chosen(tmp_path):
    row = sample_row(0, ["a"], 1.0, filtered_resps=["a"], metrics=["exact_match", "math_verify"])
    path = write_log(tmp_path, [row | {"math_verify": 0}], "minerva_math")
    assert read_samples(path, metric="math_verify")[0][0].n_correct.tolist() == [0]
    with pytest.raises(DataError, match=r"none of bleu is logged .there is: exact_match, math_v"):
        read_samples(path, metric="bleu")


def test_one_filter_can_be_chosen(tmp_path):
    rows = [
        sample_row(i, ["#### 5"], right, filter=name, filtered_resps=["5"])
        for name, scores in {"strict-match": [0, 1], "flexible-extract": [1, 1]}.items()
        for i, right in enumerate(scores)
    ]
    path = write_log(tmp_path, rows, "gsm8k")
    both, (note,) = read_samples(path)
    assert {one.task: one.n_correct.tolist() for one in both} == {
        "gsm8k,strict-match": [0, 1],
        "gsm8k,flexible-extract": [1, 1],
    }
    assert "the filters strict-match and flexible-extract" in note and "--filter" in note
    (one,), notes = read_samples(path, filter_name="strict-match")
    assert (one.task, one.n_correct.tolist(), notes) == ("gsm8k", [0, 1], [])
    with pytest.raises(DataError, match=r"no filter named 'x' .there is: strict-match, flexible"):
        read_samples(path, filter_name="x")


def test_minus_infinity_may_stand_at_a_wrong_choice_only(tmp_path):
    rows = [choice_row(0, [-1.0, "-inf"], 0, acc=1.0), choice_row(1, [-1.0, -2.0], 1, acc=0.0)]
    (answers,), _ = read_samples(write_log(tmp_path, rows))
    assert answers.nll.tolist() == [1.0, 2.0]
    rows[1] = choice_row(1, ["-inf", -2.0], 0, acc=0.0)
    with pytest.raises(DataError, match=r"row 2, column resps: the right answer's log-lik.* -inf"):
        read_samples(write_log(tmp_path, rows))


def test_a_document_may_have_a_field_that_others_lack(tmp_path):
    rows, nll = choice_rows(4)
    rows[2]["doc"]["note"] = "made up"
    (answers,), _ = read_samples(write_log(tmp_path, rows))
    np.testing.assert_allclose(answers.nll, nll)


def test_without_acc_the_target_says_which_choice_is_right(tmp_path):
    rows, nll = choice_rows(4)
    for row in rows:
        del row["acc"]
        row["metrics"] = ["acc_norm"]
    (answers,), _ = read_samples(write_log(tmp_path, rows))
    np.testing.assert_allclose(answers.nll, nll)


# --- repeats of which the first was scored --------------------------------------------------------

REPEATS = ["so #### 18", "it is 18", "#### 1,8", "#### 18.", "#### 5"]


def repeats(answer, score, name):
    row = sample_row(0, REPEATS, score, filter=name, target="steps\n#### 18")
    return row | {"filtered_resps": [answer]}


def test_gsm8k_is_scored_by_its_usual_settings_where_no_results_file_lies_beside(tmp_path):
    rows = [repeats("18", 1.0, "strict-match"), repeats("18", 1.0, "flexible-extract")]
    found, notes = read_samples(write_log(tmp_path, rows, "gsm8k"))
    assert {one.task: one.n_correct.tolist() for one in found} == {
        "gsm8k,strict-match": [3],
        "gsm8k,flexible-extract": [4],
    }
    assert sum("the usual ones of this task" in note for note in notes) == 2


@pytest.mark.parametrize("task", ["gsm8k", "some_other"])
def test_what_cannot_be_scored_is_told_to_bring_its_results_file(tmp_path, task):
    path = write_log(tmp_path, [repeats("#### 18", 1.0, "strict-match")], task)
    with pytest.raises(DataError, match=rf"put results_{DATE}.json beside the log") as error:
        read_samples(path)
    assert "take_first_k" not in str(error.value)


def test_a_task_that_scores_by_code_is_told_to_score_each_response(tmp_path):
    results = {"configs": {"minerva_math": {"process_results": "def process_results(): ..."}}}
    rows = [repeats("18", 1, "none")]
    path = write_log(tmp_path, rows, "minerva_math", results=results)
    with pytest.raises(DataError, match="each response on its own by the task's process_results"):
        read_samples(path)


@pytest.mark.parametrize(
    ("wrap", "rule"),
    [("so \\boxed{%s}", "boxed answer"), ("Final Answer: The final answer is $%s$. ", "sentence")],
)
def test_mathematics_is_scored_by_its_own_rule(tmp_path, wrap, rule):
    said = ["7", "\\frac{36}{2}", "18", "18.0"]
    rows = []
    for question in range(4):  # c = 0, 1, 2 and 3, as the first response is right or not
        right = said[1:][:question] or ["7"]
        texts = [wrap % one for one in (right + ["7"] * 4)[:4]]
        row = sample_row(question, texts, int(question > 0), filtered_resps=[texts[0]])
        row["doc"]["answer"], row["target"] = "18", "a whole solution"
        rows.append(row | {"metrics": ["exact_match", "math_verify"], "math_verify": 0})
    settings = {"minerva_math_algebra": {"process_results": "def process_results(): ..."}}
    results = {"configs": settings}
    path = write_log(tmp_path, rows, "minerva_math_algebra", results=results)
    (answers,), notes = read_samples(path)
    assert answers.n_samples.tolist() == [4] * 4 and answers.n_correct.tolist() == [0, 1, 2, 3]
    assert any(rule in note and "only algebra shows" in note for note in notes)
    rows[3]["exact_match"] = 0  # the harness says otherwise
    path = write_log(tmp_path, rows, "minerva_math_algebra", results=results)
    with pytest.raises(DataError, match="does not give the logged value of the first one"):
        read_samples(path)


# --- whose log, and with which settings -----------------------------------------------------------


def results(**changes):
    return {
        "configs": {"arc_easy": {"task": "arc_easy"}},
        "versions": {"arc_easy": 1},
        "n-shot": {"arc_easy": 5},
        "chat_template_sha": None,
        "config": {"model_args": "pretrained=org/m,revision=step1000,dtype=float32"},
    } | changes


def test_settings_and_questions_are_kept_with_the_answers(tmp_path):
    rows, _ = choice_rows(4)
    (one,), _ = read_samples(write_log(tmp_path / "a", rows, results=results()))
    wanted = {"n-shot": "5", "task version": "1", "chat template": "none"}
    assert {name: one.facts[name] for name in wanted} == wanted
    (again,), _ = read_samples(write_log(tmp_path / "b", rows[::-1], results=results()))
    assert again.facts == one.facts  # in whatever order
    rows[0]["doc_hash"] = "another"
    (other,), _ = read_samples(write_log(tmp_path / "c", rows, results=results()))
    assert other.facts["questions"] != one.facts["questions"]


def test_without_hashes_the_documents_tell_the_questions(tmp_path):
    facts = []
    for text in ("?", "another"):
        rows, _ = choice_rows(3)
        for row in rows:
            del row["doc_hash"]
            row["doc"]["question"] = text
        facts.append(read_samples(write_log(tmp_path, rows))[0][0].facts["questions"])
    assert facts[0] != facts[1]


def test_settings_of_generation_are_kept_too(tmp_path):
    rows = [sample_row(0, ["42"], 1.0)]
    settings = {"until": ["y", "x"], "do_sample": True, "temperature": 0.8, "seed": 7}
    rows[0]["arguments"] = arguments([("6 x 7 =", settings)])
    (one,), _ = read_samples(write_log(tmp_path, rows, "sums"))
    told = {
        name.partition("'s ")[2]: json.loads(x) for name, x in one.facts.items() if "'s " in name
    }
    assert told == {"until": ["x", "y"], "do_sample": True, "temperature": 0.8}
    assert one.facts["metric"] == "exact_match" and one.facts["filter"] == "none"


@pytest.mark.parametrize(
    ("model_args", "wanted"),
    [
        ("pretrained=org/m,revision=step1000,dtype=float32", "step1000"),
        ({"pretrained": "org/m", "revision": "step1000"}, "step1000"),
        ("pretrained=org/m,revision=main", ""),
        ("pretrained=org/m", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_the_results_file_names_the_revision(tmp_path, model_args, wanted):
    content = results(config={"model_args": model_args})
    path = write_log(tmp_path, choice_rows(2)[0], results=content)
    assert revision_of(path) == wanted
    assert run_parts(path) == ((wanted,) if wanted else ())


def test_output_path_json_names_the_run(tmp_path):
    path = write_log(tmp_path, choice_rows(2)[0])
    assert run_parts(path) == ()
    (tmp_path / f"small-2B_{DATE}.json").write_text(json.dumps(results(config={})))
    assert results_file(path).name == f"small-2B_{DATE}.json"
    assert run_parts(path) == ("small-2B",)
    assert read_samples(path)[0][0].facts["n-shot"] == "5"


def test_groups_are_the_outermost(tmp_path):
    groups = {"mmlu": ["mmlu_stem", "mmlu_law"], "mmlu_stem": ["mmlu_algebra", "mmlu_sets"]}
    groups |= {"pythia": ["arc_easy", "mmlu"], "leaderboard": ["leaderboard_a", "leaderboard_b"]}
    content = {"group_subtasks": groups, "n-shot": {"leaderboard_a": 0, "leaderboard_b": 5}}
    path = write_log(tmp_path, choice_rows(2)[0], results=content)
    assert groups_of(path) == dict.fromkeys(["mmlu_algebra", "mmlu_sets", "mmlu_law"], "mmlu")
    circle = {"a": ["b"], "b": ["a"]}
    other = write_log(tmp_path / "b", choice_rows(2)[0], results={"group_subtasks": circle})
    assert groups_of(other) == {}


# --- the indented list of 0.4.0 to 0.4.2 ----------------------------------------------------------


def test_the_older_list_is_read_like_lines(tmp_path):
    rows, nll = choice_rows(5)
    for row in rows:
        del row["filter"], row["metrics"], row["doc_hash"]
    path = tmp_path / "pretrained__org__m,revision__step1000_arc_easy.jsonl"
    path.write_text(json.dumps(rows, indent=2))
    with pytest.raises(DataError, match=r"MODELARGS_TASK.jsonl with results.json beside it"):
        read_samples(path)
    last = results(config={"model_args": "pretrained=org/m,revision=step9000"})
    (tmp_path / "results.json").write_text(json.dumps(last))  # of the last run in the folder
    assert task_of(path) == "arc_easy"
    assert run_parts(path) == ("org__m", "step1000")
    (answers,), _ = read_samples(path)
    np.testing.assert_allclose(answers.nll, nll)
    assert "n-shot" not in answers.facts
    for cut in (1, 3, 40):
        path.write_text(json.dumps(rows, indent=2)[:-cut])
        with pytest.raises(DataError, match=r"row \d+: (the list is cut off|not JSON)"):
            read_samples(path)
    path.write_text(json.dumps(rows, indent=2) + "\n{}")
    with pytest.raises(DataError, match="something follows the list"):
        read_samples(path)
