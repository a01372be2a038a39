"""What every room uses: array types, checks of numbers, and the error of bad data."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class DataError(ValueError):
    """A table or file that cannot be used; the message is one line that says where and why."""


def require_one_of(name: str, options: Collection[str], what: str) -> None:
    """Raise DataError, with the options, unless ``name`` is one of them."""
    if name not in options:
        raise DataError(f"no {what} named {name!r}: want one of {', '.join(options)}")


def require(good: BoolArray, name: str, values: FloatArray, problem: str) -> None:
    """Raise a ValueError that names the first element that is not good."""
    if np.all(good):
        return
    index = tuple(int(i) for i in np.argwhere(~good)[0])
    where = f"{name}[{', '.join(map(str, index))}]" if index else name
    raise ValueError(f"{where} is {values[index]:g}: {problem}")


def positive(values: npt.ArrayLike, name: str) -> FloatArray:
    """Return an array of positive, finite floats, or raise a ValueError."""
    array = np.asarray(values, dtype=float)
    require(np.isfinite(array) & (array > 0), name, array, "must be positive and finite")
    return array


def not_negative(values: npt.ArrayLike, name: str) -> FloatArray:
    """Return an array of finite floats, none below 0, or raise a ValueError."""
    array = np.asarray(values, dtype=float)
    require(np.isfinite(array) & (array >= 0), name, array, "must be finite and not negative")
    return array


def whole(values: npt.ArrayLike, name: str) -> FloatArray:
    """Return an array of whole numbers, as floats, or raise a ValueError."""
    array = np.asarray(values, dtype=float)
    require(np.isfinite(array) & (array == np.round(array)), name, array, "must be a whole number")
    return array


def at_least_one(k: npt.ArrayLike) -> FloatArray:
    """Return numbers of samples, or raise a ValueError where one is below 1."""
    array = np.asarray(k, dtype=float)
    require(np.isfinite(array) & (array >= 1), "k", array, "must be at least 1 and finite")
    return array


def clip(text: str, width: int = 60) -> str:
    """Cut a long text in the middle and put it on one line."""
    text = text if len(text) <= width else f"{text[: width // 2]}...{text[-width // 3 :]}"
    return " ".join(text.split())
