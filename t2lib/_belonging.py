"""Whether pass rates and losses can belong to the same answers, checked in one place.

Two kinds of fault. What logic forbids is refused: pass@k that falls in k, and a mean loss below
-log of the mean pass rate, which Jensen's inequality rules out. What is possible but unlikely,
such as losses in bits, is told in words.
"""

from __future__ import annotations

import numpy as np

from t2lib import passk
from t2lib._checks import FloatArray, IntArray

# Pass rates are printed to three decimals at least: half of the last one is rounding.
_ROUNDED_SHARE = 5e-4
_ROUNDED_LOSS = 1e-3  # relative, for two columns that should be the same number
# A law's Beta is an approximation: on the eight Gemstones tasks the mean loss that it gives the
# seen pass rates is 0.97 to 1.19 of the true one. Bits make it 0.69 to 0.82.
_FAR = 1.25
_CHECKPOINTS = 15  # looked at


def first_contradiction(
    pass_at_k: FloatArray,
    k: FloatArray,
    checkpoint: IntArray,
    loss: FloatArray | None = None,
) -> tuple[int, str, str] | None:
    """Find the first row that logic forbids.

    Parameters
    ----------
    pass_at_k, k : ndarray, one a row
        Mean pass@k of the questions, and samples.
    checkpoint : ndarray of int, one a row
        Number of the checkpoint that the row belongs to.
    loss : ndarray, one a row, optional
        Mean over questions of -log p in nats; NaN where it is not known.

    Returns
    -------
    (row, name, words) or None
        The position, what is wrong there ("loss" or "pass_at_k"), and why. None: nothing is.
    """
    faults = []
    order = np.lexsort((k, checkpoint))
    Q = pass_at_k[order]
    falls = (np.diff(checkpoint[order]) == 0) & (np.diff(Q) < -1e-9) & (np.diff(k[order]) > 0)
    for place in np.flatnonzero(falls):
        before, row = order[place], order[place + 1]
        words = f"is below {pass_at_k[before]:g} at k = {k[before]:g}: pass@k cannot fall in k"
        faults.append((int(row), "pass_at_k", words))
    if loss is not None:
        least = -np.log(np.minimum(pass_at_k + _ROUNDED_SHARE, 1.0))
        for row in np.flatnonzero(loss < least * (1 - 1e-9)):  # never where it is NaN
            words = (
                f"is below -log of its pass rate, {least[row]:.4g}, which no mean of -log p can "
                "be (Jensen): it is in another unit, per token, or of other answers"
            )
            faults.append((int(row), "loss", words))
    return min(faults) if faults else None


def losses_not_of(
    pass_at_k: FloatArray, k: FloatArray, loss: FloatArray, checkpoint: IntArray
) -> str:
    """Say it where the losses do not seem to be those of the answers behind the pass rates.

    A Beta distribution is laid through the pass@k of up to 15 checkpoints, each by itself, and its
    own E[-log p] compared with the loss. It is told where the median ratio is beyond 1.25 either
    way, and also three standard errors of a median over the checkpoints away from 1.

    Returns
    -------
    str
        Empty where nothing is to be said, or too little is known (no checkpoint has pass rates at
        three k, one of them above 0.01).
    """
    ratios = []
    codes = np.unique(checkpoint)
    for code in codes[np.linspace(0, len(codes) - 1, min(len(codes), _CHECKPOINTS)).astype(int)]:
        rows = checkpoint == code
        Q, ks, L = pass_at_k[rows], k[rows], float(loss[rows][0])
        if len(np.unique(ks)) >= 3 and 0 < Q.min() < 0.99 and Q.max() > 0.01 and L > 0:
            ratios.append(np.log(_mean_nll_behind(ks, Q) / L))
    if not ratios:
        return ""
    middle = float(np.median(ratios))
    error = (
        1.2533 * 1.4826 * float(np.median(np.abs(np.array(ratios) - middle))) / np.sqrt(len(ratios))
    )
    if abs(middle) <= max(np.log(_FAR), 3 * error):
        return ""
    return (
        "the losses may not belong to the pass rates: a Beta through these has "
        f"{np.exp(middle):.2g} times the given mean loss "
        "(bits instead of nats, per token, or of other answers?)"
    )


def first_not_mean_nll(k: FloatArray, neg_log_pass: FloatArray, loss: FloatArray) -> int | None:
    """Find the first row with k = 1 whose mean -log pass@1 is not its mean loss, as it must be."""
    apart = np.abs(neg_log_pass - loss) > _ROUNDED_LOSS * np.maximum(loss, 1.0)
    found = np.flatnonzero((k == 1) & apart)
    return int(found[0]) if found.size else None


def _mean_nll_behind(k: FloatArray, pass_at_k: FloatArray) -> float:
    """E[-log p] of the Beta distribution whose pass@k is nearest in squares."""
    from scipy import optimize, special  # every reading loads this module, and few need these

    def residuals(v: FloatArray) -> FloatArray:
        a, b = np.exp(v)
        return passk.beta_pass_at_k(np.full(k.shape, a), np.full(k.shape, b), k) - pass_at_k

    first = float(np.clip(pass_at_k[k.argmin()], 1e-6, 1 - 1e-6))
    start = np.log([0.3, 0.3 * (1 - first) / first])
    found = optimize.least_squares(residuals, np.clip(start, -11, 17), bounds=(-12, 18))
    a, b = np.exp(found.x)
    return float(special.digamma(a + b) - special.digamma(a))
