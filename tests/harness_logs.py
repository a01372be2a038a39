"""Logs and tables as teams have them, for the tests of the importers."""

import json

import numpy as np
import pandas as pd

DATE = "2025-03-01T12-00-00.123456"
RUNS = {"run1": {"n_params": 1.2e9, "n_tokens": "20B"}}
LETTERS = "ABCDEFG"


def arguments(pairs):
    """The log's form of the requests: gen_args_0, gen_args_1, ..."""
    return {
        f"gen_args_{i}": {f"arg_{j}": value for j, value in enumerate(pair)}
        for i, pair in enumerate(pairs)
    }


def choice_row(question, logs, right, **changes):
    """A multiple-choice line as the harness writes it: numbers as text, target as a number."""
    names = [f"{LETTERS[i]}-{question}" for i in range(len(logs))]
    pairs = [[str(value), "False"] for value in logs]
    row = {
        "doc_id": question,
        "doc": {"question": "?", "choices": names, "answer": right},
        "target": str(right),
        "arguments": arguments([(f"Q: {question}\nA:", f" {name}") for name in names]),
        "resps": [[pair] for pair in pairs],
        "filtered_resps": pairs,
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        "doc_hash": "d",
        "acc": float(np.argmax(logs) == right),
        "acc_norm": 0.0,
    }
    return row | changes


def sample_row(question, responses, share, **changes):
    """A generate-until line behind the filter take_first_k: every response is scored."""
    row = {
        "doc_id": question,
        "doc": {"question": "6 x 7", "answer": "42"},
        "target": "42",
        "arguments": arguments([("6 x 7 =", {"until": ["\n"], "do_sample": True})]),
        "resps": [responses],
        "filtered_resps": [responses],
        "filter": "none",
        "metrics": ["exact_match"],
        "exact_match": share,
    }
    return row | changes


def write_log(folder, rows, task="arc_easy", date=DATE, results=None):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"samples_{task}_{date}.jsonl"
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")
    if results is not None:
        (folder / f"results_{date}.json").write_text(json.dumps(results))
    return path


def choice_rows(n, seed=0, choices=4):
    generator = np.random.default_rng(seed)
    logs = -generator.gamma(2.0, 2.0, (n, choices))
    right = generator.integers(choices, size=n)
    rows = [choice_row(i, logs[i].tolist(), int(right[i])) for i in range(n)]
    return rows, -logs[np.arange(n), right]


def sample_rows(counts, n):
    return [
        sample_row(i, ["42"] * int(c) + ["41"] * (n - int(c)), int(c) / n)
        for i, c in enumerate(counts)
    ]


def question_table(n=12, models=("small", "large"), counts=False):
    generator = np.random.default_rng(3)
    rows = [
        {"suite": "mine", "model": model, "task": task, "n_params": 1e8 * (i + 1), "n_tokens": 2e9}
        | {"question": question}
        for i, model in enumerate(models)
        for task in ("maths", "<b>words</b>")
        for question in range(n)
    ]
    table = pd.DataFrame(rows)
    if counts:
        return table.assign(n_samples=16, n_correct=generator.integers(0, 17, len(table)))
    return table.assign(nll=generator.gamma(2.0, 1.0, len(table)))


def write_table(table, path):
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_json(path, orient="records", lines=True, double_precision=15)
    return path
