"""Plans for pages on which a mouse is enough: buttons, links, boxes, tabs, menus, lists and drawings."""

from __future__ import annotations

import re

from generalist.envs.experts.web_plans import Page, Plan, click, first, hover, submit, wait
from generalist.envs.web_page import PRESS, RELEASE, SCROLL_DOWN, SCROLL_UP, TOP, WHEEL, Element, act


def only_button(page: Page) -> Plan:
    yield click(page.one("button"))


def named_button(page: Page) -> Plan:
    yield click(page.one("button", text=page.field("target")))


def both_buttons(page: Page) -> Plan:
    yield click(page.one("button", text="ONE"))
    yield click(page.one("button", text="TWO"))


def named_link(page: Page) -> Plan:
    yield click(page.one("span", classes="alink", text=page.field("target")))


def dialog_button(page: Page) -> Plan:
    """The one that the instruction names, or the cross in the corner."""
    name = page.field("target")
    yield click(page.one("button", text=name) if len(name) > 1 else page.one("span", part="ui-button-icon"))


def named_color(page: Page) -> Plan:
    yield click(first(each for each in page.all("div") if each.attributes.get("data-color") == page.field("target")))


def named_widget(page: Page) -> Plan:
    yield click(page.one(page.field("target")))


def text_box(page: Page) -> Plan:
    """The only one, or the one with the number that the instruction names."""
    yield click(page.all("text")[int(page.field("target") or 1) - 1])


def tab(page: Page) -> Plan:
    yield click(page.one("a", text=f"Tab #{page.field('target')}"))


def link_behind_tabs(page: Page) -> Plan:
    """Opens one after the other until the link is to be seen."""
    for each in page.all("a"):
        yield click(each)
        if found := page.all("span", classes="alink", text=page.field("target")):
            yield click(found[0])
            return


def link_behind_sections(page: Page) -> Plan:
    """The same, in sections that open in their time."""
    for number in range(len(page.all("h3"))):
        if not page.all("span", classes="alink", text=page.field("target")):
            yield click(page.all("h3")[number])
            yield wait()
    yield from named_link(page)


def section_and_button(page: Page) -> Plan:
    yield click(page.one("h3"))
    yield wait()
    yield from submit(page)


def boxes(page: Page) -> Plan:
    """Ticks those that the instruction lists."""
    wanted = [value for name, value in page.fields if name.startswith("target")]
    for name in wanted:
        yield click(page.one("label", text=name))
    yield from submit(page)


def option(page: Page) -> Plan:
    yield click(page.one("label", text=page.field("target")))
    yield from submit(page)


def grid_point(page: Page) -> Plan:
    yield click(page.one("circle", id=f"({page.field('x')},{page.field('y')})"))


def menu_item(page: Page) -> Plan:
    """Opens each menu on the way with the mouse on it."""
    *above, last = page.field("target").split(">")
    for name in above:
        yield hover(page.one("div", text=name))
        yield wait()
    yield click(page.one("div", text=last))


SHAPES = {"rect": "rectangle", "circle": "circle", "polygon": "triangle"}
COLORS = {
    "rgb(255, 0, 0)": "red",
    "rgb(0, 128, 0)": "green",
    "rgb(0, 0, 255)": "blue",
    "rgb(0, 255, 255)": "aqua",
    "rgb(0, 0, 0)": "black",
    "rgb(255, 0, 255)": "magenta",
    "rgb(255, 255, 0)": "yellow",
}
"""Of the drawings, as the page computes them."""


def drawings(page: Page) -> list[Element]:
    return page.all("text", *SHAPES, drawn=True)


def kind_of(drawing: Element) -> str:
    if drawing.tag in SHAPES:
        return "shape"
    return "digit" if drawing.text.isdigit() else "letter"


