"""How far a plan lies beyond the checkpoints that its law was fitted to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

Ranges = dict[str, tuple[float, float]]
# Each quantity of a plan, and what a table of checkpoints calls it.
_COLUMNS = {"N": "n_params", "D": "n_tokens", "k": "k"}
_QUANTITIES = ("N", "D", "D/N", "k")


def fitted_ranges(fitted: pd.DataFrame | Mapping[str, tuple[float, float]]) -> Ranges:
    """Ranges that a law was fitted over.

    Parameters
    ----------
    fitted : DataFrame or mapping
        The fitted table, with columns ``n_params``, ``n_tokens`` and, where the fit used it, ``k``;
        or (smallest, largest) of some of "N", "D", "D/N" (tokens per parameter) and "k".

    Returns
    -------
    dict
        Quantity to (smallest, largest).

    Raises
    ------
    ValueError
        Where a name is none of these, or a range is not two positive numbers in rising order.

    Examples
    --------
    >>> table = pd.DataFrame({"n_params": [1e8, 1e9], "n_tokens": [2e9, 1e11]})
    >>> fitted_ranges(table)["D/N"]
    (20.0, 100.0)
    """
    if isinstance(fitted, pd.DataFrame):
        given = {name: fitted[column] for name, column in _COLUMNS.items() if column in fitted}
        if "N" in given and "D" in given:
            given["D/N"] = given["D"] / given["N"]
        ranges = {name: (values.min(), values.max()) for name, values in given.items()}
    else:
        ranges = dict(fitted)
    if not ranges or not set(ranges) <= set(_QUANTITIES):
        columns = ", ".join(_COLUMNS.values())
        raise ValueError(
            f"fitted has {', '.join(map(str, ranges)) or 'nothing to compare with'}: must be a "
            f"table with {columns}, or ranges of {', '.join(_QUANTITIES)}"
        )
    for name, (smallest, largest) in ranges.items():
        if not 0 < smallest <= largest < np.inf:
            raise ValueError(
                f"fitted range of {name} is ({smallest:g}, {largest:g}): "
                "must be two positive numbers in rising order"
            )
    return {q: (float(ranges[q][0]), float(ranges[q][1])) for q in _QUANTITIES if q in ranges}


def beyond(ranges: Ranges, N: float, D: float, k: float) -> dict[str, float]:
    """Ratio of each quantity to the end of the fitted range that it lies beyond.

    Parameters
    ----------
    ranges : dict
        From :func:`fitted_ranges`.
    N, D, k : float

    Returns
    -------
    dict
        Only what lies outside: 3.2 is 3.2 times the largest fitted, 0.5 half the smallest.
    """
    values = {"N": N, "D": D, "D/N": D / N, "k": k}
    ratios = {}
    for name, (smallest, largest) in ranges.items():
        # Rounding does not make a plan at the end of the range an extrapolation.
        if values[name] > largest * (1 + 1e-9):
            ratios[name] = values[name] / largest
        elif values[name] < smallest * (1 - 1e-9):
            ratios[name] = values[name] / smallest
    return ratios


def in_words(ratios: Mapping[str, float], ranges: Ranges) -> list[str]:
    """Say each extrapolation in words: "N is 3.2 times the largest fitted (1e+09)"."""
    words = []
    for name, ratio in ratios.items():
        smallest, largest = ranges[name]
        side, end = ("largest", largest) if ratio > 1 else ("smallest", smallest)
        words.append(f"{name} is {ratio:.3g} times the {side} fitted ({end:.3g})")
    return words
