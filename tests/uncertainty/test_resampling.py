"""Bootstrap and jackknife: draws, groups, failures, and the coverage of the intervals."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import t2lib as t2
from t2lib.uncertainty.resampling import bca_interval, bootstrap, jackknife, percentile_interval
from t2lib.uncertainty.summaries import Weighted


@pytest.fixture
def table() -> pd.DataFrame:
    """Four models of three checkpoints on two tasks; models differ much more than rows do."""
    rng = np.random.default_rng(7)
    rows = [
        {"model": model, "n_tokens": tokens, "task": task, "loss": center + rng.normal(0, 0.1)}
        for model, center in zip("abcd", (1.0, 2.0, 3.0, 4.0), strict=True)
        for tokens in (1e9, 2e9, 4e9)
        for task in ("easy", "hard")
    ]
    return pd.DataFrame(rows)


def mean_loss(table: pd.DataFrame) -> float:
    return table["loss"].mean()


def mean_and_rows(table: pd.DataFrame) -> dict[str, float]:
    return {"mean": table["loss"].mean(), "rows": len(table)}


def collect(table, **settings):
    """Bootstrap with a fit that keeps the tables it is given."""
    seen = []

    def fit(resample):
        seen.append(resample)
        return float(len(resample))

    bootstrap(fit, table, **settings)
    return seen


# ------------------------------------------------------------------------------- what is drawn


def test_groups_travel_together_and_copies_are_told_apart(table):
    for by, size in (("model", 6), ("checkpoint", 2), ("row", 1), (["model", "task"], 3)):
        columns = {
            "model": ["model"],
            "checkpoint": ["model", "n_tokens"],
            "row": ["model", "n_tokens", "task"],
        }.get(str(by), by)
        for resample in collect(table, n=5, seed=0, by=by):
            assert len(resample) == len(table)
            counts = resample.groupby([*columns, "resample_copy"]).size()
            assert (counts == size).all(), by
            repeated = resample.drop_duplicates([*columns, "resample_copy"])
            assert (
                repeated.groupby(columns)["resample_copy"]
                .apply(lambda copies: sorted(copies) == list(range(len(copies))))
                .all()
            )


def test_models_are_drawn_with_equal_chances(table):
    drawn = pd.concat(collect(table, n=400, seed=3, by="model"))
    shares = drawn["model"].value_counts(normalize=True)
    # 1,600 draws of four models: a standard error of 0.011.
    assert shares.to_numpy() == pytest.approx(0.25, abs=0.045)


def test_rows_keep_their_values(table):
    for resample in collect(table, n=3, seed=0, by="checkpoint"):
        merged = resample.merge(table, on=["model", "n_tokens", "task", "loss"], how="left")
        assert len(merged) == len(resample)
        assert set(resample["loss"]) <= set(table["loss"])


def test_suites_with_one_model_name_stay_apart(table):
    both = pd.concat([table.assign(suite="x"), table.assign(suite="y")], ignore_index=True)
    for resample in collect(both, n=5, seed=0, by="model"):
        assert (resample.groupby(["suite", "model", "resample_copy"]).size() == 6).all()


def test_strata_keep_their_number_of_groups(table):
    unbalanced = table[(table["task"] == "easy") | (table["model"] == "a")]
    whole = unbalanced.groupby("task").size()
    for resample in collect(unbalanced, n=8, seed=1, by="row", stratify="task"):
        pd.testing.assert_series_equal(resample.groupby("task").size(), whole)
    free = [r.groupby("task").size() for r in collect(unbalanced, n=8, seed=1, by="row")]
    assert any(not sizes.equals(whole) for sizes in free)
    for resample in collect(table, n=8, seed=1, by="model", stratify="task"):
        assert (resample.groupby(["task", "model", "resample_copy"]).size() == 3).all()


def test_same_draws_for_any_number_of_processes(table):
    one = bootstrap(mean_and_rows, table, n=40, seed=5, n_jobs=1)
    two = bootstrap(mean_and_rows, table, n=40, seed=5, n_jobs=2)
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    more = bootstrap(mean_and_rows, table, n=60, seed=5)
    pd.testing.assert_frame_equal(more.iloc[:40], one, check_exact=True)
    assert not one.equals(bootstrap(mean_and_rows, table, n=40, seed=6))


def test_the_table_is_left_as_it_was(table):
    before = table.copy()

    def spoil(resample):
        resample["loss"] = 0.0
        return 1.0

    bootstrap(spoil, table, n=3, seed=0)
    jackknife(spoil, table)
    pd.testing.assert_frame_equal(table, before)


# ------------------------------------------------------------------------------- what is fitted


def test_a_fit_of_a_law_gives_its_parameters():
    truth = t2.Chinchilla(1.7, 400.0, 2000.0, 0.35, 0.37)
    rng = np.random.default_rng(0)
    N, D = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e7, 1e10, 7), [1e9, 1e10, 1e11]))
    loss = truth.loss(N, D) * np.exp(rng.normal(0, 0.002, N.size))
    table = pd.DataFrame({"n_params": N, "n_tokens": D, "loss": loss})

    def fit(t):
        return t2.fit_chinchilla(t["n_params"], t["n_tokens"], t["loss"])

    draws = bootstrap(fit, table, n=40, seed=0, by="row")
    assert list(draws.columns) == ["E", "A", "B", "alpha", "beta"]
    interval = percentile_interval(draws, level=0.99)
    for name in ("E", "alpha", "beta"):
        assert interval.loc[name, "low"] < getattr(truth, name) < interval.loc[name, "high"]


def test_series_mapping_and_number_are_understood(table):
    assert list(bootstrap(mean_loss, table, n=2, seed=0).columns) == ["value"]
    series = bootstrap(lambda t: pd.Series({"x": 1, "y": len(t)}), table, n=2, seed=0)
    assert series.columns.tolist() == ["x", "y"] and (series["y"] == len(table)).all()


def test_bounds_are_counted(table):
    class Result:
        def __init__(self, t):
            self.params = {"E": 0.0}
            self.at_bounds = ("E at 0",) if (t["resample_copy"] > 0).sum() > 8 else ()

    draws = bootstrap(Result, table, n=60, seed=0, by="model")
    counted = sum(
        (t["resample_copy"] > 0).sum() > 8 for t in collect(table, n=60, seed=0, by="model")
    )
    assert 0 < counted < 60
    assert draws.attrs["at_bounds"] == {"E at 0": counted}
    assert len(draws) == 60


# ------------------------------------------------------------------------------- what fails


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_failed_fits_are_counted_and_told(table, n_jobs):
    def fit(t):
        if (t["model"] == "a").sum() == 0:
            raise ValueError("model a is missing")
        return t["loss"].mean()

    expected = [
        i
        for i, t in enumerate(collect(table, n=50, seed=2, by="model"))
        if "a" not in set(t["model"])
    ]
    with pytest.warns(RuntimeWarning, match=rf"{len(expected)} of 50 resamples .* model a is miss"):
        draws = bootstrap(fit, table, n=50, seed=2, by="model", n_jobs=n_jobs)
    assert draws.attrs["failed"] == {
        "number": len(expected),
        "first": "ValueError: model a is missing",
    }
    assert sorted(set(range(50)) - set(draws.index)) == expected


def test_numbers_that_are_not_finite_count_as_failures(table):
    def fit(t):
        return {"A": 1.0, "beta": np.nan if t["resample_copy"].max() > 1 else 2.0}

    with pytest.warns(RuntimeWarning, match="beta is nan"):
        draws = bootstrap(fit, table, n=30, seed=0, by="model")
    assert len(draws) + draws.attrs["failed"]["number"] == 30
    assert np.isfinite(draws).all(axis=None)


def test_if_every_fit_fails_it_is_an_error(table):
    with pytest.raises(RuntimeError, match="all 4 resamples failed; the first: KeyError: 'lost'"):
        bootstrap(lambda t: t["lost"].mean(), table, n=4, seed=0)


def test_an_interrupted_run_keeps_what_it_has(table):
    done = []

    def fit(t):
        if len(done) == 7:
            raise KeyboardInterrupt
        done.append(t["loss"].mean())
        return done[-1]

    with pytest.warns(RuntimeWarning, match="interrupted: 7 of 100"):
        draws = bootstrap(fit, table, n=100, seed=0)
    assert draws["value"].tolist() == done
    assert draws.attrs["interrupted"]
    assert not bootstrap(mean_loss, table, n=2, seed=0).attrs["interrupted"]


def test_control_c_with_two_processes_keeps_what_it_has():
    script = """
        import signal
        import time
        import pandas as pd
        from t2lib.uncertainty.resampling import bootstrap

        # A shell starts what runs in its background deaf to Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def fit(t):
            time.sleep(0.05)
            return t["loss"].mean()

        table = pd.DataFrame({"loss": [1.0, 2.0, 3.0]})
        bootstrap(fit, table, n=2, seed=0, by="row", n_jobs=2)
        print("ready", flush=True)
        draws = bootstrap(fit, table, n=400, seed=0, by="row", n_jobs=2)
        print(len(draws), draws.attrs["interrupted"])
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    number, interrupted = out.split()
    assert interrupted == "True" and 0 < int(number) < 400


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (None, {"n": 0}, "n is 0: must be at least 1"),
        (None, {"n": -3}, "n is -3: must be at least 1"),
        ({"drop": "n_tokens"}, {}, "column n_tokens is missing"),
        ({"drop": "model"}, {"by": "model"}, "column model is missing"),
        (None, {"by": ["seed"]}, "column seed is missing"),
        (None, {"by": []}, "by names no column"),
        (None, {"by": "row", "stratify": "suite"}, "column suite is missing"),
        (None, {"by": "question"}, "by is 'question': must be 'model'"),
        ({"gap": "model"}, {}, "row 4, column model: is empty"),
        ({"empty": True}, {}, "the table is empty"),
    ],
)
def test_bad_input_is_told_in_one_line(table, change, settings, message):
    if change and "drop" in change:
        table = table.drop(columns=change["drop"])
    elif change and "gap" in change:
        table.loc[4, change["gap"]] = None
    elif change:
        table = table.iloc[:0]
    with pytest.raises(ValueError, match=message) as error:
        bootstrap(mean_loss, table, **{"n": 3, "seed": 0, **settings})
    assert "\n" not in str(error.value)


