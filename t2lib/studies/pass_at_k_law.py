"""Where the pass@k law is right and where it errs: stages, ceiling, spread, and real samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special, stats

from t2lib._checks import FloatArray
from t2lib.data.curves import load_published
from t2lib.data.registry import Recorded, recorded
from t2lib.data.suites import load_questions
from t2lib.fitting.batches import ChinchillaRefit, Refit
from t2lib.fitting.beta import (
    _pass_and_slopes,
    fit_beta_consistent_counts,
    fit_beta_regression_counts,
)
from t2lib.fitting.descent import descend
from t2lib.fitting.powers import Fit, fit_chinchilla
from t2lib.fitting.table import parameter_names
from t2lib.laws import BetaRegressionLaw, Chinchilla
from t2lib.passk import beta_pass_at_k

_KEYS = ["suite", "model", "n_params", "n_tokens", "mean_nll"]
_THETA = ("theta0", "theta1", "theta2", "theta3", "theta4")
_GRID = 40  # losses at which the second stage computes the curve, with straight lines between


def one_row_a_checkpoint(curves: pd.DataFrame, metric: str = "pass_at_k") -> pd.DataFrame:
    """Pivot one task's curves: checkpoints with their mean NLL, and a column of the metric a k."""
    return curves.pivot(index=_KEYS, columns="k", values=metric).reset_index()


def tasks_that_follow_training(curves: pd.DataFrame, below: float = -0.5) -> list[str]:
    """Tasks whose mean NLL falls with training compute.

    Parameters
    ----------
    curves : DataFrame
        A curve table with ``mean_nll``.
    below : float
        Spearman correlation of N D and the mean NLL over checkpoints that a task must be below.

    Returns
    -------
    list of str
    """
    one = curves[curves["k"] == curves["k"].min()]
    return [
        str(task)
        for task, rows in one.groupby("task")
        if stats.spearmanr(rows["n_params"] * rows["n_tokens"], rows["mean_nll"])[0] < below
    ]


def _at_losses(law: BetaRegressionLaw, losses: npt.ArrayLike, k: FloatArray) -> FloatArray:
    """Pass@k at each loss (rows) and k (columns)."""
    a, b = law.shape_at_loss(losses)
    return beta_pass_at_k(a[:, None], b[:, None], k)


def errors_by_stage(curves: pd.DataFrame, fits: Mapping[str, Fit]) -> pd.DataFrame:
    """Relative error of each checkpoint's pass@k, with the loss fitted and with the loss seen.

    The law can err at two places: the loss may not follow N and D, or pass@k may not follow the
    loss. Fed with the loss that was seen, only the second is left.

    Parameters
    ----------
    curves : DataFrame
        A curve table.
    fits : mapping of str to Fit
        Task to a fit of :class:`~t2lib.BetaRegressionLaw`.

    Returns
    -------
    DataFrame
        ``task, model, n_params, n_tokens``; ``error`` and ``error_given_loss``, each the mean over
        k of ``|predicted / seen - 1|``.
    """
    found = []
    for task, fit in fits.items():
        rows = one_row_a_checkpoint(curves[curves["task"] == task])
        K = np.array([c for c in rows if c not in _KEYS], dtype=float)
        seen, law = rows[K.astype(int)].to_numpy(), fit.law
        losses = {
            "error": law.chinchilla.loss(rows["n_params"], rows["n_tokens"]),
            "error_given_loss": rows["mean_nll"],
        }
        errors = {
            name: np.abs(_at_losses(law, loss, K) / seen - 1).mean(axis=1)
            for name, loss in losses.items()
        }
        found.append(rows[["model", "n_params", "n_tokens"]].assign(task=task, **errors))
    return pd.concat(found, ignore_index=True)


def share_left(errors: pd.DataFrame, tasks: list[str]) -> float:
    """Median over tasks of the share of :func:`errors_by_stage` that is left given the loss."""
    means = errors.groupby("task")[["error", "error_given_loss"]].mean().loc[tasks]
    return float((means["error_given_loss"] / means["error"]).median())


