"""Where the released checkpoints lie, and how far their numbers can be trusted (chapter 01)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from t2lib._checks import FloatArray, require_one_of
from t2lib.data.curves import load_curves
from t2lib.data.layouts import load_points
from t2lib.data.registry import Recorded, fetch, recorded
from t2lib.data.suites import load_questions
from t2lib.data.tables import whole_parquet

TASK_SUITES = ("gemstones", "pythia")
# Suites with a loss on text only: their released files, and the multiples at which a decade is cut.
TEXT_SUITES = {
    "porian": ("porian_isoflop", (1, 2, 5)),
    "gadre": ("gadre_models", (1, 3)),
    "chinchilla": ("chinchilla_points", (1, 3)),
}
_SIZE_CUTS = (1, 2, 5)
_RANGED = ("n_params", "n_tokens", "ratio", "loss")
# Numbers of samples at which Pythia's questions are counted apart.
SAMPLE_EDGES = (0, 1e3, 1e4, 1e5, 3e5, np.inf)
LATE = 1e11  # tokens from which on a run is called late


def suite_facts() -> pd.DataFrame:
    """Describe the book's five suites: how many checkpoints, and how far they reach.

    Returns
    -------
    DataFrame, indexed by suite
        ``checkpoints``; the least and the most of parameters, tokens, and tokens per parameter,
        ``n_params_low`` to ``ratio_high``; ``above_20``, the share of checkpoints with more than
        20 tokens per parameter.
    """
    facts = {suite: describe_runs(places(suite)) for suite in TASK_SUITES}
    facts |= {suite: text_suite(suite).values for suite in TEXT_SUITES}
    rows = []
    for fact in facts.values():
        row = {"checkpoints": fact["runs"]}
        for name in _RANGED[:3]:
            row[f"{name}_low"], row[f"{name}_high"] = fact[name]
        rows.append(row | {"above_20": fact["above_20"]})
    return pd.DataFrame(rows, index=list(facts))


def places(suite: str) -> pd.DataFrame:
    """Return where a suite's checkpoints lie.

    Parameters
    ----------
    suite : str
        One of :data:`TASK_SUITES` or :data:`TEXT_SUITES`.

    Returns
    -------
    DataFrame
        ``n_params``, ``n_tokens`` and ``runs``. A suite with tasks has a row for each checkpoint.
        Of the others, which are not embedded, the book keeps counts in coarse cells only: a row is
        a cell's centre, and ``runs`` is how many checkpoints are in it.

    Raises
    ------
    DataError
        For an unknown suite.
    """
    require_one_of(suite, [*TASK_SUITES, *TEXT_SUITES], "suite")
    if suite in TASK_SUITES:
        runs = load_curves(suite).drop_duplicates(["model", "n_tokens"])
        return runs[["model", "n_params", "n_tokens"]].assign(runs=1).reset_index(drop=True)
    grid = text_suite(suite).values
    row, column, size, _ = np.array(grid["cells"]).T
    middles = [_middles(grid[edges]) for edges in ("n_edges", "d_edges")]
    N, D = (middle[at.astype(int)] for middle, at in zip(middles, (row, column), strict=True))
    return pd.DataFrame({"n_params": N, "n_tokens": D, "runs": size.astype(int)})


def text_suite(suite: str) -> Recorded:
    """Return ranges and coarse cells of a suite with losses on text, recorded or recomputed.

    Parameters
    ----------
    suite : str
        One of :data:`TEXT_SUITES`.
    """
    require_one_of(suite, list(TEXT_SUITES), "suite")
    released, cuts = TEXT_SUITES[suite]

    def compute() -> dict[str, Any]:
        runs = load_points(suite)
        return describe_runs(runs) | coarse_cells(runs, cuts)

    return recorded(f"checkpoints_{suite}", compute, inputs=[released])


def describe_runs(runs: pd.DataFrame) -> dict[str, Any]:
    """Count runs and give their ranges to three digits.

    Parameters
    ----------
    runs : DataFrame
        ``n_params``, ``n_tokens`` and, where there is one, ``loss``.

    Returns
    -------
    dict
        ``runs``, ``sizes``, ``above_20`` (share), and the least and the most of ``n_params``,
        ``n_tokens``, ``ratio`` and ``loss``.
    """
    ratio = runs["n_tokens"] / runs["n_params"]
    table = runs.assign(ratio=ratio)
    ranges = {
        name: [float(f"{v:.3g}") for v in (table[name].min(), table[name].max())]
        for name in _RANGED
        if name in table
    }
    sizes = runs["n_params"].nunique()
    return {"runs": len(runs), "sizes": sizes, "above_20": float((ratio > 20).mean()), **ranges}


def coarse_cells(runs: pd.DataFrame, cuts: Sequence[float]) -> dict[str, Any]:
    """Count runs in cells with round edges, from which no run can be had back.

    Parameters
    ----------
    runs : DataFrame
        ``n_params`` and ``n_tokens``.
    cuts : sequence of float
        Multiples of a power of ten at which the tokens are cut; parameters are cut at 1, 2, 5.

    Returns
    -------
    dict
        ``n_edges``, ``d_edges``, and ``cells``: row, column, number of runs, and their tokens per
        parameter to two digits (geometric mean).
    """
    n_edges = _round_edges(runs["n_params"].to_numpy(), _SIZE_CUTS)
    d_edges = _round_edges(runs["n_tokens"].to_numpy(), cuts)
    row = np.digitize(runs["n_params"], n_edges) - 1
    column = np.digitize(runs["n_tokens"], d_edges) - 1
    log_ratio = pd.Series(np.log(runs["n_tokens"] / runs["n_params"]))
    cells = log_ratio.groupby([row, column]).agg(["size", "mean"])
    found = [
        [int(i), int(j), int(size), float(f"{np.exp(mean):.2g}")]
        for (i, j), size, mean in cells.itertuples()
    ]
    return {"n_edges": n_edges, "d_edges": d_edges, "cells": found}


def _round_edges(values: FloatArray, cuts: Sequence[float]) -> FloatArray:
    low, high = min(values), max(values)
    decades = range(int(np.log10(low)), int(np.log10(high)) + 2)
    series = np.array([m * 10.0**d for d in decades for m in cuts])
    first = np.flatnonzero(series <= low)[-1]
    return series[first : np.flatnonzero(series > high)[0] + 1]


def _middles(edges: Sequence[float]) -> FloatArray:
    edge = np.asarray(edges, dtype=float)
    return np.sqrt(edge[:-1] * edge[1:])


def largest_k(curves: pd.DataFrame) -> pd.DataFrame:
    """Return how far each checkpoint's curve reaches.

    Parameters
    ----------
    curves : DataFrame
        A curve table.

    Returns
    -------
    DataFrame
        A row for each task and checkpoint: ``largest_k``, and ``pass_at_k`` at ``common_k``, the
        largest k that all of them have.
    """
    keys = ["task", "model", "n_params", "n_tokens"]
    reach = curves.groupby(keys)["k"].max().rename("largest_k").reset_index()
    common = int(reach["largest_k"].min())
    at_common = curves.loc[curves["k"] == common, [*keys, "pass_at_k"]]
    return reach.merge(at_common, on=keys).assign(common_k=common)


def mean_losses(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the mean NLL of each checkpoint, a column for each task.

    Parameters
    ----------
    curves : DataFrame
        A curve table of a suite with likelihoods.

    Returns
    -------
    DataFrame
        ``suite``, ``model``, ``n_params``, ``n_tokens`` and the tasks, ordered by size and tokens.
    """
    keys = ["suite", "model", "n_params", "n_tokens"]
    at_1 = curves[curves["k"] == 1]
    wide = at_1.pivot(index=keys, columns="task", values="mean_nll").rename_axis(columns=None)
    return wide.reset_index().sort_values(["n_params", "model", "n_tokens"], ignore_index=True)


