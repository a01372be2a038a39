"""What the scorecard's verdicts hang on: the same rules under other choices, on Gemstones.

Each change is made alone, the rest stays as the chapters have it. The rules are those of chapter 7
(a claim holds at 90 % of its cases, fails at 10 %, the least of several shares counts) and of
chapter 6 for the book's own law; they were written before these numbers were computed.

* *Answer length.* Every question's NLL times T, as in :mod:`t2lib.studies.answer_length`.
* *Cut-off.* Only checkpoints with at most so many tokens per parameter. For claim 4, and for the
  book's own law on overtrained checkpoints, the cut-off is where fits end and judging begins.
* *Range of k.* Laws see samples up to the largest k, and the exponents and the naive pass@k are
  compared there. The checkpoints' own k follow from the budgets and do not change.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from t2lib.data.registry import data_folder, read_json
from t2lib.studies import duels, extrapolation, frontiers, one_law
from t2lib.studies.power_law_in_k import local_exponent

BUDGETS = (0.0, 2e9, 2e10, 1.4e11)  # FLOPs per token; 0 stands for one sample each
KNOWLEDGE = ("arcc", "arce", "openbook")
LENGTHS = (1, 2, 4, 8, 16, 24)
CUTS = (100, 200, 400, 800)
LARGEST_K = (16, 64, 1024)
K = tuple(2**i for i in range(12))
_LEVELS = np.geomspace(1e19, 1e21, 7)
_TRAIN = np.geomspace(1e19, 1e25, 25)[:11]  # what checkpoints were trained with
_USUAL_CUT, _USUAL_K = 400.0, 256
_RIVALS = {"approach 1": ("AdditiveLaw", "nats"), "approach 2": ("BetaRegressionLaw", "relative")}


def shares(
    curves: pd.DataFrame, cut: float | None = None, most_k: int = _USUAL_K, *, n: int, seed: int
) -> dict[str, float]:
    """Every share, factor and count that the verdicts rest on, under one choice.

    Parameters
    ----------
    curves : DataFrame
        Curves of Gemstones' tasks at k = 1, 2, 4 to 2048.
    cut : float, optional
        Most tokens per parameter; None: all checkpoints, and claim 4 is judged above 400.
    most_k : int
        Largest k that laws see, a power of two from 16 on.
    n, seed : int
        Resamples of models.

    Returns
    -------
    dict
        Percent, but for ``factor`` and counts of tasks.
    """
    seen = curves if cut is None else curves[curves["n_tokens"] <= cut * curves["n_params"]]
    few = curves[curves["k"] <= most_k].reset_index(drop=True)
    found = _of_checkpoints(seen, n=n, seed=seed)
    found |= _of_plans(seen[seen["k"] <= most_k])
    found |= _of_samples(seen, most_k)
    errors = extrapolation.by_task(extrapolation.errors_above(few, cut or _USUAL_CUT))
    good = (errors[list(extrapolation.APPROACHES)] <= 0.10).to_numpy()
    found |= {"4 good": 100 * good.mean(), "4 cells": float(good.sum())}
    return found | _of_our_law(few, seen[seen["k"] <= most_k], cut, n=n, seed=seed)


def _of_checkpoints(seen: pd.DataFrame, *, n: int, seed: int) -> dict[str, float]:
    """Claims 1 and 5 without laws, and claim 8's p-values."""
    checkpoints = duels.at_budgets(seen, BUDGETS)
    best = duels.best_sizes(duels.equal_compute(checkpoints, _LEVELS))
    sizes = seen.groupby("model")["n_params"].first().sort_values()
    fights = duels.fight(duels.pair_up(seen), checkpoints)
    paid = fights[fights["inference_flops"] > 0]
    found = {"1 smaller": 100 * best["smaller"].mean(), "5 duels": float(len(paid))}
    if paid.empty:
        return found
    cells = duels.score(paid, sizes.index, n=n, seed=seed)
    above = 100 * (cells["wins_low"] > 0.5).mean()
    found |= {"5 won": 100 * paid["wins"].mean(), "5 cells above": above}
    gains = paid.groupby(["inference_flops", "task"])["gain"].mean()
    apart = [
        duels.class_difference(one.droplevel(0), KNOWLEDGE) for _, one in gains.groupby(level=0)
    ]
    return found | {
        "8 least": min(value for value, _ in apart),
        "8 largest p": max(p for _, p in apart),
        "8 largest": max(value for value, _ in apart),
    }


