"""Tables of any length, read a chunk at a time: CSV, Parquet and JSON Lines.

A chunk's index holds each row's line number (Parquet: its number from 1), which is what an error
names. Nothing is guessed: a row with too many cells, a quotation mark that is never closed or a
cell that is no number is refused with its place.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from t2lib._checks import DataError, clip, parse_json, visible

if TYPE_CHECKING:
    import pandas as pd

KINDS = (".jsonl", ".csv", ".parquet")
PACKED = (".gz", ".zst")  # text may be packed: it is unpacked as it is read, never whole
WORDS = ("suite", "model", "task")
NUMBERS = (
    *("n_params", "n_tokens", "question", "nll", "n_samples", "n_correct"),
    *("k", "n_questions", "pass_at_k", "neg_log_pass", "mean_nll"),
)
LONGEST_JSON = 64 * 2**20  # bytes of a line; thousands of long responses stay far below
LONGEST_CSV = 2**24  # bytes of a line, and of a block: the reader needs a line to fit into a block
MOST_COLUMNS = 1000
_CHUNK = 2**17  # rows in memory at once


def kind_of(path: Path) -> str:
    """Return a file's kind, one of ``KINDS`` whether packed or not; another suffix, lower case."""
    outer, inner = path.suffix.lower(), Path(path.stem).suffix.lower()
    return inner if outer in PACKED and inner in KINDS[:2] else outer


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, unpacked as it is read; DataError where its packing is broken."""
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(path) as file:
                yield cast(BinaryIO, file)
        elif path.suffix.lower() == ".zst":
            import pyarrow

            with path.open("rb") as raw, pyarrow.CompressedInputStream(raw, "zstd") as stream:
                yield cast(BinaryIO, io.BufferedReader(stream))
        else:
            with path.open("rb") as file:
                yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not gzip, or cut off: {clip(str(error))}") from None
    except OSError as error:
        if path.suffix.lower() != ".zst" or error.filename:
            raise
        raise DataError(f"{path}: not zstandard, or cut off: {clip(str(error))}") from None


def chunks(
    path: Path, words: Sequence[str] = WORDS, numbers: Sequence[str] = NUMBERS
) -> Iterator[pd.DataFrame]:
    """Yield a table's rows as DataFrames of at most some hundred thousand rows.

    Parameters
    ----------
    path : Path
        A ``.csv``, ``.parquet`` or ``.jsonl`` file, or ``.csv`` and ``.jsonl`` packed with gzip
        (``.gz``) or zstandard (``.zst``).
    words, numbers : sequence of str
        Columns that hold names and numbers, where the file has them. Of others, nothing is said.

    Raises
    ------
    DataError
        ``FILE: row R, column C: what is wrong``.
    """
    readers = {".csv": _csv_chunks, ".parquet": _parquet_chunks, ".jsonl": _jsonl_chunks}
    for table in readers[kind_of(path)](path, words, numbers):
        for name in [name for name in words if name in table.columns]:
            _require_names(table[name], path)
        yield table


def whole_parquet(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a Parquet file of the repository's own, or of a verified download, as it is.

    Arrow opens it, not pandas: pandas hands over a Python file, which one of Arrow's threads may
    let go of only when Python has ended, and then the process aborts.
    """
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        return file.read(columns).to_pandas()


def names_questions(path: Path, column: str = "question") -> bool:
    """Tell whether the first row of a table calls its question by a name, not by a number."""
    if kind_of(path) == ".jsonl":
        return isinstance(next(json_lines(path), (0, {}))[1].get(column), str)
    if kind_of(path) == ".csv":
        return _csv_names_questions(path, column)
    import pyarrow.parquet
    from pyarrow import types

    try:
        schema = pyarrow.parquet.read_schema(path)
        kind = schema.field(column).type
    except Exception:  # whatever is wrong is said where the table is read
        return False
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return types.is_string(kind) or types.is_large_string(kind)