# ------------------------------------------------------------------------------- jackknife


def test_jackknife_leaves_each_group_out(table):
    by_model = jackknife(mean_and_rows, table, by="model")
    assert by_model.index.tolist() == list("abcd")
    for model in "abcd":
        expected = table.loc[table["model"] != model, "loss"].mean()
        assert by_model.loc[model, "mean"] == pytest.approx(expected, rel=1e-14)
    by_checkpoint = jackknife(mean_and_rows, table)
    assert by_checkpoint.index.names == ["model", "n_tokens"]
    assert (by_checkpoint["rows"] == len(table) - 2).all() and len(by_checkpoint) == 12
    assert len(jackknife(mean_loss, table, by="row")) == len(table)
    with pytest.raises(ValueError, match="one group"):
        jackknife(mean_loss, table[table["model"] == "a"], by="model")


def test_jackknife_names_the_group_of_a_fit_that_failed(table):
    def fit(t):
        if "b" not in set(t["model"]):
            raise ValueError("model b is needed")
        return 1.0

    with pytest.warns(RuntimeWarning, match="1 of 4 groups left out failed"):
        left_out = jackknife(fit, table, by="model")
    assert left_out.index.tolist() == list("acd")


# ------------------------------------------------------------------------------- intervals


def test_standard_error_of_a_mean():
    values = np.random.default_rng(0).normal(size=60)
    draws = bootstrap(mean_loss, pd.DataFrame({"loss": values}), n=2000, seed=1, by="row")
    assert draws["value"].std() == pytest.approx(values.std() / np.sqrt(60), rel=0.06)
    assert draws["value"].mean() == pytest.approx(values.mean(), abs=0.01)


