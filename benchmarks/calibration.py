"""How often each interval holds the truth, for each law, at the sizes of the real suites.

    python benchmarks/calibration.py [--seeds 100] [--jobs 2] [--only NAME]

Each study fits a law to released results, takes the fit for the truth, simulates the same suite
with errors of models, checkpoints and rows as large as the fit's residuals, and counts. The table
goes to data/recorded/calibration.json, study by study, each whole or not at all. It takes about
half an hour on 2 quiet cores.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

import t2lib as t2
from t2lib.data.registry import _write_text, data_folder, read_json
from t2lib.studies.calibration import Study, coverage
from t2lib.studies.simulation import Noise, t2_grid

TRAIN, INFERENCE = 1e21, 2e10
RUNS_NOISE = (
    0.006  # relative scatter of independent runs around their law, as in the recovery tests
)


# ------------------------------------------------------------------------- what is estimated


def exponent_a(law: Any) -> float:
    """Exponent of N* in C."""
    return float(getattr(law, "chinchilla", law).compute_exponent)


def log_ratio(law: Any) -> float:
    """log10 of Chinchilla's tokens per parameter at 1e21 FLOPs."""
    return float(np.log10(law.tokens_per_parameter(TRAIN)))


def log_size(law: Any) -> float:
    """log10 of the N that a T2 law advises at 1e21 and 2e10 FLOPs."""
    budgets = {"train_flops": TRAIN, "inference_flops": INFERENCE}
    if isinstance(law, t2.AdditiveLaw):
        return float(np.log10(t2.allocate(law, **budgets).N))
    return float(np.log10(t2.allocate(law, **budgets).N))


def neg_log_pass(law: Any) -> float:
    """-log pass@64 of 1 B parameters after 100 B tokens."""
    return float(law.neg_log_pass(1e9, 1e11, 64))


def log_pass(law: Any) -> float:
    """log10 pass@64 of 1 B parameters after 100 B tokens."""
    return float(np.log10(law.pass_at_k(1e9, 1e11, 64)))


def parameter(name: str) -> Callable[[Any], float]:
    """A parameter of the law."""
    return lambda law: float(getattr(law, name))


CHINCHILLA = {
    "alpha": parameter("alpha"),
    "beta": parameter("beta"),
    "a = beta / (alpha + beta)": exponent_a,
    "log10 tokens per parameter": log_ratio,
}
ADDITIVE = {
    "gamma": parameter("gamma"),
    "-log pass@64 of 1 B, 100 B": neg_log_pass,
    "log10 N*": log_size,
}
BETA = {"log10 pass@64 of 1 B, 100 B": log_pass, "log10 N*": log_size}


# ------------------------------------------------------------------------- the suites


def gemstones(task: str, every: int = 1) -> pd.DataFrame:
    """Gemstones' checkpoints of a task at three k; every so many steps of each model."""
    table = t2.load_curves("gemstones")
    steps = np.sort(table["n_tokens"].unique())[::every]
    table = table[(table["task"] == task) & table["k"].isin([1, 16, 256])]
    table = table[table["n_tokens"].isin(steps)].rename(columns={"n_params": "N", "n_tokens": "D"})
    return table.reset_index(drop=True)


def noise_of(table: pd.DataFrame) -> Noise:
    """Errors of models and checkpoints around Chinchilla's law, and of rows given the loss.

    Rows: what the Beta-consistent law misses where it is told each checkpoint's loss. What a law
    misses throughout is no noise: it is not in the simulation.
    """
    one = table[table["k"] == 1]
    law = t2.fit_chinchilla(one["N"], one["D"], one["mean_nll"]).law
    error = np.log(one["mean_nll"] / law.loss(one["N"], one["D"]))
    shared = Noise.of(error, one["model"], one["D"])
    columns = (table[name] for name in ("N", "D", "k", "pass_at_k"))
    linked = t2.fit_beta_consistent(*columns, loss=table["mean_nll"], chinchilla=law).law
    a, b = linked.shape_at_loss(table["mean_nll"])
    told = np.log(np.log(table["pass_at_k"]) / np.log(t2.beta_pass_at_k(a, b, table["k"])))
    return Noise(shared.model, shared.checkpoint, float(np.std(told[table["k"] > 1])))


def beta_fit(function: Callable[..., t2.Fit], table: pd.DataFrame, start: Any = None) -> t2.Fit:
    """A Beta law of a table; a start saves the search for one."""
    columns = (table[name] for name in ("N", "D", "k", "pass_at_k"))
    return function(*columns, loss=table["loss"], start=start)


