"""The data wall: what a finite stock of unique tokens does to a law.

A token seen again teaches less than a new one, and parameters beyond what the stock can fill add
less than the first ones. Both decay exponentially (Muennighoff et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from t2lib._checks import FloatArray, positive
from t2lib.laws import Chinchilla, Law


@dataclass(frozen=True)
class DataWall:
    """A stock of unique tokens, and what repetition and excess parameters are worth.

    With the stock U, the model size N_U that suits it, and x+ for max(x, 0):

    * repetitions ``R_D = (D / U - 1)+``, effective tokens
      ``D' = min(D, U) + U R*_D (1 - exp(-R_D / R*_D))``;
    * excess ``R_N = (N / N_U - 1)+``, effective parameters
      ``N' = min(N, N_U) + N_U R*_N (1 - exp(-R_N / R*_N))``.

    A law is read at (N', D'), training is paid for N and D. Four epochs are nearly as good as new
    data, and no number of epochs is worth more than ``1 + R*_D`` stocks.

    Parameters
    ----------
    unique_tokens : float
        The stock U in tokens.
    suited_params : float, optional
        N_U. By default the compute-optimal size of a model trained once on the stock, by the law's
        own Chinchilla part; a law without one needs the number. Infinite: no parameter is excess.
    token_decay, params_decay : float
        R*_D in repetitions and R*_N in multiples of N_U.

    Raises
    ------
    ValueError
        Where a number is not positive, or (but for ``suited_params``) not finite.

    References
    ----------
    Muennighoff et al. (2023), "Scaling Data-Constrained Language Models", arXiv:2305.16264,
    section 3, for the formulas and the two constants. They take N_U for the unique tokens that a
    run uses, ``min(D, U)``; here it is that of the whole stock, so that an endless stock changes
    nothing.

    Examples
    --------
    >>> wall = DataWall(unique_tokens=1e11, suited_params=5e9)
    >>> N, D = wall.effective(1e9, 4e11)
    >>> f"{N:.4g}", f"{D:.4g}"
    ('1e+09', '3.726e+11')
    """

    unique_tokens: float
    suited_params: float | None = None
    token_decay: float = 15.4
    params_decay: float = 5.3

    def __post_init__(self) -> None:
        for name in ("unique_tokens", "token_decay", "params_decay"):
            positive(getattr(self, name), name)
        if self.suited_params is not None and not self.suited_params > 0:
            raise ValueError(f"suited_params is {self.suited_params:g}: must be positive")

    def suited_to(self, law: Law) -> DataWall:
        """Return the wall with ``suited_params`` filled in from a law, where it has none yet.

        Parameters
        ----------
        law : Chinchilla, AdditiveLaw, BetaRegressionLaw, BetaConsistentLaw, ...
            A law of the loss in N and D, or one that has it as ``chinchilla`` or
            ``at_one_sample()``.

        Returns
        -------
        DataWall

        Raises
        ------
        ValueError
            Where the law has no such part.
        """
        if self.suited_params is not None:
            return self
        size = _suited_params(_chinchilla_part(law), self.unique_tokens)
        return DataWall(self.unique_tokens, size, self.token_decay, self.params_decay)

    def effective(self, N: npt.ArrayLike, D: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Effective parameters and tokens, N' and D'.

        Parameters
        ----------
        N, D : array_like, positive
            Parameters and tokens seen, repetitions counted. Each is treated apart.

        Returns
        -------
        N, D : ndarray of float

        Raises
        ------
        ValueError
            Where a number is not positive and finite, or ``suited_params`` is not known.
        """
        N, D = positive(N, "N"), positive(D, "D")
        if self.suited_params is None:
            raise ValueError("suited_params is not known: call suited_to with a law first")
        return (
            _worth(N, self.suited_params, self.params_decay),
            _worth(D, self.unique_tokens, self.token_decay),
        )


def _worth(amount: FloatArray, stock: float, decay: float) -> FloatArray:
    excess = np.maximum(amount / stock - 1, 0.0)  # 0 where the stock is infinite
    with np.errstate(invalid="ignore"):
        beyond = np.where(excess > 0, -stock * decay * np.expm1(-excess / decay), 0.0)
    return np.minimum(amount, stock) + beyond


def _chinchilla_part(law: Law) -> Chinchilla:
    if isinstance(law, Chinchilla):
        return law
    if isinstance(part := getattr(law, "chinchilla", None), Chinchilla):
        return part
    if callable(reduce := getattr(law, "at_one_sample", None)):
        return _chinchilla_part(reduce())
    raise ValueError(
        f"{type(law).__name__} does not tell which model size suits a stock of tokens: "
        "give unique_tokens as DataWall(unique_tokens=..., suited_params=...)"
    )


def _suited_params(law: Chinchilla, tokens: float) -> float:
    """N at which ``alpha A N^-alpha = beta B D^-beta``: the compute-optimal size for D tokens."""
    slopes = law.alpha * law.A, law.beta * law.B
    if 0 in slopes:  # one of the two is worth nothing, so no size suits a stock better than another
        return np.inf
    log_N = (np.log(slopes[0] / slopes[1]) + law.beta * np.log(tokens)) / law.alpha
    return float(np.exp(np.clip(log_N, -600.0, 600.0)))
