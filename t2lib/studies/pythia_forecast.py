"""Pythia's real samples: what laws fitted at ordinary ratios forecast, where they fail, and why.

Errors are in decades: log10 of predicted over seen pass@k.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from t2lib._checks import FloatArray
from t2lib.data.registry import Recorded, recorded
from t2lib.data.suites import load_questions
from t2lib.fitting.powers import Fit
from t2lib.fitting.table import fit, law_of
from t2lib.laws import BetaConsistentLaw, Law
from t2lib.studies.duels import cases, near_ratio

TASKS = ("gsm8k", "math")
CUT = 100.0  # tokens per parameter up to which the forecasting laws are fitted
SMALL = ("Pythia-14M", "Pythia-70M", "Pythia-160M")
_K = 2 ** np.arange(8)
_TOLERANCE = 1.15  # factor of training compute within which two checkpoints are equal
_VOCABULARY = {"Pythia-6.9B": 50432, "Pythia-12B": 50688}  # padded; 50304 elsewhere
_WIDTH = {
    "Pythia-14M": 128,
    "Pythia-70M": 512,
    "Pythia-160M": 768,
    "Pythia-410M": 1024,
    "Pythia-1B": 2048,
    "Pythia-1.4B": 2048,
    "Pythia-2.8B": 2560,
    "Pythia-6.9B": 4096,
    "Pythia-12B": 5120,
}


# --------------------------------------------------------------------------------------- the fits


def without_embeddings(table: pd.DataFrame) -> pd.Series:
    """Parameters of each row's model without its two embedding matrices."""
    vocabulary = table["model"].map(_VOCABULARY).fillna(50304)
    return table["n_params"] - 2 * vocabulary * table["model"].map(_WIDTH)


def fits(task: str) -> Recorded:
    """Laws fitted to the counts of right samples, by maximum likelihood of the Beta-binomial.

    Parameters
    ----------
    task : {"gsm8k", "math"}

    Returns
    -------
    Recorded
        ``values``: parameters of the laws "consistent" and "regression" under "all" checkpoints
        and "low", those up to 100 tokens per parameter; of the consistent law also "low, without
        embeddings" and, by model, "low, without one model". Computed where the released file is at
        hand, else as recorded.
    """
    return recorded(f"overtraining_pythia_{task}", lambda: _fit(task), inputs=[f"pythia_{task}"])


def _fit(task: str) -> dict[str, Any]:
    table = load_questions("pythia", task)
    low = table[table["n_tokens"] <= CUT * table["n_params"]]
    whole, below = _consistent(table), _consistent(low)
    bare = low.assign(n_params=without_embeddings(low))
    return {
        "all": _both(table, whole),
        "low": _both(low, below),
        "low, without embeddings": _consistent(bare).params,
        "low, without one model": {
            model: _consistent(low[low["model"] != model], below.law).params
            for model in low["model"].unique()
        },
    }


def _consistent(rows: pd.DataFrame, start: Any = None) -> Fit:
    return fit("BetaConsistentLaw", rows, start=start)


def _both(rows: pd.DataFrame, first: Fit) -> dict[str, Any]:
    second = fit("BetaRegressionLaw", rows, chinchilla=first.law.chinchilla)
    return {
        "consistent": first.params,
        "consistent at bounds": list(first.at_bounds),
        "regression": second.params,
        "regression at bounds": list(second.at_bounds),
    }


def planning_laws(values: Mapping[str, Any]) -> dict[str, Any]:
    """Laws of all checkpoints, as :func:`t2lib.studies.frontiers.plans` takes them."""
    both = values["all"]
    ours = law_of("BetaConsistentLaw", both["consistent"])
    theirs = law_of("BetaRegressionLaw", both["regression"])
    return {
        "Chinchilla": ours.chinchilla,
        "BetaRegressionLaw": theirs,
        "BetaConsistentLaw": ours,
    }


