"""How the additive law misses: what its residuals hold, and what each checkpoint gains from k.

Tables here are curve tables of one task, or of a mean over tasks: ``model, n_params, n_tokens, k,
neg_log_pass, mean_nll``, with every k at every checkpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from t2lib._checks import FloatArray
from t2lib.fitting.batches import AdditiveRefit, ChinchillaRefit
from t2lib.fitting.powers import Fit, fit_additive
from t2lib.laws import AdditiveLaw, Chinchilla
from t2lib.uncertainty.resampling import bootstrap

CHECKPOINT = ["model", "n_params", "n_tokens"]


# -------------------------------------------------------------------------------------- the data


def rank_with_compute(curves: pd.DataFrame) -> pd.Series:
    """Spearman correlation of a task's mean NLL with N D: near -1 where loss falls with scale."""
    once = curves[curves["k"] == 1]
    once = once.assign(size=once["n_params"] * once["n_tokens"])
    return pd.Series(
        {
            task: rows["size"].corr(rows["mean_nll"], method="spearman")
            for task, rows in once.groupby("task")
        }
    )


def mean_over_tasks(curves: pd.DataFrame, tasks: Collection[str]) -> pd.DataFrame:
    """Mean over tasks of -log pass@k and NLL at each checkpoint and k; each task counts alike."""
    rows = curves[curves["task"].isin(tasks)]
    keys = [*CHECKPOINT, "k"]
    return rows.groupby(keys, as_index=False)[["neg_log_pass", "mean_nll"]].mean()


# ------------------------------------------------------------------------------- what is left over


@dataclass(frozen=True)
class Parts:
    """A table of checkpoints times k, split into four orthogonal parts.

    Attributes
    ----------
    mean : float
        Mean of all cells.
    checkpoint : Series
        Mean of each checkpoint, above the mean of all.
    k : Series
        Mean at each k, above the mean of all.
    interaction : DataFrame, checkpoints x k
        What is left: no sum of a function of the checkpoint and one of k has any of it.
    """

    mean: float
    checkpoint: pd.Series
    k: pd.Series
    interaction: pd.DataFrame

    @property
    def shares(self) -> dict[str, float]:
        """Share of the sum of squares that each part has."""
        rows, columns = self.interaction.shape
        squares = {
            "mean": rows * columns * self.mean**2,
            "checkpoint": columns * float((self.checkpoint**2).sum()),
            "k": rows * float((self.k**2).sum()),
            "interaction": float((self.interaction**2).to_numpy().sum()),
        }
        return {part: value / sum(squares.values()) for part, value in squares.items()}

    @property
    def one_direction(self) -> float:
        """Share of the interaction in one number a checkpoint times one curve in k."""
        singular = np.linalg.svd(self.interaction.to_numpy(), compute_uv=False) ** 2
        return float(singular[0] / singular.sum())


def split(table: pd.DataFrame, values: npt.ArrayLike) -> Parts:
    """Split a value of each row into mean, checkpoint, k and interaction.

    Parameters
    ----------
    table : DataFrame, n rows
        Every k at every checkpoint.
    values : array_like, shape (n,)
        Such as the residuals of a fit.

    Raises
    ------
    ValueError
        Where a checkpoint lacks a k that another has.
    """
    wide = table.assign(value=np.asarray(values)).pivot(
        index=["model", "n_tokens"], columns="k", values="value"
    )
    if wide.isna().any(axis=None):
        raise ValueError("a checkpoint lacks a k that another has: nothing can be split")
    mean = float(wide.to_numpy().mean())
    rows, columns = wide.mean(axis=1), wide.mean(axis=0)
    interaction = wide.sub(rows, axis=0).sub(columns, axis=1) + mean
    return Parts(mean, rows - mean, columns - mean, interaction)


# ------------------------------------------------------------------------- what sampling brings


def drops(table: pd.DataFrame, k: int = 256) -> pd.DataFrame:
    """What k samples bring each checkpoint: -log pass@1 minus -log pass@k, in nats.

    Returns
    -------
    DataFrame
        ``model, n_params, n_tokens, mean_nll, drop``, a row a checkpoint.
    """
    wide = table.pivot(index=[*CHECKPOINT, "mean_nll"], columns="k", values="neg_log_pass")
    return (wide[1] - wide[k]).rename("drop").reset_index()


def drop_of_law(law: AdditiveLaw, k: int = 256) -> float:
    """What k samples bring every checkpoint, as the additive law has it, in nats."""
    return float(law.G * (1 - float(k) ** -law.gamma))


def describe_drops(table: pd.DataFrame) -> dict[str, float]:
    """Where nine tenths of the drops lie, and how they change with model size and loss.

    Parameters
    ----------
    table : DataFrame
        From :func:`drops`, or a resample of it.

    Returns
    -------
    dict
        ``low`` and ``high``: 5th and 95th percentile (nats). ``slope``: change for each doubling
        of N at the last checkpoints (nats). ``rank``: rank correlation with the mean NLL.
    """
    ends = table[table["n_tokens"] == table["n_tokens"].max()]
    return {
        "low": float(table["drop"].quantile(0.05)),
        "high": float(table["drop"].quantile(0.95)),
        "slope": float(np.polyfit(np.log2(ends["n_params"]), ends["drop"], 1)[0]),
        "rank": float(table["mean_nll"].corr(table["drop"], method="spearman")),
    }


# ------------------------------------------------------------------------------------ how sure


