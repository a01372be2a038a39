"""Chapter 10: its headline numbers, and its live figure in a browser against the library."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pages import CONTRAST, Visit

import t2lib as t2
from t2lib.planning.support import Support

PAGE = "chapters/10_planning_a_budget.html"


Numbers = Callable[[str], dict[str, str]]


@pytest.fixture(scope="module")
def values(numbers: Numbers) -> dict[str, str]:
    return numbers("10")


@pytest.fixture(scope="module")
def costs(numbers: Numbers) -> dict[str, str]:
    return numbers("A7")


def first(text: str) -> float:
    """Return the estimate in front of its interval, per cent as they stand."""
    return float(text.split(" ")[0].replace(",", ""))


def ends(text: str) -> tuple[float, float]:
    """Return the interval of ``1.12 (1.05 to 1.18)``."""
    low, high = text.split("(")[1].rstrip(")").split(" to ")
    return float(low), float(high)


def test_what_is_counted(costs: dict[str, str]) -> None:
    """6 N D is near the full count at 1 B parameters, and twice it for a tiny model."""
    assert first(costs["count-train"]) == pytest.approx(0.96, abs=0.02)
    assert first(costs["count-small"]) == pytest.approx(0.55, abs=0.02)
    assert first(costs["count-long"]) == pytest.approx(2.0, abs=0.1)
    assert first(costs["fit-shared"]) > 5 * first(costs["fit-apart"])


def test_caches_and_walls_cost(costs: dict[str, str]) -> None:
    """A prompt read for each sample, and tokens seen again."""
    assert first(costs["cache-fewer"]) > 5 and first(costs["cache-lost"]) > 20
    assert 1 < first(costs["wall-epochs"]) < 10 and first(costs["wall-N"]) > 1
    assert first(costs["wall-lost"]) > 0


def test_other_ways_to_one_answer(costs: dict[str, str], values: dict[str, str]) -> None:
    """False positives want larger models and fewer samples; stopping early buys more."""
    assert first(costs["false-N"]) > 2 and first(costs["false-k"]) < first(values["base-k"]) / 10
    right = first(costs["false-right"]), first(values["base-pass"]), first(costs["stop-right"])
    assert right == tuple(sorted(right)) and right[2] > right[1] + 0.05
    assert 1 < first(costs["stop-N"]) < 1.3 and first(costs["stop-most"]) > first(values["base-k"])


def test_the_split_obeys_the_rule_of_elasticities(values: dict[str, str]) -> None:
    assert first(values["rule-left"]) == pytest.approx(first(values["rule-right"]), rel=0.01)


def test_the_base_case_lies_outside_what_was_measured(values: dict[str, str]) -> None:
    """A million maths problems."""
    assert first(values["base-N"]) == pytest.approx(100, abs=1)
    assert first(values["base-ratio"]) == pytest.approx(2267, rel=0.01)
    assert first(values["base-k"]) == pytest.approx(3279, rel=0.01)
    assert first(values["base-pass"]) == pytest.approx(0.667, abs=0.01)
    assert first(values["base-share"]) == pytest.approx(55, abs=3)
    assert first(values["near-k"]) == 256
    assert first(values["k-over"]) == pytest.approx(12.8, rel=0.02)
    low, high = ends(values["base-pass"])
    assert high - low > 0.1


def test_the_law_is_too_high_where_plans_lie(values: dict[str, str]) -> None:
    """Near the best plan inside, and on all that is heavily overtrained."""
    assert first(values["inside-law"]) > first(values["inside-seen"]) + 0.05
    assert first(values["inside-pass"]) < first(values["base-pass"]) + 0.01
    assert first(values["corner-mean"]) == pytest.approx(0.40, abs=0.02)
    assert first(values["corner-worst"]) > 1


def test_the_optimum_is_flat(values: dict[str, str]) -> None:
    assert first(values["flat-high"]) - first(values["flat-low"]) > 15


def test_few_queries_and_one_sample_are_chinchilla(values: dict[str, str]) -> None:
    assert first(values["queries-rare"]) == pytest.approx(1, abs=2e-3)
    assert first(values["smaller"]) > 2


def test_what_the_verdict_depends_on(values: dict[str, str]) -> None:
    """Overtraining stands in nearly every variation, few of which were measured."""
    assert first(values["over"]) >= 14
    assert first(values["inside-rows"]) < 8


# ------------------------------------------------------------------------------ the live figure


SETTINGS = [
    {},
    {"law": 1},
    {"train": 22.5, "queries": 3, "target": 0.9},
    {"train": 19, "queries": 9.5, "target": 0.1, "prompt": 4000, "answer": 400},
    {"prompt": 4000, "shared": False},
    {"law": 2, "train": 21, "queries": 8, "target": 0.3},
    {"law": 3, "train": 24, "queries": 12, "target": 0.75, "prompt": 0, "answer": 1},
]
SET = """
settings => {
  const form = document.querySelector("#t2-live form");
  for (const [name, value] of Object.entries(settings)) {
    if (name === "shared") form.elements.shared.checked = value;
    else form.elements[name].value = value;
  }
  form.dispatchEvent(new Event("input", { bubbles: true }));
}
"""
READ = """
() => Object.fromEntries([...document.querySelectorAll("#t2-live td")].map(
  cell => [`${cell.dataset.plan} ${cell.dataset.name}`, Number(cell.dataset.value)]))
