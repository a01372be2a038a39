"""The shared figures: what they draw is what the laws say, and every axis says what it is."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import t2lib as t2

CHINCHILLA = t2.Chinchilla(E=0.8, A=300.0, B=2000.0, alpha=0.32, beta=0.36)
LAW = t2.BetaConsistentLaw(CHINCHILLA, c0=0.8, c1=0.6)
KS = 2.0 ** np.arange(9)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def labelled(ax):
    return ax.get_xlabel() and ax.get_ylabel()


@pytest.mark.parametrize(
    ("value", "text"), [(70e6, "70M"), (1.4e12, "1.4T"), (2048, "2.05K"), (12, "12"), (2e9, "2B")]
)
def test_counts_are_written_short(value, text):
    assert t2.plots.engineering(value) == text


def test_curves_are_the_laws_and_bands_lie_around_them():
    value = LAW.pass_at_k(1e9, 2e10, KS)
    ax = t2.plots.law_curves(
        {"ours": LAW}, 1e9, 2e10, KS, bands={"ours": (0.9 * value, 1.1 * value)}
    )
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_ydata(), value)
    assert len(ax.collections) == 1 and labelled(ax)


def test_residual_medians_follow_the_residuals():
    k = np.tile(KS, 20)
    (ax,) = t2.plots.residual_panels(np.log2(k), {"samples k": k}, unit="nats")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.log2(KS))
    assert labelled(ax)


def test_predictions_held_out_are_told_apart():
    seen = np.array([0.1, 0.2, 0.4])
    ax = t2.plots.predicted_against_seen(seen, 1.1 * seen, held_out=[False, True, False])
    assert [len(dots.get_offsets()) for dots in ax.collections] == [2, 1]
    assert labelled(ax)


def test_profiles_mark_both_frontiers():
    sizes, budget = np.geomspace(1e7, 1e9, 30), 1e20
    ax = t2.plots.isoflop_profiles(
        LAW, [budget], sizes, inference_flops=2e10, chinchilla=CHINCHILLA
    )
    line, best, advised = ax.lines
    assert best.get_ydata()[0] >= line.get_ydata().max() * (1 - 1e-9)
    assert advised.get_xdata()[0] == pytest.approx(float(CHINCHILLA.optimum(budget)[0]))
    assert labelled(ax)
    # A model above C_inf / 2 cannot answer once: it is not drawn.
    ax = t2.plots.isoflop_profiles(LAW, [budget], sizes, inference_flops=1e9)
    assert ax.lines[0].get_xdata().max() <= 5e8


def test_frontiers_share_a_figure():
    table = t2.frontier(LAW, train_flops=[1e19, 1e20], inference_flops=2e9, n_range=(1e6, 1e9))
    figure = t2.plots.frontier_panels({"ours": table})
    assert all(labelled(ax) for ax in figure.axes)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), table["N"])


def test_specification_curve_is_in_order_and_marks_every_choice():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "law": ["AdditiveLaw", "BetaConsistentLaw"] * 6,
            "max_ratio": [np.inf] * 6 + [400.0] * 6,
            "N": [*rng.lognormal(20, 2, 11), np.nan],
        }
    )
    figure = t2.plots.specification_curve(table, "N", ["law", "max_ratio"], label="N", reference=1)
    above, below = figure.axes
    drawn = above.collections[0].get_offsets()[:, 1]
    assert len(drawn) == 11 and (np.diff(drawn) > 0).all()
    assert len(below.get_yticklabels()) == 4
    assert sum(len(c.get_offsets()) for c in below.collections) == 2 * 11
    assert above.get_ylabel() and labelled(below)