def naive_excess(curves: pd.DataFrame, fits: Mapping[str, Fit], k: int) -> pd.DataFrame:
    """How much too high pass@k would be if every question had the fitted mean chance.

    Parameters
    ----------
    curves, fits
        As in :func:`errors_by_stage`.
    k : int
        Samples per question.

    Returns
    -------
    DataFrame
        ``task, model, n_tokens`` and ``ratio``, the naive ``1 - (1 - mu)^k`` over pass@k as seen.
    """
    found = []
    for task, fit in fits.items():
        rows = curves[(curves["task"] == task) & (curves["k"] == k)]
        naive = fit.law.naive_pass_at_k(rows["n_params"], rows["n_tokens"], k)
        found.append(rows[["model", "n_tokens"]].assign(task=task, ratio=naive / rows["pass_at_k"]))
    return pd.concat(found, ignore_index=True)


# --------------------------------------------------------------------------- the concentration


def concentrations(curves: pd.DataFrame, fits: Mapping[str, Fit], k: int) -> pd.DataFrame:
    """The Beta's concentration nu of each checkpoint, told by two pairs of pass@k without a fit.

    From pass@1 and pass@2 follow the first two moments of p, so
    ``nu = (E p - E p^2) / (E p^2 - (E p)^2)``. From pass@1 and pass@k follows the nu of the Beta
    that has both. Were p Beta distributed, the two would be equal.

    Parameters
    ----------
    curves, fits
        As in :func:`errors_by_stage`.
    k : int
        Samples per question of the second pair.

    Returns
    -------
    DataFrame
        ``task, model, n_tokens, mean_nll``, ``from_2``, ``from_k`` and ``fitted`` at that loss.
    """
    found = []
    for task, fit in fits.items():
        rows = one_row_a_checkpoint(curves[curves["task"] == task])
        mean, square = rows[1], 2 * rows[1] - rows[2]
        found.append(
            rows[["model", "n_tokens", "mean_nll"]].assign(
                task=task,
                from_2=(mean - square) / (square - mean**2),
                from_k=_concentration(mean.to_numpy(), rows[k].to_numpy(), k),
                fitted=np.sum(fit.law.shape_at_loss(rows["mean_nll"]), axis=0),
            )
        )
    return pd.concat(found, ignore_index=True)


def _concentration(mean: FloatArray, target: FloatArray, k: int) -> FloatArray:
    """Nu of the Betas with these pass@1 and pass@k, by bisection of log nu."""
    low, high = np.full(len(mean), -8.0), np.full(len(mean), 14.0)
    for _ in range(50):
        middle = (low + high) / 2
        nu = np.exp(middle)
        enough = beta_pass_at_k(mean * nu, (1 - mean) * nu, k) > target
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.exp((low + high) / 2)


# --------------------------------------------------------------------------- the ceiling


def refit_with_ceiling(
    rows: pd.DataFrame,
    law: BetaRegressionLaw,
    ceiling: float | None = None,
) -> tuple[BetaRegressionLaw, float]:
    """Fit both stages again with the ceiling theta2 held, starting from a fitted law.

    A checkpoint enters the second stage through its loss only, so the curve is computed at 40
    losses with straight lines between. That makes predictions linear in the curve's values, and a
    QR decomposition shrinks the rows to 40 a k without changing the least squares.

    Parameters
    ----------
    rows : DataFrame
        From :func:`one_row_a_checkpoint`; the bootstrap's resamples too.
    law : BetaRegressionLaw
        Where the search starts.
    ceiling : float, optional
        Value of theta2; the law's own by default.

    Returns
    -------
    law : BetaRegressionLaw
    objective : float
        Sum of squared errors of pass@k.
    """
    N, D, K, seen = _measured(rows)
    first = fit_chinchilla(N, D, rows["mean_nll"]).law
    once = np.ones(len(rows))
    theta, objective = _second_stage(first.loss(N, D), seen, once, law.theta, ceiling, K)
    return BetaRegressionLaw(first, theta), objective


