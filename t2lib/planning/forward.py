"""The best model size, tokens and samples for a law and a budget.

Two kinds of budget. *Apart*, as in the T2 paper: ``6 N D <= train_flops`` for training and
``2 N k <= inference_flops`` for each query. *Lifetime*: one ``total_flops`` for training and all
queries that the model will ever answer. What training and a query cost is a
:class:`~t2lib.CostModel`; by default it is the paper's, where a query is one token. Every function
takes the same keywords, those of a :class:`~t2lib.planning.request.Request`.

A law gains from every FLOP, so budgets are spent whole, even where more buys nothing any more
(:func:`~t2lib.cheapest` tells the least that is enough). The searches are exact in one
dimension and converge to the bottom of every basin in two. They give the law's own answer, however
far that lies from any model that was ever fitted; how far is told by the support that a fitted law
carries (:mod:`t2lib.planning.support`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd

from t2lib._checks import FloatArray, not_negative, positive, require
from t2lib.laws import Law
from t2lib.planning.budgets import Apart, Budget, Lifetime, Plans
from t2lib.planning.costs import Cost, CostModel
from t2lib.planning.objective import Objective
from t2lib.planning.request import Range, Request, check_names
from t2lib.planning.selection import StopEarly
from t2lib.planning.support import Fitted, Support

# Where samples are limited otherwise: still a number, so that samples may cost nothing.
_UNLIMITED = 1e15


@dataclass(frozen=True)
class Allocation:
    """The best use of a budget.

    Attributes
    ----------
    N, D, k : float
        Parameters, training tokens (repetitions counted), samples per query (the mean of them
        where queries stop early).
    metric : float
        The law's metric there, with the verifier and the data wall.
    metric_name : {"pass_at_k", "neg_log_pass", "loss", "answered_right"}
        Which metric it is; the first and the last are shares, the other two are in nats.
    at_bounds : tuple of str
        Ends of the allowed ranges at which the optimum lies. Empty: it lies inside.
    train_flops : float
        Training budget; of a lifetime budget, what the plan spends on training.
    inference_flops : float or None
        Budget for one query, where there was one.
    total_flops, queries : float or None
        Budget for everything and the number of queries, where they were given.
    unique_tokens : float or None
        Stock of unique tokens, where it is finite.
    most_samples : float or None
        What a query that stops early takes at most.
    support : Support or None
        What the law was fitted to; None for a law that was built by hand.
    """

    N: float
    D: float
    k: float
    metric: float
    metric_name: str
    at_bounds: tuple[str, ...]
    train_flops: float
    inference_flops: float | None = None
    total_flops: float | None = None
    queries: float | None = None
    unique_tokens: float | None = None
    most_samples: float | None = None
    support: Support | None = field(default=None, repr=False, compare=False)
    _law: Law | None = field(default=None, repr=False, compare=False)
    _cost: Cost | None = field(default=None, repr=False, compare=False)

    @property
    def tokens_per_parameter(self) -> float:
        """Training tokens per parameter, D / N; 20 is the rule of thumb without inference."""
        return self.D / self.N

    @property
    def epochs(self) -> float | None:
        """How often the stock of unique tokens is seen, D / U; None where it is endless."""
        return None if self.unique_tokens is None else self.D / self.unique_tokens

    @property
    def extrapolation(self) -> dict[str, float] | None:
        """How far the plan lies outside of what was fitted; None where that is not known.

        Only what lies outside is in it, so empty is inside: ``N`` and ``D`` over those of the
        nearest place of the checkpoints' hull, ``k`` over the largest that was measured near by.
        """
        return None if self.support is None else self.support.outside(*self.place)

    @property
    def nearest(self) -> pd.DataFrame | None:
        """Checkpoints around the plan, with what was seen and what the law says; None: not known.

        Columns as :meth:`t2lib.planning.support.Support.nearest` has them.
        """
        if self.support is None:
            return None
        return self.support.nearest(*self.place, self._law)

    @property
    def place(self) -> tuple[float, float, float]:
        """N, D, and the samples up to which the law is asked."""
        return self.N, self.D, self.k if self.most_samples is None else self.most_samples

    @property
    def cost(self) -> dict[str, float]:
        """What the plan spends, in FLOPs (in money with a cost model in money).

        ``train_flops``; for one query ``query_flops`` and, where the cost model tells them apart,
        its parts ``prefill_flops`` and ``decode_flops``. Of a lifetime budget also
        ``serving_flops`` for all queries, ``total_flops``, and ``serving_share`` of the total. With
        apart budgets and the
        paper's costs also ``sample_flops_per_token`` (2 N) and ``inference_flops_per_token``
        (2 N k), its own terms.
        """
        model = cost_model(self._cost)
        spent: dict[str, Any] = {"train_flops": model.train_flops(self.N, self.D)}
        spent["query_flops"] = model.query_flops(self.N, self.k)
        for part in ("prefill_flops", "decode_flops"):
            if callable(of := getattr(model, part, None)):
                spent[part] = of(self.N, self.k)
        if self.queries is not None:
            spent["serving_flops"] = self.queries * spent["query_flops"]
            spent["total_flops"] = spent["train_flops"] + spent["serving_flops"]
            spent["serving_share"] = spent["serving_flops"] / spent["total_flops"]
        elif self._cost is None:
            spent["sample_flops_per_token"] = 2 * self.N
            spent["inference_flops_per_token"] = 2 * self.N * self.k
        return {name: float(value) for name, value in spent.items()}

    def summary(self) -> str:
        """Return the plan in words: the plan and whether it lies inside, then a line a thing."""
        lines = [self._sentence()]
        cost = self.cost
        unit = getattr(cost_model(self._cost), "unit", "FLOPs")
        train, query = cost["train_flops"], cost["query_flops"]
        lines.append(f"training {train:.4g} {unit}, a query {query:.4g}")
        if "serving_share" in cost:
            lines[-1] += (
                f"; {self.queries:.4g} queries take {cost['serving_share']:.1%}"
                f" of {cost['total_flops']:.4g}"
            )
        if self.epochs is not None:
            lines.append(f"{self.epochs:.3g} epochs of {self.unique_tokens:.4g} unique tokens")
        lines += [f"bound: {bound}" for bound in self.at_bounds]
        return "\n".join(lines + self._neighbours())

    def _sentence(self) -> str:
        where = "no fitted range is known: the law was built by hand"
        if self.support is not None:
            where = self.support.in_words(*self.place)
        samples = f"k = {self.k:.4g} samples per query"
        if self.most_samples is not None:
            samples += f" on average, at most {self.most_samples:.4g}"
        return (
            f"N = {self.N:.4g} parameters, D = {self.D:.4g} tokens "
            f"({self.tokens_per_parameter:.4g} per parameter), {samples}: "
            f"{self.metric_name} = {self.metric:.4g}, {where}"
        )

    def _neighbours(self) -> list[str]:
        nearest = self.nearest
        if nearest is None or self.support is None or nearest["seen"].isna().all():
            return []
        lines = []
        for row in nearest.to_dict("records"):
            samples = f", k = {row['k']:.4g} of at most {row['largest_k']:.4g}"
            seen = "" if np.isnan(row["seen"]) else f"{row['seen']:.3g} seen, "
            lines.append(
                f"near by: N = {row['N']:.3g}, D = {row['D']:.3g}"
                f"{samples if self.support.knows_k else ''}: "
                f"{self.support.metric} {seen}{row['law']:.3g} by the law"
            )
        return lines


def allocate(law: Law, *, fitted: Fitted | None = None, **request: Unpack[Request]) -> Allocation:
    """Find the best (N, D, k) for a law and a budget.

    Give either ``train_flops``, alone or with ``inference_flops``, or ``total_flops`` with
    ``queries``.

    Parameters
    ----------
    law : Law with a method ``pass_at_k``, ``neg_log_pass`` or ``loss``
        Any law of t2lib, or one's own. A law of the loss alone has no use for samples: an
        inference budget only forbids models too large to be sampled once, and of a lifetime budget
        one sample is drawn.
    fitted : DataFrame, mapping or Support, optional
        The table that the law was fitted to, or its ranges
        (:meth:`t2lib.planning.support.Support.of`), where the law does not carry it, as the law of
        a fit does. The search does not depend on it; ``Allocation.extrapolation`` does.
    **request
        ``train_flops``, ``inference_flops``, ``total_flops``, ``queries``, ``cost``, ``metric``,
        ``whole_k``, ``n_range``, ``max_k``, ``unique_tokens``, ``verifier``,
        ``false_positives``, ``vote``, ``stop_early``: see
        :class:`~t2lib.planning.request.Request`.

    Returns
    -------
    Allocation
        N within about 1e-9 of the optimum in log N under apart budgets (1e-7 where an end of the
        range is within 1 % of it), 1e-6 where k is free under a lifetime budget; the metric to
        rounding.

    Raises
    ------
    ValueError
        Where a number is out of its range, no allowed N can be paid for, samples cost nothing and
        have no limit, or the law lacks the metric.

    References
    ----------
    Roberts et al. (2026), arXiv:2604.01411, section 2, for the apart budgets; Sardana et al.
    (2024), arXiv:2401.00448, for one budget with k = 1 and no shared cache.

    Examples
    --------
    >>> from t2lib.laws import Chinchilla
    >>> law = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
    >>> plan = allocate(law, train_flops=1e21)
    >>> f"{plan.N:.4g}", f"{law.optimum(1e21)[0]:.4g}"
    ('1.824e+09', '1.824e+09')
    >>> allocate(law, train_flops=1e21, inference_flops=2e9).at_bounds
    ('N at its upper bound 1e+09',)
    >>> chat = CostModel(prompt_tokens=500, answer_tokens=500, shared_cache=False)
    >>> plan = allocate(law, total_flops=1e21, queries=1e8, cost=chat)
    >>> f"{plan.N:.3g}, {plan.cost['serving_share']:.0%}"
    '1.1e+09, 22%'
    """
    budget = budget_of(law, request)
    if len(budget) != 1:
        raise ValueError("allocate takes one budget: frontier takes many")
    support = getattr(law, "support", None)
    if fitted is not None:
        support = Support.of(fitted, budget.objective.measured)
    return _allocation(budget, budget.solve(request.get("whole_k", False)), request, support)


def frontier(law: Law, **request: Unpack[Request]) -> pd.DataFrame:
    """Find the best (N, D, k) for each of many budgets.

    Parameters
    ----------
    law : Law
        As in :func:`allocate`.
    **request
        As in :func:`allocate`, the budgets as arrays that broadcast.

    Returns
    -------
    DataFrame
        One row a budget: ``train_flops`` and ``inference_flops`` (NaN without one), or
        ``total_flops``, ``queries``, ``train_flops`` (what training gets) and ``serving_share``;
        then ``N``, ``D``, ``k``, ``tokens_per_parameter``, the metric under its own name, and
        ``at_bounds`` (text, empty where the optimum is inside).

    Raises
    ------
    ValueError
        As :func:`allocate`; the first budget that cannot be met is named.
    """
    budget = budget_of(law, request)
    plans = budget.solve(request.get("whole_k", False))
    table = _table(budget, plans)
    table["at_bounds"] = ["; ".join(names) for names in _at_bounds(budget, plans)]
    return table


def isoflop_profile(law: Law, *, N: npt.ArrayLike, **request: Unpack[Request]) -> pd.DataFrame:
    """Evaluate a law at chosen model sizes that spend the same budgets.

    Parameters
    ----------
    law : Law
        As in :func:`allocate`.
    N : array_like, positive
        Model sizes. For several budgets give these a new axis: ``budgets[:, None]``.
    **request
        As in :func:`allocate`, without ``n_range`` and ``whole_k``; the budgets broadcast with N.
        Under a lifetime budget, each N gets the k that is best for it.

    Returns
    -------
    DataFrame
        One row an element of the broadcast, columns as in :func:`frontier` without ``at_bounds``; k
        is not rounded.

    Raises
    ------
    TypeError
        For ``n_range`` or ``whole_k``.
    ValueError
        Where a number is not positive and finite, a model costs more than the budget pays for, or
        the law lacks the metric.
    """
    for name in ("n_range", "whole_k"):
        if name in request:
            raise TypeError(f"isoflop_profile takes no {name}: N is given, and k not rounded")
    budget = budget_of(law, request, sizes=positive(N, "N"))
    return _table(budget, budget.solve(whole_k=False))


# ------------------------------------------------------------------------------- the border


def budget_of(law: Law, request: Request, sizes: FloatArray | None = None) -> Budget:
    """Check what was asked for and return the budgets, one a row, with what limits them.

    ``sizes`` (which broadcast with the budgets) hold N fixed, in the place of ``n_range``.
    """
    check_names(request)
    objective = Objective.asked(law, request)
    smallest, largest = range_of(request.get("n_range"))
    cost = request.get("cost")
    model, most = cost_model(cost), _most_samples(request.get("max_k"))
    if isinstance(objective.way, StopEarly) and np.isfinite(most):
        most = _UNLIMITED  # max_k caps a query, not the mean
    train_flops, inference_flops = request.get("train_flops"), request.get("inference_flops")
    total_flops, queries = request.get("total_flops"), request.get("queries")
    apart = train_flops is not None
    if apart == (total_flops is not None):
        raise ValueError("give either train_flops or total_flops")
    if apart and queries is not None:
        raise ValueError("queries belong to total_flops: with train_flops give inference_flops")
    if not apart and (queries is None or inference_flops is not None):
        raise ValueError("total_flops needs queries, and takes no inference_flops")

    names = ("train_flops", "inference_flops") if apart else ("total_flops", "queries")
    given = (train_flops, inference_flops) if apart else (total_flops, queries)
    budgets = [
        (not_negative if name == "queries" else positive)(values, name)
        for name, values in zip(names, given, strict=True)
        if values is not None
    ]
    shape = np.broadcast_shapes(*(b.shape for b in budgets), () if sizes is None else sizes.shape)
    first, *rest = (np.broadcast_to(b, shape).ravel() for b in budgets)
    if not first.size:
        raise ValueError(f"{names[0]} is empty")
    low, high = np.full(first.shape, smallest), np.full(first.shape, largest)
    if sizes is not None:
        low = high = np.broadcast_to(sizes, shape).ravel()
    budget: Budget
    if apart:
        query = rest[0] if rest else None
        budget = Apart(objective, model, low, high, most, train=first, query=query)
    else:
        budget = Lifetime(objective, model, low, high, most, total=first, queries=rest[0])
    _check_paid(budget, shape, sizes, cost is None)
    _check_samples(budget)
    return budget


def cost_model(cost: Cost | None) -> Cost:
    """Return the cost model, the paper's where none is given; ValueError where it is none."""
    lacks = [name for name in ("train_flops", "tokens", "query_flops") if not hasattr(cost, name)]
    if cost is not None and lacks:
        raise ValueError(f"cost is a {type(cost).__name__} without {', '.join(lacks)}")
    return CostModel() if cost is None else cost


