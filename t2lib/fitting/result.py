"""What a fit returns: the law, its parameters, and what is needed to judge them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from t2lib._belonging import losses_not_of
from t2lib._checks import FloatArray
from t2lib.laws import fitted_on
from t2lib.planning.support import Support

if TYPE_CHECKING:
    import lmfit

Residuals = Callable[[dict[str, float]], FloatArray]


@dataclass(frozen=True)
class Fit:
    """A fitted law with what is needed to judge it.

    Attributes
    ----------
    law : Chinchilla, AdditiveLaw, BetaRegressionLaw, BetaConsistentLaw, ...
        The law at its best parameters.
    params : dict of str to float
        Name and value of every fitted parameter.
    objective : float
        What was minimised, at the minimum: a weighted sum of squared residuals, a sum of Huber
        losses, or a negative log-likelihood in nats (see the fitting function).
    residuals : ndarray
        Observed minus predicted, one for each row, in the units of the data; for counts, the
        question's share of right answers minus the law's pass@1.
    at_bounds : tuple of str
        Parameters at a bound, and those that the data cannot tell because of it. Empty: none.
    n_rows : int
        Rows fitted.
    fitted : Support or None
        What it was fitted to: ``.ranges`` of N, D, D/N and k, and their joint support
        (:class:`~t2lib.planning.support.Support`). The law carries it too.
    evaluations : int
        Evaluations of the model that the search cost; 0 where it was not counted.
    restarts : ndarray or None
        Objective that each random start arrived at, where the method has random starts.
    """

    law: Any
    params: dict[str, float]
    objective: float
    residuals: FloatArray
    at_bounds: tuple[str, ...]
    n_rows: int
    evaluations: int = 0
    restarts: FloatArray | None = None
    fitted: Support | None = field(default=None, repr=False, compare=False)
    _scaled_residuals: Residuals | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.fitted is not None:
            object.__setattr__(self, "law", fitted_on(self.law, self.fitted))

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What is possible but unlikely in the data: losses that do not belong to the pass rates.

        Told where a Beta distribution through a checkpoint's pass@k has, in the median over
        checkpoints, a mean negative log-likelihood more than 1.25 times above or below the given
        one, and that by more than its scatter. Empty: nothing was found, or there are no losses.
        """
        rows = self.fitted
        if rows is None or rows.loss is None or rows.seen is None or rows.k is None:
            return ()
        places = np.stack([rows.N, rows.D, rows.loss], axis=1)
        checkpoint = np.unique(places, axis=0, return_inverse=True)[1].ravel()
        found = losses_not_of(rows.seen, rows.k, rows.loss, checkpoint)
        return (found,) if found else ()

    def lmfit(self) -> tuple[lmfit.Minimizer, lmfit.minimizer.MinimizerResult]:
        """Hand the fit to lmfit, started at the optimum; parameters at a bound are held.

        The curvature takes every row for independent news and the loss for a square. Where the k
        of a checkpoint share its error, and for Huber losses, its intervals are too narrow: use
        :func:`~t2lib.bootstrap` there.

        Returns
        -------
        minimizer, result
            For ``lmfit.conf_interval(minimizer, result)``, ``result.params[name].stderr``,
            ``result.params[name].correl``.

        Raises
        ------
        ValueError
            Where the fit is not one least-squares problem (two stages, or a likelihood), or the
            data cannot tell any parameter.
        """
        import lmfit

        if self._scaled_residuals is None:
            raise ValueError("not one least-squares problem: use a bootstrap for its errors")
        parameters = lmfit.Parameters()
        for name, value in self.params.items():
            held = any(name == bound.split(" ")[0] for bound in self.at_bounds)
            parameters.add(name, value=value, vary=not held)
        if not any(parameter.vary for parameter in parameters.values()):
            raise ValueError(f"no parameter is free: {'; '.join(self.at_bounds)}")
        scaled = self._scaled_residuals
        minimizer = lmfit.Minimizer(
            lambda p: scaled({name: float(p[name].value) for name in self.params}), parameters
        )
        # The optimum is known: lmfit is asked for the curvature around it, not for a search.
        return minimizer, minimizer.leastsq(xtol=1e-15, ftol=1e-15)

    def standard_errors(self) -> dict[str, float]:
        """Standard errors from the curvature (lmfit); NaN where held at a bound."""
        _, result = self.lmfit()
        # lmfit gives a held parameter the error 0, and None where the curvature is singular.
        known = {n: p.stderr for n, p in result.params.items() if p.vary and p.stderr is not None}
        return {name: float(known.get(name, np.nan)) for name in self.params}

    def conf_interval(
        self, level: float = 0.95, *, groups: npt.ArrayLike | None = None
    ) -> dict[str, tuple[float, float]]:
        """Profile interval of every parameter, each by :func:`~t2lib.profile`.

        Parameters
        ----------
        level : float
            Coverage, between 0 and 1.
        groups : array_like, shape (rows,), optional
            Label of each row's group, such as its model, whose rows share an error.

        Returns
        -------
        dict
            Name to (low, high); infinite where the profile never leaves the region, 0 where no
            parameter can be negative. What the data cannot tell is left out.

        Raises
        ------
        ValueError
            As :func:`~t2lib.profile`.
        """
        from t2lib.uncertainty.problem import Problem
        from t2lib.uncertainty.profiles import profile

        found = {}
        for name in Problem.of(self, groups).names:
            one = profile(self, name, level=level, groups=groups)
            found[name] = one.low, one.high
        return found

    def report(self) -> str:
        """lmfit's printable report: values, standard errors, correlations."""
        import lmfit

        return lmfit.fit_report(self.lmfit()[1])

    def summary(self) -> str:
        """One parameter a line, then the scatter, what was fitted, and what is to be doubted."""
        lines = [
            f"{type(self.law).__name__}: {self.n_rows} rows, objective value {self.objective:.8g}"
        ]
        for name, value in self.params.items():
            marks = [bound for bound in self.at_bounds if bound.split(" ")[0] == name]
            lines.append(f"  {name:<8} {value:.6g}" + (f"   ! {'; '.join(marks)}" if marks else ""))
        rms = float(np.sqrt(np.mean(self.residuals**2)))
        lines.append(f"  residuals: root mean square {rms:.4g}, largest {self._largest():.4g}")
        if self.fitted is not None:
            ranges = self.fitted.ranges.items()
            spans = (f"{name} {low:.3g} to {high:.3g}" for name, (low, high) in ranges)
            lines.append(f"  fitted over {', '.join(spans)}")
        lines += [f"  ! {warning}" for warning in self.warnings]
        return "\n".join(lines)

    def _largest(self) -> float:
        return float(np.abs(self.residuals).max())