def _measured(rows: pd.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """N, D, k, and pass@k by row and k, of :func:`one_row_a_checkpoint`."""
    names = [c for c in rows if isinstance(c, int | np.integer)]
    N, D = (rows[x].to_numpy(float) for x in ("n_params", "n_tokens"))
    return N, D, np.array(names, dtype=float), rows[names].to_numpy()


@dataclass(frozen=True)
class CeilingRefit:
    """:func:`refit_with_ceiling` as a fit function for :func:`~t2lib.bootstrap`.

    It returns the law's parameters, and ``pass@1`` of a model of N and D. The first stages of its
    resamples are fitted side by side.
    """

    law: BetaRegressionLaw
    N: float = 1e9
    D: float = 1e11

    def __call__(self, rows: pd.DataFrame) -> dict[str, float]:
        """Refit one table."""
        return self._told(refit_with_ceiling(rows, self.law)[0])

    def batch(self, table: pd.DataFrame, counts: FloatArray) -> list[Refit]:
        """Refit every resample of a table, as :meth:`~t2lib.ChinchillaRefit.batch` does."""
        N, D, K, seen = _measured(table)
        found: list[Refit] = []
        firsts = ChinchillaRefit(loss="mean_nll").batch(table, counts)
        for first, times in zip(firsts, counts, strict=True):
            if isinstance(first, ValueError):
                found.append(first)
            else:
                law, drawn = Chinchilla(**first[0]), times > 0
                data = law.loss(N, D)[drawn], seen[drawn], np.sqrt(times[drawn])
                theta, _ = _second_stage(*data, self.law.theta, None, K)
                found.append((self._told(BetaRegressionLaw(law, theta)), ()))
        return found

    def _told(self, law: BetaRegressionLaw) -> dict[str, float]:
        first = {name: getattr(law.chinchilla, name) for name in parameter_names(law.chinchilla)}
        predicted = float(law.pass_at_k(self.N, self.D, 1))
        return first | dict(zip(_THETA, law.theta, strict=True)) | {"pass@1": predicted}


def _second_stage(
    losses: FloatArray,
    seen: FloatArray,
    root: FloatArray,
    start: tuple[float, ...],
    ceiling: float | None,
    K: FloatArray,
) -> tuple[tuple[float, float, float, float, float], float]:
    """Theta with the ceiling held, and the sum of squares; ``root`` multiplies each residual."""
    held = start[2] if ceiling is None else ceiling
    # Keep the sigmoid's tail where it is: that start is already close.
    middle_start = start[0] + np.log(start[2] / held) / start[1]
    center = np.average(losses, weights=root**2)
    grid = np.linspace(losses.min(), losses.max(), _GRID)
    interpolate = np.maximum(1 - np.abs(losses[:, None] - grid) / (grid[1] - grid[0]), 0.0)
    Q, R = np.linalg.qr(root[:, None] * interpolate)
    seen = root[:, None] * seen
    target = Q.T @ seen

    away = grid - center

    def residuals(v: FloatArray) -> tuple[FloatArray, FloatArray]:
        share = special.expit(v[0] - v[1] * away)
        mean, nu = held * share, np.exp(v[2] + v[3] * away)
        one = np.ones_like(away)
        mean_wrt = mean * (1 - share) * np.stack([one, -away, 0 * one, 0 * one])
        nu_wrt = nu * np.stack([0 * one, 0 * one, one, away])
        a_wrt = mean * nu_wrt + nu * mean_wrt
        a, b = (mean * nu)[:, None], ((1 - mean) * nu)[:, None]
        value, by_a, by_b = _pass_and_slopes(a, b, K)
        slopes = by_a * a_wrt[:, :, None] + by_b * (nu_wrt - a_wrt)[:, :, None]
        return (R @ value - target).ravel(), (R @ slopes).reshape(4, -1)

    first = np.array(
        [
            start[1] * (middle_start - center),
            start[1],
            start[3] + start[4] * center,
            start[4],
        ]
    )
    found = descend(residuals, first, np.full(4, -np.inf), np.full(4, np.inf), near=1e-7)
    odds, steepness, log_nu, slope = found.parameters.tolist()
    theta = (
        float(center + odds / steepness),
        steepness,
        float(held),
        float(log_nu - slope * center),
        slope,
    )
    out_of_reach = np.sum(seen**2) - np.sum(target**2)
    return theta, found.objective + float(out_of_reach)


def ceiling_profile(
    rows: pd.DataFrame, law: BetaRegressionLaw, ceilings: npt.ArrayLike
) -> pd.DataFrame:
    """What the fit costs when the ceiling theta2 is held at a value.

    Parameters
    ----------
    rows : DataFrame
        From :func:`one_row_a_checkpoint`.
    law : BetaRegressionLaw
        The full fit.
    ceilings : array_like, shape (n,)
        In the order in which each fit starts from the one before.

    Returns
    -------
    DataFrame
        By ceiling: ``theta0`` to ``theta4``, ``rms_percent`` above the best of them, and
        ``pass_at_zero_loss``, the pass@1 that the law promises there.
    """
    found: list[dict[str, Any]] = []
    for ceiling in np.atleast_1d(np.asarray(ceilings, dtype=float)).tolist():
        law, objective = refit_with_ceiling(rows, law, ceiling)
        theta = law.theta
        promised = ceiling * special.expit(theta[1] * theta[0])
        found.append(
            dict(zip(_THETA, theta, strict=True))
            | {"sse": objective, "pass_at_zero_loss": promised}
        )
    table = pd.DataFrame(found, index=pd.Index(np.atleast_1d(ceilings), name="ceiling"))
    table["rms_percent"] = 100 * (np.sqrt(table["sse"] / table["sse"].min()) - 1)
    return table


# --------------------------------------------------------------------------- real samples


def pythia_counts(task: str) -> Recorded:
    """Beta regression fitted to Pythia's counts of right samples, with two laws of the loss.

    Pythia's samples come without a loss. It is taken from the Beta-consistent law fitted to the
    same counts ("own loss"), or from Besiroglu et al.'s law of validation loss ("published loss").

    Parameters
    ----------
    task : {"gsm8k", "math"}

    Returns
    -------
    Recorded
        ``values``: ``rows``, ``rows with c = 0``, ``checkpoints``, ``checkpoints without a right
        sample``, ``loss at bounds``, and ``fits`` (``params``, ``objective``, ``at_bounds``) by
        loss. Computed where the released file is at hand, else as recorded.
    """
    name = f"pythia_{task}"
    return recorded(f"pass_at_k_law_{name}", lambda: _fit_counts(task), inputs=[name])


def _fit_counts(task: str) -> dict[str, Any]:
    rows = load_questions("pythia", task)
    counts = [rows[name] for name in ("n_params", "n_tokens", "n_samples", "n_correct")]
    right = rows.groupby(["model", "n_tokens"])["n_correct"].sum()
    with np.errstate(all="ignore"):  # the search passes through extreme shapes
        own = fit_beta_consistent_counts(*counts)
    given = {"own loss": own.law.chinchilla, "published loss": _published_law()}
    fits = {}
    for label, law in given.items():
        fit = fit_beta_regression_counts(*counts, chinchilla=law)
        fits[label] = {
            "params": fit.params,
            "objective": fit.objective,
            "at_bounds": list(fit.at_bounds),
        }
    return {
        "rows": len(rows),
        "rows with c = 0": int((rows["n_correct"] == 0).sum()),
        "checkpoints": len(right),
        "checkpoints without a right sample": int((right == 0).sum()),
        "loss at bounds": list(own.at_bounds),
        "fits": fits,
    }


def _published_law() -> Chinchilla:
    """Besiroglu et al.'s refit of Hoffmann et al.'s runs."""
    published = load_published("chinchilla_fits").query("fit == 'besiroglu2024'")
    values = published.set_index("quantity")["value"]
    return Chinchilla(**{x: float(values[x]) for x in ("E", "A", "B", "alpha", "beta")})


def decades_off(curves: pd.DataFrame, laws: Mapping[str, Any], k: npt.ArrayLike) -> pd.DataFrame:
    """log10 of predicted over seen pass@k of each checkpoint.

    Parameters
    ----------
    curves : DataFrame
        A curve table.
    laws : mapping of str to law
        Task to a law with ``pass_at_k``.
    k : array_like
        Samples per question to compare at.

    Returns
    -------
    DataFrame
        The rows with ``predicted`` and ``decades``; -inf is never formed: rows without a right
        sample have NaN there.
    """
    rows = curves[curves["k"].isin(np.atleast_1d(k))].copy()
    rows["predicted"] = np.nan
    for task, law in laws.items():
        here = rows["task"] == task
        sizes = (rows.loc[here, name] for name in ("n_params", "n_tokens", "k"))
        rows.loc[here, "predicted"] = law.pass_at_k(*sizes)
    seen = rows["pass_at_k"].where(rows["pass_at_k"] > 0)
    return rows.assign(decades=np.log10(rows["predicted"] / seen))
