"""Which shift of the best size the design could tell from none, by simulation. Needs no JAX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import stats

from t2lib._checks import FloatArray, positive

if TYPE_CHECKING:
    import pandas as pd


def seed_noise(table: pd.DataFrame, value: str = "loss") -> pd.Series:
    """Estimate how far two seeds of one size differ.

    Parameters
    ----------
    table : DataFrame
        One row a checkpoint: ``n_params``, ``n_tokens``, ``seed`` and the value's column.
    value : str
        The column.

    Returns
    -------
    Series
        Standard deviation over seeds by ``n_params``: the root of the mean variance over
        ``n_tokens``, of sizes with two seeds or more.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = {"n_params": [10, 10], "n_tokens": [5, 5], "seed": [0, 1], "loss": [1.0, 2.0]}
    >>> float(seed_noise(pd.DataFrame(rows)).loc[10].round(3))
    0.707
    """
    variance = table.groupby(["n_params", "n_tokens"])[value].var(ddof=1).dropna()
    return variance.groupby("n_params").mean() ** 0.5


def shift_power(
    N: npt.ArrayLike,
    noise: npt.ArrayLike,
    *,
    curvature: float,
    seeds: int,
    budgets: int = 1,
    correlation: float = 0.0,
    shift: float = 1.2,
    level: float = 0.05,
    n: int = 2000,
    seed: int = 0,
) -> float:
    """Simulate how often a shift of the best size would be told from none.

    Two objectives of the same models, without and with samples to pay for, are parabolas in log N
    around best sizes a factor ``shift`` apart, plus noise. For each seed both are fitted at every
    budget; a t-test over the seeds' mean shifts in log N decides, two-sided.

    Parameters
    ----------
    N : array_like, shape (sizes,)
        Parameters of the models on an isoFLOP line.
    noise : array_like, shape (sizes,) or one number
        Standard deviation over seeds of the objectives, in their own unit.
    curvature : float
        Second derivative of the objectives in log N.
    seeds, budgets : int
        Seeds are independent; budgets of one seed too, which holds where their checkpoints are of
        different models.
    correlation : float
        Of the two objectives' noise on one model.
    shift : float
        The factor that is there; 1 gives the rate of false alarms.
    level : float
        Of the test.
    n, seed : int
        Simulations.

    Returns
    -------
    float
        Share of simulations in which the test finds a shift.

    Raises
    ------
    ValueError
        For fewer than 3 sizes or 2 seeds, or sizes and noise that are not positive.

    Examples
    --------
    >>> sizes = 7248 * 1.5 ** np.arange(6)
    >>> shift_power(sizes, 0.01, curvature=0.2, seeds=5, budgets=4) > 0.9
    True
    """
    log_n = np.log(positive(N, "N"))
    sd = np.broadcast_to(positive(noise, "noise"), log_n.shape)
    if len(log_n) < 3 or seeds < 2:
        raise ValueError(f"{len(log_n)} sizes and {seeds} seeds: want 3 sizes and 2 seeds or more")
    random = np.random.default_rng(seed)
    middle, half = log_n.mean(), np.log(shift) / 2
    first, own = random.standard_normal((2, n, seeds, budgets, len(log_n))) * sd
    second = correlation * first + np.sqrt(1 - correlation**2) * own
    best = [
        parabola_minimum(log_n - middle, curvature / 2 * (log_n - middle - at) ** 2 + error)
        for at, error in ((half, first), (-half, second))
    ]
    found = (best[0] - best[1]).mean(axis=-1)
    p = stats.ttest_1samp(found, 0.0, axis=1).pvalue
    return float((p < level).mean())


def parabola_minimum(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return where parabolas through y, shape (..., sizes), are least, kept within the sizes."""
    middle = x.mean()
    square, slope, _ = np.moveaxis(y @ np.linalg.pinv(np.vander(x - middle, 3)).T, -1, 0)
    inner = middle - slope / (2 * np.where(square > 0, square, 1.0))
    edge = np.where(slope > 0, x.min(), x.max())  # no minimum: the lower end
    return np.asarray(np.where(square > 0, np.clip(inner, x.min(), x.max()), edge))
