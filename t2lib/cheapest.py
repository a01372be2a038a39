"""The reverse question: the least that reaches a target.

The best metric that a budget buys gets better with the budget. So the least budget is one root:
:func:`t2lib.allocate` is asked until its answer is the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize

from t2lib.allocate import Allocation, Range, allocate, range_of
from t2lib.cost import CostModel
from t2lib.datawall import DataWall
from t2lib.objective import Metric, Objective

# What no budget up to here (FLOPs) reaches is called out of reach. All compute that was ever
# bought is below 1e30.
CEILING = 1e60


def cheapest(
    law: Any,
    *,
    target: float,
    queries: float | None = None,
    inference_flops: float | None = None,
    train_flops: float | None = None,
    cost: Any = None,
    metric: Metric | None = None,
    whole_k: bool = False,
    n_range: Range | None = None,
    max_k: float | None = None,
    unique_tokens: float | DataWall | None = None,
    verifier: float = 1.0,
    fitted: pd.DataFrame | Mapping[str, tuple[float, float]] | None = None,
) -> Allocation:
    """Find the cheapest (N, D, k) that reaches a target.

    What is least depends on what is given besides the target:

    * ``queries``: the FLOPs of training and all queries together;
    * ``inference_flops``: the training FLOPs, with that budget for each query;
    * ``train_flops``: the FLOPs of one query, with that budget for training;
    * nothing: the training FLOPs of a model that is sampled once.

    Parameters
    ----------
    law, cost, metric, whole_k, n_range, max_k, unique_tokens, verifier, fitted
        As in :func:`~t2lib.allocate.allocate`.
    target : float
        Value of the metric to reach: pass@k between 0 and 1, -log pass@k or loss in nats.
    queries, inference_flops, train_flops : float, optional
        At most one of them.

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
    >>> from t2lib.laws import Chinchilla
    >>> law = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
    >>> chat = CostModel(prompt_tokens=500, answer_tokens=500, shared_cache=False)
    >>> plan = cheapest(law, target=2.0, queries=1e10, cost=chat)
    >>> f"{plan.N:.3g} parameters, {plan.D:.3g} tokens, {plan.total_flops:.3g} FLOPs"
    '1.12e+10 parameters, 2.66e+12 tokens, 4.03e+23 FLOPs'
    """
    limits: dict[str, Any] = {
        "queries": queries,
        "inference_flops": inference_flops,
        "train_flops": train_flops,
        "n_range": n_range,
        "max_k": max_k,
        "unique_tokens": unique_tokens,
        "verifier": verifier,
    }
    if sum(limits[name] is not None for name in ("queries", "inference_flops", "train_flops")) > 1:
        raise ValueError("give at most one of queries, inference_flops and train_flops")
    settings = {"cost": cost, "metric": metric, "whole_k": whole_k, "fitted": fitted}
    objective = Objective.of(law, metric, verifier, unique_tokens)
    _check_target(target, objective)
    question = _Question(law, objective, float(target), limits, settings)
    return question.answer()


class _Question:
    """One call of :func:`cheapest`: the shortfall at a budget, and the budget where it is 0."""

    def __init__(
        self,
        law: Any,
        objective: Objective,
        target: float,
        limits: Mapping[str, Any],
        settings: Mapping[str, Any],
    ) -> None:
        self.law, self.objective, self.target = law, objective, target
        self.limits, self.settings = limits, settings
        self.sought = "train_flops"
        if limits["queries"] is not None:
            self.sought = "total_flops"
        elif limits["train_flops"] is not None:
            self.sought = "inference_flops"

    def plan(self, flops: float, **other: Any) -> Allocation:
        """Return the best plan for a budget, with other limits than those given on request."""
        return allocate(self.law, **{**self.settings, **self.limits, **other, self.sought: flops})

    def shortfall(self, plan: Allocation) -> float:
        """How much the target is missed by; not positive where it is reached."""
        return self.objective.sign * (plan.metric - self.target)

    def least(self) -> float:
        """FLOPs of the smallest model, one token and one sample: the least budget there is."""
        model = CostModel() if self.settings["cost"] is None else self.settings["cost"]
        smallest, _ = range_of(self.limits["n_range"])
        train, query = model.train_flops(smallest, 1.0), model.query_flops(smallest, 1.0)
        if self.sought == "total_flops":
            train = train + self.limits["queries"] * query
        return float(query if self.sought == "inference_flops" else train)

    def answer(self) -> Allocation:
        """Return the plan of least budget."""
        low = self.least()
        plan = self.plan(low)
        if self.shortfall(plan) <= 0:
            return plan
        if self.shortfall(self.plan(CEILING)) > 0:
            raise ValueError(self.why_not())
        root = optimize.brentq(self._miss, *self._bracket(np.log(low)), xtol=1e-13, rtol=1e-15)
        return self.plan(float(np.exp(root)))

    def _miss(self, log_flops: float) -> float:
        miss = self.shortfall(self.plan(float(np.exp(log_flops))))
        # On a plateau at the target the least budget is its near end: 0 counts as reached.
        return miss if miss > 0 else min(miss, -np.finfo(float).tiny)

    def _bracket(self, low: float) -> tuple[float, float]:
        """Logarithms of a budget that misses the target and one that reaches it."""
        high = np.log(CEILING)
        step, middle = np.log(1e3), np.clip(np.log(1e21), low, high)
        if self._miss(middle) > 0:
            low = middle
            while self._miss(min(low + step, high)) > 0:
                low, step = low + step, 2 * step
            return low, min(low + step, high)
        high = middle
        while self._miss(max(high - step, low)) <= 0:
            high, step = high - step, 2 * step
        return max(high - step, low), high

    def why_not(self) -> str:
        """Say what is in the way of the target."""
        name = self.objective.name
        limit = self.plan(CEILING).metric
        message = (
            f"{name} {self.target:g} is out of reach: "
            f"no {self.sought} up to {CEILING:g} gives better than {limit:.6g}"
        )
        helpful = []
        for words, without in self._constraints():
            reached = self.plan(CEILING, **without)
            if self.shortfall(reached) <= 0:
                helpful.append(f"{words} (without it: {reached.metric:.6g})")
        if helpful:
            return f"{message}, because of {' or '.join(helpful)}"
        together = {
            key: value for _, without in self._constraints() for key, value in without.items()
        }
        if together and self.shortfall(self.plan(CEILING, **together)) <= 0:
            words = [words for words, _ in self._constraints()]
            return f"{message}, because of {' and '.join(words)} together"
        floor = self._floor()
        if floor is not None and floor >= self.target:
            return f"{message}; the law's floor is E = {floor:.6g}"
        return f"{message}; the law itself goes no further"

    def _constraints(self) -> list[tuple[str, dict[str, Any]]]:
        """Each constraint in words, and the limits without it."""
        given = self.limits
        smallest, largest = range_of(given["n_range"])
        found: list[tuple[str, dict[str, Any]]] = []
        if np.isfinite(largest):
            found.append((f"the largest N {largest:g}", {"n_range": (smallest, None)}))
        if given["max_k"] is not None:
            found.append((f"max_k {given['max_k']:g}", {"max_k": None}))
        if given["unique_tokens"] is not None:
            found.append(("unique_tokens", {"unique_tokens": None}))
        if given["verifier"] < 1:
            found.append((f"verifier {given['verifier']:g}", {"verifier": 1.0}))
        for name in ("inference_flops", "train_flops"):
            if given[name] is not None:
                found.append((f"{name} {given[name]:g}", {name: CEILING}))
        return found

    def _floor(self) -> float | None:
        """Constant of the law's loss, where the metric cannot fall below it."""
        if self.objective.name == "pass_at_k":
            return None
        return getattr(self.law, "E", None)


def _check_target(target: float, objective: Objective) -> None:
    share = objective.name == "pass_at_k"
    if not (0 < target < (1 if share else np.inf)):
        rule = "between 0 and 1" if share else "positive and finite"
        raise ValueError(f"target is {target:g}: {objective.name} must be {rule}")