def _csv_names_questions(path: Path, column: str) -> bool:
    with opened(path) as file:
        lines = (file.readline(LONGEST_CSV) for _ in range(100))
        first = [line for line in lines if line.strip()][:2]
    try:
        header, row = csv.reader([line.decode("utf-8-sig") for line in first])
        float(row[header.index(column)] or 0)
    except (UnicodeDecodeError, csv.Error, IndexError):
        return False
    except ValueError as error:  # no such column, other than two rows; or a name
        return "convert" in str(error)
    return False


def _require_header(names: list[str], path: Path, row: str = "") -> None:
    """Refuse columns that cannot be told apart, or that are too many for any table of results."""
    if len(names) > MOST_COLUMNS:
        raise DataError(f"{path}: {row}{len(names)} columns: want at most {MOST_COLUMNS}")
    seen: dict[str, str] = {}
    for name in names:
        where = f"{path}: {row}column {clip(name)}"
        if "\ufeff" in name:
            raise DataError(f"{where}: holds a byte order mark")
        first = seen.get(visible(name))
        if first is not None:
            other = f"differs from {clip(repr(first))} by blanks only"
            raise DataError(f"{where}: {'there twice' if first == name else other}")
        seen[visible(name)] = name


def _require_names(column: pd.Series, path: Path) -> None:
    """Refuse names that hold what is no part of a name: a byte order mark, half a character."""
    for name in column.astype("category").cat.categories:
        if re.search("[\ufeff\ud800-\udfff]", str(name)):
            row = column.index[(column == name).to_numpy(bool)][0]
            what = f"{clip(repr(name))} holds a byte order mark or half a character"
            raise DataError(f"{path}: row {row}, column {column.name}: {what}")


