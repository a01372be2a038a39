"""What the laws advise when the test budget is known: sizes, ratios, and how far laws differ.

A plan spends a training budget ``C = 6 N D`` and an inference budget ``k = C_inf / 2N``. Tables
of plans have a row a task, law and pair of budgets.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from t2lib._checks import FloatArray
from t2lib.data.layouts import load_points
from t2lib.data.registry import Recorded, recorded
from t2lib.fitting.batches import AdditiveRefit, ChinchillaRefit
from t2lib.fitting.powers import Fit, fit_chinchilla
from t2lib.fitting.table import fit, law_of
from t2lib.laws import Chinchilla, Law
from t2lib.planning.forward import frontier
from t2lib.uncertainty.resampling import bootstrap

LAWS = ("AdditiveLaw", "BetaRegressionLaw", "BetaConsistentLaw")
# Inference FLOPs per token; the first and last are those of Roberts et al. 2026.
BUDGETS = (2e9, 2e10, 1.4e11)
RULE = 20.0  # tokens per parameter
_ROUNDING = 1e-9  # a path falls where it loses more than this share
_EDGE = 1e-3  # a plan this share beyond a range still counts as inside
_FITTED = {"N": "n_params", "D": "n_tokens", "k": "k"}

_Advice = TypeVar("_Advice", pd.Series, pd.DataFrame)


def fit_laws(rows: pd.DataFrame, start: Mapping[str, Fit] | None = None) -> dict[str, Fit]:
    """Fit Chinchilla's law of a task's mean NLL, and the three laws of pass@k.

    Parameters
    ----------
    rows : DataFrame
        Curves of one task.
    start : mapping of str to Fit, optional
        Fits of nearly the same rows, where the Beta laws' searches begin.

    Returns
    -------
    dict of law name to Fit
        "Chinchilla" and :data:`LAWS`; both Beta laws stand on that Chinchilla law.
    """
    fits = {"Chinchilla": fit("Chinchilla", rows), "AdditiveLaw": fit("AdditiveLaw", rows)}
    for name in LAWS[1:]:
        begin = start[name].law if start else None
        fits[name] = fit(name, rows, start=begin, chinchilla=fits["Chinchilla"].law)
    return fits


def validation_law() -> Recorded:
    """Chinchilla's law of the Gemstones' validation loss: ``values`` are its parameters."""
    return recorded("overtraining_validation", _validation_fit, inputs=["gemstones_loss_edu"])


def _validation_fit() -> dict[str, float]:
    points = load_points("gemstones")
    return fit_chinchilla(points["n_params"], points["n_tokens"], points["loss"]).params


def macro_average(curves: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """Mean of several tasks' curves at each checkpoint and k; the task is "macro-average"."""
    keys = ["suite", "model", "n_params", "n_tokens", "k"]
    columns = ["pass_at_k", "neg_log_pass", "mean_nll"]
    rows = curves[curves["task"].isin(tasks)]
    return rows.groupby(keys, as_index=False)[columns].mean().assign(task="macro-average")


# ---------------------------------------------------------------------------------------- plans


