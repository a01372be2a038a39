"""Recovery: each fit of each law on data simulated from the law itself, over many seeds.

Suites have the size of T2's own (108 checkpoints, k = 1 to 256), counts a size like Pythia's. All
k of a checkpoint share its scatter, as they do in real curves. `make slow` runs 200 seeds and
prints the table; `make test` runs a few, which only a broken fit would fail.
"""

from collections.abc import Callable
from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import t2lib as t2
from t2lib.fitting.beta import _ConsistentShape, _Counts
from t2lib.studies.simulation import Noise, simulate, t2_grid

SCATTER = 0.03  # of a checkpoint's loss, relative; Gemstones scatter by 2 to 4 % around their law
SCATTER_AT_K = 0.01
SEEDS = 200
RESAMPLES = 100
KS = (1.0, 16.0, 256.0)
LOGARITHMIC = ("A", "B", "G")  # coefficients span decades: their logarithm is estimated


def with_k(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each k, for each row."""
    return table.merge(pd.DataFrame({"k": KS}), how="cross")


# ------------------------------------------------------------------------------- the studies

LOSS_LAW = t2.Chinchilla(E=1.8, A=480.0, B=2000.0, alpha=0.35, beta=0.37)
ADDITIVE = t2.AdditiveLaw(E=0.5, A=400.0, B=2000.0, alpha=0.35, beta=0.37, G=1.5, gamma=0.35)
TASK_LOSS = t2.Chinchilla(E=0.8, A=300.0, B=2000.0, alpha=0.32, beta=0.36)
CONSISTENT = t2.BetaConsistentLaw(TASK_LOSS, c0=0.8, c1=0.6)
REGRESSION = t2.BetaRegressionLaw(TASK_LOSS, (1.0, 0.9, 0.8, 1.0, 0.4))
INTERACTION = t2.InteractionLaw(log_A=8.0, alpha=-0.16, beta=0.5, delta=-0.018)
AT_EACH_K = t2.LawsAtEachK(
    KS,
    tuple(
        t2.Chinchilla(e, a, 0.0, s, 1.0)
        for e, a, s in [(1, 900, 0.15), (0.5, 3e4, 0.25), (0.2, 6e5, 0.34)]
    ),
    by_compute=True,
)
COUNTS = t2.BetaConsistentLaw(t2.Chinchilla(1.0, 400.0, 3000.0, 0.32, 0.36), c0=1.0, c1=0.7)


def draw(law):
    """Draw the suite of a law: one error a checkpoint, and a smaller one for each k."""
    if isinstance(law, t2.Chinchilla):
        return lambda rng: simulate(law, t2_grid(), rng, Noise(model=0.006))
    noise = Noise(model=SCATTER, row=SCATTER_AT_K)
    return lambda rng: simulate(law, with_k(t2_grid()), rng, noise)


def draw_counts(rng):
    """40 checkpoints, 64 questions each, 100 to 400 samples a question."""
    table = pd.DataFrame(
        np.repeat(t2_grid().to_numpy()[::3], 64, axis=0), columns=["N", "D", "model"]
    )
    n = rng.choice([100, 200, 400], len(table))
    a, b = COUNTS.shape(table["N"], table["D"])
    return table.assign(n=n, c=rng.binomial(n, rng.beta(a, b)))


def fit_curves(function, **settings):
    """A fit of pass@k; the Beta laws read the checkpoints' losses too."""

    def fit(t):
        loss = {"loss": t["loss"]} if "loss" in t else {}
        return function(t["N"], t["D"], t["k"], t["pass_at_k"], **loss, **settings)

    return fit


def fit_beta_curves(function, **settings):
    """A fit, and the function that refits resamples from it."""
    refit = lambda fit: fit_curves(function, start=fit.law, **settings)  # noqa: E731
    return {"fit": fit_curves(function, **settings), "refit": refit}


def chinchilla_and(law, names, values):
    first = {name: getattr(law.chinchilla, name) for name in ("E", "A", "B", "alpha", "beta")}
    return first | dict(zip(names, values, strict=True))


FitFunction = Callable[[pd.DataFrame], t2.Fit]


@dataclass(frozen=True)
class Study:
    """A law's parameters, how its data are drawn and fitted, and which interval is judged."""

    truth: dict[str, float]
    draw: Callable[[np.random.Generator], pd.DataFrame]
    fit: FitFunction
    interval: str
    refit: Callable[[t2.Fit], FitFunction] | None = None  # to resamples; by default the fit


LINK = chinchilla_and(CONSISTENT, ("c0", "c1"), (CONSISTENT.c0, CONSISTENT.c1))
THETA = chinchilla_and(REGRESSION, [f"theta{i}" for i in range(5)], REGRESSION.theta)
SQUARES = t2.ChinchillaRefit(N="N", D="D")
HUBER = t2.ChinchillaRefit(objective="huber_log", N="N", D="D")
ADDITIVE_FIT = t2.AdditiveRefit(N="N", D="D")
EACH_K = {
    f"{name}[{k:g}]": getattr(law, name)
    for k, law in zip(AT_EACH_K.k, AT_EACH_K.laws, strict=True)
    for name in ("E", "A", "alpha")
}
STUDIES = {
    "Chinchilla, squared errors": Study(vars(LOSS_LAW), draw(LOSS_LAW), SQUARES, "curvature"),
    "Chinchilla, Huber": Study(vars(LOSS_LAW), draw(LOSS_LAW), HUBER, "bootstrap"),
    "Chinchilla, Huber, curvature": Study(vars(LOSS_LAW), draw(LOSS_LAW), HUBER, "curvature"),
    "additive": Study(vars(ADDITIVE), draw(ADDITIVE), ADDITIVE_FIT, "bootstrap"),
    "additive, curvature": Study(vars(ADDITIVE), draw(ADDITIVE), ADDITIVE_FIT, "curvature"),
    "interaction": Study(
        vars(INTERACTION), draw(INTERACTION), fit_curves(t2.fit_interaction), "bootstrap"
    ),
    "at each k": Study(EACH_K, draw(AT_EACH_K), fit_curves(t2.fit_at_each_k), "bootstrap"),
    "Beta regression": Study(
        THETA, draw(REGRESSION), interval="bootstrap", **fit_beta_curves(t2.fit_beta_regression)
    ),
    "Beta-consistent, two stages": Study(
        LINK, draw(CONSISTENT), interval="bootstrap", **fit_beta_curves(t2.fit_beta_consistent)
    ),
    "Beta-consistent, joint": Study(
        LINK,
        draw(CONSISTENT),
        interval="bootstrap",
        **fit_beta_curves(t2.fit_beta_consistent, method="joint"),
    ),
    "Beta-consistent, counts": Study(
        chinchilla_and(COUNTS, ("c0", "c1"), (COUNTS.c0, COUNTS.c1)),
        draw_counts,
        lambda t: t2.fit_beta_consistent_counts(t["N"], t["D"], t["n"], t["c"]),
        "likelihood",
    ),
}


# ------------------------------------------------------------------------------- one seed


def is_logarithmic(name: str) -> bool:
    return name.split("[")[0] in LOGARITHMIC


def scaled(name, value):
    """Logarithm of a coefficient (0 counts as very small), other parameters as they are."""
    return np.log(np.maximum(value, 1e-12)) if is_logarithmic(name) else np.asarray(value, float)


def estimates_of(which: str, seed: int) -> tuple[pd.DataFrame, t2.Fit, dict[str, float]]:
    """Draw a suite and fit it: the table, the fit, and the parameters on their scales."""
    study = STUDIES[which]
    table = study.draw(np.random.default_rng([seed, len(study.truth)]))
    fit = study.fit(table)
    return table, fit, {name: float(scaled(name, fit.params[name])) for name in study.truth}


def one_seed(which: str, seed: int) -> dict[str, tuple[float, float, float]]:
    """Estimate and 95 % interval of every parameter."""
    study = STUDIES[which]
    table, fit, estimates = estimates_of(which, seed)
    if study.interval == "bootstrap":
        refit = study.refit(fit) if study.refit else study.fit
        draws = t2.bootstrap(refit, table, n=RESAMPLES, seed=seed, by=["model"])
        draws = pd.DataFrame({n: scaled(n, draws[n].to_numpy()) for n in estimates})
        ends = {n: row.to_numpy() for n, row in t2.percentile_interval(draws).iterrows()}
    else:
        of = curvature_errors if study.interval == "curvature" else likelihood_errors
        errors = of(fit, table)
        half = stats.t.ppf(0.975, len(table) - len(estimates))
        ends = {n: value + half * errors[n] * np.array([-1, 1]) for n, value in estimates.items()}
    return {n: (value, *ends[n]) for n, value in estimates.items()}


def curvature_errors(fit: t2.Fit, _: pd.DataFrame) -> dict[str, float]:
    errors = fit.standard_errors()
    return {n: e / fit.params[n] if is_logarithmic(n) else e for n, e in errors.items()}


def likelihood_errors(fit: t2.Fit, table: pd.DataFrame) -> dict[str, float]:
    """Standard errors from the observed information, by differences of the score."""
    columns = [table[name].to_numpy(dtype=float) for name in ("N", "D", "n", "c")]
    sizes, rows = np.unique(np.stack(columns[:2], axis=1), axis=0, return_inverse=True)
    counts = _Counts(rows.ravel(), *columns[2:])
    names, shape = list(fit.params), _ConsistentShape()

    def score(v):
        p = dict(zip(names, v, strict=True)) | {"A": np.exp(v[1]), "B": np.exp(v[2])}
        term_N, term_D = p["A"] * sizes[:, 0] ** -p["alpha"], p["B"] * sizes[:, 1] ** -p["beta"]
        slopes = [np.ones(len(sizes)), term_N, term_D]
        slopes += [-np.log(sizes[:, 0]) * term_N, -np.log(sizes[:, 1]) * term_D]
        a, b, wrt, wrt_loss = shape(np.array([p["c0"], p["c1"]]), p["E"] + term_N + term_D)
        _, by_a, by_b = counts.log_likelihood(a, b)
        by_loss = by_a * wrt_loss[0] + by_b * wrt_loss[1]
        return np.array([*(by_loss @ np.stack(slopes).T), *(by_a @ wrt[0].T + by_b @ wrt[1].T)])

    best = np.array([float(scaled(name, value)) for name, value in fit.params.items()])
    steps = 1e-5 * np.eye(len(best))
    information = np.stack([(score(best - h) - score(best + h)) / 2e-5 for h in steps])
    covariance = np.linalg.inv((information + information.T) / 2)
    return dict(zip(names, np.sqrt(np.maximum(np.diag(covariance), 0)), strict=True))


def table_of(which: str, seeds: int) -> pd.DataFrame:
    """Bias in standard errors of the mean, spread, and coverage of every parameter."""
    runs = joblib.Parallel(n_jobs=2)(joblib.delayed(one_seed)(which, s) for s in range(seeds))
    rows = {}
    for name, value in STUDIES[which].truth.items():
        truth = float(scaled(name, value))
        estimate, low, high = np.array([run[name] for run in runs]).T
        spread = estimate.std(ddof=1)
        rows["log " + name if is_logarithmic(name) else name] = {
            "truth": truth,
            "mean": estimate.mean(),
            "spread": spread,
            "bias / spread": (estimate.mean() - truth) / spread,
            "bias / its error": (estimate.mean() - truth) / spread * np.sqrt(seeds),
            "inside 95 %": np.mean((low <= truth) & (truth <= high)),
        }
    return pd.DataFrame(rows).T


# ------------------------------------------------------------------------------- the tests


@pytest.mark.parametrize("which", [name for name in STUDIES if "curvature" not in name])
def test_estimates_are_centred_on_the_truth(which):
    """A few seeds: no parameter's mean is far from the truth for its own spread."""
    seeds = 4 if STUDIES[which].interval == "likelihood" else 12
    runs = pd.DataFrame([estimates_of(which, seed)[2] for seed in range(seeds)])
    truth = pd.Series({n: float(scaled(n, v)) for n, v in STUDIES[which].truth.items()})
    off = (runs.mean() - truth) / (runs.std(ddof=1) / np.sqrt(seeds))
    assert off.abs().max() < stats.t.ppf(1 - 1e-4, seeds - 1), off.round(1).to_dict()


@pytest.mark.slow
@pytest.mark.parametrize("which", [name for name in STUDIES if "curvature" not in name])
def test_bias_and_coverage(which):
    """The mean is centred, and the 95 % interval holds the truth as often as it says.

    A bias under a quarter of the spread passes although 200 seeds can resolve 0.14 of it: each is
    far less than two standard errors of one estimate. Coverage measured over 200 seeds, lowest to
    highest parameter: Chinchilla by squared errors 0.905 to 0.955, by Huber losses 0.95 to 0.975,
    additive 0.93 to 0.965, interaction 0.915 to 0.93, at each k 0.915 to 0.945, Beta regression
    0.93 to 0.955, Beta-consistent in two stages and joint 0.915 to 0.96, from counts 0.925 to
    0.955.

    Two parameters are truly off: theta4 and c1, by 0.46 and 0.26 of their spread, because a
    scattered loss bends the mean of pass@k and the second stage sees only the law's loss. It is of
    second order: a third of the scatter leaves less than a fourth of the bias.
    """
    table = table_of(which, seeds=SEEDS)
    print(f"\n{which}\n{table.round(3).to_string()}")
    allowed = pd.Series(max(2 / np.sqrt(SEEDS), 0.25), index=table.index)
    allowed[allowed.index.isin(["theta4", "c1"]) & ("counts" not in which)] = 0.75
    bias = table["bias / spread"].abs()
    assert (bias <= allowed).all(), bias[bias > allowed].to_dict()
    inside = table["inside 95 %"]
    assert (inside >= 0.90).all(), inside[inside < 0.90].to_dict()
    assert inside.mean() <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "unsure"),
    [
        ("Chinchilla, Huber, curvature", ["E", "log A", "log B", "alpha", "beta"]),
        ("additive, curvature", ["E", "log A", "log B", "alpha", "beta"]),
    ],
)
def test_where_the_curvature_promises_too_much(which, unsure):
    """lmfit's curvature is no substitute for a bootstrap by checkpoint in these two fits.

    Huber losses: rows in the linear part count with the wrong weight. The additive law: all k of
    a checkpoint share its error, and the curvature takes each row for news. Measured over 200
    seeds, the 95 % interval held the truth in 82 to 84 % of runs (Huber, scatter of six deltas)
    and in 69 to 78 % (additive, three k).
    """
    table = table_of(which, seeds=SEEDS)
    print(f"\n{which}\n{table.round(3).to_string()}")
    assert (table.loc[unsure, "inside 95 %"] < 0.90).all()
    assert (table.loc[unsure, "inside 95 %"] > 0.50).all()
