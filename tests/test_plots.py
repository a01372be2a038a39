"""The shared figures: what they draw is what the laws say, and every axis says what it is."""

import base64
import re
import struct

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib import plots

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
    ("value", "text"),
    [(70e6, "70M"), (1.4e12, "1.4T"), (2048, "2.05K"), (12, "12"), (2e9, "2B"), (1e18, "1e18")],
)
def test_counts_are_written_short(value, text):
    assert t2.plots.engineering(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2e10, "2 × 10¹⁰"),
        (1e7, "10⁷"),
        (5.12e12, "5.12 × 10¹²"),
        (9.999e8, "10⁹"),
        (3e-4, "3 × 10⁻⁴"),
        (0, "0"),
    ],
)
def test_powers_of_ten_are_written_with_raised_digits(value, text):
    assert t2.plots.scientific(value) == text


def test_plain_ticks_show_numbers_within_a_decade():
    fig, ax = plt.subplots()
    ax.set(yscale="log", ylim=(0.15, 0.9))
    t2.plots.plain_ticks(ax.yaxis)
    fig.canvas.draw()
    texts = [label.get_text() for label in ax.get_yticklabels(which="both")]
    assert [text for text in texts if text in ("0.2", "0.5")] == ["0.2", "0.5"]
    assert not any("10" in text for text in texts)


def curves_of(N, D):
    return pd.DataFrame(
        {"n_params": N, "n_tokens": D, "k": KS, "pass_at_k": 1.05 * LAW.pass_at_k(N, D, KS)}
    )


def test_curves_are_the_laws_and_bands_lie_around_them():
    checkpoints = pd.concat([curves_of(1e9, 2e10), curves_of(1e8, 2e10)])
    small, large = (LAW.pass_at_k(N, 2e10, KS) for N in (1e8, 1e9))
    bands = [[0.9 * small, 1.1 * small], [0.9 * large, 1.1 * large]]
    ax = t2.plots.law_curves({"ours": LAW}, checkpoints, KS, bands={"ours": bands})
    dots, _, line, second = ax.lines
    np.testing.assert_allclose(dots.get_ydata(), 1.05 * small)
    np.testing.assert_allclose(line.get_ydata(), small)
    np.testing.assert_allclose(second.get_ydata(), large)
    assert line.get_color() != second.get_color()  # one law: colours are the checkpoints'
    assert len(ax.collections) == 2 and labelled(ax)
    (band, _) = ax.collections
    np.testing.assert_allclose(band.get_paths()[0].vertices[:, 1].max(), 1.1 * small[-1])


def test_several_laws_are_told_apart_by_colour():
    other = t2.BetaRegressionLaw(CHINCHILLA, (2.0, 1.0, 0.9, 1.0, 0.5))
    ax = t2.plots.law_curves({"ours": LAW, "other": other}, curves_of(1e9, 2e10), KS)
    _, ours, theirs = ax.lines
    assert ours.get_color() == t2.plots.LAW_STYLE["BetaConsistentLaw"]["color"]
    assert theirs.get_color() == t2.plots.LAW_STYLE["BetaRegressionLaw"]["color"]


def test_residual_medians_follow_the_residuals():
    k = np.tile(KS, 20)
    table = pd.DataFrame({"k": k, "n_params": 1e8 * k, "n_tokens": 1e11})
    axes = t2.plots.residual_panels(np.log2(k), table, unit="nats")
    for ax in axes[:2]:
        np.testing.assert_allclose(ax.lines[0].get_ydata(), np.log2(KS))
    assert [ax.get_xlabel() for ax in axes][-1] == "tokens per parameter"
    assert all(labelled(ax) for ax in axes[::2])  # the vertical axis is shared


def test_predictions_held_out_are_told_apart():
    seen = np.array([0.1, 0.2, 0.4])
    ax = t2.plots.predicted_against_seen(seen, 1.1 * seen, held_out=[False, True, False])
    assert [len(dots.get_offsets()) for dots in ax.collections] == [2, 1]
    assert labelled(ax)


