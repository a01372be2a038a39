"""The runs file: which run has how many parameters and saw how many tokens.

YAML, with the names in a mapping::

    runs:
      small-step1000: {n_params: 1.2e9, n_tokens: 20B, model: small}
      small-step2000: {n_params: 1.2e9, n_tokens: 40B, model: small}

or CSV with the columns ``run, n_params, n_tokens`` and, where wanted, ``model``. ``model`` is the
training run that a checkpoint belongs to: resampling draws models, not checkpoints.
"""

from __future__ import annotations

import csv
import difflib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2lib._checks import DataError, clip

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_NUMBER = re.compile(r"([+]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([kKmMbBtT]?)")
_KEYS = ("n_params", "n_tokens", "model")
_LARGEST = 16 * 2**20  # bytes of a runs file
_DEEPEST = 8  # nested collections in a runs file


@dataclass(frozen=True)
class Run:
    """A checkpoint: its parameters N, the tokens D it was trained on, the model it belongs to."""

    n_params: float
    n_tokens: float
    model: str


def read_runs(source: str | Path | Mapping[str, Any]) -> dict[str, Run]:
    """Read the runs file, or take its content as a mapping.

    Parameters
    ----------
    source : path or mapping
        A ``.yml``, ``.yaml`` or ``.csv`` file, or name -> mapping with ``n_params``, ``n_tokens``
        and optionally ``model`` (the run's own name if not given). A number may be written
        ``1200000000``, ``1.2e9`` or ``1.2B`` (k, M, B and T: 10 to the 3, 6, 9 and 12); thousands
        separators are refused, since ``1,200`` means two things.

    Returns
    -------
    dict of str to Run

    Raises
    ------
    DataError
        One line with file and row. YAML is read as plain text values only: tags and aliases are
        refused, so that a file can build no object and cannot swell.
    """
    if isinstance(source, Mapping):
        return _checked(((name, run, "runs") for name, run in source.items()), "runs")
    path = Path(source)
    readers = {".yml": _read_yaml, ".yaml": _read_yaml, ".csv": _read_csv}
    if path.suffix not in readers:
        raise DataError(f"{path}: unknown kind of runs file: want one of {', '.join(readers)}")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise DataError(f"{path}: larger than {_LARGEST >> 20} MiB: not a runs file")
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text: byte {error.start}") from None
    return _checked(readers[path.suffix](text, path), str(path))