"""


@pytest.fixture(scope="module")
def visit(browser, address):
    """Return the page in the browser, with the figure drawn; every test sets the whole form."""
    with Visit(browser, address + PAGE) as opened:
        opened.page.locator("#t2-live[data-ready]").wait_for()
        yield opened


def law_of(data: dict[str, Any]) -> Any:
    """Return the library's law with the page's parameters."""
    chinchilla = t2.Chinchilla(*(data[name] for name in ("E", "A", "B", "alpha", "beta")))
    if data["kind"] == "consistent":
        return t2.BetaConsistentLaw(chinchilla, data["c0"], data["c1"])
    return t2.BetaRegressionLaw(chinchilla, tuple(data["theta"]))


def embedded(visit: Visit) -> dict[str, Any]:
    return json.loads(visit.page.locator("#t2-live-laws").text_content() or "")


def set_form(visit: Visit, settings: dict[str, Any]) -> None:
    """Set what is given, and the rest as the page begins."""
    visit.page.evaluate(SET, embedded(visit)["start"] | {"law": 0} | settings)
    visit.page.locator("#t2-live[data-ready]").wait_for()


@pytest.mark.parametrize("settings", SETTINGS, ids=json.dumps)
def test_the_live_figure_agrees_with_the_library(visit, settings):
    """Both plans: with the training compute that was chosen, and the cheapest of all."""
    data = embedded(visit)
    set_form(visit, settings)
    shown = visit.page.evaluate(READ)
    chosen = data["start"] | {"law": 0} | settings
    law = law_of(data["laws"][chosen["law"]])
    cost = t2.CostModel(chosen["prompt"], chosen["answer"], chosen["shared"])
    question = {"target": chosen["target"], "cost": cost}
    train, queries = 10 ** chosen["train"], 10 ** chosen["queries"]

    fixed = t2.cheapest(law, **question, train_flops=train)
    assert shown["chosen query"] == pytest.approx(fixed.inference_flops, rel=1e-6)
    assert shown["chosen total"] == pytest.approx(train + queries * fixed.inference_flops, rel=1e-6)
    assert shown["chosen N"] == pytest.approx(fixed.N, rel=1e-3)
    assert shown["chosen k"] == pytest.approx(fixed.k, rel=1e-3)
    best = t2.cheapest(law, **question, queries=queries)
    assert shown["cheapest total"] == pytest.approx(best.total_flops, rel=1e-6)
    assert shown["cheapest C"] == pytest.approx(best.train_flops, rel=0.01)
    assert shown["cheapest N"] == pytest.approx(best.N, rel=0.01)
    for plan in ("chosen", "cheapest"):
        reached = law.pass_at_k(*(shown[f"{plan} {name}"] for name in "NDk"))
        assert reached >= chosen["target"] * (1 - 1e-9)
        assert reached == pytest.approx(chosen["target"], rel=1e-9) or shown[f"{plan} k"] == 1
    assert visit.faults == []


def support_of(data: dict[str, Any]) -> Support:
    """Return the library's support of what the page embeds; one k may stand for all corners."""
    rows = data["support"]["checkpoints"]
    if len(rows) == 1:
        rows = [[*corner, rows[0][2]] for corner in data["support"]["hull"]]
    return Support.of(pd.DataFrame(rows, columns=["n_params", "n_tokens", "k"]))


