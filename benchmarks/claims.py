"""The claims where they could fail: other answer lengths, other tasks, other rivals, other folds.

    python benchmarks/claims.py [--only NAME ...]

Reads the released question losses and counts (T2LIB_MIRROR, or the network) and writes rivals.json,
answer_length.json, duel_lengths.json, mmlu.json, robustness.json, zero_inflation.json and
few_samples.json into data/recorded/, each whole or not at all. It takes about twelve minutes on one
quiet core.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import t2lib as t2
from t2lib.data.layouts import gemstones_nll
from t2lib.data.registry import _write_text, data_folder, fingerprint
from t2lib.studies import (
    answer_length,
    duels,
    few_samples,
    mmlu,
    one_law,
    robustness,
    zero_inflation,
)

TASKS = tuple(t2.SUITES["gemstones"].tasks)
DRAWS = {"n": 2000, "seed": 0}
DUEL_LENGTHS = (*range(1, 25), 32, 48, 64)
_DIGITS = 6


def lengths() -> tuple[dict[str, Any], list[str], dict[str, Any]]:
    """Every law comparison and the criterion of claim 6 at each answer length."""
    values: dict[str, list[Any]] = {"laws": [], "power": []}
    for task in TASKS:
        losses = answer_length.thinned(gemstones_nll(task))
        for length in answer_length.LENGTHS:
            for name, rows in answer_length.at_length(losses, length, **DRAWS).items():
                values[name] += rows
    return values, [f"gemstones_nll_{task}" for task in TASKS], DRAWS


def duel_lengths() -> tuple[dict[str, Any], list[str], dict[str, Any]]:
    """Duels of chapter 7 at 2e10 FLOPs per token, replayed at each answer length."""
    curves = t2.load_curves("gemstones").query("k == 1 and task == 'arcc'")
    pairs, models = duels.pair_up(curves), pd.Index(sorted(curves["model"].unique()))
    rows = []
    for task in TASKS:
        losses = gemstones_nll(task)
        for length in DUEL_LENGTHS:
            gains = mmlu.gains(losses, pairs, (2e10,), length).set_index("pair")["gain"]
            met = pairs.loc[gains.index].assign(wins=gains > 0)
            low, high = duels.ends(duels.mean_draws(met, "wins", models, **DRAWS))
            row = {"wins": float(met["wins"].mean()), "low": low, "high": high}
            rows.append({"task": task, "length": length} | row)
    return {"rows": rows}, [f"gemstones_nll_{task}" for task in TASKS], DRAWS


def subjects() -> tuple[dict[str, Any], list[str], dict[str, Any]]:
    """Knowledge against reasoning, and the laws, on the subjects of MMLU."""
    curves = t2.load_curves("gemstones").query("k == 1 and task == 'arcc'")
    pairs = duels.pair_up(curves)
    gains, sums, beyond = [], [], []
    for subject in mmlu.SUBJECTS:
        losses = gemstones_nll(f"mmlu_{subject}")
        gains.append(mmlu.gains(losses, pairs).assign(subject=subject))
        few = answer_length.curves_at(answer_length.thinned(losses), 1, (1, 4, 16, 64, 256))
        few["task"] = subject
        sums.append(mmlu.law_sums(few))
        beyond.append(one_law.overtrained(few, mmlu.LAWS, cut=400)[1])
    found = pd.concat(gains, ignore_index=True)
    settings = {"models left out": sums, "overtrained": beyond}
    judged = {name: pd.concat(tables, axis=1) for name, tables in settings.items()}
    models = pd.Index(sorted(curves["model"].unique()))
    found["level"] = np.log(found["big_pass"])
    means = found.groupby(["subject", "inference_flops"])[["gain", "level"]].mean().reset_index()
    values = {
        "classes": mmlu.class_table(found, pairs, models, **DRAWS),
        "gains": means,
        "laws": pd.concat(
            one_law.compare(one, mmlu.RIVALS, **DRAWS).assign(setting=name)
            for name, one in judged.items()
        ),
        "ratios": pd.concat(
            mmlu.mean_ratios(one, **DRAWS)
            .rename_axis("comparison")
            .reset_index()
            .assign(setting=name)
            for name, one in judged.items()
        ),
    }
    rows = {name: table.to_dict("records") for name, table in values.items()}
    return rows, [f"gemstones_nll_mmlu_{subject}" for subject in mmlu.SUBJECTS], DRAWS


ALL = (*one_law.RIVALS_OF_THE_BETA, "LossTiedLaw", "ProductLaw", "AdditiveLaw")
COMPARED = {
    "-log pass@k, against Approach 1": ("AdditiveLaw", "nats"),
    "-log pass@k, against the product": ("ProductLaw", "nats"),
    "-log pass@k, against the tied power": ("LossTiedLaw", "nats"),
    "-log pass@k, against Kumaraswamy": ("KumaraswamyLaw", "nats"),
    "-log pass@k, against log-normal": ("LogNormalLaw", "nats"),
    "-log pass@k, against logit-normal": ("LogitNormalLaw", "nats"),
    "-log pass@k, against Approach 2": ("BetaRegressionLaw", "nats"),
    "pass@k, against Approach 2": ("BetaRegressionLaw", "relative"),
    "pass@k, against Kumaraswamy": ("KumaraswamyLaw", "relative"),
    "pass@k, against log-normal": ("LogNormalLaw", "relative"),
    "pass@k, against logit-normal": ("LogitNormalLaw", "relative"),
    "pass@k by |log ratio|, against Kumaraswamy": ("KumaraswamyLaw", "log"),
    "pass@k by |log ratio|, against log-normal": ("LogNormalLaw", "log"),
    "pass@k by |log ratio|, against logit-normal": ("LogitNormalLaw", "log"),
}
DEALS = [("by turns", 0), *(("random", seed) for seed in range(20)), ("blocks", 0)]


def rivals() -> tuple[dict[str, Any], list[str], dict[str, Any]]:
    """Every rival under chapter 6's deal of models, and the paper's laws under other deals."""
    curves = t2.load_curves("gemstones").query("k <= 256").reset_index(drop=True)
    laws = [one_law.OURS, "BetaRegressionLaw", "AdditiveLaw"]
    sums, _ = one_law.models_left_out(curves, [*laws[:2], *ALL], {})
    errors = one_law.mean_errors(sums).rename_axis(index="task", columns=["law", "score"])
    errors = errors.melt(ignore_index=False, value_name="error").dropna().reset_index()
    errors = errors.sort_values("task", kind="stable")
    counts = []
    for deal, seed in DEALS:
        one, _ = one_law.models_left_out(curves, laws, {}, deal=deal, seed=seed)
        verdicts = one_law.compare(one, answer_length.RIVALS, **DRAWS)
        found = verdicts.groupby("comparison", sort=False)["verdict"].value_counts().unstack()
        found = found.reindex(columns=["wins", "ties", "loses"]).fillna(0).astype(int)
        counts += found.reset_index().assign(deal=deal, deal_seed=seed).to_dict("records")
    values = {
        "errors": errors.to_dict("records"),
        "compared": one_law.compare(sums, COMPARED, **DRAWS).to_dict("records"),
        "deals": counts,
    }
    return values, [], DRAWS


def changes() -> tuple[dict[str, Any], list[str], dict[str, Any]]:
    """The scorecard's verdicts at other answer lengths, cut-offs and ranges of k."""
    draws = {"n": 500, "seed": 0}
    settings = [("answer length", length, {}) for length in robustness.LENGTHS]
    settings += [("cut-off", cut, {"cut": cut}) for cut in robustness.CUTS]
    settings += [("largest k", most, {"most_k": most}) for most in robustness.LARGEST_K]
    rows = []
    for change, setting, choice in settings:
        length = setting if change == "answer length" else 1
        found = robustness.shares(_curves_at(length), **choice, **draws)
        rows.append({"change": change, "setting": setting, **found})
    return {"rows": rows}, [f"gemstones_nll_{task}" for task in TASKS], draws