def number(value: Any) -> float:
    """Turn ``1200000000``, ``"1.2e9"`` or ``"1.2B"`` into a float.

    Raises
    ------
    ValueError
        Where it is no number, ambiguous, or not positive and finite; the message says which.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{clip(repr(value))} is not a number")
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value.strip()) if len(value) < 100 else None
        if match is None:
            hint = ": write it without separators" if re.search(r"\d[,_' ]\d", value[:100]) else ""
            raise ValueError(f"{clip(repr(value))} is not a number such as 1.2e9 or 1.2B{hint}")
        value = float(match[1]) * _UNITS[match[2].lower()]
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{value} is not a positive finite number")
    return float(value)


def _checked(rows: Iterator[tuple[Any, Any, str]] | Any, source: str) -> dict[str, Run]:
    """Check (name, values, where) triples one by one."""
    runs: dict[str, Run] = {}
    places: dict[str, str] = {}
    sizes: dict[str, tuple[float, str]] = {}
    for name, values, where in rows:
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{where}: a run without a name")
        shown = clip(repr(name))
        if name in runs:
            raise DataError(f"{where}: two runs named {shown}: the first is at {places[name]}")
        if not isinstance(values, Mapping):
            raise DataError(f"{where}: run {shown}: want n_params and n_tokens")
        for key in values:
            if key not in _KEYS:
                raise DataError(
                    f"{where}: run {shown}: unknown entry {clip(repr(key))}{_hint(key)}"
                )
        found = {}
        for key in ("n_params", "n_tokens"):
            if values.get(key) in (None, ""):
                raise DataError(f"{where}, column {key}: missing for run {shown}")
            try:
                found[key] = number(values[key])
            except ValueError as error:
                raise DataError(f"{where}, column {key}: {error}") from None
        model = values.get("model") or name
        if not isinstance(model, str):
            raise DataError(f"{where}, column model: {clip(repr(model))} is not a name")
        size, at = sizes.setdefault(model, (found["n_params"], where))
        if size != found["n_params"]:
            raise DataError(
                f"{where}, column n_params: model {clip(repr(model))} has another size at {at}"
            )
        runs[name], places[name] = Run(**found, model=model), where
    if not runs:
        raise DataError(f"{source}: no runs in it")
    return runs


def _hint(key: Any) -> str:
    close = difflib.get_close_matches(str(key)[:60], _KEYS, n=1)
    return f": is {close[0]} meant?" if close else f": want {', '.join(_KEYS)}"


def _read_csv(text: str, path: Path) -> Iterator[tuple[Any, Any, str]]:
    """Yield every row of a CSV table; its header is row 1."""
    reader = csv.reader(text.splitlines(), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if len(header) == 1 and ";" in header[0]:
            raise DataError(f"{path}: row 1: columns are separated by semicolons: want commas")
        for name in ("run", "n_params", "n_tokens"):
            if header.count(name) != 1:
                what = "missing" if name not in header else "there twice"
                raise DataError(f"{path}: row 1, column {name}: {what}")
        for row in reader:
            where = f"{path}: row {reader.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise DataError(f"{where}: has {len(row)} cells, the header has {len(header)}")
            values = dict(zip(header, row, strict=True))
            name = values.pop("run")
            yield name, values, where
    except csv.Error as error:
        raise DataError(f"{path}: row {reader.line_num}: not CSV: {error}") from None


def _read_yaml(text: str, path: Path) -> Iterator[tuple[Any, Any, str]]:
    """Yield every run of a YAML file, all scalars as text."""
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        _refuse_tags(yaml, text, path, loader)
        root = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}: row {mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error)
        raise DataError(f"{where}: not YAML: {clip(problem, 100)}") from None
    top = _entries(yaml, root, path)
    if "runs" not in top:
        raise DataError(f"{path}: column runs: missing: want runs: with a name in each row")
    for name, (row, node) in _entries(yaml, top["runs"][1], path).items():
        if not isinstance(node, yaml.MappingNode):
            raise DataError(
                f"{path}: row {row}: run {clip(repr(name))}: want n_params and n_tokens"
            )
        values = {
            key: value.value if isinstance(value, yaml.ScalarNode) else [value.tag]
            for key, (_, value) in _entries(yaml, node, path).items()
        }
        yield name, values, f"{path}: row {row}"


def _entries(yaml: Any, node: Any, path: Path) -> dict[str, tuple[int, Any]]:
    """Return a mapping node as name -> (row, node), refusing a name that is there twice."""
    if not isinstance(node, yaml.MappingNode):
        row = node.start_mark.line + 1 if node is not None else 1
        raise DataError(f"{path}: row {row}: want names with values")
    found: dict[str, tuple[int, Any]] = {}
    for key, value in node.value:
        row = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise DataError(f"{path}: row {row}: a name must be plain text")
        if key.value in found:
            first = found[key.value][0]
            shown = clip(repr(key.value))
            raise DataError(f"{path}: row {row}: {shown} is there twice: first in row {first}")
        found[key.value] = (row, value)
    return found


def _refuse_tags(yaml: Any, text: str, path: Path, loader: Any) -> None:
    """Refuse tags, aliases and deep nesting, before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        where = f"{path}: row {event.start_mark.line + 1}" if event.start_mark else str(path)
        if getattr(event, "tag", None) is not None:
            shown = clip(repr(event.tag))
            raise DataError(f"{where}: YAML tag {shown}: tags are refused, values are plain text")
        if isinstance(event, yaml.AliasEvent):
            raise DataError(f"{where}: YAML alias: aliases are refused, write the values out")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise DataError(f"{where}: nested too deeply for a runs file")