def range_of(n_range: Range | None) -> tuple[float, float]:
    """Smallest and largest N of a range with open ends; ValueError where it is none."""
    try:
        low, high = (None, None) if n_range is None else n_range
    except (TypeError, ValueError):
        raise ValueError(f"n_range is {n_range!r}: must be (smallest, largest)") from None
    smallest, largest = float(1.0 if low is None else low), float(np.inf if high is None else high)
    if not (0 < smallest < np.inf and smallest <= largest):
        raise ValueError(
            f"n_range is ({smallest:g}, {largest:g}): must be two positive sizes in rising order"
        )
    return smallest, largest


def _most_samples(max_k: float | None) -> float:
    if max_k is None:
        return np.inf
    if not max_k >= 1:
        raise ValueError(f"max_k is {max_k:g}: must be at least 1")
    return float(max_k)


def _check_paid(
    budget: Budget, shape: tuple[int, ...], sizes: FloatArray | None, paper: bool
) -> None:
    """Refuse the first budget that pays for no allowed N, or the first size it does not pay for."""
    low, cost = budget.low, budget.cost
    train, query = cost.train_flops(low, 1.0), cost.query_flops(low, 1.0)
    from_on = f"N from {low[0]:g} on"

    def check(name: str, amount: FloatArray, needed: FloatArray, any_N: str, this_N: str) -> None:
        paid = (needed <= amount * (1 + 1e-12)).reshape(shape)
        if sizes is None:
            require(paid, name, amount.reshape(shape), any_N)
        else:
            require(paid, "N", np.broadcast_to(sizes, shape), this_N)

    if isinstance(budget, Lifetime):
        needed = train + budget.queries * query
        none = f"it does not pay for one token and the queries at any {from_on}"
        here = "total_flops does not pay for one token and the queries"
        check("total_flops", budget.total, needed, none, here)
    elif isinstance(budget, Apart):
        none = f"it buys no token for any {from_on}"
        check("train_flops", budget.train, train, none, "train_flops buys no token")
        if budget.query is not None:
            sample = "2 N" if paper else "one sample"
            none = f"{sample} exceeds it for every {from_on}: no sample is paid"
            here = f"{sample} exceeds inference_flops, so no sample is paid"
            check("inference_flops", budget.query, query, none, here)


