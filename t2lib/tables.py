"""Tables of any length, read a chunk at a time: CSV, Parquet and JSON Lines.

A chunk's index holds each row's line number (Parquet: its number from 1), which is what an error
names. Nothing is guessed: a row with too many cells, a quotation mark that is never closed or a
cell that is no number is refused with its place.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from t2lib.runs import clip
from t2lib.schemas import DataError

if TYPE_CHECKING:
    import pandas as pd

KINDS = (".jsonl", ".csv", ".parquet")
WORDS = ("suite", "model", "task")
NUMBERS = (
    *("n_params", "n_tokens", "question", "nll", "n_samples", "n_correct"),
    *("k", "n_questions", "pass_at_k", "neg_log_pass", "mean_nll"),
)
LONGEST_JSON = 64 * 2**20  # bytes of a line; thousands of long responses stay far below
LONGEST_CSV = 2**24  # bytes of a line, and of a block: the reader needs a line to fit into a block
_KINDS_OF_VALUE = dict.fromkeys(NUMBERS, (int | float | None, "a number")) | dict.fromkeys(
    WORDS, (str | int | float | None, "a name")
)
_CHUNK = 2**17  # rows in memory at once


def chunks(path: Path) -> Iterator[pd.DataFrame]:
    """Yield a table's rows as DataFrames of at most some hundred thousand rows.

    Parameters
    ----------
    path : Path
        A ``.csv``, ``.parquet`` or ``.jsonl`` file.

    Raises
    ------
    DataError
        ``FILE: row R, column C: what is wrong``.
    """
    readers = {".csv": _csv_chunks, ".parquet": _parquet_chunks, ".jsonl": _jsonl_chunks}
    return readers[path.suffix](path)


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and object of a JSON Lines file, one line in memory at a time.

    Raises
    ------
    DataError
        Where a line is not a JSON object, is cut off, not UTF-8 or longer than ``LONGEST_JSON``.
    """
    for number, line in _lines(path, LONGEST_JSON):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            yield number, _object(line, path, number)


