"""A small suite of checkpoints drawn from a known law, for tests of fits, report and command."""

import numpy as np
import pandas as pd

import t2lib as t2

TRUTH = t2.BetaConsistentLaw(t2.Chinchilla(0.6, 60.0, 900.0, 0.25, 0.32), 0.4, 0.3)
SIZES = [2e7, 5e7, 1e8, 2.5e8, 6e8, 1.5e9]
RATIOS = [5, 20, 80, 320]
HOSTILE = "<img src=x onerror=alert(1)> $\\foo$"


def curve_table(tasks=("maths", "words"), samples=False, seed=0):
    """24 checkpoints of six models a task; each model is off by 2 %, each checkpoint by 0.5 %."""
    generator = np.random.default_rng(seed)
    tables = []
    for number, task in enumerate(tasks):
        rows = pd.MultiIndex.from_product(
            [range(len(SIZES)), RATIOS, 2 ** np.arange(8)], names=["model", "ratio", "k"]
        ).to_frame(index=False)
        shift = 0.02 * generator.standard_normal(len(SIZES))[rows["model"]]
        shift = shift + 0.005 * generator.standard_normal(len(rows))[rows.index // 8 * 8]
        N = np.array(SIZES)[rows["model"]]
        D = N * rows["ratio"]
        loss = (TRUTH.chinchilla.loss(N, D) + number) * np.exp(shift)
        a, b = TRUTH.shape_at_loss(loss)
        table = pd.DataFrame(
            {
                "suite": "simulated",
                "model": [f"m{i}" for i in rows["model"]],
                "task": task,
                "n_params": N,
                "n_tokens": D,
                "k": rows["k"],
                "n_questions": 200,
                "pass_at_k": t2.beta_pass_at_k(a, b, rows["k"]),
                "neg_log_pass": t2.beta_neg_log_pass(a, b, rows["k"]),
                "mean_nll": loss,
            }
        )
        tables.append(table.assign(neg_log_pass=np.nan, mean_nll=np.nan) if samples else table)
    return pd.concat(tables, ignore_index=True)
