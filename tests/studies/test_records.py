"""What was recorded comes out again, wherever the released files are at hand.

The site is built without them, so this is where a record and its computation meet.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from at_hand import ROOT

from t2lib.data import registry
from t2lib.studies import (
    chinchilla_baseline,
    difficulty,
    frontiers,
    pass_at_k_law,
    planning_a_budget,
    published_exponents,
    pythia_forecast,
    released_checkpoints,
    statements,
)

FOLDER = ROOT / "data/recorded"
RECORDS: dict[str, Callable[..., object]] = {
    **{
        f"checkpoints_{suite}": partial(released_checkpoints.text_suite, suite)
        for suite in released_checkpoints.TEXT_SUITES
    },
    "chinchilla_gemstones": chinchilla_baseline.gemstones,
    "chinchilla_porian": chinchilla_baseline.porian,
    "chinchilla_refit": chinchilla_baseline.figure_four,
    "gemstones_text_loss": released_checkpoints.text_roughness,
    "overtraining_pythia_gsm8k": partial(pythia_forecast.fits, "gsm8k"),
    "overtraining_pythia_math": partial(pythia_forecast.fits, "math"),
    "overtraining_validation": frontiers.validation_law,
    "pass_at_k_law_pythia_gsm8k": partial(pass_at_k_law.pythia_counts, "gsm8k"),
    "pass_at_k_law_pythia_math": partial(pass_at_k_law.pythia_counts, "math"),
    "planning_gemstones_loss": planning_a_budget.validation_loss_law,
    "planning_pythia_gsm8k": planning_a_budget.gsm8k_law,
    "published_exponents_pythia_gsm8k": published_exponents.from_counts,
    "pythia_beta_shapes": difficulty.pythia_shapes,
    "pythia_samples": released_checkpoints.sample_counts,
    "statements_baseline": statements.baseline_fits,
    "statements_pythia": statements.pythia_forecasts,
    "winogrande_beta_shapes": difficulty.winogrande_shapes,
}
# Long studies, recorded by benchmarks/calibration.py, by make bench-peers, and by
# benchmarks/claims.py; of the last, parts are recomputed in the tests of their modules.
ELSEWHERE = {
    *("calibration", "peers", "answer_length", "duel_lengths", "mmlu", "rivals"),
    *("robustness", "zero_inflation", "few_samples"),
}


def differences(found: object, recorded: object, where: str = "") -> list[str]:
    """Say where two plain values differ in their first three digits.

    The law of a resample may leave a parameter free: it runs to 1e32, and from one processor to
    the next it keeps its order of magnitude.
    """
    if isinstance(found, dict) and isinstance(recorded, dict):
        pairs = [(found.get(k), recorded.get(k), f"{where}/{k}") for k in {*found, *recorded}]
    elif isinstance(found, list) and isinstance(recorded, list) and len(found) == len(recorded):
        both = zip(found, recorded, strict=True)
        pairs = [(*pair, f"{where}/{i}") for i, pair in enumerate(both)]
    elif isinstance(found, float | int) and isinstance(recorded, float | int):
        if "/draws/" in where:
            near = np.isclose(np.arcsinh(found), np.arcsinh(recorded), rtol=0.02)
        else:
            near = np.isclose(found, recorded, rtol=1e-3, atol=1e-9)
        return [] if near else [f"{where}: {found}, recorded {recorded}"]
    else:
        return [] if found == recorded else [f"{where}: {found}, recorded {recorded}"]
    return [line for pair in pairs for line in differences(*pair)]


def test_every_record_has_its_computation() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {*RECORDS, *ELSEWHERE}


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_record_comes_out_again(name: str, released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `make data` would write it, to three digits.

    A resample may leave a direction free: then last digits, which another processor rounds
    otherwise, decide where its search ends. That may happen to one draw in twenty.
    """
    written = {}
    monkeypatch.setenv("T2LIB_MIRROR", str(released))
    monkeypatch.setenv("T2LIB_RECORD", "1")
    monkeypatch.setattr(registry, "_write_text", lambda file, text: written.update({file: text}))
    file = FOLDER / f"{name}.json"
    recorded = json.loads(file.read_text())
    RECORDS[name](**recorded["settings"])
    found = differences(json.loads(written[file]), recorded)
    draws = {line.rsplit("/", 1)[0] for line in found if line.startswith("/values/draws/")}
    # A draw that ends elsewhere may also end at another bound: a count moves by one for each.
    values = [json.loads(written[file])["values"], recorded["values"]]
    new, old = (of.get("at bounds", {}) if isinstance(of, dict) else {} for of in values)
    assert all(abs(new.get(k, 0) - old.get(k, 0)) <= len(draws) for k in {*new, *old}), found
    elsewhere = ("/values/draws/", "/values/at bounds/")
    assert [line for line in found if not line.startswith(elsewhere)] == []
    assert not draws or len(draws) <= len(recorded["values"]["draws"]) / 20, found
