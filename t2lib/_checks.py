"""What every room uses: array types, checks of numbers, and the error of bad data."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


_SHOWN = 20  # faults of one call that are shown
_MANY_ROWS = 1_000  # from so many on, to hash is faster than to sort
LARGEST_SIZE = 1e24  # of N and D at the border: more has no model, and its powers leave the floats


class DataError(ValueError):
    """A table or file that cannot be used; the message is one line that says where and why."""


class DataErrors(DataError):
    """Several faults: a line for each, and what to do about them all.

    Where there are very many, those that are the same but for their file share a line.
    """

    def __init__(self, messages: Sequence[str], advice: str) -> None:
        alike: dict[str, list[str]] = {}
        for message in messages:
            what = message if len(messages) <= _SHOWN else message.partition(": ")[2]
            alike.setdefault(what, []).append(message)
        lines = [f"{one[0]}{_and_others(len(one) - 1)}" for one in alike.values()]
        more = [f"and {len(lines) - _SHOWN} more faults"] if len(lines) > _SHOWN else []
        advice = f"{len(messages)} faults: {advice}"
        self.lines = [*lines[:_SHOWN], *more, *([advice] if len(messages) > 1 else [])]
        super().__init__("\n".join(self.lines))


def _and_others(number: int) -> str:
    return f" (so it is with {number} more)" if number else ""


def distinct(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], IntArray]:
    """Return the distinct values in their order, and the place of each row's among them.

    As :func:`numpy.unique` does. Of many rows, hashing takes a third of the time of sorting.
    """
    if len(values) < _MANY_ROWS:
        return np.unique(values, return_inverse=True)
    import pandas as pd

    places, levels = pd.factorize(values, sort=True)
    return levels, places


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


# Control characters (a tab and a line's end apart), what only formats, such as the marks of
# right-to-left text, line separators and lone surrogates: a terminal obeys or hides these.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    r"\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


def plain(text: object) -> str:
    r"""Return a text in which every character can be seen: others become escapes such as \x1b."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def visible(name: str) -> str:
    """Return what can be seen of a name: two names with the same are one to whoever reads them."""
    return "".join(_UNSEEN.sub("", name).split())


def json_plain(text: str) -> str:
    """Return JSON text that means the same, with every character to be seen."""
    return _UNSEEN.sub(lambda found: json.dumps(found[0])[1:-1], text)


def clip(text: str, width: int = 60) -> str:
    """Cut a long text in the middle and put it on one line, with every character to be seen."""
    text = text if len(text) <= width else f"{text[: width // 2]}...{text[-width // 3 :]}"
    return " ".join(plain(text).split())


def counted(number: int, what: str) -> str:
    """Say how many, in the singular for one.

    Examples
    --------
    >>> counted(1, "note"), counted(2, "note")
    ('1 note', '2 notes')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"


def parse_json(content: bytes, source: str, first_row: int = 1) -> Any:
    """Read JSON strictly: UTF-8, no name twice in an object.

    Parameters
    ----------
    content : bytes
    source : str
        What to call it in an error, usually its file.
    first_row : int
        Row of the file that the content begins in.

    Raises
    ------
    DataError
        ``SOURCE: row R, column C: what is wrong``.
    """
    if first_row == 1:
        content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_each_once)
    except UnicodeDecodeError as error:
        row = first_row + content.count(b"\n", 0, error.start)
        raise DataError(f"{source}: row {row}: not UTF-8 text: byte {error.start}") from None
    except json.JSONDecodeError as error:
        where = f"row {first_row + error.lineno - 1}, column {error.colno}"
        raise DataError(f"{source}: {where}: not JSON: {error.msg}") from None
    except (RecursionError, ValueError) as error:  # a nest of brackets, an endless whole number
        raise DataError(f"{source}: row {first_row}: not JSON that can be read: {error}") from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{clip(repr(twice))} is there twice")
    return found
