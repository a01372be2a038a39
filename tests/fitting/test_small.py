"""Small systems: the same bits in floats and in arrays, and what they solve."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2lib.fitting.small import (
    FEW,
    Factored,
    array_of,
    downhill,
    joined,
    non_negative,
    split,
)

MANY = FEW + 14


def one_by_one(array: np.ndarray) -> list:
    return [split(one[None])[0] for one in array]


def symmetric(rng: np.random.Generator, width: int) -> np.ndarray:
    """Matrices of which some are indefinite, some all but singular."""
    roots = rng.standard_normal((MANY, width, width))
    roots[::3, 0] = roots[::3, -1] * (1 + 1e-9 * rng.standard_normal((len(roots[::3]), 1)))
    signs = np.ones((MANY, 1, width))
    signs[::2, :, 0] = -1
    return (roots * signs) @ roots.swapaxes(1, 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_floats_and_arrays_give_the_same_bits(seed, width):
    rng = np.random.default_rng(seed)
    design, target = rng.standard_normal((MANY, 12, width)), rng.standard_normal((MANY, 12))
    design[::4, :, 0] = design[::4, :, -1] + 1e-8 * design[::4, :, 0]
    grams, moments = design.swapaxes(1, 2) @ design, (target[:, None, :] @ design)[:, 0]
    [gram], [moment] = split(grams), split(moments)
    c, gain, _ = non_negative(gram, moment)
    alone = [non_negative(*one) for one in zip(one_by_one(grams), one_by_one(moments), strict=True)]
    assert np.array_equal(array_of(c), [one for one, _, _ in alone])
    assert np.array_equal(gain, [one for _, one, _ in alone])

    hessians, gradients = symmetric(rng, width), rng.standard_normal((MANY, width))
    held = np.where(rng.random((MANY, width)) < 0.2, np.inf, 0.0)
    [gradient], [hessian], [at_bound] = split(gradients), split(hessians), split(held)
    steps = array_of(downhill(gradient, hessian, at_bound))
    problems = zip(*map(one_by_one, (gradients, hessians, held)), strict=True)
    assert np.array_equal(steps, joined([downhill(*one) for one in problems]))


@pytest.mark.parametrize("width", [2, 3])
def test_steps_lead_down(width):
    """Newton's own where the Hessian is definite; what is held does not move."""
    rng = np.random.default_rng(0)
    hessians, gradients = symmetric(rng, width), rng.standard_normal((MANY, width))
    free = np.ones(width, dtype=bool)
    for h, g in zip(hessians, gradients, strict=True):
        step = downhill(g.tolist(), h.tolist(), [0.0] * width)
        assert g @ step > 0
        if np.linalg.eigvalsh(h)[0] > 1e-6:
            np.testing.assert_allclose(step, np.linalg.solve(h, g), rtol=1e-6)
        free[0] = False
        held = downhill(g.tolist(), h.tolist(), [np.inf] + [0.0] * (width - 1))
        assert held[0] == 0
        assert g @ held > 0


def test_held_unknowns_leave_the_others_as_if_they_were_not_there():
    rng = np.random.default_rng(1)
    design = rng.standard_normal((9, 4))
    matrix, right = design.T @ design, rng.standard_normal(4)
    system = Factored(matrix.tolist(), [0.0, np.inf, 0.0, np.inf])
    x = system.back(system.eliminate(right.tolist())[1])
    kept = [0, 2]
    np.testing.assert_allclose(
        np.array(x)[kept], np.linalg.solve(matrix[np.ix_(kept, kept)], right[kept])
    )
    assert x[1] == x[3] == 0