def test_profiles_mark_both_frontiers():
    sizes, budget = np.geomspace(1e7, 1e9, 30), 1e20
    seen = pd.DataFrame({"train_flops": [budget], "n_params": [1e8], "pass_at_k": [0.3]})
    ax = t2.plots.isoflop_profiles(
        LAW, [budget], sizes, inference_flops=2e10, chinchilla=CHINCHILLA, seen=seen
    )
    line, dots, best, advised = ax.lines
    assert (dots.get_xdata()[0], dots.get_ydata()[0]) == (1e8, 0.3)
    assert best.get_ydata()[0] >= line.get_ydata().max() * (1 - 1e-9)
    assert advised.get_xdata()[0] == pytest.approx(float(CHINCHILLA.optimum(budget)[0]))
    assert labelled(ax)
    # A model above C_inf / 2 cannot answer once: it is not drawn.
    ax = t2.plots.isoflop_profiles(LAW, [budget], sizes, inference_flops=1e9)
    assert ax.lines[0].get_xdata().max() <= 5e8


def test_advice_outside_the_sizes_is_left_out():
    ax = t2.plots.isoflop_profiles(LAW, [1e20], [1e6, 1e7], chinchilla=CHINCHILLA)
    assert len(ax.lines) == 2


def test_frontiers_share_a_figure():
    table = t2.frontier(LAW, train_flops=[1e19, 1e20], inference_flops=2e9, n_range=(1e6, 1e9))
    axes = t2.plots.frontier_panels({"ours": table}, styles={"ours": {"ls": ":"}})
    assert all(labelled(ax) for ax in axes)
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), table["N"])
    assert axes[0].lines[0].get_linestyle() == ":"
    _, rule = axes[2].lines
    assert list(rule.get_ydata()) == [20, 20]


def test_intervals_stand_in_rows_from_top_to_bottom():
    table = pd.DataFrame({"value": [1.0, 2.0], "low": [0.5, 1.5], "high": [1.5, 2.5]}, list("ab"))
    ax = t2.plots.interval_rows({"x": table, "y": table}, colors={"x": "red", "y": "blue"})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    (segment, _) = ax.collections[0].get_segments()
    assert list(segment[:, 0]) == [0.5, 1.5]
    first, second = (line.get_ydata() for line in ax.lines)
    assert np.all(first < second)


def test_errors_by_ratio_draw_a_line_a_model():
    errors = pd.DataFrame(
        {
            "model": list("bba"),
            "n_params": [1e9, 1e9, 1e8],
            "n_tokens": [4e10, 2e10, 2e10],
            "error": [0.2, 0.1, 0.5],
        }
    )
    ax = t2.plots.errors_by_ratio(errors, cut=100)
    small, large, _, cut = ax.lines
    assert list(small.get_xdata()) == [200]
    assert (list(large.get_xdata()), list(large.get_ydata())) == ([20, 40], [0.1, 0.2])
    assert list(cut.get_xdata()) == [100, 100] and labelled(ax)


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


def test_fitted_parabolas_pass_through_their_dots():
    """A budget's line and dots are drawn where the table puts them, and a minimum only inside."""
    row = {"N": 1e8, "loss": 3.0, "curvature": 0.1, "N_min": 5e7, "N_max": 2e8}
    table = pd.DataFrame(
        [
            {"train_flops": 1e18, "inside": True} | row,
            {"train_flops": 1e19, "inside": False} | row | {"loss": 2.5},
        ]
    )
    excess = 0.1 * np.log(2.0) ** 2
    dots = pd.DataFrame({"train_flops": [1e18, 1e19], "size_ratio": [2.0, 0.5], "excess": excess})
    ax = t2.plots.fitted_parabolas(table, dots)
    lines = [line.get_xydata() for line in ax.lines]
    assert [len(line) for line in lines] == [60, 1, 1, 60, 1]  # the second has no diamond
    np.testing.assert_allclose(lines[1][0], lines[0][-1])
    np.testing.assert_allclose(lines[4][0], lines[3][0])


def test_a_figure_is_laid_out_once_for_both_of_its_formats() -> None:
    """Both show the same, the page's pixels are half of the PNG's, and no date is in the SVG."""
    fig, ax = plt.subplots(layout="constrained", figsize=(4, 3))
    ax.plot([1, 2])
    layout = fig.get_layout_engine()
    images, about = plots._images(fig)
    assert fig.get_layout_engine() is layout
    assert set(images) == {"image/svg+xml", "image/png"}
    assert "<dc:date>" not in images["image/svg+xml"]
    width, height = struct.unpack(">II", base64.b64decode(images["image/png"])[16:24])
    assert about["image/png"] == {"width": width // 2, "height": height // 2}
    points = re.findall(r'(?:width|height)="([\d.]+)pt"', images["image/svg+xml"])
    inches = [float(number) / 72 for number in points]
    np.testing.assert_allclose(inches, [width / 192, height / 192], atol=0.02)
