"""The best model size, tokens and samples for a law and a budget.

Two kinds of budget. *Apart*, as in the T2 paper: ``6 N D <= train_flops`` for training and
``2 N k <= inference_flops`` for each query. *End to end*: one ``total_flops`` for training and all
queries that the model will ever answer. What training and a query cost is a
:class:`~t2lib.CostModel`; by default it is the paper's, where a query is one token.

A law gains from every FLOP, so budgets are spent whole, even where more buys nothing any more
(:func:`~t2lib.cheapest` tells the least that is enough). The searches are exact in one
dimension and converge to the bottom of every basin in two. They know no data: they give the law's
own answer, however far that lies from any model that was ever fitted; say ``fitted=`` to be told
how far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from t2lib._checks import FloatArray, not_negative, positive, require
from t2lib.planning import support as extrapolation
from t2lib.planning.budgets import Apart, Budget, Plans, Total
from t2lib.planning.costs import CostModel
from t2lib.planning.data_wall import DataWall
from t2lib.planning.objective import Metric, Objective

Range = tuple[float | None, float | None]


@dataclass(frozen=True)
class Allocation:
    """The best use of a budget.

    Attributes
    ----------
    N, D, k : float
        Parameters, training tokens (repetitions counted), samples per query.
    metric : float
        The law's metric there, with the verifier and the data wall.
    metric_name : {"pass_at_k", "neg_log_pass", "loss"}
        Which metric it is; pass@k is a share, the other two are in nats.
    at_bounds : tuple of str
        Ends of the allowed ranges at which the optimum lies. Empty: it lies inside.
    train_flops : float
        Training budget; end to end, what the plan spends on training.
    inference_flops : float or None
        Budget for one query, where there was one.
    total_flops, queries : float or None
        Budget for everything and the number of queries, where they were given.
    unique_tokens : float or None
        Stock of unique tokens, where it is finite.
    fitted : dict or None
        Ranges that the law was fitted over, where they were given.
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
    fitted: extrapolation.Ranges | None = field(default=None, repr=False)
    _cost: Any = field(default=None, repr=False, compare=False)

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
        """How far N, D, D/N and k lie beyond the fitted ranges; None where these are not known.

        Only what lies outside is in it: 3.2 is 3.2 times the largest fitted, 0.5 half the smallest.
        """
        if self.fitted is None:
            return None
        return extrapolation.beyond(self.fitted, self.N, self.D, self.k)

    @property
    def cost(self) -> dict[str, float]:
        """What the plan spends, in FLOPs (in money with a cost model in money).

        ``train_flops``; for one query ``query_flops`` and, where the cost model tells them apart,
        its parts ``prefill_flops`` and ``decode_flops``. End to end also ``serving_flops`` for all
        queries, ``total_flops``, and ``serving_share`` of the total. With apart budgets and the
        paper's costs also ``sample_flops_per_token`` (2 N) and ``inference_flops_per_token``
        (2 N k), its own terms.
        """
        model = cost_model(self._cost)
        spent = {"train_flops": model.train_flops(self.N, self.D)}
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
        """Return the plan in words, a line a thing."""
        ratio = self.tokens_per_parameter
        lines = [
            f"N = {self.N:.4g} parameters, D = {self.D:.4g} tokens ({ratio:.4g} per parameter)",
            f"k = {self.k:.4g} samples per query",
            f"{self.metric_name} = {self.metric:.4g}",
        ]
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
        if self.fitted is not None:
            ratios = extrapolation.beyond(self.fitted, self.N, self.D, self.k)
            beyond = extrapolation.in_words(ratios, self.fitted)
            lines += [f"extrapolation: {words}" for words in beyond]
            if not beyond:
                lines.append(f"within the fitted ranges of {', '.join(self.fitted)}")
        return "\n".join(lines)