def compute_correlations(losses: pd.DataFrame) -> pd.Series:
    """Rank correlation of each task's mean NLL with training compute, over all checkpoints.

    Parameters
    ----------
    losses : DataFrame
        From :func:`mean_losses`. At -1 the loss falls whenever compute grows.
    """
    compute = (losses["n_params"] * losses["n_tokens"]).rank()
    tasks = losses.columns.difference(["suite", "model", "n_params", "n_tokens", "resample_copy"])
    return losses[tasks].rank().corrwith(compute)


def roughness(table: pd.DataFrame, column: str) -> pd.Series:
    """Root mean square of the changes of log loss from one late checkpoint to the next.

    Parameters
    ----------
    table : DataFrame
        ``model``, ``n_tokens`` and the loss; checkpoints past :data:`LATE` tokens are used.
    column : str
        Which loss.

    Returns
    -------
    Series, indexed by model
        As a share of the loss for each step.
    """
    table = table.sort_values(["model", "n_tokens"])
    steps = np.log(table[column]).groupby(table["model"]).diff()[table["n_tokens"] > LATE]
    return np.sqrt((steps**2).groupby(table["model"]).mean())


def text_roughness() -> Recorded:
    """Range and roughness of the Gemstones' loss on text, recorded or recomputed.

    Returns
    -------
    Recorded
        ``low_high`` (nats per token) and ``roughness`` (model to share).
    """

    def compute() -> dict[str, Any]:
        points = load_points("gemstones")
        low_high = [float(f"{v:.3g}") for v in (points["loss"].min(), points["loss"].max())]
        return {"low_high": low_high, "roughness": roughness(points, "loss").to_dict()}

    return recorded("gemstones_text_loss", compute, inputs=["gemstones_loss_edu"])


