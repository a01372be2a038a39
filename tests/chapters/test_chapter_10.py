"""Chapter 10: its headline numbers, and its live figure in a browser against the library."""

import json
from typing import Any

import pytest
from pages import CONTRAST, Visit

import t2lib as t2

PAGE = "chapters/10_planning_a_budget.html"


@pytest.fixture(scope="module")
def values(glued):
    """Return the chapter's glued texts without their quotes."""
    return {name: text.strip("'") for name, text in glued("10").items()}


def percent(text):
    """Read ``90%`` as a share."""
    return float(text.rstrip("%")) / 100


def test_what_is_counted(values):
    """6 N D is near the full count at 1 B parameters, and twice it for a tiny model."""
    assert float(values["count-train"]) == pytest.approx(0.96, abs=0.02)
    assert float(values["count-small"]) == pytest.approx(0.55, abs=0.02)
    assert float(values["count-long"]) == pytest.approx(2.0, abs=0.1)
    assert int(values["fit-shared"]) > 5 * int(values["fit-apart"])


def test_one_budget_and_two_give_the_same_plan(values):
    """The split is all that the one budget adds; the reverse question inverts the forward one."""
    assert float(values["again"]) < 1e-4
    assert float(values["reverse"]) < 1e-9
    assert float(values["rule-left"]) == pytest.approx(float(values["rule-right"]), rel=0.01)


def test_the_base_case(values):
    """A million maths problems."""
    assert values["base-N"].endswith("M") and 80 < float(values["base-N"][:-1]) < 125
    assert percent(values["base-share"]) == pytest.approx(0.55, abs=0.03)
    assert values["base-inside"] == "It lies inside what was fitted"
    assert percent(values["flat-high"]) - percent(values["flat-low"]) > 0.15


def test_few_queries_and_one_sample_are_chinchilla(values):
    """And more queries shrink the model."""
    assert float(values["queries-rare"]) == pytest.approx(1, abs=1e-3)
    assert (values["queries-N"], values["queries-share"]) == ("shrinks", "grows")


def test_what_the_verdict_depends_on(values):
    """Overtraining stands in nearly every variation."""
    stands, of = map(int, values["verdict-over"].split(" of "))
    assert of == 16 and stands >= 14
    sampled, _ = map(int, values["verdict-more"].split(" of "))
    assert sampled == of - 1  # all but the one that forbids it


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


def test_the_chapter_embeds_its_own_laws(visit, values):
    """The page's first law makes the base plan of the chapter."""
    data = embedded(visit)
    cost = t2.CostModel(data["start"]["prompt"], data["start"]["answer"])
    plan = t2.allocate(law_of(data["laws"][0]), total_flops=3e20, queries=1e6, cost=cost)
    assert t2.plots.engineering(plan.N) == values["base-N"]


def test_the_live_figure_says_what_it_shows(visit):
    """In words, announced when they change, with how far the plan lies beyond the fit."""
    says = visit.page.locator("#t2-live [aria-live]")
    set_form(visit, {"train": 18})
    assert "Train more and sample less" in says.text_content()
    set_form(visit, {"train": 23})
    assert "Train less and sample more" in says.text_content()
    set_form(visit, {"target": 0.98, "queries": 10})
    assert "beyond what was fitted: " in says.text_content()
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
    """They are taken to the nearest number allowed, and the page stays whole."""
    set_form(visit, {"prompt": bad, "answer": bad})
    settings = json.loads(visit.page.locator("#t2-live").get_attribute("data-ready"))
    assert 0 <= settings["prompt"] <= 1e6 and 1 <= settings["answer"] <= 1e6
    assert visit.page.evaluate(READ)["chosen total"] > 0
    assert visit.faults == []


def test_the_live_figure_fits_a_phone_in_the_dark(browser, address):
    """390 pixels wide: nothing sticks out, and text on the chart can be read."""
    with Visit(browser, address + PAGE, 390, "dark") as visit:
        visit.page.locator("#t2-live[data-ready]").wait_for()
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
    assert page.locator("#ch10-fig-target img").count() == 1
    page.close()
