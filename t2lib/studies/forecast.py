"""The forecast: laws fitted at ordinary ratios and small budgets say what to train, then it is.

The rules, fixed before any of the judged models was trained: laws see the checkpoints at training
budgets up to a quarter of the largest and at up to four times the best number of tokens per
parameter. For the two largest budgets and three inference budgets each law names the size it would
train and what that size will score; Chinchilla names its size from the validation loss. The same
laws, not fitted again, then name sizes for two to eight times the largest budget. The preset
``further`` trains up to four times; a size outside those that it trains counts as the nearest.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from t2lib._checks import FloatArray
from t2lib.data.curves import load_curves
from t2lib.data.registry import data_folder, read_json
from t2lib.data.tables import whole_parquet
from t2lib.fitting.powers import Fit, fit_chinchilla
from t2lib.fitting.table import LAWS as LAW_TABLE
from t2lib.laws import Chinchilla
from t2lib.studies.one_law import fit_laws
from t2lib.studies.testbed import (
    FAMILIES,
    INFERENCE,
    answers,
    best_sizes,
    further,
    interval,
    loss_line,
    losses,
    power,
    samples,
    variant_lines,
)
from t2lib.testbed.files import write_whole
from t2lib.uncertainty.summaries import estimates

BUDGETS = (2.56e12, 5.12e12)  # FLOPs, the two largest
FURTHER = (1.024e13, 2.048e13, 4.096e13)
FIT_BUDGET = BUDGETS[-1] / 4
RATIO = 4.0  # times the best tokens per parameter: what counts as an ordinary ratio
LAWS = (
    "AdditiveLaw",
    "BetaRegressionLaw",
    "BetaConsistentLaw",
    "ProductLaw",
    "LossTiedLaw",
    "KumaraswamyLaw",
)
MEASURED = "least loss, measured"
LABELS = {name: LAW_TABLE[name].label for name in ("Chinchilla", *LAWS)} | {MEASURED: MEASURED}
SIZES = np.geomspace(2088, 1.6e6, 301)  # N among which a law chooses
K = 4 ** np.arange(9)  # that the laws are fitted to
_KEYS = ["model", "n_params", "n_tokens"]


def ordinary_ratio(table: pd.DataFrame | None = None) -> float:
    """Return the most tokens per parameter that the laws may see.

    Four times the ratio at the loss's own best size at :data:`FIT_BUDGET`, read off the models.
    """
    table = losses() if table is None else table
    line = table[np.isclose(table["budget"], FIT_BUDGET) & (table["unique"] == 0)]
    best = interval(best_sizes(line[line["rate"] == 1], "loss"))[0]
    return RATIO * FIT_BUDGET / (6 * best**2)


def seen(table: pd.DataFrame, ratio: float) -> pd.DataFrame:
    """Return the rows that the laws may be fitted to."""
    flops = 6.0 * table["n_params"] * table["n_tokens"]
    ordinary = table["n_tokens"] <= ratio * table["n_params"]
    return table[ordinary & (flops <= 1.03 * FIT_BUDGET)]  # tokens are whole chunks


@cache
def curves() -> pd.DataFrame:
    """Return the testbed's curves from likelihoods, with the validation loss beside."""
    table = load_curves("testbed")
    table = table[table["task"].isin(FAMILIES) & table["k"].isin(K)]
    return table.merge(losses()[[*_KEYS, "loss"]], on=_KEYS, validate="many_to_one")


def score(law: Any, N: FloatArray, budget: float, inference: float) -> FloatArray:
    """Return a law's pass@k, or exp of minus its -log pass@k, at the ends of both budgets."""
    place = N, budget / (6 * N), samples(N, inference)
    if hasattr(law, "pass_at_k"):
        return np.asarray(law.pass_at_k(*place))
    return np.exp(-np.asarray(law.neg_log_pass(*place)))


def choices(
    fits: Mapping[str, Fit], chinchilla: Chinchilla, budgets: Sequence[float] = BUDGETS
) -> pd.Series:
    """Return what laws of one family forecast.

    Returns
    -------
    Series
        By ``(budget, inference, law, what)``: ``N`` and, of laws that know it, pass@k there
        (``score``) and at Chinchilla's size (``at_chinchilla``).
    """
    found: dict[tuple[float, float, str, str], float] = {}
    for budget in budgets:
        usual = float(chinchilla.optimum(budget)[0])
        for inference in INFERENCE:
            found[budget, inference, "Chinchilla", "N"] = usual
            for name, fitted in fits.items():
                values = score(fitted.law, SIZES, budget, inference)
                best = int(np.argmax(values))
                at_usual = score(fitted.law, np.array([usual]), budget, inference)
                found[budget, inference, name, "N"] = SIZES[best]
                if hasattr(fitted.law, "pass_at_k"):
                    found[budget, inference, name, "score"] = values[best]
                    found[budget, inference, name, "at_chinchilla"] = float(at_usual[0])
    return pd.Series(found)


