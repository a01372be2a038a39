"""Where the checkpoints lie and how noisy they are, on made tables and on the embedded ones."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.studies import released_checkpoints as study


def run(losses, model="a", n_params=1e8):
    """Return one model's checkpoints past 100 billion tokens."""
    tokens = 2e11 + 1e9 * np.arange(len(losses))
    return pd.DataFrame({"model": model, "n_params": n_params, "n_tokens": tokens, "loss": losses})


def test_suites_facts_are_those_of_the_book():
    facts = study.suite_facts()
    assert facts["checkpoints"].to_dict() == {
        "gemstones": 770,
        "pythia": 81,
        "porian": 88,
        "gadre": 104,
        "chinchilla": 245,
    }
    assert facts.loc["gemstones", "above_20"] == pytest.approx(0.98, abs=0.01)
    assert facts["ratio_high"].idxmax() == "pythia"


def test_places_count_every_checkpoint_once():
    for suite, checkpoints in study.suite_facts()["checkpoints"].items():
        assert study.places(suite)["runs"].sum() == checkpoints


def test_an_unknown_suite_is_refused():
    with pytest.raises(t2.DataError, match="suite"):
        study.places("gemstone")
    with pytest.raises(t2.DataError, match="suite"):
        study.text_suite("pythia")


def test_runs_are_described_to_three_digits():
    runs = pd.DataFrame({"n_params": [1.2345e6, 3e6], "n_tokens": [1e7, 9e7]})
    described = study.describe_runs(runs)
    assert described["n_params"] == [1.23e6, 3e6]
    assert described["ratio"] == [8.1, 30]
    assert (described["runs"], described["sizes"], described["above_20"]) == (2, 2, 0.5)


def test_coarse_cells_have_round_edges_and_hold_all_runs():
    runs = pd.DataFrame({"n_params": [1.5e6, 1.7e6, 4e6], "n_tokens": [2e7, 2.5e7, 2e8]})
    grid = study.coarse_cells(runs, (1, 3))
    assert list(grid["n_edges"]) == [1e6, 2e6, 5e6]
    assert list(grid["d_edges"]) == [1e7, 3e7, 1e8, 3e8]
    assert grid["cells"] == [[0, 0, 2, 14.0], [1, 2, 1, 50.0]]


def test_largest_k_and_the_k_that_all_have():
    reach = study.largest_k(t2.load_curves("pythia"))
    assert len(reach) == 153  # 81 checkpoints on GSM8K, 72 on MATH
    assert (reach["largest_k"].min(), reach["largest_k"].max()) == (128, 32768)
    assert (reach["common_k"] == 128).all()
    never = reach[reach["pass_at_k"] == 0]["task"].value_counts()
    assert never.to_dict() == {"math": 34, "gsm8k": 2}


def test_compute_correlation_is_minus_one_where_compute_is_all_that_counts():
    curves = pd.DataFrame(
        {
            "suite": "s",
            "model": ["a", "a", "b", "b"],
            "task": "t",
            "n_params": [1e6, 1e6, 1e7, 1e7],
            "n_tokens": [1e8, 1e9, 1e8, 2e9],
            "k": 1,
            "mean_nll": [4.0, 3.0, 3.0, 2.0],
        }
    )
    losses = study.mean_losses(curves)
    assert study.compute_correlations(losses)["t"] == pytest.approx(-1)


def test_gemstones_tasks_follow_compute_very_differently():
    rho = study.compute_correlations(study.mean_losses(t2.load_curves("gemstones")))
    assert rho.idxmax() == "winogrande"
    assert rho.idxmin() == "hellaswag_zeroshot"
    assert rho.max() > -0.4 and rho.min() < -0.85


def test_roughness_is_the_root_mean_square_of_log_steps():
    smooth = run([3.0, 3.0, 3.0])
    rough = run(np.exp([1.0, 1.1, 1.0, 1.1]), model="b")
    found = study.roughness(pd.concat([rough, smooth], ignore_index=True), "loss")
    assert found.to_dict() == pytest.approx({"a": 0.0, "b": 0.1})


def test_roughness_leaves_early_steps_out():
    table = run([3.0, 3.0, 3.0])
    early = table.assign(n_tokens=table["n_tokens"] / 1e3, loss=[9.0, 3.0, 9.0])
    both = pd.concat([early, table], ignore_index=True)
    assert study.roughness(both, "loss")["a"] == pytest.approx(
        np.sqrt(np.log(3) ** 2 / 3)  # the step that enters the late part counts
    )


def test_one_gemstone_is_rough_on_text():
    text = study.text_roughness().values
    rough = pd.Series(text["roughness"]).sort_values()
    assert rough.index[-1] == "Gemstone-1024x28"
    assert text["low_high"] == [2.48, 3.66]


def test_small_pythia_models_decline_and_large_ones_do_not():
    """What chapter 01 says in words."""
    left = study.late_decline(t2.load_curves("pythia"))
    for task, declined, answered in (("gsm8k", 1, 3), ("math", 2, 2)):
        small = left[task][left[task].index < 2e8]
        assert ((small < 0.5).sum(), len(small)) == (declined, answered)
        assert (left[task][left[task].index > 2e9] >= 0.5).all()


def test_released_pass_at_k_is_one_beyond_the_samples():
    found = study.sample_counts().values
    assert (found["gsm8k"]["rows_beyond"], found["math"]["rows_beyond"]) == (44_353, 37_549)
    assert found["gsm8k"]["share_one"] == found["math"]["share_one"] == 1
    assert found["gsm8k"]["counts"][-1] == [1, 10, 0]
