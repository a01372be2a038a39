"""The data wall: the published formulas and constants, and its limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import t2lib as t2

LAW = t2.Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
sizes = st.floats(1e3, 1e20)


def test_constants_are_the_published_ones():
    published = t2.load_published("data_wall").set_index("quantity")["value"]
    wall = t2.DataWall(1e9)
    assert (wall.token_decay, wall.params_decay) == (published["R_D_star"], published["R_N_star"])


@given(sizes, sizes, sizes, sizes)
def test_formulas(N, D, stock, suited):
    wall = t2.DataWall(stock, suited_params=suited)
    N2, D2 = wall.effective(N, D)
    for amount, unit, decay, found in ((N, suited, 5.3, N2), (D, stock, 15.4, D2)):
        base = min(amount, unit)
        times = amount / base - 1
        assert found == pytest.approx(base + base * decay * (1 - np.exp(-times / decay)), rel=1e-12)
        assert found <= amount * (1 + 1e-12) and found <= unit * (1 + decay) * (1 + 1e-12)


def test_a_few_epochs_cost_little_and_many_gain_nothing():
    wall = t2.DataWall(1e9, suited_params=np.inf)
    _, D = wall.effective(1e6, np.array([0.5e9, 1e9, 4e9, 40e9, 1e13, 1e14]))
    assert D[:2].tolist() == [0.5e9, 1e9]
    assert D[2] == pytest.approx(4e9, rel=0.07)
    assert D[3] < 0.4 * 40e9
    assert D[4] == D[5] == pytest.approx(16.4e9)


def test_the_suited_size_is_compute_optimal_for_the_stock():
    for C in (1e18, 1e22, 1e26):
        N, D = LAW.optimum(C)
        assert t2.DataWall(float(D)).suited_to(LAW).suited_params == pytest.approx(N, rel=1e-10)
    additive = t2.AdditiveLaw(0.1, 406.4, 410.7, 0.34, 0.28, 1.0, 0.3)
    beta = t2.BetaConsistentLaw(LAW, 0.0, 0.1)
    for law in (additive, beta):
        assert t2.DataWall(1e11).suited_to(law) == t2.DataWall(1e11).suited_to(LAW)
    own = t2.DataWall(1e11, suited_params=7e9)
    assert own.suited_to(LAW) is own


@pytest.mark.parametrize("change", [{"A": 0}, {"B": 0}, {"alpha": 0}, {"beta": 0}])
def test_where_one_of_the_two_is_worthless_no_size_is_excess(change):
    law = t2.Chinchilla(**{**vars(LAW), **change})
    wall = t2.DataWall(1e9).suited_to(law)
    N, _ = wall.effective(np.array([1.0, 1e30]), 1e9)
    assert N.tolist() == [1.0, 1e30]


def test_extreme_laws_overflow_nothing():
    with np.errstate(all="raise"):
        for alpha, beta in ((1e-4, 2.0), (2.0, 1e-4), (1e-3, 1e-3)):
            law = t2.Chinchilla(0.0, 1e6, 1e-6, alpha, beta)
            wall = t2.DataWall(1e12).suited_to(law)
            N, D = wall.effective(np.array([1.0, 1e15]), np.array([1.0, 1e20]))
            assert np.isfinite(N).all() and np.isfinite(D).all() and (N > 0).all()


def test_what_makes_no_sense_is_refused():
    for arguments, message in (
        ({"unique_tokens": 0}, "unique_tokens is 0: must be positive"),
        ({"unique_tokens": np.nan}, "unique_tokens is nan"),
        ({"unique_tokens": 1e9, "token_decay": -1}, "token_decay is -1"),
        ({"unique_tokens": 1e9, "suited_params": 0}, "suited_params is 0: must be positive"),
        ({"unique_tokens": 1e9, "suited_params": np.nan}, "suited_params is nan: must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            t2.DataWall(**arguments)
    with pytest.raises(ValueError, match="suited_params is not known"):
        t2.DataWall(1e9).effective(1e6, 1e9)
    interaction = t2.InteractionLaw(4.0, -0.05, -0.01, -0.001)
    with pytest.raises(ValueError, match="InteractionLaw does not tell which model size suits"):
        t2.allocate(interaction, train_flops=1e20, unique_tokens=1e9)
    wall = t2.DataWall(1e9, suited_params=1e8)
    assert t2.allocate(interaction, train_flops=1e20, unique_tokens=wall).epochs > 0