def chinchilla_gemstones(task: str) -> Study:
    """22 models, 35 checkpoints each."""
    table = gemstones(task).query("k == 1").assign(loss=lambda t: t["mean_nll"])
    fit = t2.ChinchillaRefit(N="N", D="D")
    law = fit(table).law
    noise = noise_of(gemstones(task))
    noise = Noise(noise.model, noise.checkpoint)
    return Study(law, table[["N", "D", "model"]], noise, fit, CHINCHILLA)


def chinchilla_runs(objective: Any) -> Study:
    """108 independent runs, as T2's own."""
    law = t2.Chinchilla(E=1.8, A=480.0, B=2000.0, alpha=0.35, beta=0.37)
    fit = t2.ChinchillaRefit(objective=objective, N="N", D="D")
    return Study(law, t2_grid(), Noise(model=RUNS_NOISE), fit, CHINCHILLA)


def additive_gemstones(task: str) -> Study:
    """22 models, 35 checkpoints each, three k."""
    table = gemstones(task)
    fit = t2.AdditiveRefit(N="N", D="D")
    law = fit(table).law
    return Study(law, table[["N", "D", "k", "model"]], noise_of(table), fit, ADDITIVE)


def beta_gemstones(function: Callable[..., t2.Fit], task: str) -> Study:
    """22 models, 6 checkpoints each, three k: what differs is the models."""
    table = gemstones(task, every=6).assign(loss=lambda t: t["mean_nll"])
    law = beta_fit(function, table).law
    fit = partial(beta_fit, function, start=law)
    return Study(law, table[["N", "D", "k", "model"]], noise_of(table), fit, BETA)


SQUARES = ["curvature", "profile", "percentile, rows"]
SHARED = ["curvature, models", "profile, models", "percentile, models", "BCa, models"]
STUDIES: dict[str, tuple[str, Callable[[], Study], list[str], float]] = {
    # Name: what it is, the study, the methods, and seeds as a share of what is asked for.
    "runs, squares": (
        "Runs, Chinchilla, squares",
        lambda: chinchilla_runs("sse"),
        [*SQUARES, "BCa, models"],
        1.0,
    ),
    "runs, Huber": (
        "Runs, Chinchilla, Huber",
        lambda: chinchilla_runs("huber_log"),
        SQUARES,
        1.0,
    ),
    "Chinchilla": (
        "Gemstones, Chinchilla",
        lambda: chinchilla_gemstones("hellaswag_zeroshot"),
        SQUARES + SHARED,
        1.0,
    ),
    "Chinchilla, posterior": (
        "Gemstones, Chinchilla",
        lambda: chinchilla_gemstones("hellaswag_zeroshot"),
        ["posterior", "posterior, models"],
        0.4,
    ),
    "additive": (
        "Gemstones, additive",
        lambda: additive_gemstones("arce"),
        SQUARES + SHARED,
        1.0,
    ),
    "Beta regression": (
        "Gemstones, Beta regression",
        lambda: beta_gemstones(t2.fit_beta_regression, "arce"),
        ["percentile, models", "BCa, models"],
        1.0,
    ),
    "Beta-consistent": (
        "Gemstones, Beta-consistent",
        lambda: beta_gemstones(t2.fit_beta_consistent, "arce"),
        ["percentile, models", "BCa, models"],
        1.0,
    ),
}


def main() -> None:
    """Run every study, print the tables, write them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--bootstrap", type=int, default=200)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=list(STUDIES))
    options = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)  # refits that fail are in the table
    for name in options.only or STUDIES:
        title, make, methods, share = STUDIES[name]
        study, start = make(), time.time()
        seeds = max(2, round(options.seeds * share))
        settings = {"n_bootstrap": options.bootstrap, "steps": options.steps}
        table = coverage(study, methods, seeds=seeds, n_jobs=options.jobs, **settings)
        print(f"\n{title}: {study.noise}, {time.time() - start:.0f} s", file=sys.stderr)
        print(table.round(3).to_string(index=False), flush=True)
        record(table.assign(study=title, **vars(study.noise), **settings))


def record(table: pd.DataFrame) -> None:
    """Put a study's rows into the record, in the place of earlier ones of the same methods."""
    # JSON has no infinity: an interval without an end has no width.
    table["width"] = table["width"].where(np.isfinite(table["width"]))
    rows = json.loads(table.to_json(orient="records", double_precision=6))
    file = data_folder() / "recorded/calibration.json"
    old = read_json(file)["values"]["rows"] if file.exists() else []
    new = {(row["study"], row["method"]) for row in rows}
    kept = [row for row in old if (row["study"], row["method"]) not in new]
    order = [title for title, *_ in STUDIES.values()]
    rows = sorted(kept + rows, key=lambda row: order.index(row["study"]))
    whole = {"inputs": {}, "settings": {}, "values": {"rows": rows}}
    _write_text(file, json.dumps(whole, indent=1, sort_keys=True, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
