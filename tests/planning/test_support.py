"""What a law was fitted on, and how far a plan lies outside of it."""

import copy
import dataclasses
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import Delaunay

import t2lib as t2
from t2lib.data.registry import data_folder
from t2lib.fitting.table import law_of, parameter_names
from t2lib.laws import fitted_on
from t2lib.planning.support import Support

LAW = t2.Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
# A triangle of checkpoints, the large one measured at few samples only.
TRIANGLE = pd.DataFrame(
    {
        "n_params": [1e7, 1e7, 1e9, 1e7, 1e7, 1e9],
        "n_tokens": [1e9, 1e11, 1e11, 1e9, 1e11, 1e11],
        "k": [1, 1, 1, 1000, 100, 10],
        "pass_at_k": [0.01, 0.05, 0.3, 0.5, 0.4, 0.6],
    }
)


@pytest.fixture(scope="module")
def gsm8k():
    """Pythia's GSM8K with the recorded law that chapter 10 plans with."""
    curves = t2.load_curves("pythia").query("task == 'gsm8k'")
    record = json.loads((data_folder() / "recorded" / "overtraining_pythia_gsm8k.json").read_text())
    law = law_of("BetaConsistentLaw", record["values"]["all"]["consistent"])
    return curves, fitted_on(law, Support.of(curves))


# ------------------------------------------------------------------------------- the area


def test_ranges_of_a_curve_table():
    table = t2.load_curves("gemstones").query("task == 'arce'")
    ranges = Support.of(table).ranges
    ratio = table["n_tokens"] / table["n_params"]
    assert list(ranges) == ["N", "D", "D/N", "k"]
    assert ranges["D/N"] == (ratio.min(), ratio.max()) and ranges["k"] == (1, 65536)
    assert list(Support.of(table.drop(columns="k")).ranges) == ["N", "D", "D/N"]


def test_a_corner_of_the_box_without_a_checkpoint_is_outside():
    support = Support.of(TRIANGLE)
    assert support.outside(1e7, 1e10, 1) == {} == support.outside(1e8, 5e10, 10)
    # 1e9 parameters after 1e9 tokens: both were fitted, never together.
    found = support.outside(1e9, 1e9, 1)
    assert found["N"] > 1 and found["D"] < 1
    N, D = support.nearest_place(1e9, 1e9)
    assert (pytest.approx(1e8), pytest.approx(1e10)) == (N, D)
    assert found == pytest.approx({"N": 10, "D": 0.1})


@given(
    points=st.lists(
        st.tuples(st.floats(0, 5), st.floats(0, 5)), min_size=4, max_size=30, unique=True
    ),
    place=st.tuples(st.floats(-1, 6), st.floats(-1, 6)),
)
def test_inside_agrees_with_a_triangulation(points, place):
    support = Support(*np.exp(np.array(points)).T)
    if support.dimension < 2:
        return
    triangles = Delaunay(np.array(points), qhull_options="QJ Qbb")
    expected = triangles.find_simplex([place])[0] >= 0
    N, D = np.exp(place)
    near_N, near_D = support.nearest_place(N, D)
    distance = np.hypot(np.log(N / near_N), np.log(D / near_D))
    if expected:
        assert distance < 1e-6
    else:
        assert distance > 0 or triangles.find_simplex([place], tol=1e-6)[0] >= 0
        corners = np.log(support.hull)
        farthest = np.hypot(*(corners - place).T).min()
        assert distance <= farthest + 1e-9


def test_many_plans_at_once_agree_with_each(gsm8k):
    support = Support.of(gsm8k[0])
    N, D, k = np.meshgrid(np.geomspace(5e6, 3e10, 9), np.geomspace(1e6, 1e12, 9), [1, 128, 4096])
    inside = support.contains(N, D, k)
    assert 50 < inside.sum() < inside.size - 50
    for place, found in zip(zip(N.flat, D.flat, k.flat, strict=True), inside.flat, strict=True):
        assert (support.outside(*place) == {}) == found


@pytest.mark.parametrize(
    ("N", "D", "dimension", "corners"),
    [
        ([1e8], [1e9], 0, 1),
        ([1e8, 1e8, 1e8], [1e9, 1e10, 1e11], 1, 2),  # one model
        ([1e8, 3e8, 1e9], [2e9, 6e9, 2e10], 1, 2),  # all at 20 tokens per parameter
        ([1e8, 3e8, 1e9], [2e9, 6e9, 4e10], 2, 3),
    ],
)
def test_one_model_and_one_line_have_no_area(N, D, dimension, corners):
    support = Support(np.array(N), np.array(D))
    assert support.dimension == dimension and len(support.hull) == corners
    assert support.outside(N[0], D[0], 1) == {}
    assert support.outside(2 * N[0], 0.5 * D[0], 1) != {}
    near = support.nearest_place(N[0], 1e-3 * D[0])
    assert [float(x) for x in near] == pytest.approx([N[0], D[0]])


