"""Numbers in the prose: found, compared with what was computed, and written anew."""

import keyed
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

NUMBERS = {"06_one_law": {"wins": "7", "error": "0.12 (0.10 to 0.14)", "share": "53 %"}}
TEXT = "On 7<!--=wins--> tasks it errs by 0.12 (0.10 to 0.14)<!--=error-->, or 53 %<!--=share-->.\n"


def chapter(text, tags=("numbers",)):
    data = {"text/plain": text}
    output = new_output("execute_result", data, execution_count=1)
    return new_notebook(cells=[new_code_cell("x", outputs=[output], metadata={"tags": list(tags)})])


def test_a_chapters_numbers_are_read_from_its_cell():
    assert keyed.computed(chapter("{'a': '1',\n 'b': '2.5 (2 to 3)'}"), "01") == {
        "a": "1",
        "b": "2.5 (2 to 3)",
    }
    assert keyed.computed(chapter("{}", tags=[]), "01") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{'a': 1}", "01: a is 1: must be the text of one number"),
        ("{'a': 'seven'}", "01: a is 'seven': must be the text of one number"),
        ("{'a': '1 of 2'}", "01: a is '1 of 2': must be the text of one number"),
        ("DataFrame", "01: the cell tagged numbers must end with a dict of strings"),
    ],
)
def test_what_is_no_number_is_refused(text, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        keyed.computed(chapter(text), "01")


def test_equal_numbers_have_no_fault():
    pages = {"chapters/06_one_law.md": TEXT, "book/intro.md": "7<!--=06_one_law:wins-->"}
    assert keyed.faults(pages, NUMBERS) == []


def test_every_difference_is_named_at_once():
    text = TEXT.replace("On 7", "On 8").replace("53 %", "54 %") + "9<!--=other-->"
    assert keyed.faults({"chapters/06_one_law.md": text}, NUMBERS) == [
        "chapters/06_one_law.md, line 1: wins is 7, the text says 8",
        "chapters/06_one_law.md, line 1: share is 53 %, the text says 54 %",
        "chapters/06_one_law.md, line 2: 06_one_law computes no number other",
    ]


def test_a_number_that_no_page_mentions_is_named():
    text = TEXT.split(", or")[0]
    assert keyed.faults({"chapters/06_one_law.md": text}, NUMBERS) == [
        "06_one_law: no page mentions the number share"
    ]


def test_a_key_without_a_number_is_named():
    text = "some<!--=wins-->"
    assert keyed.faults({"book/intro.md": text}, {}) == [
        "book/intro.md, line 1: no number stands before the key wins"
    ]


def test_numbers_are_written_where_they_stand():
    new = {"06_one_law": {"wins": "-6", "error": "1,234", "share": "7 % (6 % to 8 %)"}}
    text = keyed.rewritten(TEXT, "06_one_law", new)
    assert text == "On -6<!--=wins--> tasks it errs by 1,234<!--=error-->, or " + (
        "7 % (6 % to 8 %)<!--=share-->.\n"
    )
    assert keyed.faults({"chapters/06_one_law.md": text}, new) == []
    assert keyed.rewritten(text, "06_one_law", NUMBERS) == TEXT


def test_code_shows_a_key_and_has_none():
    text = "as in `7<!--=wins-->`:\n\n```text\n7<!--=wins-->\n```\n"
    assert keyed.faults({"book/check.md": text}, {}) == []


def test_a_number_starts_where_it_starts_and_may_cross_a_line():
    text = "1-7<!--=wins-->, 0.12 (0.10\nto 0.14)<!--=error-->, 53 %<!--=share-->"
    assert keyed.faults({"chapters/06_one_law.md": text}, NUMBERS) == []
    assert all(keyed.VALUE.fullmatch(number) for number in ("3e-05", "70M", "-0.1", "12%"))
