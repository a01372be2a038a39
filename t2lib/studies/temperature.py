"""Temperature on our own testbed: the best for k samples, and whether it moves the best size."""

from __future__ import annotations

import numpy as np
import pandas as pd

from t2lib.studies.testbed import answers, variants


def curves(budget: float) -> pd.DataFrame:
    """Return pass@k of every checkpoint at a training budget and temperature, 1 included.

    Returns
    -------
    DataFrame
        ``family, n_params, seed, temperature, k, pass_at_k``.
    """
    table = variants()
    table = table[np.isclose(table["budget"], budget)]
    table = table[table["variant"].str.startswith("temperature=")]
    temperature = table["variant"].str.removeprefix("temperature=").astype(float)
    kept = ["family", "n_params", "seed", "temperature", "k", "pass_at_k"]
    parts = [table.assign(temperature=temperature)[kept]]
    ks = table["k"].unique()
    for family in table["family"].unique():
        line = answers(str(family)).line(budget, None)
        found = answers(str(family))
        there = np.isclose(found.checkpoints["budget"], budget)
        right = np.exp(-np.maximum(found.nll[there], 1e-9))
        for k in ks:
            passed = -np.expm1(k * np.log1p(-right)).mean(axis=1)
            one = line[["n_params", "seed"]].assign(family=family, temperature=1.0, k=k)
            parts.append(one.assign(pass_at_k=passed)[kept])
    return pd.concat(parts, ignore_index=True)


def best_temperatures(table: pd.DataFrame) -> pd.DataFrame:
    """Return each seed's best temperature at every k, from :func:`curves` of one size.

    Returns
    -------
    DataFrame
        ``family, k, seed, temperature``.
    """
    best = table.groupby(["family", "k", "seed"])["pass_at_k"].idxmax()
    return table.loc[best, ["family", "k", "seed", "temperature"]].reset_index(drop=True)