def read(path: Path, words: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """Read a table whole, as :func:`chunks` reads it; its words are text.

    Raises
    ------
    DataError
        As :func:`chunks`, and where there is no such file, it is of another kind, or has no rows.
    """
    import pandas as pd

    if kind_of(path) not in KINDS:
        raise DataError(f"{path}: unknown kind of file: want one of {', '.join(KINDS)}")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    parts = list(chunks(path, words, numbers))
    if not parts:
        raise DataError(f"{path}: the table is empty: it has no rows")
    table = pd.concat(parts)
    return table.astype({name: object for name in words if name in table.columns})


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and object of a JSON Lines file, one line in memory at a time.

    A list of objects that is indented by two, as Python writes it, is read too, one at a time.

    Raises
    ------
    DataError
        Where a line is not a JSON object, is cut off, not UTF-8 or longer than ``LONGEST_JSON``.
    """
    lines = _lines(path, LONGEST_JSON)
    for number, line in lines:
        if number == 1 and line.strip() == b"[":
            yield from _indented(lines, path)
            return
        if line.removeprefix(b"\xef\xbb\xbf").strip():
            yield number, _object(line, path, number)


def _lines(path: Path, longest: int) -> Iterator[tuple[int, bytes]]:
    """Yield numbered lines; one that is too long is never read to its end."""
    with opened(path) as file:
        number = 0
        while line := file.readline(longest + 1):
            number += 1
            if len(line) > longest:
                raise DataError(f"{path}: row {number}: longer than {longest >> 20} MiB")
            yield number, line


def _indented(lines: Iterator[tuple[int, bytes]], path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the objects of an indented list, each with the line at which it begins."""
    parts: list[bytes] = []
    start = size = number = 0
    for number, line in lines:
        text = line.rstrip()
        if not parts and text == b"]":
            break
        if not parts and text != b"  {":
            raise DataError(f"{path}: row {number}: not an object of a list indented by two")
        start = start if parts else number
        parts.append(line)
        size += len(line)
        if size > LONGEST_JSON:
            raise DataError(f"{path}: row {start}: longer than {LONGEST_JSON >> 20} MiB")
        if text in (b"  }", b"  },"):
            yield start, _object(b"".join(parts).rstrip().removesuffix(b",") + b"\n", path, start)
            parts, size = [], 0
    else:
        raise DataError(f"{path}: row {number}: the list is cut off: it has no end")
    for number, line in lines:
        if line.strip():
            raise DataError(f"{path}: row {number}: something follows the list")


def _object(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        row = parse_json(line, str(path), number)
    except DataError as error:
        cut = "" if line.endswith(b"\n") else " (the last line is cut off)"
        raise DataError(f"{error}{cut}") from None
    if not isinstance(row, dict):
        raise DataError(f"{path}: row {number}: not a JSON object")
    return row


def _jsonl_chunks(
    path: Path, words: Sequence[str], numbers: Sequence[str]
) -> Iterator[pd.DataFrame]:
    import pandas as pd

    lines = json_lines(path)
    columns: dict[str, Any] = {}
    while rows := list(islice(lines, _CHUNK)):
        if not columns:
            columns = rows[0][1]
            _require_header(list(columns), path, "row 1, ")
        for number, row in rows:
            if row.keys() != columns.keys():
                name = clip(min(row.keys() ^ columns.keys()))
                raise DataError(f"{path}: row {number}, column {name}: not the columns of row 1")
        places = [number for number, _ in rows]
        cells = {name: [row[name] for _, row in rows] for name in columns}
        try:
            table = pd.DataFrame(cells, index=places)
        except OverflowError:
            _refuse_overflow(cells, places, path)
            raise
        _require_kinds(table, path, words, numbers)
        yield table


def _require_kinds(
    table: pd.DataFrame, path: Path, words: Sequence[str], numbers: Sequence[str]
) -> None:
    """Refuse text for a number, and a list, an object or a truth value for either."""
    for name in [name for name in (*words, *numbers) if name in table.columns]:
        column = table[name]
        if column.dtype.kind in "iuf":  # a number may be a name
            continue
        kinds = (str, int, float) if name in words else (int, float)
        for row, value in column.items():
            if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
                what = "a name" if name in words else "a number"
                raise DataError(
                    f"{path}: row {row}, column {name}: {clip(repr(value))} is not {what}"
                )
        _refuse_overflow({str(name): column.tolist()}, list(column.index), path)


def _refuse_overflow(cells: dict[str, list[Any]], rows: list[int], path: Path) -> None:
    """Refuse whole numbers that no float holds, such as 10**400."""
    for name, values in cells.items():
        for row, value in zip(rows, values, strict=True):
            if isinstance(value, int) and abs(value) > sys.float_info.max:
                raise DataError(f"{path}: row {row}, column {clip(name)}: too large a number")


def _parquet_chunks(
    path: Path, words: Sequence[str], numbers: Sequence[str]
) -> Iterator[pd.DataFrame]:
    import pyarrow
    import pyarrow.parquet

    row = 1
    try:
        schema = pyarrow.parquet.read_schema(path)
        _require_header(schema.names, path)
        names = [name for name in (*words, *numbers) if name in schema.names]
        for name in names:
            _require_kind(path, name, schema, is_word=name in words)
        options = {
            # Millions of rows share a few names: kept as a dictionary they cost next to nothing.
            "read_dictionary": [name for name in words if name in names],
            "page_checksum_verification": True,
            # Neither reads a row group whole, and a file may be a single one.
            "buffer_size": 2**20,
            "pre_buffer": False,
        }
        with pyarrow.parquet.ParquetFile(path, **options) as file:
            for batch in file.iter_batches(batch_size=_CHUNK, columns=names):
                # What pandas once wrote beside the schema is of no use, and may be broken.
                table = batch.replace_schema_metadata(None).to_pandas()
                table.index = range(row, row + len(table))
                row += len(table)
                yield table
    except DataError:
        raise
    except Exception as error:  # a broken file makes the reader raise anything
        raise DataError(f"{path}: not a Parquet table: {clip(str(error), 200)}") from None


def _require_kind(path: Path, name: str, schema: Any, *, is_word: bool) -> None:
    """Refuse a column whose type is no number, or no name; a number may be a name."""
    from pyarrow import types

    if schema.names.count(name) > 1:
        raise DataError(f"{path}: column {name}: there twice")
    kind = schema.field(name).type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    fits = [types.is_integer, types.is_floating, types.is_null]
    if is_word:
        fits += [types.is_string, types.is_large_string]
    wanted = "names" if is_word else "numbers"
    if not any(fit(kind) for fit in fits):
        raise DataError(f"{path}: column {name}: holds {clip(str(kind))}, not {wanted}")


@dataclass
class _Lines:
    """Where the rows of a CSV file are: the header's names, its lines, and those that are empty."""

    header: list[str]
    total: int
    empty: npt.NDArray[np.int64]

    def filled(self) -> int:
        """Count the lines that are not empty: the header and every row."""
        return self.total - len(self.empty)

    def number(self, rank: Any) -> Any:
        """Return the line with a rank, from 1, among those that are not empty."""
        return rank + np.searchsorted(self.empty - 1 - np.arange(len(self.empty)), rank)


def _csv_chunks(path: Path, words: Sequence[str], numbers: Sequence[str]) -> Iterator[pd.DataFrame]:
    import pyarrow
    import pyarrow.csv

    lines = _csv_lines(path)
    name = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    types = dict.fromkeys(lines.header, pyarrow.string())
    types |= dict.fromkeys(words, name) | dict.fromkeys(numbers, pyarrow.float64())
    read = 1  # lines that are not empty: the header
    packing = {".gz": "gzip", ".zst": "zstd"}
    try:
        reader = pyarrow.csv.open_csv(
            pyarrow.input_stream(str(path), compression=packing.get(path.suffix.lower())),
            read_options=pyarrow.csv.ReadOptions(block_size=LONGEST_CSV, use_threads=False),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types, strings_can_be_null=True, null_values=[""]
            ),
        )
        for batch in reader:
            table = batch.to_pandas()
            table.index = lines.number(np.arange(read, read + len(table)) + 1)
            read += len(table)
            yield table
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: {_csv_fault(str(error), lines)}") from None
    if read != lines.filled():
        what = f"{lines.filled()} lines make {read} rows: is a quotation mark missing?"
        raise DataError(f"{path}: {what}")


def _csv_lines(path: Path) -> _Lines:
    """Read the header and find the empty lines, which the reader does not count."""
    total, empty = 0, [np.empty(0, dtype=np.int64)]
    header: list[str] = []
    before = 0  # bytes since the last line's end, a carriage return not counted
    with opened(path) as file:
        while block := file.read(LONGEST_CSV):
            content = np.frombuffer(block.replace(b"\r\n", b"\n"), dtype=np.uint8)
            ends = np.flatnonzero(content == ord("\n"))
            lengths = np.diff(ends, prepend=-1) - 1
            lengths[:1] += before
            before = len(content) - 1 - ends[-1] if len(ends) else before + len(content)
            empty.append(np.flatnonzero(lengths == 0) + total + 1)
            total += len(ends)
            if not header and (first := next((one for one in block.splitlines() if one), b"")):
                header = _csv_header(first, path)
    total += before > 0
    return _Lines(header or _csv_header(b"", path), int(total), np.concatenate(empty))


def _csv_header(line: bytes, path: Path) -> list[str]:
    try:
        header = next(csv.reader([line.decode("utf-8-sig")]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: row 1: not CSV: {clip(str(error))}") from None
    if len(header) == 1 and re.search(r"[;\t|]", header[0]):
        sign = clip(repr(header[0]))
        raise DataError(f"{path}: row 1: one column, {sign}: columns must be separated by commas")
    _require_header(header, path, "row 1, ")
    return header


def _csv_fault(message: str, lines: _Lines) -> str:
    """Turn pyarrow's message into ``row R, column C: what is wrong``."""

    def line(rank: str) -> str:
        return f"row {lines.number(int(rank))}"

    cell = re.search(r"CSV column #(\d+): (?:Row #(\d+): )?.* invalid value '(.*)", message, re.S)
    if cell and int(cell[1]) < len(lines.header):
        where = f"{line(cell[2])}, " if cell[2] else ""
        value = clip(repr(cell[3].removesuffix("'")))
        return f"{where}column {clip(lines.header[int(cell[1])])}: {value} is not a number"
    cells = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message)
    if cells:
        return f"{line(cells[1])}: has {cells[3]} cells, the header has {cells[2]}"
    if "straddling" in message:
        return f"a line is longer than {LONGEST_CSV >> 20} MiB"
    return f"not a CSV table: {clip(message, 200)}"
