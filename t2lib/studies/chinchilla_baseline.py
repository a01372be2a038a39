"""The Chinchilla law on three sets of runs: its optimum, and how sure each set makes us.

The sets are two grids of runs at equal compute (Porian et al.; Gemstones) and the points of
Hoffmann et al.'s figure 4. What the functions return is plain, so that it can be recorded: the runs
themselves are not part of this repository.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, special

from t2lib._checks import FloatArray
from t2lib.data.layouts import load_points
from t2lib.data.registry import Recorded, data_folder, read_json, recorded
from t2lib.fitting.batches import ChinchillaRefit
from t2lib.fitting.powers import Fit
from t2lib.isoflop import at_equal_compute, envelope, isoflop_parabolas, power_law
from t2lib.laws import Chinchilla
from t2lib.uncertainty.profiles import region
from t2lib.uncertainty.resampling import bootstrap, percentile_interval

PARAMETERS = ["E", "A", "B", "alpha", "beta"]
CHINCHILLA_FLOPS = 5.76e23  # Chinchilla's own budget: 70 B parameters, 1.4 T tokens
OBJECTIVES = ("huber_log", "sse")


# ------------------------------------------------------------------------------ what is recorded


def porian(n_bootstrap: int, seed: int) -> Recorded:
    """:func:`three_approaches` to the RefinedWeb grid of Porian et al."""

    def compute() -> dict[str, Any]:
        runs = load_points("porian")
        return three_approaches(runs, runs, by="row", n_bootstrap=n_bootstrap, seed=seed)

    return _recorded("chinchilla_porian", compute, "porian_isoflop", n_bootstrap, seed)


def gemstones(n_bootstrap: int, seed: int) -> Recorded:
    """:func:`three_approaches` to Gemstones' FineWeb-Edu loss, interpolated to eight budgets."""

    def compute() -> dict[str, Any]:
        runs = load_points("gemstones")
        points = at_equal_compute(runs, np.geomspace(2e19, 1.2e21, 8))
        sizes = points.groupby("train_flops")["model"].transform("size")
        points = points[sizes >= 6]
        return three_approaches(points, runs, by="model", n_bootstrap=n_bootstrap, seed=seed)

    return _recorded("chinchilla_gemstones", compute, "gemstones_loss_edu", n_bootstrap, seed)


def figure_four(n_bootstrap: int, seed: int) -> Recorded:
    """:func:`refits` of the points of Hoffmann et al.'s figure 4."""

    def compute() -> dict[str, Any]:
        return refits(load_points("chinchilla"), n_bootstrap=n_bootstrap, seed=seed)

    return _recorded("chinchilla_refit", compute, "chinchilla_points", n_bootstrap, seed)


def other_programs() -> pd.DataFrame:
    """What other programs make of the 240 points, as ``make bench-peers`` recorded it.

    Returns
    -------
    DataFrame
        ``program``, ``objective``, ``share`` of the random starts that arrive within a thousandth
        of the best known objective value, ``excess`` of the lowest that the program found over
        it, relative. Programs that could not be run have no row.
    """
    values = read_json(data_folder() / "recorded/peers.json")["values"]
    rows = [
        (
            row["method"],
            row["objective"],
            row["share"],
            row["found"] / values["best"][row["objective"]] - 1,
        )
        for row in values["methods"]
        if "unavailable" not in row
    ]
    return pd.DataFrame(rows, columns=["program", "objective", "share", "excess"])


def _recorded(
    name: str, compute: Callable[[], dict[str, Any]], file: str, n_bootstrap: int, seed: int
) -> Recorded:
    settings = {"n_bootstrap": n_bootstrap, "seed": seed}
    return recorded(name, compute, inputs=[file], settings=settings)


# ----------------------------------------------------------------------------- the three approaches


def three_approaches(
    points: pd.DataFrame, runs: pd.DataFrame, *, by: str, n_bootstrap: int, seed: int
) -> dict[str, Any]:
    """Hoffmann et al.'s three approaches to the best model size at a budget.

    Parameters
    ----------
    points : DataFrame
        Runs of equal compute: ``train_flops, n_params, n_tokens, loss`` (nats).
    runs : DataFrame
        Runs that the law is fitted to, with the same columns, and ``model`` where ``by`` says so.
    by : {"row", "model"}
        What is one independent run (see :func:`~t2lib.bootstrap`).
    n_bootstrap, seed : int
        Resamples, and their seed.

    Returns
    -------
    dict
        ``n_runs``; ``envelope`` and ``parabolas``, as :func:`~t2lib.isoflop.envelope` and
        :func:`~t2lib.isoflop_parabolas` give them; ``dots``: for each point the budget, its size
        over the parabola's best, and its loss above the parabola's least (nats); ``fits``: for
        each objective ``params``, ``draws``, ``rms`` (nats).
    """
    parabolas = isoflop_parabolas(points)
    return {
        "n_runs": len(runs),
        "envelope": envelope(points).to_dict("list"),
        "parabolas": parabolas.dropna().to_dict("list"),
        "n_budgets": len(parabolas),
        "dots": _around_minimum(points, parabolas.dropna()).to_dict("list"),
        "fits": {
            objective: _fit_with_draws(runs, objective, by, n_bootstrap, seed)
            for objective in OBJECTIVES
        },
    }


