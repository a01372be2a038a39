"""Write this folder's simulated checkpoints anew: python data/example/generate.py [FOLDER].

No model was trained. Six sizes with four checkpoints each follow a known law: a Beta-consistent law
for each task, with 2 % scatter of a checkpoint's loss. So a fit of the example can be compared with
the truth. Files are in every form that ``t2lib.read_results`` takes: two runs as logs of the
lm-evaluation-harness, the others as a Parquet and a CSV table, and a runs file with N and D.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special

import t2lib as t2
from t2lib.passk import beta_a_from_mean_nll

SIZES = (1e7, 2e7, 4e7, 8e7, 1.6e8, 3.2e8)
TOKENS_PER_PARAMETER = (5, 20, 80, 320)
QUESTIONS = 80
SAMPLES = 32
SCATTER = 0.02
TRUTH = {
    "example_recall": t2.BetaConsistentLaw(t2.Chinchilla(0.6, 260.0, 420.0, 0.33, 0.29), 1.6, -0.3),
    "example_sums": t2.BetaConsistentLaw(t2.Chinchilla(0.4, 95.0, 300.0, 0.27, 0.28), 1.2, -0.2),
}
LOGS = ("example-40M-800M", "example-40M-3.2B")  # runs that are written as harness logs
DATE = "2025-01-01T00-00-00.000000"
COLOURS = ("red", "blue", "green", "grey")


def runs() -> dict[str, dict[str, float | str]]:
    """Name every checkpoint by its parameters and tokens."""
    found = {}
    for n_params in SIZES:
        for ratio in TOKENS_PER_PARAMETER:
            n_tokens = n_params * ratio
            model = f"example-{short(n_params)}"
            name = f"{model}-{short(n_tokens)}"
            found[name] = {"n_params": n_params, "n_tokens": n_tokens, "model": model}
    return found


def short(number: float) -> str:
    """Write 3.2e9 as 3.2B."""
    unit, letter = (1e9, "B") if number >= 1e9 else (1e6, "M")
    return f"{number / unit:g}{letter}"


def chances(task: str, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw every run's log p of every question; a hard question is hard for all runs."""
    law = TRUTH[task]
    difficulty = special.ndtri((np.arange(QUESTIONS) + 0.5) / QUESTIONS)
    found = {}
    for name, run in runs().items():
        loss = law.chinchilla.loss(run["n_params"], run["n_tokens"])
        loss *= np.exp(SCATTER * generator.standard_normal())
        b = np.exp(law.c0 + law.c1 * loss)
        a = beta_a_from_mean_nll(b, loss)
        own = generator.standard_normal(QUESTIONS)
        rank = special.ndtr(0.9 * difficulty + np.sqrt(1 - 0.9**2) * own)
        found[name] = np.log(special.betaincinv(a, b, rank))
    return found


def arguments(*pairs: tuple[str, object]) -> dict[str, dict[str, object]]:
    """Return requests as the harness logs them."""
    return {f"gen_args_{i}": {"arg_0": a, "arg_1": b} for i, (a, b) in enumerate(pairs)}


def recall_line(question: int, log_p: float, generator: np.random.Generator) -> dict[str, object]:
    """Write a multiple-choice line: the right answer's likelihood, and three others'."""
    right = question % len(COLOURS)
    logs = np.round(log_p - generator.normal(1.0, 1.5, len(COLOURS)), 4)
    logs = np.minimum(logs, -0.0001)
    logs[right] = log_p
    pairs = [[str(value), "False"] for value in logs.tolist()]
    text = f"The colour of object {question} is"
    return {
        "doc_id": question,
        "doc": {"object": question, "colour": right},
        "target": str(right),
        "arguments": arguments(*[(text, f" {colour}") for colour in COLOURS]),
        "resps": [[pair] for pair in pairs],
        "filtered_resps": pairs,
        "filter": "none",
        "metrics": ["acc"],
        "acc": float(np.argmax(logs) == right),
    }


def sums_line(question: int, n_correct: int, generator: np.random.Generator) -> dict[str, object]:
    """Write a generate-until line with its repeats, all of them scored."""
    left, right = question % 9 + 1, question // 9 + 1
    wrong = [str(left + right + 1 + extra) for extra in generator.integers(5, size=SAMPLES)]
    responses = generator.permutation([str(left + right)] * n_correct + wrong[n_correct:]).tolist()
    return {
        "doc_id": question,
        "doc": {"left": left, "right": right},
        "target": str(left + right),
        "arguments": arguments((f"{left} + {right} =", {"until": ["\n"], "temperature": 1.0})),
        "resps": [responses],
        "filtered_resps": [responses],
        "filter": "none",
        "metrics": ["exact_match"],
        "exact_match": n_correct / SAMPLES,
    }


def write(folder: Path) -> None:
    """Write all files into a folder."""
    generator = np.random.default_rng(20250101)
    log_p = {task: chances(task, generator) for task in TRUTH}
    nll = {}
    correct = {}
    for name in runs():
        nll[name] = np.maximum(np.round(-log_p["example_recall"][name], 4), 0.0001)
        correct[name] = generator.binomial(SAMPLES, np.exp(log_p["example_sums"][name]))
    question = np.arange(QUESTIONS)
    tabled = [name for name in runs() if name not in LOGS]
    base = {"model": np.repeat(tabled, QUESTIONS), "question": np.tile(question, len(tabled))}
    recall = pd.DataFrame(base).assign(
        task="example_recall", nll=np.concatenate([nll[name] for name in tabled])
    )
    sums = pd.DataFrame(base).assign(
        task="example_sums",
        n_samples=SAMPLES,
        n_correct=np.concatenate([correct[name] for name in tabled]),
    )
    recall.to_parquet(folder / "recall.parquet", index=False, compression="zstd")
    sums.to_csv(folder / "sums.csv", index=False)
    for name in LOGS:
        lines = [recall_line(i, -float(nll[name][i]), generator) for i in question.tolist()]
        write_log(folder / "logs" / name, "example_recall", lines)
        lines = [sums_line(i, int(correct[name][i]), generator) for i in question.tolist()]
        write_log(folder / "logs" / name, "example_sums", lines)
    rows = [
        f"  {name}: {{n_params: {run['n_params']:g}, n_tokens: {run['n_tokens']:g}, "
        f"model: {run['model']}}}\n"
        for name, run in runs().items()
    ]
    text = "# Simulated: no such models exist. See README.md.\nruns:\n" + "".join(rows)
    (folder / "runs.yml").write_text(text)


def write_log(folder: Path, task: str, lines: list[dict[str, object]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"samples_{task}_{DATE}.jsonl"
    log.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    results = folder / f"results_{DATE}.json"
    counted = json.loads(results.read_text())["n-samples"] if results.exists() else {}
    counted[task] = {"original": len(lines), "effective": len(lines)}
    results.write_text(json.dumps({"n-samples": counted}) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