def forecasting_law(values: Mapping[str, Any]) -> BetaConsistentLaw:
    """Beta-consistent law of the checkpoints up to 100 tokens per parameter."""
    return law_of("BetaConsistentLaw", values["low"]["consistent"])


def live_law(curves: pd.DataFrame) -> Fit:
    """Interaction law of one task's curves up to 100 tokens per parameter; needs no counts.

    It sees pass@k where it is neither 0 nor 1.
    """
    rows = curves[(curves["n_tokens"] <= CUT * curves["n_params"]) & curves["k"].isin(_K)]
    return fit("InteractionLaw", rows)


# ------------------------------------------------------------------------------------- the errors


def decades(law: Law, curves: pd.DataFrame, sizes: pd.Series | None = None) -> pd.DataFrame:
    """Error of each checkpoint, mean over k = 1, 2, ..., 128.

    Parameters
    ----------
    law : Law
        With ``pass_at_k``.
    curves : DataFrame
        Curves of one task.
    sizes : Series, optional
        What the law takes for N, a value a row; ``n_params`` by default.

    Returns
    -------
    DataFrame
        ``model, n_params, n_tokens, error``. Where nothing was right there is no error.
    """
    rows = curves[curves["k"].isin(_K) & (curves["pass_at_k"] > 0)]
    N = rows["n_params"] if sizes is None else sizes[rows.index]
    guess = getattr(law, "pass_at_k")(N, rows["n_tokens"], rows["k"])  # noqa: B009
    keys = ["model", "n_params", "n_tokens"]
    error = np.log10(guess / rows["pass_at_k"])
    return rows[keys].assign(error=error).groupby(keys).mean().reset_index()


def above(errors: pd.DataFrame) -> pd.DataFrame:
    """Rows of overtrained checkpoints: more than 100 tokens per parameter."""
    return errors[errors["n_tokens"] > CUT * errors["n_params"]]


def forecasts(
    curves: pd.DataFrame, records: Mapping[str, Mapping[str, Any]], kind: str = "low"
) -> pd.DataFrame:
    """:func:`decades` of every task by laws fitted below the cut-off.

    Parameters
    ----------
    curves : DataFrame
        Pythia's curve table.
    records : mapping of task to values of :func:`fits`
    kind : {"low", "low, without embeddings"}
        Whether N counts the embeddings.

    Returns
    -------
    DataFrame
        ``task, model, n_params, n_tokens, error``.
    """
    bare = None if kind == "low" else without_embeddings(curves)
    tables = []
    for task, values in records.items():
        params = values[kind]["consistent"] if kind == "low" else values[kind]
        law = law_of("BetaConsistentLaw", params)
        rows = curves[curves["task"] == task]
        tables.append(decades(law, rows, bare).assign(task=task))
    return pd.concat(tables, ignore_index=True)