def _check_samples(budget: Budget) -> None:
    """Refuse samples that cost nothing and have no limit, or whose cost is no straight line."""
    if not budget.objective.samples_matter:
        return
    if isinstance(budget, Apart) and budget.query is None:
        return
    one, two, three = (budget.cost.query_flops(budget.low, k) for k in (1.0, 2.0, 3.0))
    if not np.allclose(three - two, two - one, rtol=1e-6, atol=1e-9 * one.max()):
        raise ValueError("cost.query_flops is not linear in k")
    each = two - one
    if isinstance(budget, Lifetime):
        each = each * budget.queries
    if np.isinf(budget.max_k) and (each <= 0).any():
        raise ValueError("samples cost nothing here, and more are always better: give max_k")


# ------------------------------------------------------------------------------- the answer


def _allocation(
    budget: Budget, plans: Plans, request: Request, support: Support | None
) -> Allocation:
    wall = budget.objective.wall
    apart = isinstance(budget, Apart)
    row = _table(budget, plans).iloc[0]
    query = row["inference_flops"] if apart else np.nan
    return Allocation(
        N=float(plans.N[0]),
        D=float(plans.D[0]),
        k=float(row["k"]),
        metric=float(row[budget.objective.name]),
        metric_name=budget.objective.name,
        at_bounds=_at_bounds(budget, plans)[0],
        train_flops=float(row["train_flops"]),
        inference_flops=None if np.isnan(query) else float(query),
        total_flops=None if apart else float(row["total_flops"]),
        queries=None if apart else float(row["queries"]),
        unique_tokens=None if wall is None else wall.unique_tokens,
        most_samples=float(row["most_samples"]) if "most_samples" in row else None,
        support=support,
        _law=budget.objective.law,
        _cost=request.get("cost"),
    )


