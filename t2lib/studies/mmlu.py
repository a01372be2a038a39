"""Knowledge against reasoning (claim 8) and the comparison of laws, on 38 subjects of MMLU.

Eight tasks are too few for either. The subjects of MMLU are scored alike: a mean loss per token of
the right answer's text, so ``exp(-NLL)`` is a length-normalised chance, as for the other tasks.

The rules, set down before these computations. A first look at four definitions of classes came
before them:

* *Classes.* MMLU's own four, from its subcategories (Hendrycks et al. 2021), and "mathematics and
  logic": the subcategory mathematics, and formal logic. Of the four, STEM leans on reasoning most.
* *Gain.* Mean log ratio of pass@k of the overtrained side over the Chinchilla-like side in the
  duels of chapter 7, at the same three inference budgets.
* *Difference.* Mean gain of a class less that of all other subjects; "adjusted": less what a
  straight line in the log of the Chinchilla-like side's pass@k at that budget tells. p-values are
  two-sided, by permuting subjects (of the adjusted: residuals). Holm's correction is over the five
  classes and three budgets, 15 tests, adjusted and not each.
* *Claim 8* (knowledge gains less) holds where mathematics and logic gain more than the rest,
  corrected p at most 0.05, adjusted and not, at every budget. It fails where they gain less at
  every budget, adjusted and not, and the corrected p of both is at most 0.05 at one budget. Else it
  is undecided.
* *Laws.* Models left out and overtrained checkpoints, as in chapter 6, on every fifth checkpoint.
  The interval of a mean over subjects resamples models and subjects together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from t2lib._checks import FloatArray
from t2lib.data.layouts import Likelihoods
from t2lib.data.registry import data_folder, read_json
from t2lib.passk import pass_at_k_from_nll
from t2lib.studies import duels, one_law

BUDGETS = (2e9, 2e10, 1.4e11)  # inference FLOPs per token, as in chapter 7
MATHS = "mathematics and logic"
# MMLU's categories by subject, as its authors' evaluation code has them.
_CATEGORIES = {
    "STEM": (
        *("abstract_algebra", "college_chemistry", "college_computer_science"),
        *("college_physics", "conceptual_physics", "elementary_mathematics"),
        *("high_school_biology", "high_school_chemistry", "high_school_mathematics"),
        *("high_school_physics", "machine_learning"),
    ),
    "humanities": (
        *("formal_logic", "high_school_european_history", "high_school_us_history"),
        *("high_school_world_history", "international_law", "logical_fallacies"),
        *("moral_disputes", "moral_scenarios", "philosophy", "prehistory", "professional_law"),
    ),
    "social sciences": (
        *("econometrics", "high_school_geography", "high_school_macroeconomics"),
        *("high_school_psychology", "human_sexuality", "public_relations"),
        *("security_studies", "us_foreign_policy"),
    ),
    "other": (
        *("anatomy", "business_ethics", "clinical_knowledge", "college_medicine", "marketing"),
        *("medical_genetics", "professional_medicine", "virology"),
    ),
}
CLASSES: Mapping[str, tuple[str, ...]] = {
    **_CATEGORIES,
    MATHS: (
        *("abstract_algebra", "elementary_mathematics", "high_school_mathematics"),
        "formal_logic",
    ),
}
SUBJECTS = tuple(sorted(subject for subjects in _CATEGORIES.values() for subject in subjects))
LAWS = (one_law.OURS, "BetaRegressionLaw", "AdditiveLaw", "ProductLaw", "LossTiedLaw")
RIVALS = {
    "-log pass@k, against Approach 1": ("AdditiveLaw", "nats"),
    "-log pass@k, against the product": ("ProductLaw", "nats"),
    "-log pass@k, against the tied power": ("LossTiedLaw", "nats"),
    "pass@k, against Approach 2": ("BetaRegressionLaw", "relative"),
    "-log pass@k, against Approach 2": ("BetaRegressionLaw", "nats"),
}


# ------------------------------------------------------------------------------- claim 8: gains


def gains(
    subject: Likelihoods,
    pairs: pd.DataFrame,
    budgets: Sequence[float] = BUDGETS,
    length: float = 1,
) -> pd.DataFrame:
    """Play the duels on one task, with the whole number of samples that each side can pay for.

    Parameters
    ----------
    subject : Likelihoods
    pairs : DataFrame
        From :func:`~t2lib.studies.duels.pair_up`.
    budgets : sequence of float
        Inference FLOPs per token.
    length : float
        Tokens of an answer: each question's NLL is so many times its mean per token.

    Returns
    -------
    DataFrame
        ``pair`` (its row), ``inference_flops``, ``big_pass``, ``gain``: where both sides can
        answer once.
    """
    runs = subject.checkpoints
    row = {key: i for i, key in enumerate(zip(runs["model"], runs["n_tokens"], strict=True))}
    found = []
    for pair in pairs.itertuples():
        sides = {
            side: length
            * subject.nll[row[getattr(pair, side), getattr(pair, f"{side}_D")]].astype(float)
            for side in ("big", "small")
        }
        for budget in budgets:
            k = {side: duels.samples_of(getattr(pair, f"{side}_N"), budget) for side in sides}
            if min(k.values()) < 1:
                continue
            passed = {side: float(pass_at_k_from_nll(nll, k[side])) for side, nll in sides.items()}
            gain = np.log(passed["small"] / passed["big"])
            case = {"pair": pair.Index, "inference_flops": budget, "gain": float(gain)}
            found.append(case | {"big_pass": passed["big"]})
    return pd.DataFrame(found)


def difference(
    gain: FloatArray, inside: FloatArray, level: FloatArray | None = None
) -> FloatArray | float:
    """Mean gain of a class less that of the others, with or without what the level tells.

    With a level it is the class's coefficient beside a straight line in the level.

    Parameters
    ----------
    gain : ndarray, shape (..., subjects)
    inside : ndarray, shape (subjects,)
        1 for subjects of the class, 0 for others.
    level : ndarray, shape (subjects,), optional

    Returns
    -------
    float or ndarray, shape (...)
    """
    alone = _without(inside - inside.mean(), level)
    return np.asarray((gain * alone).sum(axis=-1) / (alone * alone).sum())


def _without(values: FloatArray, level: FloatArray | None) -> FloatArray:
    """Take the mean and, where there is a level, the line in it out of values, by subject."""
    values = values - values.mean(axis=-1, keepdims=True)
    if level is None:
        return values
    line = level - level.mean()
    slope = (values * line).sum(axis=-1, keepdims=True) / (line * line).sum()
    return np.asarray(values - slope * line)


def p_value(
    gain: FloatArray, inside: FloatArray, level: FloatArray | None, *, n: int, seed: int
) -> float:
    """Two-sided permutation p-value of :func:`difference` (Freedman and Lane 1983).

    What the level tells is held; residuals of the gain are permuted over subjects.
    """
    return p_values(gain, [inside], level, n=n, seed=seed)[0]


def p_values(
    gain: FloatArray, insides: Sequence[FloatArray], level: FloatArray | None, *, n: int, seed: int
) -> list[float]:
    """:func:`p_value` of several classes, by the same permutations."""
    left = _without(gain, level)
    rng = np.random.default_rng(seed)
    shuffled = np.array([rng.permutation(left) for _ in range(n)])
    found = []
    for inside in insides:
        observed = abs(float(difference(gain, inside, level)))
        drawn = np.abs(difference(shuffled, inside, level))
        found.append(float((1 + np.sum(drawn >= observed * (1 - 1e-9))) / (1 + n)))
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's corrected p-values, in the order given.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    steps = p[order] * (len(p) - np.arange(len(p)))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(x) for x in corrected.round(12)]


def class_table(
    found: pd.DataFrame,
    pairs: pd.DataFrame,
    models: pd.Index,
    *,
    n: int,
    seed: int,
    classes: Mapping[str, Sequence[str]] = CLASSES,
) -> pd.DataFrame:
    """Difference of each class from the others at each budget.

    Parameters
    ----------
    found : DataFrame
        :func:`gains` of every subject, with ``subject``.
    pairs : DataFrame
    models : Index
        What resamples draw from.
    n, seed : int
        Resamples of models; permutations are ten times as many.
    classes : mapping of str to subjects

    Returns
    -------
    DataFrame
        ``name, inference_flops, adjusted, subjects``; ``value, low, high``, over models; ``p`` and
        ``p_holm``.
    """
    times = duels.weights(pairs, models, n=n, seed=seed)
    rows = []
    for budget, part in found.groupby("inference_flops"):
        wide = {
            column: part.assign(big_pass=np.log(part["big_pass"])).pivot(
                index="subject", columns="pair", values=column
            )
            for column in ("gain", "big_pass")
        }
        mean = {name: table.mean(axis=1).to_numpy() for name, table in wide.items()}
        drawn = {
            name: np.array([_weighted(table.to_numpy(), w) for w in times[:, table.columns]])
            for name, table in wide.items()
        }
        for name, subjects in classes.items():
            inside = wide["gain"].index.isin(subjects).astype(float)
            for adjusted in (False, True):
                level = mean["big_pass"] if adjusted else None
                draws = [
                    float(difference(g, inside, one if adjusted else None))
                    for g, one in zip(drawn["gain"], drawn["big_pass"], strict=True)
                    if np.isfinite(g).all()
                ]
                low, high = duels.ends(np.array(draws))
                rows.append(
                    {
                        "name": name,
                        "inference_flops": float(str(budget)),
                        "adjusted": adjusted,
                        "subjects": int(inside.sum()),
                        "value": float(difference(mean["gain"], inside, level)),
                        "low": low,
                        "high": high,
                        "p": p_value(mean["gain"], inside, level, n=10 * n, seed=seed),
                    }
                )
    table = pd.DataFrame(rows)
    for _, part in table.groupby("adjusted"):
        table.loc[part.index, "p_holm"] = holm(part["p"].tolist())
    return table


def without(gains: pd.DataFrame, left_out: Sequence[str], *, n: int, seed: int) -> pd.DataFrame:
    """Each class against the rest, adjusted, with some subjects left out of both.

    Parameters
    ----------
    gains : DataFrame
        Mean ``gain`` and ``level`` by ``subject`` and ``inference_flops``.
    left_out : sequence of str
    n, seed : int
        Permutations.

    Returns
    -------
    DataFrame
        Index ``(name, inference_flops)``: ``value``, ``p``, and ``p_holm`` over all of them.
    """
    rows = {}
    for budget, one in gains[~gains["subject"].isin(left_out)].groupby("inference_flops"):
        insides = [np.asarray(one["subject"].isin(c), dtype=float) for c in CLASSES.values()]
        gain, level = one["gain"].to_numpy(), one["level"].to_numpy()
        found = p_values(gain, insides, level, n=n, seed=seed)
        for name, inside, p in zip(CLASSES, insides, found, strict=True):
            rows[name, budget] = {"value": float(difference(gain, inside, level)), "p": p}
    table = pd.DataFrame(rows).T.rename_axis(["name", "inference_flops"])
    return table.assign(p_holm=holm(table["p"].tolist()))


def _weighted(values: FloatArray, weights: FloatArray) -> FloatArray:
    total = weights.sum()
    return (values * weights).sum(axis=1) / total if total else np.full(len(values), np.nan)


def verdict(table: pd.DataFrame, reasoning: str = MATHS) -> str:
    """Claim 8 by the rule of this module, from :func:`class_table`.

    Returns
    -------
    {"holds", "fails", "undecided"}
    """
    rows = table[table["name"] == reasoning]
    sure = rows["p_holm"] <= 0.05
    if (sure & (rows["value"] > 0)).all():
        return "holds"
    both = sure.groupby(rows["inference_flops"]).all()
    return "fails" if (rows["value"] < 0).all() and both.any() else "undecided"


# ----------------------------------------------------------------------------- comparison of laws


def law_sums(curves: pd.DataFrame) -> pd.DataFrame:
    """Errors of the laws for models left out of one subject, summed by model.

    Parameters
    ----------
    curves : DataFrame
        Thinned already, k among 1, 4, 16, 64, 256.
    """
    return one_law.models_left_out(curves, LAWS, {}, every=1)[0]


def mean_ratios(sums: pd.DataFrame, *, n: int, seed: int) -> pd.DataFrame:
    """Our error over each rival's: geometric mean over subjects, models and subjects resampled.

    Parameters
    ----------
    sums : DataFrame
        :func:`law_sums` of all subjects, side by side.
    n, seed : int

    Returns
    -------
    DataFrame
        A row a comparison: ``value, low, high`` (ratios less 1).
    """
    rng = np.random.default_rng(seed)
    subjects = list(sums.columns.get_level_values(0).unique())
    models = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), n).astype(float)
    chosen = rng.multinomial(len(subjects), np.full(len(subjects), 1 / len(subjects)), n)
    rows = {}
    for comparison, (rival, score) in RIVALS.items():
        logs = [
            _log_ratio(sums[subject], rival, score, np.vstack([np.ones(len(sums)), models]))
            for subject in subjects
        ]
        table = np.array(logs)  # subjects, 1 + n
        mean = (table[:, 1:].T * chosen).sum(axis=1) / len(subjects)
        low, high = np.quantile(mean, [0.025, 0.975])
        value = table[:, 0].mean()
        rows[comparison] = {"value": value, "low": low, "high": high}
    return pd.DataFrame(rows).T.transform(np.expm1)


def _log_ratio(one: pd.DataFrame, rival: str, score: str, weights: FloatArray) -> FloatArray:
    ours, theirs = (
        (weights * one[name, score].to_numpy()).sum(axis=1) for name in (one_law.OURS, rival)
    )
    return np.log(ours / theirs) / (2 if score == "nats" else 1)


# ------------------------------------------------------------------------------------- as recorded


def recorded() -> dict[str, Any]:
    """What ``benchmarks/claims.py`` recorded from the released question losses.

    Returns
    -------
    dict
        DataFrames ``classes`` (:func:`class_table`), ``gains`` (mean gain and level by subject and
        budget), ``laws`` (:func:`~t2lib.studies.one_law.compare` by subject) and ``ratios``
        (:func:`mean_ratios`); the last two by ``setting``, "models left out" or "overtrained".
    """
    values = read_json(data_folder() / "recorded/mmlu.json")["values"]
    return {name: pd.DataFrame(rows) for name, rows in values.items()}


def class_of(subject: str) -> str:
    """MMLU's category of a subject."""
    return next(name for name, subjects in _CATEGORIES.items() if subject in subjects)
