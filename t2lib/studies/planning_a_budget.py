"""Plans for one budget: the laws they rest on, what they depend on, and the live figure's data.

Everything here takes a law and a request of :mod:`t2lib.planning`. The laws of GSM8K and of the
Gemstones' validation loss need released files; where these are not at hand they come as recorded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd

from t2lib._checks import FloatArray
from t2lib.data.curves import load_curves, load_published
from t2lib.data.layouts import load_points
from t2lib.data.registry import recorded
from t2lib.data.suites import load_questions
from t2lib.fitting.beta import fit_beta_consistent_counts, fit_beta_regression_counts
from t2lib.fitting.powers import fit_chinchilla
from t2lib.fitting.result import Fit
from t2lib.fitting.table import law_of
from t2lib.laws import BetaConsistentLaw, BetaRegressionLaw, Chinchilla, fitted_on
from t2lib.passk import beta_pass_at_k
from t2lib.planning.architecture import ArchitectureFamily
from t2lib.planning.costs import CostModel, Hardware
from t2lib.planning.forward import Allocation, allocate, frontier
from t2lib.planning.regions import AllocationRegion
from t2lib.planning.request import Request
from t2lib.planning.support import Support
from t2lib.plots import engineering
from t2lib.uncertainty.resampling import bootstrap

_MOST = 1e11  # samples beyond which a target is called out of reach


@dataclass(frozen=True)
class PlanningLaw:
    """A fitted law, and what says how sure it is.

    Attributes
    ----------
    law : Law
        It carries its support.
    draws : DataFrame
        Parameters of the law refitted to resampled models, one row a draw.
    note : str
        Whether it was computed here or recorded earlier.
    second : BetaRegressionLaw or None
        A second law fitted to the same rows.
    at_bounds : dict of str to int
        How many draws ended at which bound.
    """

    law: Any
    draws: pd.DataFrame
    note: str
    second: Any = None
    at_bounds: Mapping[str, int] | None = None


# ---------------------------------------------------------------------------------------- laws


def _fit_counts(table: pd.DataFrame, start: Any = None) -> Fit:
    names = ("n_params", "n_tokens", "n_samples", "n_correct")
    return fit_beta_consistent_counts(*(table[name] for name in names), start=start)


def _gsm8k(n_bootstrap: int, seed: int) -> dict[str, Any]:
    table = load_questions("pythia", "gsm8k")
    fit = _fit_counts(table)
    columns = (table[name] for name in ("n_params", "n_tokens", "n_samples", "n_correct"))
    second = fit_beta_regression_counts(*columns, chinchilla=fit.law.chinchilla)
    refit = partial(_fit_counts, start=fit.law)
    draws = bootstrap(refit, table, n=n_bootstrap, seed=seed, by="model")
    return {
        "consistent": fit.params,
        "regression": second.params,
        "draws": draws.to_dict("records"),
        "failed": draws.attrs["failed"]["number"],
        "at bounds": {name: int(n) for name, n in draws.attrs["at_bounds"].items()},
    }


def gsm8k_law(n_bootstrap: int = 30, seed: int = 0) -> PlanningLaw:
    """Beta-consistent law of Pythia's sampled answers to GSM8K, and Approach 2 of the same counts.

    Parameters
    ----------
    n_bootstrap, seed : int
        Resamples of the nine models; what was recorded has 30.

    Returns
    -------
    PlanningLaw
        Both laws carry the support of the embedded curves: their checkpoints, and the largest k
        that each was measured at.
    """
    record = recorded(
        "planning_pythia_gsm8k",
        partial(_gsm8k, n_bootstrap, seed),
        inputs=["pythia_gsm8k"],
        settings={"n_bootstrap": n_bootstrap, "seed": seed},
    )
    found = record.values
    support = Support.of(load_curves("pythia").query("task == 'gsm8k'"))
    return PlanningLaw(
        fitted_on(law_of("BetaConsistentLaw", found["consistent"]), support),
        pd.DataFrame(found["draws"]),
        record.note,
        fitted_on(law_of("BetaRegressionLaw", found["regression"]), support),
        found["at bounds"],
    )


def _fit_loss(points: pd.DataFrame) -> Fit:
    return fit_chinchilla(points["n_params"], points["n_tokens"], points["loss"])


def _validation_loss(n_bootstrap: int, seed: int) -> dict[str, Any]:
    points = load_points("gemstones")
    draws = bootstrap(_fit_loss, points, n=n_bootstrap, seed=seed, by="model")
    ranges = {"N": points["n_params"], "D": points["n_tokens"]}
    return {
        "params": _fit_loss(points).params,
        "draws": draws.to_dict("records"),
        "ranges": {name: [float(x.min()), float(x.max())] for name, x in ranges.items()},
    }


def validation_loss_law(n_bootstrap: int = 30, seed: int = 0) -> PlanningLaw:
    """Chinchilla's law of the Gemstones' validation loss.

    Every Gemstones model was measured at the same tokens, so the hull of its checkpoints is a box.

    Parameters
    ----------
    n_bootstrap, seed : int
        Resamples of the 22 models; what was recorded has 30.
    """
    record = recorded(
        "planning_gemstones_loss",
        partial(_validation_loss, n_bootstrap, seed),
        inputs=["gemstones_loss_edu"],
        settings={"n_bootstrap": n_bootstrap, "seed": seed},
    )
    N, D = np.meshgrid(record.values["ranges"]["N"], record.values["ranges"]["D"])
    corners = pd.DataFrame({"n_params": N.ravel(), "n_tokens": D.ravel()})
    law = fitted_on(
        law_of("Chinchilla", record.values["params"]), Support.of(corners, metric="loss")
    )
    return PlanningLaw(law, pd.DataFrame(record.values["draws"]), record.note)


def a100(price_per_hour: float = 2.0) -> Hardware:
    """An A100 of 80 GB with assumed utilisations, 0.4 for arithmetic and 0.1 for writing.

    Parameters
    ----------
    price_per_hour : float
        Money for a card and hour, in any currency: an assumption.
    """
    card = load_published("cards").set_index("card").loc["A100 80GB SXM"]
    known = card[["peak_flops", "memory_bytes", "bandwidth", "watts"]].astype(float)
    return Hardware(**known, price_per_hour=price_per_hour)


# --------------------------------------------------------------------------------------- plans


def best_inside(law: Any, *, total_flops: float, points: int = 161, **request: Any) -> Allocation:
    """Find the best plan that lies inside the law's support, on a grid of N and D.

    At each N and D of the hull the rest of the budget buys samples, no more than were measured
    near by. What is left over is not spent.

    Parameters
    ----------
    law : Law with ``pass_at_k`` that carries its support
    total_flops : float
        Budget for training and all queries.
    points : int
        Grid points along each axis; N and D are as good as the grid, 4 % for Pythia's ranges.
    **request
        ``queries`` and ``cost``, as :func:`~t2lib.allocate` takes them.

    Returns
    -------
    Allocation
        With the budgets that it spends: apart, for training and for one query.

    Raises
    ------
    ValueError
        Where the budget pays for no plan inside.
    """
    support, cost, queries = law.support, request["cost"], request["queries"]
    ends = support.ranges
    sizes, tokens = (np.geomspace(low, high, points) for low, high in (ends["N"], ends["D"]))
    N, D = np.meshgrid(sizes, tokens, indexing="ij")
    left = (total_flops - cost.train_flops(N, D)) / queries
    paid = np.zeros(N.shape)
    paid[left > 0] = cost.samples(N[left > 0], left[left > 0])
    k = np.minimum(paid, support.largest_k(N, D))
    inside = (k >= 1) & support.contains(N, D, np.maximum(k, 1.0))
    if not inside.any():
        raise ValueError(f"total_flops {total_flops:g} pays for no plan inside what was fitted")
    reached = np.where(inside, law.pass_at_k(N, D, np.maximum(k, 1.0)), -1.0)
    best = np.unravel_index(reached.argmax(), N.shape)
    n, d, most = (float(x[best]) for x in (N, D, k))
    return Allocation(
        N=n,
        D=d,
        k=most,
        metric=float(reached[best]),
        metric_name="pass_at_k",
        at_bounds=(),
        train_flops=float(cost.train_flops(n, d)),
        inference_flops=float(cost.query_flops(n, most)),
        support=support,
        _law=law,
        _cost=cost,
    )


def pass_by_share(
    law: Any, shares: npt.ArrayLike, *, total_flops: float, queries: Sequence[float], cost: Any
) -> pd.DataFrame:
    """Forecast pass@k of the best plan with a given share of answering.

    Parameters
    ----------
    shares : array_like, shape (n,)
        Shares of answering in all FLOPs, between 0 and 1.
    queries : sequence of float
        Numbers of queries.
    law, total_flops, cost
        As :func:`~t2lib.allocate` takes them.

    Returns
    -------
    DataFrame
        A row a share, a column a number of queries.
    """
    shares = np.asarray(shares, dtype=float)
    columns = {}
    for asked in queries:
        train, query = (1 - shares) * total_flops, shares * total_flops / asked
        plans = frontier(law, train_flops=train, inference_flops=query, cost=cost)
        columns[asked] = plans["pass_at_k"].to_numpy()
    return pd.DataFrame(columns, index=pd.Index(shares, name="share"))


def elasticities(law: Any, plan: Allocation, cost: Any, step: float = 1e-3) -> pd.Series:
    """By how many per cent success rises with one per cent more compute, N chosen anew.

    Parameters
    ----------
    law, cost
        As the plan was found with.
    plan : Allocation
        Of a lifetime budget.
    step : float
        Half the width of the difference in log compute.

    Returns
    -------
    Series
        ``train`` and ``query``; ``spent``, FLOPs of all queries over those of training. At the best
        split ``query / train`` is ``spent``.
    """
    budgets = {
        "train_flops": plan.cost["train_flops"],
        "inference_flops": plan.cost["query_flops"],
    }
    found = {}
    for name, which in (("train", "train_flops"), ("query", "inference_flops")):
        ends = [
            allocate(law, **{**budgets, which: budgets[which] * np.exp(move)}, cost=cost).metric
            for move in (step, -step)
        ]
        found[name] = float(np.log(ends[0] / ends[1]) / (2 * step))
    spent = plan.cost["serving_flops"] / plan.cost["train_flops"]
    return pd.Series(found | {"spent": spent})


def _samples_for(target: float, a: FloatArray, b: FloatArray) -> FloatArray:
    """Least k at which a Beta(a, b) reaches a target, by bisection; infinite: out of reach."""
    low, high = np.zeros(a.shape), np.full(a.shape, np.log(1e12))
    for _ in range(45):
        middle = (low + high) / 2
        enough = beta_pass_at_k(a, b, np.exp(middle)) >= target
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(high < np.log(_MOST), np.exp(high), np.inf)


def totals_for_target(
    law: Any, target: float, train_flops: npt.ArrayLike, *, queries: float, cost: Any
) -> pd.DataFrame:
    """Least total that reaches a target pass@k, for each training budget; 6 N D is spent on it.

    Parameters
    ----------
    law : BetaConsistentLaw or BetaRegressionLaw
        ``inside`` needs its support.
    target : float
        Pass@k to reach.
    train_flops : array_like, shape (n,)
        Training budgets.
    queries, cost
        As :func:`~t2lib.allocate` takes them.

    Returns
    -------
    DataFrame
        A row a budget: ``train_flops``, ``N``, ``D``, ``k``, ``total_flops`` and ``inside``. N is
        from a grid; budgets that cannot reach the target are left out.
    """
    C = np.atleast_1d(np.asarray(train_flops, dtype=float))
    N = np.broadcast_to(np.geomspace(1e6, 1e12, 121)[:, None], (121, len(C)))
    D = C / (6 * N)
    k = _samples_for(target, *law.shape(N, D))
    total = C + queries * cost.query_flops(N, np.where(np.isfinite(k), k, 1e200))
    best = total.argmin(axis=0), np.arange(len(C))
    table = pd.DataFrame({"train_flops": C, "N": N[best], "D": D[best], "k": k[best]})
    table["total_flops"] = total[best]
    table = table[np.isfinite(table["k"])].reset_index(drop=True)
    return table.assign(inside=law.support.contains(table["N"], table["D"], table["k"]))


# ------------------------------------------------------------------------------- what it hangs on


def variations(
    found: PlanningLaw, *, total_flops: float, queries: float, cost: CostModel, card: Hardware
) -> pd.DataFrame:
    """Plan again with one thing changed at a time.

    Parameters
    ----------
    found : PlanningLaw
        With a second law.
    total_flops, queries, cost
        The base case, as :func:`~t2lib.allocate` takes it.
    card : Hardware
        Turns the base case's bill into money.

    Returns
    -------
    DataFrame
        A row a change, the base case first: ``N``, ``tokens_per_parameter``, ``k``,
        ``over_chinchilla`` (tokens per parameter over those of the law's own Chinchilla at the
        plan's 6 N D) and ``inside``.
    """
    base = {"law": found.law, "total_flops": total_flops, "queries": queries, "cost": cost}
    changes: dict[str, dict[str, Any]] = {"base case": {}, **_changes(found, base, card)}
    chinchilla, rows = found.law.chinchilla, {}
    for name, change in changes.items():
        plan = allocate(**{**base, **change})
        usual = float(chinchilla.tokens_per_parameter(6 * plan.N * plan.D))
        rows[name] = {
            "N": plan.N,
            "tokens_per_parameter": plan.tokens_per_parameter,
            "k": plan.k,
            "over_chinchilla": plan.tokens_per_parameter / usual,
            "inside": not plan.extrapolation,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _changes(
    found: PlanningLaw, base: Mapping[str, Any], card: Hardware
) -> dict[str, dict[str, Any]]:
    """The changes of :func:`variations`, each as keywords."""
    plan = allocate(**base)
    cost, queries, total = base["cost"], base["queries"], base["total_flops"]
    bill = cost.bill(plan.N, plan.D, plan.k, queries, card)["total"]
    long = replace(cost, prompt_tokens=4000)
    family = ArchitectureFamily(vocabulary=50_304)
    return {
        "Approach 2's law": {"law": found.second},
        "queries × 1,000": {"queries": 1000 * queries},
        "queries ÷ 1,000": {"queries": queries / 1000},
        "budget × 10": {"total_flops": 10 * total},
        "budget ÷ 10": {"total_flops": total / 10},
        "answers 10 times as long": {"cost": replace(cost, answer_tokens=10 * cost.answer_tokens)},
        "prompt of 4,000 tokens": {"cost": long},
        "prompt of 4,000, cache apart": {"cost": replace(long, shared_cache=False)},
        "verifier finds half": {"verifier": 0.5},
        "at most 16 samples": {"max_k": 16},
        "one sample": {"max_k": 1},
        "20 B unique tokens": {"unique_tokens": 2e10},
        "attention counted": {"cost": replace(cost, architecture=family)},
        "the same bill in money": {"total_flops": bill["money"], "cost": cost.in_money(card)},
        "judged by -log pass@k": {"metric": "neg_log_pass"},
    }


def ways_to_answer(law: Any, rates: Sequence[float] = (), **asked: Unpack[Request]) -> pd.DataFrame:
    """Plan for each way to make one answer of k samples.

    Parameters
    ----------
    law : Law
        With a Beta distribution of p.
    rates : sequence of float
        Chances that the verifier accepts a wrong sample.
    **asked
        The budget, as :func:`~t2lib.allocate` takes it.

    Returns
    -------
    DataFrame
        A row a way, the verifier that accepts no wrong sample first, then the rates, the votes and
        stopping at the first success: ``N``, ``tokens_per_parameter``, ``k`` (a mean where queries
        stop early), ``most_samples`` and ``right``, the share answered right.
    """
    ways: dict[str, Request] = {"perfect verifier": {}}
    ways |= {f"accepts {rate:.2g} of the wrong": {"false_positives": rate} for rate in rates}
    ways |= {"vote, wrong differ": {"vote": "differ"}, "vote, wrong agree": {"vote": "agree"}}
    ways["stops at the first success"] = {"stop_early": True}
    rows = {}
    for name, way in ways.items():
        request: Any = {**asked, **way}
        plan = allocate(law, **request)
        rows[name] = {
            "N": plan.N,
            "tokens_per_parameter": plan.tokens_per_parameter,
            "k": plan.k,
            "most_samples": plan.k if plan.most_samples is None else plan.most_samples,
            "right": plan.metric,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def plan_table(regions: Mapping[str, AllocationRegion]) -> pd.DataFrame:
    """Write plans with their intervals over resampled laws, a column a plan.

    Parameters
    ----------
    regions : mapping of str to AllocationRegion
        Of lifetime budgets.

    Returns
    -------
    DataFrame
        Of text: the plan's numbers with the interval of the resampled laws' own plans; the
        forecast of this plan, with the interval of what the resampled laws say of it.
    """
    columns = {}
    for name, region in regions.items():
        plan = region.point
        ends = region.intervals.to_dict("index")
        low, high = region.forecast
        columns[name] = {
            "N": _with_ends(ends["N"]),
            "D / N": _with_ends(ends["tokens_per_parameter"]),
            "k": _with_ends(ends["k"]),
            "forecast": f"{plan.metric:.2f} ({low:.2f} to {high:.2f})",
            "answering": f"{plan.cost['serving_share']:.0%}",
            "inside": "no" if plan.extrapolation else "yes",
        }
    return pd.DataFrame(columns)


def _with_ends(row: Mapping[Any, float]) -> str:
    point, low, high = (engineering(row[name]) for name in ("point", "low", "high"))
    return point if point == low == high else f"{point} ({low} to {high})"


# ---------------------------------------------------------------------------- the cost model


def counted_over_simple(cost: CostModel, N: npt.ArrayLike, k: float | None = None) -> FloatArray:
    """All matrix products of an architecture, over the formulas 6 N D and 2 N (P + k T).

    Parameters
    ----------
    cost : CostModel
        With an architecture.
    N : array_like
        Parameters.
    k : float, optional
        Samples of a query; None compares training.
    """
    simple = replace(cost, architecture=None)
    if k is None:
        return np.asarray(cost.train_flops(N, 1e9) / simple.train_flops(N, 1e9))
    return np.asarray(cost.query_flops(N, k) / simple.query_flops(N, k))


def memory_table(
    card: Hardware, N: Sequence[float], groups: Sequence[int], prompt: int, answer: int
) -> pd.DataFrame:
    """Cache bytes for each token, and the samples of one query that a card holds.

    Parameters
    ----------
    card : Hardware
        With its memory.
    N : sequence of float
        Model sizes.
    groups : sequence of int
        Query heads that share one key-value head.
    prompt, answer : int
        Tokens.

    Returns
    -------
    DataFrame
        A row a size and group: ``bytes_per_token``, ``shared`` and ``apart`` (samples that fit with
        one cache of the prompt for all, and with one for each).
    """
    rows = {}
    for size in N:
        for group in groups:
            family = ArchitectureFamily(group=group)
            shared = CostModel(prompt, answer, architecture=family)
            apart = replace(shared, shared_cache=False)
            rows[engineering(size), group] = {
                "bytes_per_token": float(shared.cache_bytes(size, 1)) / (prompt + answer),
                "shared": int(shared.samples_that_fit(size, card)),
                "apart": int(apart.samples_that_fit(size, card)),
            }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis(["N", "group"])


# ------------------------------------------------------------------------------- the live figure


def live_law(label: str, law: Any, draws: pd.DataFrame | None = None) -> dict[str, Any]:
    """Write a law, its resampled laws and its support as plain numbers for the live figure.

    Parameters
    ----------
    label : str
        Name in the figure's list.
    law : BetaConsistentLaw or BetaRegressionLaw
        It carries its support.
    draws : DataFrame, optional
        Parameters of the law refitted to resampled models.

    Raises
    ------
    TypeError
        For another law, which the script does not know.
    ValueError
        For a law without support.
    """
    if not isinstance(law, BetaConsistentLaw | BetaRegressionLaw):
        raise TypeError(f"{type(law).__name__}: the live figure knows the two Beta laws only")
    if law.support is None:
        raise ValueError("the law was fitted to nothing: the live figure shows what was measured")
    laws = [] if draws is None else [law_of(law, row) for row in draws.to_dict("records")]
    return {
        "label": label,
        **_numbers(law),
        "draws": [_numbers(one) for one in laws],
        "support": law.support.outline(),
    }


def _numbers(law: BetaConsistentLaw | BetaRegressionLaw) -> dict[str, Any]:
    chinchilla: Chinchilla = law.chinchilla
    found: dict[str, Any] = {x: getattr(chinchilla, x) for x in ("E", "A", "B", "alpha", "beta")}
    if isinstance(law, BetaConsistentLaw):
        return found | {"kind": "consistent", "c0": law.c0, "c1": law.c1}
    return found | {"kind": "regression", "theta": list(law.theta)}


def live_figure(laws: Sequence[Mapping[str, Any]], start: Mapping[str, Any]) -> str:
    """Return the HTML of the live figure; the site's script ``budget.js`` fills it.

    Parameters
    ----------
    laws : sequence of dict
        As :func:`live_law` returns them.
    start : dict
        ``train`` and ``queries`` (their logarithms to base 10), ``target``, ``prompt``,
        ``answer``, ``shared``: the controls at the start.
    """
    data = json.dumps({"laws": list(laws), "start": dict(start)}).replace("<", "\\u003c")
    return (
        '<div id="t2-live" class="t2-live" role="group" aria-label="Plan a budget">'
        "<p>The live figure needs JavaScript and the built site. The figure above shows three of "
        "its settings.</p></div>"
        f'<script type="application/json" id="t2-live-laws">{data}</script>'
        '<script src="../_static/budget.js" defer></script>'
    )