def one_model_left_out(
    curves: pd.DataFrame, records: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Mean error above 100 of each task and model, with each model left out of the fit in turn.

    Returns
    -------
    DataFrame
        Index ``(task, model)``, a column for each model left out.
    """
    found = {}
    for task, values in records.items():
        rows = above(curves[curves["task"] == task])
        for left_out, params in values["low, without one model"].items():
            off = decades(law_of("BetaConsistentLaw", params), rows)
            for model, error in off.groupby("model")["error"].mean().items():
                found[task, model, left_out] = error
    return pd.Series(found).unstack().rename_axis(["task", "model"])


def split_at_best(
    curves: pd.DataFrame, records: Mapping[str, Mapping[str, Any]], k: int = 64
) -> pd.DataFrame:
    """Error of each model's last checkpoint, split at its own best one.

    Only models whose last checkpoint is above 100 tokens per parameter.

    Returns
    -------
    DataFrame
        Index ``(task, model)``; ``last`` and ``at_best``, errors there; ``seen_since`` and
        ``promised_since``, changes of log10 pass@k from the best to the last; ``best_ratio``,
        tokens per parameter of the best.
    """
    found = {}
    rows = curves[(curves["k"] == k) & (curves["pass_at_k"] > 0)].sort_values("n_tokens")
    key: Any
    for key, run in rows.groupby(["task", "model"]):
        if run["n_tokens"].iloc[-1] > CUT * run["n_params"].iloc[-1]:
            found[key] = _split(forecasting_law(records[key[0]]), run, k)
    return pd.DataFrame(found).T.rename_axis(["task", "model"])


def _split(law: BetaConsistentLaw, run: pd.DataFrame, k: int) -> dict[str, float]:
    seen = np.log10(run["pass_at_k"].to_numpy())
    guess = np.log10(law.pass_at_k(run["n_params"], run["n_tokens"], k))
    best = int(seen.argmax())
    return {
        "last": guess[-1] - seen[-1],
        "at_best": guess[best] - seen[best],
        "seen_since": seen[-1] - seen[best],
        "promised_since": guess[-1] - guess[best],
        "best_ratio": (run["n_tokens"] / run["n_params"]).iloc[best],
    }


# -------------------------------------------------------------------------------------- the duels


def duels(curves: pd.DataFrame, checkpoints: pd.DataFrame) -> pd.DataFrame:
    """Duels with each model's checkpoint nearest to 20 tokens per parameter.

    The smaller side's curve is met at the same training compute, linear in logarithms between two
    checkpoints; where a checkpoint lies within 15 % of it there is a ``real`` duel as well. A side
    that was never right counts as beaten.

    Parameters
    ----------
    curves, checkpoints : DataFrame
        Pythia's curve table, and :func:`t2lib.studies.duels.at_budgets` of it.

    Returns
    -------
    DataFrame
        ``task, inference_flops, big, big_N, big_pass, small, small_N, small_pass, real, wins,
        gain``. Duels in which both sides have none right are left out.
    """
    rows = []
    for task, inference, group in cases(checkpoints):
        near = near_ratio(curves[curves["task"] == task], within=np.inf)
        runs = {model: run.set_index("n_tokens") for model, run in group.groupby("model")}
        for big in near.merge(group, on=["model", "n_params", "n_tokens"]).to_dict("records"):
            side = (big["model"], big["n_params"], big["pass_at_k"])
            for model, run in runs.items():
                N = float(run["n_params"].iloc[0])
                if big["n_params"] >= 2 * N:
                    meetings = _meetings(run, big)
                    rows += [(task, inference, *side, model, N, *met) for met in meetings]
    columns = ["task", "inference_flops", "big", "big_N", "big_pass"]
    columns += ["small", "small_N", "small_pass", "real"]
    table = pd.DataFrame(rows, columns=columns).dropna()
    table = table[table[["big_pass", "small_pass"]].max(axis=1) > 0].reset_index(drop=True)
    passes = table[["small_pass", "big_pass"]].clip(lower=1e-300)
    gain = np.log(passes["small_pass"] / passes["big_pass"])
    return table.assign(wins=table["small_pass"] > table["big_pass"], gain=gain)


def _meetings(run: pd.DataFrame, big: Mapping[Any, Any]) -> list[tuple[float, bool]]:
    """Pass@k of a run at another checkpoint's compute: between checkpoints, and at a close one."""
    tokens = big["n_params"] * big["n_tokens"] / run["n_params"].iloc[0]
    known, values = run.index.to_numpy(float), run["pass_at_k"].to_numpy()
    close = np.abs(np.log(known / tokens)) <= np.log(_TOLERANCE)
    return [(_between(known, values, tokens), False), *((x, True) for x in values[close])]


def _between(known: FloatArray, values: FloatArray, tokens: float) -> float:
    """Value between two checkpoints, linear in logarithms; 0 if one has none, NaN outside."""
    after = int(np.searchsorted(known, tokens))
    if not 0 < after < len(known):
        return np.nan
    pair = slice(after - 1, after + 1)
    if not (values[pair] > 0).all():
        return float(values[pair].min())  # 0, or NaN where a curve stops below this k
    return float(np.exp(np.interp(np.log(tokens), np.log(known[pair]), np.log(values[pair]))))