def test_coverage_of_a_mean_by_models():
    """Twenty models with eight alike checkpoints each: models must be drawn, not rows."""
    rng = np.random.default_rng(11)
    covered = {"model": 0, "row": 0}
    n_studies = 100
    for study in range(n_studies):
        centers = rng.normal(0.0, 1.0, 20).repeat(8)
        table = pd.DataFrame({"model": np.arange(20).repeat(8), "loss": centers})
        table["loss"] += rng.normal(0.0, 0.3, len(table))
        for by in covered:
            draws = bootstrap(mean_loss, table, n=80, seed=study, by=by)
            low, high = percentile_interval(draws, 0.9).loc["value"]
            covered[by] += low <= 0.0 <= high
    # 90 % asked. For a mean of n values the percentile interval is narrower than Student's by
    # about sqrt((n - 1) / n), so it covers 87 %; four standard errors of 100 studies are 13 %.
    assert 0.74 <= covered["model"] / n_studies <= 0.99
    assert covered["row"] / n_studies < 0.6


def test_percentile_interval_are_quantiles():
    draws = pd.DataFrame({"x": np.arange(1, 100.0), "y": -np.arange(1, 100.0)})
    interval = percentile_interval(draws, 0.9)
    assert interval.loc["x"].tolist() == pytest.approx([5.0, 95.0])
    assert interval.loc["y"].tolist() == pytest.approx([-95.0, -5.0])
    assert percentile_interval(draws["x"], 0.9).index.tolist() == ["x"]


