"""Data simulated from a law, with errors that models, checkpoints and rows have of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from t2lib.passk import beta_pass_at_k


@dataclass(frozen=True)
class Noise:
    """Standard deviations of the errors of a logarithm, which add up.

    Attributes
    ----------
    model : float
        Of the error that all rows of a model share: its shape, its seed.
    checkpoint : float
        Of the error that all k of a checkpoint share.
    row : float
        Of what is left: at each k a finite task has its own.
    """

    model: float = 0.0
    checkpoint: float = 0.0
    row: float = 0.0

    @classmethod
    def of(
        cls, residuals: npt.ArrayLike, model: npt.ArrayLike, checkpoint: npt.ArrayLike | None = None
    ) -> Noise:
        """Estimate the three from residuals of logarithms, by a nested analysis of variance.

        Parameters
        ----------
        residuals : array_like, shape (n,)
            Logarithm of observed over fitted.
        model, checkpoint : array_like, shape (n,)
            Labels of each row; without checkpoints each row is one, and ``row`` is 0.

        Returns
        -------
        Noise
            A component that comes out negative is 0. What a law misses counts as noise.

        Raises
        ------
        ValueError
            Where there are fewer than two models, or no model has two checkpoints.

        References
        ----------
        Searle, Casella and McCulloch (1992), "Variance Components", section 3.6.
        """
        r = np.asarray(residuals, dtype=float)
        points = np.arange(len(r)) if checkpoint is None else np.asarray(checkpoint)
        table = pd.DataFrame({"r": r, "model": np.asarray(model), "checkpoint": points})
        by_checkpoint = table.groupby(["model", "checkpoint"], sort=False)["r"]
        means = by_checkpoint.mean().rename("r").reset_index()
        by_model = means.groupby("model", sort=False)["r"]
        if by_model.ngroups < 2 or len(means) == by_model.ngroups:
            raise ValueError(
                f"{by_model.ngroups} models with {len(means)} checkpoints: what is shared within "
                "a model is not told"
            )
        within = r - by_checkpoint.transform("mean").to_numpy()
        spare = len(table) - len(means)
        row = float(within @ within) / spare if spare else 0.0
        between = (means["r"] - by_model.transform("mean")).to_numpy()
        of_means = float(between @ between) / (len(means) - by_model.ngroups)
        rows_each = len(table) / len(means)
        own = max(of_means - row / rows_each, 0.0)
        shared = float(by_model.mean().to_numpy().var(ddof=1)) - of_means * by_model.ngroups / len(
            means
        )
        return cls(*(float(np.sqrt(v)) for v in (max(shared, 0.0), own, row)))


def t2_grid() -> pd.DataFrame:
    """Sizes of 108 independent runs like T2's: 12 training budgets, 9 sizes of model at each.

    Returns
    -------
    DataFrame
        ``N``, ``D`` and ``model``, a number for each row.
    """
    rows = []
    for C in np.geomspace(1.25e16, 2.56e19, 12):
        smallest, largest = max(5e6, np.sqrt(C / 6 / 3000)), min(9e8, np.sqrt(C / 6))
        rows += [{"N": N, "D": C / 6 / N} for N in np.geomspace(smallest, largest, 9)]
    return pd.DataFrame(rows).assign(model=lambda t: np.arange(len(t)))


def simulate(law: Any, table: pd.DataFrame, rng: np.random.Generator, noise: Noise) -> pd.DataFrame:
    """Draw what a suite would show if a law were true.

    Parameters
    ----------
    law : Chinchilla, AdditiveLaw, a Beta law, or any law with ``pass_at_k``
    table : DataFrame
        ``N, D, model``, and ``k`` but for Chinchilla's law; rows of one model, N and D are one
        checkpoint.
    rng : Generator
    noise : Noise
        Multiplies the loss, or -log pass@k. Of a Beta law the errors of models and checkpoints
        multiply the loss, from which all its pass@k follow, and those of rows -log pass@k. What
        no suite can show is moved to the nearest that it can: a checkpoint's pass@k never falls in
        k, nor below exp(-loss).

    Returns
    -------
    DataFrame
        The table with ``loss`` (Chinchilla), ``neg_log_pass`` (additive), ``loss`` and
        ``pass_at_k`` (Beta), or ``pass_at_k``.

    Raises
    ------
    ValueError
        Where a size is not positive.
    """
    N, D = table["N"], table["D"]
    shared = np.zeros(len(table))
    for size, keys in ((noise.model, ["model"]), (noise.checkpoint, ["model", "N", "D"])):
        if size:
            codes = table.groupby(keys, sort=False).ngroup().to_numpy()
            shared += size * rng.standard_normal(codes.max() + 1)[codes]
    own = noise.row * rng.standard_normal(len(table)) if noise.row else np.zeros(len(table))
    if hasattr(law, "shape_at_loss"):
        loss = law.chinchilla.loss(N, D) * np.exp(shared)
        a, b = law.shape_at_loss(loss)
        clean = -np.log(beta_pass_at_k(a, b, table["k"]))
        drawn = np.maximum(np.exp(-clean * np.exp(own)), np.exp(-loss))
        return _rising(table.assign(loss=loss, pass_at_k=drawn))
    if hasattr(law, "pass_at_k"):
        clean = -np.log(law.pass_at_k(N, D, table["k"]))
        return table.assign(pass_at_k=np.exp(-clean * np.exp(shared + own)))
    if hasattr(law, "neg_log_pass"):
        clean = law.neg_log_pass(N, D, table["k"])
        return table.assign(neg_log_pass=clean * np.exp(shared + own))
    return table.assign(loss=law.loss(N, D) * np.exp(shared + own))


def _rising(table: pd.DataFrame) -> pd.DataFrame:
    """The table with each checkpoint's pass@k held where an error would make it fall in k."""
    order = np.argsort(table["k"].to_numpy(), kind="stable")
    ordered = table.iloc[order].groupby(["model", "N", "D"], sort=False)["pass_at_k"]
    highest = np.empty(len(table))
    highest[order] = ordered.cummax()
    return table.assign(pass_at_k=highest)
