"""The headline numbers of chapter 01, as the site shows them."""

import json
from collections.abc import Callable

import pytest
from conftest import ROOT

Glued = Callable[[str], dict[str, str]]


@pytest.fixture(scope="module")
def said(glued: Glued) -> dict[str, str]:
    """Return what the chapter's prose quotes from its computations."""
    return {name: text.strip("'\"") for name, text in glued("01").items()}


def first_number(text: str) -> float:
    """Return the number that a quoted text begins with."""
    return float(text.split()[0].rstrip("%").replace(",", "").replace("−", "-"))


@pytest.mark.parametrize(
    ("name", "value", "tolerance"),
    [
        ("rho_worst", -0.33, 0.02),  # WinoGrande against compute
        ("rho_best", -0.89, 0.02),  # HellaSwag
        ("hella_mean", 3.1, 0.05),  # nats per token
        ("hella_worst", 10.1, 0.1),
        ("rough_times", 3.5, 0.2),  # Gemstone-1024x28 on text, times the median of the others
        ("alpha_all", 0.158, 0.003),
        ("alpha_without", 0.153, 0.003),
        ("ratio_high", 21_300, 50),
        ("gem_above", 98, 1),
        ("rebuilt", 0.0, 0.1),  # per cent: the histograms give back the curve
    ],
)
def test_headline_numbers(said: dict[str, str], name: str, value: float, tolerance: float) -> None:
    """Each is what the data gave when the chapter was written."""
    assert first_number(said[f"ch01_{name}"]) == pytest.approx(value, abs=tolerance)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("least_monotone", "winogrande"),
        ("most_monotone", "hellaswag_zeroshot"),
        ("rough_rank_text", "1"),
        ("gem_models", "22"),
        ("gem_checkpoints", "770"),
        ("kmax_low", "128"),
        ("kmax_high", "32768"),
        ("partial", "30 and 9"),
        ("beyond_gsm8k", "44,353"),
        ("beyond_math", "37,549"),
        ("blank_math", "34"),
        ("porian_runs", "88"),
    ],
)
def test_headline_counts(said: dict[str, str], name: str, text: str) -> None:
    """Counts and names are exact."""
    assert said[f"ch01_{name}"] == text


@pytest.mark.parametrize("suite", ["porian", "gadre", "chinchilla"])
def test_recorded_grids_hold_no_run(suite: str) -> None:
    """A record keeps cells with counts and two digits, from which no row can be had back."""
    record = json.loads((ROOT / f"data/recorded/checkpoints_{suite}.json").read_text())["values"]
    assert sum(size for _, _, size, _ in record["cells"]) == record["runs"]
    assert all(ratio == float(f"{ratio:.2g}") for *_, ratio in record["cells"])
    assert len(record["cells"]) < record["runs"]
    for edge in record["n_edges"] + record["d_edges"]:
        assert edge == float(f"{edge:.0e}")  # cells are round, so they tell no row's N or D
