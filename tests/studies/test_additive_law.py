"""How the additive law misses, on tables whose parts and gains are known."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.studies import additive_law as study

LAW = t2.AdditiveLaw(E=0.5, A=400.0, B=2000.0, alpha=0.35, beta=0.37, G=1.5, gamma=0.35)
K = [1, 2, 4, 8, 16, 256]


def curve_table(task: str = "one", interaction: float = 0.0) -> pd.DataFrame:
    """Eight models at five checkpoints; the gain grows with the model's number where asked to."""
    N, D, k = np.meshgrid(np.geomspace(5e7, 5e9, 8), np.geomspace(1e9, 1e11, 5), K, indexing="ij")
    table = pd.DataFrame({"n_params": N.ravel(), "n_tokens": D.ravel(), "k": k.ravel()})
    table["model"] = table["n_params"].rank(method="dense").astype(int).map("model {}".format)
    y = LAW.neg_log_pass(table["n_params"], table["n_tokens"], table["k"])
    grows = np.log2(table["n_params"] / 5e7) * np.log2(table["k"])
    table["neg_log_pass"] = y - interaction * grows
    once = table["k"] == 1
    nll = table[once].set_index(["model", "n_tokens"])["neg_log_pass"]
    pairs = pd.MultiIndex.from_frame(table[["model", "n_tokens"]])
    return table.assign(mean_nll=nll.reindex(pairs).to_numpy(), task=task)


def test_rank_is_minus_one_where_loss_falls_with_compute():
    table = curve_table().assign(mean_nll=lambda t: 1 / (t["n_params"] * t["n_tokens"]))
    both = pd.concat([table, table.assign(task="two", mean_nll=-table["mean_nll"])])
    assert study.rank_with_compute(both).round(9).to_dict() == {"one": -1.0, "two": 1.0}


def test_mean_over_tasks_counts_each_task_alike_and_leaves_others_out():
    one = curve_table("one")
    two = one.assign(task="two", neg_log_pass=one["neg_log_pass"] + 2.0)
    odd = one.assign(task="odd", neg_log_pass=99.0)
    mean = study.mean_over_tasks(pd.concat([one, two, odd]), ["one", "two"])
    assert len(mean) == len(one)
    merged = mean.merge(one, on=["model", "n_tokens", "k"])
    np.testing.assert_allclose(merged["neg_log_pass_x"], merged["neg_log_pass_y"] + 1.0)


def test_parts_add_up_and_are_orthogonal():
    table = curve_table()
    values = np.random.default_rng(0).normal(size=len(table))
    parts = study.split(table, values)
    total = parts.interaction.add(parts.checkpoint, axis=0).add(parts.k, axis=1) + parts.mean
    wide = table.assign(v=values).pivot(index=["model", "n_tokens"], columns="k", values="v")
    np.testing.assert_allclose(total, wide)
    assert sum(parts.shares.values()) == pytest.approx(1)
    squares = parts.shares["interaction"] * (values**2).sum()
    assert (parts.interaction**2).to_numpy().sum() == pytest.approx(squares)


def test_an_additive_table_has_no_interaction_and_a_product_lies_in_one_direction():
    table = curve_table()
    parts = study.split(table, table["neg_log_pass"])
    np.testing.assert_allclose(parts.interaction, 0, atol=1e-12)
    product = study.split(table, table["n_params"] * np.log(table["k"]))
    assert product.shares["interaction"] > 0.05
    assert product.one_direction == pytest.approx(1)


def test_a_table_with_a_hole_is_refused():
    with pytest.raises(ValueError, match="lacks a k"):
        study.split(curve_table().iloc[1:], np.zeros(8 * 5 * len(K) - 1))


def test_drops_of_an_additive_table_are_the_laws():
    gained = study.drops(curve_table())
    assert len(gained) == 40
    np.testing.assert_allclose(gained["drop"], study.drop_of_law(LAW))
    assert study.drop_of_law(LAW) == pytest.approx(1.5 * (1 - 256**-0.35))


def test_the_slope_of_the_drops_is_found():
    """Interaction i, times log2 of 256: eight times i more for each doubling of N."""
    found = study.describe_drops(study.drops(curve_table(interaction=0.01)))
    assert found["slope"] == pytest.approx(0.08)
    assert found["low"] < found["high"]
    assert found["rank"] < -0.5  # larger models, smaller losses, larger drops


def test_estimates_of_a_clean_table_are_its_law():
    found = study.estimates(curve_table())
    assert found["alpha"] == pytest.approx(0.35, rel=1e-4)
    assert found["alpha_nll"] == pytest.approx(0.35, rel=1e-4)
    assert found["drop"] == pytest.approx(study.drop_of_law(LAW), rel=1e-4)
    assert found["rms_one"] < 1e-6


def noisy() -> pd.DataFrame:
    table = curve_table(interaction=0.005)
    noise = np.random.default_rng(1).normal(0, 0.01, (2, len(table)))
    one, two = noise[0], noise[1]
    return table.assign(neg_log_pass=table["neg_log_pass"] + one, mean_nll=table["mean_nll"] + two)


def test_shares_of_the_whole_table_are_those_of_its_split():
    table = noisy()
    additive, _ = study.fit_both(table)
    shares = study.split(table, additive.residuals).shares
    found = study.estimates(table)
    assert found["share_k"] == pytest.approx(shares["k"])
    assert found["share_interaction"] == pytest.approx(shares["interaction"])


def test_a_resample_counts_models_as_often_as_they_were_drawn():
    """The shortcut by weights gives what the table of the resample itself gives."""
    table = noisy()
    draws = study.resampled(table, n_bootstrap=3, seed=0)
    spelled = t2.bootstrap(_of_resample, table, n=3, seed=0, by="model")
    for name in spelled:
        np.testing.assert_allclose(draws[name], spelled[name], rtol=1e-4)


def _of_resample(resample: pd.DataFrame) -> dict[str, float]:
    copies = resample["model"] + "/" + resample["resample_copy"].astype(str)
    found = study.estimates(resample.assign(model=copies))
    return {name: found[name] for name in ("alpha", "drop", "share_k", "rms_one", "rms_one_nll")}


def test_no_start_goes_below_the_projection():
    found = study.restarts({"a table": noisy()}, n=6, seed=0)
    assert len(found) == 6
    assert found["excess"].is_monotonic_increasing
    assert (found["excess"] >= 0).all()
    assert found["projection"].max() < 1e-6
