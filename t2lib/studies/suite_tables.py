"""A fitted suite as tables for people: what ``t2 fit`` reports and chapter 11 shows.

Each function takes a :class:`~t2lib.studies.suite_fits.SuiteFit` and returns a table of texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from t2lib.fitting.table import LAWS, law_row, parameter_names
from t2lib.laws import Chinchilla
from t2lib.plots import engineering
from t2lib.studies.suite_fits import SuiteFit

METRIC = {"likelihoods": "neg_log_pass", "samples": "pass_at_k"}
UNITS = {
    "neg_log_pass": "nats (-log pass@k)",
    "pass_at_k": "pass@k",
    "mean_nll": "nats (NLL)",
    "loss": "nats (NLL)",
}


def label(law: str) -> str:
    """Short name of a law: its label without what stands in brackets."""
    return law_row(law).label.split(" (")[0]


def short(value: float) -> str:
    """Three digits, with K, M, B, T up to a thousand trillion."""
    return engineering(value) if 1 <= abs(value) < 1e15 else f"{value:.3g}"


def with_ends(value: float, ends: Sequence[float] | None) -> str:
    """A value, and its interval in square brackets where it has one."""
    return f"{short(value)} [{short(ends[0])}, {short(ends[1])}]" if ends else short(value)


def _span(ends: Sequence[float]) -> str:
    return f"{short(ends[0])}–{short(ends[1])}"


def leaves(plan: dict[str, Any]) -> str:
    """Where a plan leaves what was fitted: ``N / 5`` is below it, ``D × 20`` above."""
    if "error" in plan:
        return str(plan["error"])
    ratios = plan["extrapolation"].items()
    said = [f"{x} × {short(r)}" if r > 1 else f"{x} / {short(1 / r)}" for x, r in ratios]
    return "; ".join(said) or "stays inside"


def _outcome(plan: dict[str, Any]) -> str:
    return f"{_with_forecast(plan)} {UNITS[plan['metric_name']]}"


def _with_forecast(plan: dict[str, Any]) -> str:
    ends = plan.get("forecast")
    span = f" [{ends[0]:.3g}, {ends[1]:.3g}]" if ends else ""
    return f"{plan['metric']:.3g}{span}"


def _is_outside(plan: dict[str, Any]) -> bool:
    """Tell whether the interval of what is predicted leaves the prediction out."""
    ends = plan.get("forecast") or (-math.inf, math.inf)
    return "error" not in plan and not ends[0] <= plan["metric"] <= ends[1]


def _numbers_of(plan: dict[str, Any], ends: dict[str, Any] | None = None) -> dict[str, str]:
    if "error" in plan:
        return {}
    return {x: with_ends(plan[x], (ends or {}).get(x)) for x in ("N", "D", "k")} | {
        "D / N": short(plan["tokens_per_parameter"]),
        "predicted": _outcome(plan),
    }


def chosen(suite: SuiteFit, task: str) -> str:
    """How a task's best law was chosen."""
    skipped = "skipped" in suite.task(task)["held_out"]
    law = suite.task(task)["laws"][suite.best_law(task)]
    return (
        "chosen in sample"
        if skipped or "out" not in law["errors"]
        else "best on held-out checkpoints"
    )


def judged_on(suite: SuiteFit, task: str, law: str) -> str:
    """The metric that a law of a task is judged on: of the loss alone, the loss."""
    return METRIC[suite.task(task)["kind"]] if "k" in LAWS[law].columns else "mean_nll"


def in_short(suite: SuiteFit) -> pd.DataFrame:
    """One row a task: its best law, that law's plan inside the data, and where it would go."""
    rows = []
    for task in suite.tasks:
        name = suite.best_law(task)
        plans = suite.task(task)["laws"][name]["plan"]
        rows.append(
            {"task": task, "best law": f"{label(name)}, {chosen(suite, task)}"}
            | _numbers_of(plans["inside"])
            | {"without that limit": leaves(plans["free"])}
        )
    return pd.DataFrame(rows)


