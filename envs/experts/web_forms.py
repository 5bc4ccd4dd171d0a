"""Plans for pages into which something is typed."""

from __future__ import annotations

import re

from generalist.envs.experts.web_plans import Page, Plan, click, fill, first, submit, wait, write
from generalist.envs.web_page import Element, type_field, type_key


def text(page: Page) -> Plan:
    yield from fill(page, page.one("text"), "target")
    yield from submit(page)


def password_twice(page: Page) -> Plan:
    for each in page.all("password"):
        yield from fill(page, each, "target")
    yield from submit(page)


def login(page: Page) -> Plan:
    """A question that comes in between is answered with no."""
    for tag, name in (("text", "username"), ("password", "password")):
        yield click(page.one(tag))
        if question := page.all("button", id="popup-cancel"):
            yield click(question[0])
            yield click(page.one(tag))
        yield type_field(page.place(name))
    yield from submit(page)


def date(page: Page) -> Plan:
    """The click is on the input's first part, the others follow as the keys fill it."""
    each = page.one("date")
    yield click((each.left + 8, each.middle[1]))
    yield type_field(page.place("target"))
    yield from submit(page)


def time(page: Page) -> Plan:
    """The same; an hour of one digit waits for a second one, so it has a zero before it."""
    each = page.one("time")
    yield click((each.left + 8, each.middle[1]))
    yield from write(page.field("target").rjust(7, "0"))
    yield from submit(page)


def in_case(page: Page) -> Plan:
    word, case = page.field("text"), page.field("case")
    yield click(page.one("text"))
    yield from write(word.upper() if case == "upper" else word.lower())
    yield from submit(page)


def list_option(page: Page) -> Plan:
    yield click(page.one("select"))
    yield type_field(page.place("target"))
    yield click(page.one("button"))


def table_value(page: Page) -> Plan:
    cells = page.all("td")
    names = [each.text for each in cells]
    yield click(page.one("text"))
    yield from write(cells[names.index(page.field("target")) + 1].text)
    yield from submit(page)


def result(page: Page) -> Plan:
    """Of a problem such as "7 - 9 ="."""
    found = first(match for each in page.all("div") if (match := re.fullmatch(PROBLEM, each.text)))
    yield click(page.one("text"))
    yield from write(str(reckoned(int(found[1]), found[2], int(found[3]))))
    yield from submit(page)


PROBLEM = r"(-?\d+) ([-+x*]) (-?\d+) =\??"


def reckoned(one: int, sign: str, other: int) -> int:
    return {"+": one + other, "-": one - other}.get(sign, one * other)


def unknown(page: Page) -> Plan:
    """Of an equation such as "x - 3 = 5" or "3 + x = 5"."""
    found = first(match for each in page.all("div") if (match := re.fullmatch(EQUATION, each.text)))
    one, sign, other, total = found.groups()
    if one == "x":
        value = int(total) - int(other) if sign == "+" else int(total) + int(other)
    else:
        value = int(total) - int(one) if sign == "+" else int(one) - int(total)
    yield click(page.one("text"))
    yield from write(str(value))
    yield from submit(page)


EQUATION = r"(x|-?\d+) ([-+]) (x|-?\d+) = (-?\d+)"


def sum_of_blocks(page: Page) -> Plan:
    count = len(page.all("span", part="addition-block"))
    yield click(page.one("text"))
    yield from write(str(count))
    yield from submit(page)


def guessed_number(page: Page) -> Plan:
    """Halves what is left."""
    low, high = 0, 9
    while low < high:
        guess = (low + high) // 2
        yield from typed_over(page, str(guess))
        yield from submit(page)
        higher = any(each.text.startswith("The number is higher") for each in page.all("div"))
        low, high = (guess + 1, high) if higher else (low, guess - 1)
        high = max(low, high)
    yield from typed_over(page, str(low))
    yield from submit(page)


def typed_over(page: Page, text: str) -> Plan:
    """In place of what stands in the input."""
    yield click(page.one("number", "text"))
    yield type_key("a")
    yield from write(text)


def film(page: Page) -> Plan:
    """Three values, by their names; where the first input stands before any name, each name is below its input."""
    words = {"genre": ("Genre",), "director": ("Director",), "year": ("Year", "Date")}
    inputs = page.all("text")
    names = [each for each in page.all() if each.text.rstrip(":").split(" ")[-1] in LAST_WORDS]
    for name, found in words.items():
        at = first(place for place, each in enumerate(names) if any(word in each.text for word in found))
        yield click(inputs[at])
        yield type_field(page.place(name))
    yield click(first(each for each in page.all()[::-1] if each.text in ("Submit", "Search", "Go!")))


LAST_WORDS = ("Genre", "Director", "Name", "Year", "Date")
"""Of the names of inputs: "Movie Genre", "Director Name", "Released Date"."""


def table_values(page: Page) -> Plan:
    cells = page.all("td")
    values = {each.text: other.text for each, other in zip(cells[::2], cells[1::2], strict=False)}
    for each in page.all("label"):
        yield click(beside(page, each.middle[1]))
        yield from write(values[each.text.rstrip(":")])
    yield click(page.one("button"))


def beside(page: Page, height: float) -> Element:
    """The input at that height."""
    return min(page.all("text"), key=lambda each: abs(each.middle[1] - height))


def search_result(page: Page) -> Plan:
    """Three results on a page."""
    yield from fill(page, page.one("text"), "query")
    yield click(page.one("button"))
    rank = int(page.field("rank")) - 1
    yield wait()
    if rank >= 3:
        yield click(page.one("a", text=str(rank // 3 + 1)))
        yield wait()
    yield click(page.all("a", part="search-title")[rank % 3])


def word_of_paragraph(page: Page) -> Plan:
    word = page.one("p").text.split()[int(page.field("target")) - 1]
    yield click(page.one("text"))
    yield from write(word.strip(".,"))
    yield from submit(page)


def letters_shown(page: Page) -> Plan:
    """Letters that stand askew."""
    word = "".join(each.text for each in sorted(page.all("span"), key=lambda each: each.left))
    yield click(page.one("text"))
    yield from write(word)
    yield from submit(page)


def copied(page: Page) -> Plan:
    """The whole of a text, by the clipboard."""
    yield click(page.all("textarea")[int(page.field("target") or 1) - 1])
    yield type_key("a")
    yield type_key("c")
    yield click(page.one("text"))
    yield type_key("v")
    yield from submit(page)


def completed(page: Page) -> Plan:
    """What begins, and ends, as the instruction says, of the list that opens below."""
    yield click(page.one("text"))
    yield type_field(page.place("start"))
    yield wait()
    start, end = page.field("start"), page.field("end")
    fits = [each for each in page.all("div", "li") if each.text.startswith(start) and each.text.endswith(end)]
    if not fits:
        return
    yield click(fits[0])
    yield from submit(page)
