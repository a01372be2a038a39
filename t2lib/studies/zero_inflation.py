"""Are some questions never solved? Pythia's counts, one checkpoint at a time and over N and D.

For a checkpoint the plain Beta is the mixture with a share z = 0 of questions that are never
solved. z = 0 is the end of its range, so twice the gain in log-likelihood is 0 in half of the cases
and chi-squared with one degree of freedom in the other half (Self and Liang 1987). The p-values are
held against Holm's bounds over all checkpoints of both tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

from t2lib.data.curves import load_curves
from t2lib.data.registry import data_folder, read_json
from t2lib.data.suites import load_questions
from t2lib.fitting.inflated import Mixture, fit_mixture
from t2lib.fitting.table import fit, law_of
from t2lib.laws import Law, fitted_on
from t2lib.planning.forward import allocate
from t2lib.planning.support import Support

TASKS = ("gsm8k", "math")
FEWEST_ANSWERED = 5  # questions; fewer say nothing of how p spreads
SIMULATED = 200
LEVEL = 0.05


# --------------------------------------------------------------------------------- one checkpoint


def boundary_p(ratio: Any) -> Any:
    """P-value of a likelihood ratio whose null lies at the end of one parameter's range."""
    return np.where(np.asarray(ratio) > 1e-6, 0.5 * stats.chi2.sf(ratio, 1), 1.0)


def holm(p: pd.Series) -> pd.Series:
    """P-values adjusted for their number, by Holm's steps."""
    order = p.sort_values()
    steps = (order * np.arange(len(order), 0, -1)).cummax().clip(upper=1.0)
    return steps.reindex(p.index)


def checkpoint_test(n: Any, c: Any) -> dict[str, float]:
    """Fit a checkpoint's counts by Beta, with a share never solved, and with one always solved.

    Parameters
    ----------
    n, c : array_like, shape (questions,)
        Samples and right samples.

    Returns
    -------
    dict
        ``a, b`` of the plain Beta; ``never, never_a, never_b`` of the other; ``ratio``, twice the
        gain in log-likelihood, and ``always_ratio`` of a share always solved; ``low`` and
        ``high``, ends of the 90 % profile interval of the share never solved.
    """
    plain, inflated = fit_mixture(n, c), fit_mixture(n, c, never=True)
    always = fit_mixture(n, c, always=True)
    top = max(plain.log_likelihood, inflated.log_likelihood)
    low, high = _profile(n, c, inflated.never, top)
    return {
        "a": plain.a,
        "b": plain.b,
        "never": inflated.never,
        "never_a": inflated.a,
        "never_b": inflated.b,
        "ratio": 2 * (top - plain.log_likelihood),
        "always_ratio": 2 * max(always.log_likelihood - plain.log_likelihood, 0.0),
        "low": low,
        "high": high,
    }


def _profile(n: Any, c: Any, best: float, top: float) -> tuple[float, float]:
    """Shares at which the log-likelihood is 2.71 / 2 below its top: each end misses one in 20."""
    drop = stats.chi2.isf(0.10, 1) / 2

    def above(z: float) -> float:
        return fit_mixture(n, c, never=float(z)).log_likelihood - top + drop

    most = float((np.asarray(c) == 0).mean())
    high = optimize.brentq(above, best, most, xtol=1e-3) if above(most) < 0 else most
    low = optimize.brentq(above, 0.0, best, xtol=1e-3) if above(0.0) < 0 else 0.0
    return float(low), float(high)


def simulated_p(n: Any, plain: Mixture, ratio: float, *, draws: int, seed: int) -> float:
    """Share of counts simulated from the plain Beta whose likelihood ratio is as large.

    Parametric bootstrap: the same questions with the same samples, both laws fitted anew.
    """
    rng, n = np.random.default_rng(seed), np.asarray(n, dtype=np.int64)
    larger, done = 0, 0
    while done < draws:
        c = rng.binomial(n, rng.beta(plain.a, plain.b, size=n.shape))
        if (c > 0).sum() < FEWEST_ANSWERED:
            continue
        gain = fit_mixture(n, c, never=True).log_likelihood - fit_mixture(n, c).log_likelihood
        larger, done = larger + (2 * gain >= ratio), done + 1
    return larger / draws


