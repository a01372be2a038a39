"""Headline numbers of chapter 04, and the verdicts that its prose draws."""

import pytest

import t2lib as t2


def number(text):
    return float(text.split(" ")[0])


def ends(text):
    low, high = text.split("(")[1].split(")")[0].replace(" %", "").split(" to ")
    return float(low), float(high)


@pytest.fixture(scope="module")
def said(numbers):
    return numbers("04")


@pytest.mark.parametrize(
    ("name", "value", "tolerance"),
    [
        ("monotone", 7, 0),
        ("zero_E", 8, 0),
        ("beta_bound", 3, 0),
        ("bent", 8, 0),
        ("steeper", 8, 0),
        ("drop_low", 2.61, 0.02),
        ("drop_law", 3.07, 0.02),
        ("drop_high", 3.48, 0.02),
        ("alpha_additive", 1.37, 0.02),
        ("alpha_chinchilla", 0.16, 0.01),
        ("rms_one_additive", 0.302, 0.003),
        ("rms_one_direct", 0.075, 0.002),
        ("alpha_range_low", 0.29, 0.01),
        ("alpha_range_high", 1.08, 0.02),
        ("far_seen", 0.17, 0.01),
        ("far_law", 0.85, 0.02),
        ("share_E_zero", 100, 0),
    ],
)
def test_headline_number(said, name, value, tolerance):
    """The number is the one that the embedded curves give."""
    assert number(said[name]) == pytest.approx(value, abs=tolerance + 1e-9)


def test_the_slope_in_k_is_quoted_from_the_appendix(numbers):
    assert number(numbers("A2")["gamma"]) == pytest.approx(0.324, abs=0.002)


def test_the_suite_is_as_the_prose_says():
    curves = t2.load_curves("gemstones")
    assert curves["model"].nunique() == 22
    assert len(curves.drop_duplicates(["model", "n_tokens"])) == 770


def test_the_gains_differ_beyond_doubt(said):
    """The law's one gain lies between the intervals of the ends of nine tenths."""
    assert ends(said["drop_low"])[1] < number(said["drop_law"]) < ends(said["drop_high"])[0]
    assert ends(said["slope"])[1] < 0


def test_the_interaction_is_one_number_a_checkpoint(said):
    assert number(said["one_direction"]) >= 99
    assert ends(said["share_interaction"])[0] > 10


def test_the_recovered_exponent_is_the_larger_one(said):
    assert number(said["alpha_larger"]) == 100
    assert ends(said["alpha_additive"])[0] > ends(said["alpha_chinchilla"])[1]


def test_a_constant_costs(said):
    assert number(said["E_cost"]) > 1
