"""The Beta-consistent law against its rivals: on models and ratios that no fit has seen.

Errors are summed by model, so that resampling models is adding up rows. Three scores: ``relative``,
the mean of ``|predicted / seen - 1|`` of pass@k; ``log``, the mean of ``|log(predicted / seen)|``;
``rms`` and ``nats``, root mean square errors of pass@k and of -log pass@k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from t2lib._checks import IntArray
from t2lib.data.registry import data_folder, read_json
from t2lib.fitting.batches import Refit
from t2lib.fitting.powers import Fit
from t2lib.fitting.table import fit as fit_by_name
from t2lib.fitting.table import parameter_names
from t2lib.passk import beta_a_from_mean_nll, beta_neg_log_pass, beta_pass_at_k
from t2lib.studies.difficulty import most_likely
from t2lib.uncertainty.resampling import bootstrap, percentile_interval

OURS = "BetaConsistentLaw"
Deal = Literal["by turns", "random", "blocks"]
_ROOTS = ("rms", "nats")
METRICS = ("pass_at_k", "neg_log_pass")
RIVALS_OF_THE_BETA = ("KumaraswamyLaw", "LogNormalLaw", "LogitNormalLaw")
# A law's class name, or a variant of it with what its fit is told.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "joint fit": (OURS, {"method": "joint"}),
    "each k by C": ("LawsAtEachK", {}),
    "each k by N, D": ("LawsAtEachK", {"by_compute": False}),
}
# Laws with the same first stage: Chinchilla on the mean losses.
_TWO_STAGES = (OURS, "BetaRegressionLaw", *RIVALS_OF_THE_BETA)
# The laws whose searches may start from a fit.
_STARTED = ("LossTiedLaw", *_TWO_STAGES)


def fit_laws(
    rows: pd.DataFrame, laws: Sequence[str], start: Mapping[str, Fit] | None = None
) -> dict[str, Fit]:
    """Fit laws, or variants of :data:`VARIANTS`, to the curves of one task.

    The first stage that several share is fitted once.
    """
    fits: dict[str, Fit] = {}
    first: Fit | None = None
    for name in laws:
        law, options = VARIANTS.get(name, (name, {}))
        begin = start[name].law if start and name in _STARTED and name in start else None
        if first is not None and law in _TWO_STAGES:
            options = options | {"chinchilla": first.law.chinchilla}
        fits[name] = fit_by_name(law, rows, start=begin, **options)
        if first is None:
            first = fits[name] if name in _TWO_STAGES else None
        elif name in _TWO_STAGES:
            its = [x for x in first.at_bounds if x.split(" ")[0] in parameter_names("Chinchilla")]
            fits[name] = replace(fits[name], at_bounds=(*its, *fits[name].at_bounds))
    return fits


def scores(
    fits: Mapping[str, Fit], rows: pd.DataFrame, metrics: Sequence[str] = METRICS
) -> pd.DataFrame:
    """Sum each law's errors of these metrics over one task's rows by model.

    Returns
    -------
    DataFrame
        A row a model, columns ``(task, law, score)``; ``(task, "rows", "")`` counts the rows.
    """
    task = str(rows["task"].iloc[0])
    N, D, k = rows["n_params"], rows["n_tokens"], rows["k"]
    columns: dict[tuple[str, str, str], Any] = {(task, "rows", ""): np.ones(len(rows))}
    for name, fit in fits.items():
        if "pass_at_k" in metrics and hasattr(fit.law, "pass_at_k"):
            seen, guess = rows["pass_at_k"], fit.law.pass_at_k(N, D, k)
            columns[task, name, "relative"] = np.abs(guess / seen - 1)
            columns[task, name, "rms"] = (guess - seen) ** 2
            columns[task, name, "log"] = np.abs(np.log(guess / seen))
        if "neg_log_pass" in metrics and hasattr(fit.law, "neg_log_pass"):
            columns[task, name, "nats"] = (
                fit.law.neg_log_pass(N, D, k) - rows["neg_log_pass"]
            ) ** 2
    return pd.DataFrame(columns, index=rows.index).groupby(rows["model"]).sum()


def scores_of_tasks(
    fits: Mapping[str, Mapping[str, Fit]], rows: pd.DataFrame, metrics: Sequence[str] = METRICS
) -> pd.DataFrame:
    """:func:`scores` of every task, side by side."""
    found = [scores(fits[str(task)], part, metrics) for task, part in rows.groupby("task")]
    return pd.concat(found, axis=1)


def mean_errors(sums: pd.DataFrame) -> pd.DataFrame:
    """Turn the sums of :func:`scores` over models into errors, a row a task."""
    total = sums.sum()
    errors = {}
    for task in total.index.get_level_values(0).unique():
        one = total[task].drop("rows", level=0) / total[task, "rows", ""]
        roots = one.index.get_level_values(1).isin(_ROOTS)
        errors[task] = one.where(~roots, np.sqrt(one))
    return pd.DataFrame(errors).T


def overtrained(
    curves: pd.DataFrame, laws: Sequence[str], cut: float, metrics: Sequence[str] = METRICS
) -> tuple[dict[str, dict[str, Fit]], pd.DataFrame]:
    """Fit up to a number of tokens per parameter, and judge above it.

    Returns
    -------
    fits : dict of task to dict of law to Fit
    outside : DataFrame
        :func:`scores_of_tasks` of the rows that were not fitted.
    """
    below = curves["n_tokens"] <= cut * curves["n_params"]
    fits = {str(task): fit_laws(rows, laws) for task, rows in curves[below].groupby("task")}
    return fits, scores_of_tasks(fits, curves[~below], metrics)


def groups_of_models(
    sizes: pd.Series, folds: int, deal: Deal = "by turns", seed: int = 0
) -> dict[str, int]:
    """Deal models into groups of nearly equal number.

    Parameters
    ----------
    sizes : Series
        Parameters by model.
    folds : int
    deal : {"by turns", "random", "blocks"}
        Sorted by size and dealt in turn; shuffled first; or the smallest in one group, the next in
        another, so that forecasts leave the sizes fitted.
    seed : int
        Of the shuffle.

    Returns
    -------
    dict of model to group
    """
    order = sizes.sort_values(kind="stable").index
    place = np.arange(len(order))
    if deal == "random":
        place = np.random.default_rng(seed).permutation(place)
    groups = place * folds // len(order) if deal == "blocks" else place % folds
    return dict(zip(order, groups.tolist(), strict=True))


def models_left_out(
    curves: pd.DataFrame,
    laws: Sequence[str],
    start: Mapping[str, Mapping[str, Fit]],
    *,
    folds: int = 4,
    every: int = 5,
    k: Sequence[int] = (1, 4, 16, 64, 256),
    deal: Deal = "by turns",
    seed: int = 0,
    metrics: Sequence[str] = METRICS,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Forecast each group of models by laws fitted to the others.

    The models are dealt into groups. Some values of k and every fifth checkpoint are enough for
    that.

    Parameters
    ----------
    curves : DataFrame
        A curve table of several tasks.
    laws : sequence of str
        As :func:`fit_laws` takes them.
    start : mapping
        Task to fits that the Beta laws' searches may start from.
    folds, every : int
        Groups, and which checkpoints of a model are used.
    k : sequence of int
        Samples that are used.
    deal, seed
        As :func:`groups_of_models` takes them.
    metrics : sequence of str
        As :func:`scores` takes them.

    Returns
    -------
    sums, links : DataFrame
        :func:`scores` of every model by laws that have not seen it; and the Beta-consistent law's
        parameters, a row a task and group.
    """
    rows = curves[curves["k"].isin(k)]
    turn = rows.groupby(["task", "model"])["n_tokens"].rank(method="dense").astype(int)
    rows = rows[turn % every == 0]
    sizes = rows.groupby("model")["n_params"].first()
    fold = rows["model"].map(groups_of_models(sizes, folds, deal, seed))
    sums, links = [], []
    for task, table in rows.groupby("task"):
        groups = []
        for i in range(folds):
            mine = fold[table.index] == i
            fits = fit_laws(table[~mine], laws, start.get(str(task)))
            groups.append(scores(fits, table[mine], metrics))
            links.append({"task": task} | fits[OURS].params)
        sums.append(pd.concat(groups))
    return pd.concat(sums, axis=1), pd.DataFrame(links)


