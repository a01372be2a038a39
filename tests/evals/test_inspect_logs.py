"""Logs of inspect_ai: epochs are samples; archives are read in memory, within bounds."""

import zipfile

import pytest
from other_logs import RUNS, counts_of, inspect_header, inspect_sample, write_inspect, write_json

import t2lib as t2

VERDICTS = {"a/b": ["C", "I", "C", "C"], 7: ["I", "I", "N", "C"]}
SAMPLES = [
    inspect_sample(question, epoch + 1, value)
    for question, values in VERDICTS.items()
    for epoch, value in enumerate(values)
]


@pytest.mark.parametrize("packing", ["zstd", "deflate"])
def test_epochs_of_an_archive_are_samples(tmp_path, packing):
    write_inspect(tmp_path / "small-2B" / "log.eval", SAMPLES, packing=packing)
    found = t2.read_results(tmp_path, runs=RUNS)
    assert counts_of(found, "arith") == ([4, 4], [3, 1]) and found.notes == []
    curve = found.curves.set_index("k")["pass_at_k"]
    assert curve[1] == pytest.approx(0.5) and curve[2] == pytest.approx((1 + 0.5) / 2)


def test_the_run_may_be_named_by_the_log_itself(tmp_path):
    header = inspect_header(model="hf/EleutherAI/small", model_args={"revision": "step1000"})
    content = header | {"samples": SAMPLES}
    write_json(tmp_path / "logs" / "2025_arith.json", content)
    for name in ("EleutherAI/small", "EleutherAI/small/step1000", "step1000"):
        found = t2.read_results(tmp_path, runs={name: RUNS["small-2B"]})
        assert counts_of(found, "arith")[1] == [3, 1]


def test_of_several_scorers_the_one_taken_is_named(tmp_path):
    scores = {"match": {"value": "C"}, "quality": {"value": {"score": 0.3, "short": True}}}
    samples = [inspect_sample("a", 1, "C", scores=scores)]
    path = write_inspect(tmp_path / "small-2B" / "log.eval", samples)
    found = t2.read_results(tmp_path, runs=RUNS)
    (note,) = found.notes
    assert "right is what match says; logged too: quality/score, quality/short" in note
    del scores["match"]
    write_inspect(path, samples)
    with pytest.raises(t2.DataError, match="there is quality/score, quality/short; --metric"):
        t2.read_results(tmp_path, runs=RUNS)


def test_settings_of_generation_are_compared(tmp_path):
    for name, plan in {"small-2B": {"temperature": 0.8}, "small-4B": {"temperature": 0}}.items():
        header = inspect_header(model_generate_config={"temperature": 0.8, "max_tokens": 64})
        header["plan"] = {"config": plan | {"top_p": None, "seed": len(name)}}
        write_inspect(tmp_path / name / "log.eval", SAMPLES, header)
    runs = RUNS | {"small-4B": RUNS["small-2B"] | {"n_tokens": "4B"}}
    (note,) = t2.read_results(tmp_path, runs=runs).notes
    assert "differ in generation's temperature (0.8 at 1 checkpoint, 0 at 1); left out" in note


def test_samples_without_a_score_are_counted(tmp_path):
    lost = [inspect_sample("a/b", 5, float("nan")), inspect_sample("a/b", 6, "C", scores=None)]
    header = inspect_header("error")
    write_inspect(tmp_path / "small-2B" / "log.eval", SAMPLES + lost, header)
    found = t2.read_results(tmp_path, runs=RUNS)
    assert counts_of(found, "arith") == ([4, 4], [3, 1])
    assert "status is error" in found.notes[0] and "2 samples without a score" in found.notes[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": None}, "summaries.json, entry 1, id: missing"),
        ({"epoch": True}, "summaries.json, entry 1, epoch: True is no name"),
        ({"epoch": 2}, "summaries.json, entry 2: sample a/b, epoch 2 is there twice"),
        ({"scores": {"match": 1}}, "entry 1, scores, match: has no value"),
        ({"scores": [1]}, "entry 1, scores, entry 1: has no value"),
        ({"scores": {"match": {"value": "P"}}}, "entry 1, scores, match: 'P' is not right or"),
    ],
)
def test_a_broken_sample_is_named(tmp_path, change, message):
    samples = [SAMPLES[0] | change, *SAMPLES[1:]]
    write_inspect(tmp_path / "small-2B" / "log.eval", samples)
    with pytest.raises(t2.DataError, match=message):
        t2.read_results(tmp_path, runs=RUNS)


def test_archives_that_are_broken_too_large_or_lead_out(tmp_path, monkeypatch):
    path = write_inspect(tmp_path / "small-2B" / "log.eval", SAMPLES)
    whole = path.read_bytes()

    def refused(content, message):
        path.write_bytes(content)
        with pytest.raises(t2.DataError, match=message) as error:
            t2.read_results(tmp_path, runs=RUNS)
        assert str(error.value).startswith(f"{path}: ")

    refused(whole[:200], "not a zip archive, or cut off")
    refused(b"", "not a zip archive, or cut off")
    size = whole.index(b"PK\1\2") + 24  # of header.json, in the archive's list of members
    refused(whole[:size] + b"\0\0\0\x7f" + whole[size + 4 :], "header.json: longer than 512 MiB")
    refused(whole[:size] + b"\1" + whole[size + 1 :], "header.json: is not as long, or not what")
    refused(whole.replace(b"samples/a/b", b"samples/../"), "leads out of the archive")
    refused(whole.replace(b"header.json", b"headers.jso"), "no header.json: the evaluation did")
    refused(whole.replace(b"summaries.json", b"summary.json.."), "summaries.json: missing")
    newer = whole.index(b"PK\1\2") + 6  # the version of zip that a reader needs
    refused(whole[:newer] + b"\x5b" + whole[newer + 1 :], "not a zip archive, or cut off: zip file")
    at = whole.index(b"header.json") + 30
    refused(whole[:at] + b"\0\0\0\0\0\0" + whole[at + 6 :], "header.json: not zstandard")
    monkeypatch.setattr("t2lib.evals.inspect_logs._MOST_MEMBERS", 2)
    refused(whole, "more than 2 members")


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("t2lib.evals.inspect_logs.LARGEST_JSON", 2**20)
    path = tmp_path / "small-2B" / "log.eval"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", b"0" * 2**22)
    with pytest.raises(t2.DataError, match=r"header\.json: longer than 1 MiB"):
        t2.read_results(tmp_path, runs=RUNS)
