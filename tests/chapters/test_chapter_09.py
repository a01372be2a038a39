"""Chapter 09's headline numbers, read from the chapter as it was executed for the site."""

import pytest


@pytest.fixture(scope="module")
def values(glued):
    """Return the chapter's glued texts without their quotes."""
    return {name: text.strip("'") for name, text in glued("09").items()}


def percent(text):
    """Read ``90%`` as a share."""
    return float(text.rstrip("% ")) / 100


def test_models_are_what_is_independent(values):
    """770 rows of 22 models share errors; who ignores it promises too much."""
    assert (values["n-rows"], values["n-models"]) == ("770", "22")
    assert float(values["rho"]) == pytest.approx(0.43, abs=0.02)
    assert float(values["wider-alpha"]) == pytest.approx(3.1, abs=0.3)
    assert float(values["wider-a"]) == pytest.approx(2.0, abs=0.2)
    assert percent(values["dots-rows"]) < 0.6 < percent(values["dots-models"])


def test_one_model_carries_much(values):
    """The deepest of the widest models, and the first checkpoints."""
    assert values["far-model"] == values["lead-model"] == "Gemstone-3072x12"
    assert float(values["all-ratio"]) == pytest.approx(3.4, abs=0.1)
    assert float(values["far-ratio"]) == pytest.approx(1.8, abs=0.1)
    assert percent(values["tenth-share"]) == pytest.approx(0.67, abs=0.03)


def test_choices_move_more_than_noise(values):
    """All specifications were fitted, and few parameters end inside their bounds."""
    assert (values["n-specs"], values["n-failed"]) == ("288", "0")
    assert values["vocabulary"] == "50,304"
    assert values["first-choice"] == "law"
    assert float(values["spread-decades"]) > 10 * float(values["one-decades"])


def test_coverage_that_was_recorded(values):
    """Counts over simulated suites: rows taken for independent hold the truth too seldom."""
    assert percent(values["naive-low"]) < 0.5
    assert percent(values["naive-high"]) < 0.85
    assert percent(values["honest-low"]) > 0.75
    assert percent(values["honest-high"]) > 0.9
    assert values["honest-best"] in ("curvature, models", "profile, models")
    assert percent(values["runs-low"]) > 0.85
    assert percent(values["posterior-low"]) > 0.75


def test_statements(values):
    """Which survive every specification, and which fail in all."""
    assert (values["n-statements"], values["n-survive"]) == ("19", "5")
    verdicts = [values[f"statement-{i}"].split(":")[0] for i in range(1, 20)]
    survives = [i for i, verdict in enumerate(verdicts, start=1) if verdict == "survives all"]
    assert survives == [1, 2, 5, 11, 15]
    fails = [i for i, verdict in enumerate(verdicts, start=1) if verdict == "fails in all"]
    assert fails == [3, 4, 14]


def test_other_programs(values):
    """The record of the comparison names its machine."""
    assert "cores" in values["machine"]
