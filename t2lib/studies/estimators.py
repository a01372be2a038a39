"""Exact mean and spread of two estimates of pass@k (appendix A1)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from t2lib.passk import beta_pass_at_k, pass_at_k


def estimator_variance(n: int, p: float, k: int) -> float:
    """Exact variance of the unbiased estimate of one question's pass@k.

    Two k-subsets of the n samples that share j of them are both wrong with chance
    ``(1 - p)^(2k - j)``; the variance is the mean of that over pairs, less ``(1 - p)^(2k)``.

    Parameters
    ----------
    n, k : int
        Samples drawn and samples allowed, ``k <= n``.
    p : float
        Chance that one sample is right.

    Examples
    --------
    >>> round(estimator_variance(1, 0.3, 1), 12)
    0.21
    """
    shared = np.arange(k + 1)
    chance = stats.hypergeom(n, k, k).pmf(shared)
    return float(chance @ (1 - p) ** (2 * k - shared) - (1 - p) ** (2 * k))


def plug_in_mean(n: int, p: float, k: int) -> float:
    """Exact expectation of the plug-in estimate ``1 - (1 - c/n)^k`` of one question's pass@k.

    Parameters
    ----------
    n, k : int
        Samples drawn and samples allowed.
    p : float
        Chance that one sample is right.

    Examples
    --------
    >>> round(plug_in_mean(2, 0.5, 2), 12)
    0.625
    """
    c = np.arange(n + 1)
    return float(stats.binom(n, p).pmf(c) @ (1 - (1 - c / n) ** k))


def compare(n: int, p: float, k: npt.ArrayLike, *, experiments: int, seed: int) -> pd.DataFrame:
    """Simulate both estimates and put them beside the exact values.

    Parameters
    ----------
    n : int
        Samples of an experiment.
    p : float
        Chance that one sample is right.
    k : array_like of int, shape (K,)
        Samples allowed.
    experiments, seed : int
        Simulated experiments, and the seed.

    Returns
    -------
    DataFrame, indexed by k
        ``truth``; ``unbiased`` and ``plug_in``, simulated means; ``plug_in_exact``; ``sd`` of the
        unbiased estimate, simulated, and ``sd_exact``.
    """
    ks = np.asarray(k)
    c = np.random.default_rng(seed).binomial(n, p, size=(experiments, 1))
    unbiased = pass_at_k(n, c, ks)
    return pd.DataFrame(
        {
            "truth": 1 - (1 - p) ** ks,
            "unbiased": unbiased.mean(axis=0),
            "plug_in": (1 - (1 - c / n) ** ks).mean(axis=0),
            "plug_in_exact": [plug_in_mean(n, p, int(j)) for j in ks],
            "sd": unbiased.std(axis=0),
            "sd_exact": np.sqrt([estimator_variance(n, p, int(j)) for j in ks]),
        },
        index=pd.Index(ks, name="k"),
    )


def task_error(n: int, k: int, a: float, b: float, questions: int) -> float:
    """Standard deviation of a task's estimated pass@k that comes from sampling alone.

    The questions are held; their p follow Beta(a, b), and each has n samples.

    Parameters
    ----------
    n, k : int
        Samples of each question and samples allowed, ``k <= n``.
    a, b : float
        Shape of the questions' p.
    questions : int
        Questions that the task averages over.

    Returns
    -------
    float
        The mean of :func:`estimator_variance` over the Beta, by the closed form of
        ``E[(1 - p)^m]``, over the number of questions; its root.
    """
    shared = np.arange(k + 1)
    chance = stats.hypergeom(n, k, k).pmf(shared)
    failed = 1 - beta_pass_at_k(a, b, 2 * k - shared)
    variance = chance @ failed - (1 - beta_pass_at_k(a, b, 2 * k))
    return float(np.sqrt(variance / questions))
