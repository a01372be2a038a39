"""Hoffmann et al.'s first two approaches: the envelope of training curves, and isoFLOP parabolas.

Both find the best model size at several training budgets without a law of the loss; a power law
through them then gives N* and D* at any budget. The third approach is
:func:`~t2lib.fit_chinchilla`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from t2lib._checks import positive


def at_equal_compute(runs: pd.DataFrame, train_flops: npt.ArrayLike) -> pd.DataFrame:
    """Interpolate each model's training curve to given budgets C = 6 N D.

    The loss is linear in log D between two checkpoints of a model; there is no extrapolation.

    Parameters
    ----------
    runs : DataFrame
        Columns ``model``, ``n_params``, ``n_tokens``, ``loss``; one row a checkpoint.
    train_flops : array_like, shape (levels,)
        Budgets in FLOPs.

    Returns
    -------
    DataFrame
        ``train_flops, model, n_params, n_tokens, loss`` for each model that was trained through
        the budget.

    Raises
    ------
    ValueError
        Where a budget is not positive and finite.
    """
    levels = np.atleast_1d(positive(train_flops, "train_flops"))
    rows: list[tuple[Any, ...]] = []
    runs = runs.sort_values(["model", "n_tokens"])
    models, first = np.unique(runs["model"].to_numpy(), return_index=True)
    columns = (runs[c].to_numpy(float) for c in ("n_params", "n_tokens", "loss"))
    each = zip(*(np.split(column, first[1:]) for column in columns), strict=True)
    for model, (sizes, seen, losses) in zip(models, each, strict=True):
        size, log_D = float(sizes[0]), np.log(seen)
        tokens = levels / (6 * size)
        inside = (np.log(tokens) >= log_D[0]) & (np.log(tokens) <= log_D[-1])
        loss = np.interp(np.log(tokens), log_D, losses)
        rows += [
            (C, model, size, D, L)
            for C, D, L in zip(levels[inside], tokens[inside], loss[inside], strict=True)
        ]
    names = ["train_flops", "model", "n_params", "n_tokens", "loss"]
    table = pd.DataFrame(rows, columns=names)
    return table.sort_values(["train_flops", "n_params"], ignore_index=True)


def envelope(points: pd.DataFrame) -> pd.DataFrame:
    """Best run at each training budget (approach 1).

    Parameters
    ----------
    points : DataFrame
        Columns ``train_flops``, ``n_params``, ``n_tokens``, ``loss``: runs of equal compute, as
        trained or as made by :func:`at_equal_compute`.

    Returns
    -------
    DataFrame
        ``train_flops, N, D, loss, inside``; a row a budget. ``inside`` is False where the best
        size is the smallest or the largest at hand: the true optimum may lie beyond it.
    """
    points = points.reset_index(drop=True)
    levels = points.groupby("train_flops")
    best = points.loc[levels["loss"].idxmin(), ["train_flops", "n_params", "n_tokens", "loss"]]
    best = best.set_axis(["train_flops", "N", "D", "loss"], axis=1).reset_index(drop=True)
    smallest, largest = (levels["n_params"].agg(end).to_numpy() for end in ("min", "max"))
    return best.assign(inside=(smallest < best["N"]) & (best["N"] < largest))


def isoflop_parabolas(points: pd.DataFrame) -> pd.DataFrame:
    """Minimum of a parabola in log N through the runs of each training budget (approach 2).

    Parameters
    ----------
    points : DataFrame
        Columns ``train_flops``, ``n_params``, ``loss``: runs of equal compute.

    Returns
    -------
    DataFrame
        ``train_flops, N, D, loss, curvature, rms, n_runs, N_min, N_max, inside``; a row a budget.
        The parabola is ``loss + curvature (log n - log N)^2``; ``rms`` is that of its residuals in
        nats; N_min and N_max are the sizes at hand; ``inside`` tells whether it opens upwards with
        its minimum between them. N, D and loss are NaN where it does not open upwards.

    Raises
    ------
    ValueError
        Where a budget has fewer than four runs: three points always fit a parabola.
    """
    rows = []
    for _, group in points.groupby("train_flops"):
        C = float(group["train_flops"].iloc[0])
        if len(group) < 4:
            raise ValueError(f"train_flops {C:g} has {len(group)} runs: a parabola needs four")
        log_N, loss = np.log(group["n_params"].to_numpy(float)), group["loss"].to_numpy(float)
        middle = log_N.mean()
        curvature, slope, level = np.polyfit(log_N - middle, loss, 2)
        ends = float(np.exp(log_N.min())), float(np.exp(log_N.max()))
        fitted = np.polyval([curvature, slope, level], log_N - middle)
        rms = float(np.sqrt(np.mean((loss - fitted) ** 2)))
        if curvature <= 0:
            rows.append((C, np.nan, np.nan, np.nan, curvature, rms, len(group), *ends, False))
            continue
        shift = -slope / (2 * curvature)
        N = float(np.exp(middle + shift))
        inside = ends[0] < N < ends[1]
        least = level - slope**2 / (4 * curvature)
        rows.append((C, N, C / (6 * N), least, curvature, rms, len(group), *ends, inside))
    columns = ["train_flops", "N", "D", "loss", "curvature", "rms", "n_runs"]
    columns += ["N_min", "N_max", "inside"]
    return pd.DataFrame(rows, columns=columns)


def power_law(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[float, float]:
    """Fit ``y = coefficient * x^exponent`` by least squares of the logarithms.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Positive; at least two rows.

    Returns
    -------
    coefficient, exponent : float

    Raises
    ------
    ValueError
        Where a value is not positive and finite, or there are fewer than two distinct x.

    Examples
    --------
    >>> coefficient, exponent = power_law([1.0, 4.0, 9.0], [2.0, 4.0, 6.0])
    >>> round(coefficient, 6), round(exponent, 6)
    (2.0, 0.5)
    """
    log_x, log_y = np.log(positive(x, "x")), np.log(positive(y, "y"))
    if len(np.unique(log_x)) < 2:
        raise ValueError("x takes fewer than two values: an exponent needs two")
    exponent, intercept = np.polyfit(log_x - log_x.mean(), log_y, 1)
    return float(np.exp(intercept - exponent * log_x.mean())), float(exponent)
