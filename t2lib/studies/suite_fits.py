"""Every law fitted to every task of a curve table, judged, and kept as one JSON file.

:func:`fit_suite` makes a :class:`SuiteFit`: what ``t2 fit`` writes, the report draws and
``t2 plan`` answers from.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from t2lib._belonging import first_not_mean_nll
from t2lib._checks import DataError, clip, json_plain, require_one_of
from t2lib.data.registry import read_json
from t2lib.data.schemas import validate
from t2lib.fitting.result import Fit
from t2lib.fitting.table import LAWS, fit, law_of, law_row
from t2lib.laws import Chinchilla, fitted_on
from t2lib.planning.forward import Allocation, allocate
from t2lib.planning.objective import Objective, metric_of
from t2lib.planning.regions import allocation_region
from t2lib.planning.request import Request
from t2lib.planning.support import Support
from t2lib.studies import suite_file
from t2lib.studies.suite_file import LARGEST_NUMBER
from t2lib.uncertainty.resampling import bootstrap, percentile_interval

FORMAT = 2  # of the JSON file; a reader refuses another one
LARGEST_K = 256  # rows with more samples than this are not fitted: the laws bend there
METRICS = ("pass_at_k", "neg_log_pass", "mean_nll")
# The bootstrap of the Beta laws sees at most this many of a model: neighbouring checkpoints say
# nearly the same, and models are what is drawn.
CHECKPOINTS_A_MODEL = 6
PLANNED_DRAWS = 20  # resamples whose plan is sought; a search costs as much as a fit
_HELD_OUT = 0.25  # share of the checkpoints that the out-of-sample check holds out
_LOWERED = 20  # times that the most samples are lowered for a plan inside
_FEWEST = 10  # checkpoints on the fitted side of that check

OnStep = Callable[[str, int, int], None]


# ----------------------------------------------------------------------------- a fitted suite


@dataclass(frozen=True)
class SuiteFit:
    """Fits of a suite, as numbers that JSON can hold.

    Attributes
    ----------
    numbers : dict
        ``settings``; ``tasks``, each with ``range`` (of what was fitted), ``seen`` (the fitted
        checkpoints), ``warnings``, ``no_plan`` (why there is none; or empty), ``held_out``,
        ``laws`` (``params``, ``intervals``, ``at_bounds``, ``errors``, ``draws``, ``failed``,
        ``plan``); ``not_fitted`` (task: reason); ``source``.
    """

    numbers: dict[str, Any]

    @property
    def tasks(self) -> list[str]:
        """Names of the fitted tasks."""
        return list(self.numbers["tasks"])

    def task(self, name: str) -> dict[str, Any]:
        """Return the numbers of a task; DataError where it was not fitted."""
        require_one_of(name, self.tasks, "fitted task")
        return self.numbers["tasks"][name]

    def law_names(self, task: str) -> list[str]:
        """Names of the laws that could be fitted to a task."""
        return [name for name, law in self.task(task)["laws"].items() if "params" in law]

    def law(self, task: str, name: str) -> Any:
        """Return a fitted law with its support; DataError where it was not fitted."""
        require_one_of(name, self.law_names(task), f"law fitted to {task}")
        law = law_of(name, self.task(task)["laws"][name]["params"])
        return fitted_on(law, Support.of(_rows_of(self.task(task)["seen"]), metric_of(law)))

    def best_law(self, task: str) -> str:
        """Name of the law that best predicts what it has not seen; Chinchilla knows no samples.

        Judged by the root mean square of the errors of -log pass@k, or of pass@k for samples, on
        the checkpoints held out; in sample where that check was skipped.
        """
        numbers = self.task(task)
        metric = "neg_log_pass" if numbers["kind"] == "likelihoods" else "pass_at_k"

        def error(name: str) -> tuple[float, float]:
            found = numbers["laws"][name]["errors"]
            out, within = (found.get(x, {}).get(metric) for x in ("out", "in"))
            return math.inf if out is None else out, math.inf if within is None else within

        names = [name for name in self.law_names(task) if name != "Chinchilla"]
        return min(names or ["Chinchilla"], key=error)

    def law_draws(self, task: str, name: str) -> list[Any]:
        """Laws of the bootstrap's resamples; empty without a bootstrap."""
        draws = self.task(task)["laws"][name].get("draws") or {}
        rows = zip(*draws.values(), strict=True)
        return [law_of(name, dict(zip(draws, row, strict=True))) for row in rows]

    def text(self) -> str:
        """Return the JSON text; the same fits always gives the same text."""
        text = json.dumps(self.numbers, indent=1, ensure_ascii=False, allow_nan=False)
        return json_plain(text) + "\n"

    @classmethod
    def read(cls, path: str | Path) -> SuiteFit:
        """Read what :meth:`text` gave.

        Raises
        ------
        DataError
            Where the file is missing, no JSON, or not a fitted suite in this format.
        """
        path = Path(path)
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        numbers = read_json(path)
        suite_file.check(numbers, str(path), FORMAT)
        suite = cls(numbers)
        try:
            for task in suite.tasks:
                rows = _rows_of(suite.task(task)["seen"])
                for name in suite.law_names(task):
                    within = suite.task(task)["laws"][name].get("errors", {}).get("in", {})
                    if None not in within.values():  # else it is known to leave the floats
                        _require_finite(suite.law(task, name), rows)
                    suite.law_draws(task, name)
                suite.best_law(task)
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
            raise DataError(f"{path}: not numbers of t2 fit: {clip(str(error), 200)}") from None
        return suite


