"""Sensitivity: one call refits a law under every combination of choices, and shows the spread.

Another analyst would have taken other tasks, another range of k, another loss. What survives all
of that does not hang on a choice. :func:`influence` asks the same of single checkpoints or models.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from t2lib import _parallel as parallel
from t2lib.fitting.powers import fit_chinchilla
from t2lib.fitting.result import Fit
from t2lib.fitting.table import LAWS, law_row
from t2lib.laws import Chinchilla
from t2lib.planning.forward import frontier
from t2lib.uncertainty.resampling import jackknife

Keep = Callable[[pd.DataFrame], Any]

CHOICES = ("law", "tasks", "k", "max_ratio", "outliers", "n_params", "objective", "weights")
OBJECTIVES = ("sse", "huber_log")
WEIGHTS = ("rows", "models", "relative")
_METRICS = ("loss", "mean_nll", "pass_at_k", "neg_log_pass")
_NUMBERS = (
    "N",
    "D",
    "tokens_per_parameter",
    "over_chinchilla",
    "size_exponent",
    "alpha",
    "beta",
)


def specifications(
    table: pd.DataFrame,
    *,
    law: str | Sequence[str] = "Chinchilla",
    tasks: Mapping[str, Sequence[str]] | None = None,
    k: Mapping[str, Sequence[int]] | None = None,
    max_ratio: Sequence[float] = (np.inf,),
    outliers: Mapping[str, Keep | None] | None = None,
    n_params: str | Sequence[str] = "n_params",
    objective: str | Sequence[str] = "sse",
    weights: str | Sequence[str] = "rows",
    train_flops: float = 1e21,
    inference_flops: float | Sequence[float] | None = None,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Refit under every combination of choices; one row a specification and inference budget.

    Parameters
    ----------
    table : DataFrame
        A curve table (``t2.load_curves``), or a table of losses (``t2.load_points``) for the
        Chinchilla law. Without a column ``loss``, Chinchilla's law is fitted to ``mean_nll``.
    law : str or sequence of str
        "Chinchilla", "AdditiveLaw", "BetaRegressionLaw", "BetaConsistentLaw".
    tasks : mapping of str to sequence of str, optional
        Label, and tasks whose metrics are averaged before the fit.
    k : mapping of str to sequence of int, optional
        Label, and values of k that are fitted. Chinchilla's law does not use k.
    max_ratio : sequence of float
        Largest tokens per parameter of the rows that are fitted.
    outliers : mapping of str to callable or None, optional
        Label, and a function of the table that tells which rows to keep (None: all of them).
    n_params : str or sequence of str
        Columns that count the parameters.
    objective : str or sequence of str
        "sse" or "huber_log", of Chinchilla's law, which is also the first stage of the Beta laws.
        The additive law has squared errors only: it gets no specification for the other.
    weights : str or sequence of str
        "rows": each row counts alike. "models": each model does. "relative": squared errors are
        relative to the observed value. Of Chinchilla's law, the first stage, or the additive law.
    train_flops : float
        Training budget at which the frontier is read.
    inference_flops : float or sequence of float, optional
        Inference budgets in FLOPs per token, k = C_inf / 2N; one sample by default. Chinchilla's
        law has no use for them.
    n_jobs : int, optional
        Processes, as joblib counts them.

    Returns
    -------
    DataFrame
        The choices, a column each (``law, tasks, k, max_ratio, outliers, n_params, objective,
        weights``), ``inference_flops``, and the numbers: ``N, D, samples,
        tokens_per_parameter`` of the law's optimum; ``over_chinchilla``, that ratio over the one
        of Chinchilla's law of the same rows; ``size_exponent``, the slope of log N* in log C
        there; ``alpha, beta`` of the law; ``inside``, whether N, D and k lie in the fitted range;
        ``n_rows``, ``at_bounds`` (text) and ``failed`` (text, empty where all went well; the
        numbers are then NaN). ``attrs`` counts the specifications, the ``failed`` and those
        ``at_bounds``; a warning tells the failures.

    Raises
    ------
    ValueError
        Where a choice is unknown or empty, or a column is missing.
    RuntimeError
        Where every specification failed.

    References
    ----------
    Simonsohn, Simmons and Nelson (2020), "Specification curve analysis", Nature Human Behaviour 4.
    """
    cuts = _Cuts(table, tasks, k, outliers)
    options: dict[str, list[Any]] = {
        "law": _listed(law),
        "tasks": list(cuts.tasks),
        "k": list(cuts.k),
        "max_ratio": [float(value) for value in max_ratio],
        "outliers": list(cuts.outliers),
        "n_params": _listed(n_params),
        "objective": _listed(objective),
        "weights": _listed(weights),
    }
    _check(options, table)
    budgets: list[float | None] = [None]
    if inference_flops is not None:
        budgets = [float(budget) for budget in np.atleast_1d(inference_flops)]
    chosen = [
        specification
        for values in itertools.product(*options.values())
        if _makes_sense(specification := dict(zip(options, values, strict=True)), options)
    ]
    by_tasks = [[i for i, c in enumerate(chosen) if c["tasks"] == label] for label in cuts.tasks]
    calls = (
        partial(_some, [(chosen[i], cuts.take(chosen[i])) for i in alike], train_flops, budgets)
        for alike in by_tasks
    )
    results = list(itertools.chain(*parallel.run(calls, n_jobs=n_jobs)))
    order = np.argsort(np.concatenate(by_tasks), kind="stable")
    found = pd.DataFrame([row for i in order for row in results[i]])
    bad = found["failed"] != ""
    if bad.all():
        raise RuntimeError(f"all {len(chosen)} specifications failed: {found['failed'].iloc[0]}")
    found.attrs = {
        "specifications": len(chosen),
        "failed": int(found.loc[bad, list(CHOICES)].drop_duplicates().shape[0]),
        "at_bounds": int(
            found.loc[found["at_bounds"] != "", list(CHOICES)].drop_duplicates().shape[0]
        ),
    }
    if bad.any():
        text = f"{found.attrs['failed']} of {len(chosen)} specifications failed; the first: "
        warnings.warn(text + found.loc[bad, "failed"].iloc[0], RuntimeWarning, stacklevel=2)
    return found


