"""Pass rates and losses that cannot, or do not seem to, belong to the same answers."""

import functools

import numpy as np
import pytest
from at_hand import ROOT

import t2lib as t2
from t2lib._belonging import first_contradiction, first_not_mean_nll, losses_not_of
from t2lib.data.schemas import validate
from t2lib.fitting.table import fit

TASKS = sorted(t2.load_curves("gemstones")["task"].unique())
BITS = 1 / np.log(2)


def task(name):
    return t2.load_curves("gemstones").query("task == @name and k <= 256")


def columns(rows, scale=1.0):
    checkpoint = rows.groupby(["model", "n_tokens"]).ngroup().to_numpy()
    return (
        rows["pass_at_k"].to_numpy(),
        rows["k"].to_numpy(float),
        scale * rows["mean_nll"].to_numpy(),
        checkpoint,
    )


@functools.cache
def example():
    return t2.read_results(ROOT / "data/example").curves


# ------------------------------------------------------------------------ what logic forbids


@pytest.mark.parametrize("name", TASKS)
def test_right_tables_have_no_contradiction_and_halved_losses_have_one(name):
    Q, k, loss, checkpoint = columns(task(name))
    assert first_contradiction(Q, k, checkpoint, loss) is None
    row, where, words = first_contradiction(Q, k, checkpoint, loss / 2)
    assert where == "loss" and loss[row] / 2 < -np.log(Q[row]) and "Jensen" in words
    impossible = loss / 2 < -np.log(Q)
    assert impossible[k == 1].mean() > 0.6, "most checkpoints"


def test_samples_of_pythia_never_fall():
    for _, rows in t2.load_curves("pythia").groupby("task"):
        Q, k, _, checkpoint = columns(rows)
        assert first_contradiction(Q, k, checkpoint) is None


def test_rounding_is_no_contradiction():
    p = np.array([0.00049, 0.0005001, 0.0014, 0.5, 0.9995, 1.0])  # all questions alike
    k, checkpoint = np.ones(6), np.arange(6)
    assert first_contradiction(np.round(p, 3), k, checkpoint, -np.log(p)) is None
    alike = np.full(3, 0.3) - [0, 1e-12, 0]
    assert first_contradiction(alike, np.array([1.0, 2, 4]), np.zeros(3, int)) is None
    assert first_contradiction(np.array([0.3, 0.2]), np.ones(2), np.zeros(2, int)) is None


def test_the_first_row_is_named_whatever_the_order():
    Q, k = np.array([0.5, 0.2, 0.4, 0.1]), np.array([4.0, 1, 8, 1])
    checkpoint = np.array([0, 0, 0, 1])
    assert first_contradiction(Q, k, checkpoint) == (
        2,
        "pass_at_k",
        "is below 0.5 at k = 4: pass@k cannot fall in k",
    )
    row, name, _ = first_contradiction(Q, k, checkpoint, np.array([3.0, 3.0, 3.0, 1.0]))
    assert (row, name) == (2, "pass_at_k")
    row, name, words = first_contradiction(Q[:2], k[:2], checkpoint[:2], np.array([3.0, 1.0]))
    assert (row, name) == (1, "loss") and "1.607" in words


@pytest.mark.parametrize("name", ["BetaRegressionLaw", "BetaConsistentLaw"])
def test_fits_refuse_with_row_and_reason(name):
    rows = task("arce").groupby("model").head(18).reset_index(drop=True)
    assert fit(name, rows).fitted is not None
    with pytest.raises(ValueError, match=r"loss\[0\] is .*: it is below -log of its pass rate"):
        fit(name, rows.assign(mean_nll=rows["mean_nll"] / 2))
    falls = rows.copy()
    falls.loc[5, "pass_at_k"] = 0.5 * falls.loc[4, "pass_at_k"]
    with pytest.raises(ValueError, match=r"pass_at_k\[5\] is .*: it is below .* at k = 16: pass@k"):
        fit(name, falls)


