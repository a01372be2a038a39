"""Chapter 09's and appendix A6's headline numbers and verdicts, as the site shows them."""

import pytest


@pytest.fixture(scope="module")
def said(numbers):
    """Return the numbers that the chapter put into its prose."""
    return numbers("09")


def percent(text):
    """Read ``90 %`` as a share."""
    return float(text.rstrip("% ")) / 100


def test_models_are_what_is_independent(said):
    """770 rows of 22 models share errors; who ignores it promises too much."""
    assert (said["rows"], said["models"]) == ("770", "22")
    assert float(said["rho"]) == pytest.approx(0.43, abs=0.02)
    assert float(said["wider-alpha"]) == pytest.approx(3.1, abs=0.3)
    assert float(said["wider-a"]) == pytest.approx(2.0, abs=0.2)


def test_choices_move_more_than_noise(said):
    """All specifications were fitted, and hardly a plan lies inside what was fitted."""
    assert (said["specs"], said["failed"]) == ("288", "0")
    assert float(said["spread"]) > 10 * float(said["one"])
    assert percent(said["law-share"]) > 0.2 and percent(said["inside"]) < 0.1


def test_coverage_that_was_recorded(said):
    """Counts over simulated suites: rows taken for independent hold the truth too seldom."""
    assert percent(said["naive-low"]) < 0.5 and percent(said["naive-high"]) < 0.85
    assert percent(said["honest-low"]) > 0.75 and percent(said["honest-high"]) > 0.9
    assert percent(said["runs-low"]) > 0.85 and percent(said["beta-low"]) > 0.75


def test_statements(said):
    assert (said["statements"], said["survive"]) == ("19", "5")


def test_most_plans_were_never_trained(said):
    """Nine of ten advise a ratio beyond the largest trained, some a model of one parameter."""
    assert said["largest"] == "7,237"
    assert int(said["trained"]) < 0.15 * int(said["t2-specs"])
    assert int(said["at-bound"]) > 0


def test_one_model_carries_much(numbers):
    """The deepest of the widest models, and few checkpoints."""
    appendix = numbers("A6")
    assert float(appendix["all"]) == pytest.approx(3.4, abs=0.1)
    assert float(appendix["far"]) == pytest.approx(1.8, abs=0.1)
    assert percent(appendix["tenth"]) == pytest.approx(0.67, abs=0.03)
    assert percent(appendix["in-rows"]) < 0.6 < percent(appendix["in-models"])
    assert appendix["vocabulary"] == "50,304"