def is_wanted(drawing: Element, page: Page) -> bool:
    """Whether a drawing is of the size, colour and kind that the instruction names. Small ones are 10 pixels wide."""
    name, kind = SHAPES.get(drawing.tag, drawing.text), kind_of(drawing)
    size = drawing.attributes.get("font-size") or drawing.attributes.get("width") or drawing.width
    facts = {
        "size": "large" if float(str(size).removesuffix("px")) > 15 else "small",
        "color": COLORS.get(drawing.fill, ""),
        "target": name,
    }
    wanted = dict(page.fields)
    if wanted.get("type", "item") not in ("item", kind):
        return False
    return all(facts[each] == value for each, value in wanted.items() if each != "type")


def shape(page: Page) -> Plan:
    """Any of those that the instruction describes."""
    yield click(first(each for each in drawings(page) if is_wanted(each, page)))


def number_of_shapes(page: Page) -> Plan:
    count = sum(is_wanted(each, page) for each in drawings(page))
    yield click(page.one("button", text=str(count)))


def kind_of_shape(page: Page) -> Plan:
    [figure] = drawings(page)
    names = {"letter": "Letter", "digit": "Number"}
    yield click(page.one("button", text=names.get(kind_of(figure)) or SHAPES[figure.tag].capitalize()))


def shades(page: Page) -> Plan:
    """Those whose wanted part of red, green and blue is the largest."""
    place = ("red", "green", "blue").index(page.field("target"))
    for each in page.all("span"):
        parts = [int(part) for part in re.findall(r"\d+", each.background)]
        if parts[place] == max(parts[:3]):
            yield click(each)
    yield click(page.one("button"))


def in_order(page: Page) -> Plan:
    for each in sorted(drawings(page), key=lambda one: int(one.text)):
        yield click(each)


def file_of_tree(page: Page) -> Plan:
    """Opens folder after folder, from the top, until the file is to be seen."""
    opened: set[str] = set()
    while not page.all("span", text=page.field("target")):
        closed = [each for each in page.all("span", part="folder") if each.text not in opened]
        if not closed:
            return
        opened.add(closed[0].text)
        yield click(closed[0])
        yield wait()
    yield click(page.one("span", text=page.field("target")))


POST_BUTTONS = {
    "Share via DM": "share",
    "Copy link to Tweet": "copy",
    "Embed Tweet": "embed",
    "Mute": "menu-user",
    "Block": "block-user",
    "Report": "report",
}
"""Classes of those whose name is another one."""


def post_button(page: Page) -> Plan:
    """One below a user's post, or in its menu."""
    name = page.field("button")
    part = POST_BUTTONS.get(name, name.lower())
    if not behind(page, page.field("user"), part):
        yield from brought_here(page, "more", page.field("user"))
        yield click(behind(page, page.field("user"), "more")[0])
    yield from brought_here(page, part, page.field("user"))
    yield click(behind(page, page.field("user"), part)[0])


def every_post_button(page: Page) -> Plan:
    """Those below all posts of a user."""
    part = page.field("button").lower()
    for number in range(len(behind(page, page.field("user"), part))):
        yield from brought_here(page, part, page.field("user"), number)
        yield click(behind(page, page.field("user"), part)[number])
    while not page.all("button"):
        yield act(SCROLL_DOWN, (80, 130))
    yield click(page.one("button"))


def behind(page: Page, text: str, part: str) -> list[Element]:
    """What is of a class and stands behind that text, before the next text of its kind; wherever on the page."""
    found, kind, on = [], "", False
    for each in page.every:
        if each.text == text:
            kind, on = each.classes, True
        elif each.classes == kind:
            on = False
        if on and part in each.classes.split():
            found.append(each)
    return found


def brought_here(page: Page, part: str, text: str, number: int = 0) -> Plan:
    """Scroll until it is to be seen."""
    for _ in range(MOST_SCROLLS):
        found = behind(page, text, part)
        if len(found) <= number or TOP < found[number].middle[1] < LOWEST:
            return
        yield act(SCROLL_DOWN if found[number].middle[1] > TOP else SCROLL_UP, (80, 130))


MOST_SCROLLS, LOWEST = 20, 190
"""Below, the end of what is seen of a list may lie over what is clicked."""


