"""Chapter 11's headline numbers, read from the chapter as it was executed for the site."""

import pytest


@pytest.fixture(scope="module")
def values(glued):
    """Return the chapter's glued texts without their quotes."""
    return {name: text.strip("'") for name, text in glued("11").items()}


def test_the_kind_of_law_that_made_the_example_is_the_best(values):
    """Both tasks were drawn from a Beta-consistent law.

    With samples it is hard to tell from approach 2, which takes its loss from it.
    """
    assert values["best-laws"] == (
        "Beta-consistent (example_recall) and Beta regression (example_sums)"
    )


def test_true_parameters_lie_inside_their_intervals(values):
    """Seven parameters with 95 % intervals of a bootstrap over six models."""
    inside, _, total = values["truth-inside"].split()
    assert int(total) == 7
    assert int(inside) >= 5


def test_the_advice_costs_little(values):
    """A plan kept inside what was trained, against the best one under the true law."""
    for task in ("example_recall", "example_sums"):
        assert 0 <= float(values[f"lost-{task}"].rstrip("%")) < 30