def test_tables_refuse_with_row_and_reason(tmp_path):
    rows = task("arce").head(18)
    halved = rows.assign(mean_nll=rows["mean_nll"] / 2)
    with pytest.raises(t2.DataError, match=r"mine: row .*, column mean_nll: .* is below -log of"):
        validate(halved, "curves", "mine")
    falls = rows.copy()
    falls["pass_at_k"] = falls["pass_at_k"].to_numpy()[::-1]
    path = tmp_path / "curves.csv"
    falls.to_csv(path, index=False)
    with pytest.raises(t2.DataError, match=r"curves.csv: row 3, column pass_at_k: .* cannot fall"):
        t2.read_table(path, "curves")


# ----------------------------------------------------------------- possible, and not believed


@pytest.mark.parametrize("name", TASKS)
def test_losses_of_other_answers_are_told_and_right_ones_are_not(name):
    rows = task(name)
    assert losses_not_of(*columns(rows)) == ""
    assert "may not belong" in losses_not_of(*columns(rows, 10))
    words = losses_not_of(*columns(rows, BITS))
    # CoQA's pass rates up to k = 256 are so low that a Beta through them leaves its mean loss open.
    assert ("may not belong" in words) == (name != "coqa")


def test_the_example_is_not_suspected():
    curves = example()
    likely = curves[curves["mean_nll"].notna() & (curves["k"] <= 256)]
    assert len(likely) and losses_not_of(*columns(likely)) == ""
    assert "may not belong" in losses_not_of(*columns(likely, 10))
    assert "may not belong" in losses_not_of(*columns(likely, BITS))
    k, neg_log_pass = likely["k"].to_numpy(float), likely["neg_log_pass"].to_numpy()
    assert first_not_mean_nll(k, neg_log_pass, likely["mean_nll"].to_numpy()) is None


def test_too_little_to_tell_is_silence():
    Q, k, loss, checkpoint = columns(task("arce"))
    two = k <= 2
    assert losses_not_of(Q[two], k[two], 10 * loss[two], checkpoint[two]) == ""
    assert losses_not_of(0 * Q, k, loss, checkpoint) == ""


def test_a_fit_says_it_beside_its_bounds():
    rows = task("arce").groupby("model").head(90)
    assert fit("BetaConsistentLaw", rows).warnings == ()
    for name in ("BetaConsistentLaw", "BetaRegressionLaw"):
        wrong = fit(name, rows.assign(mean_nll=10 * rows["mean_nll"]))
        (warning,) = wrong.warnings
        assert "0.1 times the given mean loss" in warning and f"! {warning}" in wrong.summary()
    assert fit("Chinchilla", rows).warnings == () == fit("AdditiveLaw", rows).warnings


@pytest.mark.parametrize("name", TASKS)
def test_the_column_at_one_sample_is_the_mean_loss(name):
    rows = task(name)
    k, nlp, nll = (rows[x].to_numpy(float) for x in ("k", "neg_log_pass", "mean_nll"))
    assert first_not_mean_nll(k, nlp, nll) is None
    for scale in (BITS, 10, 0.5):
        assert first_not_mean_nll(k, nlp, scale * nll) == 0


def test_t2_fit_says_it():
    rows = task("arce").groupby("model").head(90)
    right = t2.fit_suite(rows, n_bootstrap=0).task("arce")
    assert right["warnings"] == []
    wrong = t2.fit_suite(rows.assign(mean_nll=BITS * rows["mean_nll"]), n_bootstrap=0)
    column, beta = wrong.task("arce")["warnings"]
    assert "-log pass@1 is" in column and "may not belong to the pass rates" in beta


def test_certain_questions_have_a_beta():
    """p = 1, an nll of 0, is met as elsewhere."""
    p = np.random.default_rng(0).beta(0.5, 1.0, 500)
    nll = -np.log(np.append(p, [1.0, 1.0]))
    assert nll.min() == 0
    a, b = t2.fit_beta(nll=nll)
    assert 0.4 < a < 0.6 and 0.6 < b < 1.1
    assert np.isfinite(t2.fit_beta(nll=[0, 0.5, 1, 2])).all()
    with pytest.raises(ValueError, match="the same for every question"):
        t2.fit_beta(nll=[0, 0, 0])