def mail_button(page: Page) -> Plan:
    """The bin or the star of a mail."""
    part = "trash" if page.field("task") == "delete" else "star"
    yield from brought_here(page, part, page.field("by"))
    yield click(behind(page, page.field("by"), part)[0])


def ticket(page: Page) -> Plan:
    """The button of the one that costs or takes the most or the least."""
    most, of = page.field("target").split(" ")[0] in ("most", "longest"), page.field("target").split(" ")[-1]
    buttons = page.all("button")
    key = "data-price"
    if of == "duration":
        key, times = "data-duration", [each for each in page.all("div") if "data-duration" in each.attributes]
        pairs = list(zip(times, buttons, strict=True))
    else:
        pairs = [(each, each) for each in buttons]
    yield click((max if most else min)(pairs, key=lambda pair: float(pair[0].attributes[key]))[1])


def middle_of_circle(page: Page) -> Plan:
    yield click(page.one("circle"))
    yield from submit(page)


def box_in_box(page: Page) -> Plan:
    yield act(PRESS, page.one("div", id="draggableSmall"))
    yield act(RELEASE, page.one("div", id="draggableLarge"))
    yield from submit(page)


def marked_text(page: Page) -> Plan:
    """From beside its beginning to below its end."""
    each = page.one("div", id="randomText")
    yield act(PRESS, (each.left, each.top + 4))
    yield act(RELEASE, (each.left + each.width, each.top + each.height + 2))
    yield from submit(page)


def contact(page: Page) -> Plan:
    """Turns the pages of a book of contacts."""
    while not page.all("h2", text=page.field("name")):
        yield click(page.one("a", text=">"))
    yield click(page.one("a", classes=page.field("target").split(" ")[0]))


def odd_or_even(page: Page) -> Plan:
    numbers = [each for each in page.all("div") if re.fullmatch(r"-?\d+", each.text)]
    for each in numbers:
        name = "Even" if int(each.text) % 2 == 0 else "Odd"
        row = min(page.all("button", text=name), key=lambda button: abs(button.middle[1] - each.middle[1]))
        yield click(row)
    yield click(page.one("button", text="Submit"))


def stepped_number(page: Page) -> Plan:
    """A number by the arrows beside it."""
    up, down = page.all("span", part="ui-button-icon")
    target = int(page.field("target"))
    for _ in range(abs(target)):
        yield click(up if target > 0 else down)
    yield from submit(page)


def date_in_calendar(page: Page) -> Plan:
    """Turns the calendar to the month, and clicks the day."""
    month, day = int(page.field("month")), page.field("day")
    yield click(page.one("text"))
    yield wait()
    while month_shown(page) != month:
        yield click(page.one("span", part="ui-icon-circle-triangle-w" if month_shown(page) > month else EAST))
    yield click(page.one("a", text=day))
    yield wait()
    yield from submit(page)


EAST = "ui-icon-circle-triangle-e"
MONTHS: tuple[str, ...] = tuple(
    "January February March April May June July August September October November December".split()
)


def month_shown(page: Page) -> int:
    return MONTHS.index(page.one("span", part="ui-datepicker-month").text) + 1


def scrolled_end(page: Page) -> Plan:
    """Scrolls a text to its top or its bottom."""
    way = SCROLL_UP if page.field("target") == "top" else SCROLL_DOWN
    area = page.one("textarea")
    above, whole, seen = area.scroll
    left = above if way == SCROLL_UP else whole - seen - above
    for _ in range(int(left // WHEEL) + 1):
        yield act(way, area)
    yield click(page.one("button"))


def generated_number(page: Page) -> Plan:
    """Draws until the number fits."""
    limit, criterion = page.field("number"), page.field("criterion")
    while True:
        yield click(page.one("button", text="Generate"))
        shown = first(each for each in page.all("div") if re.fullmatch(r"-?\d+", each.text))
        number = int(shown.text)
        fits = {"less than": number < int(limit or 0), "greater than": number > int(limit or 0)}
        fits |= {"odd": number % 2 == 1, "even": number % 2 == 0}
        if fits.get(criterion, False):
            break
    yield click(page.one("button", text="Submit"))