def test_percentile_interval_of_few_draws_keeps_its_promise():
    """A further draw lies inside with the nominal probability, also with 39 draws."""
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(4000):
        *draws, another = rng.lognormal(size=40)
        low, high = percentile_interval(pd.Series(draws)).to_numpy()[0]
        inside.append(low <= another <= high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)
    fewer = pd.Series([3.0, 1.0, 2.0])  # no quantile of three draws reaches so far
    assert percentile_interval(fewer).to_numpy().tolist() == [[1.0, 3.0]]


def test_bca_agrees_with_scipy_on_a_skewed_sample():
    values = np.random.default_rng(4).lognormal(size=40)
    table = pd.DataFrame({"loss": values})
    theirs = stats.bootstrap((values,), np.mean, n_resamples=2000, method="BCa", rng=1)
    # The same draws, so that only the formulas are compared.
    draws = pd.DataFrame({"value": theirs.bootstrap_distribution})
    ours = bca_interval(draws, values.mean(), jackknife(mean_loss, table, by="row")).loc["value"]
    # scipy's ends are other quantiles (type 7) at the same probabilities.
    ordered = np.sort(draws["value"])
    probabilities = np.interp(theirs.confidence_interval, ordered, np.linspace(0, 1, len(ordered)))
    expected = np.quantile(ordered, probabilities, method="weibull")
    assert ours.tolist() == pytest.approx(expected.tolist(), rel=1e-10)
    # A mean of a sample skewed to the right: both ends lie higher than the percentile ones.
    assert (ours > percentile_interval(draws).loc["value"]).all()


def test_bca_is_the_percentile_interval_without_bias_and_skew():
    draws = pd.DataFrame({"x": np.arange(-500.0, 501.0)})
    left_out = pd.DataFrame({"x": [-1.0, 0.0, 1.0]})
    ours = bca_interval(draws, {"x": 0.0, "unused": 3.0}, left_out, 0.9)
    pd.testing.assert_frame_equal(ours, percentile_interval(draws, 0.9))


def test_bca_of_a_parameter_at_its_bound():
    draws = pd.DataFrame({"E": np.zeros(50)})
    interval = bca_interval(draws, {"E": 0.0}, pd.DataFrame({"E": np.zeros(5)}))
    assert interval.loc["E"].tolist() == [0.0, 0.0]


def test_intervals_refuse_bad_input():
    draws = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match=r"level is 95: must be between 0 and 1"):
        percentile_interval(draws, 95)
    with pytest.raises(ValueError, match="1 draws: an interval needs at least 2"):
        percentile_interval(draws.iloc[:1])
    with pytest.raises(ValueError, match="estimate lacks the parameter 'y'"):
        bca_interval(draws, {"x": 2.0}, draws)
    with pytest.raises(ValueError, match="jackknife lacks the parameter 'y'"):
        bca_interval(draws, {"x": 2.0, "y": 2.0}, draws[["x"]])
    with pytest.raises(ValueError, match="estimate is one number, draws have 2"):
        bca_interval(draws, 2.0, draws)


def test_weighted_numbers_are_those_of_the_drawn_rows():
    """All resamples in one call, against the same mean of the tables one by one."""
    table = pd.DataFrame({"model": list("aabbcc"), "loss": [1.0, 1.2, 2.0, 2.2, 3.0, 3.5]})

    def mean(rows, weights):
        return pd.DataFrame({"value": weights @ rows["loss"].to_numpy() / weights.sum(axis=1)})

    draw = {"n": 20, "seed": 3, "by": "model"}
    together = bootstrap(Weighted(mean), table, **draw)
    apart = bootstrap(lambda rows: rows["loss"].mean(), table, **draw)
    np.testing.assert_allclose(together, apart, rtol=1e-12)
    assert Weighted(mean)(table)["value"] == pytest.approx(table["loss"].mean())
