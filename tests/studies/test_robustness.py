"""The scorecard's verdicts under other choices: the rules, the record, and the page's table."""

import re

import numpy as np
import pytest
from at_hand import ROOT

import t2lib as t2
from t2lib.studies import one_law
from t2lib.studies import robustness as study

CHANGES = {"answer length": "answers of T tokens", "cut-off": "cut-off", "largest k": "largest k"}


@pytest.fixture(scope="module")
def rows():
    return study.recorded()


def test_rules():
    assert [study.verdict(x) for x in (90, 89.9, 10.1, 10)] == ["holds", "mixed", "mixed", "fails"]
    assert study.verdict(100, 50) == "mixed"


def test_every_change_is_recorded(rows):
    settings = rows.reset_index().groupby("change")["setting"].apply(tuple).to_dict()
    assert settings == {
        "answer length": study.LENGTHS,
        "cut-off": study.CUTS,
        "largest k": study.LARGEST_K,
    }


def test_samples_and_checkpoints_come_out_again(rows):
    """Without laws, at one token: what the record holds is what the embedded curves give."""
    curves = t2.load_curves("gemstones")
    curves = curves[curves["k"].isin(study.K)]
    row = rows.loc[("answer length", 1)]
    found = study._of_samples(curves, 256) | study._of_checkpoints(curves, n=500, seed=0)
    assert found == pytest.approx({name: row[name] for name in found}, rel=1e-5)
    low = study._of_samples(curves[curves["n_tokens"] <= 100 * curves["n_params"]], 256)
    assert low["7 above"] == pytest.approx(rows.loc[("cut-off", 100), "7 above"])


def test_claim_2_hangs_on_the_limit_only_at_four_tokens(rows):
    """Limits of 2, 3 and 5 on the factor between the approaches' sizes."""
    for setting, row in rows.iterrows():
        said = {study.verdicts(row.dropna().to_dict(), factor)["2"] for factor in (2, 3, 5)}
        assert (len(said) > 1) == (setting == ("answer length", 4))


def test_longer_answers_bring_the_approaches_together(rows):
    """As the page says beside the table: claims 2 and 4 at four tokens and more."""
    at = rows.loc["answer length"]
    assert at.loc[4, "2 factor"] == pytest.approx(3.0, abs=0.05)
    assert (at.loc[4:, "4 cells"] == 7).all()


def test_our_law_under_other_deals():
    """No deal of models turns a verdict against either approach."""
    deals = one_law.recorded_rivals()["deals"].set_index("comparison")
    first = deals.loc["-log pass@k, against Approach 1"]
    assert (first["wins"] > 4).all() and (first["loses"] == 0).all()
    second = deals.loc["pass@k, against Approach 2"]
    assert ((second["wins"] <= 4) | (second["loses"] > 0)).all() and (second["loses"] <= 4).all()


def test_claim_4_hangs_on_one_cell(rows):
    row = rows.loc[("answer length", 1)]
    assert row["4 cells"] == 2
    assert study.verdict(row["4 good"]) == "mixed" and study.verdict(100 * 1 / 16) == "fails"


def test_the_page_says_what_was_computed(rows):
    """The table on the scorecard, cell by cell."""
    table = study.turns(rows).rename(columns=CHANGES)
    text = (ROOT / "book/scorecard.md").read_text().split("## What the verdicts hang on")[1]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    head, _, *body = lines
    assert [re.sub(r"\W+$", "", x) for x in head[1:5]] == list(table.columns)
    shown = {row[0]: row[1:5] for row in body if row[0] in PLACES}
    assert shown == {place: list(table.loc[name]) for place, name in PLACES.items()}


PLACES = {
    **{str(claim): str(claim) for claim in range(1, 9)},
    "ours against Approach 1, models left out": "own left out, approach 1",
    "ours against Approach 1, overtrained": "own overtrained, approach 1",
    "ours against Approach 2, models left out": "own left out, approach 2",
    "ours against Approach 2, overtrained": "own overtrained, approach 2",
}


def test_a_change_is_told_once(rows):
    table = study.turns(rows)
    assert table["as judged"].isin(["holds", "mixed", "fails", "undecided", "better", "open"]).all()
    assert not table.isna().any(axis=None) and np.all(table != "")
