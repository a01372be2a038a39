"""The compute exponent of -log pass@k at each k: measured, and derived from the Beta law."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from t2lib.data.curves import load_curves
from t2lib.data.registry import Recorded, recorded
from t2lib.data.suites import load_questions
from t2lib.fitting.beta import fit_beta, fit_beta_consistent_counts
from t2lib.fitting.powers import fit_at_each_k
from t2lib.fitting.result import Fit
from t2lib.passk import pass_at_k
from t2lib.uncertainty.resampling import jackknife

SHOWN_K = (1, 4, 16, 32, 64, 128, 1000, 4096, 10_000)


def compute_law(curves: pd.DataFrame, pass_at_k: npt.ArrayLike | None = None) -> pd.DataFrame:
    """Fit ``-log pass@k = E(k) + C0(k) C^-alpha(k)`` at each k, with C = 6 N D.

    Parameters
    ----------
    curves : DataFrame
        ``n_params, n_tokens, k``, and ``pass_at_k`` unless it is given.
    pass_at_k : array_like, optional
        A law's predictions for the same rows.

    Returns
    -------
    DataFrame
        By k: ``exponent`` alpha(k), and ``floor`` E(k) in nats.

    Raises
    ------
    ValueError
        As :func:`~t2lib.fit_at_each_k`.

    References
    ----------
    Schaeffer et al. (2026), arXiv:2509.24012.
    """
    Q = curves["pass_at_k"] if pass_at_k is None else pass_at_k
    fit = fit_at_each_k(curves["n_params"], curves["n_tokens"], curves["k"], Q)
    laws = zip(fit.law.k, fit.law.laws, strict=True)
    rows = [{"k": k, "exponent": law.alpha, "floor": law.E} for k, law in laws]
    return pd.DataFrame(rows).set_index("k")


def implied(law: Any, curves: pd.DataFrame, k: Sequence[float]) -> pd.DataFrame:
    """Compute law of a law's own predictions at a table's checkpoints."""
    sizes = curves[curves["k"] == 1][["model", "n_params", "n_tokens"]]
    grid = sizes.merge(pd.DataFrame({"k": np.asarray(k, dtype=float)}), how="cross")
    return compute_law(grid, law.pass_at_k(grid["n_params"], grid["n_tokens"], grid["k"]))


def exponents(curves: pd.DataFrame) -> dict[str, float]:
    """Numbers of :func:`compute_law` under names such as ``exponent 128``, for a bootstrap."""
    found = compute_law(curves).to_dict("index")
    return {f"{name} {k:g}": value for k, row in found.items() for name, value in row.items()}


def choices_of_checkpoints() -> dict[str, pd.DataFrame]:
    """Pythia's GSM8K curves for several choices of checkpoints, at the k that each supports.

    Left out throughout: a checkpoint that was asked only 30 questions, and rows without a right
    sample.
    """
    curves = load_curves("pythia").query("task == 'gsm8k' and n_questions == 128 and pass_at_k > 0")
    reach = curves.groupby(["model", "n_tokens"])["k"].transform("max")
    chosen = {
        "all checkpoints": curves[curves["k"] <= 128],
        "at least 0.5 B tokens": curves[(curves["n_tokens"] > 5e8) & (curves["k"] <= 128)],
        "at least 6 B tokens": curves[(curves["n_tokens"] > 6e9) & (curves["k"] <= 128)],
        "k up to 10,000": curves[reach >= 10_000],
    }
    return {name: rows[rows["k"].isin(SHOWN_K)] for name, rows in chosen.items()}


def from_counts() -> Recorded:
    """What needs each question's counts of Pythia on GSM8K; computed, or as recorded.

    Returns
    -------
    Recorded
        ``values``: ``ceiling``, the compute law where pass@k is taken as 1 beyond the number of
        samples, as the released column has it; ``betas`` of single checkpoints; ``params`` and
        ``at_bounds`` of the Beta-consistent law fitted to all counts; ``without``, its parameters
        with one model left out.
    """
    name = "pythia_gsm8k"
    return recorded(f"published_exponents_{name}", _from_counts, inputs=[name])


def _from_counts() -> dict[str, Any]:
    questions = load_questions("pythia", "gsm8k")
    asked = questions.groupby("question")["n_samples"].transform("size")
    questions = questions[asked > asked.max() / 2]
    size = questions.groupby(["model", "n_tokens"])["n_samples"].transform("size")
    questions = questions[size == size.max()]
    with np.errstate(all="ignore"):  # the search passes through extreme shapes
        whole = _fit(questions)
        refit = functools.partial(_fit, start=whole.law)
        without = jackknife(refit, questions, by="model")
    without.index = without.index.get_level_values("model")
    return {
        "ceiling": _with_false_ceiling(questions).reset_index().to_dict("list"),
        "betas": _betas(questions).to_dict("list"),
        "params": whole.params,
        "at_bounds": list(whole.at_bounds),
        "without": without.to_dict("index"),
    }


def _fit(questions: pd.DataFrame, start: Any = None) -> Fit:
    names = ("n_params", "n_tokens", "n_samples", "n_correct")
    return fit_beta_consistent_counts(*(questions[name] for name in names), start=start)


def _with_false_ceiling(questions: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (model, N, D), one in questions.groupby(["model", "n_params", "n_tokens"]):
        n, c = one["n_samples"].to_numpy(), one["n_correct"].to_numpy()
        for k in (1, 10, 100, 1000, 10_000):
            Q = np.ones(len(n))
            Q[n >= k] = pass_at_k(n[n >= k], c[n >= k], k)
            rows.append((model, N, D, k, Q.mean(), np.mean(n < k)))
    names = ["model", "n_params", "n_tokens", "k", "pass_at_k", "beyond"]
    table = pd.DataFrame(rows, columns=names)
    usable = table[(table["pass_at_k"] > 0) & (table["pass_at_k"] < 1)]
    return compute_law(usable).assign(
        checkpoints=usable.groupby("k").size(), beyond=table.groupby("k")["beyond"].mean()
    )


def _betas(questions: pd.DataFrame) -> pd.DataFrame:
    """Beta of each checkpoint with a right sample, and whether the counts tell its shape."""
    rows = []
    for (model, N, D), one in questions.groupby(["model", "n_params", "n_tokens"]):
        if one["n_correct"].any():
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                a, b = fit_beta(n=one["n_samples"], c=one["n_correct"])
            rows.append((model, N, D, a, b, not warned))
    return pd.DataFrame(rows, columns=["model", "n_params", "n_tokens", "a", "b", "told"])
