"""Logs of inspect_ai: a task, its samples in several epochs, and what each scorer said of them.

Read are ``.eval`` and ``.json`` logs of version 2 of the log's form (checked against inspect_ai
0.3.285). An ``.eval`` file is a zip archive. Its members ``header.json`` and ``summaries.json`` are
read, packed by deflate or zstandard, each up to a largest size. Nothing is ever unpacked to disk.

A sample is a question (``id``) in one epoch, so n is the number of a question's epochs that were
scored. Right is the value C, true or 1; wrong I, N (no answer), false or 0. Other values, such as P
for a part, do not say right or wrong. Several scorers: see :func:`t2lib.evals.tally.chosen`. The
run is named by the folder, or by the log's ``eval.model`` and its ``revision``.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from t2lib._checks import DataError, clip, parse_json
from t2lib.evals.settings import generation
from t2lib.evals.tally import (
    LARGEST_JSON,
    Logged,
    Tally,
    beginning,
    chosen,
    entries,
    json_document,
    remark,
    text,
    with_facts,
)

_JSON = re.compile(rb'\s*\{\s*"version"\s*:\s*\d+\s*,\s*"status"\s*:\s*"')
_ZSTANDARD = 93  # the number of the packing in a zip archive
_SETTINGS = ("temperature", "top_p", "top_k", "max_tokens", "stop_seqs")  # of generation
_MOST_MEMBERS = 2**20
# What zipfile raises for archives that are no archives; a seek to nowhere is a ValueError.
_BROKEN = (zipfile.BadZipFile, struct.error, zlib.error, EOFError, NotImplementedError, ValueError)
_VERDICTS = {"c": 1, "i": 0, "n": 0, "true": 1, "yes": 1, "false": 0, "no": 0}
_PREFERRED = ("match", "exact", "choice", "includes", "pattern", "answer", "math")


def is_inspect(path: Path) -> bool:
    """Tell whether a file is a log of inspect_ai."""
    return path.suffix == ".eval" or (path.suffix == ".json" and bool(_JSON.match(beginning(path))))


def read_inspect(path: Path, metric: str = "") -> Logged:
    """Count each question's epochs, and those in which the answer was right.

    Parameters
    ----------
    path : Path
    metric : str
        The scorer, or ``SCORER/KEY`` where its values have several keys; by default the only one,
        or the first of a list of usual ones.
    """
    header, summaries = _archive(path) if path.suffix == ".eval" else _document(path)
    spec = header.get("eval")
    spec = spec if isinstance(spec, dict) else {}
    task = text(spec.get("task"), f"{path}: eval, task")
    seen: set[tuple[str, str]] = set()
    samples = [_sample(sample, where, seen) for where, sample in summaries]
    names = list(dict.fromkeys(name for _, _, scores in samples for name in scores))
    if not names:
        raise DataError(f"{path}: no sample was scored")
    taken, others = chosen(names, _PREFERRED, metric, f"{path}: scores")
    tally = Tally()
    for where, question, scores in samples:
        if not _is_missing(scores.get(taken)):
            tally.add(task, question, _verdict(scores[taken], f"{where}, scores, {taken}"))
    notes = [] if header.get("status") == "success" else [_unfinished(task, header)]
    if unscored := sum(_is_missing(scores.get(taken)) for *_, scores in samples):
        notes.append(f"task {task}: {unscored} samples without a score, left out, in {path.name}")
    facts = {"task version": spec.get("task_version"), "metric": taken}
    answers = with_facts(tally.answers(path), facts | _generation(header))
    return Logged(answers, notes + remark(task, taken, others), _run(spec))


def _generation(header: dict[str, Any]) -> dict[str, str]:
    """Return the settings of generation: the task's, and where it has none the model's."""
    spec, plan = header.get("eval"), header.get("plan")
    model = spec.get("model_generate_config") if isinstance(spec, dict) else None
    task = plan.get("config") if isinstance(plan, dict) else None
    given = [one for one in (model, task) if isinstance(one, dict)]
    told = {name: value for one in given for name, value in one.items() if value is not None}
    return generation({name: told.get(name) for name in _SETTINGS}) if given else {}


def run_of(path: Path) -> str:
    """Return what a log calls its run: its model, and the revision where there is one."""
    header = _read(path, ["header.json"])[0] if path.suffix == ".eval" else _document(path)[0]
    spec = header.get("eval") if isinstance(header, dict) else None
    return _run(spec) if isinstance(spec, dict) else ""


def _sample(sample: Any, where: str, seen: set[tuple[str, str]]) -> tuple[str, str, dict[str, Any]]:
    """Return a sample's place, question and scores by name."""
    if not isinstance(sample, dict):
        raise DataError(f"{where}: {clip(repr(sample))} is no sample")
    question = text(sample.get("id"), f"{where}, id")
    epoch = text(sample.get("epoch"), f"{where}, epoch")
    if (question, epoch) in seen:
        raise DataError(f"{where}: sample {clip(question)}, epoch {epoch} is there twice")
    seen.add((question, epoch))
    scores = sample.get("scores") or {}
    found: dict[str, Any] = {}
    for place, score in entries(scores, f"{where}, scores"):
        if not isinstance(score, dict) or "value" not in score:
            raise DataError(f"{place}: has no value")
    for name, score in scores.items():
        value = score["value"]
        parts = value.items() if isinstance(value, dict) else [("", value)]
        found.update({f"{name}/{key}" if key else name: one for key, one in parts})
    return where, question, found