@dataclass(frozen=True)
class _Sums:
    """Sums of columns, as a statistic that the bootstrap computes of many resamples at once."""

    columns: list[str]

    def __call__(self, table: pd.DataFrame) -> pd.Series:
        return table[self.columns].sum()

    def batch(self, table: pd.DataFrame, counts: IntArray) -> list[Refit]:
        values = table[self.columns].to_numpy(float)
        sums = [(count[:, None] * values).sum(axis=0).tolist() for count in counts]
        return [(dict(zip(self.columns, each, strict=True)), ()) for each in sums]


def compare(
    sums: pd.DataFrame, rivals: Mapping[str, tuple[str, str]], *, n: int, seed: int
) -> pd.DataFrame:
    """Error of the Beta-consistent law relative to rivals', with bootstrap intervals over models.

    The fits are held: an interval says how much hangs on which models are judged.

    Parameters
    ----------
    sums : DataFrame
        From :func:`scores`.
    rivals : mapping of str to (law, score)
        Comparison to rival and score.
    n, seed : int
        Resamples of models.

    Returns
    -------
    DataFrame
        ``comparison, task``; ``value, low, high``, our error over the rival's less 1;
        ``difference``, the two errors' difference; ``verdict``, "wins" or "loses" where the
        interval leaves 0 out, else "ties".
    """
    flat = sums.set_axis(["|".join(column) for column in sums.columns], axis=1)
    names = list(flat.columns)
    draws = bootstrap(_Sums(names), flat.reset_index(), n=n, seed=seed, by="model")
    draws.columns = sums.columns
    observed, found = mean_errors(sums), []
    for comparison, (rival, score) in rivals.items():
        for task in observed.index:

            def ratio(table: pd.DataFrame, task: str = task, pair: Any = (rival, score)) -> Any:
                ours, theirs = table[task, OURS, pair[1]], table[task, pair[0], pair[1]]
                return (np.sqrt(ours / theirs) if pair[1] in _ROOTS else ours / theirs) - 1

            low, high = percentile_interval(ratio(draws).to_frame()).to_numpy()[0].tolist()
            ours, theirs = observed.loc[task, (OURS, score)], observed.loc[task, (rival, score)]
            found.append(
                {
                    "comparison": comparison,
                    "task": task,
                    "value": ours / theirs - 1,
                    "low": low,
                    "high": high,
                    "difference": ours - theirs,
                    "verdict": "wins" if high < 0 else "loses" if low > 0 else "ties",
                }
            )
    return pd.DataFrame(found)


