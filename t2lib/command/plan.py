"""Answers of ``t2 plan``: a fitted law, a budget or a target, the plan and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2lib._checks import DataError, require_one_of
from t2lib.data.curves import load_curves
from t2lib.data.registry import data_folder, read_json
from t2lib.fitting.table import law_of
from t2lib.planning.forward import Allocation, allocate
from t2lib.planning.inverse import cheapest
from t2lib.studies.suite_fits import LARGEST_K, SuiteFit, describe_plan, fit_law, law_range

# The law that the embedded suites answer with, and the laws that they can be asked for.
_EMBEDDED_LAWS = {
    "gemstones": ("BetaConsistentLaw", "BetaRegressionLaw", "AdditiveLaw", "Chinchilla"),
    "pythia": ("BetaConsistentLaw", "BetaRegressionLaw", "InteractionLaw"),
}


@dataclass(frozen=True)
class FittedLaw:
    """A law with what is known of its fit.

    Attributes
    ----------
    law : law
    task, source : str
        Task that it was fitted to, and where the fit comes from, in words.
    fitted : dict
        Ranges of N, D, D/N and k that it was fitted over.
    draws : tuple of laws
        The laws of the bootstrap's resamples; empty where there was none.
    """

    law: Any
    task: str
    source: str
    fitted: dict[str, tuple[float, float]]
    draws: tuple[Any, ...] = ()


def from_file(path: str | Path, task: str | None = None, law: str | None = None) -> FittedLaw:
    """Take a law from the numbers that ``t2 fit`` wrote.

    Parameters
    ----------
    path : path
        The JSON file.
    task : str, optional
        Needed where the file has several.
    law : str, optional
        Class name; by default the one that best predicted what it had not seen.

    Raises
    ------
    DataError
        Where the file is no fitted suite, or lacks the task or the law.
    """
    suite = SuiteFit.read(path)
    task = _one_task(task, suite.tasks, str(path))
    name = law or suite.best_law(task)
    spans = {quantity: (low, high) for quantity, (low, high) in suite.task(task)["range"].items()}
    return FittedLaw(
        suite.law(task, name), task, f"fitted in {path}", spans, tuple(suite.law_draws(task, name))
    )


def from_suite(suite: str, task: str | None = None, law: str | None = None) -> FittedLaw:
    """Fit a law to an embedded suite; Pythia's Beta laws are read as recorded.

    Parameters
    ----------
    suite : {"gemstones", "pythia"}
    task : str, optional
        Needed: the suites have several.
    law : str, optional
        Class name; by default the Beta-consistent law.

    Raises
    ------
    DataError
        For an unknown suite, task or law.
    """
    require_one_of(suite, _EMBEDDED_LAWS, "suite")
    curves = load_curves(suite)
    task = _one_task(task, sorted(curves["task"].unique()), suite)
    name = law or _EMBEDDED_LAWS[suite][0]
    require_one_of(name, _EMBEDDED_LAWS[suite], f"law of {suite}")
    rows = curves[(curves["task"] == task) & (curves["k"] <= LARGEST_K)]
    if suite == "pythia" and name != "InteractionLaw":
        # Its questions are not embedded; chapter 07 records the laws fitted to them.
        record = read_json(data_folder() / "recorded" / f"ch07_pythia_{task}.json")
        kind = {"BetaConsistentLaw": "consistent", "BetaRegressionLaw": "regression"}[name]
        fitted, source = law_of(name, record["values"]["all"][kind]), "recorded by chapter 07"
    else:
        fitted, source = fit_law(name, {"curves": rows}).law, "fitted just now"
    return FittedLaw(fitted, task, f"{source}, embedded suite {suite}", law_range(rows))


def _one_task(task: str | None, there: list[str], where: str) -> str:
    if task is None and len(there) > 1:
        raise DataError(f"{where} has several tasks; give --task, one of {', '.join(there)}")
    task = there[0] if task is None else task
    require_one_of(task, there, "task")
    return task


@dataclass(frozen=True)
class Answer:
    """A plan, the law that gave it, and what the law's resamples say instead."""

    plan: Allocation
    fitted: FittedLaw
    others: tuple[Allocation, ...]
    asked: int

    def spread(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest N, D, k and metric among the resamples' plans."""
        if not self.others:
            return {}
        values = {x: [getattr(o, x) for o in self.others] for x in ("N", "D", "k", "metric")}
        return {name: (min(found), max(found)) for name, found in values.items()}

    def numbers(self) -> dict[str, Any]:
        """Return all of it as numbers that JSON can hold."""
        return {
            "law": type(self.fitted.law).__name__,
            "task": self.fitted.task,
            "source": self.fitted.source,
            "plan": describe_plan(self.plan),
            "fitted": {name: list(ends) for name, ends in self.fitted.fitted.items()},
            "resamples": {
                "asked": self.asked,
                "answered": len(self.others),
                "spread": {name: list(ends) for name, ends in self.spread().items()},
            },
        }

    def text(self) -> str:
        """Return the answer in words, a line a thing."""
        name = type(self.fitted.law).__name__
        lines = [f"{name} of {self.fitted.task}, {self.fitted.source}", self.plan.summary()]
        if self.asked:
            lines.append(f"over {len(self.others)} of {self.asked} resamples of the models:")
            lines += [f"  {x} from {a:.4g} to {b:.4g}" for x, (a, b) in self.spread().items()]
        elif self.fitted.draws:
            lines.append("no resamples asked: how sure this is, --draws 10 tells")
        else:
            lines.append("no resamples: how sure this is, t2 fit can tell")
        return "\n".join(lines)


def answer(
    fitted: FittedLaw, *, target: float | None = None, draws: int | None = None, **request: Any
) -> Answer:
    """Find the best plan for a budget, or the cheapest that reaches a target.

    Parameters
    ----------
    fitted : FittedLaw
    target : float, optional
        Metric to reach; see :func:`~t2lib.cheapest`.
    draws : int, optional
        At most so many of the law's resamples are asked too; by default 10 for a budget, and none
        for a target, whose search takes many times as long.
    **request
        Budgets and limits as :func:`~t2lib.allocate` takes them.

    Raises
    ------
    ValueError
        Where the request is not valid or cannot be met.
    """
    if draws is None:
        draws = 10 if target is None else 0
    if target is not None:
        if request.pop("total_flops", None) is not None:
            raise ValueError("give either a target or total_flops")
        request["target"] = target
    search = cheapest if target is not None else allocate
    plan = search(fitted.law, fitted=fitted.fitted, **request)
    others, asked = [], fitted.draws[:draws]
    for law in asked:
        try:
            others.append(search(law, **request))
        except ValueError:  # this resample's law cannot meet the request: counted, not hidden
            continue
    return Answer(plan, fitted, tuple(others), len(asked))