def _of_plans(fitted: pd.DataFrame) -> dict[str, float]:
    """Claims 1, 2 and 3 by the laws' plans."""
    laws = {
        str(task): {name: fit.law for name, fit in frontiers.fit_laws(rows).items()}
        for task, rows in fitted.groupby("task")
    }
    plans = pd.concat(
        [frontiers.plans(own, _TRAIN).assign(task=task) for task, own in laws.items()],
        ignore_index=True,
    )
    more = plans["over_chinchilla"] > 1
    both = more[plans["law"] != one_law.OURS]
    walks = frontiers.walks(plans, laws)
    return {
        "1 laws": 100 * more.mean(),
        "2 both": 100 * both.mean(),
        "2 factor": float(frontiers.size_factors(plans).median()),
        "3 monotone": 100 * walks["rises"].mean(),
        "3 falls": 100 * walks["falls"].mean(),
    }


def _of_samples(seen: pd.DataFrame, most_k: int) -> dict[str, float]:
    """Claims 6 and 7: exponents at small and large k, and the naive pass@k."""
    k = [1, 2, most_k // 4, most_k // 2]
    y = seen.pivot(index=["task", "model", "n_tokens"], columns="k", values="neg_log_pass")[k]
    values, index = y.to_numpy(), y.index
    start = local_exponent(values[:, :2], k[:2])[:, 0]
    passes = np.abs(local_exponent(values[:, 2:], k[2:])[:, 0] / start - 1) <= 0.10
    # The logarithm that begins alike is no power law: where it passes, the test is blind.
    slope = (values[:, 0] - values[:, 1]) / np.log(2)
    logs = values[:, [0]] - slope[:, None] * np.log(k)
    with np.errstate(divide="ignore", invalid="ignore"):
        bend = local_exponent(logs[:, 2:], k[2:])[:, 0] / start
    logs_pass = (logs[:, -1] > 0) & (np.abs(bend - 1) <= 0.10)
    by_task = (
        pd.DataFrame({"passes": passes, "blind": logs_pass}, index=index).groupby("task").mean()
    )
    wide = seen.pivot(index=["task", "model", "n_tokens"], columns="k", values="pass_at_k")
    ks = [x for x in (4, 16, 64, 256, 1024) if x <= most_k]
    # Where k p is tiny the two agree to the last digits, and rounding decides.
    naive = {x: -np.expm1(x * np.log1p(-wide[1])) for x in ks}
    high = [(naive[x] >= wide[x] * (1 - 1e-9)).mean() for x in ks]
    blind = by_task["blind"] > 0.5
    return {
        "6 passes": 100 * ((by_task["passes"] >= 0.9) & ~blind).mean(),
        "6 blind": 100 * blind.mean(),
        "7 above": 100 * float(np.mean(high)),
    }


def _of_our_law(
    few: pd.DataFrame, seen: pd.DataFrame, cut: float | None, *, n: int, seed: int
) -> dict[str, float]:
    """Tasks that the book's own law wins and loses, on models left out and overtrained."""
    laws = [one_law.OURS, "BetaRegressionLaw", "AdditiveLaw"]
    settings = {
        "left out": one_law.models_left_out(seen, laws, {})[0],
        "overtrained": one_law.overtrained(few, laws, cut=cut or _USUAL_CUT)[1],
    }
    found = {}
    for setting, sums in settings.items():
        table = one_law.compare(sums.clip(upper=1e12), _RIVALS, n=n, seed=seed)
        for rival, part in table.groupby("comparison"):
            for verdict in ("wins", "loses"):
                count = float((part["verdict"] == verdict).sum())
                found[f"own {setting}, {rival}, {verdict}"] = count
    return found


# ------------------------------------------------------------------------------------ verdicts


def verdict(*percents: float) -> str:
    """Holds from 90 % of the cases on, fails up to 10 %, mixed between; the least share counts."""
    share = min(percents)
    return "holds" if share >= 90 else "fails" if share <= 10 else "mixed"


def verdicts(found: Mapping[str, float], factor: float = 3.0) -> dict[str, str]:
    """Return the verdict of each claim by its rule, on Gemstones alone.

    Parameters
    ----------
    found : mapping
        From :func:`shares`.
    factor : float
        Claim 2: sizes that differ by more count as mixed.
    """
    agree = verdict(found["2 both"])
    apart = found["2 factor"] > factor and agree == "holds"
    rules = {
        "1": verdict(found["1 smaller"], found["1 laws"]),
        "2": "mixed" if apart else agree,
        "3": verdict(found["3 monotone"], found["3 falls"]),
        "4": verdict(found["4 good"]),
        "5": verdict(found["5 cells above"]) if "5 cells above" in found else "no duels",
        "6": "blind" if found["6 blind"] > 50 else verdict(found["6 passes"]),
        "7": verdict(found["7 above"]),
        "8": _of_classes(found),
    }
    for setting, rival in itertools.product(
        ("left out", "overtrained"), ("approach 1", "approach 2")
    ):
        wins, loses = (found[f"own {setting}, {rival}, {x}"] for x in ("wins", "loses"))
        better = (
            "better" if wins > 4 and not loses else "worse" if loses > 4 and not wins else "open"
        )
        rules[f"own {setting}, {rival}"] = better
    return rules


def _of_classes(found: Mapping[str, float]) -> str:
    if "8 largest p" not in found:
        return "no duels"
    if found["8 largest p"] <= 0.05:
        return "holds"
    return "fails" if found["8 largest"] < 0 else "undecided"


def recorded() -> pd.DataFrame:
    """:func:`shares` under every choice, as ``benchmarks/claims.py`` recorded them.

    Returns
    -------
    DataFrame
        Index ``(change, setting)``; a change is "answer length", "cut-off" or "largest k".
    """
    values: list[dict[str, Any]] = read_json(data_folder() / "recorded/robustness.json")["values"][
        "rows"
    ]
    return pd.DataFrame(values).set_index(["change", "setting"])


def turns(rows: pd.DataFrame) -> pd.DataFrame:
    """Say for each claim which changes leave its verdict and which turn it, on Gemstones.

    Parameters
    ----------
    rows : DataFrame
        From :func:`recorded`.

    Returns
    -------
    DataFrame of str
        Index: claims and comparisons of the book's own law. ``as judged``, and a column a change:
        "stays", or the other verdicts with the settings that give them.
    """
    judged: dict[Any, dict[str, str]] = {}
    for key, row in rows.iterrows():
        found: Any = row.dropna().to_dict()
        judged[key] = verdicts(found)
    base = judged["answer length", 1]
    table: dict[str, dict[str, str]] = {}
    for claim, usual in base.items():
        table[claim] = {"as judged": usual}
        for change in dict.fromkeys(rows.index.get_level_values("change")):
            others: dict[str, list[str]] = {}
            for (kind, setting), by_claim in judged.items():
                if kind == change and by_claim[claim] != usual:
                    others.setdefault(by_claim[claim], []).append(f"{setting:,.0f}")
            said = [f"{verdict} at {', '.join(at)}" for verdict, at in others.items()]
            table[claim][change] = "; ".join(said) or "stays"
    return pd.DataFrame(table).T
