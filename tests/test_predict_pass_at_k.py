"""Forecasts from few samples: against quadrature and simulated questions; plans; bad input."""

import numpy as np
import pytest
from scipy import stats

import t2lib as t2
from t2lib.few_samples import _filled, _Posterior


def counts(a=0.6, b=60, never=0.2, questions=128, n=100, seed=0):
    rng = np.random.default_rng(seed)
    p = np.where(rng.random(questions) < never, 0, rng.beta(a, b, questions))
    return p, np.full(questions, n), rng.binomial(n, p)


def test_the_grid_is_the_posterior_of_an_independent_sum():
    """Means of log a, of pass@1 and of z, by scipy's Beta-binomial on a plain fine grid."""
    _, n, c = counts(questions=40, n=20)
    shares = np.linspace(0.0, 0.995, 61)
    log_a, logit, z = np.meshgrid(np.linspace(-4, 4, 61), np.linspace(-7, -1, 61), shares)
    prior = np.where(z == 0, 1.0, np.diff(shares)[0])  # half at 0, half spread evenly
    a, pass_1 = np.exp(log_a), 1 / (1 + np.exp(-logit))
    mean = pass_1 / (1 - z)
    right, times = np.unique(c, return_counts=True)
    with np.errstate(all="ignore"):
        b = np.where(mean < 1, a * (1 - mean) / mean, np.nan)
        chances = [(1 - z) * stats.betabinom.pmf(x, 20, a, b) + z * (x == 0) for x in right]
        weight = np.nan_to_num(np.prod([x**m for x, m in zip(chances, times, strict=True)], axis=0))
    weight = weight * prior * stats.norm.pdf(log_a, scale=1.5)
    found = _Posterior.of(n.astype(float), c.astype(float), never=True)
    own = (1 - found.z) * found.a / (found.a + found.b)
    for values, mine in ((log_a, np.log(found.a)), (np.log(pass_1), np.log(own)), (z, found.z)):
        expected = np.average(values, weights=weight)
        assert found.weights @ mine == pytest.approx(expected, abs=0.02)


def test_at_the_samples_drawn_it_is_near_the_unbiased_estimate():
    _, n, c = counts()
    found = t2.predict_pass_at_k(n, c, [1, 50, 100])
    assert list(found) == ["value", "low", "high"] and list(found.index) == [1, 50, 100]
    for k in (1, 50):
        assert found.loc[k, "low"] < t2.pass_at_k(n, c, k).mean() < found.loc[k, "high"]
    assert (np.diff(found, axis=0) > 0).all()


def test_intervals_hold_the_truth_of_simulated_questions():
    """Of 24 forecasts at 100 times the samples, half of them where some are never solved."""
    held = 0
    for seed in range(24):
        p, n, c = counts(never=0.3 * (seed % 2), seed=seed)
        low, high = t2.predict_pass_at_k(n, c, 10_000, draws=300).iloc[0][["low", "high"]]
        held += low <= 1 - ((1 - p) ** 10_000).mean() <= high
    assert held >= 20  # 95 % of 24, less twice what chance takes


def test_more_samples_and_a_lower_level_narrow_it():
    _, n, c = counts()
    wide, narrow = (t2.predict_pass_at_k(n, c, 1000, level=level).iloc[0] for level in (0.95, 0.5))
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]
    _, n, c = counts(n=5000)
    many = t2.predict_pass_at_k(n, c, 1000).iloc[0]
    assert many["high"] - many["low"] < 0.3 * (wide["high"] - wide["low"])


def test_the_same_seed_gives_the_same_and_questions_may_differ_in_samples():
    _, n, c = counts()
    n = n + np.arange(len(n))
    one, other = (t2.predict_pass_at_k(n, c, 500) for _ in range(2))
    assert one.equals(other)


def test_a_plan_spends_all_and_most_on_hard_questions():
    _, n, c = counts(n=50)
    more = t2.sampling_plan(n, c, 6400, k=1000)
    assert more.sum() == 6400 and more.dtype.kind == "i" and more.min() >= 0
    by_right = [more[c == right].mean() for right in (0, 1, 3)]
    assert by_right == sorted(by_right, reverse=True) and by_right[0] > 50
    assert np.ptp(more[c == 0]) <= 1
    assert not t2.sampling_plan(n, c, 0, k=1000).any()


def test_filling_reaches_a_common_level():
    n, spread = np.array([10.0, 50.0, 5.0, 20.0]), np.array([1.0, 0.5, 2.0, 0.0])
    more = _filled(n, spread, 15)
    assert more.sum() == pytest.approx(15) and more[1] == more[3] == 0
    level = (n + more)[:3:2] / spread[:3:2]
    assert np.ptp(level) == pytest.approx(0) or more[0] == 0


@pytest.mark.parametrize(
    ("n", "c", "options", "message"),
    [
        ([9, 9], [1, 10], {}, r"c\[1\] is 10: is larger than n"),
        ([9, 9], [0, 0], {}, "c is 0 in every row"),
        ([9, 9], [9, 9], {}, "c is n in every row"),
        ([9, 9, 9], [1, 2], {}, "columns differ in length"),
        ([9, 9], [1, 2], {"k": 0.5}, "k is 0.5: must be at least 1"),
        ([9, 9], [1, 2], {"level": 1.0}, "level is 1: must be between 0 and 1"),
        ([9, 9], [1, 2], {"draws": 0}, "draws is 0"),
        ([9, 9], [1, 2], {"more": -1}, "more is -1: must be a whole number"),
        ([9, 9], [1, 2], {"more": 1.5}, "more is 1.5: must be a whole number"),
    ],
)
def test_bad_input_raises(n, c, options, message):
    call = t2.sampling_plan if "more" in options else t2.predict_pass_at_k
    arguments = (options.pop("more"),) if "more" in options else (options.pop("k", 10),)
    with pytest.raises(ValueError, match=message):
        call(n, c, *arguments, **({"k": 10} if call is t2.sampling_plan else {}), **options)
