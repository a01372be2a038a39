"""Logs of other tools than the lm-evaluation-harness, in each tool's own form, for the tests."""

import json

RUNS = {"small-2B": {"n_params": 160e6, "n_tokens": "2B", "model": "small"}}


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def counts_of(results, task):
    """n and c of a task's questions, as lists."""
    rows = results.counts[results.counts["task"] == task]
    return rows["n_samples"].tolist(), rows["n_correct"].tolist()
