"""Small systems of equations, in arithmetic that is the same for one problem and for many.

A number below is a float, or an array that holds one for each of many problems; vectors and
matrices are lists of numbers. Of a few problems each is solved in floats, as a call of numpy on a
handful of numbers takes longer than a hundred sums; of many problems all are solved at once in
arrays. The operations and their order are the same, and so are the bits of the results.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from t2lib._checks import FloatArray, IntArray

# A float or an array of shape (P,): the operators of both are the same, their types are not.
Number = Any
Vector = list[Number]
Matrix = list[list[Number]]

# Problems up to which each is solved in floats: that is when arrays take longer.
FEW = 6
# Share of a column's own square below which what is left of it is rounding, once the columns
# before it are taken out. As a floor it keeps nearly collinear columns solvable.
_COLLINEAR = 1e-15


def split(array: FloatArray) -> list[Any]:
    """Groups of problems: of few each in floats, of many all in arrays.

    The first axis of the array is the problem; a group gets a vector or matrix of numbers.
    """
    if len(array) <= FEW:
        return list(array.tolist())
    return [_lists(np.ascontiguousarray(np.moveaxis(array, 0, -1)))]


def _lists(array: FloatArray) -> Any:
    return [_lists(part) for part in array] if array.ndim > 2 else list(array)


def joined(groups: list[Vector]) -> FloatArray:
    """An array of a vector of each group, shape (P, len(vector))."""
    return np.array(groups) if len(groups) > 1 else array_of(groups[0])


def regrouped(groups: list[Any], problems: int, which: IntArray) -> list[Any]:
    """Groups of some of so many problems; a group is a dataclass whose fields are numbers."""
    if problems <= FEW:
        return [groups[i] for i in which]
    parts = which.tolist() if len(which) <= FEW else [which]
    numbers = vars(groups[0])
    return [
        replace(groups[0], **{name: picked(of, part) for name, of in numbers.items()})
        for part in parts
    ]


def array_of(vector: Vector) -> FloatArray:
    """An array of shape (P, len(vector))."""
    return np.array(vector, dtype=float).reshape(len(vector), -1).T


def chosen(where: Number, one: Any, other: Any) -> Any:
    """Numbers, or lists of them, from the first where a condition holds, else from the second."""
    if not isinstance(where, np.ndarray):
        return one if where else other
    if isinstance(one, list):
        return [chosen(where, a, b) for a, b in zip(one, other, strict=True)]
    return np.where(where, one, other)


def some(conditions: Vector) -> bool:
    """Whether one of the conditions holds for any problem."""
    for condition in conditions:
        if condition.any() if isinstance(condition, np.ndarray) else condition:
            return True
    return False


def picked(of: Any, which: IntArray | int) -> Any:
    """Some problems' part of numbers, or of lists of them; that of one problem in floats."""
    if isinstance(of, list):
        return [picked(part, which) for part in of]
    if not isinstance(of, np.ndarray):
        return of
    return of[which].item() if isinstance(which, int) else of[which]


def larger(one: Number, other: Number) -> Number:
    """Return the larger of two numbers."""
    if type(one) is float and type(other) is float:
        return one if one > other else other
    return np.maximum(one, other)


def clipped(value: Number, low: float, high: float) -> Number:
    """What lies between two bounds, or the bound that is nearest."""
    if isinstance(value, np.ndarray):
        return np.clip(value, low, high)
    return low if value < low else high if value > high else value


class Factored:
    """A positive definite matrix as ``L D L'``: L a unit lower triangle, D a diagonal.

    Parameters
    ----------
    matrix : list of list of number
        Symmetric; the lower triangle is read.
    held : list of number, optional
        Infinite for unknowns that are held at 0, else 0. It is added to the diagonal, and what is
        divided by it is 0. None is held by default.
    """

    def __init__(self, matrix: Matrix, held: Vector | None = None) -> None:
        lower: Matrix = []
        pivots: Vector = []
        for i, row in enumerate(matrix):
            pivot = row[i] if held is None else row[i] + held[i]
            least = _COLLINEAR * abs(pivot) + 1e-300
            values: Vector = []
            shares: Vector = []
            for j in range(i):
                value, above = row[j], lower[j]
                for k in range(j):
                    value = value - above[k] * values[k]
                share = value / pivots[j]
                pivot = pivot - value * share
                values.append(value)
                shares.append(share)
            lower.append(shares)
            pivots.append(larger(pivot, least))
        self.lower, self.pivots = lower, pivots

    def eliminate(self, right: Vector) -> tuple[Vector, Vector]:
        """Solve ``L z = right`` and ``L D z = right``."""
        values: Vector = []
        shares: Vector = []
        for i, row in enumerate(self.lower):
            value = right[i]
            for k in range(i):
                value = value - row[k] * values[k]
            values.append(value)
            shares.append(value / self.pivots[i])
        return values, shares

    def back(self, shares: Vector) -> Vector:
        """Solve ``L' x = shares``, which is the end of ``matrix x = right``."""
        x = list(shares)
        for i in range(len(x) - 1, 0, -1):
            last = x[i]
            for j, share in enumerate(self.lower[i]):
                x[j] = x[j] - share * last
        return x