def _require_finite(law: Any, rows: pd.DataFrame) -> None:
    """Refuse a law that has no values where it is said to have been fitted."""
    with np.errstate(all="ignore"):
        values = [predict(law, metric, rows) for metric in METRICS]
    if not all(np.isfinite(one).all() for one in values if one is not None):
        raise ValueError(f"{type(law).__name__} has no finite value where it was fitted")


# ------------------------------------------------------------------------------------- fitting


def fit_suite(
    curves: pd.DataFrame,
    *,
    counts: pd.DataFrame | None = None,
    tasks: Sequence[str] | None = None,
    n_bootstrap: int = 40,
    seed: int = 0,
    cut_off: float | None = None,
    train_flops: float | None = None,
    inference_flops: float | None = None,
    n_jobs: int | None = None,
    on_step: OnStep | None = None,
) -> SuiteFit:
    """Fit every law to every task, with intervals, an out-of-sample check and a plan.

    Parameters
    ----------
    curves : DataFrame
        A curve table. Rows with k above 256 are not fitted. Tasks with a mean NLL get Chinchilla,
        the additive law, Beta regression and the Beta-consistent law; tasks with samples only get
        the interaction law, and the two Beta laws where there are ``counts``.
    counts : DataFrame, optional
        A question table with n_samples and n_correct, for tasks that have samples.
    tasks : sequence of str, optional
        Tasks to fit; all by default.
    n_bootstrap : int
        Resamples of models; 0 for none. The Beta laws' see at most 6 checkpoints of a model.
    seed : int
        The same seed gives the same numbers, whatever ``n_jobs`` is.
    cut_off : float, optional
        The out-of-sample check fits at most this many tokens per parameter and is judged above;
        by default the most overtrained quarter of the checkpoints is held out.
    train_flops, inference_flops : float, optional
        Budgets of the plan: FLOPs of training, and FLOPs per token of the answer. By default the
        median 6 N D of the task's checkpoints, and one sample of its largest model, 2 N.
    n_jobs : int, optional
        Processes of the bootstrap, as joblib counts them.
    on_step : callable, optional
        Called as ``on_step(what, done, total)`` before each step.

    Returns
    -------
    SuiteFit

    Raises
    ------
    DataError
        Where the table breaks the schema, a task is not in it, or no law fits any task.
    ValueError
        Where a setting is out of range.
    KeyboardInterrupt
        On Ctrl-C; nothing is kept.
    """
    if n_bootstrap < 0 or n_bootstrap == 1:
        raise ValueError(f"n_bootstrap is {n_bootstrap}: must be 0, or at least 2")
    for name, value in {
        "cut_off": cut_off,
        "train_flops": train_flops,
        "inference_flops": inference_flops,
    }.items():
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} is {value:g}: must be positive and finite")
    curves = validate(curves, "curves", "curves")
    there = [str(name) for name in curves["task"].unique()]
    for name in tasks or []:
        require_one_of(name, there, "task")
    fitted: dict[str, Any] = {}
    not_fitted: dict[str, str] = {}
    settings = {
        "n_bootstrap": n_bootstrap,
        "seed": seed,
        "largest_k": LARGEST_K,
        "cut_off": cut_off,
        "train_flops": train_flops,
        "inference_flops": inference_flops,
    }
    chosen = [name for name in there if not tasks or name in tasks]
    for done, name in enumerate(chosen):
        if on_step:
            on_step(name, done, len(chosen))
        rows = curves[curves["task"] == name]
        asked = counts[counts["task"] == name] if counts is not None else None
        try:
            fitted[name] = _fit_task(rows, asked, settings, n_jobs)
        except ValueError as error:
            not_fitted[name] = str(error)
    if on_step:
        on_step("done", len(chosen), len(chosen))
    if not fitted:
        name, reason = next(iter(not_fitted.items()))
        raise DataError(f"no law fits any task; {name}: {reason}")
    return SuiteFit(
        {"format": FORMAT, "settings": settings, "tasks": fitted, "not_fitted": not_fitted}
    )


