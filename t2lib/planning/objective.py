"""What a plan is judged by: a law's metric, with a finite stock of data and a fallible verifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from t2lib._checks import FloatArray
from t2lib.laws import Law
from t2lib.planning.data_wall import DataWall
from t2lib.planning.selection import FalsePositives, Selection, StopEarly, Vote, select

if TYPE_CHECKING:
    from t2lib.planning.request import Request

Metric = Literal["pass_at_k", "neg_log_pass", "loss", "answered_right"]

# The metrics that a law may have, the preferred first, and whether more is worse (1) or better.
_SIGNS = {"pass_at_k": -1.0, "neg_log_pass": 1.0, "loss": 1.0, "answered_right": -1.0}


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
    name : {"pass_at_k", "neg_log_pass", "loss", "answered_right"}
        The metric; the last is the share answered right by a way of selection.
    verifier : float
        Chance v that the right sample, once drawn, is found among several.
    wall : DataWall or None
        The stock of unique tokens; None: endless.
    way : Selection or None
        How k samples make one answer; None: with a verifier that only misses.
    """

    law: Law
    name: Metric
    verifier: float = 1.0
    wall: DataWall | None = None
    way: Selection | None = None

    @classmethod
    def asked(cls, law: Law, request: Request, metric: str | None = None) -> Objective:
        """Return what a request asks for; another metric in the place of its own where given."""
        verifier, stock = request.get("verifier", 1.0), request.get("unique_tokens")
        way = select(
            law,
            request.get("false_positives", 0.0),
            request.get("vote"),
            request.get("stop_early", False),
            request.get("max_k"),
        )
        if way is not None and verifier != 1 and not isinstance(way, FalsePositives):
            raise ValueError("verifier goes with neither vote nor stop_early")
        exact = way is None or isinstance(way, FalsePositives) or way == Vote(law, "differ")
        if request.get("whole_k") and not exact:
            raise ValueError("whole_k goes with neither stop_early nor vote 'agree'")
        return cls.of(law, metric or request.get("metric"), verifier, stock, way)

    @classmethod
    def of(
        cls,
        law: Law,
        metric: str | None,
        verifier: float = 1.0,
        unique_tokens: float | DataWall | None = None,
        way: Selection | None = None,
    ) -> Objective:
        """Check what was asked for; ValueError names what does not fit."""
        has = [name for name in _SIGNS if callable(getattr(way or law, name, None))]
        if not has:
            raise ValueError(f"{type(law).__name__} is no law: it has none of {', '.join(_SIGNS)}")
        name: Any = has[0] if metric is None else metric
        if name not in has:
            raise ValueError(
                f"{type(way or law).__name__} has no metric {name!r}: it has {', '.join(has)}"
            )
        if not 0 < verifier <= 1:
            raise ValueError(f"verifier is {verifier:g}: must be above 0, at most 1")
        if unique_tokens is None:
            return cls(law, name, float(verifier), None, way)
        wall = unique_tokens if isinstance(unique_tokens, DataWall) else DataWall(unique_tokens)
        return cls(law, name, float(verifier), wall.suited_to(law), way)

    @property
    def sign(self) -> float:
        """1 where more of the metric is worse, -1 where it is better."""
        return _SIGNS[self.name]

    @property
    def samples_matter(self) -> bool:
        """Whether the metric depends on k at all."""
        return self.name != "loss"

    @property
    def is_share(self) -> bool:
        """Whether the metric is a share of questions, not a number of nats."""
        return self.name in ("pass_at_k", "answered_right")

    @property
    def measured(self) -> str:
        """The metric that a table of checkpoints has beside this one."""
        return "pass_at_k" if self.is_share else self.name

    @property
    def one_apart(self) -> bool:
        """Whether a single sample may be best where more are paid, so that it is searched apart."""
        return self.needs_verifier or isinstance(self.way, Vote)

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

    def stopping(
        self, N: FloatArray, D: FloatArray, k: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Mean and most samples of queries that stop early and may take k on average.

        The mean is below k where no query may take so many that it would be k.
        """
        assert isinstance(self.way, StopEarly)
        N, D = self._effective(N, D)
        most = self.way.cap(N, D, k)
        return np.minimum(k, self.way.mean(N, D, most)), most

    def _effective(self, N: Any, D: Any) -> tuple[Any, Any]:
        return (N, D) if self.wall is None else self.wall.effective(N, D)

    def _plain(self, N: Any, D: Any, k: Any) -> FloatArray:
        N, D = self._effective(N, D)
        method = getattr(self.way or self.law, self.name)
        return method(N, D, k) if self.samples_matter else method(N, D)

    def _verified(self, values: FloatArray) -> FloatArray:
        if self.is_share:
            return self.verifier * values
        return values - np.log(self.verifier)

    def _checked(self, values: FloatArray, N: FloatArray) -> FloatArray:
        bad = np.argwhere(np.isnan(values))
        if len(bad):
            where = np.broadcast_to(N, values.shape)[tuple(bad[0])]
            raise ValueError(f"the law's {self.name} is not a number at N = {where:.4g}")
        return self.sign * values