# Coefficients, sum of squares that they explain, and the system of the columns that are not held.
Solved = tuple[Vector, Number, "Factored"]


def non_negative(gram: Matrix, moment: Vector, plain: Solved | None = None) -> Solved:
    """Non-negative least squares from normal equations.

    Coefficients that come out negative are held at 0 until none is. Where that leaves one that
    would rather rise again, every subset of the columns is tried: they are few. ``plain`` are the
    least squares of all columns, where they are known.
    """
    c, gain, system = plain or least_squares(gram, moment)
    negative = [value < 0 for value in c]
    if not some(negative):
        return c, gain, system
    held: Vector = [0.0] * len(c)
    while some(negative):
        held = [chosen(where, np.inf, one) for where, one in zip(negative, held, strict=True)]
        c, gain, system = least_squares(gram, moment, held)
        negative = [value < 0 for value in c]
    wrong: Number = False
    for row, of_y, one in zip(gram, moment, held, strict=True):
        if some([one > 0]):
            wrong = wrong | ((one > 0) & (of_y - dot(row, c) > 1e-9 * abs(of_y)))
    if some([wrong]):
        best = _best_subset(gram, moment, wrong)
        held = [chosen(wrong, a, b) for a, b in zip(best, held, strict=True)]
        c, gain, system = least_squares(gram, moment, held)
    return c, gain, system


def least_squares(gram: Matrix, moment: Vector, held: Vector | None = None) -> Solved:
    """Least squares from normal equations; what is held is as of :class:`Factored`."""
    system = Factored(gram, held)
    values, shares = system.eliminate(moment)
    return system.back(shares), dot(values, shares), system


def _best_subset(gram: Matrix, moment: Vector, wrong: Number) -> Vector:
    """What to hold so that the plain optimum of the others explains most and is not negative.

    All subsets are tried at once, for the problems where something is wrong; a second axis is
    the subset.
    """
    shape = np.shape(wrong)

    def of_wrong(number: Number) -> FloatArray:
        return np.broadcast_to(number, shape)[wrong][:, None]

    subsets = np.array(list(product([0.0, np.inf], repeat=len(moment)))).T
    grams, moments = [[of_wrong(one) for one in row] for row in gram], map(of_wrong, moment)
    c, gain, _ = least_squares(grams, list(moments), list(subsets))
    for value in c:
        gain = np.where(value >= 0, gain, -np.inf)
    held = np.zeros((len(moment), *shape))
    held[:, wrong] = subsets[:, gain.argmax(axis=1)]
    return list(held) if shape else list(held.tolist())


def dot(one: Vector, other: Vector) -> Number:
    """Sum of products, in their order: the sum of Python adds floats in another way than arrays."""
    total = one[0] * other[0]
    for i in range(1, len(one)):
        total = total + one[i] * other[i]
    return total


def downhill(gradient: Vector, hessian: Matrix, held: Vector) -> Vector:
    """Newton's step; downhill where the Hessian is indefinite, too.

    There the absolute eigenvalues turn steps towards a saddle into steps away from it.

    Parameters
    ----------
    gradient : list of number
    hessian : list of list of number
    held : list of number
        As of :class:`Factored`.
    """
    system = Factored(hessian, held)
    step = system.back(system.eliminate(gradient)[1])
    bent = [pivot <= 1e-12 * abs(hessian[i][i]) for i, pivot in enumerate(system.pivots)]
    if not some(bent):
        return step
    which = np.flatnonzero(np.any(bent, axis=0))
    free = array_of(picked(held, which)) == 0
    slopes = array_of(picked(gradient, which)) * free
    matrices = np.stack([array_of(picked(row, which)) for row in hessian], axis=1)
    values, vectors = np.linalg.eigh(matrices * (free[:, :, None] & free[:, None, :]))
    values = np.abs(values)
    values = np.maximum(values, 1e-14 * values.max(axis=1, keepdims=True) + 1e-300)
    along = np.einsum("pij,pi->pj", vectors, slopes) / values
    found = np.einsum("pij,pj->pi", vectors, along)
    if isinstance(step[0], float):
        return list(found[0].tolist())
    for whole, part in zip(step, found.T, strict=True):
        whole[which] = part
    return step
