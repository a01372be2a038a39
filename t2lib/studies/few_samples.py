"""Forecasts of pass@k from few samples, judged on Pythia's counts (chapter 12).

The rules, fixed before the first forecast was looked at:

- *Cases.* Checkpoints of Pythia on GSM8K and MATH whose every question has at least 1,000 samples,
  and of whose questions at least 3 are expected to be answered in 100 samples. Judged at K, the
  smaller of 10,000 and the fewest samples of any question, where the unbiased estimator over all
  samples is the truth.
- *Draws.* 100 samples of each question, drawn without replacement; five times.
- *Error.* ``log10`` of forecast over truth, in decades, its size averaged over the draws of a case.
  A forecast that cannot be made counts as the worst one made in that case, and is counted.
- *One method beats another* where the 95 % interval of the difference of mean errors, over
  resampled models, lies below 0. Seven methods: the unbiased estimator at 100, kept; the plug-in
  ``1 - (1 - c/n)^k``; a power law, ``log(-log pass@k)`` a line in log k through the unbiased
  estimates; the most likely Beta-binomial, without and with a share never solved; the posterior
  without, and with such a share at half a chance. The function's default is the last, chosen before
  by simulated questions.
- *Coverage.* Share of draws whose 95 % interval holds the truth. It holds where the interval of
  that share over resampled models reaches 95 %.
- *Plan.* 50 samples each, then 50 more a question on average: where the plan says, as many for
  each, or for the unanswered ones only. Same total, same law, same comparison.

Added later, with no verdict: the same forecast from fewer and from more samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from t2lib._checks import FloatArray
from t2lib.data.registry import data_folder, read_json
from t2lib.data.suites import load_questions
from t2lib.few_samples import predict_pass_at_k, sampling_plan
from t2lib.fitting.inflated import fit_mixture
from t2lib.passk import pass_at_k
from t2lib.uncertainty.resampling import bootstrap, percentile_interval
from t2lib.uncertainty.summaries import Weighted

TASKS = ("gsm8k", "math")
SAMPLES, PILOT, LARGEST_K, DRAWS = 100, 50, 10_000, 5
OTHER_SAMPLES = (25, 50, 200, 400)
METHODS = {
    "kept": "unbiased, kept at its last",
    "plug-in": "plug-in",
    "power law": "power law in k",
    "Beta": "Beta, most likely",
    "inflated": "Beta and never solved, most likely",
    "posterior Beta": "Beta, posterior",
    "posterior inflated": "Beta and never solved, posterior",
}
OURS = "posterior inflated"
PLANS = ("uniform", "unanswered", "plan")
_FEWEST_SAMPLES, _FEWEST_ANSWERED = 1_000, 3.0


# -------------------------------------------------------------------------------------- the cases


def cases(questions: pd.DataFrame) -> list[pd.DataFrame]:
    """Checkpoints that the rules admit, each as the rows of its questions.

    Parameters
    ----------
    questions : DataFrame
        Question table of one task: ``model, n_params, n_tokens, n_samples, n_correct``.
    """
    found = []
    for _, rows in questions.groupby(["n_params", "n_tokens"]):
        few = np.minimum(SAMPLES, rows["n_samples"])
        answered = pass_at_k(rows["n_samples"], rows["n_correct"], few).sum()
        if rows["n_samples"].min() >= _FEWEST_SAMPLES and answered >= _FEWEST_ANSWERED:
            found.append(rows)
    return found


def power_law(right: FloatArray, n: int, k: float) -> float:
    """Pass@k by a straight line through ``log(-log pass@k)`` against log k, k = 1, 2, 4, ..., n."""
    ks = np.unique(np.append(2 ** np.arange(int(np.log2(n)) + 1), n))
    seen = np.array([pass_at_k(n, right, one).mean() for one in ks])
    slope, level = np.polyfit(np.log(ks), np.log(-np.log(seen)), 1)
    return float(np.exp(-np.exp(level + slope * np.log(k))))


def forecasts(right: FloatArray, n: int, k: float) -> dict[str, Any]:
    """Pass@k by every method from ``right`` of ``n`` samples a question; None where there is none.

    Also the ends of the two posteriors' 95 % intervals, ``low ...`` and ``high ...``.
    """
    if not right.any():
        return dict.fromkeys(METHODS)
    samples = np.full(right.shape, float(n))
    found = {
        "kept": float(pass_at_k(n, right, n).mean()),
        "plug-in": float(-np.expm1(k * np.log1p(-np.minimum(right / n, 1 - 1e-16))).mean()),
        "power law": power_law(right, n, k),
        "Beta": float(fit_mixture(samples, right).pass_at_k(k)),
        "inflated": float(fit_mixture(samples, right, never=True).pass_at_k(k)),
    }
    for name, never in (("posterior Beta", False), (OURS, True)):
        value, low, high = predict_pass_at_k(samples, right, k, never=never).iloc[0]
        found |= {name: value, f"low {name}": low, f"high {name}": high}
    return found


# -------------------------------------------------------------------------------------- the plans


def by_plan(
    right: FloatArray, n: FloatArray, k: float, rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Forecast after a pilot and as many samples again, shared in three ways.

    Parameters
    ----------
    right, n : ndarray, shape (questions,)
        All right samples and all samples, from which is drawn without replacement.
    k : float
        Samples per question to forecast at.
    rng : numpy Generator

    Returns
    -------
    dict
        Way to ``value, low, high`` and ``short``, samples that were asked for and not there.
    """
    pilot = _draw(right, n, np.full(n.shape, PILOT), rng)
    if not pilot.any():
        return {}
    more = PILOT * len(n)
    none = pilot == 0
    shares = {
        "uniform": np.full(n.shape, PILOT),
        "unanswered": np.where(none, more // max(int(none.sum()), 1), 0),
        "plan": sampling_plan(np.full(n.shape, PILOT), pilot, more, k=k),
    }
    found = {}
    for way, share in shares.items():
        there = np.minimum(share, n - PILOT)
        seen = pilot + _draw(right - pilot, n - PILOT, there, rng)
        value, low, high = predict_pass_at_k(PILOT + there, seen, k).iloc[0]
        short = float((share - there).sum())
        found[way] = {"value": value, "low": low, "high": high, "short": short}
    return found


def _draw(
    right: FloatArray, n: FloatArray, drawn: FloatArray, rng: np.random.Generator
) -> FloatArray:
    whole = (x.astype(np.int64) for x in (right, n - right, drawn))
    return rng.hypergeometric(*whole).astype(float)


# --------------------------------------------------------------------------------- the judgement


def judge(seed: int = 0) -> dict[str, Any]:
    """Make every forecast of every case and draw; it reads the released counts."""
    rows: list[dict[str, Any]] = []
    for task in TASKS:
        for number, case in enumerate(cases(load_questions("pythia", task))):
            n, right = (case[name].to_numpy(float) for name in ("n_samples", "n_correct"))
            k = min(float(LARGEST_K), n.min())
            about = {
                "task": task,
                "model": case["model"].iloc[0],
                "n_tokens": int(case["n_tokens"].iloc[0]),
                "k": k,
                "truth": float(pass_at_k(n, right, k).mean()),
            }
            for draw in range(DRAWS):
                rng = np.random.default_rng([seed, TASKS.index(task), number, draw])
                few = _draw(right, n, np.full(n.shape, SAMPLES), rng)
                found = forecasts(few, SAMPLES, k)
                plans = by_plan(right, n, k, rng)
                other = {m: _forecast(right, n, m, k, rng) for m in OTHER_SAMPLES}
                row = {**about, "draw": draw, "answered": int((few > 0).sum()), **found}
                if draw == 0:  # to be seen, which the others need not be
                    values, times = np.unique(few, return_counts=True)
                    row["counts"] = {"right": values.astype(int), "questions": times}
                rows.append(row | {"plans": plans, "other": other})
    return {"rows": rows}


def _forecast(
    right: FloatArray, n: FloatArray, drawn: int, k: float, rng: np.random.Generator
) -> dict[str, float] | None:
    few = _draw(right, n, np.full(n.shape, drawn), rng)
    if not few.any():
        return None
    return {str(name): x for name, x in predict_pass_at_k(0 * n + drawn, few, k).iloc[0].items()}


def judged() -> dict[str, Any]:
    """What :func:`judge` gave, as ``benchmarks/claims.py`` recorded it."""
    return dict(read_json(data_folder() / "recorded/few_samples.json")["values"])


def table(values: Any) -> pd.DataFrame:
    """One row a case, draw and method: ``error`` in decades, signed; NaN where there is none."""
    rows = pd.DataFrame(values["rows"])
    about = ["task", "model", "n_tokens", "k", "truth", "draw", "answered"]
    long = rows.melt(about, list(METHODS), var_name="method", value_name="forecast")
    return long.assign(error=np.log10(long["forecast"].astype(float) / long["truth"]))


_CASE = ["task", "model", "n_tokens"]


def sizes(forecast: pd.DataFrame) -> pd.DataFrame:
    """Mean size of the error of each case (rows) by each method (columns), in decades.

    A forecast that is missing, or 0, counts as the worst made in its case.
    """
    size = forecast["error"].abs().replace(np.inf, np.nan)
    worst = size.groupby([forecast[name] for name in _CASE]).transform("max")
    filled = forecast.assign(size=size.fillna(worst))
    return filled.groupby([*_CASE, "method"])["size"].mean().unstack()[list(METHODS)]


def against(errors: pd.DataFrame, ours: str, *, n: int, seed: int) -> pd.DataFrame:
    """Mean error of each column, and its difference from ours with a 95 % interval over models.

    Parameters
    ----------
    errors : DataFrame
        Errors with a row a case, indexed by ``task, model, n_tokens``.
    ours : str
        The column that is subtracted: above 0, ours is better.
    n, seed : int
        Resamples of models, and their seed.

    Returns
    -------
    DataFrame, indexed by column
        ``error``, ``value, low, high``.
    """
    apart = errors.sub(errors[ours], axis=0)
    found = percentile_interval(
        _resampled_means(apart.reset_index(), apart.columns.tolist(), n, seed)
    )
    found.insert(0, "value", apart.mean())
    found.insert(0, "error", errors.mean())
    return found


def covered(values: Any, *, n: int, seed: int) -> pd.DataFrame:
    """Share of 95 % intervals that hold the truth, with its interval over models.

    Returns
    -------
    DataFrame, indexed by method
        ``value, low, high``; ``above`` and ``below``, shares in which the truth lies there;
        ``width``, the mean width of the intervals.
    """
    rows = pd.DataFrame(values["rows"])
    rows = rows[rows[OURS].notna()]
    found = {}
    for method in ("posterior Beta", OURS):
        low, high = (rows[f"{end} {method}"].astype(float) for end in ("low", "high"))
        held = rows[["model"]].assign(held=(low <= rows["truth"]) & (rows["truth"] <= high))
        ends = percentile_interval(_resampled_means(held, ["held"], n, seed))
        found[method] = {
            "value": held["held"].mean(),
            **ends.loc["held"].to_dict(),
            "above": (rows["truth"] > high).mean(),
            "below": (rows["truth"] < low).mean(),
            "width": (high - low).mean(),
        }
    return pd.DataFrame(found).T


def by_samples(values: Any) -> pd.DataFrame:
    """Mean error, width and coverage of our forecast by the samples of each question.

    Returns
    -------
    DataFrame, indexed by samples
        ``forecasts``, their number; ``error``, the mean size in decades; ``width``, the mean width
        of the 95 % interval; ``held``, the share of intervals that hold the truth.
    """
    found = []
    for row in values["rows"]:
        ours = {"value": row[OURS], "low": row[f"low {OURS}"], "high": row[f"high {OURS}"]}
        every = {SAMPLES: ours, **{int(m): one for m, one in row["other"].items()}}
        for samples, one in every.items():
            if one is None or one["value"] is None:
                continue
            error = abs(np.log10(one["value"] / row["truth"]))
            held = one["low"] <= row["truth"] <= one["high"]
            found.append((samples, error, one["high"] - one["low"], held))
    table = pd.DataFrame(found, columns=["samples", "error", "width", "held"]).astype(float)
    means = table.groupby("samples").mean()
    means.insert(0, "forecasts", table.groupby("samples").size())
    return means.set_index(means.index.astype(int))


def example(values: Any, task: str, model: str) -> tuple[pd.Series, FloatArray]:
    """First draw of a model's last admitted checkpoint: its row, and right samples of 100.

    They are sorted: which question has which is not recorded.
    """
    rows = pd.DataFrame(values["rows"]).query("task == @task and model == @model")
    row = rows[rows["draw"] == 0].sort_values("n_tokens").iloc[-1]
    counts = row["counts"]
    return row, np.repeat(np.asarray(counts["right"], dtype=float), counts["questions"])


def _resampled_means(rows: pd.DataFrame, columns: list[str], n: int, seed: int) -> pd.DataFrame:
    """Means of these columns, whole ones, over resamples of models."""

    def means(table: pd.DataFrame, counts: FloatArray) -> pd.DataFrame:
        sums = counts @ table[columns].to_numpy(dtype=float)
        return pd.DataFrame(sums / counts.sum(axis=1, keepdims=True), columns=columns)

    return bootstrap(Weighted(means), rows, n=n, seed=seed, by="model")


def plan_errors(values: Any) -> pd.DataFrame:
    """Mean size of the error of each case (rows) by each way to share samples (columns)."""
    found = []
    for row in values["rows"]:
        size = {
            way: abs(np.log10(found_by["value"] / row["truth"]))
            for way, found_by in row["plans"].items()
        }
        found.append({**{name: row[name] for name in _CASE}, **size})
    return pd.DataFrame(found).groupby(_CASE)[list(PLANS)].mean()