def _verdict(value: Any, where: str) -> int:
    if isinstance(value, str) and value.lower() in _VERDICTS:
        return _VERDICTS[value.lower()]
    if isinstance(value, bool | int | float) and value in (0, 1):
        return int(value)
    raise DataError(f"{where}: {clip(repr(value))} is not right or wrong; --metric takes another")


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _unfinished(task: str, header: dict[str, Any]) -> str:
    status = clip(str(header.get("status")))
    return f"task {task}: the log's status is {status}: it may lack samples"


def _run(spec: dict[str, Any]) -> str:
    arguments = spec.get("model_args")
    revision = arguments.get("revision") if isinstance(arguments, dict) else None
    model = spec.get("model")
    return "/".join(one for one in (model, revision) if isinstance(one, str))


def _document(path: Path) -> tuple[dict[str, Any], Iterator[tuple[str, Any]]]:
    content = json_document(path)
    samples = content.get("samples") or []
    return content, entries(samples, f"{path}: samples")


# --- the archive ----------------------------------------------------------------------------------


def _archive(path: Path) -> tuple[dict[str, Any], Iterator[tuple[str, Any]]]:
    """Return the header and the samples' summaries of an .eval file."""
    header, samples = _read(path, ["header.json", "summaries.json"])
    if not isinstance(header, dict):
        raise DataError(f"{path}: header.json: not an object")
    return header, entries(samples, f"{path}: summaries.json")


def _read(path: Path, names: list[str]) -> list[Any]:
    """Read members of an archive."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            _require_plain(archive, path)
            return [_member(file, archive, path, name) for name in names]
    except DataError:
        raise
    except _BROKEN as error:
        raise DataError(f"{path}: not a zip archive, or cut off: {clip(str(error))}") from None


def _require_plain(archive: zipfile.ZipFile, path: Path) -> None:
    if len(archive.infolist()) > _MOST_MEMBERS:
        raise DataError(f"{path}: more than {_MOST_MEMBERS} members")
    for one in archive.infolist():
        name = PurePosixPath(one.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or re.match("[A-Za-z]:", one.filename):
            raise DataError(f"{path}: member {clip(repr(one.filename))} leads out of the archive")
    if "header.json" not in archive.NameToInfo:
        raise DataError(f"{path}: no header.json: the evaluation did not finish")


def _member(file: BinaryIO, archive: zipfile.ZipFile, path: Path, name: str) -> Any:
    """Read one member whole, strictly, and no further than its largest size."""
    where = f"{path}: {name}"
    if name not in archive.NameToInfo:
        raise DataError(f"{where}: missing")
    member = archive.NameToInfo[name]
    if member.file_size > LARGEST_JSON:
        raise DataError(f"{where}: longer than {LARGEST_JSON >> 20} MiB")
    if member.flag_bits & 1:
        raise DataError(f"{where}: encrypted")
    if member.compress_type == _ZSTANDARD:
        content = _zstandard(file, member, where)
    else:
        with archive.open(member) as packed:
            content = packed.read(LARGEST_JSON + 1)
    return parse_json(content, where)


def _zstandard(file: BinaryIO, member: zipfile.ZipInfo, where: str) -> bytes:
    """Unpack a member that Python's zipfile cannot, to the size that the archive says it has."""
    import pyarrow

    file.seek(member.header_offset)
    name, extra = struct.unpack("<HH", file.read(30)[26:])
    file.seek(name + extra, io.SEEK_CUR)
    packed = file.read(member.compress_size)
    try:
        with pyarrow.CompressedInputStream(pyarrow.BufferReader(packed), "zstd") as stream:
            content = bytes(stream.read(member.file_size + 1))
    except OSError as error:
        raise DataError(f"{where}: not zstandard, or cut off: {clip(str(error))}") from None
    if len(content) != member.file_size or zlib.crc32(content) != member.CRC:
        raise DataError(f"{where}: is not as long, or not what, the archive says")
    return content
