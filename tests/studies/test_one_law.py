"""The comparison of laws, on suites made from a known law."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.studies import one_law as study

CHINCHILLA = t2.Chinchilla(E=1.2, A=40.0, B=80.0, alpha=0.22, beta=0.25)
LAW = t2.BetaConsistentLaw(CHINCHILLA, c0=0.3, c1=0.5)
K = np.array([1.0, 4, 16, 64, 256])


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    """Eight models with ten checkpoints each, exactly as the law has them."""
    N, D, k = np.meshgrid(np.geomspace(3e7, 2e9, 8), np.geomspace(1e9, 3e11, 10), K, indexing="ij")
    table = pd.DataFrame({"n_params": N.ravel(), "n_tokens": D.ravel(), "k": k.ravel().astype(int)})
    sizes = table["n_params"], table["n_tokens"]
    return table.assign(
        suite="made",
        task="exact",
        model=table["n_params"].map("{:.0f}".format),
        pass_at_k=LAW.pass_at_k(*sizes, table["k"]),
        neg_log_pass=LAW.neg_log_pass(*sizes, table["k"]),
        mean_nll=CHINCHILLA.loss(*sizes),
    )


LAWS = ["BetaConsistentLaw", "AdditiveLaw"]
RIVALS = {"additive": ("AdditiveLaw", "nats")}


@pytest.fixture(scope="module")
def judged(curves):
    return study.overtrained(curves, LAWS, cut=400)


def test_a_true_law_has_no_error_and_wins(curves, judged):
    fits, outside = judged
    errors = study.mean_errors(outside)
    assert errors["BetaConsistentLaw"].to_numpy().max() < 1e-3
    assert errors["AdditiveLaw", "nats"].item() > 0.05
    sums, links = study.models_left_out(curves, LAWS, fits, every=2)
    assert len(links) == 4 and np.allclose(links["c1"], 0.5, atol=1e-3)
    settings = {
        "left out": study.compare(sums, RIVALS, n=50, seed=0),
        "overtrained": study.compare(outside, RIVALS, n=50, seed=0),
    }
    counts = study.count_verdicts(settings)
    assert counts.loc["additive", ("left out", "wins")] == 1
    assert counts.loc["additive", ("overtrained", "loses")] == 0


def test_the_comparison_is_of_root_mean_squares(judged):
    _, outside = judged
    found = study.compare(outside, RIVALS, n=20, seed=0).iloc[0]
    errors = study.mean_errors(outside).loc["exact"]
    ours, theirs = errors["BetaConsistentLaw", "nats"], errors["AdditiveLaw", "nats"]
    assert found["value"] == pytest.approx(ours / theirs - 1)
    assert found["difference"] == pytest.approx(ours - theirs)


def test_errors_are_means_over_rows(curves):
    """By hand, for a law that is a tenth too high."""
    rows = curves.assign(pass_at_k=curves["pass_at_k"] / 1.1)
    fits = {"ours": study.fit_laws(curves, ["BetaConsistentLaw"])["BetaConsistentLaw"]}
    errors = study.mean_errors(study.scores(fits, rows)).loc["exact"]
    assert errors["ours", "relative"] == pytest.approx(0.1, rel=1e-3)
    assert errors["ours", "log"] == pytest.approx(np.log(1.1), rel=1e-3)


def test_variants_are_told_apart(curves):
    fits = study.fit_laws(curves, ["each k by C", "each k by N, D", "joint fit"])
    assert fits["each k by C"].law.by_compute and not fits["each k by N, D"].law.by_compute
    assert isinstance(fits["joint fit"].law, t2.BetaConsistentLaw)


def test_residuals_of_the_additive_law_bend(curves, judged):
    fits, _ = judged
    bends = study.bends(study.residuals(fits, curves, LAWS))
    assert bends["AdditiveLaw"] > 20 * bends["BetaConsistentLaw"]


def histograms() -> pd.DataFrame:
    """Questions drawn from the law's Beta, in bins of an eighth of a nat."""
    rng, rows = np.random.default_rng(0), []
    for N in (1e8, 3e8, 1e9):
        for D in np.geomspace(1e9, 1e11, 7):
            a, b = LAW.shape(N, D)
            low = np.floor(np.log(rng.beta(a, b, 4000)) * 8) / 8
            values, counts = np.unique(low, return_counts=True)
            rows.append(
                pd.DataFrame(
                    {"log_p_low": values, "log_p_high": values + 0.125, "n_questions": counts}
                ).assign(task="exact", model=f"{N:.0f}", n_params=N, n_tokens=D)
            )
    return pd.concat(rows)


def test_the_link_is_found_in_single_checkpoints(curves):
    betas = study.betas_of_checkpoints(histograms(), every=3)
    assert len(betas) == 9  # the first, fourth and seventh of each model
    betas["mean_nll"] = CHINCHILLA.loss(betas["n_params"], betas["n_tokens"])
    fit = {"exact": study.fit_laws(curves, ["BetaConsistentLaw"])["BetaConsistentLaw"]}
    link = study.link_table(betas, fit).loc["exact"]
    assert link["slope_dots"] == pytest.approx(0.5, abs=0.1)
    assert 1 <= link["factor"] < 1.2 and link["left"] < 0.1


def test_guessing_a_loss_that_is_off_costs(curves):
    """The loss seen is what made the curves; the one that N and D tell is 5 % off."""
    N, D = curves["n_params"], curves["n_tokens"]
    rng = np.random.default_rng(1)
    pairs = curves[["n_params", "n_tokens"]].drop_duplicates()
    noise = pairs.assign(noise=rng.normal(0, 0.05, len(pairs)))
    loss = CHINCHILLA.loss(N, D) * np.exp(curves.merge(noise)["noise"].to_numpy())
    a, b = LAW.shape_at_loss(loss)
    noisy = curves.assign(
        mean_nll=loss,
        pass_at_k=t2.beta_pass_at_k(a, b, curves["k"]),
        neg_log_pass=t2.beta_neg_log_pass(a, b, curves["k"]),
    )
    one = noisy[noisy["k"] == 1]
    a, b = LAW.shape_at_loss(one["mean_nll"])
    betas = one[["task", "model", "n_params", "n_tokens", "mean_nll"]].assign(a=a, b=b)
    fit = {"exact": study.fit_laws(noisy, ["BetaConsistentLaw"])["BetaConsistentLaw"]}
    steps = study.errors_by_step(betas, noisy, fit)
    assert set(steps["step"]) == set(study.STEPS)
    cost = study.cost_of_loss(steps)
    assert cost["relative"] > 2 and cost["nats"] > 2


def test_a_part_of_the_recorded_rivals_comes_out_again() -> None:
    """PIQA's errors of two laws, from the embedded curves."""
    curves = t2.load_curves("gemstones").query("task == 'piqa' and k <= 256")
    laws = ["BetaConsistentLaw", "LossTiedLaw"]
    errors = study.mean_errors(study.models_left_out(curves, laws, {})[0]).loc["piqa"]
    record = study.recorded_rivals()["errors"].query("task == 'piqa' and score == 'nats'")
    for law, error in record.set_index("law").loc[laws, "error"].items():
        assert errors[law, "nats"] == pytest.approx(error, rel=1e-3)


def test_deals_are_summed_up() -> None:
    rows = [(2, 5, 1, "random"), (1, 6, 1, "random"), (1, 7, 0, "blocks")]
    deals = pd.DataFrame(rows, columns=["wins", "ties", "loses", "deal"])
    found = study.by_deal(deals.assign(comparison="c"))
    assert found.loc[("c", "random")].tolist() == [1.5, 5.5, 1, 1, 2]
