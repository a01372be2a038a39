"""Chapter 16: what repeated tokens are worth, read from the executed notebook."""

from collections.abc import Callable

import pytest


@pytest.fixture(scope="module")
def said(numbers: Callable[[str], dict[str, str]]) -> dict[str, float]:
    """Return the numbers that the chapter put into its prose."""
    return {name: float(text.split(" ")[0]) for name, text in numbers("16").items()}


def test_four_epochs_are_free_and_the_form_breaks_after_sixteen(said: dict[str, float]) -> None:
    assert said["rms-4"] < 0.015
    assert said["rms-16"] < 0.05
    assert said["rms-late"] > 3 * said["rms-16"]


def test_one_constant_is_an_average_over_sizes(said: dict[str, float]) -> None:
    """Near the published 15.4 over all, several times apart between the ends."""
    assert 5 < said["decay"] < 25
    assert said["decay-small"] > 3 * said["decay-large"]
    assert said["both-4"] > 10 * said["rms-4"]


def test_small_models_bear_more_epochs(said: dict[str, float]) -> None:
    assert said["lost-7"] < said["lost-58"]