def forecast(
    family: str, budgets: Sequence[float] = BUDGETS, *, n: int = 100, seed: int = 0
) -> pd.DataFrame:
    """Forecast one family, with 95 % intervals over resampled models (a size and a seed).

    Returns
    -------
    DataFrame
        ``family, budget, inference, law, what, value, low, high``.
    """
    rows = curves()
    rows = seen(rows[rows["task"] == family], ordinary_ratio())
    start = fit_laws(rows, LAWS)

    def statistic(table: pd.DataFrame) -> pd.Series:
        once = table.drop_duplicates(_KEYS)
        usual = fit_chinchilla(once["n_params"], once["n_tokens"], once["loss"]).law
        return choices(fit_laws(table, LAWS, start), usual, budgets)

    found = estimates(statistic, rows, n=n, seed=seed, by="model")
    names = ["budget", "inference", "law", "what"]
    found.index = pd.MultiIndex.from_tuples(found.index, names=names)
    return found.reset_index().assign(family=family)


def write(target: Path, *, n: int = 60, seeds: int = 6) -> None:
    """Write the design's power and the forecast, as ``experiment/forecast.json``.

    Parameters
    ----------
    target : Path
        The data folder.
    n : int
        Resamples.
    seeds : int
        Of the design.
    """
    powers = [
        {"family": f, "budget": FIT_BUDGET, "inference": i, "seeds": seeds}
        | power(f, FIT_BUDGET, i, seeds=seeds)
        for f, i in itertools.product(FAMILIES, INFERENCE)
    ]
    found = {"ratio": ordinary_ratio(), "power": powers}
    for name, budgets in (("forecast", BUDGETS), ("further", FURTHER)):
        rows = pd.concat([forecast(family, budgets, n=n) for family in FAMILIES])
        found[name] = rows.to_dict("records")
    write_whole(target / "experiment" / "forecast.json", json.dumps(found, indent=0).encode())


def recorded() -> dict[str, Any]:
    """Return ``ratio``, ``power``, ``forecast``, ``further`` as they were committed beforehand."""
    found: dict[str, Any] = read_json(data_folder() / "experiment" / "forecast.json")
    return found | {name: pd.DataFrame(found[name]) for name in ("power", "forecast", "further")}


