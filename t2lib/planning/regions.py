"""A recommendation with its uncertainty: what each bootstrap draw of a law would recommend.

A fitted law is one of many that the data allow, and each has its own best plan. So a
recommendation is a region, and what counts is how much worse the recommended plan is, in each of
those laws, than the best one there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack

import numpy as np
import pandas as pd

from t2lib import _parallel as parallel
from t2lib.fitting.table import law_of, parameter_names
from t2lib.laws import Law
from t2lib.planning.forward import Allocation, allocate
from t2lib.planning.inverse import cheapest, sought_budget
from t2lib.planning.objective import Objective
from t2lib.planning.request import Request
from t2lib.planning.support import Fitted
from t2lib.uncertainty.resampling import percentile_interval

_QUANTITIES = ("N", "D", "k", "tokens_per_parameter")


@dataclass(frozen=True)
class AllocationRegion:
    """What the draws of a law recommend.

    Attributes
    ----------
    point : Allocation
        Plan of the fitted law.
    draws : DataFrame
        One row a draw: ``N``, ``D``, ``k``, ``tokens_per_parameter``, ``metric``, and in the
        reverse question the least budget under its name; ``point_metric``, what the point's plan
        gives under the draw's law; ``regret``; ``at_bounds`` (text); ``problem`` (text; the numbers
        are then missing).
    level : float
        Coverage of the intervals.
    """

    point: Allocation
    draws: pd.DataFrame
    level: float

    @property
    def solved(self) -> pd.DataFrame:
        """Draws that have a plan."""
        return self.draws[self.draws["problem"] == ""]

    @property
    def intervals(self) -> pd.DataFrame:
        """Percentile interval and median of every number of a plan, with the point's value.

        Columns ``point``, ``low``, ``median``, ``high``.
        """
        numbers = self.solved.select_dtypes("number")
        table = percentile_interval(numbers, self.level)
        point = [getattr(self.point, name, np.nan) for name in table.index]
        table.insert(0, "point", point)
        table.insert(2, "median", numbers.median())
        return table

    @property
    def forecast(self) -> tuple[float, float]:
        """Percentile interval of the metric that the point's plan has under the draws' laws."""
        low, high = percentile_interval(self.solved[["point_metric"]], self.level).iloc[0]
        return float(low), float(high)

    @property
    def covariance(self) -> pd.DataFrame:
        """Joint spread: covariance of log N, log D and log k over the draws."""
        return self._logarithms.cov()

    @property
    def correlation(self) -> pd.DataFrame:
        """Correlations of log N, log D and log k; NaN where one of them does not vary."""
        return self._logarithms.corr()

    @property
    def _logarithms(self) -> pd.DataFrame:
        return self.solved[["N", "D", "k"]].apply(np.log)

    @property
    def at_bounds(self) -> dict[str, int]:
        """How many draws lie at each bound, such as ``"N at its upper bound"``."""
        words = "; ".join(self.solved["at_bounds"]).split("; ")
        return dict(Counter(" ".join(bound.split(" ")[:5]) for bound in words if bound))

    @property
    def failed(self) -> dict[str, Any]:
        """``number`` of draws without a plan, and the ``first`` reason."""
        problems = self.draws["problem"][self.draws["problem"] != ""]
        return {"number": len(problems), "first": "" if problems.empty else problems.iloc[0]}

    def summary(self) -> str:
        """Return the region in words, a line a thing."""
        lines = [
            self.point.summary(),
            f"forecast of this plan under the {len(self.solved)} draws: {self.point.metric_name} "
            f"{self.forecast[0]:.3g} to {self.forecast[1]:.3g} ({self.level:.0%})",
            "best plans of the draws:",
        ]
        for name, row in self.intervals.iterrows():
            if name in ("point_metric", "regret"):
                continue
            words = self.point.metric_name if name == "metric" else str(name)
            span = f"{row['low']:.3g} to {row['high']:.3g}"
            lines.append(f"{words}: {row['point']:.3g} ({span})")
        regret = self.solved["regret"]
        lines.append(
            f"regret of the plan in {self.point.metric_name}: {regret.median():.2g} in the median, "
            f"{regret.quantile(0.95):.2g} in the worst twentieth"
        )
        lines += [f"{name}: {number} draws" for name, number in self.at_bounds.items()]
        if self.failed["number"]:
            lines.append(f"no plan: {self.failed['number']} draws ({self.failed['first']})")
        return "\n".join(lines)


def allocation_region(
    law: Law,
    draws: pd.DataFrame | Sequence[Law],
    *,
    target: float | None = None,
    fitted: Fitted | None = None,
    level: float = 0.95,
    n_jobs: int | None = None,
    **request: Unpack[Request],
) -> AllocationRegion:
    """Recommend under a law and under every draw of it.

    Parameters
    ----------
    law : Law
        The fitted law.
    draws : DataFrame or sequence of laws
        Parameters of the same law, one row a draw, as :func:`~t2lib.bootstrap` returns
        them; or the drawn laws themselves.
    target : float, optional
        Ask for the cheapest plan that reaches it, as :func:`~t2lib.cheapest` does.
    fitted, **request
        As :func:`~t2lib.allocate` takes them.
    level : float
        Coverage of the intervals.
    n_jobs : int, optional
        Processes, as joblib counts them; by default what ``joblib.parallel_config`` says, else 1.

    Returns
    -------
    AllocationRegion
        ``regret`` is how much worse the point's plan is under the draw's law than the draw's own,
        in the metric and never negative but for rounding. With a ``target`` it is how far the
        point's plan misses the target there, negative where it does better.

    Raises
    ------
    ValueError
        As the function asked, for the fitted law; where a parameter has no column; or where no
        draw has a plan, with the first reason.

    Examples
    --------
    >>> from t2lib.laws import Chinchilla
    >>> law = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
    >>> others = [Chinchilla(1.69, 406.4, 410.7, 0.34, b) for b in np.linspace(0.27, 0.29, 21)]
    >>> region = allocation_region(law, others, train_flops=1e21)
    >>> region.intervals.loc["N", ["low", "point", "high"]].round(-7).tolist()
    [1280000000.0, 1820000000.0, 2580000000.0]
    """
    point = _ask(law, target, request, fitted)
    place = point.metric_name, (point.N, point.D, point.k)  # small enough to send anywhere
    calls = (partial(_row, *made, *place, target, request) for made in _laws(law, draws))
    index = draws.index if isinstance(draws, pd.DataFrame) else None
    table = pd.DataFrame(list(parallel.run(calls, n_jobs=n_jobs)), index=index)
    if not len(table) or (table["problem"] != "").all():
        reason = f"the first: {table['problem'].iloc[0]}" if len(table) else "there is none"
        raise ValueError(f"no draw has a plan; {reason}")
    return AllocationRegion(point, table, level)


def _laws(law: Law, draws: pd.DataFrame | Sequence[Law]) -> list[tuple[str | None, Any]]:
    """Return a pair for each draw: what kind of law to make (None: it is one), and from what."""
    if not isinstance(draws, pd.DataFrame):
        return [(None, drawn) for drawn in draws]
    names = parameter_names(law)
    for name in names if len(draws) else ():
        if name not in draws:
            raise ValueError(f"the draws have no column {name!r}")
    rows = draws.reindex(columns=list(names)).to_dict("records")
    return [(type(law).__name__, row) for row in rows]


def _row(
    kind: str | None,
    values: Any,
    metric: str,
    place: tuple[float, float, float],
    target: float | None,
    request: Request,
) -> dict[str, Any]:
    try:
        law = values if kind is None else law_of(kind, values)
        plan = _ask(law, target, request)
        # What changes the worth of a plan, not only its cost, holds for the point's plan too.
        objective = Objective.asked(law, request, metric)
        seen = float(objective.metric(*place))
    except ValueError as error:
        return {"at_bounds": "", "problem": str(error)}
    row: dict[str, Any] = {name: getattr(plan, name) for name in _QUANTITIES}
    row["metric"] = plan.metric
    if target is not None:
        sought = sought_budget(request)
        row[sought] = getattr(plan, sought)
    row |= {"point_metric": seen, "regret": objective.sign * (seen - plan.metric)}
    return row | {"at_bounds": "; ".join(plan.at_bounds), "problem": ""}


def _ask(
    law: Law,
    target: float | None,
    request: Request,
    fitted: Fitted | None = None,
) -> Allocation:
    if target is None:
        return allocate(law, fitted=fitted, **request)
    return cheapest(law, target=target, fitted=fitted, **request)
