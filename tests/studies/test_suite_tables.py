"""A fitted suite as tables and figures."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from suites import curve_table

import t2lib as t2
from t2lib.data.registry import data_folder
from t2lib.studies import suite_figures, suite_tables


@pytest.fixture(scope="module")
def curves():
    return pd.concat([curve_table(["words"]), curve_table(["sums"], samples=True)])


@pytest.fixture(scope="module")
def suite(curves):
    return t2.fit_suite(curves, n_bootstrap=3)


def test_one_row_a_task(suite):
    for function in ("in_short", "data", "held_out"):
        table = getattr(suite_tables, function)(suite)
        assert list(table["task"]) == ["words", "sums"]
    assert suite_tables.left_out(suite).empty and suite_tables.failures(suite).empty
    assert " ".join(suite_tables.budgets(suite)["tasks"]).split(", ")


def test_a_plan_s_row_is_the_suite_s_numbers(suite):
    name = suite.best_law("words")
    plan = suite.task("words")["laws"][name]["plan"]["free"]
    table = suite_tables.plans(suite, "words").set_index(["law", "plan"])
    row = table.loc[(suite_tables.label(name), "free")]
    assert row["N"].startswith(suite_tables.short(plan["N"]))
    assert row["beyond what was fitted"] == suite_tables.leaves(plan)


def test_laws_show_their_own_parameters(suite):
    """A Beta law's Chinchilla part is in Chinchilla's table where that law is fitted."""
    assert "c0" in suite_tables.parameters(suite, "BetaConsistentLaw")
    assert "alpha" not in suite_tables.parameters(suite, "BetaConsistentLaw")
    assert list(suite_tables.parameters(suite, "InteractionLaw")["task"]) == ["sums"]


def test_laws_of_samples_show_their_whole_table():
    results = t2.read_results(data_folder() / "example")
    given = {"counts": results.counts, "tasks": ["example_sums"], "n_bootstrap": 0}
    suite = t2.fit_suite(results.curves, **given)
    assert {"E", "alpha", "c0"} <= set(suite_tables.parameters(suite, "BetaConsistentLaw"))


def test_errors_of_every_law_that_was_fitted(suite):
    table = suite_tables.errors(suite)
    assert len(table) == sum(len(suite.law_names(task)) for task in suite.tasks)


@pytest.mark.parametrize("name", ["predicted", "residuals"])
def test_figures_have_a_panel_a_task(suite, curves, name):
    figure = getattr(suite_figures, name)(suite, curves, suite.tasks)
    assert [ax.get_title() for ax in figure.axes] == suite.tasks
    plt.close(figure)


def test_with_one_k_residuals_are_drawn_over_n_and_d(curves):
    one = curves[(curves["k"] == 1) & (curves["task"] == "words")]
    suite = t2.fit_suite(one, n_bootstrap=0)
    assert not suite_figures.has_many_k(one) and suite_figures.has_many_k(curves)
    figure = suite_figures.residuals_by_size(suite, one, suite.tasks)
    (dots,) = figure.axes[0].collections
    assert len(dots.get_offsets()) == len(one)
    assert "N" in figure.get_supxlabel() and "D" in figure.get_supylabel()
    plt.close(figure)


def test_plans_show_the_trained_range(suite):
    figure = suite_figures.plans(suite, suite.tasks)
    assert all(ax.get_xlabel() == "" and ax.lines for ax in figure.axes)
    plt.close(figure)


def test_names_in_figures_are_short_plain_text():
    assert suite_figures.figure_text("a$b$") == r"a\$b\$"
    assert suite_figures.figure_text("two\nlines\x00‮") == "two lines"


def test_a_plan_s_sentence_says_whether_it_is_inside(suite):
    words, sums = suite_tables.sentences(suite)
    best = suite_tables.label(suite.best_law("words"))
    assert words.startswith(f"words: {best}, best on held-out checkpoints: N = ")
    assert words.endswith("inside what was fitted.")
    assert "tokens per parameter" in words and "pass@k" in words and sums.startswith("sums: ")
    near = suite_tables.nearest(suite, "words")
    law = suite_tables.label(suite.best_law("words"))
    assert list(near) == ["N", "D", "k", "largest k", "seen", law] and 1 <= len(near) <= 4
    assert suite_tables.doubts(suite) == []


def test_what_is_to_be_doubted_is_said(curves):
    words = curves[curves["task"] == "words"]
    bits = t2.fit_suite(words.assign(mean_nll=words["mean_nll"] / np.log(2)), n_bootstrap=0)
    column, beta = suite_tables.doubts(bits)
    assert column.startswith("words: m0 after ") and "-log pass@1 is" in column
    assert "may not belong to the pass rates" in beta


def test_checkpoints_in_one_line_have_their_reason_where_the_plan_would_be(curves):
    line = curves[(curves["task"] == "words") & (curves["n_tokens"] == 20 * curves["n_params"])]
    suite = t2.fit_suite(line, n_bootstrap=3)
    reason = suite.task("words")["no_plan"]
    law = suite_tables.label(suite.best_law("words"))
    assert suite_tables.sentences(suite) == [f"words: {law}, chosen in sample: {reason}."]
    assert suite_tables.plans(suite, "words")["beyond what was fitted"].eq(reason).all()
    assert suite_tables.nearest(suite, "words").empty
    assert not suite_tables.parameters(suite, "AdditiveLaw").empty
    plt.close(suite_figures.plans(suite, suite.tasks))


def test_cautions_name_bounds_failures_and_what_no_check_was_made_of(suite):
    numbers = json.loads(suite.text())
    task = numbers["tasks"]["words"]
    law = task["laws"][suite.best_law("words")]
    law["at_bounds"], law["failed"] = ["E at 0"], {"number": 2, "first": "no"}
    law["plan"]["free"]["extrapolation"] = {"k": 8.0, "N": 0.5}
    law["plan"]["inside"] |= {"metric": 0.5, "forecast": [0.6, 0.7]}
    task["held_out"]["skipped"] = "5 checkpoints"
    told = "\n".join(suite_tables.cautions(t2.SuiteFit(numbers)))
    for one in (
        "chosen in sample, since none was held out: 5",
        "ends at a bound of the fit: E at 0",
    ):
        assert one in told
    assert "(outside its interval)" in suite_tables.sentences(t2.SuiteFit(numbers))[0]
    assert "what the resamples' interval leaves out" in told
    assert "to 2 of 3 resamples" in told and "k 8 times the largest" in told
