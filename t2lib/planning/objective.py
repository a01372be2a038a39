"""What a plan is judged by: a law's metric, with a finite stock of data and a fallible verifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from t2lib._checks import FloatArray
from t2lib.laws import Law
from t2lib.planning.data_wall import DataWall

Metric = Literal["pass_at_k", "neg_log_pass", "loss"]

# The metrics that a law may have, the preferred first, and whether more is worse (1) or better.
_SIGNS = {"pass_at_k": -1.0, "neg_log_pass": 1.0, "loss": 1.0}


def metric_of(law: Law) -> Metric:
    """Name of the metric that a law is judged by unless told otherwise: the first it has."""
    return Objective.of(law, None).name


@dataclass(frozen=True)
class Objective:
    """A law's metric at (N, D, k), as a plan gets it.

    Attributes
    ----------
    law : Law
        With a method of the metric's name.
    name : {"pass_at_k", "neg_log_pass", "loss"}
        The metric.
    verifier : float
        Chance v that the right sample, once drawn, is found among several.
    wall : DataWall or None
        The stock of unique tokens; None: endless.
    """

    law: Law
    name: Metric
    verifier: float = 1.0
    wall: DataWall | None = None

    @classmethod
    def of(
        cls,
        law: Law,
        metric: str | None,
        verifier: float = 1.0,
        unique_tokens: float | DataWall | None = None,
    ) -> Objective:
        """Check what was asked for; ValueError names what does not fit."""
        has = [name for name in _SIGNS if callable(getattr(law, name, None))]
        if not has:
            raise ValueError(f"{type(law).__name__} is no law: it has none of {', '.join(_SIGNS)}")
        name: Any = has[0] if metric is None else metric
        if name not in has:
            raise ValueError(
                f"{type(law).__name__} has no metric {name!r}: it has {', '.join(has)}"
            )
        if not 0 < verifier <= 1:
            raise ValueError(f"verifier is {verifier:g}: must be above 0, at most 1")
        if unique_tokens is None:
            return cls(law, name, float(verifier))
        wall = unique_tokens if isinstance(unique_tokens, DataWall) else DataWall(unique_tokens)
        return cls(law, name, float(verifier), wall.suited_to(law))

    @property
    def sign(self) -> float:
        """1 where more of the metric is worse, -1 where it is better."""
        return _SIGNS[self.name]

    @property
    def samples_matter(self) -> bool:
        """Whether the metric depends on k at all."""
        return self.name != "loss"

    @property
    def needs_verifier(self) -> bool:
        """Whether several samples are worth less than the law says, for want of a verifier."""
        return self.verifier < 1 and self.samples_matter

    def metric(self, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """The metric, with the verifier wherever there is more than one sample."""
        plain = self._plain(N, D, k)
        if not self.needs_verifier:
            return plain
        return np.where(np.asarray(k) > 1, self._verified(plain), plain)

    def badness(self, N: FloatArray, D: FloatArray, k: FloatArray) -> FloatArray:
        """What is minimised where k is fixed: the metric, with its sign so that less is better."""
        return self._checked(self.metric(N, D, k), N)

    def smooth_badness(self, N: FloatArray, D: FloatArray, k: FloatArray) -> FloatArray:
        """What is minimised where k is free: a single sample is verified like the others.

        The jump at k = 1, where no verifier is needed, would mislead a search; k = 1 is searched
        apart.
        """
        plain = self._plain(N, D, k)
        return self._checked(self._verified(plain) if self.needs_verifier else plain, N)

    def _plain(self, N: Any, D: Any, k: Any) -> FloatArray:
        if self.wall is not None:
            N, D = self.wall.effective(N, D)
        method = getattr(self.law, self.name)
        return method(N, D, k) if self.samples_matter else method(N, D)

    def _verified(self, values: FloatArray) -> FloatArray:
        if self.name == "pass_at_k":
            return self.verifier * values
        return values - np.log(self.verifier)

    def _checked(self, values: FloatArray, N: FloatArray) -> FloatArray:
        bad = np.argwhere(np.isnan(values))
        if len(bad):
            where = np.broadcast_to(N, values.shape)[tuple(bad[0])]
            raise ValueError(f"the law's {self.name} is not a number at N = {where:.4g}")
        return self.sign * values