def specification_spread(found: pd.DataFrame, column: str) -> pd.DataFrame:
    """Tell how far a number spreads over the specifications, and which choice moves it.

    Parameters
    ----------
    found : DataFrame
        From :func:`specifications`.
    column : str
        A positive number of it: spreads are of its logarithm, so ratios.

    Returns
    -------
    DataFrame
        One row a choice that has several levels, then one named ``all``: ``levels`` (for ``all``
        the specifications), ``lowest`` and ``highest`` median over the levels (for ``all`` the
        lowest and highest value), ``factor`` between them, and ``share`` of the variance of the
        logarithm that the levels' means explain by themselves.

    Raises
    ------
    ValueError
        Where the column is missing, or has fewer than two positive numbers.
    """
    if column not in found:
        raise ValueError(f"{column!r} is no column of the specifications")
    good = found[found[column] > 0]
    if len(good) < 2:
        raise ValueError(f"{column} has {len(good)} positive numbers: no spread")
    logs = np.log(good[column])
    rows = {}
    for choice in (*CHOICES, "inference_flops"):
        groups = logs.groupby(good[choice].astype(str))
        if groups.ngroups < 2:
            continue
        middles = np.exp(groups.median())
        share = np.var(groups.transform("mean")) / np.var(logs)
        rows[choice] = (groups.ngroups, middles.min(), middles.max(), share)
    rows["all"] = (len(good), good[column].min(), good[column].max(), 1.0)
    spread = pd.DataFrame.from_dict(
        rows, orient="index", columns=["levels", "lowest", "highest", "share"]
    )
    spread.insert(3, "factor", spread["highest"] / spread["lowest"])
    return spread


