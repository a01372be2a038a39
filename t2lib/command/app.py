"""The command ``t2``: its commands put together, and every error made one line.

Exit codes: 0 all went well, 1 bad input or a request that cannot be met, 2 wrong usage, 3 something
that the command needs is not installed, 130 interrupted.
"""

from __future__ import annotations

import signal
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from t2lib._checks import DataErrors
from t2lib.command import data, fit, plan, runs, samples, testbed
from t2lib.command.shared import (
    BAD_INPUT,
    EXIT_CODES,
    INTERRUPTED,
    MISSING_PIECE,
    OK,
    USAGE,
    fail,
    fail_all,
    reason,
    say,
    show,
)

_PLAIN: dict[str, Any] = {"rich_markup_mode": None, "add_completion": False}
app = typer.Typer(epilog=EXIT_CODES, **_PLAIN)
app.command("fit", epilog=fit.EXAMPLES)(fit.command)
app.command("runs", epilog=runs.EXAMPLES)(runs.command)
app.command("plan", epilog=plan.EXAMPLES)(plan.command)
app.command("samples", epilog=samples.EXAMPLES)(samples.command)
app.add_typer(data.app, name="data")
app.add_typer(testbed.app, name="testbed")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code; errors are one line on stderr."""
    before = signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _say_warning
            code = int(app(arguments, prog_name="t2", standalone_mode=False) or OK)
        # Typer turns a KeyboardInterrupt into this code, without a word.
        return fail("interrupted; nothing was written", code) if code == INTERRUPTED else code
    except SystemExit:  # the way out when the reader of stdout, such as head, has seen enough
        return OK
    except ModuleNotFoundError as error:
        return fail(f"{error.name} is not installed: {error}", MISSING_PIECE)
    except DataErrors as error:
        return fail_all(error, BAD_INPUT)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        return fail(reason(error), BAD_INPUT)
    except Exception as error:
        # Typer's own errors have a base class that moved between its versions.
        if not hasattr(error, "format_message"):
            return fail(f"{type(error).__name__}: {error} (a fault of t2: please report it)", 1)
        return fail(f"{error.format_message()} (t2 --help, t2 COMMAND --help)", USAGE)
    finally:
        signal.signal(signal.SIGTERM, before)


def _as_interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"t2: warning: {message}")


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            show(f"t2 {version('t2lib')}")
        except PackageNotFoundError:  # run from a folder that was never installed
            show("t2, not installed")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Train-to-test scaling laws for your own checkpoints."""