def test_sizes_that_spend_a_budget_inside():
    support = Support.of(TRIANGLE)
    low, high = support.sizes(6e18)  # N D = 1e18
    assert support.contains([low, high], [1e18 / low, 1e18 / high]).all()
    assert not support.contains([0.99 * low, 1.01 * high], [1e18 / low / 0.99, 1e18 / high]).any()
    assert support.sizes(6e16) == pytest.approx((1e7, 1e7 * 10**0.0), rel=1e-6)
    with pytest.raises(ValueError, match="no fitted N and D spend 6e"):
        support.sizes(6e21)


# ---------------------------------------------------------------------------- samples


def test_largest_k_is_the_least_of_the_checkpoints_around():
    support = Support.of(TRIANGLE)
    assert support.largest_k([1e7, 1e7, 1e9], [1e9, 1e11, 1e11]).tolist() == [1000, 100, 10]
    assert support.largest_k(1e7, 1e10) == 100  # between two of one model
    assert support.largest_k(1e8, 5e10) == 10  # among all three
    assert support.outside(1e8, 5e10, 64) == pytest.approx({"k": 6.4})
    assert Support.of(TRIANGLE.query("k > 5")).outside(1e8, 5e10, 5) == pytest.approx({"k": 0.5})


def test_the_headline_plan_of_gsm8k_is_outside(gsm8k):
    """100 M parameters, 2,267 tokens each, 3,279 samples: near by, k ends at 256."""
    curves, law = gsm8k
    N, D, k = 1e8, 2.267e11, 3279.0
    ranges = law.support.ranges
    values = {"N": N, "D": D, "D/N": D / N, "k": k}
    assert all(ranges[x][0] <= values[x] <= ranges[x][1] for x in values), "a box calls it inside"
    found = law.support.outside(N, D, k)
    assert found == pytest.approx({"k": k / 256})
    near = law.support.nearest(N, D, k, law)
    assert near["largest_k"].tolist() == [10000, 7168, 512, 256]
    seen = curves.query("n_params > 1.5e8 and n_params < 2e8 and n_tokens > 2.9e11 and k == 256")
    row = near.iloc[-1]
    assert (row["k"], row["seen"]) == (256, pytest.approx(seen["pass_at_k"].iloc[0]))
    assert row["seen"] == pytest.approx(0.115, abs=1e-3)
    assert row["law"] == pytest.approx(0.444, abs=1e-3)


def test_counts_support_as_many_samples_as_every_question_has():
    rng = np.random.default_rng(0)
    N, D = np.repeat([1e8, 3e8, 1e9, 1e8, 1e9], 20), np.repeat([1e9, 1e9, 1e9, 1e10, 1e10], 20)
    n = np.where(np.arange(100) % 20 == 0, 24, 64)
    c = rng.binomial(n, 0.2)
    support = Support(N, D, n.astype(float), right=c.astype(float))
    assert support.largest_k(1e8, 1e9) == 24
    curve = support.curves.query("N == 1e8 and D == 1e9")
    assert curve["k"].tolist() == [1, 2, 4, 8, 16, 24]
    assert curve["seen"].iloc[0] == pytest.approx((c[:20] / n[:20]).mean())
    assert curve["seen"].iloc[-1] == pytest.approx(t2.pass_at_k(n[:20], c[:20], 24).mean())


# ------------------------------------------------------------------- what a law carries


