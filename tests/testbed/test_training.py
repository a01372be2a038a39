"""Training: resumed to the bit, refused where files are wrong, the tiny preset as recorded."""

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from at_hand import ROOT

from t2lib._checks import DataError
from t2lib.command.app import main
from t2lib.testbed import files, finetune, grid, results, score, variants
from t2lib.testbed.corpus import FAMILIES
from t2lib.testbed.presets import (
    CHUNK,
    PRESETS,
    Run,
    budget,
    checkpoint_grid,
    preset,
    train_flops,
)
from t2lib.testbed.train import State

SMALL = Run(8, 3, 2**17 + 2 * CHUNK)
# Nats. Other processors round otherwise, and training magnifies it: of 250 checkpoints that were
# trained on two processors, none differs by more than 0.04.
TOLERANCE = 0.05

KILLED = f"""
import os, pathlib, signal, sys
from t2lib.testbed import grid, presets
sync, calls = os.fsync, []
def fsync(file):
    calls.append(file)
    os.kill(os.getpid(), signal.SIGKILL) if len(calls) == 6 else sync(file)
os.fsync, grid.SAVE_SECONDS = fsync, 0.0
grid.train_all(pathlib.Path(sys.argv[1]), [presets.Run(8, 3, {SMALL.tokens})], n_samples=10)
"""


def train(folder, run=SMALL):
    grid.train_all(folder, [run], n_samples=10)
    return files.load(folder / run.name / f"d{run.tokens:010d}.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, *train(folder)


def test_a_killed_run_goes_on_to_the_bit(whole, tmp_path):
    """The child kills itself in the middle of writing its sixth file, a state.

    It compiles for itself, as on another machine; what this process compiled has the same bits.
    """
    alone = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    child = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "r")], env=alone)
    assert child.returncode == -signal.SIGKILL
    state = tmp_path / "r" / SMALL.name / "state.safetensors"
    assert files.load(state)[1]["tokens"] == 4 * CHUNK
    arrays, facts = train(tmp_path / "r")
    _, expected, about = whole
    assert facts["sha256"] == about["sha256"]
    assert facts["loss"] == about["loss"]
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_what_is_done_is_not_done_again(whole):
    folder = whole[0]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    train(folder)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}


def test_unique_tokens_repeat():
    state = State(Run(8, 0, 2 * CHUNK, unique=CHUNK))
    again = State(Run(8, 0, 2 * CHUNK))
    for one in (state, again):
        one.advance()
    same = [np.array_equal(state.arrays()[n], a) for n, a in again.arrays().items()]
    assert all(same)
    for one in (state, again):
        one.advance()
    assert not np.array_equal(*(one.arrays()["['weights']['head']"] for one in (state, again)))


def test_the_tiny_preset_as_recorded(tmp_path):
    """Trains, varies and collects the tiny preset; the record is the laptop preset's, which agrees.

    Every run of the tiny preset but the wall's is the beginning of one of the laptop's.
    """
    recorded = json.loads((results.DATA / "language.json").read_text())
    losses = pd.read_parquet(results.DATA / "losses.parquet")
    folder, target = str(tmp_path / "r"), tmp_path / "tables"
    for command in ("train", "vary"):
        assert main(["testbed", command, "--preset", "tiny", "--folder", folder]) == 0
    assert variants.vary_all(tmp_path / "r", PRESETS["tiny"]) == 0  # nothing left to do
    assert main(["testbed", "collect", "--folder", folder, "--target", str(target)]) == 0
    facts = json.loads((target / "experiment" / "language.json").read_text())
    assert facts["corpus"] == recorded["corpus"]
    # A processor's exponential may differ in the last bit.
    assert facts["guess_levels"] == pytest.approx(recorded["guess_levels"], rel=1e-12)
    found = pd.read_parquet(target / "experiment" / "losses.parquet")
    assert set(found["unique"]) == {0, 2**17}
    judged = found[found["unique"] == 0].merge(losses, on=["model", "n_tokens"], how="left")
    assert set(judged["width_x"]) == {8, 16, 32}
    np.testing.assert_allclose(judged["loss_x"], judged["loss_y"], atol=TOLERANCE)


