"""``t2 fit``: every law fitted to your checkpoints, as numbers and as a report."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from t2lib._checks import DataError, counted
from t2lib.command.shared import (
    examples,
    identities,
    progress,
    refuse_overwriting,
    say,
    show,
    write_all,
)

if TYPE_CHECKING:
    from t2lib.evals.importers import ImportedResults
    from t2lib.studies.suite_fits import SuiteFit

EXAMPLES = examples(
    "t2 fit logs/ --runs runs.yml",
    "t2 fit logs/ --runs runs.yml -o gsm8k.html --task gsm8k --force",
    "t2 fit logs/ --variant 0shot --pool code='humaneval*,mbpp*' --min-samples 16",
    "t2 fit curves.csv --no-report --json - | jq '.tasks | keys'",
)


def command(
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
    metric: Annotated[
        str, typer.Option(help="Logged value that says which generated answers are right.")
    ] = "",
    filter_name: Annotated[
        str, typer.Option("--filter", help="Filter of the harness to take; each is a task else.")
    ] = "",
    variant: Annotated[
        str, typer.Option(metavar="FOLDER", help="Read logs in folders of this name only: 0shot.")
    ] = "",
    min_samples: Annotated[
        int, typer.Option(min=1, help="Leave out questions with fewer samples, and count them.")
    ] = 1,
    mix: Annotated[
        bool,
        typer.Option("--mix", help="Fit checkpoints together that answered not quite the same."),
    ] = False,
    pool: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATTERN", help="Join tasks, mmlu=mmlu_*; may be given again."),
    ] = None,
    no_pool: Annotated[
        bool, typer.Option("--no-pool", help="Keep the tasks of a group, as mmlu, apart.")
    ] = False,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=COLUMN,...",
            help="A table's own names: question=task_id,correct=passed,n=num_samples.",
        ),
    ] = None,
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

    Reads logs of the lm-evaluation-harness (--log_samples), human-eval, EvalPlus, bigcode,
    inspect_ai, lighteval, OLMES, HELM and Large Language Monkeys, and CSV, Parquet or JSON Lines
    tables of questions or of curves. Writes one HTML file, and the numbers as JSON beside it.
    Checkpoints that answered other questions than most of their task, or under other settings, are
    named and left out (--mix keeps them). Tasks of a group, as mmlu, are joined (--no-pool).
    T2LIB_SCHEDULER names a Dask scheduler whose workers, which must see the files, shall do it.
    """
    from t2lib._parallel import scheduler
    from t2lib.evals.importers import read_results

    targets = _targets(None if no_report else output, numbers, force)
    with scheduler(), progress() as step:
        results = read_results(
            paths,
            runs=runs,
            skip_bad=skip_bad,
            n_jobs=jobs,
            progress=sys.stderr.isatty(),
            tasks=task or (),
            metric=metric,
            filter=filter_name,
            variant=variant,
            min_samples=min_samples,
            mix=mix,
            pool=_pools(pool or []),
            pool_groups=not no_pool,
            columns=columns,
        )
        inputs = identities(results.inputs)
        for target in filter(None, targets.values()):
            refuse_overwriting(target, force, inputs)
        _tell_source(results)  # now: no law may fit, and these may say why
        from t2lib.studies.suite_fits import fit_suite  # now: what cannot be read is told sooner

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
            "notes": list(results.notes),
            "left_out": list(results.left_out),
        }
        suite_fit = replace(suite_fit, numbers=suite_fit.numbers | {"source": source})
        texts = {targets["numbers"]: suite_fit.text()}
        if targets["report"]:
            from t2lib.command.report import make_report  # it loads what draws

            texts[targets["report"]] = make_report(
                results.curves,
                suite_fit,
                on_step=lambda done, total: step("report", done, total),
            )
    write_all({path: text for path, text in texts.items() if path}, force, inputs)
    if targets["numbers"] is None:
        show(suite_fit.text(), end="")
    _tell_results(suite_fit)
    tell = show if targets["numbers"] else say
    for path in filter(None, texts):
        show(str(path))
    warned = {task: len(suite_fit.task(task)["warnings"]) for task in suite_fit.tasks}
    for name, sentence in zip(suite_fit.tasks, _sentences(suite_fit), strict=True):
        tell(f"{sentence} Take care: see the warnings." if warned[name] else sentence)
    rows = results.curves[results.curves["task"].isin(suite_fit.tasks)]
    counts = [
        counted(len(rows.drop_duplicates(["model", "n_params", "n_tokens"])), "checkpoint"),
        counted(len(suite_fit.tasks), "task"),
        counted(len(results.notes), "note"),
        counted(sum(warned.values()), "warning"),
    ]
    counts += [f"{len(results.skipped)} skipped"] * bool(results.skipped)
    tell(f"{counts[0]} of {', '.join(counts[1:])}")


def _pools(given: list[str]) -> dict[str, list[str]]:
    """Return the patterns of each pool, from NAME=PATTERN."""
    found: dict[str, list[str]] = {}
    for one in given:
        name, _, patterns = one.partition("=")
        found.setdefault(name, []).extend(patterns.split(","))
    return found


def _sentences(suite_fit: SuiteFit) -> list[str]:
    from t2lib.studies.suite_tables import sentences  # it loads what draws

    return sentences(suite_fit)


def _targets(report: Path | None, numbers: str | None, force: bool) -> dict[str, Path | None]:
    """Where to write, checked before any work is done; None for the numbers is stdout."""
    if report is not None:
        refuse_overwriting(report, force)
    if numbers == "-":
        target = None
    elif numbers is not None or report is None:
        target = Path(numbers or "report.json")
    else:
        target = report.with_suffix(".json")
    if report and target and _place(report) == _place(target):
        raise DataError(f"{report}: the report and the numbers need two names")
    if target is not None:
        refuse_overwriting(target, force)
    return {"report": report, "numbers": target}


def _place(path: Path) -> Path:
    return path.parent.resolve() / path.name


def _tell_source(results: ImportedResults) -> None:
    for note in results.notes:
        say(f"note: {note}")
    for line in results.skipped:
        say(f"skipped: {line}")
    if results.skipped:
        say(f"{len(results.skipped)} skipped")


def _tell_results(suite_fit: SuiteFit) -> None:
    for task, reason in suite_fit.numbers["not_fitted"].items():
        say(f"not fitted: {task}: {reason}")
    for task in suite_fit.tasks:
        for warning in suite_fit.task(task)["warnings"]:
            say(f"{task}: {warning}")
        if reason := suite_fit.task(task)["no_plan"]:
            say(f"{task}: {reason}")
        for name, law in suite_fit.task(task)["laws"].items():
            if "error" in law:
                say(f"not fitted: {task}, {name}: {law['error']}")
            elif law.get("failed", {}).get("number"):
                failed = law["failed"]
                say(
                    f"{task}, {name}: {failed['number']} resamples could not be fitted; "
                    f"the first: {failed['first']}"
                )