def _fit_task(
    rows: pd.DataFrame, counts: pd.DataFrame | None, settings: dict[str, Any], n_jobs: int | None
) -> dict[str, Any]:
    rows = rows[rows["k"] <= LARGEST_K]
    if rows.empty:
        raise DataError(f"no row with k of at most {LARGEST_K}")
    by_likelihood = bool(rows["mean_nll"].notna().all())
    if not by_likelihood and rows["mean_nll"].notna().any():
        raise DataError("some rows have a mean_nll and some have none: give them apart")
    if by_likelihood and rows["neg_log_pass"].isna().any():
        raise DataError("neg_log_pass is missing where there is a mean_nll")
    data = (
        {"curves": rows} if by_likelihood or counts is None else {"curves": rows, "counts": counts}
    )
    kind = "likelihoods" if by_likelihood else "samples"
    names = [
        name
        for name, row in LAWS.items()
        # Of samples a curve table has no mean_nll: what needs one is fitted to the counts.
        if kind in row.default_for
        and (by_likelihood or "counts" in data or "mean_nll" not in row.columns)
    ]
    checkpoints = rows.drop_duplicates(["model", "n_tokens"])
    support = Support.of(rows)
    spans = support.ranges
    reason = _no_plan(checkpoints["model"].nunique(), support)
    flops = 6.0 * checkpoints["n_params"] * checkpoints["n_tokens"]
    train = settings["train_flops"] or float(flops.median())
    inference = settings["inference_flops"] or 2 * spans["N"][1]
    fits: dict[str, Fit] = {}
    laws: dict[str, dict[str, Any]] = {}
    for name in names:
        try:
            fits[name] = fit_law(name, data)
        except ValueError as error:
            laws[name] = {"error": str(error)}
            continue
        laws[name] = _describe(fits[name])
        laws[name]["plan"] = _plans(fits[name].law, train, inference, reason)
    if not fits:
        raise DataError(next(iter(laws.values()))["error"])
    held_out = _out_of_sample(fits, data, checkpoints, settings["cut_off"])
    for name, found in fits.items():
        laws[name]["errors"] = {"in": errors(found.law, rows)} | held_out["errors"].pop(name, {})
        if settings["n_bootstrap"] and not reason:
            smallest = spans["N"][0]
            budgets = (train, inference, smallest)
            laws[name] |= _uncertainty(found.law, data, settings, budgets, n_jobs)
            columns = laws[name]["draws"]
            drawn = [
                law_of(name, dict(zip(columns, row, strict=True)))
                for row in zip(*columns.values(), strict=True)
            ]
            for plan in laws[name]["plan"].values():
                plan["forecast"] = _forecast(drawn, plan)
    del held_out["errors"]
    return {
        "kind": kind,
        "models": int(checkpoints["model"].nunique()),
        "checkpoints": len(checkpoints),
        "questions": int(rows["n_questions"].max()),
        "range": {name: list(ends) for name, ends in spans.items()},
        "seen": _seen(rows),
        "warnings": _warnings(rows, fits),
        "no_plan": reason,
        "budgets": {"train_flops": train, "inference_flops": inference},
        "held_out": held_out,
        "laws": laws,
    }