def sentences(suite: SuiteFit) -> list[str]:
    """One sentence a task: its best law, the plan inside the data, and whether it is that."""
    found = []
    resamples = suite.numbers["settings"]["n_bootstrap"]
    for task in suite.tasks:
        name = suite.best_law(task)
        fitted = suite.task(task)["laws"][name]
        plan, failed = fitted["plan"]["inside"], fitted.get("failed", {}).get("number")
        law = f"{task}: {label(name)}, {chosen(suite, task)}"
        if "error" in plan:
            found.append(f"{law}: {plan['error']}.")
            continue
        found.append(
            f"{law}: N = {short(plan['N'])}, D = {short(plan['D'])} "
            f"({short(plan['tokens_per_parameter'])} tokens per parameter), "
            f"k = {short(plan['k'])}: {_outcome(plan)}"
            + " (outside its interval)" * _is_outside(plan)
            + f" ({failed} of {resamples} resamples failed)" * bool(failed)
            + f", {plan['where']}."
        )
    return found


def cautions(suite: SuiteFit) -> list[str]:
    """What weakens a task's best law: bounds, failed resamples, an unmeasured k, no check."""
    resamples = suite.numbers["settings"]["n_bootstrap"]
    found = []
    for task in suite.tasks:
        law = suite.task(task)["laws"][suite.best_law(task)]
        whose = f"{task}: {label(suite.best_law(task))}"
        if skipped := suite.task(task)["held_out"].get("skipped"):
            found.append(f"{whose} was chosen in sample, since none was held out: {skipped}.")
        if law["at_bounds"]:
            found.append(f"{whose} ends at a bound of the fit: {'; '.join(law['at_bounds'])}.")
        if number := law.get("failed", {}).get("number"):
            found.append(f"{whose} could not be fitted to {number} of {resamples} resamples.")
        if _is_outside(law["plan"]["inside"]):
            found.append(
                f"{whose} predicts for its plan what the resamples' interval leaves out: the fit "
                "hangs on single models."
            )
        beyond = law["plan"]["free"].get("extrapolation", {}).get("k", 1)
        if beyond > 1:
            found.append(
                f"{whose}, without limits, goes to k {short(beyond)} times the largest that was "
                "measured near by."
            )
    return found


def doubts(suite: SuiteFit) -> list[str]:
    """What is to be doubted in each task's data; empty where nothing was found."""
    return [f"{task}: {told}." for task in suite.tasks for told in suite.task(task)["warnings"]]


def nearest(suite: SuiteFit, task: str) -> pd.DataFrame:
    """Checkpoints around the best law's plan inside the data: what was seen, what the law says."""
    law = suite.best_law(task)
    rows = suite.task(task)["laws"][law]["plan"]["inside"].get("nearest", [])
    names = {"N": "N", "D": "D", "k": "k", "largest_k": "largest k", "seen": "seen"}
    table = pd.DataFrame(rows).rename(columns=names | {"law": label(law)})
    return table.map(lambda value: "–" if pd.isna(value) else short(value))


def budgets(suite: SuiteFit) -> pd.DataFrame:
    """The budgets of the plans, with the tasks that have them."""
    table = pd.DataFrame({task: suite.task(task)["budgets"] for task in suite.tasks}).T
    alike = table.reset_index(names="tasks").groupby(list(table.columns), sort=False)["tasks"]
    found = alike.agg(", ".join).reset_index()
    names = {"train_flops": "training (FLOPs)", "inference_flops": "answer (FLOPs a token)"}
    for column in names:
        found[column] = found[column].map("{:.3g}".format)
    return found.rename(columns=names)


def data(suite: SuiteFit) -> pd.DataFrame:
    """One row a task: what pass@k came from, how many there are of what, and the ranges."""
    rows = []
    for task in suite.tasks:
        found = suite.task(task)
        rows.append(
            {"task": task, "from": found["kind"]}
            | {x: found[x] for x in ("models", "checkpoints", "questions")}
            | {x: _span(found["range"][x]) for x in ("N", "D", "D/N", "k")}
        )
    return pd.DataFrame(rows)


