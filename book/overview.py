"""Draw the landing page's figure from the embedded curves: book/_static/overview.svg.

    python book/overview.py

Run it after data/curves has changed; a test compares the committed figure with what this draws.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

import t2lib as t2

TRAIN_FLOPS = 1.2e20  # where all 22 models have a checkpoint close by
INFERENCE_FLOPS = 2e11  # per question and output token: 2 N k
NEAR = 0.25  # largest distance of a checkpoint from TRAIN_FLOPS, in natural logarithms
TARGET = Path(__file__).parent / "_static/overview.svg"
INK, ACCENT = "#0f4c5c", "#d9822b"


def points() -> pd.DataFrame:
    """Return one checkpoint of each Gemstones model, trained at about TRAIN_FLOPS.

    Columns: model, n_params, tokens_per_parameter, k (what INFERENCE_FLOPS affords this model), and
    the means over the tasks of pass_at_1 and pass_at_k.
    """
    rows = []
    curves = t2.load_curves("gemstones")
    for (model, n_params), rows_of_model in curves.groupby(["model", "n_params"]):
        distance = np.log(6 * n_params * rows_of_model.n_tokens / TRAIN_FLOPS).abs()
        if distance.min() > NEAR:
            continue
        nearest = rows_of_model[distance == distance.min()]
        mean = nearest.groupby("k").pass_at_k.mean()  # over tasks
        k = INFERENCE_FLOPS / (2 * n_params)
        rows.append(
            {
                "model": model,
                "n_params": n_params,
                "k": k,
                "tokens_per_parameter": nearest.n_tokens.iloc[0] / n_params,
                "pass_at_1": mean[1],
                "pass_at_k": np.interp(np.log(k), np.log(mean.index), mean),
            }
        )
    return pd.DataFrame(rows).sort_values("tokens_per_parameter")


def facts(table: pd.DataFrame) -> dict[str, str]:
    """Return what the landing page says about the figure."""
    one = table.loc[table.pass_at_1.idxmax()]
    many = table.loc[table.pass_at_k.idxmax()]
    mantissa, exponent = f"{TRAIN_FLOPS:.1e}".split("e")
    return {
        "overview_models": f"{len(table)}",
        "overview_train_flops": f"${mantissa} \\times 10^{{{int(exponent)}}}$",
        "overview_one_size": size(one.n_params),
        "overview_one_ratio": f"{one.tokens_per_parameter:,.0f}",
        "overview_many_size": size(many.n_params),
        "overview_many_ratio": f"{many.tokens_per_parameter:,.0f}",
        "overview_many_k": f"{many.k:,.0f}",
        "overview_one_k": f"{one.k:,.0f}",
        "overview_one_pass": f"{one.pass_at_k:.0%}",
        "overview_many_pass": f"{many.pass_at_k:.0%}",
    }


def size(n_params: float) -> str:
    """Return a number of parameters in words."""
    return f"{n_params / 1e9:.1f} billion" if n_params >= 1e9 else f"{n_params / 1e6:.0f} million"


def draw(table: pd.DataFrame) -> plt.Figure:
    """Draw both panels and mark the best checkpoint in each."""
    figure, axes = plt.subplots(2, 1, sharex=True, figsize=(5.6, 6.0), layout="constrained")
    titles = {
        "pass_at_1": "One sample a question",
        "pass_at_k": "The same test compute for every model",
    }
    for axis, (column, title) in zip(axes, titles.items(), strict=True):
        best = table[column].idxmax()
        axis.axvline(20, color="0.6", linestyle="--", linewidth=1)
        axis.plot(table.tokens_per_parameter, table[column], "o", color=INK, alpha=0.75)
        axis.plot(
            table.tokens_per_parameter[best],
            table[column][best],
            "o",
            markersize=12,
            markerfacecolor="none",
            markeredgewidth=2.5,
            color=ACCENT,
        )
        axis.set_title(title, loc="left", fontsize=11, fontweight="bold")
        axis.set_xscale("log")
        axis.set_ylim(0, 1.12 * table[column].max())
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    axes[0].set_ylabel("pass@1 (mean of 8 tasks)")
    axes[0].annotate("20", (20, 0), (3, 4), textcoords="offset points", color="0.4")
    axes[1].set_ylabel("pass@k, k = $C_{inf}$ / 2N")
    axes[1].set_xlabel("training tokens per parameter")
    return figure


def main(target: Path = TARGET) -> None:
    """Write the figure; the same data give the same bytes."""
    style = {"svg.hashsalt": "t2", "font.size": 10.5, "font.family": "DejaVu Sans"}
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(style)
        figure = draw(points())
        figure.savefig(target, metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    mpl.use("Agg")
    main()
