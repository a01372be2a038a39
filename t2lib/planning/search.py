"""Searches for the lowest point of a curve or a surface, many at a time.

The functions to minimise are smooth, cost most of the time, and take arrays. So every search here
evaluates whole arrays: a grid that finds each valley, then steps that close in on all of them at
once. A function takes the points and, for each, the index of the problem (row) it belongs to.
Nothing here knows of laws or budgets.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from t2lib._checks import FloatArray, IntArray

Curve = Callable[[FloatArray, IntArray], FloatArray]
Surface = Callable[[FloatArray, FloatArray, IntArray], FloatArray]

# Grid step in one dimension. Laws bend over several units of log N: no valley is narrower.
_STEP = 0.15
# Half-width of the stencil of the last Newton steps.
_STENCIL = 5e-3
# Where a narrow and a wide stencil place the minimum no farther apart than this, both are right:
# the wide one to about 1e-10.
_SMOOTH = 2e-5
# Relative differences of values that may be rounding.
_NOISE = 1e-14
# Grid steps and first half-widths of the stencil in two dimensions.
_STEPS = (1.0, 2.0)
# The two-dimensional search ends at this half-width, in units of the grid steps.
_SMALLEST = 1e-4

# A 5 by 5 stencil, and what takes its values to the quadratic 1, a, b, a^2, a b, b^2 through them.
_A, _B = (axis.ravel() for axis in np.meshgrid(*[np.linspace(-1, 1, 5)] * 2, indexing="ij"))
_TO_QUADRATIC = np.linalg.pinv(np.stack([_A**0, _A, _B, _A**2, _A * _B, _B**2], axis=1))


def valleys(curve: Curve, low: FloatArray, high: FloatArray) -> tuple[IntArray, FloatArray]:
    """Find every local minimum of each row's curve between its ends.

    Parameters
    ----------
    curve : callable
        ``curve(x, rows)``, never NaN.
    low, high : ndarray, one a row
        Ends of each row's range.

    Returns
    -------
    rows, x : ndarray
        The row that each minimum belongs to, and where it lies. Every row has at least one.
    """
    n_points = int(np.ceil((high - low).max() / _STEP)) + 3
    grid = np.linspace(low, high, n_points, axis=1)
    values = curve(grid, np.broadcast_to(np.arange(len(low))[:, None], grid.shape))
    walled = np.pad(values, ((0, 0), (1, 1)), constant_values=np.inf)
    # On a plateau only its first point counts.
    rows, columns = np.nonzero((values < walled[:, :-2]) & (values <= walled[:, 2:]))
    left = grid[rows, np.maximum(columns - 1, 0)]
    right = grid[rows, np.minimum(columns + 1, n_points - 1)]
    return rows, bottom(lambda x, part: curve(x, rows[part]), left, right)


def bottom(curve: Curve, left: FloatArray, right: FloatArray) -> FloatArray:
    """Minimise over [left, right], for each element apart.

    A zoom rather than Brent's method: all elements move at once, a minimum at an end is reached
    exactly, and a plateau does no harm. Once the stencil of a Newton step spans the rest, Newton
    ends it; where that may fail (at an end, a kink, a wall) the zoom goes on.
    ``curve(x, which)`` takes x and each element's index.
    """
    which = np.arange(len(left))
    best, low, high = _zoom(curve, which, left, left, right, _STENCIL)
    best, solved = _newton(curve, best, left, right)
    rest = which[~solved]
    if rest.size:
        zoomed, _, _ = _zoom(curve, rest, best[rest], low[rest], high[rest], 1e-7)
        values = curve(np.stack([best[rest], zoomed], axis=1), np.stack([rest, rest], axis=1))
        better = values[:, 1] < values[:, 0] - _NOISE * np.abs(values[:, 0])
        best[rest] = np.where(better, zoomed, best[rest])
    return best


def _zoom(
    curve: Curve, which: IntArray, best: FloatArray, low: FloatArray, high: FloatArray, width: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Narrow [low, high] around the lowest point until all are narrower than a width."""
    each = np.arange(len(which))
    done = len(which) == 0
    while not done:  # once at least: the better end of a narrow interval counts too
        points = np.linspace(low, high, 17, axis=1)
        values = curve(points, np.broadcast_to(which[:, None], points.shape))
        lowest = values.argmin(axis=1)
        best = points[each, lowest]
        low = points[each, np.maximum(lowest - 1, 0)]
        high = points[each, np.minimum(lowest + 1, 16)]
        done = (high - low).max() < width
    return best, low, high


