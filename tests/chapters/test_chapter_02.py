"""Headline numbers of chapter 02, read from the chapter that the site shows."""

import json
import re

import pytest
from conftest import ROOT

import t2lib as t2


def record(name):
    return json.loads((ROOT / f"data/recorded/{name}.json").read_text())["values"]


def number(text):
    return float(re.search(r"-?\d+(\.\d+)?(e-?\d+)?", text).group())


@pytest.fixture(scope="module")
def numbers(glued):
    return glued("02")


def test_the_refit_reaches_the_published_optimum(numbers):
    assert number(numbers["ch02-refit-objective"]) <= 0.001018274041
    assert "no higher" in numbers["ch02-refit-verdict"]
    assert number(numbers["ch02-refit-largest"]) < 0.05  # per cent: four digits of each parameter


def test_the_free_scale_is_the_printed_row(numbers):
    assert number(numbers["ch02-printed-free"]) < 0.02  # of a printed standard error
    assert number(numbers["ch02-printed-plain"]) < 0.2
    assert "E, B, beta" in numbers["ch02-hoffmann-outside"]


def test_tokens_per_parameter_at_chinchillas_budget(numbers):
    assert number(numbers["ch02-rule-refit"]) == pytest.approx(17.9, abs=0.2)
    assert number(numbers["ch02-rule-hoffmann"]) == pytest.approx(93, abs=1)


def test_the_recorded_refit_has_its_published_objectives():
    refit = record("chinchilla_refit")
    assert refit["sse"]["objective"] <= 0.08320381
    assert refit["huber"]["objective"] <= 0.00101827404
    published = t2.load_published("chinchilla_fits").set_index(["fit", "quantity"])["value"]
    for name in ("E", "A", "B", "alpha", "beta"):
        assert refit["huber"][name] == pytest.approx(
            published["besiroglu2024_grid", name], rel=5e-4
        )
        assert refit["free_scale"][name] == pytest.approx(
            published["besiroglu2024", name], rel=5e-4
        )


def test_porian_parabolas(numbers):
    assert number(numbers["ch02-porian-parabola"]) == pytest.approx(0.563, abs=0.002)
    assert number(numbers["ch02-porian-inside"]) == 12