def _checkpoints(task: str) -> list[dict[str, Any]]:
    rows = []
    for _, one in load_questions("pythia", task).groupby(["model", "n_params", "n_tokens"]):
        n, c = one["n_samples"].to_numpy(), one["n_correct"].to_numpy()
        answered = int((c > 0).sum())
        if answered < FEWEST_ANSWERED:
            continue
        row: dict[str, Any] = {"task": task, "model": one["model"].iloc[0]}
        row |= {name: int(one[name].iloc[0]) for name in ("n_params", "n_tokens")}
        row |= {"questions": len(n), "answered": answered, "fewest_samples": int(n.min())}
        row |= {"most_right": float((c / n).max()), **checkpoint_test(n, c)}
        if boundary_p(row["ratio"]) < LEVEL:
            plain = Mixture(row["a"], row["b"])
            row["simulated_p"] = simulated_p(n, plain, row["ratio"], draws=SIMULATED, seed=0)
        rows.append(row)
    return rows


def checkpoints() -> list[dict[str, Any]]:
    """Test every checkpoint of both tasks; it reads the released counts."""
    return [row for task in TASKS for row in _checkpoints(task)]


def table() -> pd.DataFrame:
    """The checkpoints as recorded, with ``p``, and ``p_all``, by Holm over all of them.

    ``benchmarks/claims.py`` recorded :func:`checkpoints`.
    """
    record = read_json(data_folder() / "recorded/zero_inflation.json")
    rows = pd.DataFrame(record["values"]["checkpoints"])
    rows["p"] = boundary_p(rows["ratio"])
    rows["p_all"] = holm(rows["p"])
    return rows


# ------------------------------------------------------------------------------------ over N and D


def fits(task: str) -> dict[str, Any]:
    """Fit the laws to a task's released counts.

    Returns
    -------
    dict
        ``params`` and ``objective`` of the laws "plain", without a share, "tied", whose share
        follows the loss, and "common", with one share; ``without one model``, parameters of
        "tied" with each left out.
    """
    table = load_questions("pythia", task)
    plain, tied = fit("BetaConsistentLaw", table), fit("ZeroInflatedLaw", table)
    common = fit("ZeroInflatedLaw", table, common=True)
    every = {"plain": plain, "tied": tied, "common": common}
    left_out = {
        model: fit("ZeroInflatedLaw", table[table["model"] != model], start=tied.law).params
        for model in sorted(table["model"].unique())
    }
    return {
        "params": {name: one.params for name, one in every.items()},
        "objective": {name: one.objective for name, one in every.items()},
        "without one model": left_out,
    }


def fitted() -> dict[str, Any]:
    """:func:`fits` of each task, as ``benchmarks/claims.py`` recorded them."""
    return dict(read_json(data_folder() / "recorded/zero_inflation.json")["values"]["laws"])


def laws(values: Any, task: str) -> dict[str, Law]:
    """Laws of :func:`fitted` by name, with the support of the embedded curves."""
    support = Support.of(load_curves("pythia").query("task == @task"))
    kinds = {"plain": "BetaConsistentLaw", "tied": "ZeroInflatedLaw", "common": "ZeroInflatedLaw"}
    params = values[task]["params"]
    return {name: fitted_on(law_of(kind, params[name]), support) for name, kind in kinds.items()}


def shares(values: Any, task: str, N: float, D: float) -> pd.Series:
    """Share never solved at a place by the tied law, and with each model left out of its fit."""
    every = {"none": values[task]["params"]["tied"], **values[task]["without one model"]}
    return pd.Series(
        {
            name: float(law_of("ZeroInflatedLaw", params).never_solved(N, D))
            for name, params in every.items()
        }
    )


def plans(laws: Mapping[str, Law], totals: Sequence[float], **request: Any) -> pd.DataFrame:
    """Best plan of each law for each total of FLOPs.

    Parameters
    ----------
    laws : mapping of str to Law
    totals : sequence of float
        FLOPs for training and all answers.
    **request
        As :func:`~t2lib.allocate` takes it.

    Returns
    -------
    DataFrame, indexed by total and law
        ``N, ratio`` (tokens per parameter), ``k, pass_at_k``.
    """
    found = {}
    for total, (name, law) in product(totals, laws.items()):
        plan = allocate(law, total_flops=total, **request)
        found[total, name] = [plan.N, plan.tokens_per_parameter, plan.k, plan.metric]
    table = pd.DataFrame(found, index=["N", "ratio", "k", "pass_at_k"]).T
    return table.rename_axis(["total", "law"])