def late_decline(curves: pd.DataFrame) -> pd.Series:
    """Return a model's last pass@k over its own best, at the largest k that all checkpoints have.

    Parameters
    ----------
    curves : DataFrame
        A curve table. Models that never answered anything are left out.

    Returns
    -------
    Series, indexed by task and n_params
        1 where the last checkpoint is the best one.
    """
    rows = largest_k(curves).sort_values("n_tokens").groupby(["task", "n_params"])["pass_at_k"]
    best = rows.max()
    return (rows.last() / best)[best > 0]


def sample_counts() -> Recorded:
    """Count Pythia's questions by samples and hits, and released rows whose k exceeds n.

    Returns
    -------
    Recorded
        For "gsm8k" and "math": ``counts`` (rows: numbers of samples between
        :data:`SAMPLE_EDGES`; columns: 0, 1 to 4, 5 or more hits), ``most_samples``, ``rows``,
        ``rows_beyond`` and ``share_one``, how many of the latter claim a pass@k of 1.
    """
    inputs = ["pythia_gsm8k", "pythia_math"]
    return recorded("pythia_samples", _count_samples, inputs=inputs)


def _count_samples() -> dict[str, Any]:
    values = {}
    for task in ("gsm8k", "math"):
        table = load_questions("pythia", task)
        hits = pd.cut(table["n_correct"], [-1, 0, 4, np.inf], labels=["0", "1 to 4", "5 or more"])
        samples = pd.cut(table["n_samples"], list(SAMPLE_EDGES), labels=False)
        raw = whole_parquet(fetch(f"pythia_{task}"), columns=["Num. Samples", "k", "pass@k"])
        beyond = raw[raw["k"] > raw["Num. Samples"]]
        values[task] = {
            "counts": pd.crosstab(samples, hits).to_numpy(),
            "most_samples": table["n_samples"].max(),
            "rows": len(raw),
            "rows_beyond": len(beyond),
            "share_one": (beyond["pass@k"] == 1).mean(),
        }
    return values