def success(law: Law, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
    """Pass@k by a law; of a law of -log pass@k the exponential of its negative."""
    if hasattr(law, "pass_at_k"):
        return np.asarray(law.pass_at_k(N, D, k))
    return np.asarray(np.exp(-getattr(law, "neg_log_pass")(N, D, k)))  # noqa: B009


def plans(
    laws: Mapping[str, Any], train_flops: npt.ArrayLike, budgets: Sequence[float] = BUDGETS
) -> pd.DataFrame:
    """Best plan of each law at each pair of budgets.

    Parameters
    ----------
    laws : mapping of str to law
        Must hold "Chinchilla"; the others know samples.
    train_flops : array_like, shape (levels,)
        FLOPs.
    budgets : sequence of float
        Inference FLOPs per token.

    Returns
    -------
    DataFrame
        ``law, inference_flops, train_flops, N, D, k, tokens_per_parameter, success``, and
        ``over_chinchilla``, the tokens per parameter over those that Chinchilla's law advises.
    """
    train, inference = np.meshgrid(np.atleast_1d(train_flops), budgets)
    base = laws["Chinchilla"].tokens_per_parameter(train.ravel())
    keep = ["inference_flops", "train_flops", "N", "D", "k", "tokens_per_parameter"]
    tables = []
    for name, law in laws.items():
        if name == "Chinchilla":
            continue
        table = frontier(law, train_flops=train.ravel(), inference_flops=inference.ravel())[keep]
        reached = success(law, table["N"], table["D"], table["k"])
        over = table["tokens_per_parameter"] / base
        tables.append(table.assign(law=name, success=reached, over_chinchilla=over))
    return pd.concat(tables, ignore_index=True)


def advised(law: Chinchilla, train_flops: npt.ArrayLike) -> pd.DataFrame:
    """What a Chinchilla law advises: ``train_flops, N, D, tokens_per_parameter``."""
    N, D = law.optimum(train_flops)
    return _plan_table(train_flops, N, D)


def rule_of_thumb(train_flops: npt.ArrayLike, ratio: float = RULE) -> pd.DataFrame:
    """A fixed number of tokens per parameter, as :func:`advised`."""
    N = np.sqrt(np.asarray(train_flops, dtype=float) / (6 * ratio))
    return _plan_table(train_flops, N, ratio * N)


def _plan_table(C: npt.ArrayLike, N: FloatArray, D: FloatArray) -> pd.DataFrame:
    return pd.DataFrame({"train_flops": C, "N": N, "D": D, "tokens_per_parameter": D / N})


def outside(plans: pd.DataFrame, fitted: pd.DataFrame) -> pd.DataFrame:
    """Tell which of N, D and k of each plan lies beyond the smallest and largest fitted.

    Parameters
    ----------
    plans : DataFrame
        Columns ``N``, ``D``, ``k``.
    fitted : DataFrame
        The rows that were fitted: ``n_params``, ``n_tokens``, ``k``.

    Returns
    -------
    DataFrame of bool
        ``N``, ``D``, ``k``.
    """
    found = {}
    for x, column in _FITTED.items():
        low, high = fitted[column].min(), fitted[column].max()
        found[x] = (plans[x] < low * (1 - _EDGE)) | (plans[x] > high * (1 + _EDGE))
    return pd.DataFrame(found)


def size_factors(
    plans: pd.DataFrame, pair: tuple[str, str] = ("AdditiveLaw", "BetaRegressionLaw")
) -> pd.Series:
    """Factor, at least 1, between the sizes that two laws advise, for each case."""
    keys = [x for x in ("task", "inference_flops", "train_flops") if x in plans]
    N = plans.pivot(index=keys, columns="law", values="N")
    ratio = N[pair[0]] / N[pair[1]]
    return ratio.where(ratio >= 1, 1 / ratio)


# ----------------------------------------------------------------------------------- resampling


def advice(laws: Mapping[str, Any], at: float, budgets: Sequence[float] = BUDGETS) -> pd.Series:
    """Decimal logarithm of the tokens per parameter that each law advises at a training budget.

    Returns
    -------
    Series
        Index ``(law, inference_flops)``; Chinchilla's, which knows no samples, is at 0.
    """
    found = {("Chinchilla", 0.0): float(laws["Chinchilla"].tokens_per_parameter(at))}
    for name, law in laws.items():
        if name != "Chinchilla":
            table = frontier(law, train_flops=at, inference_flops=budgets)
            ratios = table["tokens_per_parameter"].tolist()
            found |= {(name, C): ratio for C, ratio in zip(budgets, ratios, strict=True)}
    return pd.Series(found).map(math.log10)


def resampled_advice(
    rows: pd.DataFrame, at: float, *, start: Mapping[str, Fit], n: int, seed: int
) -> pd.DataFrame:
    """:func:`advice` of laws refitted to resamples of models.

    The sums of powers are fitted to all resamples side by side; the Beta laws start from a fit.

    Parameters
    ----------
    rows : DataFrame
        Curves of one task.
    at : float
        Training FLOPs.
    start : mapping of str to Fit
        Fits of all rows, from :func:`fit_laws`.
    n, seed : int
        Resamples of models.

    Returns
    -------
    DataFrame
        A row a resample, columns as the index of :func:`advice`.
    """
    refit: Any = _AdviceRefit(at, start)
    draws = bootstrap(refit, rows, n=n, seed=seed, by="model")
    columns: Any = draws.columns
    return draws.set_axis(pd.MultiIndex.from_tuples(columns), axis=1)


@dataclass(frozen=True)
class _AdviceRefit:
    """:func:`advice` of laws refitted to resamples, as the bootstrap's fit function."""

    at: float
    start: Mapping[str, Fit]

    def batch(self, rows: pd.DataFrame, counts: FloatArray) -> list[Any]:
        """The sums of powers are fitted to all resamples side by side, the Beta laws to each."""
        once = (rows["k"] == rows["k"].min()).to_numpy()
        firsts = ChinchillaRefit(loss="mean_nll").batch(rows[once], counts[:, once])
        sums = AdditiveRefit().batch(rows, counts)
        return [self._one(rows, *each) for each in zip(counts, firsts, sums, strict=True)]

    def _one(self, rows: pd.DataFrame, count: FloatArray, first: Any, additive: Any) -> Any:
        for refit in (first, additive):
            if isinstance(refit, Exception):
                return refit
        laws = {"Chinchilla": law_of("Chinchilla", first[0])}
        laws["AdditiveLaw"] = law_of("AdditiveLaw", additive[0])
        drawn = rows.take(np.repeat(np.arange(len(rows)), count.astype(int)))
        try:
            for name in LAWS[1:]:
                begin = self.start[name].law
                laws[name] = fit(name, drawn, start=begin, chinchilla=laws["Chinchilla"]).law
            return advice(laws, self.at).to_dict(), ()
        except Exception as error:  # it is counted, as the bootstrap does
            return error


def above_chinchilla(draws: pd.DataFrame) -> pd.Series:
    """Share of the resamples in which a law advises more tokens per parameter than Chinchilla's."""
    others = draws.drop(columns="Chinchilla", level=0)
    return others.gt(draws["Chinchilla", 0.0], axis=0).mean()


def size_factor_of(advice: pd.Series | pd.DataFrame, inference_flops: float) -> Any:
    """Factor between the sizes of the paper's two laws, from :func:`advice` or its resamples.

    With ``D / N = C / 6 N^2``, a factor in D / N is the square of one in N.
    """
    first = advice["AdditiveLaw", inference_flops]
    second = advice["BetaRegressionLaw", inference_flops]
    return 10 ** (np.abs(first - second) / 2)


# ------------------------------------------------------------------------------- along frontiers


def along(law: Law, plan: pd.DataFrame, inference_flops: float) -> pd.DataFrame:
    """Success along a plan with the samples that each size can pay for, as far as one can be had.

    Returns
    -------
    DataFrame
        The plan's rows with ``k`` and ``success``.
    """
    k = inference_flops / (2 * plan["N"])
    paid = plan[k >= 1].assign(k=k[k >= 1])
    return paid.assign(success=success(law, paid["N"], paid["D"], paid["k"]))


def walks(plans: pd.DataFrame, laws: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Whether success rises along the T2 frontier, and falls somewhere along Chinchilla's advice.

    Parameters
    ----------
    plans : DataFrame
        Of :func:`plans`, with ``task``, the training budgets in order.
    laws : mapping of task to mapping of str to law

    Returns
    -------
    DataFrame
        ``task, law, inference_flops, baseline, rises, falls``; a baseline is Chinchilla's law of
        the task, or 20 tokens per parameter. Left out where fewer than two of its sizes can answer.
    """
    rows = []
    key: Any
    for key, plan in plans.groupby(["task", "law", "inference_flops"]):
        task, name, inference = key
        C = plan["train_flops"].to_numpy()
        baselines = {
            "Chinchilla of the task": advised(laws[task]["Chinchilla"], C),
            "20 tokens": rule_of_thumb(C),
        }
        for baseline, other in baselines.items():
            path = along(laws[task][name], other, inference)["success"]
            if len(path) > 1:
                found = {"rises": not _falls(plan["success"]), "falls": _falls(path)}
                keys = {"task": task, "law": name, "inference_flops": inference}
                rows.append(keys | {"baseline": baseline} | found)
    return pd.DataFrame(rows)


def _falls(path: pd.Series) -> bool:
    values = path.to_numpy()
    return bool((np.diff(values) < -_ROUNDING * values[:-1]).any())


def at_smallest_size(
    laws: Mapping[str, Mapping[str, Any]], train_flops: npt.ArrayLike, sizes: tuple[float, float]
) -> float:
    """Share of the plans, sought between two sizes, that lie at the smaller one."""
    train, inference = np.meshgrid(np.atleast_1d(train_flops), BUDGETS)
    shared = {"train_flops": train.ravel(), "inference_flops": inference.ravel()}
    ends = [
        "lower" in bound
        for task, name in itertools.product(laws, LAWS)
        for bound in frontier(laws[task][name], n_range=sizes, **shared)["at_bounds"]
    ]
    return float(np.mean(ends))
