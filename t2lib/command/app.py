"""The command ``t2``, thin over the library: ``t2 fit``, ``t2 plan``, ``t2 data``.

Results go to stdout, everything else to stderr. Exit codes: 0 all went well, 1 bad input or a
request that cannot be met, 2 wrong usage, 3 something that the command needs is not installed,
130 interrupted.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from t2lib._checks import DataError
from t2lib.command import data
from t2lib.command.report import MissingPieceError, make_report, require_pieces

if TYPE_CHECKING:
    from t2lib.studies.suite_fits import SuiteFit

OK, BAD_INPUT, USAGE, MISSING_PIECE, INTERRUPTED = 0, 1, 2, 3, 130

_PLAIN: dict[str, Any] = {"rich_markup_mode": None, "add_completion": False}
_EXIT_CODES = """\b
Exit codes:
  0    all went well
  1    bad input, or a request that cannot be met
  2    wrong usage
  3    something that the command needs is not installed
  130  interrupted
"""
app = typer.Typer(epilog=_EXIT_CODES, **_PLAIN)
app.add_typer(data.app, name="data")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code; errors are one line on stderr."""
    before = signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        code = int(app(arguments, prog_name="t2", standalone_mode=False) or OK)
        # Typer turns a KeyboardInterrupt into this code, without a word.
        return _fail("interrupted; nothing was written", code) if code == INTERRUPTED else code
    except SystemExit:  # Typer's way out when the reader of stdout, such as head, has seen enough
        return OK
    except MissingPieceError as error:
        return _fail(error, MISSING_PIECE)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        return _fail(error or type(error).__name__, BAD_INPUT)
    except Exception as error:
        # Typer's own errors have a base class that moved between its versions.
        if not hasattr(error, "format_message"):
            return _fail(f"{type(error).__name__}: {error} (a fault of t2: please report it)", 1)
        return _fail(f"{error.format_message()} (t2 --help, t2 COMMAND --help)", USAGE)
    finally:
        signal.signal(signal.SIGTERM, before)


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _as_interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _fail(message: object, code: int) -> int:
    line = " ".join(str(message).split())
    print(f"t2: error: {line}", file=sys.stderr)
    return code


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            print(f"t2 {version('t2lib')}")
        except PackageNotFoundError:  # run from a folder that was never installed
            print("t2, not installed")
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


# ------------------------------------------------------------------------------------------ fit


