"""The released files, all in one place, and the command ``python -m t2lib.command.data``.

What is here comes from :mod:`t2lib.data.registry` (which files there are, fetching, verifying,
recorded results), :mod:`t2lib.data.layouts` (readers) and :mod:`t2lib.data.curves` (the
embedded tables).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from t2lib._parallel import scheduler
from t2lib.data.curves import build, load_curves, load_histograms, load_published
from t2lib.data.layouts import load_points
from t2lib.data.registry import (
    FetchError,
    NotThereError,
    Recorded,
    at_hand,
    expand,
    fetch,
    fetch_all,
    local_path,
    recorded,
    registry,
)
from t2lib.data.suites import load_questions

__all__ = [
    "FetchError",
    "NotThereError",
    "Recorded",
    "at_hand",
    "build",
    "expand",
    "fetch",
    "fetch_all",
    "load_curves",
    "load_histograms",
    "load_points",
    "load_published",
    "load_questions",
    "recorded",
    "registry",
]


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit code. Errors are one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m t2lib.command.data", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)
    rebuild = commands.add_parser("build", help="rebuild data/curves from the released files")
    rebuild.add_argument("--jobs", type=int, default=-1, help="processes (default: every core)")
    for name, text in {
        "fetch": "get files or groups and print their paths",
        "verify": "check what is at hand: all of it, or the files and groups named",
        "list": "print the registry, or the files and groups named",
    }.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("names", nargs="+" if name == "fetch" else "*")
    options = parser.parse_args(arguments)
    try:
        with _one_line_errors():
            {"build": _build, "fetch": _fetch, "verify": _verify_all, "list": _list}[
                options.command
            ](options)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _build(options: argparse.Namespace) -> None:
    with scheduler():
        paths = build(jobs=options.jobs)
    for path in paths:
        print(f"{path.stat().st_size:>9,} bytes  {path}")


def _fetch(options: argparse.Namespace) -> None:
    for path in fetch_all(*options.names).values():
        print(path)


def _verify_all(options: argparse.Namespace) -> None:
    files = expand(*(options.names or registry()["name"]))
    missing = sum(local_path(row) is None for row in files)
    print(f"{len(files) - missing} files verified, {missing} not at hand")
    if options.names and missing:
        raise FetchError(f"{missing} of {len(files)} files are not at hand")


def _list(options: argparse.Namespace) -> None:
    for row in expand(*(options.names or registry()["name"])):
        print(f"{row.name}\t{row.bytes}\t{row.relative}")


if __name__ == "__main__":
    raise SystemExit(main())