def count_verdicts(settings: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How many tasks are won, tied and lost: a row a comparison, columns (setting, verdict)."""
    both = pd.concat(settings, names=["setting"]).reset_index("setting")
    counts = both.pivot_table(
        index="comparison",
        columns=["setting", "verdict"],
        values="task",
        aggfunc="count",
        fill_value=0,
        sort=False,
    )
    wanted = pd.MultiIndex.from_product([list(settings), ["wins", "ties", "loses"]])
    return counts.reindex(columns=wanted, fill_value=0)


# ------------------------------------------------------------------------------- residuals in k


def residuals(
    fits: Mapping[str, Mapping[str, Fit]], curves: pd.DataFrame, laws: Sequence[str]
) -> pd.DataFrame:
    """Seen minus predicted -log pass@k of these laws.

    Returns
    -------
    DataFrame
        ``model, task, law, k, residual`` in nats.
    """
    found = []
    for task, its in fits.items():
        rows = curves[curves["task"] == task]
        for name in laws:
            guess = its[name].law.neg_log_pass(rows["n_params"], rows["n_tokens"], rows["k"])
            off = rows["neg_log_pass"] - guess
            found.append(rows[["model", "task", "k"]].assign(law=name, residual=off))
    return pd.concat(found, ignore_index=True)


def bends(residuals: pd.DataFrame) -> pd.Series:
    """How far a law's median residual moves over k: median over tasks of highest less lowest."""
    medians = residuals.groupby(["law", "task", "k"])["residual"].median().unstack("k")
    return (medians.max(axis=1) - medians.min(axis=1)).groupby("law").median()


# --------------------------------------------------------------------------------------- the link


def betas_of_checkpoints(histograms: pd.DataFrame, every: int = 6) -> pd.DataFrame:
    """Beta by maximum likelihood of single checkpoints' questions.

    Parameters
    ----------
    histograms : DataFrame
        From ``t2.load_histograms``: every question stands in the middle of its bin of log p.
    every : int
        Which checkpoints of each model: the first, and every so many after it.

    Returns
    -------
    DataFrame
        ``task, model, n_params, n_tokens, a, b``.
    """
    by_model = histograms.groupby(["task", "model"], observed=True)["n_tokens"]
    picked = histograms[by_model.rank(method="dense").astype(int) % every == 1]
    keys, n = ["task", "model", "n_params", "n_tokens"], picked["n_questions"]
    middle = (picked["log_p_low"] + picked["log_p_high"]) / 2
    table = picked[keys].assign(n=n, p=n * middle, q=n * np.log(-np.expm1(middle)))
    sums = table.groupby(keys, observed=True).sum()
    log_p, log_q = ((sums[x] / sums["n"]).to_numpy() for x in ("p", "q"))
    a, b = most_likely(log_p, log_q, 1.0, 1.0)
    return sums.index.to_frame(index=False).assign(a=a, b=b)


def link_table(betas: pd.DataFrame, fits: Mapping[str, Fit]) -> pd.DataFrame:
    """How far the law's line for log b is from the single checkpoints' b, a row a task.

    Parameters
    ----------
    betas : DataFrame
        From :func:`betas_of_checkpoints`, with ``mean_nll``.
    fits : mapping of task to Fit
        Of the Beta-consistent law.

    Returns
    -------
    DataFrame
        ``slope_law`` and ``slope_dots``; ``factor``, the exponential of the root mean square
        difference of log b; ``left``, the share of the variance of log b that a straight line
        leaves; ``with_size`` and ``with_ratio``, correlations of the difference with log N and
        log D/N.
    """
    found = {}
    for task, one in betas.groupby("task", observed=True):
        loss, log_b = one["mean_nll"], np.log(one["b"])
        c0, c1 = fits[str(task)].params["c0"], fits[str(task)].params["c1"]
        off = log_b - c0 - c1 * loss
        found[str(task)] = {
            "slope_law": c1,
            "slope_dots": np.polyfit(loss, log_b, 1)[0],
            "factor": np.exp(np.sqrt(np.mean(off**2))),
            "left": 1 - np.corrcoef(loss, log_b)[0, 1] ** 2,
            "with_size": np.corrcoef(off, np.log(one["n_params"]))[0, 1],
            "with_ratio": np.corrcoef(off, np.log(one["n_tokens"] / one["n_params"]))[0, 1],
        }
    return pd.DataFrame(found).T.rename_axis("task")


STEPS = ("Beta of each checkpoint", "link at the measured loss", "whole law")


def errors_by_step(
    betas: pd.DataFrame, curves: pd.DataFrame, fits: Mapping[str, Fit]
) -> pd.DataFrame:
    """Errors of three forecasts of the same checkpoints: where the whole law's error is made.

    A Beta of each checkpoint's own, the link at its measured loss, and the whole law.

    Returns
    -------
    DataFrame
        ``model, task, step``; ``relative`` of pass@k and ``squared`` of -log pass@k, means over k
        and checkpoints.
    """
    keys, found = ["model", "n_params", "n_tokens"], []
    for task, one in betas.groupby("task", observed=True):
        rows = curves[curves["task"] == task]
        both = one.merge(rows[[*keys, "k", "pass_at_k", "neg_log_pass"]], on=keys)
        law = fits[str(task)].law
        b = np.exp(law.c0 + law.c1 * both["mean_nll"].to_numpy())
        shapes: tuple[tuple[Any, Any], ...] = (
            (both["a"], both["b"]),
            (beta_a_from_mean_nll(b, both["mean_nll"]), b),
            law.shape(both["n_params"], both["n_tokens"]),
        )
        for step, (shape_a, shape_b) in zip(STEPS, shapes, strict=True):
            off = beta_neg_log_pass(shape_a, shape_b, both["k"]) - both["neg_log_pass"]
            guess = beta_pass_at_k(shape_a, shape_b, both["k"])
            relative = np.abs(guess / both["pass_at_k"] - 1)
            errors = pd.DataFrame({"relative": relative, "squared": off**2})
            mean = errors.groupby(both["model"]).mean().reset_index()
            found.append(mean.assign(task=str(task), step=step))
    return pd.concat(found, ignore_index=True)


def cost_of_loss(errors: pd.DataFrame) -> dict[str, float]:
    """What guessing the loss costs: the whole law's error over that at the measured loss.

    Returns
    -------
    dict
        ``relative`` of pass@k and ``nats`` of -log pass@k, medians over tasks.
    """
    means = errors.groupby(["task", "step"])[["relative", "squared"]].mean()
    wide = means.assign(nats=np.sqrt(means["squared"])).unstack("step")
    return {
        score: float((wide[score, STEPS[2]] / wide[score, STEPS[1]]).median())
        for score in ("relative", "nats")
    }


# ----------------------------------------------------------------------------------- as recorded


def recorded_rivals() -> dict[str, pd.DataFrame]:
    """Every rival for models left out, and other deals of models, by ``benchmarks/claims.py``.

    Returns
    -------
    dict
        ``errors`` (task, law, score, error), ``compared`` (:func:`compare` with every rival) and
        ``deals`` (comparison, deal, deal_seed, and how many tasks are won, tied and lost).
    """
    values = read_json(data_folder() / "recorded/rivals.json")["values"]
    return {name: pd.DataFrame(rows) for name, rows in values.items()}


def by_deal(deals: pd.DataFrame) -> pd.DataFrame:
    """Tasks won, tied and lost by how models are dealt: of random deals, means and extremes.

    Returns
    -------
    DataFrame
        Rows (comparison, deal); columns ``wins, ties, loses``, means over deals, and
        ``fewest``, ``most`` (wins).
    """
    groups = deals.groupby(["comparison", "deal"], sort=False)
    found = groups[["wins", "ties", "loses"]].mean()
    return found.assign(fewest=groups["wins"].min(), most=groups["wins"].max())
