"""All laws fitted to a suite: what is found, what is counted, what is refused, what is kept."""

import json

import numpy as np
import pytest
from suites import TRUTH, curve_table

import t2lib as t2
from t2lib.studies.suite_fits import errors, thin

LAWS = ["Chinchilla", "AdditiveLaw", "BetaRegressionLaw", "BetaConsistentLaw"]


@pytest.fixture(scope="module")
def suite():
    return t2.fit_suite(curve_table(), n_bootstrap=12, seed=1)


def test_every_law_is_fitted_to_every_task(suite):
    assert suite.tasks == ["maths", "words"]
    for task in suite.tasks:
        assert suite.law_names(task) == LAWS
        numbers = suite.task(task)
        assert (numbers["models"], numbers["checkpoints"]) == (6, 24)
        assert numbers["range"]["N"] == [2e7, 1.5e9]
        assert numbers["range"]["D/N"] == [5, 320]


def test_the_true_law_is_found_and_is_the_best(suite):
    law = suite.law("maths", "BetaConsistentLaw")
    for N, D, k in [(1e8, 5e9, 4), (6e8, 1.2e10, 64)]:
        assert law.pass_at_k(N, D, k) == pytest.approx(TRUTH.pass_at_k(N, D, k), rel=0.08)
    for task in suite.tasks:
        assert suite.best_law(task) in ("BetaConsistentLaw", "BetaRegressionLaw")
    additive = suite.task("maths")["laws"]["AdditiveLaw"]["errors"]
    assert (
        additive["out"]["neg_log_pass"]
        > 2 * (suite.task("maths")["laws"]["BetaConsistentLaw"]["errors"]["out"]["neg_log_pass"])
    )


def test_intervals_hold_the_estimate_and_mostly_the_truth(suite):
    fit = suite.task("maths")["laws"]["BetaConsistentLaw"]
    assert fit["failed"]["number"] == 0
    assert len(suite.law_draws("maths", "BetaConsistentLaw")) == 12
    for name, (low, high) in fit["intervals"].items():
        assert low <= high, name
    low, high = fit["intervals"]["c1"]
    assert low - 0.05 <= 0.3 <= high + 0.05


def test_out_of_sample_is_judged_on_what_was_left_out(suite):
    check = suite.task("maths")["held_out"]
    assert (check["above"], check["fitted"], check["judged"]) == (140, 18, 6)
    rows = curve_table(["maths"])
    ratio = rows["n_tokens"] / rows["n_params"]
    low, high = rows[ratio <= 140], rows[ratio > 140]
    law = t2.fit_additive(low["n_params"], low["n_tokens"], low["k"], low["neg_log_pass"]).law
    expected = np.sqrt(
        np.mean(
            (high["neg_log_pass"] - law.neg_log_pass(high["n_params"], high["n_tokens"], high["k"]))
            ** 2
        )
    )
    found = suite.task("maths")["laws"]["AdditiveLaw"]["errors"]["out"]["neg_log_pass"]
    assert found == pytest.approx(expected, rel=1e-9)
    assert errors(law, high)["neg_log_pass"] == pytest.approx(expected, rel=1e-9)


def test_the_check_is_skipped_with_a_reason_where_too_little_is_left():
    suite = t2.fit_suite(curve_table(["maths"]), n_bootstrap=0, cut_off=6.0)
    check = suite.task("maths")["held_out"]
    assert "6 checkpoints at most 6 tokens per parameter" in check["skipped"]
    assert "out" not in suite.task("maths")["laws"]["AdditiveLaw"]["errors"]