def fit_law(name: str, data: dict[str, pd.DataFrame], start: Any = None) -> Fit:
    """Fit the law of this class name to one task's ``curves``, or ``counts`` where there are any.

    ``start`` is a law that a Beta law's search may start from.

    Raises
    ------
    ValueError
        As :func:`~t2lib.fit`.
    """
    return fit(name, data[_part(name, data)], start=start)


def _part(name: str, data: dict[str, pd.DataFrame]) -> str:
    return "counts" if "counts" in data and law_row(name).fit_counts else "curves"


def _describe(found: Fit) -> dict[str, Any]:
    return {
        "params": {name: float(value) for name, value in found.params.items()},
        "at_bounds": list(found.at_bounds),
        "objective": float(found.objective),
        "rows": int(found.n_rows),
    }


def _seen(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """What was measured at each checkpoint, as numbers that JSON can hold."""
    names = ["n_params", "n_tokens", "mean_nll", "k", "pass_at_k", "neg_log_pass"]
    values = {name: rows[name].to_numpy(float) for name in names}
    checkpoint = rows.groupby(["model", "n_params", "n_tokens"], sort=False).ngroup().to_numpy()
    order = np.argsort(checkpoint, kind="stable")
    found = []
    for part in np.split(order, np.flatnonzero(np.diff(checkpoint[order])) + 1):
        here = {name: column[part] for name, column in values.items()}
        known = [name for name, column in here.items() if not np.isnan(column).any()]
        one: dict[str, Any] = {name: float(here[name][0]) for name in names[:2]}
        if "mean_nll" in known:
            one["mean_nll"] = _short(here["mean_nll"][0])
        found.append(one | {x: [_short(v) for v in here[x]] for x in names[3:] if x in known})
    return found


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _rows_of(seen: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a curve table has them, from what :func:`_seen` gave."""
    times = [len(one["k"]) for one in seen]
    table = pd.DataFrame({"k": np.concatenate([one["k"] for one in seen])})
    for name in ("n_params", "n_tokens", "mean_nll"):
        if all(name in one for one in seen):
            table[name] = np.repeat([float(one[name]) for one in seen], times)
    for name in ("pass_at_k", "neg_log_pass"):
        if all(name in one for one in seen):
            table[name] = np.concatenate([one[name] for one in seen])
    return table


def _warnings(rows: pd.DataFrame, fits: Mapping[str, Fit]) -> list[str]:
    """What is to be doubted in a task's data, in words."""
    found = []
    columns = (rows[name].to_numpy(float) for name in ("k", "neg_log_pass", "mean_nll"))
    if (place := first_not_mean_nll(*columns)) is not None:
        row = rows.iloc[place]
        found.append(
            f"{row['model']} after {row['n_tokens']:.3g} tokens: -log pass@1 is "
            f"{row['neg_log_pass']:.4g} and the mean NLL {row['mean_nll']:.4g}, which are one "
            "number where both are in nats and of the same answers"
        )
    # Fits that took losses took the same ones: one of them tells it for all.
    told = (f.warnings for f in fits.values() if f.fitted and f.fitted.loss is not None)
    return [*found, *next(told, ())]


def _no_plan(models: int, support: Support) -> str:
    """Why these checkpoints allow no plan and no interval; empty where they do."""
    if models == 1:
        return "no interval and no plan: all checkpoints are of one model"
    if support.dimension < 2:
        return "no interval and no plan: the checkpoints lie in one line of log N and log D"
    return ""


# -------------------------------------------------------------------------------------- judging


def predict(law: Any, metric: str, rows: pd.DataFrame) -> np.ndarray | None:
    """Return a law's metric at each row, or None where the law has no such metric."""
    N, D, k = (rows[x].to_numpy(float) for x in ("n_params", "n_tokens", "k"))
    with np.errstate(over="ignore", invalid="ignore"):  # a law far off may leave the floats
        if metric == "mean_nll":
            return law.loss(N, D) if hasattr(law, "loss") else None
        return getattr(law, metric)(N, D, k) if hasattr(law, metric) else None


def errors(law: Any, rows: pd.DataFrame) -> dict[str, float | None]:
    """Measure how far a law is from the rows, by each metric that both have.

    Returns
    -------
    dict
        ``METRIC`` : root mean square of observed minus predicted (pass@k a share, the others
        nats); ``METRIC_relative`` : mean of its size over the observed value, where that is above
        0. The Chinchilla law is judged once a checkpoint. None where an error leaves the floats.
    """
    found: dict[str, float | None] = {}
    for metric in METRICS:
        used = rows[rows["k"] == rows["k"].min()] if metric == "mean_nll" else rows
        if used[metric].isna().any():
            continue
        predicted = predict(law, metric, used)
        if predicted is None:
            continue
        seen = used[metric].to_numpy(float)
        with np.errstate(over="ignore", invalid="ignore"):
            found[metric] = _finite(np.sqrt(np.mean((seen - predicted) ** 2)))
        above = seen > 0
        if above.any():
            relative = np.abs(predicted[above] / seen[above] - 1)
            found[f"{metric}_relative"] = _finite(relative.mean())
    return found


def _finite(value: float) -> float | None:
    """Return a number as JSON can hold it: None where it is not finite, or has no room there."""
    return float(value) if abs(value) <= LARGEST_NUMBER else None


def _out_of_sample(
    fits: dict[str, Fit],
    data: dict[str, pd.DataFrame],
    checkpoints: pd.DataFrame,
    cut_off: float | None,
) -> dict[str, Any]:
    """Fit below a number of tokens per parameter, judge above it."""
    ratio = checkpoints["n_tokens"] / checkpoints["n_params"]
    above = float(np.quantile(ratio, 1 - _HELD_OUT)) if cut_off is None else cut_off
    below = {k: t[t["n_tokens"] / t["n_params"] <= above] for k, t in data.items()}
    rest = data["curves"][data["curves"]["n_tokens"] / data["curves"]["n_params"] > above]
    n_fitted, n_judged = int((ratio <= above).sum()), int((ratio > above).sum())
    result: dict[str, Any] = {"above": above, "fitted": n_fitted, "judged": n_judged, "errors": {}}
    if n_fitted < _FEWEST or not n_judged:
        result["skipped"] = (
            f"{n_fitted} checkpoints at most {above:.3g} tokens per parameter and {n_judged} "
            f"above: the check needs {_FEWEST} and 1"
        )
        return result
    for name, whole in fits.items():
        try:
            law = fit_law(name, below, start=whole.law).law
        except ValueError as error:
            result["errors"][name] = {"out_error": str(error)}
            continue
        result["errors"][name] = {"out": errors(law, rest)}
    return result


# --------------------------------------------------------------------------- intervals and plans


def thin(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep at most 6 checkpoints of each model, evenly spaced."""
    keep = {}
    for model, tokens in rows.groupby("model", observed=True)["n_tokens"]:
        values = np.unique(tokens)
        keep[model] = set(values[_spread(len(values), CHECKPOINTS_A_MODEL)])
    return rows[[t in keep[m] for m, t in zip(rows["model"], rows["n_tokens"], strict=True)]]


def _spread(length: int, at_most: int) -> np.ndarray:
    """Places of evenly spaced elements, both ends among them."""
    return np.unique(np.linspace(0, length - 1, min(length, at_most)).round().astype(int))


def _resampling(
    law: Any, data: dict[str, pd.DataFrame]
) -> tuple[Callable[[pd.DataFrame], Fit], pd.DataFrame]:
    """What the bootstrap refits, and to which table: sums of powers are refitted side by side."""
    row, name = law_row(law), type(law).__name__
    rows = data[_part(name, data)]
    if row.batch is None:
        # Without its support, which would travel to every process with every resample.
        return partial(fit, name, start=fitted_on(law, None)), thin(rows)
    return row.batch(), rows if "k" in row.columns else rows[rows["k"] == rows["k"].min()]


def _uncertainty(
    law: Any,
    data: dict[str, pd.DataFrame],
    settings: dict[str, Any],
    budgets: tuple[float, float, float],
    n_jobs: int | None,
) -> dict[str, Any]:
    """Bootstrap over models: draws, intervals, and what went wrong."""
    refit, table = _resampling(law, data)
    n, seed = settings["n_bootstrap"], settings["seed"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # attrs hold what the warning says
            draws = bootstrap(refit, table, n=n, seed=seed, by="model", n_jobs=n_jobs)
    except RuntimeError as error:
        failed = {"number": n, "first": str(error)}
        return {"failed": failed, "draws": {}, "intervals": {}, "draws_at_bounds": {}}
    if draws.attrs["interrupted"]:
        raise KeyboardInterrupt
    found = {
        "failed": draws.attrs["failed"],
        "draws_at_bounds": draws.attrs["at_bounds"],
        "intervals": _intervals(draws),
        "plan_intervals": {},
        "plan_draws": 0,
        "draws": {str(x): [float(f"{v:.8g}") for v in draws[x]] for x in draws},
    }
    asked = _request(law, *budgets)
    try:
        region = allocation_region(law, draws.iloc[:PLANNED_DRAWS], n_jobs=n_jobs, **asked)
    except ValueError:  # no draw has a plan
        return found
    if len(region.solved) > 1:
        ends = region.intervals.loc[["N", "D", "k", "metric"], ["low", "high"]]
        found["plan_intervals"] = {str(name): row.tolist() for name, row in ends.iterrows()}
    return found | {"plan_draws": len(region.solved)}


def _intervals(draws: pd.DataFrame) -> dict[str, list[float]]:
    """Central 95 % of each column; none where there are fewer than two draws."""
    if len(draws) < 2:
        return {}
    ends = percentile_interval(draws)
    return {
        str(name): [float(x) for x in row]
        for name, row in zip(ends.index, ends.to_numpy(), strict=True)
    }


def _request(law: Any, train: float, inference: float, smallest: float) -> Request:
    # A law of the loss alone has no use for samples: its advice is the training optimum.
    budgets: Request = {"train_flops": train, "n_range": (smallest, None)}
    if not isinstance(law, Chinchilla):
        budgets["inference_flops"] = inference
    return budgets


def _plans(law: Any, train: float, inference: float, reason: str) -> dict[str, Any]:
    """Best plan of the law, with no N below the fitted ones; and the best inside the support."""
    if reason:
        return {name: {"error": reason} for name in ("free", "inside")}
    request = _request(law, train, inference, law.support.ranges["N"][0])
    found: dict[str, Any] = {}
    searches: dict[str, Callable[..., Allocation]] = {
        "free": allocate,
        "inside": _inside,
    }
    for name, search in searches.items():
        try:
            found[name] = describe_plan(search(law, **request))
        except ValueError as error:
            found[name] = {"error": str(error)}
    return found


def _inside(law: Any, **request: Any) -> Allocation:
    """Best plan whose N and D lie in the hull, with no more samples than were measured near by.

    How many were measured depends on the plan, so the limit is lowered until plan and limit agree.
    """
    request["n_range"] = law.support.sizes(request["train_flops"])
    for _ in range(_LOWERED):
        plan = allocate(law, **request)
        if plan.extrapolation == {}:
            return plan
        request["max_k"] = float(law.support.largest_k(plan.N, plan.D))
    raise ValueError(f"no plan with as many samples as were measured near by in {_LOWERED} trials")


def _forecast(laws: Sequence[Any], plan: Mapping[str, Any]) -> list[float]:
    """Central 95 % of a plan's metric under the resamples' laws; empty where there is none."""
    if "error" in plan or len(laws) < 2:
        return []
    place = [plan[x] for x in ("N", "D", "k")]
    values = [float(Objective.of(law, plan["metric_name"]).metric(*place)) for law in laws]
    return [float(x) for x in np.quantile(values, [0.025, 0.975])]


def describe_plan(plan: Allocation) -> dict[str, Any]:
    """Return a plan as numbers that JSON can hold."""
    return {
        "N": plan.N,
        "D": plan.D,
        "k": plan.k,
        "most_samples": plan.most_samples,
        "tokens_per_parameter": plan.tokens_per_parameter,
        "metric_name": plan.metric_name,
        "metric": plan.metric,
        "cost": plan.cost,
        "at_bounds": list(plan.at_bounds),
        "extrapolation": plan.extrapolation,
        "where": "" if plan.support is None else plan.support.in_words(*plan.place),
        "nearest": [] if plan.nearest is None else _records(plan.nearest),
    }


def _records(table: pd.DataFrame) -> list[dict[str, float | None]]:
    """Rows as JSON can hold them: what is not a number is None."""
    return [
        {str(name): None if math.isnan(value) else float(value) for name, value in row.items()}
        for row in table.to_dict("records")
    ]