def without_guessing(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out the rows of one family in which guessing explains more than half of pass@k."""
    from t2lib.testbed.corpus import guess_level

    family = str(rows["task"].iloc[0])
    guesses = {k: guess_level(family, int(k)) for k in rows["k"].unique()}
    return rows[rows["pass_at_k"] >= 2 * rows["k"].map(guesses)]


def refitted(family: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Forecast one family from other rows than the rules say, without intervals.

    Returns
    -------
    DataFrame
        As :func:`forecast`, ``value`` only.
    """
    known = seen(curves(), ordinary_ratio()).drop_duplicates(_KEYS)
    usual = fit_chinchilla(known["n_params"], known["n_tokens"], known["loss"]).law
    found = choices(fit_laws(rows, LAWS), usual)
    names = ["budget", "inference", "law", "what"]
    found.index = pd.MultiIndex.from_tuples(found.index, names=names)
    return found.rename("value").reset_index().assign(family=family)


# ------------------------------------------------------------------------------ then it is trained


def judged(table: pd.DataFrame | None = None, *, without: int = -1) -> pd.DataFrame:
    """Hold each forecast against the models trained after it.

    Parameters
    ----------
    table : DataFrame, optional
        As :func:`forecast` returns; the recorded one by default.
    without : int
        A seed that is left out, but of sizes that were trained with one or two.

    Returns
    -------
    DataFrame
        ``family, budget, inference, law, N`` (forecast; of :data:`MEASURED` the size of least loss
        among the models themselves), ``best, best_low, best_high`` (measured, 95 % over seeds),
        ``promised`` and ``scored`` (pass@k at N by the law and by the models), ``best_scored`` (at
        the best size), ``off`` (N over the nearest size that was trained to the budget), ``lost``
        (per cent of ``best_scored``).
    """
    table = recorded()["forecast"] if table is None else table
    keys = ["family", "budget", "inference", "law"]
    wide = table.pivot(index=keys, columns="what", values="value").reset_index()
    least_loss = {}
    for budget in wide["budget"].unique():
        losses = loss_line(budget)
        losses = losses[losses["seed"] != without]
        least_loss[budget] = interval(best_sizes(losses, "loss"))[0]
    rows = []
    for _, part in wide.groupby(keys[:3]):
        family, budget, inference = part.iloc[0][keys[:3]]
        every = scores(family, budget, inference)
        few = every.groupby("n_params")["seed"].transform("nunique") < 3
        every = every[few | (every["seed"] != without)]
        best, low, high = interval(best_sizes(every[every["variant"].isna()]))
        hindsight = part.iloc[[0]].assign(law=MEASURED, N=least_loss[budget], score=np.nan)
        part = pd.concat([part, hindsight])
        sizes, N = every["n_params"].unique(), part["N"].to_numpy()
        nearest = sizes[np.abs(np.log(sizes[:, None] / N)).argmin(axis=0)]
        scored, best_scored = measured(every, N), measured(every, best)
        judgement: dict[str, Any] = {
            "best": best,
            "best_low": low,
            "best_high": high,
            "promised": part["score"],
        }
        judgement |= {"scored": scored, "best_scored": best_scored, "off": N / nearest}
        rows.append(part[[*keys, "N"]].assign(**judgement))
    found = pd.concat(rows, ignore_index=True)
    return found.assign(lost=100 * (1 - found["scored"] / found["best_scored"]))


def lost(rows: pd.DataFrame) -> pd.Series:
    """Median over cases of what each law's size loses, from :func:`judged`."""
    return rows.groupby("law")["lost"].median()


def chosen() -> pd.DataFrame:
    """Return pass@k of the models that were trained because a law had named their size."""
    return whole_parquet(data_folder() / "experiment" / "chosen.parquet")


@cache
def scores(family: str, budget: float, inference: float) -> pd.DataFrame:
    """Return the line of a pair of budgets: the sizes of the grid and those that a law named.

    The latter have the ``variant`` "chosen", the others none, nor has what was trained to a budget
    beyond the grid's.
    """
    beyond = any(np.isclose(budget, FURTHER))
    rows = further()[1] if beyond else chosen()
    rows = rows[(rows["family"] == family) & np.isclose(rows["budget"], budget)]
    line = variant_lines(rows, inference)
    if beyond:
        return line.assign(variant=None)
    return pd.concat([answers(family).line(budget, inference), line], ignore_index=True)


def scored_at(N: float, family: str, budget: float, inference: float) -> float:
    """Return the mean pass@k of the models of a size that was trained."""
    line = scores(family, budget, inference)
    return float(line.loc[line["n_params"] == N, "pass_at_k"].mean())


def measured(line: pd.DataFrame, N: npt.ArrayLike) -> Any:
    """Return the mean over seeds of pass@k at sizes, between two of the line by interpolation."""
    mean = line.groupby("n_params")["pass_at_k"].mean()
    return np.interp(np.log(N), np.log(mean.index.to_numpy(float)), mean.to_numpy())


def overtrained_errors(rows: pd.DataFrame, ratio: float) -> pd.DataFrame:
    """Judge the laws, fitted to what they may see, on the overtrained checkpoints.

    Parameters
    ----------
    rows : DataFrame
        Curves of one family.
    ratio : float
        Tokens per parameter above which a checkpoint is overtrained.

    Returns
    -------
    DataFrame
        A row a law and metric: ``mean`` and ``median`` of ``|predicted / seen - 1|``.
    """
    fits = fit_laws(seen(rows, ratio), LAWS)
    beyond = rows[rows["n_tokens"] > ratio * rows["n_params"]]
    place = beyond["n_params"], beyond["n_tokens"], beyond["k"]
    found = []
    for name, fitted in fits.items():
        for metric in ("neg_log_pass", "pass_at_k"):
            if hasattr(fitted.law, metric):
                error = np.abs(getattr(fitted.law, metric)(*place) / beyond[metric] - 1)
                errors = {"mean": error.mean(), "median": error.median()}
                found.append({"law": name, "metric": metric, **errors})
    return pd.DataFrame(found)
