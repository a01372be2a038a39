"""Chapter 07's headline numbers, read from the chapter as it was executed for the site."""

import pytest


@pytest.fixture(scope="module")
def values(glued):
    """Return the chapter's glued texts without their quotes."""
    return {name: text.strip("'") for name, text in glued("07").items()}


def percent(text):
    """Read ``90%`` or ``1.7 %`` as a share."""
    return float(text.rstrip("% ")) / 100


def test_laws_agree_on_the_direction_and_not_on_the_amount(values):
    """Every plan is more overtrained than Chinchilla's; most lie outside what was fitted."""
    assert percent(values["law-share"]) == 1
    assert percent(values["both-share"]) == 1
    assert percent(values["pythia-more"]) == 1
    assert 10 < float(values["n-disagree"]) < 250
    assert percent(values["outside-share"]) == pytest.approx(0.86, abs=0.05)


def test_checkpoints_without_a_law(values):
    """The best trained Gemstone gets smaller, and Chinchilla-like ones lose as they grow."""
    assert percent(values["free-share"]) == pytest.approx(0.90, abs=0.02)
    assert float(values["free-factor"]) == pytest.approx(3.8, abs=0.2)
    assert percent(values["interpolation"]) < 0.02
    assert percent(values["t2-monotone"]) == 1
    assert percent(values["base-falls"]) > 0.9
    assert values["seen-falls"] == "16 of 16"


def test_extrapolation_misses_by_more_than_the_paper_says(values):
    """Median errors above 400 tokens per parameter on eight tasks."""
    assert percent(values["error-1-median"]) == pytest.approx(0.19, abs=0.03)
    assert percent(values["error-2-median"]) == pytest.approx(0.18, abs=0.03)
    assert values["better-nlp"] == "8 of 8"


def test_duels(values):
    """Who wins with an inference budget, and who with one sample."""
    assert int(values["n-pairs"]) == 99
    assert percent(values["wins-all"]) == pytest.approx(0.97, abs=0.01)
    assert percent(values["wins-one"]) == pytest.approx(0.34, abs=0.01)
    assert percent(values["py-wins"]) == pytest.approx(0.79, abs=0.02)
    assert values["py-real"] == "4 of 8"
    assert values["n-turned"] == "5 of 8"
    assert percent(values["histogram-check"]) < 0.01


def test_forecast_fails_on_the_smallest_pythia_models(values):
    """The three smallest models fall short by most of a decade, after their best checkpoint."""
    assert float(values["small-error"]) == pytest.approx(0.67, abs=0.05)
    assert float(values["other-error"]) == pytest.approx(0.16, abs=0.05)
    assert percent(values["explained"]) == pytest.approx(0.89, abs=0.05)


def test_verdicts(values):
    """The table of nine claims."""
    verdicts = [values[f"claim-{number}"] for number in range(1, 10)]
    assert verdicts[2] == verdicts[6] == "holds"
    assert verdicts[5] == "fails"
    assert verdicts[8] == "cannot be tested here"
    assert [verdicts[i] for i in (0, 1, 3, 4, 7)] == ["mixed"] * 5