def allocate(
    law: Any,
    *,
    train_flops: float | None = None,
    inference_flops: float | None = None,
    total_flops: float | None = None,
    queries: float | None = None,
    cost: Any = None,
    metric: Metric | None = None,
    whole_k: bool = False,
    n_range: Range | None = None,
    max_k: float | None = None,
    unique_tokens: float | DataWall | None = None,
    verifier: float = 1.0,
    fitted: pd.DataFrame | Mapping[str, tuple[float, float]] | None = None,
) -> Allocation:
    """Find the best (N, D, k) for a law and a budget.

    Give either ``train_flops``, alone or with ``inference_flops``, or ``total_flops`` with
    ``queries``.

    Parameters
    ----------
    law : object with a method ``pass_at_k``, ``neg_log_pass`` or ``loss``
        Any law of t2lib, or one's own. A law of the loss alone has no use for samples: an
        inference budget only forbids models too large to be sampled once, and end to end one
        sample is drawn.
    train_flops : float, optional
        Training budget in FLOPs; with the default costs ``D = train_flops / (6 N)``.
    inference_flops : float, optional
        Budget in FLOPs for one query; with the default costs ``k = inference_flops / (2 N)``, where
        a query is one token. Without one, a single sample is drawn (k = 1).
    total_flops : float, optional
        Budget in FLOPs for training and all queries,
        ``cost.train_flops(N, D) + queries * cost.query_flops(N, k)``. The best k is searched too.
    queries : float, optional
        Number of queries over the model's life, 0 or more.
    cost : CostModel, optional
        Or any object with vectorised methods ``train_flops(N, D)``, ``tokens(N, train_flops)``,
        its inverse in D, and ``query_flops(N, k)``, which is linear in k; all grow with N. By
        default ``CostModel()``, the paper's 6 N D and 2 N k.
    metric : {"pass_at_k", "neg_log_pass", "loss"}, optional
        What to make best; by default the first of these that the law has.
    whole_k : bool
        Whether k must be a whole number. Whole numbers of samples are searched apart, each over
        its own N; nothing is rounded.
    n_range : (float or None, float or None), optional
        Smallest and largest N allowed (memory); by default from 1 on. N is also kept where the
        budgets pay for one token and one sample.
    max_k : float, optional
        Most samples allowed (latency).
    unique_tokens : float or DataWall, optional
        Stock of unique tokens. Tokens beyond it are repetitions, worth less, and parameters beyond
        what suits it too: see :class:`~t2lib.DataWall`.
    verifier : float
        Chance v that the right sample is found when one of several is right, the same for every
        question. With k = 1 there is nothing to find. So success is ``pass@1``, or ``v pass@k``
        for k above 1, whichever is better; -log pass@k gets ``-log v`` more.
    fitted : DataFrame or mapping, optional
        The fitted table or the ranges it covers
        (:func:`~t2lib.planning.support.fitted_ranges`), for
        ``Allocation.extrapolation``. The search does not depend on it.

    Returns
    -------
    Allocation
        N within about 1e-9 of the optimum in log N under apart budgets (1e-7 where an end of the
        range is within 1 % of it), 1e-6 where k is free end to end; the metric to rounding.

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
    budget = budget_of(
        law,
        train_flops=train_flops,
        inference_flops=inference_flops,
        total_flops=total_flops,
        queries=queries,
        cost=cost,
        metric=metric,
        n_range=n_range,
        max_k=max_k,
        unique_tokens=unique_tokens,
        verifier=verifier,
    )
    if len(budget) != 1:
        raise ValueError("allocate takes one budget: frontier takes many")
    ranges = None if fitted is None else extrapolation.fitted_ranges(fitted)
    plans = budget.solve(whole_k)
    return _allocation(budget, plans, cost, ranges)


def frontier(
    law: Any,
    *,
    train_flops: npt.ArrayLike | None = None,
    inference_flops: npt.ArrayLike | None = None,
    total_flops: npt.ArrayLike | None = None,
    queries: npt.ArrayLike | None = None,
    cost: Any = None,
    metric: Metric | None = None,
    whole_k: bool = False,
    n_range: Range | None = None,
    max_k: float | None = None,
    unique_tokens: float | DataWall | None = None,
    verifier: float = 1.0,
) -> pd.DataFrame:
    """Find the best (N, D, k) for each of many budgets.

    Parameters
    ----------
    train_flops, inference_flops, total_flops, queries : array_like
        Budgets as in :func:`allocate`; they broadcast.
    law, cost, metric, whole_k, n_range, max_k, unique_tokens, verifier
        As in :func:`allocate`.

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
    budget = budget_of(
        law,
        train_flops=train_flops,
        inference_flops=inference_flops,
        total_flops=total_flops,
        queries=queries,
        cost=cost,
        metric=metric,
        n_range=n_range,
        max_k=max_k,
        unique_tokens=unique_tokens,
        verifier=verifier,
    )
    plans = budget.solve(whole_k)
    table = _table(budget, plans)
    table["at_bounds"] = ["; ".join(names) for names in _at_bounds(budget, plans)]
    return table