def fits():
    curves = t2.load_curves("gemstones").query("task == 'arce' and k <= 256")
    rows = curves.iloc[:: len(curves) // 400]
    yield "loss", t2.fit("Chinchilla", curves)
    yield "neg_log_pass", t2.fit("AdditiveLaw", rows)
    for name in ("BetaRegressionLaw", "BetaConsistentLaw", "InteractionLaw"):
        yield "pass_at_k", t2.fit(name, rows)


def test_a_fit_and_its_law_carry_what_was_fitted():
    for metric, fit in fits():
        assert fit.fitted is fit.law.support and fit.fitted.metric == metric
        assert ("k" in fit.fitted.ranges) == (metric != "loss")
        assert "fitted over N " in fit.summary()
        plan = t2.allocate(fit.law, train_flops=1e24)
        assert plan.extrapolation and "outside what was fitted" in plan.summary()
        residual = plan.nearest["seen"] - plan.nearest["law"]
        assert residual.abs().max() <= np.abs(fit.residuals).max() + 1e-9


def test_the_support_is_no_parameter_of_a_law():
    for _, fit in fits():
        law = fit.law
        bare = law_of(law, fit.params)
        assert bare == law and hash(bare) == hash(law) and repr(bare) == repr(law)
        assert bare.support is None and len(fit.params) == len(parameter_names(law))
        assert dataclasses.replace(law).support is None, "a law with other parameters is another"
        for again in (pickle.loads(pickle.dumps(law)), copy.copy(law), copy.deepcopy(law)):
            assert again == law
            assert again.support.ranges == law.support.ranges
        with pytest.raises(dataclasses.FrozenInstanceError):
            law.support = None
    with pytest.raises(TypeError):
        t2.Chinchilla(1, 1, 1, 1, 1, Support.of(TRIANGLE))


def test_a_law_built_by_hand_says_so():
    plan = t2.allocate(LAW, train_flops=1e21)
    assert plan.extrapolation is None and plan.nearest is None
    assert "no fitted range is known: the law was built by hand" in plan.summary()


# ------------------------------------------------------------------------------- a plan


def test_a_plan_tells_how_far_it_lies_outside():
    plan = t2.allocate(LAW, train_flops=1e21, fitted=TRIANGLE)
    N, D = plan.support.nearest_place(plan.N, plan.D)
    assert plan.extrapolation == pytest.approx({"N": plan.N / N, "D": plan.D / D})
    first = plan.summary().splitlines()[0]
    assert (
        first.startswith(f"N = {plan.N:.4g} parameters") and "outside what was fitted: N" in first
    )
    again = t2.cheapest(LAW, target=plan.metric, fitted=plan.support)
    assert again.extrapolation == pytest.approx(plan.extrapolation, rel=1e-6)


def test_a_plan_inside_says_so_with_what_was_seen(gsm8k):
    _, law = gsm8k
    plan = t2.allocate(law, train_flops=1e19, inference_flops=2e10)
    assert plan.extrapolation == {}
    lines = plan.summary().splitlines()
    assert lines[0].endswith("inside what was fitted")
    near = [line for line in lines if line.startswith("near by: ")]
    assert len(near) == len(plan.nearest) == 4
    assert all("seen, " in line and "by the law" in line for line in near)


def test_outline_is_plain_numbers_that_tell_inside_from_outside(gsm8k):
    support = Support.of(gsm8k[0])
    outline = json.loads(json.dumps(support.outline()))
    assert len(outline["checkpoints"]) == 81 and len(outline["hull"]) == 4
    x = np.log(np.array(outline["hull"]))
    side = np.roll(x, -1, axis=0) - x
    after = np.roll(side, -1, axis=0)
    assert (side[:, 0] * after[:, 1] > side[:, 1] * after[:, 0]).all(), "counterclockwise"
    alike = Support.of(t2.load_curves("gemstones").query("task == 'arce'")).outline()
    assert [k for _, _, k in alike["checkpoints"]] == [65536]


def test_ranges_alone_are_a_box():
    box = Support.of({"N": (1e7, 1e9), "D": (1e9, 1e11), "k": (1, 64)})
    assert box.contains([1e7, 1e9, 1e8], [1e11, 1e9, 1e10], [64, 1, 8]).all()
    assert box.outside(2e9, 5e8, 128) == pytest.approx({"N": 2, "D": 0.5, "k": 2})
    plan = t2.allocate(LAW, train_flops=1e21, fitted={"N": (1e7, 1e9), "D": (1e9, 1e11)})
    assert "near by" not in plan.summary() and set(plan.extrapolation) == {"N"}


@pytest.mark.parametrize(
    ("fitted", "message"),
    [
        ({}, "fitted has nothing: must be the table"),
        ({"N": (1, 2), "M": (1, 2)}, "fitted has N, M: must be the table"),
        ({"N": (2, 1), "D": (1, 2)}, r"fitted range of N is \(2, 1\): must be two positive"),
        ({"N": (np.nan, 1), "D": (1, 2)}, "fitted range of N is"),
        (pd.DataFrame({"loss": [1.0]}), "fitted has no column n_params"),
        (pd.DataFrame({"n_params": [np.nan], "n_tokens": [1.0]}), "n_params"),
        (pd.DataFrame({"n_params": [], "n_tokens": []}), "fitted has no row"),
    ],
)
def test_what_is_no_table_is_refused(fitted, message):
    with pytest.raises(ValueError, match=message):
        t2.allocate(LAW, train_flops=1e20, fitted=fitted)