def test_plans_spend_the_budgets_and_stay_inside_where_asked(suite):
    for task in suite.tasks:
        budgets = suite.task(task)["budgets"]
        for name in suite.law_names(task):
            plans = suite.task(task)["laws"][name]["plan"]
            for plan in plans.values():
                assert 6 * plan["N"] * plan["D"] == pytest.approx(budgets["train_flops"])
                if name != "Chinchilla":
                    assert 2 * plan["N"] * plan["k"] == pytest.approx(budgets["inference_flops"])
                assert plan["N"] >= 2e7 * (1 - 1e-9), "no smaller than the smallest fitted"
                low, high = plan["forecast"]
                assert low < high and low / 1.1 < plan["metric"] < 1.1 * high
            assert plans["inside"]["extrapolation"] == {}
            assert plans["inside"]["where"] == "inside what was fitted"
            assert 1 <= len(plans["inside"]["nearest"]) <= 4


def test_inside_keeps_to_the_samples_measured_near_by():
    table = curve_table(["maths"])
    weak = table["n_params"] * table["n_tokens"] < 1e16
    suite = t2.fit_suite(table[weak | (table["k"] <= 4)], n_bootstrap=0, inference_flops=4e10)
    plans = suite.task("maths")["laws"]["BetaConsistentLaw"]["plan"]
    assert plans["free"]["k"] > 4 and "k is" in plans["free"]["where"]
    assert plans["inside"]["k"] <= 4 and plans["inside"]["extrapolation"] == {}


def test_one_line_of_checkpoints_has_no_plan_and_no_interval():
    table = curve_table(["maths"])
    line = table[table["n_tokens"] == 20 * table["n_params"]]
    suite = t2.fit_suite(line, n_bootstrap=4)
    found = suite.task("maths")
    assert found["no_plan"].endswith("in one line of log N and log D")
    for law in found["laws"].values():
        assert "error" in law or law["plan"]["free"] == {"error": found["no_plan"]}
        assert "intervals" not in law


def test_one_model_has_no_plan_and_no_interval():
    table = curve_table(["maths"], samples=True)
    suite = t2.fit_suite(table[table["model"] == "m2"], n_bootstrap=4)
    found = suite.task("maths")
    assert found["no_plan"].endswith("all checkpoints are of one model")
    assert found["laws"]["InteractionLaw"]["plan"]["inside"] == {"error": found["no_plan"]}


def test_given_budgets_are_used():
    suite = t2.fit_suite(
        curve_table(["maths"]), n_bootstrap=0, train_flops=1e19, inference_flops=4e9
    )
    assert suite.task("maths")["budgets"] == {"train_flops": 1e19, "inference_flops": 4e9}
    law = suite.law("maths", "AdditiveLaw")
    plan = suite.task("maths")["laws"]["AdditiveLaw"]["plan"]["free"]
    assert plan["N"] == pytest.approx(
        t2.allocate(law, train_flops=1e19, inference_flops=4e9).N, rel=1e-9
    )


def test_processes_do_not_change_the_numbers():
    table = curve_table(["maths"])
    one, two = (t2.fit_suite(table, n_bootstrap=2, n_jobs=n) for n in (1, 2))
    assert one.text() == two.text()


def test_text_and_reading_are_inverse(suite, tmp_path):
    path = tmp_path / "numbers.json"
    path.write_text(suite.text(), encoding="utf-8")
    again = t2.SuiteFit.read(path)
    assert again.numbers == suite.numbers
    for name in LAWS:
        assert again.law("maths", name) == suite.law("maths", name)


def test_samples_get_the_laws_that_need_no_likelihood():
    suite = t2.fit_suite(curve_table(["maths"], samples=True), n_bootstrap=6)
    assert suite.task("maths")["kind"] == "samples"
    assert suite.law_names("maths") == ["InteractionLaw"]
    assert suite.best_law("maths") == "InteractionLaw"
    assert set(suite.task("maths")["laws"]["InteractionLaw"]["errors"]["in"]) == {
        "pass_at_k",
        "pass_at_k_relative",
    }


def test_counts_give_the_beta_laws(released, monkeypatch):
    monkeypatch.setenv("T2LIB_MIRROR", str(released))
    curves = t2.load_curves("pythia").query("task == 'gsm8k'")
    suite = t2.fit_suite(
        curves, counts=t2.load_questions("pythia", "gsm8k"), n_bootstrap=0, cut_off=100
    )
    assert suite.law_names("gsm8k") == ["InteractionLaw", "BetaRegressionLaw", "BetaConsistentLaw"]
    assert suite.law("gsm8k", "BetaConsistentLaw").c0 == pytest.approx(2.169, abs=0.01)