def test_variants_of_a_checkpoint(whole, tmp_path):
    """At temperature 1 nothing changes; cold sampling sharpens; fine-tuning learns the format."""
    weights = {n.removeprefix("weights."): a for n, a in whole[1].items() if n.startswith("w")}
    plain, cold = variants.nll_at(weights, (1.0, 0.5))
    np.testing.assert_allclose(plain, whole[1]["nll"], rtol=2e-5)
    assert cold.std() > plain.std()
    path = tmp_path / "d0000000001.safetensors"
    files.save(path, whole[1], whole[2])
    variants.vary(path)
    found = files.load(variants.target(path))[0]
    assert set(found) == {"tuned=no", *variants.TUNED} | {
        f"temperature={t:g}" for t in variants.TEMPERATURES
    }
    for name in variants.TUNED:
        assert found[name].mean() < found["tuned=no"].mean() - 0.1
    with pytest.raises(DataError, match="no checkpoints to vary"):
        variants.vary_all(tmp_path, PRESETS["tiny"])


def test_the_book_says_how_many_runs_there_are():
    text = (ROOT / "book/rerun.md").read_text()
    said = re.findall(
        r"^make (?:testbed|chosen|further).*?(\d+) (?:small )?runs", text, re.MULTILINE
    )
    assert [int(n) for n in said] == [len(preset_.runs()) for preset_ in PRESETS.values()]


def test_what_the_chosen_sizes_score(tmp_path, capsys):
    """Only at the budgets that they were named for; losses at every checkpoint."""
    folder, target = tmp_path / "r", tmp_path / "tables"
    grid_ = checkpoint_grid(60, PRESETS["chosen"].runs()[-1].tokens)
    random = np.random.default_rng(0)
    p = random.beta(1, 3, (4, 512))
    for tokens in grid_[-4:]:
        arrays = {"nll": -np.log(p).astype(np.float32)}
        arrays["correct"] = random.binomial(1000, p).astype(np.int32)
        losses = {f"loss_{family}": 1.0 for family in FAMILIES}
        facts = Run(60, 1, tokens).facts() | {"tokens": tokens, "n_samples": 1000, "code": "c"}
        facts |= {"corpus": grid.corpus_hash(), "loss": 1.5, **losses}
        files.save(folder / "w0060-s1" / f"d{tokens:010d}.safetensors", arrays, facts)
    command = ["testbed", "collect", "--preset", "chosen"]
    command += ["--folder", str(folder), "--target", str(target)]
    assert main(command) == 0
    found = pd.read_parquet(target / "experiment" / "chosen.parquet")
    assert sorted(found["budget"].unique()) == [2.56e12, 5.12e12]
    assert sorted(found["n_tokens"].unique()) == [grid_[-3], grid_[-1]]
    causal = found[(found["family"] == "causal") & (found["n_tokens"] == grid_[-1])].set_index("k")
    expected = 1 - (1 - p[FAMILIES.index("causal")]) ** 16
    assert causal.loc[16, "pass_at_k"] == pytest.approx(expected.mean(), rel=1e-5)
    assert causal.loc[16, "sampled"] == pytest.approx(expected.mean(), rel=0.02)
    assert causal["sampled"].notna().tolist() == (causal.index <= 1000).tolist()
    table = pd.read_parquet(target / "experiment" / "chosen_losses.parquet")
    assert table["n_tokens"].tolist() == grid_[-4:]
    for tokens in (grid_[-3], grid_[-1]):
        (folder / "w0060-s1" / f"d{tokens:010d}.safetensors").unlink()
    assert main(command) == 1
    assert "no checkpoints at 2.56e+12 or 5.12e+12 FLOPs" in capsys.readouterr().err


