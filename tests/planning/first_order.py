"""First-order conditions of a sum of powers under apart budgets: the oracle of the searches.

A sum of powers is convex in log N along the budget line, so its optimum is the root of one
derivative. That finds it by other means than ``allocate`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import optimize

from t2lib.laws import AdditiveLaw, Chinchilla

if TYPE_CHECKING:
    from t2lib.planning.forward import Allocation


def first_order_residual(law: Chinchilla | AdditiveLaw, allocation: Allocation) -> float:
    """Return the derivative of a sum of powers in log N along the budget line; 0 at an optimum.

    With D and k falling as N rises, ``-alpha A N^-alpha + beta B D^-beta + gamma G k^-gamma``;
    the last term only for the additive law under an inference budget.

    Parameters
    ----------
    law : Chinchilla or AdditiveLaw
    allocation : Allocation

    Returns
    -------
    float
        In nats per unit of log N.

    Raises
    ------
    ValueError
        For another kind of law.
    """
    budgets = allocation.train_flops, allocation.inference_flops
    return _slope(law, np.log(allocation.N), *budgets)


def first_order_optimum(
    law: Chinchilla | AdditiveLaw, *, train_flops: float, inference_flops: float | None = None
) -> float:
    """N at which the first-order condition of a sum of powers holds, by a root search.

    The sum is convex in log N, so there is at most one such N and it is the optimum: a check of
    :func:`allocate` by other means.

    Parameters
    ----------
    law : Chinchilla or AdditiveLaw
    train_flops, inference_flops : float
        As in :func:`allocate`. The bound ``2 N <= inference_flops`` is not kept.

    Returns
    -------
    float
        Parameters N.

    Raises
    ------
    ValueError
        For another kind of law, or where the condition has no root between 1e-60 and 1e90.
    """
    ends = np.log([1e-60, 1e90])
    slopes = [_slope(law, x, train_flops, inference_flops) for x in ends]
    if not slopes[0] < 0 < slopes[1]:
        raise ValueError("the law rises or falls with N throughout: it has no inner optimum")
    args = (train_flops, inference_flops)
    root = optimize.brentq(lambda x: _slope(law, x, *args), *ends, xtol=1e-14, rtol=1e-14)
    return float(np.exp(root))


def _slope(law: Any, log_N: float, train_flops: float, inference_flops: float | None) -> float:
    if not isinstance(law, Chinchilla | AdditiveLaw):
        raise ValueError(f"{type(law).__name__} is no sum of powers of N, D and k")
    N = np.exp(log_N)
    with np.errstate(over="ignore"):  # far from any model a power may be infinite
        slope = law.beta * law.B * (train_flops / 6 / N) ** -law.beta
        slope -= law.alpha * law.A * N**-law.alpha
        if isinstance(law, AdditiveLaw) and inference_flops is not None:
            slope += law.gamma * law.G * (inference_flops / 2 / N) ** -law.gamma
    return float(slope)
