"""The embedded data: what is committed, that it is consistent, and that it can be rebuilt."""

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from t2lib._checks import DataError
from t2lib.data import curves, downloads, registry
from t2lib.data.layouts import PYTHIA_PARAMS, Likelihoods, Samples, common_questions
from t2lib.data.suites import SUITES, load_questions
from t2lib.data.tables import whole_parquet
from t2lib.passk import neg_log_pass_from_nll, pass_at_k, pass_at_k_from_nll

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"
CHECKPOINT = ["suite", "model", "task", "n_params", "n_tokens"]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Embedded tables must not need a mirror."""
    for name in ("T2LIB_MIRROR", "T2LIB_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def real_mirror(offline, released, monkeypatch):
    monkeypatch.setenv("T2LIB_MIRROR", str(released))


# --- what is committed ----------------------------------------------------------------------------


def test_sizes():
    built = sum(path.stat().st_size for path in (DATA / "curves").iterdir())
    assert built < 5 * 2**20
    everything = sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file())
    assert everything < 16 * 2**20


def test_no_released_file_is_committed():
    known = {row.sha256 for row in registry.expand()}
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        # An archive of the repository has no index that could hold a released file.
        pytest.skip("not a git checkout")
    for name in tracked.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            digest = downloads._sha256(ROOT / name)
            assert digest not in known, f"{name} is a released file"


def test_registry_is_small_and_whole():
    assert (DATA / "registry.csv").stat().st_size < 20_000
    manifests = sum(path.stat().st_size for path in (DATA / "manifests").iterdir())
    assert manifests < 300_000
    table = registry.registry().set_index("name")
    # Nine upstream files a checkpoint: eight tasks and MMLU. 46 converted tables and Porian's.
    assert table["files"].to_dict() == dict.fromkeys(table.index, 1) | {
        "gemstones_json": 9 * 770,
        "gadre_models": 104,
    }
    converted = table["repository"] == ""
    assert converted.sum() == 8 + 38 + 1
    files = pd.DataFrame(registry.expand())
    assert len(files) == table["files"].sum()
    assert files["name"].is_unique
    assert not files.duplicated(["repository", "commit", "path"]).any()
    assert not files["path"].str.contains("[{}]").any()
    assert files["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    converted = files["repository"] == ""
    assert (files["path"].str.startswith("converted/") == converted).all()
    assert files.loc[~converted, "commit"].str.fullmatch("[0-9a-f]{40}").all()
    keys = (ROOT / "book/references.bib").read_text()
    citations = set(table["citation"]) | {suite.citation for suite in SUITES.values()}
    assert all(f"{{{key}," in keys for key in citations)


def test_every_suite_has_its_files():
    """Every task can be read: as a converted table or upstream's files, or both."""
    gemstones = SUITES["gemstones"]
    for task in (*gemstones.tasks, *gemstones.more_tasks):
        assert registry.expand(f"gemstones_nll_{task}")
        assert len(registry.expand(f"gemstones_json/{task.split('_')[0]}")) == 770
    for suite in SUITES.values():
        assert registry.expand(*suite.released)
        assert set(suite.kinds) <= {"likelihoods", "samples"}


# Multiple-choice accuracies, which no chapter uses.
UNUSED = ("light_eval_df.parquet", "evaluation_")


def test_registry_describes_the_mirror(released, real_mirror):
    paths = {registry.local_path(row) for row in registry.expand()} - {None}  # or it differs
    wanted = {
        path
        for path in released.rglob("*")
        if path.is_file()
        and path.parent != released
        and not path.name.startswith(("LICENSE", *UNUSED))
    }
    assert {path.resolve() for path in wanted} <= {path.resolve() for path in paths}