@pytest.mark.parametrize("settings", SETTINGS, ids=json.dumps)
def test_the_live_figure_judges_plans_by_what_was_measured(
    visit: Visit, settings: dict[str, Any]
) -> None:
    """Inside or outside, the largest k near by, and the resampled laws' forecast."""
    data = embedded(visit)
    set_form(visit, settings)
    shown = visit.page.evaluate(READ)
    law = data["laws"][settings.get("law", 0)]
    support = support_of(law)
    for plan in ("chosen", "cheapest"):
        N, D, k = (shown[f"{plan} {name}"] for name in "NDk")
        most = float(support.largest_k(*support.nearest_place(N, D)))
        assert shown[f"{plan} most"] == pytest.approx(most, rel=1e-5)
        told = visit.page.locator(f"td[data-plan={plan}][data-name=forecast]").text_content()
        values = [float(law_of(draw).pass_at_k(N, D, k)) for draw in law["draws"]]
        if values:
            low, high = np.quantile(values, [0.05, 0.95])
            assert told == f"{low:.2f}–{high:.2f}"
        else:
            assert told == "not known"
    beyond = support.outside(*(shown[f"cheapest {name}"] for name in "NDk"))
    says = visit.page.locator("#t2-live [aria-live]").text_content() or ""
    assert ("outside what was measured" in says) == any(
        name in beyond and abs(np.log(beyond[name])) > 1e-4 for name in "NDk"
    )
    assert ("not known here" in says) == (not law["draws"])


def test_resampled_laws_are_drawn_as_thin_lines(visit: Visit) -> None:
    """After the controls have answered; a law without resamples has none."""
    for law, lines in ((0, 12), (1, 0)):
        set_form(visit, {"law": law})
        visit.page.locator(f'#t2-live[data-others="{lines}"]').wait_for()
        assert visit.page.locator("#t2-live path.other").count() == lines + 1  # and the key's


def test_reset_brings_back_the_start(visit: Visit) -> None:
    """All controls, and the answer."""
    set_form(visit, {})
    before = visit.page.evaluate(READ)
    set_form(visit, {"law": 3, "train": 22, "prompt": 9, "shared": False})
    assert visit.page.evaluate(READ) != before
    visit.page.get_by_role("button", name="Reset").click()
    visit.page.locator("#t2-live[data-ready]").wait_for()
    settings = json.loads(visit.page.locator("#t2-live").get_attribute("data-ready") or "")
    assert settings["law"] == 0 and settings["prompt"] == 150 and settings["shared"]
    after = visit.page.evaluate(READ)
    assert {name: x for name, x in after.items() if x == x} == {
        name: x for name, x in before.items() if x == x
    }


def test_the_live_figure_fits_one_screen(visit: Visit) -> None:
    """With its controls, at 1440 by 900 pixels."""
    set_form(visit, {"prompt": "1e99", "answer": ""})  # with its longest note
    box = visit.page.locator("#t2-live").bounding_box()
    header = visit.page.locator(".bd-header-article").bounding_box()
    assert box and header and box["height"] + header["height"] <= 900
    assert box["width"] > 600


