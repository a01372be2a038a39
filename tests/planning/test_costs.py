"""Costs: closed forms, counts done by hand, inverses, limits, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import t2lib as t2
from t2lib.planning.architecture import Architecture, ArchitectureFamily

LLAMA = Architecture(
    layers=32, width=4096, heads=32, kv_heads=32, ffn_width=11008, vocabulary=32_000
)
CARD = t2.Hardware(
    peak_flops=312e12, price_per_hour=1.5, memory_bytes=80e9, bandwidth=2.039e12, watts=400.0
)
FAMILY = ArchitectureFamily(group=4)
MODELS = [
    t2.CostModel(),
    t2.CostModel(prompt_tokens=700, answer_tokens=300),
    t2.CostModel(prompt_tokens=700, answer_tokens=300, shared_cache=False),
    t2.CostModel(prompt_tokens=700, answer_tokens=300, architecture=FAMILY),
    t2.CostModel(
        prompt_tokens=700, answer_tokens=300, shared_cache=False, architecture=FAMILY, causal=False
    ),
]

# ------------------------------------------------------------------------------- FLOPs


def test_the_default_is_the_papers():
    N, D, k = np.array([1e8, 1e9]), np.array([2e9, 2e10]), np.array([1, 7])
    np.testing.assert_array_equal(t2.CostModel().train_flops(N, D), 6 * N * D)
    np.testing.assert_array_equal(t2.CostModel().query_flops(N, k), 2 * N * k)


def test_a_prompt_is_paid_once_or_k_times():
    shared = t2.CostModel(prompt_tokens=1000, answer_tokens=200)
    apart = t2.CostModel(prompt_tokens=1000, answer_tokens=200, shared_cache=False)
    assert shared.query_flops(1e9, 16) == 2e9 * (1000 + 16 * 200)
    assert apart.query_flops(1e9, 16) == 2e9 * 16 * (1000 + 200)
    assert shared.query_flops(1e9, 1) == apart.query_flops(1e9, 1)
    assert (shared.query_tokens(16), apart.query_tokens(16)) == (4200, 19200)


def test_one_sample_over_a_life_is_sardana_and_others():
    cost = t2.CostModel(prompt_tokens=120, answer_tokens=80)
    N, D, Q = 3e9, 2e11, 1e10
    assert cost.total_flops(N, D, 1, Q) == pytest.approx(6 * N * D + 2 * N * Q * 200)
    assert cost.total_flops(N, D, 1, 0) == cost.train_flops(N, D)


def count_by_loop(model, P, T, k, shared, causal):
    """FLOPs of one query, product by product and token by token."""
    attention = int(model.attention_width)

    def token(positions, logits):
        flops = 2 * (model.multiplied_weights + logits * model.head_weights)
        return flops + model.layers * (2 * attention * positions + 2 * attention * positions)

    flops = 0
    for sample in range(k):
        if sample == 0 or not shared:
            flops += sum(token(i + 1 if causal else P, False) for i in range(P))
        flops += sum(token(P + j + 1, True) for j in range(T))
    return flops


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("P", [0, 1, 13])
def test_attention_and_head_agree_with_a_loop_over_tokens(shared, causal, P):
    cost = t2.CostModel(P, 5, shared, LLAMA, causal=causal)
    count = count_by_loop(LLAMA, P, 5, 3, shared, causal)
    assert cost.query_flops(LLAMA.parameters(), 3) == pytest.approx(count, rel=1e-14)
    S = 11
    cost = t2.CostModel(architecture=LLAMA, sequence_length=S, causal=causal)
    one = 2 * (LLAMA.multiplied_weights + LLAMA.head_weights) * S
    one += 4 * 32 * 4096 * sum(i + 1 if causal else S for i in range(S))
    assert cost.train_flops(LLAMA.parameters(), S * 1e6) == pytest.approx(3e6 * one, rel=1e-14)


def test_training_tends_to_six_n_d_in_a_large_model_and_short_sequences():
    cost = t2.CostModel(architecture=ArchitectureFamily(), sequence_length=512)
    ratio = cost.train_flops([1e9, 1e11, 1e13], 1e12) / (6 * np.array([1e9, 1e11, 1e13]) * 1e12)
    assert abs(ratio[2] - 1) < 1e-3
    assert np.all(np.diff(np.abs(ratio - 1)) < 0)


def test_a_share_of_idle_experts_costs_nothing():
    dense = ArchitectureFamily()(1e9)
    sizes = {name: getattr(dense, name) for name in ("layers", "width", "heads", "kv_heads")}
    sizes |= {"ffn_width": dense.ffn_width, "vocabulary": dense.vocabulary}
    mixture = Architecture(**sizes, experts=64, active_experts=1)
    costs = [t2.CostModel(10, 10, architecture=model) for model in (dense, mixture)]
    flops = [float(c.query_flops(c.architecture.parameters(), 1)) for c in costs]
    router = 2 * 64 * dense.width * dense.layers * 20
    assert flops[1] - flops[0] == pytest.approx(router)
    assert costs[1].weight_bytes(mixture.parameters()) > 10 * costs[0].weight_bytes(1e9)


@pytest.mark.parametrize("cost", MODELS)
@given(log_n=st.floats(7, 12), log_d=st.floats(8, 14), k=st.floats(1, 1e5))
def test_budgets_are_inverted(cost, log_n, log_d, k):
    N, D = 10**log_n, 10**log_d
    assert cost.tokens(N, cost.train_flops(N, D)) == pytest.approx(D, rel=1e-12)
    assert cost.samples(N, cost.query_flops(N, k)) == pytest.approx(k, rel=1e-9)


@pytest.mark.parametrize("cost", MODELS)
def test_costs_rise_with_everything_and_broadcast(cost):
    N, k = np.geomspace(1e7, 1e12, 6)[:, None], np.array([1.0, 2, 300])
    query = cost.query_flops(N, k)
    assert query.shape == (6, 3)
    assert np.all(np.diff(query, axis=0) > 0) and np.all(np.diff(query, axis=1) > 0)
    assert np.all(np.diff(cost.train_flops(N, 1e10), axis=0) > 0)
    parts = cost.prefill_flops(N, k) + cost.decode_flops(N, k)
    np.testing.assert_allclose(parts, query, rtol=1e-14)
    for i in range(6):
        assert cost.query_flops(float(N[i, 0]), 300) == pytest.approx(query[i, 2], rel=1e-12)


def test_a_budget_below_one_sample_shows():
    assert t2.CostModel(1000, 1).samples(1e9, 1e9) < 1


# ------------------------------------------------------------------------------- memory


def test_cache_of_llama_2_7b_is_half_a_megabyte_a_token():
    # 2 x 32 layers x 4096 x 2 bytes = 524,288, as in the literature on its serving.
    cost = t2.CostModel(100, 50, architecture=LLAMA)
    assert cost.cache_bytes(7e9, 1) == 150 * 524_288
    assert cost.cache_bytes(7e9, 8) == (100 + 400) * 524_288
    apart = t2.CostModel(100, 50, False, architecture=LLAMA)
    assert apart.cache_bytes(7e9, 8) == 8 * 150 * 524_288


def test_grouped_queries_divide_the_cache():
    plain, grouped = (
        t2.CostModel(100, 50, architecture=ArchitectureFamily(group=group)) for group in (1, 8)
    )
    ratio = plain.cache_bytes(7e9, 4) / grouped.cache_bytes(7e9, 4)
    # Not exactly 8: at equal N the grouped model is a little wider.
    assert 7 < ratio <= 8


@pytest.mark.parametrize("shared", [True, False])
def test_samples_that_fit_fill_the_card_and_no_more(shared):
    cost = t2.CostModel(2000, 500, shared, LLAMA)
    k = cost.samples_that_fit(7e9, CARD, usable=0.9)
    room = 0.9 * 80e9 - cost.weight_bytes(7e9)
    assert k == int(k) and k > 1
    assert cost.cache_bytes(7e9, k) <= room < cost.cache_bytes(7e9, k + 1)


def test_a_model_larger_than_the_card_fits_no_sample():
    cost = t2.CostModel(10, 10, architecture=FAMILY)
    np.testing.assert_array_equal(cost.samples_that_fit([1e9, 1e11], CARD)[1:], 0)


# ------------------------------------------------------------------- hours, money, energy


def test_hours_money_energy_by_hand():
    card = t2.Hardware(
        peak_flops=1e15,
        price_per_hour=2.0,
        watts=500.0,
        training_utilisation=0.5,
        prefill_utilisation=0.25,
        decode_utilisation=0.01,
    )
    assert card.hours(3.6e18, "training") == pytest.approx(2.0)
    assert card.hours(3.6e18, "prefill") == pytest.approx(4.0)
    assert card.hours(3.6e18, "decode") == pytest.approx(100.0)
    assert card.money(100.0) == 200.0 and card.energy(100.0) == 50.0


def test_a_bill_adds_up():
    cost = t2.CostModel(1000, 500)
    bill = cost.bill(7e9, 2e12, 8, 1e9, CARD)
    assert list(bill) == ["training", "prefill", "decode", "total"]
    assert bill["total"]["flops"] == pytest.approx(float(cost.total_flops(7e9, 2e12, 8, 1e9)))
    for column in ("flops", "card_hours", "money", "energy_kwh"):
        parts = [bill[phase][column] for phase in ("training", "prefill", "decode")]
        assert bill["total"][column] == pytest.approx(sum(parts))
    assert bill["decode"]["flops"] == pytest.approx(1e9 * 2 * 7e9 * 4000)
    # Decoding is the dear phase: the same FLOPs take longer.
    share = bill["decode"]["card_hours"] / bill["decode"]["flops"]
    assert share == pytest.approx(4 * bill["training"]["card_hours"] / bill["training"]["flops"])


def test_money_and_energy_only_on_request():
    plain = t2.Hardware(peak_flops=1e15)
    assert set(t2.CostModel().bill(1e9, 2e10, 1, 0, plain)["total"]) == {"flops", "card_hours"}
    with pytest.raises(ValueError, match="price_per_hour of the hardware is not given"):
        plain.money(1.0)
    with pytest.raises(ValueError, match="watts of the hardware is not given"):
        plain.energy(1.0)


def test_costs_in_money_are_the_bill():
    cost = t2.CostModel(1000, 500)
    priced, bill = cost.in_money(CARD), cost.bill(7e9, 2e12, 8, 1e9, CARD)
    assert priced.train_flops(7e9, 2e12) == pytest.approx(bill["training"]["money"])
    assert 1e9 * priced.prefill_flops(7e9, 8) == pytest.approx(bill["prefill"]["money"])
    assert 1e9 * priced.decode_flops(7e9, 8) == pytest.approx(bill["decode"]["money"])
    assert priced.tokens(7e9, bill["training"]["money"]) == pytest.approx(2e12)
    # One utilisation for all phases: money is FLOPs in another unit.
    even = t2.Hardware(
        peak_flops=1e15, price_per_hour=1.0, prefill_utilisation=0.3, decode_utilisation=0.3
    )
    N = np.array([1e8, 1e10])
    ratio = cost.in_money(even).query_flops(N, 5) / cost.query_flops(N, 5)
    assert ratio[0] == pytest.approx(ratio[1])
    with pytest.raises(ValueError, match="price_per_hour of the hardware is not given"):
        cost.in_money(t2.Hardware(peak_flops=1e15))


def test_a_plan_in_money_says_so():
    law = t2.AdditiveLaw(E=0.1, A=40.0, B=400.0, alpha=0.25, beta=0.3, G=1.2, gamma=0.4)
    cost = t2.CostModel(100, 100).in_money(CARD)
    plan = t2.allocate(law, total_flops=1e6, queries=1e9, cost=cost)
    assert plan.cost["total_flops"] == pytest.approx(1e6, rel=1e-6)
    assert "of money, a query" in plan.summary() and "FLOPs" not in plan.summary()


def test_decoding_alone_waits_for_memory_and_together_for_arithmetic():
    cost = t2.CostModel(answer_tokens=1)
    # One sequence: 2 N FLOPs while 2 N bytes are read, so bandwidth / peak.
    assert cost.decode_utilisation(7e9, 1, CARD) == pytest.approx(2.039e12 / 312e12)
    many = cost.decode_utilisation(7e9, [1, 10, 100, 1000], CARD)
    assert np.all(np.diff(many) > 0) and many[-1] == 1.0
    # A cache has to be read too, and does not get cheaper by numbers.
    long = t2.CostModel(8000, 1000, architecture=LLAMA)
    cache = (8000 + 500.5) * 524_288 / 2.039e12
    most = long.decode_flops(7e9, 1) / 1000 / 312e12 / cache
    assert long.decode_utilisation(7e9, 1e9, CARD) == pytest.approx(most, rel=1e-5)
    assert most < 0.03


# ------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompt_tokens": -1}, "prompt_tokens is -1: must be finite and not negative"),
        ({"prompt_tokens": np.inf}, "prompt_tokens is inf"),
        ({"answer_tokens": 0}, "answer_tokens is 0: must be positive and finite"),
        ({"sequence_length": 0.5}, "sequence_length is 0.5: must be at least 1"),
        ({"architecture": 7e9}, "architecture is a float: must be an Architecture or a function"),
    ],
)
def test_cost_models_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        t2.CostModel(**settings)


@pytest.mark.parametrize("cost", MODELS)
def test_arguments_out_of_range_are_named(cost):
    with pytest.raises(ValueError, match=r"N\[1\] is 0: must be positive and finite"):
        cost.train_flops([1e9, 0.0], 1e10)
    with pytest.raises(ValueError, match="D is nan: must be positive and finite"):
        cost.train_flops(1e9, np.nan)
    with pytest.raises(ValueError, match=r"k is 0.5: must be at least 1 and finite"):
        cost.query_flops(1e9, 0.5)
    with pytest.raises(ValueError, match="train_flops is -1"):
        cost.tokens(1e9, -1.0)
    with pytest.raises(ValueError, match="query_flops is 0"):
        cost.samples(1e9, 0)
    with pytest.raises(ValueError, match="queries is -1: must be finite and not negative"):
        cost.total_flops(1e9, 1e10, 1, -1)


def test_one_architecture_costs_one_model():
    cost = t2.CostModel(architecture=LLAMA)
    assert cost.query_flops(7e9, 1) == cost.query_flops(LLAMA.parameters("non_embedding"), 1)
    with pytest.raises(ValueError, match=r"N\[1\] is 1\.3e\+10: the architecture has 6.73842e\+09"):
        cost.query_flops([7e9, 1.3e10], 1)


def test_memory_needs_sizes():
    with pytest.raises(ValueError, match="architecture is not given"):
        t2.CostModel().cache_bytes(1e9, 1)
    with pytest.raises(ValueError, match="memory_bytes of the hardware is not given"):
        MODELS[3].samples_that_fit(1e9, t2.Hardware(peak_flops=1e15))
    with pytest.raises(ValueError, match=r"usable is 1\.5: must be above 0, at most 1"):
        MODELS[3].samples_that_fit(1e9, CARD, usable=1.5)
    with pytest.raises(ValueError, match="bytes_per_value is 0"):
        MODELS[3].cache_bytes(1e9, 1, bytes_per_value=0)
    with pytest.raises(ValueError, match="bandwidth of the hardware is not given"):
        t2.CostModel().decode_utilisation(1e9, 1, t2.Hardware(peak_flops=1e15))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peak_flops": 0}, "peak_flops is 0: must be positive and finite"),
        ({"price_per_hour": -1}, "price_per_hour is -1"),
        ({"watts": np.nan}, "watts is nan"),
        ({"decode_utilisation": 1.2}, "decode_utilisation is 1.2: must be at most 1"),
        ({"training_utilisation": 0}, "training_utilisation is 0"),
    ],
)
def test_cards_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        t2.Hardware(**({"peak_flops": 1e15} | settings))


def test_other_phases_are_refused():
    with pytest.raises(ValueError, match="phase is 'sleep': must be one of training, prefill"):
        CARD.hours(1e15, "sleep")