@pytest.mark.parametrize("change", ["damaged", "gone"])
def test_a_manifest_is_verified_before_use(change, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    (folder / "manifests").mkdir(parents=True)
    for name in ("registry.csv", "manifests/gadre_models.parquet"):
        (folder / name).write_bytes((DATA / name).read_bytes())
    monkeypatch.setenv("T2LIB_DATA", str(folder))
    assert len(registry.expand("gadre_models")) == 104
    manifest = folder / "manifests/gadre_models.parquet"
    content = bytearray(manifest.read_bytes())
    manifest.unlink()
    if change == "damaged":
        content[len(content) // 2] ^= 1
        manifest.write_bytes(content)
    registry._files_of.cache_clear()
    message = {"damaged": "damaged: expected sha256", "gone": "no such manifest"}[change]
    with pytest.raises(registry.FetchError, match=f"gadre_models.parquet: {message}"):
        registry.expand("gadre_models")
    assert registry.expand("pythia_gsm8k")  # needs no manifest


def test_a_subject_of_mmlu(real_mirror):
    table = load_questions("gemstones", "mmlu_formal_logic")
    assert table["question"].nunique() == 126
    assert len(table) == 770 * 126
    assert set(table["task"]) == {"mmlu_formal_logic"}


def test_every_table_is_described():
    text = (DATA / "README.md").read_text()
    for path in DATA.rglob("*"):
        if path.suffix in (".csv", ".parquet"):
            names = (path.name, f"`{path.stem}`", f"`{path.stem}/")
            assert any(name in text for name in names), path
    tables = [curves.load_curves("pythia"), curves.load_histograms("pythia")]
    tables += [curves.load_published(path.stem) for path in (DATA / "published").glob("*.csv")]
    for column in {column for table in tables for column in table.columns}:
        assert f"`{column}`" in text, column


# --- the curves -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_curves_are_curves(suite):
    table = curves.load_curves(suite)
    assert list(table.columns) == [
        *CHECKPOINT,
        *["k", "n_questions", "pass_at_k", "neg_log_pass", "mean_nll"],
    ]
    assert set(table["task"]) == set(SUITES[suite].tasks)
    of = table.groupby(CHECKPOINT)
    assert (of["n_questions"].transform("first") == table["n_questions"]).all()
    assert (of["k"].first() == 1).all()
    assert (of["k"].diff().dropna() > 0).all()
    assert (of["pass_at_k"].diff().dropna() >= -1e-15).all()


def test_gemstones_curves():
    table = curves.load_curves("gemstones")
    assert table.groupby("task").size().to_dict() == dict.fromkeys(
        SUITES["gemstones"].tasks, 770 * 17
    )
    assert sorted(table["k"].unique()) == [2**j for j in range(17)]
    first = table[table["k"] == 1]
    np.testing.assert_allclose(first["neg_log_pass"], first["mean_nll"], rtol=1e-12)
    assert (table["neg_log_pass"] >= -np.log(table["pass_at_k"]) - 1e-12).all()  # Jensen


def test_pythia_curves():
    table = curves.load_curves("pythia")
    assert table["neg_log_pass"].isna().all()
    assert table["mean_nll"].isna().all()
    checkpoints = table.drop_duplicates(CHECKPOINT)
    assert checkpoints.groupby("task").size().to_dict() == {"gsm8k": 81, "math": 72}
    odd = checkpoints[checkpoints["n_questions"] != 128]
    assert odd[["model", "task", "n_questions"]].to_numpy().tolist() == [
        ["Pythia-12B", "gsm8k", 30],
        ["Pythia-12B", "math", 9],
    ]
    sizes = {f"Pythia-{name}": count for name, count in PYTHIA_PARAMS.items()}
    assert (table["model"].map(sizes) == table["n_params"]).all()


@pytest.mark.parametrize("suite", SUITES)
def test_histograms_count_every_question(suite):
    histograms = curves.load_histograms(suite)
    table = curves.load_curves(suite)
    counted = histograms.groupby(CHECKPOINT)["n_questions"].sum()
    expected = table.drop_duplicates(CHECKPOINT).set_index(CHECKPOINT)["n_questions"]
    pd.testing.assert_series_equal(counted, expected.sort_index())
    finite = histograms[np.isfinite(histograms["log_p_low"])]
    assert (finite["log_p_high"] - finite["log_p_low"] == curves.BIN_WIDTH).all()
    assert finite["log_p_high"].max() <= 0


def test_histograms_agree_with_the_curves():
    """Pass@1 lies between what the bins' lower and upper edges give."""
    for suite in SUITES:
        histograms = curves.load_histograms(suite)
        keys = [histograms[name] for name in CHECKPOINT]
        table = curves.load_curves(suite)
        once = table[table["k"] == 1].set_index(CHECKPOINT)["pass_at_k"].sort_index()
        for edge, sign in (("log_p_low", 1), ("log_p_high", -1)):
            weighted = np.exp(histograms[edge]) * histograms["n_questions"]
            bound = weighted.groupby(keys).sum() / histograms["n_questions"].groupby(keys).sum()
            assert (sign * (once - bound) >= -1e-12).all()


# --- the published numbers ------------------------------------------------------------------------


def test_published_tables():
    fits = curves.load_published("chinchilla_fits").set_index(["fit", "quantity"])["value"]
    assert fits["besiroglu2024", "beta"] == 0.3658
    assert fits["hoffmann2022", "A"] == 406.4
    table = curves.load_published("t2_table1")
    assert len(table) == 8
    assert (table["overtrained_pass_at_k"] > table["chinchilla_pass_at_k"]).all()
    assert (table["overtrained_n_params"] < table["chinchilla_n_params"]).all()
    releases = curves.load_published("overtrained_releases")
    ratio = releases["n_tokens"] / releases["n_params"]
    assert (ratio - releases["tokens_per_parameter"]).abs().max() < 0.5


def test_unknown_names():
    with pytest.raises(DataError, match=r"no published table named 'x': want .*t2_table1"):
        curves.load_published("x")
    with pytest.raises(DataError, match="no suite named 'chinchilla'"):
        curves.load_curves("chinchilla")


def test_damaged_embedded_table(tmp_path, monkeypatch):
    (tmp_path / "curves").mkdir()
    monkeypatch.setenv("T2LIB_DATA", str(tmp_path))
    whole = (DATA / "curves/pythia.parquet").read_bytes()
    (tmp_path / "curves/pythia.parquet").write_bytes(whole[:-100])
    with pytest.raises(DataError, match=r"pythia.parquet: not a Parquet table"):
        curves.load_curves("pythia")
    with pytest.raises(DataError, match=r"gemstones.parquet: no such file"):
        curves.load_curves("gemstones")


# --- the computation ------------------------------------------------------------------------------


def questions(n, c, checkpoint=("Pythia-70M", 1e9), first=0):
    model, tokens = checkpoint
    return pd.DataFrame(
        {
            "suite": "pythia",
            "model": model,
            "task": "gsm8k",
            "n_params": 1e6,
            "n_tokens": tokens,
            "question": np.arange(first, first + len(n)),
            "n_samples": n,
            "n_correct": c,
        }
    )


def test_a_curve_stops_where_its_first_question_runs_out_of_samples():
    table = questions([10, 100, 1000], [1, 0, 30])
    curve = curves.curves_of(Samples(table, np.array([1, 3, 10, 500])))
    assert curve["k"].tolist() == [1, 2, 3, 4, 8, 10]
    assert set(curve["n_questions"]) == {3}
    expected = [np.mean(pass_at_k([10, 100, 1000], [1, 0, 30], k)) for k in curve["k"]]
    np.testing.assert_allclose(curve["pass_at_k"], expected)


def test_questions_that_few_checkpoints_were_asked_do_not_count():
    table = pd.concat(
        [
            questions([8, 8], [1, 2], ("a", 1e9)),
            questions([8, 8, 2], [1, 2, 2], ("a", 2e9)),
            questions([8, 8], [1, 2], ("b", 1e9)),
        ]
    )
    part = Samples(common_questions(table), np.array([1]))
    curve = curves.curves_of(part)
    assert set(curve["n_questions"]) == {2}
    assert curve.groupby(["model", "n_tokens"])["k"].max().tolist() == [8, 8, 8]
    assert curves.histograms_of(part)["n_questions"].sum() == 6


def test_a_suite_may_know_both_likelihoods_and_samples():
    """Each part of its questions is computed by what it holds."""
    table = questions([8, 8], [1, 2])
    checkpoints = table[CHECKPOINT].drop_duplicates()
    part = Likelihoods(checkpoints, np.array([[0.0, 1.0]]))
    sampled = curves.curves_of(Samples(table, np.array([1])))
    known = curves.curves_of(part)
    assert sampled["neg_log_pass"].isna().all()
    assert known["neg_log_pass"].tolist()[0] == known["mean_nll"][0] == 0.5
    assert list(sampled.columns) == list(known.columns)
    histogram = curves.histograms_of(part)
    assert histogram["log_p_high"].tolist() == [-1 + curves.BIN_WIDTH, 0.0]


def test_histogram_edges():
    width = curves.BIN_WIDTH
    table = curves._histogram(np.array([0.0, -width, -width - 1e-9, -np.inf, -np.inf]))
    assert table["log_p_low"].tolist() == [-np.inf, -2 * width, -width]
    assert table["log_p_high"].tolist() == [-np.inf, -width, 0.0]
    assert table["n_questions"].tolist() == [2, 1, 2]


def test_a_failed_build_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    target = tmp_path / "data/curves"
    target.mkdir(parents=True)
    (target / "old.parquet").write_text("old")
    monkeypatch.setenv("T2LIB_MIRROR", str(tmp_path))
    with pytest.raises(registry.FetchError):
        curves.build(target, jobs=1)
    with pytest.raises(RuntimeError), curves._replacing(target) as draft:
        (draft / "new.parquet").write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "curves", "old.parquet"]
    with curves._replacing(target) as draft:
        (draft / "new.parquet").write_text("new")
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "curves", "new.parquet"]