def test_every_size_has_a_checkpoint_at_every_budget():
    for preset_ in PRESETS.values():
        for run in preset_.runs():
            grid_ = checkpoint_grid(run.width, run.tokens)
            assert run.tokens == grid_[-1]
            budgets = [budget(run.width, tokens) for tokens in grid_]
            np.testing.assert_allclose(np.diff(np.log2(budgets)), 0.5)
            exact = np.array(budgets) / train_flops(run.width, 1)
            assert np.abs(exact - grid_).max() <= CHUNK / 2 + 1
    for run in PRESETS["further"].runs():
        kept = [budget(run.width, tokens) for tokens in run.checkpoints()]
        np.testing.assert_allclose(kept, PRESETS["further"].budgets)
    small = preset("laptop", 1.28e12)
    assert max(train_flops(run.width, run.tokens) for run in small.runs()) < 1.35e12
    with pytest.raises(DataError, match=r"1e\+06 FLOPs: too few for a checkpoint of any size"):
        preset("tiny", 1e6).runs()


def test_fine_tuning_learns_the_format(whole):
    weights = {n.removeprefix("weights."): a for n, a in whole[1].items() if n.startswith("w")}
    text = finetune.corpus.documents(1, 0, 512, asked=1)
    answers = finetune._is_answer(text)
    assert set(answers.sum(axis=1)) == {4, 6}
    for way, counted in ((False, np.ones_like(answers)), (True, answers)):
        tuned = finetune.tuned(weights, answers_only=way, steps=60)
        before, after = (
            -np.asarray(score._log_p(w, text))[counted[:, 1:]] for w in (weights, tuned)
        )
        assert after.mean() < before.mean() - 0.1


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: preset("huge"),
            "no preset named 'huge': want one of tiny, laptop, chosen, further",
        ),
        (lambda: Run(7, 0, CHUNK), "width 7: want even heads, 8 to 1024"),
        (lambda: Run(9, 0, CHUNK), "width 9: want even heads"),
        (lambda: Run(8, -1, CHUNK), "seed -1: want 0 to 999"),
        (lambda: Run(8, 0, 1000), "tokens 1000: want a multiple of 16384"),
    ],
)
def test_what_is_no_run(make, message):
    with pytest.raises(DataError, match=message):
        make()


def test_a_folder_of_another_language(whole, tmp_path, capsys):
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "testbed.json").write_text('{"corpus": "abcdef"}')
    arguments = ["testbed", "train", "--preset", "tiny", "--folder"]
    assert main([*arguments, str(folder)]) == 1
    assert "results of another language, abcdef, this is" in capsys.readouterr().err
    (folder / "testbed.json").write_text("[")
    assert main([*arguments, str(folder)]) == 1
    (folder / "testbed.json").rename(folder / "thesis.txt")
    assert main([*arguments, str(folder)]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "damaged" in errors[0]
    assert "it holds other files" in errors[1]
    assert main([*arguments, str(tmp_path / "n"), "--width", "9"]) == 1
    assert "width 9: not in preset tiny, which has [8," in capsys.readouterr().err
    assert main(["testbed", "collect", "--folder", str(folder)]) == 1
    assert "no checkpoints" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["cut", "changed", "text"])
def test_a_damaged_checkpoint(change, whole, tmp_path):
    path = tmp_path / "state.safetensors"
    content = bytearray((whole[0] / SMALL.name / "state.safetensors").read_bytes())
    if change == "cut":
        del content[len(content) // 2 :]
    elif change == "changed":
        content[-100] ^= 1
    path.write_bytes(b"no arrays" if change == "text" else content)
    with pytest.raises(DataError, match=r"state.safetensors: damaged .*; remove it"):
        files.load(path)


def test_a_full_disk_costs_nothing(whole, tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    files.save(path, {"x": np.arange(3)}, {})

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"a.safetensors: cannot be written: No space left"):
        files.save(path, {"x": np.arange(4)}, {})
    assert files.load(path)[0]["x"].tolist() == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [path]