@app.command(
    epilog=_examples(
        "t2 fit logs/ --runs runs.yml",
        "t2 fit logs/ --runs runs.yml -o gsm8k.html --task gsm8k --force",
        "t2 fit curves.csv --no-report --json - | jq '.tasks | keys'",
    )
)
def fit(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Files, or folders to walk.")],
    runs: Annotated[
        Path | None, typer.Option(help="YAML or CSV file of the runs' N, D and model.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The report.", show_default=True)
    ] = Path("report.html"),
    numbers: Annotated[
        str | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="The numbers; - for stdout. Default: the report's name with .json.",
        ),
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write the numbers only.")] = False,
    task: Annotated[
        list[str] | None, typer.Option(help="Fit this task only; may be given again.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out what cannot be read, and count it.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    n_bootstrap: Annotated[
        int, typer.Option(help="Resamples of models behind the intervals; 0 for none.")
    ] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resamples.")] = 0,
    cut_off: Annotated[
        float | None,
        typer.Option(
            help="Tokens per parameter above which checkpoints are held out for the "
            "out-of-sample check. Default: the most overtrained quarter."
        ),
    ] = None,
    train_flops: Annotated[
        float | None,
        typer.Option(help="Training budget of the plan. Default: the median 6 N D."),
    ] = None,
    inference_flops: Annotated[
        float | None,
        typer.Option(help="FLOPs per token of the answer. Default: 2 N of the largest model."),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes; -1 for one a core.")] = -1,
) -> None:
    """Fit every law to your checkpoints and write a report.

    Reads logs of the lm-evaluation-harness (--log_samples), and CSV, Parquet or JSON Lines tables
    of questions or of curves. Writes one HTML file, and the numbers as JSON beside it.
    """
    from t2lib.evals.importers import read_results
    from t2lib.studies.suite_fits import fit_suite

    targets = _targets(None if no_report else output, numbers, force)
    if not no_report:
        require_pieces()
    with _progress() as step:
        results = read_results(
            paths, runs=runs, skip_bad=skip_bad, n_jobs=jobs, progress=sys.stderr.isatty()
        )
        suite_fit = fit_suite(
            results.curves,
            counts=results.counts,
            tasks=task or None,
            n_bootstrap=n_bootstrap,
            seed=seed,
            cut_off=cut_off,
            train_flops=train_flops,
            inference_flops=inference_flops,
            n_jobs=jobs,
            on_step=lambda name, done, total: step(f"fitting {name}", done, total),
        )
        source = {
            "files": results.files,
            "skipped": list(results.skipped),
            "notes": list(getattr(results, "notes", [])),
        }
        suite_fit = replace(suite_fit, numbers=suite_fit.numbers | {"source": source})
        texts = {targets["numbers"]: suite_fit.text()}
        if targets["report"]:
            texts[targets["report"]] = _report(results.curves, suite_fit, step)
    _write_all({path: text for path, text in texts.items() if path}, force)
    if targets["numbers"] is None:
        print(suite_fit.text(), end="")
    _tell_results(suite_fit, [str(path) for path in texts if path])


def _targets(report: Path | None, numbers: str | None, force: bool) -> dict[str, Path | None]:
    """Where to write, checked before any work is done; None for the numbers is stdout."""
    if report is not None:
        _refuse_overwriting(report, force)
    if numbers == "-":
        target = None
    elif numbers is not None or report is None:
        target = Path(numbers or "report.json")
    else:
        target = report.with_suffix(".json")
    if report is not None and target == report:
        raise DataError(f"{report}: the report and the numbers need two names")
    if target is not None:
        _refuse_overwriting(target, force)
    return {"report": report, "numbers": target}


def _refuse_overwriting(path: Path, force: bool) -> None:
    if path.is_dir():
        raise DataError(f"{path}: is a folder")
    if path.exists() and not force:
        raise DataError(f"{path}: is there already; --force overwrites it")
    if not path.parent.is_dir():
        raise DataError(f"{path.parent}: no such folder")


def _report(curves: Any, suite_fit: SuiteFit, step: Callable[[str, int, int], None]) -> str:
    with tempfile.TemporaryDirectory(prefix="t2-fit-") as folder:
        table, numbers = Path(folder) / "curves.parquet", Path(folder) / "numbers.json"
        curves.to_parquet(table, index=False)
        numbers.write_text(suite_fit.text(), encoding="utf-8")
        return make_report(table, numbers, on_step=lambda done, total: step("report", done, total))


def _write_all(texts: dict[Path, str], force: bool) -> None:
    """Write every file beside its place, then put all in place: whole files or none."""
    drafts: dict[Path, Path] = {}
    try:
        for path, text in texts.items():
            with tempfile.NamedTemporaryFile(
                "w", dir=path.parent, prefix=f".{path.name}-", delete=False, encoding="utf-8"
            ) as file:
                drafts[path] = Path(file.name)
                file.write(text)
            drafts[path].chmod(0o644)
        for path in drafts:
            _refuse_overwriting(path, force)  # it may have come while the laws were fitted
        for path, draft in list(drafts.items()):
            draft.replace(path)
            del drafts[path]
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def _tell_results(suite_fit: SuiteFit, written: list[str]) -> None:
    skipped = suite_fit.numbers["source"]["skipped"]
    for line in skipped:
        _say(f"skipped: {line}")
    if skipped:
        _say(f"{len(skipped)} skipped")
    for task, reason in suite_fit.numbers["not_fitted"].items():
        _say(f"not fitted: {task}: {reason}")
    for task in suite_fit.tasks:
        for warning in suite_fit.task(task)["warnings"]:
            _say(f"{task}: {warning}")
        if reason := suite_fit.task(task)["no_plan"]:
            _say(f"{task}: {reason}")
        for name, law in suite_fit.task(task)["laws"].items():
            if "error" in law:
                _say(f"not fitted: {task}, {name}: {law['error']}")
            elif law.get("failed", {}).get("number"):
                failed = law["failed"]
                _say(
                    f"{task}, {name}: {failed['number']} resamples could not be fitted; "
                    f"the first: {failed['first']}"
                )
    for path in written:
        print(path)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that moves a bar on stderr; without a terminal it does nothing."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress
    from rich.text import Text

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=None, visible=False)

        def step(what: str, done: int, total: int) -> None:
            name = Text(what).plain.replace("[", r"\[")  # a task's name is no markup
            progress.update(bar, description=name, completed=done, total=total, visible=True)

        yield step


# ----------------------------------------------------------------------------------------- plan


@app.command(
    epilog=_examples(
        "t2 plan report.json --train-flops 1e22 --inference-flops 2e10",
        "t2 plan --task arce --total-flops 1e22 --queries 1e9 --prompt-tokens 500",
        "t2 plan --task arce --target 0.5 --queries 1e9 --max-k 16 --json",
    )
)
def plan(
    fitted: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Numbers that t2 fit wrote.")
    ] = None,
    suite: Annotated[
        str, typer.Option(help="Without FILE: the embedded suite, gemstones or pythia.")
    ] = "gemstones",
    task: Annotated[
        str | None, typer.Option(help="Task to plan for; needed where there are several.")
    ] = None,
    law: Annotated[
        str | None, typer.Option(help="Law to ask, by its class name. Default: the best one.")
    ] = None,
    train_flops: Annotated[float | None, typer.Option(help="Training budget.")] = None,
    inference_flops: Annotated[
        float | None, typer.Option(help="Budget of one query, beside --train-flops.")
    ] = None,
    total_flops: Annotated[
        float | None, typer.Option(help="One budget for training and all queries.")
    ] = None,
    queries: Annotated[float | None, typer.Option(help="Queries over the model's life.")] = None,
    prompt_tokens: Annotated[float, typer.Option(help="Tokens of a prompt.")] = 0.0,
    answer_tokens: Annotated[float, typer.Option(help="Tokens of one sampled answer.")] = 1.0,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Samples do not share the prompt's cache.")
    ] = False,
    target: Annotated[
        float | None, typer.Option(help="Cheapest plan that reaches this metric, without a budget.")
    ] = None,
    min_params: Annotated[float | None, typer.Option(help="Smallest N allowed.")] = None,
    max_params: Annotated[float | None, typer.Option(help="Largest N allowed (memory).")] = None,
    max_k: Annotated[float | None, typer.Option(help="Most samples allowed (latency).")] = None,
    unique_tokens: Annotated[
        float | None, typer.Option(help="Stock of unique tokens; repeated ones are worth less.")
    ] = None,
    verifier: Annotated[
        float, typer.Option(help="Chance that the right one among several samples is found.")
    ] = 1.0,
    draws: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Resamples of the fit behind the range of the answer. Default: 10, with "
            "--target none.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Answer a budget: how large a model, how many tokens, how many samples."""
    from t2lib.command.plan import answer, from_file, from_suite
    from t2lib.planning.costs import CostModel

    # Without prompt and answer the query is a token, and the paper's own terms are shown.
    a_token = (prompt_tokens, answer_tokens, no_cache) == (0.0, 1.0, False)
    found = answer(
        from_file(fitted, task, law) if fitted else from_suite(suite, task, law),
        draws=draws,
        target=target,
        train_flops=train_flops,
        inference_flops=inference_flops,
        total_flops=total_flops,
        queries=queries,
        cost=None if a_token else CostModel(prompt_tokens, answer_tokens, not no_cache),
        n_range=(min_params, max_params),
        max_k=max_k,
        unique_tokens=unique_tokens,
        verifier=verifier,
    )
    print(json.dumps(found.numbers(), indent=1, allow_nan=False) if as_json else found.text())