def test_gemstones_curves_from_the_question_table(real_mirror):
    """Three checkpoints, by way of the public question table and the public estimators."""
    table = load_questions("gemstones", "winogrande")
    assert len(table) == 770 * table["question"].nunique()
    committed = curves.load_curves("gemstones")
    committed = committed[committed["task"] == "winogrande"]
    runs = list(table.groupby(["model", "n_tokens"], observed=True)["nll"])
    for (model, tokens), nll in (runs[0], runs[400], runs[769]):
        here = (committed["model"] == model) & (committed["n_tokens"] == tokens)
        curve = committed[here]
        k = curve["k"].to_numpy()
        np.testing.assert_allclose(curve["pass_at_k"], pass_at_k_from_nll(nll, k), rtol=1e-9)
        np.testing.assert_allclose(curve["neg_log_pass"], neg_log_pass_from_nll(nll, k), rtol=1e-9)


def test_rebuilding_gives_what_is_committed(tmp_path, real_mirror):
    """The whole of data/curves, from the released files, to 1e-6."""
    built = curves.build(tmp_path / "curves", jobs=2)
    names = sorted(path.name for path in (DATA / "curves").iterdir())
    assert [path.name for path in built] == names
    for path in built:
        fresh, committed = pd.read_parquet(path), pd.read_parquet(DATA / "curves" / path.name)
        pd.testing.assert_frame_equal(fresh, committed, rtol=1e-6, atol=0, check_exact=False)


def test_a_table_is_read_as_it_is_wherever_it_lies(tmp_path):
    """Also below a folder whose name looks like a column and its value."""
    folder = tmp_path / "width=8"
    folder.mkdir()
    committed = DATA / "experiment" / "variants.parquet"
    (folder / committed.name).symlink_to(committed)
    table = whole_parquet(folder / committed.name)
    pd.testing.assert_frame_equal(table, pd.read_parquet(committed))