def fit_both(table: pd.DataFrame) -> tuple[Fit, Fit]:
    """The additive law of a table, and Chinchilla's law of its mean NLL."""
    return AdditiveRefit()(table), ChinchillaRefit(loss="mean_nll")(table[table["k"] == 1])


def estimates(table: pd.DataFrame) -> dict[str, float]:
    """Everything that :func:`resampled` gives a distribution of, for the table as it is."""
    additive, alone = fit_both(table)
    times = pd.Series(1.0, index=table["model"].unique())
    return _quoted(table, additive.law, alone.law, times)


def resampled(table: pd.DataFrame, *, n_bootstrap: int, seed: int) -> pd.DataFrame:
    """Refit both laws to resamples of whole models, and keep what a chapter quotes of them.

    A model's checkpoints are one training run, not independent facts.

    Parameters
    ----------
    table : DataFrame
        Curve table of one task or of a mean over tasks.
    n_bootstrap, seed : int
        Resamples, and their seed.

    Returns
    -------
    DataFrame, a row a resample
        ``alpha``, ``beta``, ``gamma``, ``E``, ``G``, ``log10_A`` of the additive law;
        ``alpha_nll`` of Chinchilla's law of the mean NLL; ``drop`` (nats, see
        :func:`drop_of_law`); ``share_k`` and ``share_interaction`` of the squared residuals;
        ``rms_one`` and ``rms_one_nll``: errors of both laws at k = 1 (nats); ``term_N``:
        A N^-alpha in the middle of the data (nats).
    """
    again: dict[str, Any] = {"n": n_bootstrap, "seed": seed, "by": "model"}  # the same resamples
    ones = table[table["k"] == 1]
    draws = bootstrap(AdditiveRefit(), table, **again)
    alone = bootstrap(ChinchillaRefit(loss="mean_nll"), ones, **again)
    times = bootstrap(_copies, ones, **again).reindex(columns=ones["model"].unique())
    rows = {
        i: _quoted(
            table, AdditiveLaw(**draws.loc[i]), Chinchilla(**alone.loc[i]), times.loc[i].fillna(0)
        )
        for i in draws.index.intersection(alone.index)
    }
    return pd.DataFrame(rows).T


def _copies(resample: pd.DataFrame) -> pd.Series:
    """How often each model was drawn; 0 is told apart from a gap by the caller."""
    return resample.groupby("model")["resample_copy"].nunique()


def _quoted(
    table: pd.DataFrame, law: AdditiveLaw, alone: Chinchilla, times: pd.Series
) -> dict[str, float]:
    """Estimates from one resample's laws; ``times`` says how often each model is in it."""
    N, D = table["n_params"], table["n_tokens"]
    residuals = table["neg_log_pass"] - law.neg_log_pass(N, D, table["k"])
    share = _weighted_shares(table.assign(residual=residuals), times)
    ones = (table["k"] == 1).to_numpy()
    weight = table.loc[ones, "model"].map(times).to_numpy(float)
    missed = table.loc[ones, "mean_nll"] - alone.loss(N[ones], D[ones])
    middle = float(np.exp(np.log(N.unique()).mean()))
    return {
        "alpha": law.alpha,
        "beta": law.beta,
        "gamma": law.gamma,
        "E": law.E,
        "G": law.G,
        "log10_A": float(np.log10(max(law.A, 1e-300))),
        "alpha_nll": alone.alpha,
        "drop": drop_of_law(law),
        **share,
        "rms_one": _rms(residuals[ones], weight),
        "rms_one_nll": _rms(missed, weight),
        "term_N": float(law.A * middle**-law.alpha),
    }


def _weighted_shares(table: pd.DataFrame, times: pd.Series) -> dict[str, float]:
    """Shares of k and of interaction in the squared residuals, each model counted so often."""
    wide = table.pivot(index=["model", "n_tokens"], columns="k", values="residual")
    weight = times.reindex(wide.index.get_level_values("model")).to_numpy(float)
    weight = weight / weight.sum()
    cells = wide.to_numpy()
    by_k, everywhere = weight @ cells, weight @ cells.mean(axis=1)
    left = cells - cells.mean(axis=1, keepdims=True) - by_k + everywhere
    total = weight @ (cells**2).mean(axis=1)
    return {
        "share_k": float(np.var(by_k) / total),
        "share_interaction": float(weight @ (left**2).mean(axis=1) / total),
    }


def _rms(values: npt.ArrayLike, weight: FloatArray) -> float:
    return float(np.sqrt(np.average(np.square(values), weights=weight)))


# ------------------------------------------------------------------------------ random restarts


def restarts(tables: Mapping[str, pd.DataFrame], *, n: int, seed: int) -> pd.DataFrame:
    """Random starts of the paper's recipe against the variable projection, on the same rows.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Curve tables by name.
    n, seed : int
        Starts of L-BFGS-B for each table, and their seed.

    Returns
    -------
    DataFrame
        A row a table and start: ``table``, ``excess`` (objective over the lowest of either
        method, minus 1, sorted), ``projection`` (the same for the projection).
    """
    rows = []
    for name, table in tables.items():
        columns = [table[x] for x in ("n_params", "n_tokens", "k", "neg_log_pass")]
        projected = fit_additive(*columns).objective
        tried = fit_additive(*columns, method="paper", restarts=n, seed=seed)
        best = min(projected, tried.objective)
        assert tried.restarts is not None
        rows.append(
            pd.DataFrame(
                {
                    "table": name,
                    "excess": np.sort(tried.restarts / best - 1),
                    "projection": projected / best - 1,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)
