"""The scaling laws, as frozen dataclasses of their parameters with the formulas as methods.

Symbols as in the literature: N parameters, D training tokens, k samples per question, L a loss in
nats. Every method broadcasts over its arguments. A law knows nothing of data or fitting.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
from scipy import special

from t2lib import passk
from t2lib._checks import FloatArray, at_least_one, positive, require

if TYPE_CHECKING:
    from t2lib.planning.support import Support


AnyLaw = TypeVar("AnyLaw")


@runtime_checkable
class Law(Protocol):
    """A frozen dataclass of a law's parameters, with its formulas as methods.

    It has one or more of ``loss(N, D)``, ``pass_at_k(N, D, k)`` and ``neg_log_pass(N, D, k)``;
    what is not there, a law does not predict.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True)
class _Fitted:
    """What a law carries beside its parameters: the checkpoints that it was fitted to.

    Laws with equal parameters are equal, whatever they were fitted to. A law that is built by
    hand, or with :func:`dataclasses.replace`, was fitted to nothing: its ``support`` is None.
    """

    support: Support | None = field(default=None, init=False, repr=False, compare=False)


def fitted_on(law: AnyLaw, support: Support | None) -> AnyLaw:
    """Return the same law with what it was fitted to as its ``support``, whatever its class."""
    again = copy.copy(law)
    object.__setattr__(again, "support", support)
    return again


