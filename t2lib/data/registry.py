"""The released files: which they are, how to get them, and what was recorded from them.

``data/registry.csv`` names every released file the book can use. :func:`fetch` finds one: in the
folder that ``T2LIB_MIRROR`` names, in the cache, or by download from its pinned commit (or from
the address in ``T2LIB_MIRROR``). Nothing is used before its sha256 is verified.

A row whose path has ``{fields}`` stands for many files. ``data/manifests/NAME.parquet`` lists them:
the fields, then each file's bytes and sha256; the row has the manifest's own. Such a file's name is
``NAME/FIELD/FIELD``, and the beginning of a name stands for all that begin so: ``gadre_models``
is all of ``gadre_models/...``.

Environment
-----------
T2LIB_MIRROR
    A folder (its whole path) or http address laid out as ``OWNER/REPO/COMMIT/PATH``, in place of
    the host.
T2LIB_CACHE
    Where downloads are kept; the operating system's cache folder if not set.
T2LIB_DATA
    The folder of embedded data; the repository's ``data`` if not set.
T2LIB_RECORD
    1 makes :func:`recorded` write what it computes.

The readers of these files are in :mod:`t2lib.data.layouts`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from t2lib._checks import DataError, parse_json
from t2lib.data.downloads import (
    REMEDY,
    FetchError,
    NotThereError,
    download,
    pooch,
    verify,
)
from t2lib.data.schemas import read_table
from t2lib.data.tables import whole_parquet

if TYPE_CHECKING:
    import pandas as pd

HOST = "https://raw.githubusercontent.com"
THREADS = 16


class ReleasedFile(NamedTuple):
    """One row of the registry."""

    name: str
    repository: str
    commit: str
    path: str
    bytes: int
    sha256: str
    licence: str
    citation: str

    @property
    def relative(self) -> str:
        """Its path below the mirror: OWNER/REPO/COMMIT/PATH, or PATH for a converted table."""
        return "/".join(part for part in (self.repository, self.commit, self.path) if part)


@dataclass(frozen=True)
class Recorded:
    """A result that needs released files: computed now, or as recorded when they were at hand.

    Attributes
    ----------
    values : dict
        The result.
    source : str
        "recomputed" or "recorded".
    note : str
        One sentence that tells the reader which.
    """

    values: dict[str, Any]
    source: str
    note: str


# --- the registry ---------------------------------------------------------------------------------


def data_folder() -> Path:
    """Return the folder of embedded data: ``T2LIB_DATA``, or ``data`` of the repository."""
    folder = Path(os.environ.get("T2LIB_DATA") or Path(__file__).resolve().parents[2] / "data")
    if not folder.is_dir():
        raise FetchError(f"{folder}: no such data folder; set T2LIB_DATA to the repository's data")
    return folder


def registry() -> pd.DataFrame:
    """Return the registry of released files, one row a file or manifest.

    Returns
    -------
    DataFrame
        Columns name, repository, commit, path, files, bytes, sha256, licence, citation. The first
        two after the name are empty for the converted tables, which only a mirror can have. Of a
        manifest, files and bytes are those that it lists and sha256 is its own.
    """
    import pandas as pd

    table = pd.DataFrame(list(_rows(data_folder()).values()), columns=ReleasedFile._fields)
    groups = [expand(name) for name in table["name"]]
    table["bytes"] = [sum(file.bytes for file in group) for group in groups]
    table.insert(4, "files", list(map(len, groups)))
    return table


@cache
def _rows(folder: Path) -> dict[str, ReleasedFile]:
    table = read_table(folder / "registry.csv", "registry").fillna("")
    rows = table[list(ReleasedFile._fields)].itertuples(index=False, name=None)
    return {row[0]: ReleasedFile(*row) for row in rows}


@cache
def _files_of(folder: Path, name: str) -> dict[str, ReleasedFile]:
    """Return the files that a row stands for: itself, or those of its verified manifest."""
    row = _rows(folder)[name]
    if "{" not in row.path:
        return {name: row}
    manifest = folder / "manifests" / f"{name}.parquet"
    if not manifest.is_file():
        raise FetchError(f"{manifest}: no such manifest")
    _verify(manifest, row)
    table = whole_parquet(manifest)
    fields = [field for field in table.columns if field not in ("bytes", "sha256")]
    files = {}
    for *values, size, digest in table[[*fields, "bytes", "sha256"]].itertuples(
        index=False, name=None
    ):
        path = row.path.format_map(dict(zip(fields, values, strict=True)))
        one = row._replace(name="/".join((name, *values)), path=path, bytes=size, sha256=digest)
        files[one.name] = one
    return files


def expand(*names: str) -> list[ReleasedFile]:
    """Return the released files of names and of groups; without a name, all of them.

    Raises
    ------
    ValueError
        For a name that is neither.
    FetchError
        Where a manifest is missing or is not the registry's.
    """
    folder = data_folder()
    rows = _rows(folder)
    files: dict[str, ReleasedFile] = {}
    for name in names or rows:
        found: dict[str, ReleasedFile] = {}
        for row in rows:
            if row.split("/")[0] == name.split("/")[0]:
                found |= _files_of(folder, row)
        found = {
            key: file for key, file in found.items() if key == name or key.startswith(f"{name}/")
        }
        if not found:
            options = sorted({part for key in rows for part in (key, key.split("/")[0])})
            close = difflib.get_close_matches(name, options, n=1)
            hint = f"; is {close[0]!r} meant?" if close else ""
            raise ValueError(f"{name!r}: no released file or group has this name{hint}")
        files |= found
    return list(files.values())


# --- finding, downloading, verifying --------------------------------------------------------------


def fetch(name: str) -> Path:
    """Return the verified path of one released file, downloading it if it is not at hand.

    Parameters
    ----------
    name : str
        Its name in the registry.

    Returns
    -------
    Path
        In the mirror folder or in the cache. Read it, do not write to it.

    Raises
    ------
    ValueError
        For a name that is not in the registry.
    FetchError
        Where the mirror is missing, the host is not reachable (after retries) or too slow (see
        :mod:`t2lib.data.downloads`), or the file's size or sha256 is not the registry's. A
        damaged download is not kept.
    """
    files = expand(name)
    if len(files) > 1:
        raise ValueError(f"{name!r} is a group of {len(files)} files: use fetch_all")
    return local_path(files[0]) or _download(files[0])


def fetch_all(*names: str) -> dict[str, Path]:
    """Fetch many files or groups in parallel, with a progress bar for the downloads.

    Returns
    -------
    dict
        Name to verified path, in the registry's order.

    Raises
    ------
    ValueError, FetchError
        As :func:`fetch`, at the first file that fails; downloads not yet begun are given up.
    """
    from tqdm import tqdm

    files = expand(*names)
    paths = {row.name: local_path(row) for row in files}
    missing = [row for row in files if paths[row.name] is None]
    with ThreadPoolExecutor(THREADS) as pool:
        jobs = {pool.submit(_download, row): row.name for row in missing}
        bar = tqdm(total=len(jobs), desc="fetching", unit="file", disable=len(jobs) < 2)
        try:
            for job in as_completed(jobs):
                paths[jobs[job]] = job.result()
                bar.update()
        finally:
            bar.close()
            pool.shutdown(cancel_futures=True)
    return {name: path for name, path in paths.items() if path is not None}


def at_hand(*names: str) -> bool:
    """Tell whether all these files and groups can be read without the network.

    Raises
    ------
    FetchError
        Where ``T2LIB_MIRROR`` names a folder that is missing or holds a damaged file.
    """
    return all(local_path(row) is not None for row in expand(*names))


def _mirror() -> str | Path | None:
    """Return T2LIB_MIRROR as an address (str) or a folder (Path), or None."""
    value = os.environ.get("T2LIB_MIRROR", "")
    if not value:
        return None
    if value.startswith(("http://", "https://")):
        return value.rstrip("/")
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise FetchError(f"T2LIB_MIRROR={value}: no such folder")
    return folder


def _cache_folder() -> Path:
    if os.environ.get("T2LIB_CACHE"):
        return Path(os.environ["T2LIB_CACHE"]).expanduser()
    return Path(pooch().os_cache("t2lib"))


def local_path(row: ReleasedFile) -> Path | None:
    """Return the file's verified path in the mirror folder or the cache, None if it is in neither.

    A damaged file in the mirror is an error; in the cache it only counts as missing.
    """
    mirror = _mirror()
    if isinstance(mirror, Path) and (path := mirror / row.relative).is_file():
        _verify(path, row)
        return path
    path = _cache_folder() / row.relative
    try:
        if path.is_file():
            _verify(path, row)
            return path
    except FetchError:
        pass
    return None


def _verify(path: Path, row: ReleasedFile) -> None:
    """Raise FetchError unless the file has the registry's size and sha256."""
    verify(path, row.bytes, row.sha256)