def _around_minimum(points: pd.DataFrame, parabolas: pd.DataFrame) -> pd.DataFrame:
    """Each point as seen from its parabola's minimum, to the digits that a figure shows."""
    both = points.merge(parabolas, on="train_flops", suffixes=("", "_least"))
    ratio = both["n_params"] / both["N"]
    return pd.DataFrame(
        {
            "train_flops": both["train_flops"],
            "size_ratio": [float(f"{value:.3g}") for value in ratio],
            "excess": (both["loss"] - both["loss_least"]).round(3),
        }
    )


def _fit_with_draws(
    runs: pd.DataFrame, objective: Any, by: str, n_bootstrap: int, seed: int
) -> dict[str, Any]:
    refit = ChinchillaRefit(objective=objective)
    fit = refit(runs)
    draws = bootstrap(refit, runs, n=n_bootstrap, seed=seed, by=by)
    return {
        "params": fit.params,
        "objective": fit.objective,
        "rms": float(np.sqrt(np.mean(fit.residuals**2))),
        "draws": draws[PARAMETERS].to_dict("list"),
    }


def size_exponents(grid: Mapping[str, Any], *, n_bootstrap: int, seed: int) -> pd.DataFrame:
    """Exponent a of the best size, N* ~ C^a, by each approach, with its 95 % interval.

    Parameters
    ----------
    grid : mapping
        From :func:`three_approaches`. Budgets whose best size is the smallest or the largest at
        hand are left out.
    n_bootstrap, seed : int
        Resamples of the budgets, for approaches 1 and 2; approach 3 brings its own draws.

    Returns
    -------
    DataFrame
        A row an approach: ``value``, ``low``, ``high``.
    """
    rows = {}
    for label, key in (("1 envelope", "envelope"), ("2 parabolas", "parabolas")):
        optima = pd.DataFrame(grid[key])
        optima = optima[optima["inside"].astype(bool)]
        draws = bootstrap(_slope, optima, n=n_bootstrap, seed=seed, by="row")
        rows[label] = (_slope(optima), draws["value"])
    for label, key in (("3 law, Huber", "huber_log"), ("3 law, squares", "sse")):
        p, drawn = grid["fits"][key]["params"], pd.DataFrame(grid["fits"][key]["draws"])
        share = drawn["beta"] / (drawn["alpha"] + drawn["beta"])
        rows[label] = (p["beta"] / (p["alpha"] + p["beta"]), share)
    return pd.DataFrame(
        {
            label: {"value": value} | percentile_interval(draws.rename("a")).loc["a"].to_dict()
            for label, (value, draws) in rows.items()
        }
    ).T


def _slope(optima: pd.DataFrame) -> float:
    """Exponent of N in C."""
    return power_law(optima["train_flops"], optima["N"])[1]


# ------------------------------------------------------------------------------- the 240 points


def refits(
    points: pd.DataFrame, *, n_bootstrap: int, seed: int, n_dropped: int = 5
) -> dict[str, Any]:
    """Every fit of figure 4's points: plain Huber, free scale, squares, and with all points.

    Parameters
    ----------
    points : DataFrame
        ``n_params, n_tokens, loss`` (nats).
    n_bootstrap, seed : int
        Resamples of the points, and their seed.
    n_dropped : int
        Points of the largest loss that are left out, as Besiroglu et al. (2024) do.

    Returns
    -------
    dict
        ``n_points``; ``train_flops``, the least and the largest budget; ``huber_log`` and ``sse``
        (``params``, ``objective``, ``rms``, ``draws``); ``free_scale`` and ``all_points``
        (parameters); ``curvature`` of the squared error (``standard_errors``, ``intervals``,
        ``correlations``); ``region`` (borders of (alpha, beta) by level); ``residuals`` of the
        Huber fit (against ``predicted`` loss and ``n_tokens``: ``x``, ``residual``).
    """
    ordered = points.sort_values("loss")
    kept = ordered.iloc[: len(points) - n_dropped]
    squares, robust = ChinchillaRefit()(kept), ChinchillaRefit(objective="huber_log")(kept)
    return {
        objective: _fit_with_draws(kept, objective, "row", n_bootstrap, seed)
        for objective in OBJECTIVES
    } | {
        "n_points": len(kept),
        "train_flops": [float(f"{C:.2g}") for C in _ends(6 * kept["n_params"] * kept["n_tokens"])],
        "free_scale": fit_free_scale(kept, robust.params),
        "all_points": ChinchillaRefit(objective="huber_log")(ordered).params,
        "curvature": _curvature(squares),
        "region": {
            str(level): region(squares, ("alpha", "beta"), level=level)[["alpha", "beta"]].to_dict(
                "list"
            )
            for level in (0.68, 0.95)
        },
        "residuals": _residuals(kept, robust),
    }