def _table(budget: Budget, plans: Plans) -> pd.DataFrame:
    N, D, k = plans.N, plans.D, plans.k
    most: dict[str, FloatArray] = {}
    if isinstance(budget.objective.way, StopEarly):
        k, most["most_samples"] = budget.objective.stopping(N, D, k)
    columns: dict[str, Any] = {}
    if isinstance(budget, Apart):
        columns["train_flops"] = budget.train
        columns["inference_flops"] = np.nan if budget.query is None else budget.query
    elif isinstance(budget, Lifetime):
        columns["total_flops"], columns["queries"] = budget.total, budget.queries
        columns["train_flops"] = train = budget.cost.train_flops(N, D)
        serving = budget.queries * budget.cost.query_flops(N, k)
        columns["serving_share"] = serving / (train + serving)
    columns |= {"N": N, "D": D, "k": k, **most, "tokens_per_parameter": D / N}
    columns[budget.objective.name] = budget.objective.metric(N, D, k)
    return pd.DataFrame(columns)


def _at_bounds(budget: Budget, plans: Plans) -> list[tuple[str, ...]]:
    names, way = [], budget.objective.way
    for N, D, k, low, high in zip(plans.N, plans.D, plans.k, budget.low, budget.high, strict=True):
        bounds = [
            f"N at its {side} bound {bound:.6g}"
            for side, bound in (("lower", low), ("upper", high))
            if abs(np.log(N / bound)) < 1e-9
        ]
        if isinstance(budget, Lifetime) and D < 1 + 1e-9:
            bounds.append("D at its lower bound 1")
        if budget.objective.samples_matter and k > 1 and k >= np.floor(budget.max_k):
            bounds.append(f"k at its upper bound {k:.6g}")
        if isinstance(way, StopEarly):
            most = float(budget.objective.stopping(*map(np.asarray, (N, D, k)))[1])
            if most > way.most * (1 - 1e-9):
                bounds.append(f"samples of a query at their upper bound {way.most:.6g}")
        names.append(tuple(bounds))
    return names
