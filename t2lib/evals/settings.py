"""Whether a task's checkpoints answered the same questions, in the same way.

What a reader finds out about a log beside its answers are *facts*, a name and a value each: which
questions, n-shot, the task's version, the chat template, the filter, the metric, the settings of
generation. Facts that are not known are left out, and then say nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from t2lib._checks import clip, counted

Facts = Mapping[str, str]
_GENERATION = "generation's "
_LONGEST = 200  # characters of a setting


def fingerprint(names: Iterable[str]) -> str:
    """Return the number of the questions and a sum that tells them from others, in any order.

    Examples
    --------
    >>> fingerprint(["a", "b"]) == fingerprint(["b", "a"]) != fingerprint(["a", "c"])
    True
    """
    digests = [hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8] for name in names]
    return _said(np.frombuffer(b"".join(digests), dtype="<u8"))


def fingerprint_of_numbers(numbers: npt.NDArray[np.int64]) -> str:
    """Return :func:`fingerprint`'s like for questions that are numbered, of which many are."""
    # A multiplication and a shift scatter neighbours, so that their sum tells sets apart.
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return _said((mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9))


def _said(hashes: npt.NDArray[np.uint64]) -> str:
    total = int(hashes.sum(dtype=np.uint64))
    return f"{len(hashes)} ({total % 2**24:06x})"


def generation(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return settings of generation as facts.

    Examples
    --------
    >>> generation({"temperature": 1.0, "until": ["###"]})
    {"generation's temperature": '1', "generation's until": '["###"]'}
    """
    return {f"{_GENERATION}{name}": _written(value) for name, value in settings.items()}


def _written(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 0.0 and 0 are one setting
    text = "not set" if value is None else json.dumps(value, sort_keys=True, default=str)
    if len(text) <= _LONGEST:
        return text
    return f"{text[:20]}... ({hashlib.sha256(text.encode()).hexdigest()[:6]})"


def with_unset(facts: Sequence[Facts]) -> list[Facts]:
    """Fill in the settings of generation that some checkpoints' logs name and others' do not.

    Where a log has any of them, one that it lacks was not set.

    Examples
    --------
    >>> with_unset([generation({"top_p": 0.9, "top_k": 5}), generation({"top_k": 5}), {}])[1:]
    [{"generation's top_k": '5', "generation's top_p": 'not set'}, {}]
    """
    names = sorted({name for one in facts for name in one if name.startswith(_GENERATION)})
    return [
        {**one, **{name: "not set" for name in names if name not in one}}
        if any(name in one for name in names)
        else one
        for one in facts
    ]


def differing(facts: Sequence[Facts]) -> dict[str, Counter[str]]:
    """Return the facts that checkpoints differ in, each with its values and their numbers.

    Examples
    --------
    >>> differing([{"n-shot": "0"}, {"n-shot": "0"}, {"n-shot": "5"}, {}])
    {'n-shot': Counter({'0': 2, '5': 1})}
    """
    names = dict.fromkeys(name for one in facts for name in one)
    values = {name: Counter(one[name] for one in facts if name in one) for name in names}
    return {name: found for name, found in values.items() if len(found) > 1}


def half_known(facts: Sequence[Facts]) -> str:
    """Say which facts are known at some checkpoints only; empty where none is.

    Which questions were asked is not among them: tables and logs name these in ways of their own.

    Examples
    --------
    >>> half_known([{"n-shot": "5"}, {"n-shot": "5"}, {}])
    'n-shot is 5 at 2 checkpoints and unknown at 1'
    """
    told: dict[str, None] = {}
    for name in dict.fromkeys(name for one in facts for name in one if "questions" not in name):
        known = [one[name] for one in facts if name in one]
        if unknown := len(facts) - len(known):
            values = f"{name} is {clip(' or '.join(dict.fromkeys(known)))}"
            if name.startswith(_GENERATION):  # a log has all of them or none
                values = "generation's settings are known"
            at = counted(len(known), "checkpoint")
            told[f"{values} at {at} and unknown at {unknown}"] = None
    return ", ".join(told)


def larger_side(facts: Sequence[Facts]) -> list[bool]:
    """Tell which checkpoints agree with the most others; of equal sides the first one is kept.

    Examples
    --------
    >>> larger_side([{"n-shot": "0"}, {"n-shot": "5"}, {"n-shot": "5"}, {}])
    [False, True, True, True]
    """
    kept = [True] * len(facts)
    for name in differing(facts):
        left = Counter(
            one[name] for one, is_kept in zip(facts, kept, strict=True) if is_kept and name in one
        )
        if left:
            ((most, _),) = left.most_common(1)
            kept = [
                is_kept and one.get(name, most) == most
                for one, is_kept in zip(facts, kept, strict=True)
            ]
    return kept


def in_words(found: Mapping[str, Counter[str]]) -> str:
    """Say what differs, with the number of checkpoints on each side.

    Examples
    --------
    >>> in_words({"n-shot": Counter({"0": 6, "5": 2})})
    'n-shot (0 at 6 checkpoints, 5 at 2)'
    """
    told = []
    for name, values in found.items():
        (first, n), *others = values.most_common()
        sides = [f"{clip(first)} at {counted(n, 'checkpoint')}"]
        sides += [f"{clip(value)} at {number}" for value, number in others[:4]]
        sides += [f"{len(others) - 4} more"] * (len(others) > 4)
        told.append(f"{name} ({', '.join(sides)})")
    return ", ".join(told)
