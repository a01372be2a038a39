"""Plans of one budget: on a law of one's own, and the laws as recorded."""

import json

import numpy as np
import pandas as pd
import pytest
from at_hand import as_a_reader

import t2lib as t2
from t2lib.laws import fitted_on
from t2lib.planning.architecture import ArchitectureFamily
from t2lib.planning.support import Support
from t2lib.studies import planning_a_budget as study

CHINCHILLA = t2.Chinchilla(E=0.15, A=1.3e5, B=440.0, alpha=0.58, beta=0.173)
COST = t2.CostModel(150, 250)
ASKED = {"total_flops": 3e20, "queries": 1e6, "cost": COST}


def made_law(most: float) -> t2.BetaConsistentLaw:
    """A law with support on a square of checkpoints, each measured up to the same k."""
    N, D = (x.ravel() for x in np.meshgrid([1e7, 1e10], [1e9, 1e12]))
    rows = pd.concat(pd.DataFrame({"n_params": N, "n_tokens": D, "k": k}) for k in (1.0, most))
    return fitted_on(t2.BetaConsistentLaw(CHINCHILLA, 2.2, 0.3), Support.of(rows))


LAW = made_law(100.0)


@pytest.fixture(scope="module")
def gsm8k():
    """As recorded; that it comes out again is asked with the other records."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in as_a_reader().items():
            patch.setenv(name, value)
        return study.gsm8k_law()


def test_recorded_laws_carry_their_support_and_draws(gsm8k):
    assert len(gsm8k.draws) == 30 and gsm8k.law.support.knows_k
    assert gsm8k.law.chinchilla == gsm8k.second.chinchilla
    loss = study.validation_loss_law()
    assert len(loss.draws) == 30 and not loss.law.support.knows_k
    assert loss.law.support.contains(1e8, 1e11) and not loss.law.support.contains(1e7, 1e11)


def test_the_best_inside_is_inside_and_no_better_than_the_free_plan():
    free = t2.allocate(LAW, **ASKED)
    inside = study.best_inside(LAW, **ASKED)
    assert inside.extrapolation == {} and free.extrapolation != {}
    assert inside.k == 100 and inside.metric < free.metric
    spent = inside.train_flops + ASKED["queries"] * inside.inference_flops
    assert spent <= ASKED["total_flops"] * (1 + 1e-9)


def test_the_best_inside_is_the_free_plan_where_that_lies_inside():
    wide = made_law(1e9)
    free, inside = t2.allocate(wide, **ASKED), study.best_inside(wide, **ASKED)
    assert free.extrapolation == {}
    assert inside.metric == pytest.approx(free.metric, abs=1e-3)
    assert np.log(inside.N / free.N) == pytest.approx(0, abs=0.1)


def test_no_plan_inside_is_said():
    with pytest.raises(ValueError, match="pays for no plan inside"):
        study.best_inside(LAW, **{**ASKED, "total_flops": 1e12})


def test_shares_reach_the_plan_at_its_own_share():
    plan = t2.allocate(LAW, **ASKED)
    share = plan.cost["serving_share"]
    table = study.pass_by_share(
        LAW, [share / 2, share, (1 + share) / 2], total_flops=3e20, queries=[1e6], cost=COST
    )
    assert table[1e6].idxmax() == share
    assert table[1e6].max() == pytest.approx(plan.metric, abs=1e-8)


def test_elasticities_obey_the_rule_at_the_best_split():
    plan = t2.allocate(LAW, **ASKED)
    found = study.elasticities(LAW, plan, COST)
    assert found["query"] / found["train"] == pytest.approx(found["spent"], rel=1e-3)


def test_one_budget_and_two_give_the_same_plan(gsm8k):
    """And the reverse question inverts the forward one."""
    asked = {"queries": 1e6, "cost": COST}
    plan = t2.allocate(gsm8k.law, total_flops=3e20, **asked)
    apart = t2.allocate(
        gsm8k.law,
        train_flops=plan.cost["train_flops"],
        inference_flops=plan.cost["query_flops"],
        cost=COST,
    )
    assert np.log(apart.N / plan.N) == pytest.approx(0, abs=1e-4)
    back = t2.cheapest(gsm8k.law, target=plan.metric, **asked)
    assert back.cost["total_flops"] == pytest.approx(3e20, rel=1e-9)


def test_totals_for_a_target_reach_it_and_bottom_out_at_the_cheapest():
    asked = {"queries": 1e6, "cost": COST}
    table = study.totals_for_target(LAW, 0.5, np.geomspace(1e18, 1e22, 81), **asked)
    reached = LAW.pass_at_k(table["N"], table["D"], table["k"])
    assert (reached >= 0.5 - 1e-9).all()
    best = t2.cheapest(LAW, target=0.5, **asked)
    assert table["total_flops"].min() == pytest.approx(best.cost["total_flops"], rel=0.02)
    assert (table.loc[table["inside"], "k"] <= 100).all()


def test_a_target_out_of_reach_has_no_row():
    assert study.totals_for_target(LAW, 0.9, [1e7], queries=1.0, cost=COST).empty


def test_variations_change_one_thing_each(gsm8k):
    table = study.variations(gsm8k, total_flops=3e20, queries=1e6, cost=COST, card=study.a100())
    assert len(table) == 16 and table.index[0] == "base case"
    assert table.loc["one sample", "k"] == 1 and table.loc["at most 16 samples", "k"] <= 16
    # A verifier that finds half halves every plan alike.
    assert table.loc["verifier finds half", "N"] == pytest.approx(table["N"].iloc[0], rel=1e-4)
    assert table.loc["queries × 1,000", "N"] < table.loc["queries ÷ 1,000", "N"]
    assert not table.loc["base case", "inside"]


def test_ways_to_one_answer_are_compared_with_the_plan():
    asked = {"train_flops": 1e20, "inference_flops": 2e12}
    table = study.ways_to_answer(LAW, [0.01], **asked)
    plan = t2.allocate(LAW, **asked)
    assert table.loc["perfect verifier", ["N", "k", "right"]].tolist() == [
        plan.N,
        plan.k,
        plan.metric,
    ]
    worse, early = table.loc["accepts 0.01 of the wrong"], table.iloc[-1]
    assert worse["right"] < plan.metric < early["right"] and early["most_samples"] > early["k"]


def test_the_table_of_plans_is_text_with_intervals(gsm8k):
    region = t2.allocation_region(
        gsm8k.law, gsm8k.draws.head(5), total_flops=3e20, queries=1e6, cost=COST
    )
    row = study.plan_table({"maths": region})["maths"]
    assert row["N"].startswith("100M (") and row["inside"] == "no"
    assert row["forecast"].startswith("0.67 (")


def test_simple_costs_are_what_a_counted_transformer_spends_when_large():
    cost = t2.CostModel(150, 250, architecture=ArchitectureFamily(vocabulary=50_304))
    small, large = study.counted_over_simple(cost, [2e7, 1e12])
    assert small < 0.7 and large == pytest.approx(1, abs=0.05)
    assert study.counted_over_simple(cost, 1e12, 8) == pytest.approx(1, abs=0.05)


def test_groups_of_heads_divide_the_cache():
    table = study.memory_table(study.a100(), [7e9], [1, 8], 4000, 400)
    one, eight = table.loc[("7B", 1)], table.loc[("7B", 8)]
    assert one["bytes_per_token"] > 5 * eight["bytes_per_token"]
    assert eight["shared"] > eight["apart"] > one["apart"]


def test_the_live_figure_embeds_plain_json():
    draws = pd.DataFrame([{**CHINCHILLA.__dict__, "c0": 1.0, "c1": 0.5}]).drop(
        columns="support", errors="ignore"
    )
    text = study.live_figure([study.live_law("</script> law", LAW, draws)], {"train": 20})
    inside = text.split('id="t2-live-laws">')[1].split("</script>")[0]
    data = json.loads(inside)
    assert data["laws"][0]["label"] == "</script> law"
    assert data["laws"][0]["draws"][0]["c0"] == 1.0
    assert len(data["laws"][0]["support"]["hull"]) == 4
    assert "onclick" not in text and text.count("<script") == 2


def test_the_live_figure_takes_beta_laws_with_support_only():
    with pytest.raises(TypeError, match="Chinchilla"):
        study.live_law("loss", CHINCHILLA)
    with pytest.raises(ValueError, match="fitted to nothing"):
        study.live_law("by hand", t2.BetaConsistentLaw(CHINCHILLA, 1.0, 0.5))
