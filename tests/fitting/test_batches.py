"""Batched refits: the same draws and the same optima as one fit after another."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2

LAW = t2.Chinchilla(E=1.7, A=400.0, B=2000.0, alpha=0.35, beta=0.37)
ADDITIVE = t2.AdditiveLaw(E=0.5, A=400.0, B=2000.0, alpha=0.35, beta=0.37, G=1.5, gamma=0.35)


def runs(rng, models=12, each=6):
    """Runs of a few models, each at a few budgets."""
    N = np.repeat(np.geomspace(1e7, 1e9, models), each)
    D = N * np.tile(np.geomspace(5, 500, each), models)
    table = pd.DataFrame({"n_params": N, "n_tokens": D, "model": np.repeat(range(models), each)})
    return table.assign(loss=LAW.loss(N, D) * np.exp(0.01 * rng.standard_normal(len(N))))


def curves(rng):
    table = runs(rng).merge(pd.DataFrame({"k": [1.0, 8.0, 64.0]}), how="cross")
    y = ADDITIVE.neg_log_pass(table["n_params"], table["n_tokens"], table["k"])
    return table.assign(neg_log_pass=y * np.exp(0.02 * rng.standard_normal(len(table))))


REFITS = {
    "sse": (t2.ChinchillaRefit(), runs),
    "huber": (t2.ChinchillaRefit(objective="huber_log"), runs),
    "additive": (t2.AdditiveRefit(), curves),
}


@pytest.mark.parametrize("name", REFITS)
@pytest.mark.parametrize("by", ["model", "row"])
def test_batch_arrives_where_single_fits_do(name, by):
    """And names the same parameters at bounds."""
    refit, draw = REFITS[name]
    table = draw(np.random.default_rng(1))
    together = t2.bootstrap(refit, table, n=30, seed=3, by=by)
    one_by_one = t2.bootstrap(lambda t: refit(t), table, n=30, seed=3, by=by)
    spread = one_by_one.std()
    assert set(together) == set(one_by_one)
    assert ((together - one_by_one).abs() <= 1e-4 * spread + 1e-12).all(axis=None)
    assert together.attrs == one_by_one.attrs


def test_same_draws_for_any_number_of_processes():
    """The numbers do not depend on how resamples are dealt out."""
    table = runs(np.random.default_rng(1))
    one = t2.bootstrap(t2.ChinchillaRefit(), table, n=40, seed=0, by="model")
    two = t2.bootstrap(t2.ChinchillaRefit(), table, n=40, seed=0, by="model", n_jobs=2)
    few = t2.bootstrap(t2.ChinchillaRefit(), table, n=7, seed=0, by="model")
    np.testing.assert_allclose(two, one, rtol=1e-9)
    np.testing.assert_allclose(few, one[:7], rtol=1e-9)


def test_jackknife_in_a_batch():
    """Leaving out is a weighting too."""
    table = runs(np.random.default_rng(1))
    together = t2.jackknife(t2.ChinchillaRefit(), table, by="model")
    one_by_one = t2.jackknife(lambda t: t2.ChinchillaRefit()(t), table, by="model")
    np.testing.assert_allclose(together, one_by_one, rtol=1e-6)
    assert together.index.equals(one_by_one.index)


@pytest.mark.parametrize("name", REFITS)
def test_degenerate_resamples_are_counted(name):
    """A resample of one model cannot tell alpha: it fails as its own fit would."""
    refit, draw = REFITS[name]
    table = draw(np.random.default_rng(1))
    table = table[table["model"].isin([0, 7])]
    with pytest.warns(RuntimeWarning, match="resamples failed"):
        draws = t2.bootstrap(refit, table, n=40, seed=0, by="model")
    failed = draws.attrs["failed"]
    assert 0 < failed["number"] < 40 and len(draws) == 40 - failed["number"]
    assert "N is 1.87382e+08 in every row" in failed["first"]


def test_all_zero_is_refused_resample_by_resample():
    """Nothing to fit is an error, not a law of zeros."""
    table = curves(np.random.default_rng(1)).assign(neg_log_pass=0.0)
    with pytest.raises(RuntimeError, match="neg_log_pass is 0 in every row"):
        t2.bootstrap(t2.AdditiveRefit(), table, n=3, seed=0, by="model")


@pytest.mark.parametrize("bad", [np.nan, -1.0, 0.0, np.inf])
def test_bad_rows_stop_the_bootstrap_at_once(bad):
    """A bad row is no matter of luck in the draw."""
    table = runs(np.random.default_rng(1))
    table.loc[4, "loss"] = bad
    with pytest.raises(ValueError, match=r"loss\[4\] is .*must be positive and finite"):
        t2.bootstrap(t2.ChinchillaRefit(), table, n=3, seed=0, by="row")
