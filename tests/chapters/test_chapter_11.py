"""Chapter 11's headline numbers, read from the chapter as it was executed for the site."""

import pytest


@pytest.fixture(scope="module")
def said(numbers):
    """Return the numbers that the chapter put into its prose."""
    return numbers("11")


def test_true_parameters_lie_inside_their_intervals(said):
    """Seven parameters with 95 % intervals of a bootstrap over six models."""
    assert said["parameters"] == "7"
    assert int(said["inside"]) >= 5


def test_the_advice_costs_little(said):
    """A plan kept inside what was trained, against the best one in the figure, under the truth."""
    for task in ("recall", "sums"):
        assert 0 <= float(said[f"lost-{task}"].rstrip(" %")) < 15


def test_the_best_laws_are_those_that_the_chapter_names():
    """Both tasks were drawn from a Beta-consistent law; of samples it is hard to tell."""
    import t2lib as t2
    from t2lib.data.registry import data_folder

    results = t2.read_results(data_folder() / "example")
    suite = t2.fit_suite(results.curves, counts=results.counts, n_bootstrap=0)
    assert suite.best_law("example_recall") == "BetaConsistentLaw"
    assert suite.best_law("example_sums") == "BetaRegressionLaw"
