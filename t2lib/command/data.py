"""``t2 data``: the released files listed, fetched and verified, and ``data/curves`` built anew."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from t2lib._checks import DataError
from t2lib.command.shared import examples, show

app = typer.Typer(
    help="The released files: list, fetch, verify; build the curves from them.",
    rich_markup_mode=None,
    add_completion=False,
)

_Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Files or groups; see t2 data list."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(
    "list", epilog=examples("t2 data list", "t2 data list gadre_models --json | jq length")
)
def list_files(names: _Names = None, as_json: _Json = False) -> None:
    """List released files: name, bytes, and path within a mirror.

    Without a name, one line a file or group of files.
    """
    from t2lib.data.registry import ReleasedFile, expand, registry

    fields = list(ReleasedFile._fields)
    groups = registry()[fields].itertuples(index=False, name=None)
    files = expand(*names) if names else [ReleasedFile(*group) for group in groups]
    if as_json:
        show(json.dumps([{**file._asdict(), "in_mirror": file.relative} for file in files]))
        return
    for file in files:
        show(f"{file.name}\t{file.bytes}\t{file.relative}")


@app.command(
    "fetch",
    epilog=examples(
        "t2 data fetch chinchilla_points",
        "T2LIB_MIRROR=/whole/path/to/released t2 data fetch pythia_gsm8k",
    ),
)
def fetch_files(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Files or groups.")],
    as_json: _Json = False,
) -> None:
    """Get released files, verify them, and print where they are.

    T2LIB_MIRROR names a folder or an address that stands in for the host.
    """
    from t2lib.data.registry import fetch_all

    paths = {name: str(path) for name, path in fetch_all(*names).items()}
    show(json.dumps(paths) if as_json else "\n".join(paths.values()))


@app.command("verify", epilog=examples("t2 data verify", "t2 data verify gemstones_nll_arce"))
def verify_files(names: _Names = None, as_json: _Json = False) -> None:
    """Check what is at hand against its size and sha256; all of it, or the files named."""
    from t2lib.data.registry import expand, local_path

    files = expand(*(names or []))
    missing = [file.name for file in files if local_path(file) is None]
    found = {"verified": len(files) - len(missing), "missing": len(missing)}
    text = f"{found['verified']} files verified, {found['missing']} not at hand"
    show(json.dumps(found) if as_json else text)
    if names and missing:
        raise DataError(f"{len(missing)} of {len(files)} files are not at hand: {missing[0]}, ...")


@app.command(
    "build",
    epilog=examples("t2 data build", "T2LIB_SCHEDULER=tcp://127.0.0.1:8786 t2 data build"),
)
def build_curves(
    jobs: Annotated[int, typer.Option(help="Processes; -1 for one a core.")] = -1,
) -> None:
    """Compute data/curves anew from the released files.

    T2LIB_SCHEDULER names a Dask scheduler whose workers shall do it.
    """
    from t2lib._parallel import scheduler
    from t2lib.data.curves import build

    with scheduler():
        paths = build(jobs=jobs)
    for path in paths:
        show(f"{path.stat().st_size:>9,} bytes  {path}")
