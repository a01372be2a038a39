"""MMLU's subjects: classes, gains, the tests of a difference, and the rule for the verdict."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.data.layouts import Likelihoods, gemstones_nll
from t2lib.studies import duels
from t2lib.studies import mmlu as study


def test_every_released_subject_has_one_category() -> None:
    released = {task.removeprefix("mmlu_") for task in t2.SUITES["gemstones"].more_tasks}
    listed = [s for name in study._CATEGORIES for s in study.CLASSES[name]]
    assert set(listed) == released and len(listed) == len(released) == 38
    assert set(study.CLASSES[study.MATHS]) < released
    assert study.class_of("formal_logic") == "humanities"


def test_gains_are_those_of_whole_numbers_of_samples() -> None:
    runs = pd.DataFrame({"model": ["b", "s"], "n_params": [1e9, 1e8], "n_tokens": [2e10, 2e11]})
    task = Likelihoods(runs, np.array([[1.0, 2.0], [2.0, 3.0]], dtype=np.float32))
    pair = {"big": "b", "big_N": 1e9, "big_D": 2e10, "small": "s", "small_N": 1e8}
    pairs = pd.DataFrame([pair | {"small_D": 2e11}])
    found = study.gains(task, pairs, budgets=(1e9, 6e9))
    assert len(found) == 1  # at 1e9 the larger side cannot answer once
    big = (1 - (1 - np.exp(-task.nll[0].astype(float))) ** 3).mean()
    small = (1 - (1 - np.exp(-task.nll[1].astype(float))) ** 30).mean()
    assert found["gain"].item() == pytest.approx(np.log(small / big))
    assert found["big_pass"].item() == pytest.approx(big)
    two = study.gains(task, pairs, budgets=(6e9,), length=2)
    squared = (1 - (1 - np.exp(-2 * task.nll[0].astype(float))) ** 3).mean()
    assert two["big_pass"].item() == pytest.approx(squared)


def test_the_difference_is_the_coefficient_of_a_regression() -> None:
    rng = np.random.default_rng(0)
    level, inside = rng.standard_normal(30), (np.arange(30) < 8).astype(float)
    gain = 0.5 * inside - 2 * level + 0.1 * rng.standard_normal(30)
    design = np.stack([np.ones(30), inside, level], axis=1)
    slope = np.linalg.lstsq(design, gain)[0][1]
    assert study.difference(gain, inside, level) == pytest.approx(slope)
    plain = gain[:8].mean() - gain[8:].mean()
    assert study.difference(gain, inside) == pytest.approx(plain)
    assert study.p_value(gain, inside, level, n=500, seed=0) < 0.01
    assert study.p_value(gain - 0.5 * inside, inside, level, n=500, seed=0) > 0.01


def test_leaving_nothing_out_is_the_whole_comparison() -> None:
    gains = study.recorded()["gains"]
    whole = study.without(gains, [], n=9, seed=0)["value"]
    table = study.recorded()["classes"].query("adjusted").set_index(["name", "inference_flops"])
    assert whole.to_dict() == pytest.approx(table["value"].to_dict(), abs=1e-4)
    assert (study.without(gains, ["formal_logic"], n=9, seed=0)["value"] != whole).all()


def test_p_values_are_uniform_where_there_is_no_difference() -> None:
    rng = np.random.default_rng(1)
    inside = (np.arange(20) < 5).astype(float)
    drawn = rng.standard_normal((200, 2, 20))
    p = [study.p_value(g, inside, level, n=99, seed=0) for g, level in drawn]
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.07)


def table_of(value: float, p_holm: float, other: float = 1.0) -> pd.DataFrame:
    rows = [
        {"name": study.MATHS, "inference_flops": c, "adjusted": a, "value": value, "p_holm": p}
        for c, p in ((1.0, p_holm), (2.0, other))
        for a in (False, True)
    ]
    return pd.DataFrame(rows)


def test_the_verdict_follows_the_rule() -> None:
    assert study.verdict(table_of(0.1, 0.01, 0.02)) == "holds"
    assert study.verdict(table_of(0.1, 0.01, 0.2)) == "undecided"
    assert study.verdict(table_of(-0.1, 0.01, 0.2)) == "fails"
    assert study.verdict(table_of(-0.1, 0.2, 0.2)) == "undecided"


def test_a_ratio_of_errors_and_its_interval() -> None:
    rng = np.random.default_rng(2)
    columns = {}
    for task in "abc":
        ours = rng.uniform(1, 2, 12)
        for law, score in study.RIVALS.values():
            columns[task, study.LAWS[0], score] = ours
            columns[task, law, score] = ours * (4 if score == "nats" else 1)
    found = study.mean_ratios(pd.DataFrame(columns), n=50, seed=0)
    one = found.loc["-log pass@k, against Approach 1"]
    assert one.to_numpy() == pytest.approx(-0.5)  # a root mean square: half of the rival's
    assert found.loc["pass@k, against Approach 2", "value"] == pytest.approx(0)


def test_what_is_recorded_follows_from_the_gains() -> None:
    """The table of classes again, from the recorded mean gains of the subjects."""
    record = study.recorded()
    assert set(record["gains"]["subject"]) == set(study.SUBJECTS)
    assert len(record["classes"]) == 2 * 3 * len(study.CLASSES)
    for row in record["classes"].itertuples():
        one = record["gains"].query("inference_flops == @row.inference_flops")
        inside = one["subject"].isin(study.CLASSES[row.name]).to_numpy(float)
        level = one["level"].to_numpy() if row.adjusted else None
        value = study.difference(one["gain"].to_numpy(), inside, level)
        assert value == pytest.approx(row.value, abs=1e-4)
        assert row.low < row.value < row.high


def test_gains_of_a_subject_come_out_again(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2LIB_MIRROR", str(released))
    pairs = duels.pair_up(t2.load_curves("gemstones").query("k == 1 and task == 'arcc'"))
    found = study.gains(gemstones_nll("mmlu_formal_logic"), pairs)
    mean = found.groupby("inference_flops")["gain"].mean()
    seen = study.recorded()["gains"].query("subject == 'formal_logic'")
    assert mean.to_numpy() == pytest.approx(seen["gain"].to_numpy(), rel=1e-4)