def _lines(path: Path, longest: int) -> Iterator[tuple[int, bytes]]:
    """Yield numbered lines; one that is too long is never read to its end."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(longest + 1):
            number += 1
            if len(line) > longest:
                raise DataError(f"{path}: row {number}: longer than {longest >> 20} MiB")
            yield number, line


def _object(line: bytes, path: Path, number: int) -> dict[str, Any]:
    where = f"{path}: row {number}"
    try:
        row = json.loads(line)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 text: byte {error.start}") from None
    except json.JSONDecodeError as error:
        if number == 1 and line.strip() in (b"[", b"[{"):
            what = "one JSON list, as the harness wrote before 0.4.3: want one object a line"
            raise DataError(f"{where}: {what}") from None
        cut = "" if line.endswith(b"\n") else " (the last line is cut off)"
        raise DataError(f"{where}, column {error.colno}: not JSON: {error.msg}{cut}") from None
    except (RecursionError, ValueError) as error:  # a nest of brackets, an endless whole number
        raise DataError(f"{where}: not JSON that can be read: {clip(str(error))}") from None
    if not isinstance(row, dict):
        raise DataError(f"{where}: not a JSON object")
    return row


def _jsonl_chunks(path: Path) -> Iterator[pd.DataFrame]:
    import pandas as pd

    lines = json_lines(path)
    columns: dict[str, Any] = {}
    while rows := list(islice(lines, _CHUNK)):
        columns = columns or rows[0][1]
        for number, row in rows:
            if row.keys() != columns.keys():
                name = clip(min(row.keys() ^ columns.keys()))
                raise DataError(f"{path}: row {number}, column {name}: not the columns of row 1")
            for name, value in row.items():
                kinds = _KINDS_OF_VALUE.get(name)
                if kinds and (not isinstance(value, kinds[0]) or value is True or value is False):
                    where = f"{path}: row {number}, column {name}"
                    raise DataError(f"{where}: {clip(repr(value))} is not {kinds[1]}")
        numbers = [number for number, _ in rows]
        yield pd.DataFrame([row for _, row in rows], columns=list(columns), index=numbers)


def _parquet_chunks(path: Path) -> Iterator[pd.DataFrame]:
    import pyarrow
    import pyarrow.parquet

    row = 1
    try:
        schema = pyarrow.parquet.read_schema(path)
        names = [name for name in (*WORDS, *NUMBERS) if name in schema.names]
        for name in names:
            _require_kind(path, name, schema)
        # Millions of rows share a few names: kept as a dictionary they cost next to nothing.
        words = [name for name in WORDS if name in names]
        with pyarrow.parquet.ParquetFile(
            path, read_dictionary=words, page_checksum_verification=True
        ) as file:
            for batch in file.iter_batches(batch_size=_CHUNK, columns=names):
                table = batch.to_pandas()
                table.index = range(row, row + len(table))
                row += len(table)
                yield table
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a Parquet table: {clip(str(error), 200)}") from None


def _require_kind(path: Path, name: str, schema: Any) -> None:
    """Refuse a column whose type is no number, or no name; a number may be a name."""
    from pyarrow import types

    if schema.names.count(name) > 1:
        raise DataError(f"{path}: column {name}: there twice")
    kind = schema.field(name).type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    fits = [types.is_integer, types.is_floating, types.is_null]
    if name in WORDS:
        fits += [types.is_string, types.is_large_string]
    wanted = "names" if name in WORDS else "numbers"
    if not any(fit(kind) for fit in fits):
        raise DataError(f"{path}: column {name}: holds {clip(str(kind))}, not {wanted}")


def _csv_chunks(path: Path) -> Iterator[pd.DataFrame]:
    import pyarrow
    import pyarrow.csv

    header, filled = _csv_layout(path)
    words = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    types = dict.fromkeys(header, pyarrow.string())
    types |= dict.fromkeys(WORDS, words) | dict.fromkeys(NUMBERS, pyarrow.float64())
    row = 1  # among the lines that are not empty; the header is 0
    try:
        reader = pyarrow.csv.open_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(block_size=LONGEST_CSV, use_threads=False),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types, strings_can_be_null=True, null_values=[""]
            ),
        )
        for batch in reader:
            table = batch.to_pandas()
            if row + len(table) <= len(filled):  # otherwise a row spans lines, see below
                table.index = filled[row : row + len(table)]
            row += len(table)
            yield table
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: {_csv_fault(str(error), header, filled)}") from None
    if row != len(filled):
        raise DataError(
            f"{path}: {len(filled)} lines make {row} rows: is a quotation mark missing?"
        )


def _csv_layout(path: Path) -> tuple[list[str], Any]:
    """Return the header's names and the numbers of all lines that are not empty."""
    header: list[str] = []
    total, empty = 0, []
    for number, line in _lines(path, LONGEST_CSV):
        total = number
        if not line.strip(b"\r\n"):
            empty.append(number)
        elif not header:
            try:
                header = next(csv.reader([line.decode("utf-8-sig")]))
            except (UnicodeDecodeError, csv.Error) as error:
                raise DataError(f"{path}: row {number}: not CSV: {clip(str(error))}") from None
    if len(header) == 1 and re.search(r"[;\t|]", header[0]):
        sign = clip(repr(header[0]))
        raise DataError(f"{path}: row 1: one column, {sign}: columns must be separated by commas")
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise DataError(f"{path}: row 1, column {clip(twice[0])}: there twice")
    return header, np.setdiff1d(np.arange(1, total + 1), empty)


def _csv_fault(message: str, header: list[str], filled: Any) -> str:
    """Turn pyarrow's message into ``row R, column C: what is wrong``."""

    def line(row: str) -> str:
        return f"row {filled[int(row) - 1]}" if 0 < int(row) <= len(filled) else "the last row"

    cell = re.search(r"CSV column #(\d+): (?:Row #(\d+): )?.* invalid value '(.*)", message, re.S)
    if cell and int(cell[1]) < len(header):
        where = f"{line(cell[2])}, " if cell[2] else ""
        value = clip(repr(cell[3].removesuffix("'")))
        return f"{where}column {clip(header[int(cell[1])])}: {value} is not a number"
    cells = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message)
    if cells:
        return f"{line(cells[1])}: has {cells[3]} cells, the header has {cells[2]}"
    return f"not a CSV table: {clip(message, 200)}"
