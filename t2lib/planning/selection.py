"""Ways to make one answer of k samples, other than a verifier that only misses.

Each is a law: it takes the Beta distribution of the questions' p from a law that has one, and says
which share of the questions is answered right. Samples of a question are independent.

===================== ============================================================================
:class:`FalsePositives` The verifier accepts a wrong sample too, with a fixed chance; the first
                        sample that is accepted is the answer, and where none is, there is none.
:class:`Vote`           No verifier: the most frequent answer, ties broken by chance. The wrong
                        samples of a question all agree on one answer, or all differ: no other
                        distribution of wrong answers is worse than the one, or better than the
                        other.
:class:`StopEarly`      A perfect verifier, asked after each sample: the first success ends the
                        query. What is paid is the mean number of samples.
===================== ============================================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from t2lib import passk
from t2lib._checks import FloatArray
from t2lib.laws import Law

Wrong = Literal["agree", "differ"]

# Most samples that a query may take where nothing else limits it.
_MOST = 1e15


@dataclass(frozen=True)
class Selection(ABC):
    """A law of the share answered right.

    Attributes
    ----------
    law : Law with a method ``shape``
        Gives the Beta parameters at (N, D).
    """

    # So that a selection is a :class:`~t2lib.laws.Law`.
    __dataclass_fields__: ClassVar[dict[str, Any]]

    law: Any

    def __post_init__(self) -> None:
        if not callable(getattr(self.law, "shape", None)):
            name = type(self.law).__name__
            raise ValueError(
                f"{name} has no distribution of p, which a vote, false positives and "
                "stopping early need: take a Beta law"
            )

    def answered_right(self, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """Share of the questions answered right; N, D, k broadcast, positive, k at least 1."""
        a, b = self.law.shape(N, D)
        return self.of_shape(*np.broadcast_arrays(a, b, np.asarray(k, dtype=float)))

    @abstractmethod
    def of_shape(self, a: FloatArray, b: FloatArray, k: FloatArray) -> FloatArray:
        """Share answered right where p follows Beta(a, b); arrays of one shape."""


@dataclass(frozen=True)
class FalsePositives(Selection):
    """The first accepted sample: right ones always pass the verifier, wrong ones at a rate f.

    A question is answered right with the chance ``p / s (1 - (1 - s)^k)``, where
    ``s = p + f (1 - p)`` is the chance that a sample is accepted. More samples never help beyond
    the mean of ``p / s``.

    Attributes
    ----------
    rate : float
        f, from 0 (then it is pass@k) to below 1.
    """

    rate: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.rate < 1:
            raise ValueError(f"false_positives is {self.rate:g}: must be 0 or more, below 1")

    def of_shape(self, a: FloatArray, b: FloatArray, k: FloatArray) -> FloatArray:
        """Mean over the Beta by quadrature."""
        if self.rate == 0:
            return passk.beta_pass_at_k(a, b, k)
        log_f, log_pass = np.log(self.rate), np.log1p(-self.rate)

        def right(log_p: FloatArray, log_q: FloatArray) -> FloatArray:
            accepted = np.logaddexp(log_p, log_f + log_q)
            any_of_k = -np.expm1(k.ravel()[:, None] * (log_q + log_pass))
            return np.asarray(np.exp(log_p - accepted) * any_of_k)

        return passk.beta_mean(a.ravel(), b.ravel(), right).reshape(a.shape)


@dataclass(frozen=True)
class Vote(Selection):
    """The most frequent of k answers, ties broken by chance.

    Attributes
    ----------
    wrong : {"agree", "differ"}
        Whether the wrong samples of a question all give the same answer, or each its own. Where
        they agree, k is odd: an even number is worth what one sample less is worth, and between odd
        numbers the value is interpolated.
    """

    wrong: Wrong

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.wrong not in ("agree", "differ"):
            raise ValueError(f"vote is {self.wrong!r}: must be 'agree' or 'differ'")

    def of_shape(self, a: FloatArray, b: FloatArray, k: FloatArray) -> FloatArray:
        """Two samples that agree are needed where the wrong ones differ, else more than half."""
        if self.wrong == "differ":
            single = k * a / (a + b) * passk.beta_fail_at_k(a + 1, b, k - 1)
            return np.asarray(passk.beta_pass_at_k(a, b, k) - single * (1 - 1 / k))
        return _above(a.ravel(), b.ravel(), (k.ravel() + 1) / 2).reshape(a.shape)


def _above(a: FloatArray, b: FloatArray, h: FloatArray) -> FloatArray:
    """P(p > y) for p ~ Beta(a, b) and y ~ Beta(h, h): more than half of 2 h - 1 samples are right.

    The sum goes over the narrower of the two, so that the other is smooth on its scale.
    """
    out = np.empty(a.size)
    narrow = special.polygamma(1, a) + special.polygamma(1, b) < 2 * special.polygamma(1, h)
    for part, over, of in ((narrow, (a, b), (h, h)), (~narrow, (h, h), (a, b))):
        x, y = (z[part][:, None] for z in of)
        function = special.betainc if part is narrow else special.betaincc

        def tail(
            log_p: FloatArray,
            log_q: FloatArray,
            x: FloatArray = x,
            y: FloatArray = y,
            function: Any = function,
        ) -> FloatArray:
            return np.asarray(function(x, y, np.exp(log_p)))

        out[part] = passk.beta_mean(over[0][part], over[1][part], tail)
    return out


@dataclass(frozen=True)
class StopEarly(Selection):
    """A query ends with its first success; k is the mean number of samples that it takes.

    Attributes
    ----------
    most : float
        Most samples that one query may take.
    """

    most: float = np.inf

    def of_shape(self, a: FloatArray, b: FloatArray, k: FloatArray) -> FloatArray:
        """Pass@k at the cap."""
        return passk.beta_pass_at_k(a, b, self._cap(a, b, k))

    def cap(self, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """Most samples of one query where a query takes k on average."""
        a, b = self.law.shape(N, D)
        return self._cap(*np.broadcast_arrays(a, b, np.asarray(k, dtype=float)))

    def mean(self, N: npt.ArrayLike, D: npt.ArrayLike, cap: npt.ArrayLike) -> FloatArray:
        """Mean number of samples of a query that takes at most ``cap``."""
        a, b = self.law.shape(N, D)
        return passk.beta_mean_samples(a, b, cap)

    def _cap(self, a: FloatArray, b: FloatArray, k: FloatArray) -> FloatArray:
        """Bisection in the logarithm; the mean grows with the cap."""
        low = np.zeros(a.shape)
        high = np.full(a.shape, np.log(min(self.most, _MOST)))
        for _ in range(55):
            middle = (low + high) / 2
            short = passk.beta_mean_samples(a, b, np.exp(middle)) <= k
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        return np.exp(high)


def select(
    law: Law, false_positives: float, vote: Wrong | None, stop_early: bool, max_k: float | None
) -> Selection | None:
    """Return the way that was asked for; None for a verifier that only misses, or no samples.

    Raises
    ------
    ValueError
        Where two are asked for, or the law has no distribution of p.
    """
    asked = [bool(false_positives), vote is not None, stop_early]
    if sum(asked) > 1:
        raise ValueError("give one of false_positives, vote and stop_early")
    if vote is not None:
        return Vote(law, vote)
    if stop_early:
        return StopEarly(law, np.inf if max_k is None else float(max_k))
    return FalsePositives(law, float(false_positives)) if false_positives else None