def _newton(
    curve: Curve, x: FloatArray, left: FloatArray, right: FloatArray
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Take two Newton steps where the stencil fits between the ends; tell where they served.

    Values alone place a flat minimum to the square root of their rounding error; a derivative over
    a wide stencil places it to about 1e-10.
    """
    offsets = _STENCIL * np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    x, solved = x.copy(), np.zeros(len(x), dtype=bool)
    for largest in (4 * _STENCIL, _STENCIL):
        inside = np.flatnonzero((x + offsets[0] > left) & (x + offsets[-1] < right))
        if not inside.size:
            break
        points = x[inside, None] + offsets
        values = curve(points, np.broadcast_to(inside[:, None], points.shape))
        slope = values @ np.array([1.0, -8.0, 0.0, 8.0, -1.0]) / (12 * _STENCIL)
        bend = values @ np.array([-1.0, 16.0, -30.0, 16.0, -1.0]) / (12 * _STENCIL**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(bend > 0, -slope / bend, np.inf)
        step = np.where(np.abs(step) < largest, step, 0.0)
        after = curve(x[inside, None] + step[:, None], inside[:, None])[:, 0]
        # Near a wall or a kink the stencil is too wide: there the values know better.
        good = after <= values.min(axis=1) + _NOISE * np.abs(values[:, 2])
        x[inside] += np.where(good, step, 0.0)
        coarse = (values[:, 3] - values[:, 1]) / (2 * _STENCIL)
        solved[inside] = good & (np.abs(coarse - slope) <= _SMOOTH * bend)
    return x, solved


def best_of_each_row(rows: IntArray, values: FloatArray, n_rows: int) -> IntArray:
    """Index of the least value of each row, the first among equals; every row has one."""
    order = np.lexsort((values, rows))
    return order[np.searchsorted(rows[order], np.arange(n_rows))]


def basins(
    surface: Surface, low: FloatArray, high: FloatArray, depth: Callable[..., FloatArray]
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Find the local minima of each row's surface over x in [low, high], y in [0, depth(x)].

    Parameters
    ----------
    surface : callable
        ``surface(x, y, rows)``, never NaN. It is asked for y beyond the depth too, and answers as
        at the depth.
    low, high : ndarray, one a row
        Ends of each row's x.
    depth : callable
        ``depth(x, rows)``, the largest y, not negative.

    Returns
    -------
    rows, x, y : ndarray
        The row that each minimum belongs to, and where it lies. Every row has at least one.
    """
    n_x = int(np.ceil((high - low).max() / _STEPS[0])) + 2
    x = np.linspace(low, high, n_x, axis=1)
    deepest = depth(x, np.broadcast_to(np.arange(len(low))[:, None], x.shape))
    n_y = int(np.ceil(deepest.max() / _STEPS[1])) + 2
    y = np.linspace(0.0, deepest, n_y, axis=2)
    x = np.broadcast_to(x[:, :, None], y.shape)
    rows = np.broadcast_to(np.arange(len(low))[:, None, None], y.shape)
    values = surface(x, y, rows)
    at = np.nonzero(_lowest_of_neighbours(values))
    at_x, at_y = _descend(surface, rows[at], x[at], y[at], low, high, depth)
    return rows[at], at_x, at_y


def _lowest_of_neighbours(values: FloatArray) -> npt.NDArray[np.bool_]:
    """Mark grid points below all their eight neighbours, and each row's lowest point."""
    n_rows, n_x, n_y = values.shape
    walled = np.pad(values, ((0, 0), (1, 1), (1, 1)), constant_values=np.inf)
    lowest = np.ones(values.shape, dtype=bool)
    for i, j in np.ndindex(3, 3):
        if (i, j) != (1, 1):
            lowest &= values < walled[:, i : i + n_x, j : j + n_y]
    flat = lowest.reshape(n_rows, -1)
    flat[np.arange(n_rows), values.reshape(n_rows, -1).argmin(axis=1)] = True
    return flat.reshape(values.shape)


def _descend(
    surface: Surface,
    rows: IntArray,
    x: FloatArray,
    y: FloatArray,
    low: FloatArray,
    high: FloatArray,
    depth: Callable[..., FloatArray],
) -> tuple[FloatArray, FloatArray]:
    """Walk from each grid point to the bottom of its basin.

    Values on a stencil give a quadratic; where its minimum lies within the stencil and is no
    worse, go there and shrink the stencil, else go to the stencil's best point.
    """
    low, high = low[rows], high[rows]
    size, lowest = np.ones(len(rows)), np.full(len(rows), np.inf)
    for _ in range(200):
        if (size < _SMALLEST).all():
            break
        half_x = np.minimum(size * _STEPS[0], (high - low) / 2)
        deepest = depth(x, rows)
        half_y = np.minimum(size * _STEPS[1], np.maximum(deepest / 2, 1e-12))
        center_x = np.clip(x, low + half_x, high - half_x)
        center_y = np.clip(y, half_y, np.maximum(deepest - half_y, half_y))

        def values_at(
            a: FloatArray,
            b: FloatArray,
            frame: tuple[FloatArray, ...] = (center_x, center_y, half_x, half_y),
        ) -> FloatArray:
            middle_x, middle_y, width_x, width_y = (part[:, None] for part in frame)
            shape = np.broadcast_shapes(a.shape, middle_x.shape)
            which = np.broadcast_to(rows[:, None], shape)
            return surface(middle_x + a * width_x, middle_y + b * width_y, which)

        values = values_at(_A[None], _B[None])
        a, b, inside = _bottom_of_quadratic(values @ _TO_QUADRATIC.T)
        best = values.argmin(axis=1)
        predicted = values.min(axis=1)
        taken = inside.copy()
        # So near the bottom that rounding decides between values, the quadratic knows better.
        if (far := (size >= 1e-2) & inside).any():
            predicted = np.where(far, values_at(a[:, None], b[:, None])[:, 0], predicted)
            taken &= predicted <= values.min(axis=1)
        a, b = np.where(taken, a, _A[best]), np.where(taken, b, _B[best])
        new_x, new_y = center_x + a * half_x, center_y + b * half_y
        at_edge = (np.abs(a) == 1) & (new_x > low + 1e-9) & (new_x < high - 1e-9)
        at_edge |= (np.abs(b) == 1) & (new_y > 1e-9) & (new_y < deepest - 1e-9)
        now = np.where(taken, predicted, values.min(axis=1))
        at_edge &= now < lowest  # else the walk has come to an end, if only in a plain
        lowest = np.minimum(now, lowest)
        active = size >= _SMALLEST
        x, y = np.where(active, new_x, x), np.where(active, new_y, y)
        shrink = np.where(taken, 0.2, np.where(at_edge, 1.0, 0.5))
        size = np.where(active, size * shrink, size)
    return x, y


def _bottom_of_quadratic(
    coefficients: FloatArray,
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Lowest point (a, b) of each quadratic, and whether there is one within the stencil."""
    _, slope_a, slope_b, aa, ab, bb = coefficients.T
    determinant = 4 * aa * bb - ab**2
    bowl = (aa > 0) & (bb > 0) & (determinant > 0)
    safe = np.where(bowl, determinant, 1.0)
    a = np.where(bowl, (ab * slope_b - 2 * bb * slope_a) / safe, 0.0)
    b = np.where(bowl, (ab * slope_a - 2 * aa * slope_b) / safe, 0.0)
    inside = bowl & (np.abs(a) <= 1) & (np.abs(b) <= 1)
    return np.where(inside, a, 0.0), np.where(inside, b, 0.0), inside