@dataclass(frozen=True)
class Chinchilla(_Fitted):
    """Loss of a model with N parameters after D tokens: ``L = E + A N^-alpha + B D^-beta``.

    Parameters
    ----------
    E, A, B : float
        Irreducible loss, and the coefficients of the two reducible terms, in nats; not negative.
    alpha, beta : float
        Exponents of N and D; not negative.

    Raises
    ------
    ValueError
        Where a parameter is negative or not finite.

    References
    ----------
    Hoffmann et al. (2022), "Training Compute-Optimal Large Language Models", equation 2.

    Examples
    --------
    >>> law = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
    >>> float(law.loss(70e9, 1.4e12).round(4))
    1.9366
    """

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def __post_init__(self) -> None:
        _check_parameters(self)

    def loss(self, N: npt.ArrayLike, D: npt.ArrayLike) -> FloatArray:
        """Loss in nats at N parameters and D tokens.

        Parameters
        ----------
        N, D : array_like, positive
            They broadcast.

        Returns
        -------
        ndarray of float

        Raises
        ------
        ValueError
            Where N or D is not positive and finite.
        """
        N, D = _sizes(N, D)
        return self.E + self.A * N**-self.alpha + self.B * D**-self.beta

    @property
    def compute_exponent(self) -> float:
        """Exponent a of N* in C: ``beta / (alpha + beta)``; that of D* is ``1 - a``."""
        return self.beta / (self.alpha + self.beta)

    def optimum(self, train_flops: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Model size and tokens of least loss at a training budget C = 6 N D.

        ``N* = G (C / 6)^a`` and ``D* = C / (6 N*)``, with ``a = beta / (alpha + beta)`` and
        ``G = (alpha A / (beta B))^(1 / (alpha + beta))``.

        Parameters
        ----------
        train_flops : array_like, positive
            Training compute C in FLOPs.

        Returns
        -------
        N, D : ndarray of float
            Parameters and tokens.

        Raises
        ------
        ValueError
            Where C is not positive and finite, or the law has no inner optimum: a coefficient or
            an exponent is 0, so one of the two is never worth its compute.
        """
        C = positive(train_flops, "train_flops")
        for name in ("A", "B", "alpha", "beta"):
            if getattr(self, name) == 0:
                raise ValueError(f"{name} is 0: the loss has no optimum between N and D")
        G = (self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta))
        N = G * (C / 6) ** self.compute_exponent
        return N, C / 6 / N

    def tokens_per_parameter(self, train_flops: npt.ArrayLike) -> FloatArray:
        """D* / N* at a training budget; 20 is the rule of thumb. Errors as :meth:`optimum`."""
        N, D = self.optimum(train_flops)
        return D / N


@dataclass(frozen=True)
class AdditiveLaw(_Fitted):
    """T2's approach 1, the k-augmented loss law.

    ``-log pass@k = E + A N^-alpha + B D^-beta + G k^-gamma``: the mean over questions of the
    negative logarithm of pass@k, in nats. The terms add up, so k and N do not interact.

    Parameters
    ----------
    E, A, B, alpha, beta : float
        As in :class:`Chinchilla`; not negative.
    G, gamma : float
        Coefficient in nats and exponent of the number of samples; not negative.

    Raises
    ------
    ValueError
        Where a parameter is negative or not finite.

    References
    ----------
    Roberts et al. (2026), arXiv:2604.01411, approach 1.
    """

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    G: float
    gamma: float

    def __post_init__(self) -> None:
        _check_parameters(self)

    def neg_log_pass(self, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """Mean negative log pass@k in nats; N, D, k broadcast, positive, k at least 1."""
        k = at_least_one(k)
        power_law = Chinchilla(self.E, self.A, self.B, self.alpha, self.beta)
        return power_law.loss(N, D) + self.G * k**-self.gamma

    def at_one_sample(self) -> Chinchilla:
        """Return the law at k = 1: a Chinchilla law whose constant is ``E + G``."""
        return Chinchilla(self.E + self.G, self.A, self.B, self.alpha, self.beta)


@dataclass(frozen=True)
class _BetaLaw(_Fitted, ABC):
    """What the two laws share that give each checkpoint a Beta distribution of difficulty."""

    chinchilla: Chinchilla

    @abstractmethod
    def shape_at_loss(self, loss: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Beta parameters (a, b) where the mean negative log-likelihood is ``loss`` nats."""

    def shape(self, N: npt.ArrayLike, D: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Beta parameters (a, b) of the questions' p at N parameters and D tokens."""
        return self.shape_at_loss(self.chinchilla.loss(N, D))

    def pass_at_k(self, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """Mean pass@k of the task; N, D, k broadcast, positive, k at least 1."""
        return passk.beta_pass_at_k(*self.shape(N, D), k)

    def neg_log_pass(self, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """Mean negative log pass@k in nats; N, D, k broadcast, positive, k at least 1."""
        return passk.beta_neg_log_pass(*self.shape(N, D), k)


@dataclass(frozen=True)
class BetaRegressionLaw(_BetaLaw):
    """T2's approach 2, the pass@k law: Beta regression on the Chinchilla loss.

    The questions' p follow Beta(mu nu, (1 - mu) nu) with
    ``mu = theta2 / (1 + exp(theta1 (L - theta0)))`` and ``nu = exp(theta3 + theta4 L)``,
    and ``pass@k = 1 - B(a, b + k) / B(a, b)``.

    Parameters
    ----------
    chinchilla : Chinchilla
        Law of the checkpoints' mean negative log-likelihood.
    theta : sequence of 5 floats
        Midpoint (nats), steepness (per nat), ceiling (0 to 1), and the two coefficients of the
        logarithm of the concentration.

    Raises
    ------
    ValueError
        Where theta has not five finite numbers or theta2 is outside (0, 1].

    References
    ----------
    Roberts et al. (2026), arXiv:2604.01411, approach 2.
    """

    chinchilla: Chinchilla
    theta: tuple[float, float, float, float, float]

    def __post_init__(self) -> None:
        theta = tuple(float(value) for value in self.theta)
        if len(theta) != 5 or not all(map(math.isfinite, theta)):
            raise ValueError(f"theta is {theta}: must be five finite numbers")
        if not 0 < theta[2] <= 1:
            raise ValueError(f"theta[2] is {theta[2]:g}: the ceiling must be above 0, at most 1")
        object.__setattr__(self, "theta", theta)

    def mean_pass(self, N: npt.ArrayLike, D: npt.ArrayLike) -> FloatArray:
        """Mean mu of the questions' p, the law's pass@1."""
        return self._mean(self.chinchilla.loss(N, D))

    def _mean(self, loss: npt.ArrayLike) -> FloatArray:
        middle, steepness, ceiling, _, _ = self.theta
        mean = ceiling * special.expit(-steepness * (np.asarray(loss, dtype=float) - middle))
        # The Beta distribution needs 0 < mu < 1: keep a ceiling of 1 and a far loss inside.
        return np.clip(mean, 1e-300, 1 - 1e-12)

    def shape_at_loss(self, loss: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Beta parameters (a, b) where the mean negative log-likelihood is ``loss`` nats."""
        mean = self._mean(loss)
        log_nu = self.theta[3] + self.theta[4] * np.asarray(loss, dtype=float)
        nu = np.exp(np.clip(log_nu, -40.0, 40.0))
        return np.maximum(mean * nu, 1e-300), np.maximum((1 - mean) * nu, 1e-300)

    def naive_pass_at_k(self, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """``1 - (1 - mu)^k``: every question as hard as the mean; too high, by Jensen."""
        return -np.expm1(at_least_one(k) * np.log1p(-self.mean_pass(N, D)))


@dataclass(frozen=True)
class BetaConsistentLaw(_BetaLaw):
    """The book's own law: one Beta distribution for both metrics, tied to the Chinchilla loss.

    The questions' p follow Beta(a, b) with ``digamma(a + b) - digamma(a) = L(N, D)``, which is
    exactly ``E[-log p] = L``, and ``log b = c0 + c1 L``. At k = 1 its -log pass@k is the
    Chinchilla loss by construction, and it goes to 0 as k grows.

    Parameters
    ----------
    chinchilla : Chinchilla
        Law of the checkpoints' mean negative log-likelihood.
    c0, c1 : float
        Intercept, and slope per nat, of log b.

    Raises
    ------
    ValueError
        Where c0 or c1 is not finite.
    """

    chinchilla: Chinchilla
    c0: float
    c1: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.c0) and math.isfinite(self.c1)):
            raise ValueError(f"c0 is {self.c0:g}, c1 is {self.c1:g}: both must be finite")

    def shape_at_loss(self, loss: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Beta parameters (a, b) where the mean negative log-likelihood is ``loss`` nats."""
        loss = np.asarray(loss, dtype=float)
        b = np.exp(np.clip(self.c0 + self.c1 * loss, -40.0, 40.0))
        return passk.beta_a_from_mean_nll(b, loss), b


@dataclass(frozen=True)
class ZeroInflatedLaw(_Fitted):
    """The Beta-consistent law with a share of questions that no number of samples answers.

    ``pass@k = (1 - z) (1 - B(a, b + k) / B(a, b))``: the share ``z = 1 / (1 + exp(-(z0 + z1 L)))``
    of the questions has p = 0, the others follow the Beta-consistent law, whose L is their mean
    negative log-likelihood. Over all questions that mean is infinite.

    Parameters
    ----------
    chinchilla, c0, c1
        As in :class:`BetaConsistentLaw`.
    z0, z1 : float
        Intercept, and slope per nat, of the logit of the share never solved.

    Raises
    ------
    ValueError
        Where c0, c1, z0 or z1 is not finite.
    """

    chinchilla: Chinchilla
    c0: float
    c1: float
    z0: float
    z1: float

    def __post_init__(self) -> None:
        _check_finite(c0=self.c0, c1=self.c1, z0=self.z0, z1=self.z1)

    def never_solved(self, N: npt.ArrayLike, D: npt.ArrayLike) -> FloatArray:
        """Share of questions that are never solved; N and D broadcast, positive."""
        return np.asarray(special.expit(self.z0 + self.z1 * self.chinchilla.loss(N, D)))

    def pass_at_k(self, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """Mean pass@k of the task; N, D, k broadcast, positive, k at least 1."""
        others = BetaConsistentLaw(self.chinchilla, self.c0, self.c1)
        return (1 - self.never_solved(N, D)) * others.pass_at_k(N, D, k)


@dataclass(frozen=True)
class ProductLaw(_Fitted):
    """Approach 1 with the sum over k made a product: samples shrink the whole loss.

    ``-log pass@k = (E + A N^-alpha + B D^-beta) k^-gamma``: the mean over questions, in nats. One
    parameter fewer than the additive law, an interaction of N and k, and 0 as k grows.

    Parameters
    ----------
    E, A, B, alpha, beta : float
        As in :class:`Chinchilla`; not negative.
    gamma : float
        Exponent of the number of samples; not negative.

    Raises
    ------
    ValueError
        Where a parameter is negative or not finite.
    """

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    gamma: float

    def __post_init__(self) -> None:
        _check_parameters(self)

    def neg_log_pass(self, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """Mean negative log pass@k in nats; N, D, k broadcast, positive, k at least 1."""
        k = at_least_one(k)
        power_law = Chinchilla(self.E, self.A, self.B, self.alpha, self.beta)
        return power_law.loss(N, D) * k**-self.gamma


@dataclass(frozen=True)
class LossTiedLaw(_Fitted):
    """A power law in k whose exponent follows the loss, with no distribution of difficulty.

    ``-log pass@k = L (1 + (k - 1) / kappa)^-h`` with ``h = exp(g0 + g1 L)`` and L the Chinchilla
    law of the mean negative log-likelihood. At k = 1 it is L. It says nothing about pass@k. Where
    g1 is positive, samples are worth most to the worst models: then it is good inside what it was
    fitted to, and no guide to a plan.

    Parameters
    ----------
    chinchilla : Chinchilla
        Law of the checkpoints' mean negative log-likelihood.
    kappa : float
        Number of samples from which on the power law is seen; positive.
    g0, g1 : float
        Intercept, and slope per nat, of the logarithm of the exponent.

    Raises
    ------
    ValueError
        Where kappa is not positive, or a parameter is not finite.
    """

    chinchilla: Chinchilla
    kappa: float
    g0: float
    g1: float

    def __post_init__(self) -> None:
        if not 0 < self.kappa < math.inf:
            raise ValueError(f"kappa is {self.kappa:g}: must be positive and finite")
        _check_finite(g0=self.g0, g1=self.g1)

    def neg_log_pass(self, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """Mean negative log pass@k in nats; N, D, k broadcast, positive, k at least 1."""
        return self.at_loss(self.chinchilla.loss(N, D), k)

    def at_loss(self, loss: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """Mean negative log pass@k where the mean negative log-likelihood is ``loss`` nats."""
        loss, k = np.asarray(loss, dtype=float), at_least_one(k)
        exponent = np.exp(np.clip(self.g0 + self.g1 * loss, -40.0, 40.0))
        return np.asarray(loss * np.exp(-exponent * np.log1p((k - 1) / self.kappa)))


@dataclass(frozen=True)
class _NormalScoreLaw(_Fitted, ABC):
    """What the Beta's rivals share: -log p as a function of a standard normal score of difficulty.

    Tied to the loss as the Beta-consistent law is: the mean of -log p is ``L(N, D)``, and the
    logarithm of the other shape parameter is ``c0 + c1 L``.
    """

    chinchilla: Chinchilla
    c0: float
    c1: float

    def __post_init__(self) -> None:
        _check_finite(c0=self.c0, c1=self.c1)

    @abstractmethod
    def nll_at_loss(self, loss: npt.ArrayLike, score: FloatArray) -> FloatArray:
        """-log p of questions where the mean is ``loss`` nats, shape ``loss.shape + score.shape``.

        ``score`` is the normal score of a question's difficulty: 0 is the median question.
        """

    def pass_at_k(self, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """Mean pass@k of the task; N, D, k broadcast, positive, k at least 1."""
        return passk.pass_of_scores(self.nll_at_loss, self.chinchilla.loss(N, D), k)

    def neg_log_pass(self, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """Mean negative log pass@k in nats; N, D, k broadcast, positive, k at least 1."""
        return passk.neg_log_pass_of_scores(self.nll_at_loss, self.chinchilla.loss(N, D), k)

    def _shape(self, loss: FloatArray, low: float, high: float) -> FloatArray:
        # The bounds keep the quadrature over scores exact.
        return np.asarray(np.exp(np.clip(self.c0 + self.c1 * loss, low, high)))


@dataclass(frozen=True)
class KumaraswamyLaw(_NormalScoreLaw):
    """The Beta-consistent law with Kumaraswamy's distribution in the place of the Beta.

    ``P(p < x) = 1 - (1 - x^a)^b`` with ``log b = c0 + c1 L`` and the a for which
    ``E[-log p] = (digamma(b + 1) + Euler's constant) / a`` is L.

    Parameters
    ----------
    chinchilla, c0, c1
        As in :class:`BetaConsistentLaw`.

    References
    ----------
    Kumaraswamy (1980), "A generalized probability density function for double-bounded random
    processes".
    """

    def nll_at_loss(self, loss: npt.ArrayLike, score: FloatArray) -> FloatArray:
        """-log p at normal scores of difficulty."""
        loss = np.asarray(loss, dtype=float)[..., None]
        b = self._shape(loss, -15.0, 40.0)
        a = (special.digamma(b + 1) + np.euler_gamma) / loss
        return np.asarray(-np.log(-np.expm1(special.log_ndtr(score) / b)) / a)


@dataclass(frozen=True)
class LogNormalLaw(_NormalScoreLaw):
    """The same with -log p log-normal over questions: ``log s = c0 + c1 L``, mean L.

    Parameters
    ----------
    chinchilla : Chinchilla
    c0, c1 : float
        Intercept, and slope per nat, of the logarithm of s, the standard deviation of
        ``log(-log p)``.
    """

    def nll_at_loss(self, loss: npt.ArrayLike, score: FloatArray) -> FloatArray:
        """-log p at normal scores of difficulty."""
        loss = np.asarray(loss, dtype=float)[..., None]
        s = self._shape(loss, -6.0, 1.2)
        return np.asarray(loss * np.exp(s * score - s * s / 2))


@dataclass(frozen=True)
class LogitNormalLaw(_NormalScoreLaw):
    """The same with the logit of p normal over questions: ``log s = c0 + c1 L``.

    Parameters
    ----------
    chinchilla : Chinchilla
    c0, c1 : float
        Intercept, and slope per nat, of the logarithm of s, the standard deviation of the logit.
        Its mean is the one for which ``E[-log p]`` is L.
    """

    def nll_at_loss(self, loss: npt.ArrayLike, score: FloatArray) -> FloatArray:
        """-log p at normal scores of difficulty."""
        loss = np.asarray(loss, dtype=float)
        s = self._shape(loss, -6.0, 2.3)
        middle = passk.logit_mean_from_mean_nll(s, loss)
        return np.logaddexp(0.0, s[..., None] * score - middle[..., None])


@dataclass(frozen=True)
class InteractionLaw(_Fitted):
    """Krajewski et al.'s law of repeated sampling, in which compute and k interact.

    ``log(-log Q) = log_A + alpha log C + beta log k + delta log C log k`` with C = 6 N D and Q
    the task's pass@k. It models minus the logarithm of the task's mean, not the mean of the
    logarithms.

    Parameters
    ----------
    log_A, alpha, beta, delta : float
        Any finite numbers; the last is the interaction.

    Raises
    ------
    ValueError
        Where a parameter is not finite.

    References
    ----------
    Krajewski et al. (2026), arXiv:2512.08894.
    """

    log_A: float
    alpha: float
    beta: float
    delta: float

    def __post_init__(self) -> None:
        _check_parameters(self, signed=True)

    def pass_at_k(self, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """Task's pass@k; N, D, k broadcast, positive, k at least 1."""
        N, D = _sizes(N, D)
        log_C, log_k = np.log(6 * N * D), np.log(at_least_one(k))
        slope = self.beta + self.delta * log_C
        return np.exp(-np.exp(self.log_A + self.alpha * log_C + slope * log_k))


@dataclass(frozen=True)
class LawsAtEachK(_Fitted):
    """Schaeffer et al.'s laws: one saturating power law for each number of samples apart.

    ``-log Q = E(k) + A(k) N^-alpha(k) + B(k) D^-beta(k)``, or with the compute C = 6 N D in the
    place of N and D, ``-log Q = E(k) + C0(k) C^-alpha(k)`` (then ``A`` is C0 and ``B`` is 0).
    Nothing ties one k to the next, so the law says nothing about a k it was not fitted at.

    Parameters
    ----------
    k : tuple of numbers
        Samples at which there is a law.
    laws : tuple of Chinchilla
        One for each k.
    by_compute : bool
        Whether the laws' N stands for compute in FLOPs.

    Raises
    ------
    ValueError
        Where ``k`` and ``laws`` differ in length.

    References
    ----------
    Schaeffer et al. (2026), arXiv:2509.24012.
    """

    k: tuple[float, ...]
    laws: tuple[Chinchilla, ...]
    by_compute: bool

    def __post_init__(self) -> None:
        if len(self.k) != len(self.laws):
            raise ValueError(f"k has {len(self.k)} values and laws has {len(self.laws)}")

    def pass_at_k(self, N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
        """Task's pass@k; ValueError where there is no law for a k."""
        N, D = _sizes(N, D)
        N, D, k = np.broadcast_arrays(N, D, at_least_one(k))
        out = np.full(N.shape, np.nan)
        for value, law in zip(self.k, self.laws, strict=True):
            here = k == value
            size = 6 * N[here] * D[here] if self.by_compute else N[here]
            out[here] = np.exp(-law.loss(size, D[here]))
        require(~np.isnan(out), "k", k, "has no law: none was fitted there")
        return out


def _check_parameters(law: object, signed: bool = False) -> None:
    for parameter in fields(law):  # type: ignore[arg-type]
        if not parameter.init:
            continue
        value = getattr(law, parameter.name)
        if not math.isfinite(value) or (value < 0 and not signed):
            rule = "finite" if signed else "finite and not negative"
            raise ValueError(f"{parameter.name} is {value:g}: must be {rule}")


def _check_finite(**parameters: float) -> None:
    for name, value in parameters.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value:g}: must be finite")


def _sizes(N: npt.ArrayLike, D: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    return positive(N, "N"), positive(D, "D")
