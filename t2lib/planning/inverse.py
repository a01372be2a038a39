"""The reverse question: the least that reaches a target.

The best metric that a budget buys gets better with the budget. So the least budget is one root:
:func:`t2lib.allocate` is asked until its answer is the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
from scipy import optimize, special

from t2lib._checks import not_negative
from t2lib.laws import Law
from t2lib.planning.forward import Allocation, allocate, cost_model, range_of
from t2lib.planning.objective import Objective
from t2lib.planning.request import Request, check_names
from t2lib.planning.support import Fitted, Support

# A model of this size and data, sampled once, is where the search begins. What it costs this many
# times over is called out of reach: 1e60 FLOPs, where all that was ever bought is below 1e30.
_START = (1e9, 2e10)
_OUT_OF_REACH = 1e40
# Where a budget smaller by this in its logarithm still reaches the target, it lies on a plateau.
_PLATEAU = 1e-6


def cheapest(
    law: Law,
    *,
    target: float,
    fitted: Fitted | None = None,
    **request: Unpack[Request],
) -> Allocation:
    """Find the cheapest (N, D, k) that reaches a target.

    What is least depends on what is given besides the target:

    * ``queries``: the FLOPs of training and all queries together;
    * ``inference_flops``: the training FLOPs, with that budget for each query;
    * ``train_flops``: the FLOPs of one query, with that budget for training;
    * nothing: the training FLOPs of a model that is sampled once.

    Parameters
    ----------
    law, fitted
        As in :func:`~t2lib.allocate`.
    target : float
        Value of the metric to reach: pass@k between 0 and 1, -log pass@k or loss in nats.
    **request
        As in :func:`~t2lib.allocate`, with at most one of the budgets above and no
        ``total_flops``.

    Returns
    -------
    Allocation
        The plan, with the least budget in its place (``total_flops``, ``train_flops`` or
        ``inference_flops``). Its metric is the target to about 1e-12; better than the target only
        where the smallest model allowed, one token and one sample are enough.

    Raises
    ------
    ValueError
        As ``allocate``, or where the target is no value of the metric or out of reach: the message
        tells the best that can be had and which constraint is in the way, or the law's floor.

    References
    ----------
    Sardana et al. (2024), arXiv:2401.00448, section 2, for a loss, one sample and no shared cache.

    Examples
    --------
    >>> from t2lib.planning.costs import CostModel
    >>> from t2lib.laws import Chinchilla
    >>> law = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
    >>> chat = CostModel(prompt_tokens=500, answer_tokens=500, shared_cache=False)
    >>> plan = cheapest(law, target=2.0, queries=1e10, cost=chat)
    >>> f"{plan.N:.3g} parameters, {plan.D:.3g} tokens, {plan.total_flops:.3g} FLOPs"
    '6.49e+09 parameters, 3.89e+12 tokens, 2.81e+23 FLOPs'
    """
    check_names(request)
    if request.get("total_flops") is not None:
        raise ValueError("total_flops is what is sought: give a target and queries")
    given = [request.get(name) for name in ("queries", "inference_flops", "train_flops")]
    if sum(budget is not None for budget in given) > 1:
        raise ValueError("give at most one of queries, inference_flops and train_flops")
    if (queries := request.get("queries")) is not None:
        not_negative(queries, "queries")
    objective = Objective.asked(law, request)
    _check_target(target, objective)
    return _Question(law, objective, float(target), request, fitted).answer()


class _Question:
    """One call of :func:`cheapest`: the shortfall at a budget, and the budget where it is 0."""

    def __init__(
        self,
        law: Law,
        objective: Objective,
        target: float,
        request: Request,
        fitted: Fitted | None,
    ) -> None:
        self.law, self.objective, self.target = law, objective, target
        self.request = request
        self.fitted = None if fitted is None else Support.of(fitted, objective.measured)
        self.cost = cost_model(request.get("cost"))
        self.smallest, self.largest = range_of(request.get("n_range"))
        self._plans: dict[float, Allocation] = {}
        self.sought = sought_budget(request)
        size = float(np.clip(_START[0], self.smallest, self.largest))
        self.ceiling = _OUT_OF_REACH * self.budget_for(size, _START[1])

    def plan(self, flops: float, **other: Any) -> Allocation:
        """Return the best plan for a budget, with other limits than those given on request."""
        asked: Any = {**self.request, **other, self.sought: flops}
        return allocate(self.law, fitted=self.fitted, **asked)

    def budget_for(self, N: float, D: float) -> float:
        """Budget that pays for N and D with one sample a query."""
        train, query = self.cost.train_flops(N, D), self.cost.query_flops(N, 1.0)
        if self.sought == "total_flops":
            train = train + np.asarray(self.request["queries"], dtype=float) * query
        return float(query if self.sought == "inference_flops" else train)

    def answer(self) -> Allocation:
        """Return the plan of least budget."""
        least = self.budget_for(self.smallest, 1.0)
        short, enough = self._bracket(float(np.log(least)))
        if short == enough:
            if self._miss(short) > 0:
                raise ValueError(self.why_not())
            return self.plan(least)
        root = float(optimize.brentq(self._miss, short, enough, xtol=1e-13, rtol=1e-15))
        if self._miss(root - _PLATEAU) <= 0:
            root = self._near_end(short, root)
        self._miss(root)
        return self._plans[root]

    def _near_end(self, short: float, enough: float) -> float:
        """Least budget on a plateau at the target, where more buys nothing: by bisection."""
        while enough - short > _PLATEAU:
            middle = (short + enough) / 2
            short, enough = (middle, enough) if self._miss(middle) > 0 else (short, middle)
        return enough

    def _miss(self, log_flops: float) -> float:
        """How much is missing, positive before the target; nearly a straight line."""
        if log_flops not in self._plans:
            self._plans[log_flops] = self.plan(float(np.exp(log_flops)))
        plan = self._plans[log_flops]
        return self._scale(self.target) - self._scale(plan.metric)

    def _scale(self, metric: float) -> float:
        """A scale of the metric that grows as it gets better, about linear in log FLOPs."""
        if self.objective.is_share:
            return float(special.logit(np.clip(metric, 1e-300, 1 - 1e-16)))
        return -float(np.log(max(metric, 1e-300)))

    def _bracket(self, least: float) -> tuple[float, float]:
        """Logarithms of a budget that misses the target and one that reaches it.

        They are the same where the least budget reaches it, or the largest does not.
        """
        most, step = float(np.log(self.ceiling)), float(np.log(1e3))
        start = float(np.clip(np.log(self.ceiling / _OUT_OF_REACH), least, most))
        missed = self._miss(start) > 0
        outward, end = (1.0, most) if missed else (-1.0, least)
        while start != end:
            next_one = float(np.clip(start + outward * step, least, most))
            if (self._miss(next_one) > 0) != missed:
                return min(start, next_one), max(start, next_one)
            start, step = next_one, 2 * step
        return end, end

    def why_not(self) -> str:
        """Say what is in the way of the target."""
        name = self.objective.name
        limit = self.plan(self.ceiling).metric
        message = (
            f"{name} {self.target:g} is out of reach: "
            f"no {self.sought} up to {self.ceiling:g} gives better than {limit:.6g}"
        )
        helpful = []
        for words, without in self._constraints():
            if (best := self._best_without(without)) is not None:
                helpful.append(f"{words} (without it: {best:.6g})")
        if helpful:
            return f"{message}, because of {' or '.join(helpful)}"
        together = {
            key: value for _, without in self._constraints() for key, value in without.items()
        }
        if together and self._best_without(together) is not None:
            every = " and ".join(words for words, _ in self._constraints())
            return f"{message}, because of {every} together"
        floor = self._floor()
        if floor is not None and floor >= self.target:
            return f"{message}; the law's floor is E = {floor:.6g}"
        return f"{message}; the law itself goes no further"

    def _best_without(self, without: Mapping[str, Any]) -> float | None:
        """Metric that the largest budget gives with some limits lifted; None below the target."""
        try:
            plan = self.plan(self.ceiling, **without)
        except ValueError:  # where samples are free, there is no best plan without max_k
            return None
        reached = self.objective.sign * (plan.metric - self.target) <= 0
        return plan.metric if reached else None

    def _constraints(self) -> list[tuple[str, dict[str, Any]]]:
        """Each constraint in words, and the limits without it."""
        found: list[tuple[str, dict[str, Any]]] = []
        if np.isfinite(self.largest):
            found.append((f"the largest N {self.largest:g}", {"n_range": (self.smallest, None)}))
        if (most := self.request.get("max_k")) is not None:
            found.append((f"max_k {most:g}", {"max_k": None}))
        if self.request.get("unique_tokens") is not None:
            found.append(("unique_tokens", {"unique_tokens": None}))
        if (verifier := self.request.get("verifier", 1.0)) < 1:
            found.append((f"verifier {verifier:g}", {"verifier": 1.0}))
        for name in ("inference_flops", "train_flops"):
            if (budget := self.request.get(name)) is not None:
                found.append((f"{name} {budget:g}", {name: self.ceiling}))
        return found

    def _floor(self) -> float | None:
        """Constant of the law's loss, where the metric cannot fall below it."""
        if self.objective.is_share:
            return None
        return getattr(self.law, "E", None)


def sought_budget(request: Request) -> str:
    """Name of the budget that is least: "total_flops", "inference_flops" or "train_flops"."""
    if request.get("queries") is not None:
        return "total_flops"
    return "train_flops" if request.get("train_flops") is None else "inference_flops"


def _check_target(target: float, objective: Objective) -> None:
    share = objective.is_share
    if not (0 < target < (1 if share else np.inf)):
        rule = "between 0 and 1" if share else "positive and finite"
        raise ValueError(f"target is {target:g}: {objective.name} must be {rule}")