def test_degenerate_resamples_are_counted():
    table = curve_table(["maths"])
    two = table[table["model"].isin(["m0", "m5"])]
    suite = t2.fit_suite(two, n_bootstrap=16)
    failed = suite.task("maths")["laws"]["Chinchilla"]["failed"]
    assert 2 <= failed["number"] <= 14, "half of all draws of two models hold one model twice"
    assert "N takes" in failed["first"] or "single" in failed["first"] or "N is" in failed["first"]
    assert len(suite.law_draws("maths", "Chinchilla")) == 16 - failed["number"]


def test_a_task_that_cannot_be_fitted_is_named_and_the_others_are_fitted():
    table = curve_table()
    one_model = (table["task"] == "words") & (table["model"] != "m3")
    suite = t2.fit_suite(table[~one_model], n_bootstrap=0)
    assert suite.tasks == ["maths"]
    assert suite.numbers["not_fitted"]["words"] == "4 rows cannot fix 5 parameters"


def test_nothing_to_fit_is_an_error():
    table = curve_table(["maths"])
    with pytest.raises(t2.DataError, match=r"no law fits any task; maths: "):
        t2.fit_suite(table[table["model"] == "m0"])
    with pytest.raises(t2.DataError, match=r"k of at most 256"):
        t2.fit_suite(table.assign(k=table["k"] * 1000))
    mixed = table.copy()
    mixed.loc[3, "mean_nll"] = np.nan
    with pytest.raises(t2.DataError, match="some rows have a mean_nll and some have none"):
        t2.fit_suite(mixed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_bootstrap": 1}, "n_bootstrap is 1"),
        ({"n_bootstrap": -3}, "n_bootstrap is -3"),
        ({"cut_off": 0.0}, "cut_off is 0"),
        ({"train_flops": float("nan")}, "train_flops is nan"),
        ({"inference_flops": float("inf")}, "inference_flops is inf"),
        ({"tasks": ["nope"]}, "no task named 'nope'"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        t2.fit_suite(curve_table(["maths"]), **options)


def test_thinning_keeps_both_ends_of_every_model():
    rows = t2.load_curves("gemstones").query("task == 'arce' and k == 1")
    kept = thin(rows)
    assert kept.groupby("model").size().eq(6).all()
    ends = kept.groupby("model")["n_tokens"].agg(["min", "max"])
    assert ends.equals(rows.groupby("model")["n_tokens"].agg(["min", "max"]))
    few = curve_table(["maths"])
    assert thin(few).equals(few)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n: n.update(format=1), "format is 1"),
        (lambda n: n["tasks"]["maths"]["laws"]["Chinchilla"]["params"].pop("E"), "missing|unknown"),
        (lambda n: n["tasks"]["maths"]["seen"][0].update(n_params=-1), "n_params"),
        (lambda n: n["tasks"]["maths"]["seen"][0].update(k="abc"), "not numbers of t2 fit"),
        (lambda n: n["tasks"]["maths"].update(seen=[]), "not numbers of t2 fit"),
        (lambda n: n.update(tasks=[1]), "not numbers of t2 fit"),
        (lambda n: n["tasks"]["maths"].pop("laws"), "not numbers of t2 fit"),
        (lambda n: n["tasks"]["maths"]["laws"].update(Evil={"params": {}}), "no law named 'Evil'"),
    ],
)
def test_a_damaged_file_is_one_line(suite, tmp_path, change, message):
    numbers = json.loads(suite.text())
    change(numbers)
    path = tmp_path / "numbers.json"
    path.write_text(json.dumps(numbers))
    with pytest.raises(t2.DataError, match=message) as error:
        t2.SuiteFit.read(path)
    assert "\n" not in str(error.value)
