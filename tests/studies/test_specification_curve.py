"""Specifications: every combination once, the same numbers as by hand, failures counted."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.studies.specification_curve import influence, specification_spread, specifications

TRUTH = t2.Chinchilla(E=0.8, A=300.0, B=2000.0, alpha=0.32, beta=0.36)
LAW = t2.BetaConsistentLaw(TRUTH, c0=0.8, c1=0.6)


@pytest.fixture(scope="module")
def curves():
    """Two tasks of 8 models, 5 checkpoints and 3 k; the second task is harder."""
    rng = np.random.default_rng(0)
    N, D, k = np.meshgrid(np.geomspace(5e7, 2e9, 8), np.geomspace(1e10, 3e11, 5), [1, 16, 256])
    sizes = pd.DataFrame({"n_params": N.ravel(), "n_tokens": D.ravel(), "k": k.ravel()})
    sizes["model"] = "m" + sizes["n_params"].rank(method="dense").astype(int).astype(str)
    tables = []
    for task, factor in (("easy", 1.0), ("hard", 1.3)):
        error = 1 + 0.01 * rng.standard_normal(40)
        at = sizes.groupby(["model", "n_tokens"], sort=False).ngroup().to_numpy()
        loss = factor * TRUTH.loss(sizes["n_params"], sizes["n_tokens"]) * error[at]
        a, b = LAW.shape_at_loss(loss)
        tables.append(
            sizes.assign(
                suite="made",
                task=task,
                mean_nll=loss,
                pass_at_k=t2.beta_pass_at_k(a, b, sizes["k"]),
                neg_log_pass=t2.beta_neg_log_pass(a, b, sizes["k"]),
            )
        )
    table = pd.concat(tables, ignore_index=True)
    return table.assign(fewer=table["n_params"] * 0.8)


def test_every_combination_once(curves):
    found = specifications(
        curves,
        law=("Chinchilla", "AdditiveLaw", "BetaConsistentLaw"),
        tasks={"easy": ["easy"], "both": ["easy", "hard"]},
        k={"few": (1, 16), "all": (1, 16, 256)},
        n_params=("n_params", "fewer"),
        objective=("sse", "huber_log"),
        inference_flops=(2e10, 1.4e11),
    )
    by_law = found.groupby("law").size()
    assert by_law["Chinchilla"] == 2 * 2 * 2  # neither k nor an inference budget
    assert by_law["AdditiveLaw"] == 2 * 2 * 2 * 2  # squared errors only, two budgets
    assert by_law["BetaConsistentLaw"] == 2 * 2 * 2 * 2 * 2
    choices = [*specifications.__globals__["CHOICES"], "inference_flops"]
    assert not found.duplicated(choices).any()
    assert found.attrs["specifications"] == 8 + 8 + 16
    assert found.attrs["failed"] == 0


def test_numbers_are_those_of_a_fit_by_hand(curves):
    found = specifications(
        curves,
        law="AdditiveLaw",
        tasks={"hard": ["hard"]},
        k={"some": (1, 256)},
        max_ratio=[1000],
        weights="relative",
        train_flops=1e21,
        inference_flops=2e10,
    ).iloc[0]
    rows = curves[(curves["task"] == "hard") & curves["k"].isin([1, 256])]
    rows = rows[rows["n_tokens"] <= 1000 * rows["n_params"]]
    columns = (rows[name] for name in ("n_params", "n_tokens", "k", "neg_log_pass"))
    fit = t2.fit_additive(*columns, weights=1 / rows["neg_log_pass"] ** 2)
    plan = t2.allocate(fit.law, train_flops=1e21, inference_flops=2e10)
    assert found["n_rows"] == len(rows)
    assert found["N"] == pytest.approx(plan.N, rel=1e-6)
    assert found["tokens_per_parameter"] == pytest.approx(plan.tokens_per_parameter, rel=1e-6)
    assert found["samples"] == pytest.approx(plan.k, rel=1e-6)
    assert found["alpha"] == pytest.approx(fit.params["alpha"])


def test_chinchilla_is_its_own_optimum(curves):
    one = curves[(curves["k"] == 1) & (curves["task"] == "easy")]
    points = one.rename(columns={"mean_nll": "loss"}).drop(columns=["task", "k"])
    found = specifications(points, weights=("rows", "models"))
    fit = t2.fit_chinchilla(one["n_params"], one["n_tokens"], one["mean_nll"])
    np.testing.assert_allclose(found["N"], float(fit.law.optimum(1e21)[0]), rtol=1e-6)
    np.testing.assert_allclose(found["size_exponent"], fit.law.compute_exponent, rtol=1e-6)
    np.testing.assert_allclose(found["over_chinchilla"], 1, rtol=1e-6)


def test_outliers_are_left_out(curves):
    def without_first(table):
        return table["model"] != "m1"

    rules = {"kept": None, "without m1": without_first}
    found = specifications(curves, tasks={"easy": ["easy"]}, outliers=rules)
    assert found.set_index("outliers")["n_rows"].to_dict() == {"kept": 40, "without m1": 35}


def test_a_specification_that_fails_is_counted_and_told(curves):
    """One token count is no suite: that specification has a row, without numbers."""
    first = curves["n_tokens"].min()
    rules = {"kept": None, "one": lambda table: table["n_tokens"] == first}
    with pytest.warns(RuntimeWarning, match="1 of 2 specifications failed; .* n|D is"):
        found = specifications(curves, tasks={"easy": ["easy"]}, outliers=rules)
    assert found.attrs["failed"] == 1
    bad = found.set_index("outliers").loc["one"]
    assert np.isnan(bad["N"]) and "exponent cannot be fitted" in bad["failed"]
    with pytest.raises(RuntimeError, match="all 1 specifications failed"):
        specifications(curves, tasks={"easy": ["easy"]}, outliers={"one": rules["one"]})


def test_processes_do_not_change_the_numbers(curves):
    same = {"law": "BetaConsistentLaw", "tasks": {"easy": ["easy"]}, "max_ratio": (np.inf, 2000)}
    one, two = (specifications(curves, n_jobs=n, **same) for n in (1, 2))
    pd.testing.assert_frame_equal(one, two)


def test_spread_names_the_choice_that_moves_the_number(curves):
    found = specifications(
        curves, max_ratio=(np.inf, 3000), n_params=("n_params", "fewer"), tasks={"e": ["easy"]}
    )
    spread = specification_spread(found, "N")
    assert list(spread.index) == ["max_ratio", "n_params", "all"]
    assert spread["share"]["n_params"] > 0.5
    assert spread["factor"]["all"] >= spread["factor"]["n_params"] > 1
    assert spread["levels"].to_dict() == {"max_ratio": 2, "n_params": 2, "all": 4}


def fit_slope(table):
    slope, level = np.polyfit(table["x"], table["y"], 1)
    return {"slope": slope, "level": level}


def test_influence_is_the_jackknife_s():
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"model": list("abcdefgh"), "x": np.arange(8.0)})
    table["y"] = 2 * table["x"] + rng.standard_normal(8)
    table.loc[7, "y"] += 20
    found = influence(fit_slope, table, by="model")
    assert found.index[0] == "h"
    full, without = fit_slope(table), fit_slope(table[:-1])
    left_out = t2.jackknife(fit_slope, table, by="model")
    error = np.sqrt(7 / 8 * ((left_out["slope"] - left_out["slope"].mean()) ** 2).sum())
    assert found.attrs["standard_errors"]["slope"] == pytest.approx(error)
    change = (full["slope"] - without["slope"]) / error
    assert found.loc["h", "slope"] == pytest.approx(change)
    assert (found["distance"] >= 0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"law": "Kaplan"}, "law is 'Kaplan': must be one of Chinchilla"),
        ({"objective": "l1"}, "objective is 'l1'"),
        ({"weights": "mine"}, "weights is 'mine'"),
        ({"n_params": "width"}, "column width is missing"),
        ({"tasks": {"x": ["maths"]}}, "no rows of maths"),
        ({"tasks": {"x": []}}, "an empty list"),
        ({"max_ratio": ()}, "max_ratio has no level"),
    ],
)
def test_bad_input(curves, settings, message):
    with pytest.raises(ValueError, match=message):
        specifications(curves, **settings)


def test_bad_columns_of_a_spread(curves):
    found = specifications(curves, tasks={"easy": ["easy"]})
    with pytest.raises(ValueError, match="'width' is no column"):
        specification_spread(found, "width")
    with pytest.raises(ValueError, match="N has 1 positive numbers"):
        specification_spread(found, "N")
