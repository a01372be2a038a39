"""``t2 plan``: a fitted law, a budget or a target, the plan and how far to trust it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Unpack, cast

import typer

from t2lib._checks import DataError, require_one_of
from t2lib.command.shared import examples, show

if TYPE_CHECKING:
    from t2lib.planning.forward import Allocation
    from t2lib.planning.regions import AllocationRegion
    from t2lib.planning.request import Request

# What fits and searches loads inside functions: it takes longer than all that --help needs.


@dataclass(frozen=True)
class FittedLaw:
    """A law with what is known of its fit.

    Attributes
    ----------
    law : law
        With its support.
    task, source : str
        Task that it was fitted to, and where the fit comes from, in words.
    draws : tuple of laws
        The laws of the bootstrap's resamples; empty where there was none.
    """

    law: Any
    task: str
    source: str
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
    from t2lib.studies.suite_fits import SuiteFit

    suite = SuiteFit.read(path)
    task = _one_task(task, suite.tasks, str(path))
    name = law or suite.best_law(task)
    found = suite.law(task, name)
    if reason := suite.task(task)["no_plan"]:
        raise DataError(f"{path}: {task}: {reason}")
    return FittedLaw(found, task, f"fitted in {path}", tuple(suite.law_draws(task, name)))


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
    from t2lib.data.curves import load_curves
    from t2lib.data.registry import data_folder, read_json
    from t2lib.data.suites import SUITES
    from t2lib.fitting.table import fit, law_of
    from t2lib.laws import fitted_on
    from t2lib.planning.support import Support
    from t2lib.studies.suite_fits import LARGEST_K

    require_one_of(suite, SUITES, "suite")
    curves = load_curves(suite)
    task = _one_task(task, sorted(curves["task"].unique()), suite)
    name = law or SUITES[suite].laws[0]
    require_one_of(name, SUITES[suite].laws, f"law of {suite}")
    rows = curves[curves["task"] == task]
    if suite == "pythia" and name != "InteractionLaw":
        # Its questions are not embedded; a chapter records the laws fitted to all their samples.
        record = read_json(data_folder() / "recorded" / f"overtraining_pythia_{task}.json")
        kind = {"BetaConsistentLaw": "consistent", "BetaRegressionLaw": "regression"}[name]
        found = fitted_on(law_of(name, record["values"]["all"][kind]), Support.of(rows))
        return FittedLaw(found, task, f"recorded by the book, embedded suite {suite}")
    found = fit(name, rows[rows["k"] <= LARGEST_K]).law
    return FittedLaw(found, task, f"fitted just now, embedded suite {suite}")


def _one_task(task: str | None, there: list[str], where: str) -> str:
    if task is None and len(there) > 1:
        raise DataError(f"{where} has several tasks; give --task, one of {', '.join(there)}")
    task = there[0] if task is None else task
    require_one_of(task, there, "task")
    return task


@dataclass(frozen=True)
class Answer:
    """A plan, the law that gave it, and what the law's resamples say."""

    plan: Allocation
    fitted: FittedLaw
    region: AllocationRegion | None
    asked: int

    def spread(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest N, D, k and metric among the resamples' plans."""
        if self.region is None:
            return {}
        plans = self.region.solved[["N", "D", "k", "metric"]]
        return {str(name): (float(x.min()), float(x.max())) for name, x in plans.items()}

    def forecast(self) -> tuple[float, float] | None:
        """Smallest and largest metric of the plan itself under the resamples' laws."""
        if self.region is None:
            return None
        seen = self.region.solved["point_metric"]
        return float(seen.min()), float(seen.max())

    def numbers(self) -> dict[str, Any]:
        """Return all of it as numbers that JSON can hold."""
        from t2lib.studies.suite_fits import describe_plan

        support = self.plan.support
        forecast = self.forecast()
        return {
            "law": type(self.fitted.law).__name__,
            "task": self.fitted.task,
            "source": self.fitted.source,
            "plan": describe_plan(self.plan),
            "fitted": {} if support is None else {x: list(e) for x, e in support.ranges.items()},
            "resamples": {
                "asked": self.asked,
                "answered": 0 if self.region is None else len(self.region.solved),
                "forecast": None if forecast is None else list(forecast),
                "spread": {name: list(ends) for name, ends in self.spread().items()},
            },
        }

    def text(self) -> str:
        """Return the answer in words, a line a thing."""
        name = type(self.fitted.law).__name__
        lines = [f"{name} of {self.fitted.task}, {self.fitted.source}", self.plan.summary()]
        if self.region is not None and (forecast := self.forecast()):
            low, high = forecast
            lines += [
                f"over {len(self.region.solved)} of {self.asked} resamples of the models:",
                f"  {self.plan.metric_name} of this plan from {low:.4g} to {high:.4g}",
                "  their own best plans:",
            ]
            lines += [f"  {x} from {a:.4g} to {b:.4g}" for x, (a, b) in self.spread().items()]
        elif self.asked:
            lines.append(f"over 0 of {self.asked} resamples of the models: none has a plan")
        elif self.fitted.draws:
            lines.append("no resamples asked: how sure this is, --draws 10 tells")
        else:
            lines.append("no resamples: how sure this is, t2 fit can tell")
        return "\n".join(lines)


def answer(
    fitted: FittedLaw,
    *,
    target: float | None = None,
    draws: int | None = None,
    **request: Unpack[Request],
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
        Budgets and limits as :func:`~t2lib.allocate` takes them. Without a smallest N, it is the
        smallest fitted.

    Raises
    ------
    ValueError
        Where the request is not valid or cannot be met.
    """
    from t2lib.planning.forward import allocate
    from t2lib.planning.inverse import cheapest
    from t2lib.planning.regions import allocation_region

    if draws is None:
        draws = 10 if target is None else 0
    if target is not None and request.get("total_flops") is not None:
        raise ValueError("give either a target or total_flops")
    law, support = fitted.law, fitted.law.support
    smallest, largest = request.get("n_range") or (None, None)
    if smallest is None and support is not None:
        smallest = min(support.ranges["N"][0], math.inf if largest is None else largest)
    request["n_range"] = smallest, largest
    search = allocate if target is None else partial(cheapest, target=target)
    plan = search(law, **request)
    asked = fitted.draws[:draws]
    try:
        region = allocation_region(law, asked, target=target, **request) if asked else None
    except ValueError:  # no resample's law can meet the request: counted, not hidden
        region = None
    return Answer(plan, fitted, region, len(asked))


EXAMPLES = examples(
    "t2 plan report.json --train-flops 1e22 --inference-flops 2e10",
    "t2 plan --task arce --total-flops 1e22 --queries 1e9 --prompt-tokens 500",
    "t2 plan --task arce --target 0.5 --queries 1e9 --max-k 16 --json",
)


def command(
    fitted: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Numbers that t2 fit wrote.")
    ] = None,
    suite: Annotated[
        str, typer.Option(help="Without FILE: the embedded suite, gemstones or pythia.")
    ] = "gemstones",
    task: Annotated[
        str | None, typer.Option(help="Task to plan for; needed where there are several.")
    ] = None,
    law: Annotated[
        str | None, typer.Option(help="Law to ask, by its class name. Default: the best one.")
    ] = None,
    train_flops: Annotated[float | None, typer.Option(help="Training budget.")] = None,
    inference_flops: Annotated[
        float | None, typer.Option(help="Budget of one query, beside --train-flops.")
    ] = None,
    total_flops: Annotated[
        float | None, typer.Option(help="One budget for training and all queries.")
    ] = None,
    queries: Annotated[float | None, typer.Option(help="Queries over the model's life.")] = None,
    prompt_tokens: Annotated[float, typer.Option(help="Tokens of a prompt.")] = 0.0,
    answer_tokens: Annotated[float, typer.Option(help="Tokens of one sampled answer.")] = 1.0,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Samples do not share the prompt's cache.")
    ] = False,
    target: Annotated[
        float | None, typer.Option(help="Cheapest plan that reaches this metric, without a budget.")
    ] = None,
    min_params: Annotated[float | None, typer.Option(help="Smallest N allowed.")] = None,
    max_params: Annotated[float | None, typer.Option(help="Largest N allowed (memory).")] = None,
    max_k: Annotated[float | None, typer.Option(help="Most samples allowed (latency).")] = None,
    unique_tokens: Annotated[
        float | None, typer.Option(help="Stock of unique tokens; repeated ones are worth less.")
    ] = None,
    verifier: Annotated[
        float, typer.Option(help="Chance that the right one among several samples is found.")
    ] = 1.0,
    false_positives: Annotated[
        float, typer.Option(help="Chance that the verifier accepts a wrong sample.")
    ] = 0.0,
    vote: Annotated[
        str | None,
        typer.Option(help="Majority vote, no verifier; wrong answers all agree, or all differ."),
    ] = None,
    stop_early: Annotated[
        bool, typer.Option("--stop-early", help="A query ends with its first success.")
    ] = False,
    draws: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Resamples of the fit behind the range of the answer. Default: 10, with "
            "--target none.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Answer a budget: how large a model, how many tokens, how many samples."""
    from t2lib.planning.costs import CostModel

    # Without prompt and answer the query is a token, and the paper's own terms are shown.
    a_token = (prompt_tokens, answer_tokens, no_cache) == (0.0, 1.0, False)
    found = answer(
        from_file(fitted, task, law) if fitted else from_suite(suite, task, law),
        draws=draws,
        target=target,
        train_flops=train_flops,
        inference_flops=inference_flops,
        total_flops=total_flops,
        queries=queries,
        cost=None if a_token else CostModel(prompt_tokens, answer_tokens, not no_cache),
        n_range=(min_params, max_params),
        max_k=max_k,
        unique_tokens=unique_tokens,
        verifier=verifier,
        false_positives=false_positives,
        vote=cast("Any", vote),
        stop_early=stop_early,
    )
    show(json.dumps(found.numbers(), indent=1, allow_nan=False) if as_json else found.text())