def influence(
    fit_function: Callable[[pd.DataFrame], Any],
    table: pd.DataFrame,
    *,
    by: str | Sequence[str] = "checkpoint",
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Change of every parameter when a model or a checkpoint is left out.

    Parameters
    ----------
    fit_function, table, by, n_jobs
        As in :func:`~t2lib.jackknife`.

    Returns
    -------
    DataFrame
        One row a group left out, most influential first. A column a parameter: the full fit less
        the fit without the group, in jackknife standard errors; and ``distance``, the like of
        Cook's: the squared length of that change by the jackknife's covariance, over the number
        of parameters. ``attrs["standard_errors"]`` holds the units, ``attrs["failed"]`` what
        :func:`~t2lib.jackknife` says.

    Raises
    ------
    ValueError, RuntimeError
        As :func:`~t2lib.jackknife`.

    References
    ----------
    Cook (1977), "Detection of Influential Observation in Linear Regression".
    """
    left_out = jackknife(fit_function, table, by=by, n_jobs=n_jobs)
    result = fit_function(table.assign(resample_copy=0))
    full = pd.Series(getattr(result, "params", result), dtype=float)
    names = [name for name in left_out.columns if left_out[name].std() > 0]
    if not names:
        raise ValueError("no parameter moves when a group is left out")
    change = full[names] - left_out[names]
    n = len(left_out)
    covariance = np.atleast_2d(np.cov(left_out[names].T)) * (n - 1) ** 2 / n
    errors = np.sqrt(np.diag(covariance))
    scaled = pd.DataFrame(change / errors)
    # By the correlations: parameters of very different size make a covariance that cannot be
    # inverted.
    inverse = np.linalg.pinv(covariance / np.outer(errors, errors), rcond=1e-10)
    rows = scaled.to_numpy()
    distance = np.einsum("ij,jk,ik->i", rows, inverse, rows) / len(names)
    found = scaled.assign(distance=distance).sort_values("distance", ascending=False)
    found.attrs = {
        "standard_errors": dict(zip(names, errors.tolist(), strict=True)),
        "failed": left_out.attrs["failed"],
    }
    return found


# ------------------------------------------------------------------------------- the choices


class _Cuts:
    """The rows that each combination of choices is fitted to."""

    def __init__(
        self,
        table: pd.DataFrame,
        tasks: Mapping[str, Sequence[str]] | None,
        k: Mapping[str, Sequence[int]] | None,
        outliers: Mapping[str, Keep | None] | None,
    ) -> None:
        if "task" in table and tasks is None:
            tasks = {"all": sorted(table["task"].unique())}
        if "k" in table and k is None:
            k = {"all": sorted(table["k"].unique())}
        # A table of losses has neither.
        self.tasks: dict[str, Sequence[str] | None] = {"-": None} if tasks is None else {**tasks}
        self.k: dict[str, Sequence[int] | None] = {"-": None} if k is None else {**k}
        self.outliers: dict[str, Keep | None] = dict(outliers or {"kept": None})
        self._of_task = {label: self._average(table, names) for label, names in self.tasks.items()}

    @staticmethod
    def _average(table: pd.DataFrame, names: Sequence[str] | None) -> pd.DataFrame:
        if names is None:
            return table
        missing = sorted(set(names) - set(table["task"]))
        if missing or not len(names):
            raise ValueError(f"tasks: no rows of {', '.join(missing) or 'an empty list'}")
        rows = table[table["task"].isin(list(names))]
        metrics = [name for name in _METRICS if name in rows]
        keys = [c for c in rows if c not in (*metrics, "task", "n_questions")]
        return rows.groupby(keys, as_index=False, sort=False)[metrics].mean()

    def take(self, choice: Mapping[str, Any]) -> pd.DataFrame:
        rows = self._of_task[choice["tasks"]]
        rows = rows.assign(n_params=rows[choice["n_params"]])
        keep = (rows["n_tokens"] <= choice["max_ratio"] * rows["n_params"]).to_numpy()
        if (rule := self.outliers[choice["outliers"]]) is not None:
            keep &= np.asarray(rule(rows), dtype=bool)
        values = self.k[choice["k"]]
        if choice["law"] == "Chinchilla" and "k" in rows:
            keep &= (rows["k"] == rows["k"].min()).to_numpy()
        elif values is not None:
            keep &= rows["k"].isin(list(values)).to_numpy()
        return rows[keep]


def _listed(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _check(options: dict[str, list[Any]], table: pd.DataFrame) -> None:
    laws = tuple(name for name, row in LAWS.items() if "likelihoods" in row.default_for)
    known = {"law": laws, "objective": OBJECTIVES, "weights": WEIGHTS}
    for choice, values in options.items():
        if not values:
            raise ValueError(f"{choice} has no level")
        for value in values:
            if value not in known.get(choice, (value,)):
                raise ValueError(
                    f"{choice} is {value!r}: must be one of {', '.join(known[choice])}"
                )
    needed = ["n_tokens", *options["n_params"]]
    if set(options["law"]) - {"Chinchilla"}:
        needed += ["k", "mean_nll"]
    for column in needed:
        if column not in table:
            raise ValueError(f"column {column} is missing: it is needed for {options['law']}")


def _makes_sense(choice: Mapping[str, Any], options: Mapping[str, list[Any]]) -> bool:
    """Leave out what would be the same fit twice, or a fit that the law does not have."""
    if choice["law"] == "Chinchilla":
        return bool(choice["k"] == options["k"][0])
    return not (choice["law"] == "AdditiveLaw" and choice["objective"] != "sse")


# ------------------------------------------------------------------------------- one of them


def _chinchilla(rows: pd.DataFrame, choice: Mapping[str, Any]) -> Fit:
    if "k" in rows:
        rows = rows[rows["k"] == rows["k"].min()]
    target = rows["loss"] if "loss" in rows else rows["mean_nll"]
    return fit_chinchilla(
        rows["n_params"],
        rows["n_tokens"],
        target,
        objective=choice["objective"],
        weights=_weights(rows, target, choice["weights"]),
    )


def _weights(rows: pd.DataFrame, target: pd.Series, how: str) -> npt.NDArray[np.float64] | None:
    if how == "rows":
        return None
    if how == "relative":
        return np.asarray(1 / target.to_numpy() ** 2)
    if rows["model"].isna().any():
        raise ValueError("weights by models: a row has no model")
    return np.asarray(1 / rows.groupby("model")["n_tokens"].transform("size"), dtype=float)


def _fit(rows: pd.DataFrame, choice: Mapping[str, Any], first: Fit, start: Any) -> Fit:
    """Fit the chosen law, on top of the Chinchilla fit where it has that law within."""
    row = law_row(choice["law"])
    if row.law is Chinchilla:
        return first
    if "chinchilla" in row.law.__dataclass_fields__:
        return row.fit(rows, start=start, chinchilla=first.law)
    return row.fit(rows, weights=_weights(rows, rows[row.columns[-1]], choice["weights"]))


def _some(
    alike: list[tuple[dict[str, Any], pd.DataFrame]], train: float, budgets: list[float | None]
) -> list[list[dict[str, Any]]]:
    """Specifications of one set of tasks: numbers of each, a dict for each inference budget.

    They share work: Chinchilla's law is the first stage of several, and a Beta law's first fit is
    the start of its others.
    """
    firsts: dict[tuple[Any, ...], Fit] = {}
    starts: dict[str, Any] = {}
    found = []
    for choice, rows in alike:
        here: list[float | None] = [None] if choice["law"] == "Chinchilla" else budgets
        base = choice | {"n_rows": len(rows), "at_bounds": "", "failed": ""}
        key = tuple(value for name, value in choice.items() if name not in ("law", "k"))
        try:
            if key not in firsts:
                with np.errstate(over="ignore", invalid="ignore"):  # wild trial steps of a search
                    firsts[key] = _chinchilla(rows, choice)
            first = firsts[key]
            fit = _fit(rows, choice, first, starts.get(choice["law"]))
            starts.setdefault(choice["law"], fit.law)
            base["at_bounds"] = "; ".join(dict.fromkeys([*first.at_bounds, *fit.at_bounds]))
            found.append(_read_frontier(base, rows, first, fit, train, here))
        except Exception as error:  # whatever a fit may raise: it is counted and reported
            found.append([_failed(base, budget, error) for budget in here])
    return found


def _failed(base: dict[str, Any], budget: float | None, error: Exception) -> dict[str, Any]:
    numbers: dict[str, Any] = dict.fromkeys((*_NUMBERS, "samples"), np.nan)
    failure = {"failed": f"{type(error).__name__}: {error}", "inside": False}
    return base | numbers | failure | {"inference_flops": _no_budget(budget)}


def _read_frontier(
    base: dict[str, Any],
    rows: pd.DataFrame,
    first: Fit,
    fit: Fit,
    train: float,
    budgets: list[float | None],
) -> list[dict[str, Any]]:
    inference = None if budgets[0] is None else np.array(budgets, dtype=float)[:, None]
    plans = frontier(fit.law, train_flops=[[train, 2 * train]], inference_flops=inference)
    try:
        usual = float(first.law.tokens_per_parameter(train))
    except ValueError:  # a term has vanished: nothing to compare with
        usual = np.nan
    law = getattr(fit.law, "chinchilla", fit.law)
    found = []
    for i, budget in enumerate(budgets):
        plan, doubled = plans.iloc[2 * i], plans.iloc[2 * i + 1]
        ranges = [(plan["N"], rows["n_params"]), (plan["D"], rows["n_tokens"])]
        if base["law"] != "Chinchilla":
            ranges.append((plan["k"], rows["k"]))
        found.append(
            base
            | {
                "inference_flops": _no_budget(budget),
                "N": plan["N"],
                "D": plan["D"],
                "samples": plan["k"],
                "tokens_per_parameter": plan["tokens_per_parameter"],
                "over_chinchilla": plan["tokens_per_parameter"] / usual,
                "size_exponent": float(np.log2(doubled["N"] / plan["N"])),
                "alpha": getattr(law, "alpha", np.nan),
                "beta": getattr(law, "beta", np.nan),
                "at_bounds": "; ".join(filter(None, [base["at_bounds"], plan["at_bounds"]])),
                "inside": all(x.min() * 0.999 <= v <= x.max() * 1.001 for v, x in ranges),
            }
        )
    return found


def _no_budget(budget: float | None) -> float:
    return np.nan if budget is None else float(budget)