def test_the_chapter_embeds_its_own_laws(visit, values):
    """The page's first law makes the base plan of the chapter."""
    data = embedded(visit)
    cost = t2.CostModel(data["start"]["prompt"], data["start"]["answer"])
    plan = t2.allocate(law_of(data["laws"][0]), total_flops=3e20, queries=1e6, cost=cost)
    size = plan.N / 1e6
    assert size == pytest.approx(first(values["base-N"]), abs=1)


def test_the_live_figure_says_what_it_shows(visit):
    """In words, announced when they change, with how far the plan lies beyond the fit."""
    says = visit.page.locator("#t2-live [aria-live]")
    set_form(visit, {"train": 18})
    assert "Train more and sample less" in says.text_content()
    set_form(visit, {"train": 23})
    assert "Train less and sample more" in says.text_content()
    set_form(visit, {"target": 0.98, "queries": 10})
    assert "outside what was measured: " in says.text_content()
    assert visit.page.locator("#t2-live-desc").text_content() == says.text_content()
    assert visit.page.locator("#t2-live svg[role=img]").get_attribute("aria-labelledby")


def test_every_control_has_a_label_and_answers_to_keys(visit):
    """Sliders move by arrow keys and tell their value in units."""
    named = "element => element.labels.length === 1 && element.labels[0].textContent.trim() !== ''"
    controls = visit.page.locator("#t2-live :is(input, select)").all()
    assert len(controls) == 7
    assert all(control.evaluate(named) for control in controls)
    set_form(visit, {})
    before = visit.page.evaluate(READ)["chosen C"]
    visit.page.get_by_label("Training compute C").focus()
    visit.page.keyboard.press("ArrowRight")
    visit.page.locator("#t2-live[data-ready]").wait_for()
    assert visit.page.evaluate(READ)["chosen C"] == pytest.approx(before * 10**0.1)
    told = visit.page.get_by_label("Training compute C").get_attribute("aria-valuetext")
    assert told == "1.3 × 10²⁰ FLOPs"


@pytest.mark.parametrize("bad", ["", "-5", "1e99", "0"])
def test_numbers_out_of_range_break_nothing(visit, bad):
    """They are taken to the nearest number allowed, which is said, and the page stays whole."""
    set_form(visit, {"prompt": bad, "answer": bad})
    note = visit.page.locator("#t2-live [role=status]").text_content() or ""
    words = {"": "no number given", "-5": "the least allowed", "1e99": "1,000,000", "0": "Answer"}
    assert words[bad] in note
    settings = json.loads(visit.page.locator("#t2-live").get_attribute("data-ready"))
    assert 0 <= settings["prompt"] <= 1e6 and 1 <= settings["answer"] <= 1e6
    assert visit.page.evaluate(READ)["chosen total"] > 0
    assert visit.faults == []


def test_the_live_figure_fits_a_phone_in_the_dark(browser, address):
    """390 pixels wide: nothing sticks out, and text on the chart can be read."""
    with Visit(browser, address + PAGE, 390, "dark") as visit:
        visit.page.locator("#t2-live[data-ready]").wait_for()
        outer = visit.page.locator("#t2-live").bounding_box()
        assert outer and outer["width"] > 300
        boxes = "all => all.map(element => element.getBoundingClientRect())"
        # Curves go on beyond the chart, where they are cut off.
        for box in visit.page.locator("#t2-live :not(g[clip-path] *)").evaluate_all(boxes):
            assert box["left"] >= 0 and box["right"] <= 390
        assert visit.page.evaluate(CONTRAST) == []
        scale = "svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width"
        size = "text => parseFloat(getComputedStyle(text).fontSize)"
        drawn = visit.page.locator(".t2-live-chart").evaluate(scale)
        assert drawn * visit.page.locator(".t2-live-chart text").first.evaluate(size) >= 9
        assert visit.faults == []


def test_without_scripts_a_sentence_points_to_the_still_figure(browser, address):
    """Nothing is lost but the liveliness."""
    page = browser.new_page(java_script_enabled=False)
    page.goto(address + PAGE)
    assert "needs JavaScript" in page.locator("#t2-live").inner_text()
    assert page.get_by_text("Figure 10.3.").count() >= 1
    page.close()
