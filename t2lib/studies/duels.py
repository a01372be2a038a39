"""Checkpoints against each other at equal budgets for training and for answering, without a law.

A budget of 0 inference FLOPs per token stands for one sample each. Resamples draw models: a duel
counts as often as both of its sides were drawn.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.interpolate import PchipInterpolator

from t2lib._checks import FloatArray, IntArray
from t2lib.isoflop import at_equal_compute, envelope
from t2lib.uncertainty.resampling import bootstrap
from t2lib.uncertainty.summaries import Weighted

ONE_SAMPLE = 0.0
_NEAR = 1.5  # factor of the ratio within which a checkpoint is like the rule
_TOLERANCE = 1.12  # factor of training compute within which two checkpoints are equal
_CASE = ["task", "inference_flops"]
_CHECKPOINT = ["task", "model", "n_params", "n_tokens"]


# ------------------------------------------------------------------------- pass@k at equal budgets


def samples_of(n_params: float, inference_flops: float) -> int:
    """Whole number of samples that a budget pays for; one where no budget is set."""
    return int(inference_flops / (2 * n_params) * (1 + 1e-12)) if inference_flops else 1


def between_k(known: FloatArray, values: FloatArray, k: npt.ArrayLike) -> FloatArray:
    """Pass@k between known k, monotone in logarithms.

    Parameters
    ----------
    known : ndarray, shape (K,)
    values : ndarray, shape (..., K)
        Positive.
    k : float or ndarray, shape (...)
        One for all curves, or each curve's own.

    Returns
    -------
    ndarray, shape (...)
    """
    levels, which = np.unique(k, return_inverse=True)
    curves = PchipInterpolator(np.log(known), np.log(values), axis=-1)
    own = np.broadcast_to(which, values.shape[:-1])[..., None]
    return np.exp(np.take_along_axis(curves(np.log(levels)), own, axis=-1)[..., 0])


def _passes(table: pd.DataFrame, k: IntArray) -> FloatArray:
    """Pass@k of checkpoints by known k, at their own; NaN beyond a curve, 0 if never right."""
    known, values = table.columns.to_numpy(float), table.to_numpy()
    whole = (values > 0).all(axis=1)
    found = np.zeros(len(values))
    found[whole] = between_k(known, values[whole], k[whole])
    for i in np.flatnonzero(~whole):
        seen = ~np.isnan(values[i])
        if k[i] > known[seen][-1]:
            found[i] = np.nan
        elif values[i][seen][0] > 0:
            found[i] = between_k(known[seen], values[i][seen], k[i])
    return found


def at_budgets(curves: pd.DataFrame, budgets: Sequence[float]) -> pd.DataFrame:
    """Pass@k of every checkpoint with the samples that its size can pay for.

    Parameters
    ----------
    curves : DataFrame
        A curve table.
    budgets : sequence of float
        Inference FLOPs per token; 0 for one sample.

    Returns
    -------
    DataFrame
        ``task, model, n_params, n_tokens, inference_flops, k, pass_at_k``. Sizes that cannot
        answer once are left out; NaN where the curve ends before k.
    """
    tables = []
    for _, rows in curves.groupby("task"):
        wide = rows.pivot(index=_CHECKPOINT, columns="k", values="pass_at_k")
        places = wide.index.to_frame(index=False)
        for inference in budgets:
            k = np.array([samples_of(N, inference) for N in places["n_params"]])
            paid = k > 0
            found = places[paid].assign(inference_flops=inference, k=k[paid])
            tables.append(found.assign(pass_at_k=_passes(wide[paid], k[paid])))
    return pd.concat(tables, ignore_index=True)


def interpolation_error(curves: pd.DataFrame) -> float:
    """Largest relative error of pass@k in k where every second k is left out and guessed."""
    wide = curves.pivot(index=["model", "n_tokens"], columns="k", values="pass_at_k")
    kept, dropped = wide.columns[::2].to_numpy(float), wide.columns[1::2].to_numpy(float)
    guesses = [between_k(kept, wide[wide.columns[::2]].to_numpy(), k) for k in dropped]
    return float(np.abs(np.stack(guesses, axis=1) / wide[dropped].to_numpy() - 1).max())


# ------------------------------------------------------------------------------ best trained sizes


def cases(table: pd.DataFrame) -> Iterator[tuple[str, float, pd.DataFrame]]:
    """Rows of each task and inference budget."""
    key: Any
    for key, group in table.groupby(_CASE):
        yield key[0], key[1], group


def equal_compute(checkpoints: pd.DataFrame, levels: FloatArray) -> pd.DataFrame:
    """Every model at equal training compute, between its checkpoints (:func:`at_equal_compute`).

    Returns
    -------
    DataFrame
        ``task, inference_flops, train_flops, model, n_params, n_tokens, loss``; the loss is
        -log pass@k.
    """
    rows = checkpoints[checkpoints["pass_at_k"] > 0]
    rows = rows.assign(loss=-np.log(rows["pass_at_k"]))
    return pd.concat(
        [
            at_equal_compute(group, levels).assign(task=task, inference_flops=inference)
            for task, inference, group in cases(rows)
        ],
        ignore_index=True,
    )


def best_sizes(points: pd.DataFrame) -> pd.DataFrame:
    """Best trained size with a budget against the best with one sample.

    Parameters
    ----------
    points : DataFrame
        From :func:`equal_compute`, one sample among the budgets.

    Returns
    -------
    DataFrame
        ``task, inference_flops, train_flops, N, alone`` (both best sizes), ``smaller``,
        ``factor`` (alone over N) and ``at_edge`` (N within 15 % of the smallest at hand).
    """
    best = pd.concat(
        [envelope(group).assign(task=t, inference_flops=c) for t, c, group in cases(points)]
    )
    least = points.groupby([*_CASE, "train_flops"])["n_params"].min().rename("least")
    one = best["inference_flops"] == ONE_SAMPLE
    alone = best[one].set_index(["task", "train_flops"])["N"].rename("alone")
    found = best[~one].join(least, on=[*_CASE, "train_flops"])
    found = found.join(alone, on=["task", "train_flops"], how="inner").reset_index(drop=True)
    return found.assign(
        smaller=found["N"] < found["alone"],
        factor=found["alone"] / found["N"],
        at_edge=found["N"] < 1.15 * found["least"],
    )


def drawn_models(n_models: int, *, n: int, seed: int) -> IntArray:
    """How often each model is in each resample: shape (n, models); the same for every caller."""
    share = np.full(n_models, 1 / n_models)
    return np.random.default_rng(seed).multinomial(n_models, share, size=n)


def smaller_shares(points: pd.DataFrame, sizes: pd.Series, *, n: int, seed: int) -> FloatArray:
    """Share of :func:`best_sizes` that are smaller, for resamples of models.

    Parameters
    ----------
    points : DataFrame
        From :func:`equal_compute`.
    sizes : Series
        Parameters of every model.
    n, seed : int
        Resamples.

    Returns
    -------
    ndarray, shape (n,)
    """
    losses = {
        (task, inference): group.pivot(index="train_flops", columns="model", values="loss")
        .reindex(columns=sizes.index)
        .fillna(np.inf)
        for task, inference, group in cases(points)
    }
    pairs = []
    for (task, inference), table in losses.items():
        if inference != ONE_SAMPLE:
            alone = losses[task, ONE_SAMPLE]
            both = table.index.intersection(alone.index)
            pairs.append(np.stack([table.loc[both], alone.loc[both]]))
    pair, N, shares = np.concatenate(pairs, axis=1), sizes.to_numpy(), []
    for drawn in drawn_models(len(sizes), n=n, seed=seed) > 0:
        own = pair[:, :, drawn]
        known = np.isfinite(own).any(axis=2).all(axis=0)
        best, best_alone = N[drawn][own[:, known].argmin(axis=2)]
        shares.append((best < best_alone).mean())
    return np.array(shares)


# --------------------------------------------------------------------------------------- the duels


def near_ratio(curves: pd.DataFrame, ratio: float = 20.0, within: float = _NEAR) -> pd.DataFrame:
    """Each model's checkpoint nearest to a number of tokens per parameter.

    Returns
    -------
    DataFrame
        ``model, n_params, n_tokens``; left out where the nearest is further than a factor.
    """
    one = curves[["model", "n_params", "n_tokens"]].drop_duplicates(ignore_index=True)
    off = np.log(one["n_tokens"] / one["n_params"] / ratio).abs()
    one = one.loc[off.groupby(one["model"]).idxmin()]
    return one[off[one.index] < np.log(within)]


def pair_up(curves: pd.DataFrame, tolerance: float = _TOLERANCE) -> pd.DataFrame:
    """Chinchilla-like checkpoints, and those of models at most half the size, of equal compute.

    Returns
    -------
    DataFrame
        ``big, big_N, big_D, small, small_N, small_D, train_flops`` (of the larger one).
    """
    one = curves[["model", "n_params", "n_tokens"]].drop_duplicates(ignore_index=True)
    one = one.assign(C=6.0 * one["n_params"] * one["n_tokens"])
    found = []
    for big in near_ratio(curves).to_dict("records"):
        C = 6.0 * big["n_params"] * big["n_tokens"]
        for model, group in one[one["n_params"] <= big["n_params"] / 2].groupby("model"):
            small = group.loc[np.log(group["C"] / C).abs().idxmin()]
            if abs(np.log(small["C"] / C)) <= np.log(tolerance):
                sides = (*big.values(), model, small["n_params"], small["n_tokens"])
                found.append((*sides, C))
    columns = ["big", "big_N", "big_D", "small", "small_N", "small_D", "train_flops"]
    return pd.DataFrame(found, columns=columns)


def fight(pairs: pd.DataFrame, checkpoints: pd.DataFrame) -> pd.DataFrame:
    """Pass@k of both sides of every pair, for each task and budget at which both can answer.

    Parameters
    ----------
    pairs : DataFrame
        From :func:`pair_up`.
    checkpoints : DataFrame
        From :func:`at_budgets`.

    Returns
    -------
    DataFrame
        The pairs with ``task, inference_flops, big_k, small_k, big_pass, small_pass``; ``wins``,
        whether the smaller side leads, and ``gain``, the log of its pass@k over the other's.
    """
    both = pairs
    for side, on in (("big", []), ("small", _CASE)):
        names = {"model": side, "n_tokens": f"{side}_D", "k": f"{side}_k"}
        names |= {"pass_at_k": f"{side}_pass"}
        known = checkpoints.drop(columns="n_params").rename(columns=names)
        both = both.merge(known, on=[side, f"{side}_D", *on])
    gain = np.log(both["small_pass"] / both["big_pass"])
    return both.assign(wins=both["small_pass"] > both["big_pass"], gain=gain)


def weights(duels: pd.DataFrame, models: pd.Index, *, n: int, seed: int) -> IntArray:
    """How often each duel is in each resample of models: shape (n, duels)."""
    drawn = drawn_models(len(models), n=n, seed=seed)
    place = pd.Series(range(len(models)), index=models)
    return np.asarray(drawn[:, place[duels["big"]]] * drawn[:, place[duels["small"]]])


def mean_draws(
    duels: pd.DataFrame, column: str, models: pd.Index, *, n: int, seed: int
) -> FloatArray:
    """Mean of a column for resamples of models: shape (n,); NaN where no duel was drawn."""
    times = weights(duels, models, n=n, seed=seed)
    with np.errstate(invalid="ignore"):
        return np.asarray(times @ duels[column].to_numpy(float) / times.sum(axis=1))


def median_draws(
    duels: pd.DataFrame, column: str, models: pd.Index, *, n: int, seed: int
) -> FloatArray:
    """Median of a column for resamples of models, as :func:`mean_draws`."""
    order = duels[column].to_numpy(float).argsort()
    run = weights(duels, models, n=n, seed=seed)[:, order].cumsum(axis=1)
    middle = (run >= run[:, -1:] / 2).argmax(axis=1)
    return np.where(run[:, -1] > 0, duels[column].to_numpy(float)[order][middle], np.nan)


def ends(draws: FloatArray) -> tuple[float, float]:
    """Central 95 % of draws, those without a value left out."""
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)


def score(duels: pd.DataFrame, models: pd.Index, *, n: int, seed: int) -> pd.DataFrame:
    """Share of duels won, and mean gain, for each task and budget, with 95 % intervals.

    Returns
    -------
    DataFrame
        Index ``(task, inference_flops)``; ``duels, wins, wins_low, wins_high, gain, gain_low,
        gain_high``. A gain is the log of a ratio of pass@k.
    """
    rows = {}
    for task, inference, group in cases(duels):
        row: dict[str, float] = {"duels": len(group)}
        for column in ("wins", "gain"):
            low, high = ends(mean_draws(group, column, models, n=n, seed=seed))
            row |= {column: group[column].mean(), f"{column}_low": low, f"{column}_high": high}
        rows[task, inference] = row
    return pd.DataFrame(rows).T.rename_axis(_CASE)


def share_won(
    duels: pd.DataFrame, models: pd.Index, *, n: int, seed: int
) -> tuple[float, float, float]:
    """Share of all duels that the smaller side wins, and its 95 % interval, in percent."""
    low, high = ends(mean_draws(duels, "wins", models, n=n, seed=seed))
    return 100 * float(duels["wins"].mean()), 100 * low, 100 * high


def elasticities(duels: pd.DataFrame) -> pd.DataFrame:
    """Duels at one sample with ``elasticity``: d log p / d log N between their two sides."""
    one = duels[duels["inference_flops"] == ONE_SAMPLE]
    return one.assign(elasticity=-one["gain"] / np.log(one["big_N"] / one["small_N"]))


def falls_along_rule(
    curves: pd.DataFrame, checkpoints: pd.DataFrame, *, n: int, seed: int
) -> pd.DataFrame:
    """Whether pass@k falls with training compute over the Chinchilla-like checkpoints.

    Parameters
    ----------
    curves, checkpoints : DataFrame
        A curve table, and :func:`at_budgets` of it.
    n, seed : int
        Resamples of models.

    Returns
    -------
    DataFrame
        ``task, inference_flops``; ``falls``, a rank correlation below 0; ``share``, that of the
        resamples in which it is. Only where more than one size can answer.
    """
    like = near_ratio(curves)
    rows = checkpoints[checkpoints["inference_flops"] != ONE_SAMPLE]
    rows = rows.merge(like, on=["model", "n_params", "n_tokens"])
    rows = rows.assign(C=6.0 * rows["n_params"] * rows["n_tokens"])
    found = []
    for task, inference, group in cases(rows):
        if group["C"].max() > 2 * group["C"].min():
            statistic = Weighted(_rank_covariance)
            draws = bootstrap(statistic, group, n=n, seed=seed, by="model")["value"]
            case = {"task": task, "inference_flops": inference}
            falls = statistic(group)["value"] < 0
            found.append(case | {"falls": falls, "share": (draws < 0).mean()})
    return pd.DataFrame(found)


def _rank_covariance(table: pd.DataFrame, weights: FloatArray) -> pd.DataFrame:
    """Covariance of the ranks of C and pass@k, times the rows, for each weighting."""
    product = weights
    for column in ("C", "pass_at_k"):
        x = table[column].to_numpy()
        # A value's rank is the number of smaller ones, and the middle of those that equal it.
        rank = weights @ ((x[:, None] < x) + (x[:, None] == x) / 2)
        product = product * (rank - weights.sum(axis=1, keepdims=True) / 2)
    return pd.DataFrame({"value": product.sum(axis=1)})


# --------------------------------------------------------------------------------- longer answers


def first_lost(rates: pd.DataFrame) -> pd.Series:
    """First length at which each task's share of duels won is below one half; NaN: none.

    Parameters
    ----------
    rates : DataFrame
        Lengths by tasks.
    """
    lost = rates < 0.5
    return lost.idxmax().where(lost.any())


# ------------------------------------------------------------------------------- classes of tasks


def class_difference(gains: pd.Series, first: Sequence[str]) -> tuple[float, float]:
    """Mean gain of the other tasks less that of some, and its one-sided permutation p-value.

    Parameters
    ----------
    gains : Series
        By task.
    first : sequence of str
        Tasks of the first class.
    """

    def apart(chosen: Sequence[str]) -> float:
        return float(gains.drop(list(chosen)).mean() - gains[list(chosen)].mean())

    observed = apart(first)
    others = np.array([apart(c) for c in itertools.combinations(gains.index, len(first))])
    return observed, float(np.mean(others >= observed - 1e-12))


def classes(
    duels: pd.DataFrame, first: Sequence[str], models: pd.Index, *, n: int, seed: int
) -> pd.DataFrame:
    """:func:`class_difference` of the gains at each budget, with 95 % intervals over models.

    Returns
    -------
    DataFrame
        A row an inference budget: ``value, low, high`` (of log ratios) and ``p_value``.
    """
    rows = {}
    for inference, part in duels.groupby("inference_flops"):
        groups = part.groupby("task")
        value, p_value = class_difference(groups["gain"].mean(), first)
        draws = {str(t): mean_draws(g, "gain", models, n=n, seed=seed) for t, g in groups}
        some = np.mean([draws[t] for t in first], axis=0)
        others = np.mean([x for t, x in draws.items() if t not in first], axis=0)
        low, high = ends(others - some)
        rows[inference] = {"value": value, "low": low, "high": high, "p_value": p_value}
    return pd.DataFrame(rows).T.rename_axis("inference_flops")


def level_correlation(
    duels: pd.DataFrame, models: pd.Index, *, n: int, seed: int
) -> tuple[float, float, float]:
    """Rank correlation over cases of the larger side's pass@k and the gain, with ends."""
    groups = [group for _, _, group in cases(duels)]
    draws = [
        np.array([mean_draws(g, column, models, n=n, seed=seed) for g in groups])
        for column in ("big_pass", "gain")
    ]
    known = np.isfinite(draws[1]).all(axis=0)
    x, y = (stats.rankdata(values[:, known], axis=0) for values in draws)
    spread = [np.corrcoef(a, b)[0, 1] for a, b in zip(x.T, y.T, strict=True)]
    means = [[g[column].mean() for g in groups] for column in ("big_pass", "gain")]
    return float(stats.spearmanr(*means)[0]), *ends(np.array(spread))