def left_out(suite: SuiteFit) -> pd.DataFrame:
    """What was not fitted or not read, and notes of the reading; empty where all went well."""
    source = suite.numbers.get("source", {})
    apart = source.get("left_out", [])
    rows = [{"what": f"not fitted: {t}", "why": x} for t, x in suite.numbers["not_fitted"].items()]
    rows += [
        {"what": "left out: a file or part of one", "why": x} for x in source.get("skipped", [])
    ]
    rows += [{"what": "left out: checkpoints", "why": x} for x in apart]
    rows += [{"what": "a note", "why": x} for x in source.get("notes", []) if x not in apart]
    return pd.DataFrame(rows)


def parameters(suite: SuiteFit, law: str) -> pd.DataFrame:
    """One row a task: a law's parameters with their intervals; empty where it was not fitted.

    A law that stands on the Chinchilla law shows its own parameters where that law is fitted too.
    """
    resamples = suite.numbers["settings"]["n_bootstrap"]
    fits = {task: suite.task(task)["laws"].get(law) for task in suite.tasks}
    within = "chinchilla" in law_row(law).law.__dataclass_fields__
    shared = within and all("Chinchilla" in suite.task(t)["laws"] for t, fit in fits.items() if fit)
    names = [x for x in parameter_names(law) if not (shared and x in parameter_names(Chinchilla))]
    rows = []
    for task, fit in fits.items():
        if fit is None:
            continue
        if "error" in fit:
            rows.append({"task": task, "at a bound": f"not fitted: {fit['error']}"})
            continue
        ends = fit.get("intervals", {})
        row = {"task": task} | {x: with_ends(fit["params"][x], ends.get(x)) for x in names}
        row["at a bound"] = "; ".join(fit["at_bounds"]) or "none"
        if "failed" in fit:
            row["resamples that failed"] = f"{fit['failed']['number']} of {resamples}"
        rows.append(row)
    return pd.DataFrame(rows)


def failures(suite: SuiteFit) -> pd.DataFrame:
    """The first reason why resamples could not be fitted; empty where all could."""
    return pd.DataFrame(
        [
            {"task": task, "law": label(name), "first failure": fit["failed"]["first"]}
            for task in suite.tasks
            for name, fit in suite.task(task)["laws"].items()
            if fit.get("failed", {}).get("number")
        ]
    )


def errors(suite: SuiteFit) -> pd.DataFrame:
    """Root mean square errors of each law, in sample and on the checkpoints held out."""
    rows = []
    for task in suite.tasks:
        numbers = suite.task(task)
        for name in suite.law_names(task):
            found, metric = numbers["laws"][name]["errors"], judged_on(suite, task, name)
            row = {"task": task, "law": label(name), "of": UNITS[metric]}
            row["in sample"] = _or_dash(found["in"][metric], ".3g")
            if "out" in found:
                row["held out"] = _or_dash(found["out"][metric], ".3g")
                relative = found["out"].get("pass_at_k_relative")
                row["pass@k, relative"] = _or_dash(relative, ".1%")
            rows.append(row)
    return pd.DataFrame(rows)


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def held_out(suite: SuiteFit) -> pd.DataFrame:
    """What the out-of-sample check held out of each task."""
    rows = []
    for task in suite.tasks:
        check = suite.task(task)["held_out"]
        rows.append(
            {"task": task, "held out above D / N": f"{check['above']:.3g}"}
            | {"checkpoints fitted": check["fitted"], "judged": check["judged"]}
            | {"note": check.get("skipped", "")}
        )
    return pd.DataFrame(rows)


def plans(suite: SuiteFit, task: str) -> pd.DataFrame:
    """Each law's plan of a task: wherever it leads, and with N and D that were trained."""
    rows = []
    for name in suite.law_names(task):
        fit = suite.task(task)["laws"][name]
        for kind, plan in fit["plan"].items():
            ends = fit.get("plan_intervals", {}) if kind == "free" else {}
            row = {"law": label(name), "plan": kind} | _numbers_of(plan, ends)
            rows.append(row | {"beyond what was fitted": leaves(plan)})
    return pd.DataFrame(rows)
