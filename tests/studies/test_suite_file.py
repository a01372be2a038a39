"""The JSON of a fitted suite at the border: whatever it holds is one line, or a plan."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from suites import curve_table

import t2lib as t2
from t2lib.command.app import main

TASK = ("tasks", "maths")
LAW = (*TASK, "laws", "BetaConsistentLaw")
BUDGET = ["--train-flops", "1e19", "--inference-flops", "4e9", "--draws", "1"]


@pytest.fixture(scope="module")
def numbers():
    """Numbers of a fit with resamples."""
    return json.loads(t2.fit_suite(curve_table(["maths"]), n_bootstrap=3).text())


def put(numbers, place, value):
    """Return a copy in which something else stands at a place."""
    changed = copy.deepcopy(numbers)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed


WRONG = {
    "format true": (("format",), True, "format is True"),
    "format 2.0": (("format",), 2.0, "format is 2.0"),
    "format text": (("format",), "2", "format is '2'"),
    "kind": (
        (*TASK, "kind"),
        "guesses",
        "tasks.maths.kind: 'guesses': want likelihoods or samples",
    ),
    "kind is no text": ((*TASK, "kind"), ["samples"], "tasks.maths.kind: ['samples']: want"),
    "true for a number": ((*LAW, "params", "c0"), True, "params.c0: True is not a number"),
    "text for a number": ((*LAW, "params", "c0"), "0.4", "params.c0: '0.4' is not a number"),
    "null for a number": ((*LAW, "params", "c0"), None, "params.c0: None is not a number"),
    "10**400": ((*LAW, "params", "c0"), 10**400, "params.c0: 1000"),
    "1e308": ((*LAW, "params", "c0"), 1e308, "params.c0: 1e+308 is not a finite number"),
    "10**400 in a draw": ((*LAW, "draws", "c0", 1), 10**400, "draws.c0[1]: 1000"),
    "true in a draw": ((*LAW, "draws", "c0", 1), True, "draws.c0[1]: True is not a number"),
    "true in an error": ((*LAW, "errors", "in", "pass_at_k"), True, "errors.in.pass_at_k: True"),
    "no draws alike": ((*LAW, "draws", "c0"), [1.0], "not numbers of t2 fit"),
    "N of 1e308": ((*TASK, "seen", 0, "n_params"), 1e308, "seen[0].n_params: 1e+308 is not"),
    "N of 1e-300": ((*TASK, "seen", 0, "n_params"), 1e-300, "seen[0].n_params: 1e-300 is not"),
    "N of 10**400": ((*TASK, "seen", 0, "n_params"), 10**400, "seen[0].n_params: 1000"),
    "no values": ((*LAW, "params", "c0"), 100, "no finite value where it was fitted"),
    "bound is no text": ((*LAW, "at_bounds"), [1], "at_bounds: 1 is no text"),
    "no plan is no text": ((*TASK, "no_plan"), 1, "no_plan: 1 is no text"),
    "half a character": (("tasks", "a\ud800"), {}, r"tasks.a\ud800: a name that is no text"),
    "an unseen name": (("tasks", " \u200b"), {}, "a name that is no text"),
    "no tasks": (("tasks",), {}, "tasks: there is none"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_entry_is_named_with_its_place(numbers, tmp_path, case):
    place, value, wanted = WRONG[case]
    path = tmp_path / "n.json"
    path.write_text(json.dumps(put(numbers, place, value)))
    with pytest.raises(t2.DataError) as error:
        t2.SuiteFit.read(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and wanted in message
    assert message.isprintable() and len(message) < 600


TEXTS = {
    '{"format": 2, "format": 2}': "row 1: not JSON that can be read: 'format' is there twice",
    "[" * 100_000: "row 1: not JSON that can be read: ",
    '{"a":' * 100_000: "row 1: not JSON that can be read: ",
    '{"format":\n\ufeff2}': "row 2, column 1: not JSON",
    '{"format": ' + "9" * 5000 + "}": "row 1: not JSON that can be read: ",
    '{"format": NaN}': "format is nan",
    "": "row 1, column 1: not JSON",
}


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:16])
def test_text_that_is_no_json_of_ours(tmp_path, text):
    path = tmp_path / "n.json"
    path.write_text(text)
    with pytest.raises(t2.DataError) as error:
        t2.SuiteFit.read(path)
    assert str(error.value).startswith(f"{path}: ") and TEXTS[text] in str(error.value)
    path.write_bytes(b'{"format": 2,\n"a": "\xff"}')
    with pytest.raises(t2.DataError, match="row 2: not UTF-8 text: byte 20"):
        t2.SuiteFit.read(path)


VALUES = [
    *(True, None, "1", "\ud800", 10**400, 1e308, -1e308, 1e200, 1e-300, 0, -1, [], {}, "\x1b[31m"),
    *(float("nan"), float("inf"), [[[[1]]]]),
]


def places(value, at=()):
    """Every place in what JSON holds."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inner:
        yield (*at, key)
        if isinstance(one, dict | list):
            yield from places(one, (*at, key))


@given(data=st.data())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_anything_anywhere_is_a_plan_or_one_line(numbers, tmp_path, data):
    import contextlib
    import io

    place = data.draw(st.sampled_from(list(places(numbers))))
    path = tmp_path / "n.json"
    path.write_text(json.dumps(put(numbers, place, data.draw(st.sampled_from(VALUES)))))
    out, err = io.StringIO(), io.StringIO()
    law = data.draw(st.sampled_from(["Chinchilla", "AdditiveLaw", "BetaConsistentLaw"]))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["plan", str(path), *BUDGET, "--law", law])
    said = err.getvalue()
    assert "\x1b" not in said + out.getvalue() and "fault of t2" not in said
    if code:
        assert code == 1 and said.count("\n") == 1 and str(path) in said
    else:
        assert said == "" and out.getvalue()