def _download(row: ReleasedFile) -> Path:
    mirror, store = _mirror(), _cache_folder()
    if isinstance(mirror, Path):
        raise NotThereError(f"{row.name}: not in the mirror: no file {mirror / row.relative}")
    if mirror is None and not row.repository:
        raise NotThereError(f"{row.name}: a converted table, published nowhere; {REMEDY}")
    url = f"{mirror or HOST}/{quote(row.relative)}"
    return download(row.name, url, store / row.relative, row.bytes, row.sha256, store)


# --- recorded results -----------------------------------------------------------------------------


def recorded(
    name: str,
    compute: Callable[[], Mapping[str, Any]],
    *,
    inputs: Iterable[str],
    settings: Mapping[str, Any] | None = None,
) -> Recorded:
    """Compute a result if the released files it needs are at hand; else load what was recorded.

    With ``T2LIB_RECORD=1`` a computed result is written to ``data/recorded/NAME.json``, unless
    one with other settings is there already: a quick build never replaces a full one. To record
    with new settings, delete the file first.

    Parameters
    ----------
    name : str
        The record's name.
    compute : callable
        Takes nothing, returns a dict that JSON can hold (NumPy numbers and arrays included).
    inputs : iterable of str
        Names of the released files and groups it reads.
    settings : mapping, optional
        What the result depends on besides, such as the number of bootstrap samples.

    Returns
    -------
    Recorded

    Raises
    ------
    FetchError
        Where neither the inputs nor a record are there.
    DataError
        Where the record is no JSON or was made from other versions of the inputs.
    ValueError
        Where a result to be recorded holds NaN or an infinity, which JSON has not.
    """
    names = list(inputs)
    file = data_folder() / "recorded" / f"{name}.json"
    prints = {item: fingerprint(item) for item in names}
    listed = " and ".join(names)
    chosen = _plain(dict(settings or {}))
    if at_hand(*names):
        # As it would come back from the file: with its keys in order.
        values = json.loads(json.dumps(_plain(compute()), sort_keys=True))
        if os.environ.get("T2LIB_RECORD") == "1":
            old = _read_record(file)["settings"] if file.exists() else chosen
            if old == chosen:
                record = {"inputs": prints, "settings": chosen, "values": values}
                text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False)
                _write_text(file, text + "\n")
        return Recorded(values, "recomputed", f"Computed here from the released {listed}.")
    if not file.exists():
        raise FetchError(f"{name}: neither {listed} nor {file} is at hand; set T2LIB_MIRROR")
    record = _read_record(file)
    if record["inputs"] != prints:
        raise DataError(f"{file}: recorded from other versions of {listed} than the registry's")
    note = f"Recorded earlier from the released {listed}, not at hand here"
    if record["settings"] and record["settings"] != chosen:
        note += ", with " + ", ".join(f"{k} = {v}" for k, v in record["settings"].items())
    return Recorded(record["values"], "recorded", note + ".")


def fingerprint(name: str) -> str:
    """Return a file's sha256, or for a group the sha256 of its files' names and sha256s."""
    files = expand(name)
    if files[0].name == name:
        return files[0].sha256
    lines = "".join(f"{row.sha256}  {row.name}\n" for row in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _plain(values: Any) -> Any:
    """Turn NumPy numbers and arrays into what JSON gives back, so both sources look the same."""
    return json.loads(json.dumps(values, default=lambda value: value.tolist()))


def _read_record(file: Path) -> dict[str, Any]:
    record = read_json(file)
    for part in ("inputs", "settings", "values"):
        if not isinstance(record, dict) or not isinstance(record.get(part), dict):
            raise DataError(f"{file}: not a record: {part} is missing")
    return record


def read_json(path: Path) -> Any:
    """Read a JSON file; DataError with its row and column where it is no JSON."""
    return parse_json(path.read_bytes(), str(path))


def _write_text(file: Path, text: str) -> None:
    """Write beside, then rename: the file is whole or as it was."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=file.parent, prefix=f".{file.name}-", delete=False, encoding="utf-8"
    ) as draft:
        draft.write(text)
    Path(draft.name).chmod(0o644)
    Path(draft.name).replace(file)
