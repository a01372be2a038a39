"""Numbers in the prose: literals with an invisible key, kept equal to what a chapter computed.

In the text a number stands as a literal, followed by a comment that readers do not see:
`7<!--=wins-->`; on another page `7<!--=06_one_law:wins-->`. A chapter's cell with the tag `numbers`
ends with a dict of strings, one for each key.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

NUMBER = r"(?<![\w.,])[-−+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?[KMBT]?(?:\s?%)?"
VALUE = re.compile(rf"{NUMBER}(?:\s\({NUMBER}\sto\s{NUMBER}\))?")  # a line may end inside it
KEYED = re.compile(rf"(?P<value>{VALUE.pattern})<!--=(?P<key>[^>]*?)-->")
ANY_KEY = re.compile(r"<!--=([^>]*?)-->")
# What stands in a fence or between backticks is shown as it is written, and is no key.
CODE = re.compile(r"^ *(```+).*?^ *\1 *$|(`+)[^`\n][^\n]*?\2", re.M | re.S)
TAG = "numbers"

Computed = Mapping[str, Mapping[str, str]]  # by chapter, by key


class Mention(NamedTuple):
    """A keyed number where it stands."""

    page: str
    line: int
    chapter: str
    key: str
    value: str


def computed(notebook: Any, name: str) -> dict[str, str]:
    """Return the numbers that an executed chapter computed; none where it has no such cell.

    Raises
    ------
    ValueError
        Where the cell does not end with a dict of strings that are numbers.
    """
    cells = [c for c in notebook["cells"] if TAG in c["metadata"].get("tags", [])]
    if not cells:
        return {}
    if len(cells) > 1:
        raise ValueError(f"{name}: {len(cells)} cells have the tag {TAG}: one is wanted")
    texts = [
        "".join(output["data"].get("text/plain", ""))
        for output in cells[0].get("outputs", [])
        if output["output_type"] == "execute_result"
    ]
    try:
        found = ast.literal_eval(texts[-1])
        values = {str(key): str(value) for key, value in found.items()}
    except (IndexError, ValueError, SyntaxError, AttributeError):
        raise ValueError(f"{name}: the cell tagged {TAG} must end with a dict of strings") from None
    for key, value in found.items():
        if not isinstance(value, str) or not VALUE.fullmatch(value):
            raise ValueError(f"{name}: {key} is {value!r}: must be the text of one number")
    return values


def mentions(text: str, page: str, chapter: str) -> Iterator[Mention]:
    """Yield the keyed numbers of a page; a bare key means this chapter.

    Raises
    ------
    ValueError
        Where a key does not follow a number.
    """
    starts = set()
    text = CODE.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)
    for match in KEYED.finditer(text):
        starts.add(match.end())
        place, _, key = match["key"].rpartition(":")
        line = text.count("\n", 0, match.start()) + 1
        yield Mention(page, line, place or chapter, key, " ".join(match["value"].split()))
    for match in ANY_KEY.finditer(text):
        if match.end() not in starts:
            line = text.count("\n", 0, match.start()) + 1
            raise ValueError(f"{page}, line {line}: no number stands before the key {match[1]}")


def faults(pages: Mapping[str, str], numbers: Computed) -> list[str]:
    """Compare every page with what was computed; return a line for each difference."""
    found, used = [], set()
    for page, text in pages.items():
        try:
            here = list(mentions(text, page, Path(page).stem))
        except ValueError as error:
            found.append(str(error))
            continue
        for m in here:
            used.add((m.chapter, m.key))
            new = numbers.get(m.chapter, {}).get(m.key)
            if new is None:
                found.append(f"{m.page}, line {m.line}: {m.chapter} computes no number {m.key}")
            elif new != m.value:
                found.append(f"{m.page}, line {m.line}: {m.key} is {new}, the text says {m.value}")
    for chapter, values in numbers.items():
        unused = [key for key in values if (chapter, key) not in used]
        found += [f"{chapter}: no page mentions the number {key}" for key in unused]
    return found


def rewritten(text: str, chapter: str, numbers: Computed) -> str:
    """Return a page's text with every keyed number as it was computed."""

    def new(match: re.Match[str]) -> str:
        place, _, key = match["key"].rpartition(":")
        value = numbers.get(place or chapter, {}).get(key, match["value"])
        return f"{value}<!--={match['key']}-->"

    return KEYED.sub(new, text)