def fit_free_scale(
    points: pd.DataFrame, start: Mapping[str, float], delta: float = 1e-3
) -> dict[str, float]:
    """Fit the law by the Huber likelihood of log residuals whose scale is free too.

    Minimises ``sum(Huber_delta(r_i / scale)) + n log scale`` by simplex searches until still.

    Parameters
    ----------
    points : DataFrame
        ``n_params, n_tokens, loss`` (nats).
    start : mapping
        The law's parameters to start from.
    delta : float
        Where the Huber loss turns from quadratic to linear, in units of the scale.

    Returns
    -------
    dict
        The law's parameters, and ``scale``.

    References
    ----------
    Besiroglu et al. (2024), whose printed fit it is.
    """
    N, D = points["n_params"].to_numpy(float), points["n_tokens"].to_numpy(float)
    middle = np.log(N).mean(), np.log(D).mean()
    log_loss = np.log(points["loss"].to_numpy(float))

    def objective(v: FloatArray) -> float:
        p = _from_logs(v, *middle)
        model = p["E"] + p["A"] * N ** -p["alpha"] + p["B"] * D ** -p["beta"]
        if not (model > 0).all():
            return float("inf")
        r = (np.log(model) - log_loss) / np.exp(v[5])
        return float(special.huber(delta, r).sum() + len(r) * v[5])

    log_A = np.log(start["A"]) - start["alpha"] * middle[0]
    log_B = np.log(start["B"]) - start["beta"] * middle[1]
    v = np.array([start["E"], log_A, log_B, start["alpha"], start["beta"], np.log(1e-5)])
    options = {"maxfev": 4000, "xatol": 1e-9, "fatol": 1e-9, "adaptive": True}
    best = np.inf
    for _ in range(20):
        found = optimize.minimize(objective, v, method="Nelder-Mead", options=options)
        v, gained, best = found.x, best - found.fun, found.fun
        if gained < 1e-6:
            break
    return _from_logs(v, *middle) | {"scale": float(np.exp(v[5]))}


def _ends(values: pd.Series) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _from_logs(v: FloatArray, log_N: float, log_D: float) -> dict[str, float]:
    """Parameters from E, the terms' logarithms in the middle of the data, and the exponents."""
    A, B = np.exp(v[1] + v[3] * log_N), np.exp(v[2] + v[4] * log_D)
    values = (v[0], A, B, v[3], v[4])
    return {name: float(value) for name, value in zip(PARAMETERS, values, strict=True)}


def _curvature(fit: Fit) -> dict[str, Any]:
    """What lmfit makes of the curvature at the optimum."""
    result = fit.lmfit()[1]
    correlations = {
        row: {
            column: 1.0 if row == column else float(result.params[row].correl[column])
            for column in PARAMETERS
        }
        for row in PARAMETERS
    }
    return {
        "standard_errors": fit.standard_errors(),
        "intervals": fit.conf_interval(),
        "correlations": correlations,
    }


def _residuals(points: pd.DataFrame, fit: Fit) -> dict[str, dict[str, list[float]]]:
    """Residuals (nats) against predicted loss and tokens, to the digits that a figure shows."""
    predicted = points["loss"].to_numpy(float) - fit.residuals
    columns = {"predicted": predicted, "n_tokens": points["n_tokens"].to_numpy(float)}
    tables = {}
    for (name, values), digits in zip(columns.items(), (3, 2), strict=True):
        order = np.argsort(values, kind="stable")
        tables[name] = {
            "x": [float(f"{value:.{digits}g}") for value in values[order]],
            "residual": fit.residuals[order].round(3).tolist(),
        }
    return tables


# ------------------------------------------------------------------------- tokens per parameter


def tokens_per_parameter(
    params: Mapping[str, float], draws: Mapping[str, Any] | None, train_flops: npt.ArrayLike
) -> pd.DataFrame:
    """Best tokens per parameter of a fit at some budgets, with 95 % bootstrap intervals.

    Parameters
    ----------
    params : mapping
        E, A, B, alpha and beta of the fit.
    draws : mapping or None
        The same for each resample. Draws without an optimum (a term vanished) are left out.
        None: no interval.
    train_flops : array_like, shape (budgets,)
        Training budgets in FLOPs.

    Returns
    -------
    DataFrame
        A row a budget: ``train_flops, value, low, high``.

    Examples
    --------
    >>> printed = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
    >>> tokens_per_parameter(printed, None, 5.76e23)["value"].round().tolist()
    [93.0]
    """
    budgets = np.atleast_1d(np.asarray(train_flops, dtype=float))
    law = Chinchilla(*(params[name] for name in PARAMETERS))
    table = pd.DataFrame({"train_flops": budgets, "value": law.tokens_per_parameter(budgets)})
    if draws is None:
        return table.assign(low=np.nan, high=np.nan)
    drawn = pd.DataFrame(draws)[PARAMETERS]
    drawn = drawn[(drawn[["A", "B", "alpha", "beta"]] > 0).all(axis=1)]
    ratios = [Chinchilla(*row).tokens_per_parameter(budgets) for row in drawn.to_numpy()]
    ends = percentile_interval(pd.DataFrame(ratios))
    return table.assign(low=ends["low"].to_numpy(), high=ends["high"].to_numpy())