@cache
def _curves_at(length: float) -> pd.DataFrame:
    if length == 1:
        curves = t2.load_curves("gemstones")
        return curves[curves["k"].isin(robustness.K)].reset_index(drop=True)
    losses = map(gemstones_nll, TASKS)
    tables = [answer_length.curves_at(one, length, robustness.K) for one in losses]
    return pd.concat(tables, ignore_index=True)


PYTHIA = [f"pythia_{task}" for task in zero_inflation.TASKS]


def never_solved() -> tuple[dict[str, Any], list[str], dict[str, Any]]:
    """Pythia's checkpoints tested for questions that are never solved, and laws with a share."""
    laws = {task: zero_inflation.fits(task) for task in zero_inflation.TASKS}
    values = {"checkpoints": zero_inflation.checkpoints(), "laws": laws}
    return values, PYTHIA, {"simulated": zero_inflation.SIMULATED}


def forecasts() -> tuple[dict[str, Any], list[str], dict[str, Any]]:
    """Pass@k forecast from few samples of Pythia's, by every method."""
    return few_samples.judge(seed=0), PYTHIA, {"seed": 0}


STUDIES: Mapping[str, Callable[[], tuple[dict[str, Any], list[str], dict[str, Any]]]] = {
    "rivals": rivals,
    "answer_length": lengths,
    "duel_lengths": duel_lengths,
    "mmlu": subjects,
    "robustness": changes,
    "zero_inflation": never_solved,
    "few_samples": forecasts,
}


def plain(value: Any) -> Any:
    """Numbers as JSON holds them, to six digits: the rest is rounding of the processor's."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        return [plain(one) for one in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.{_DIGITS}g}")
    return value.item() if isinstance(value, np.generic) else value


def main() -> None:
    """Run what was asked for and record it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(STUDIES))
    for name in parser.parse_args().only or STUDIES:
        start = time.time()
        values, inputs, settings = STUDIES[name]()
        prints = {item: fingerprint(item) for item in inputs}
        record = {"inputs": prints, "settings": settings, "values": plain(values)}
        text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n"
        _write_text(data_folder() / f"recorded/{name}.json", text)
        print(f"{name}: {time.time() - start:.0f} s, {len(text):,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