def isoflop_profile(
    law: Any,
    *,
    train_flops: npt.ArrayLike | None = None,
    inference_flops: npt.ArrayLike | None = None,
    total_flops: npt.ArrayLike | None = None,
    queries: npt.ArrayLike | None = None,
    N: npt.ArrayLike,
    cost: Any = None,
    metric: Metric | None = None,
    max_k: float | None = None,
    unique_tokens: float | DataWall | None = None,
    verifier: float = 1.0,
) -> pd.DataFrame:
    """Evaluate a law at chosen model sizes that spend the same budgets.

    Parameters
    ----------
    train_flops, inference_flops, total_flops, queries : array_like
        Budgets as in :func:`allocate`; they broadcast with N. End to end, each N gets the k that is
        best for it.
    N : array_like, positive
        Model sizes. For several budgets give these a new axis: ``budgets[:, None]``.
    law, cost, metric, max_k, unique_tokens, verifier
        As in :func:`allocate`.

    Returns
    -------
    DataFrame
        One row an element of the broadcast, columns as in :func:`frontier` without ``at_bounds``; k
        is not rounded.

    Raises
    ------
    ValueError
        Where a number is not positive and finite, a model costs more than the budget pays for, or
        the law lacks the metric.
    """
    sizes = positive(N, "N")
    budget = budget_of(
        law,
        train_flops=train_flops,
        inference_flops=inference_flops,
        total_flops=total_flops,
        queries=queries,
        cost=cost,
        metric=metric,
        max_k=max_k,
        unique_tokens=unique_tokens,
        verifier=verifier,
        sizes=sizes,
    )
    return _table(budget, budget.solve(whole_k=False))


# ------------------------------------------------------------------------------- the border


def budget_of(
    law: Any,
    *,
    train_flops: npt.ArrayLike | None,
    inference_flops: npt.ArrayLike | None,
    total_flops: npt.ArrayLike | None,
    queries: npt.ArrayLike | None,
    cost: Any,
    metric: str | None,
    max_k: float | None,
    unique_tokens: float | DataWall | None,
    verifier: float,
    n_range: Range | None = None,
    sizes: FloatArray | None = None,
) -> Budget:
    """Check what was asked for and return the budgets, one a row, with what limits them.

    ``sizes`` (which broadcast with the budgets) hold N fixed, in the place of ``n_range``.
    """
    objective = Objective.of(law, metric, verifier, unique_tokens)
    smallest, largest = range_of(n_range)
    model = cost_model(cost)
    most = _most_samples(max_k)
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
        budget = Total(objective, model, low, high, most, total=first, queries=rest[0])
    _check_paid(budget, shape, sizes, cost is None)
    _check_samples(budget)
    return budget


def cost_model(cost: Any) -> Any:
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

    if isinstance(budget, Total):
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
    if isinstance(budget, Total):
        each = each * budget.queries
    if np.isinf(budget.max_k) and (each <= 0).any():
        raise ValueError("samples cost nothing here, and more are always better: give max_k")


# ------------------------------------------------------------------------------- the answer


def _allocation(
    budget: Budget, plans: Plans, cost: Any, fitted: extrapolation.Ranges | None
) -> Allocation:
    wall = budget.objective.wall
    apart = isinstance(budget, Apart)
    row = _table(budget, plans).iloc[0]
    query = row["inference_flops"] if apart else np.nan
    return Allocation(
        N=float(plans.N[0]),
        D=float(plans.D[0]),
        k=float(plans.k[0]),
        metric=float(row[budget.objective.name]),
        metric_name=budget.objective.name,
        at_bounds=_at_bounds(budget, plans)[0],
        train_flops=float(row["train_flops"]),
        inference_flops=None if np.isnan(query) else float(query),
        total_flops=None if apart else float(row["total_flops"]),
        queries=None if apart else float(row["queries"]),
        unique_tokens=None if wall is None else wall.unique_tokens,
        fitted=fitted,
        _cost=cost,
    )


def _table(budget: Budget, plans: Plans) -> pd.DataFrame:
    N, D, k = plans.N, plans.D, plans.k
    columns: dict[str, Any] = {}
    if isinstance(budget, Apart):
        columns["train_flops"] = budget.train
        columns["inference_flops"] = np.nan if budget.query is None else budget.query
    elif isinstance(budget, Total):
        columns["total_flops"], columns["queries"] = budget.total, budget.queries
        columns["train_flops"] = train = budget.cost.train_flops(N, D)
        serving = budget.queries * budget.cost.query_flops(N, k)
        columns["serving_share"] = serving / (train + serving)
    columns |= {"N": N, "D": D, "k": k, "tokens_per_parameter": D / N}
    columns[budget.objective.name] = budget.objective.metric(N, D, k)
    return pd.DataFrame(columns)


def _at_bounds(budget: Budget, plans: Plans) -> list[tuple[str, ...]]:
    names = []
    for N, D, k, low, high in zip(plans.N, plans.D, plans.k, budget.low, budget.high, strict=True):
        bounds = [
            f"N at its {side} bound {bound:.6g}"
            for side, bound in (("lower", low), ("upper", high))
            if abs(np.log(N / bound)) < 1e-9
        ]
        if isinstance(budget, Total) and D < 1 + 1e-9:
            bounds.append("D at its lower bound 1")
        if budget.objective.samples_matter and k > 1 and k >= np.floor(budget.max_k):
            bounds.append(f"k at its upper bound {k:.6g}")
        names.append(tuple(bounds))
    return names
