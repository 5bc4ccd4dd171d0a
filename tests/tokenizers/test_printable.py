"""Nothing of others' text moves the cursor, turns words around or is taken for markup."""

import io

import numpy as np
import pytest
from rich.table import Table

from generalist.tokenizers.layout import Layout
from generalist.tokenizers.options import LayoutOptions
from generalist.tokenizers.printable import REPLACED, SafeConsole, printable
from generalist.tokenizers.text import ByteTokenizer
from generalist.tokenizers.viewer import SequenceView, html, table
from generalist.tokenizers.vocabulary import Vocabulary

HOSTILE = [
    "\x1b[31mred",
    "\x9b2J",
    "\x07",
    "\x08",
    "\x7f",
    "\u202egnp.exe",
    "\u2066",
    "\u2069",
    "\r",
    "\ud800",
    "\u2028",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_not_to_be_shown_is_replaced(text):
    shown = printable(f"a{text}b")
    assert REPLACED in shown
    assert not set(shown) & set("\x1b\x9b\x07\x08\x7f\u202e\u2066\u2069\r\ud800\u2028")
    assert printable(shown) == shown


def test_words_of_any_language_lines_and_tabs_stay():
    text = "na\u00efve \u0645\u0631\u062d\u0628\u0627 \u4f60\u597d \U0001f469\u200d\U0001f680\n\tx[b] \\"
    assert printable(text) == text


def test_a_console_prints_no_codes_of_others_and_takes_nothing_for_markup():
    written = io.StringIO()
    console = SafeConsole(file=written, force_terminal=True, color_system="standard", width=60)
    cells = Table(title="[red]t")
    cells.add_column("name", style="bold")
    cells.add_row("[bold]x[/] :car: \x1b]0;title\x07 \\")
    console.print(cells)
    console.print("[/] plain \u202e \x1b[2J", style="green")
    shown = written.getvalue()
    assert "[bold]x[/] :car:" in shown
    assert "[red]t" in shown
    assert "[/] plain" in shown
    assert "\x1b[2J" not in shown
    assert "\x1b]" not in shown
    assert not set(shown) & set("\x07\u202e")
    assert "\x1b[1m" in shown, "its own colours stay"


def test_the_viewer_shows_text_as_it_is_but_for_that():
    from gymnasium import spaces

    space = spaces.Text(40, charset=set(map(chr, range(0x2100))))
    layout = Layout.from_spaces(
        space, spaces.Discrete(2), vocabulary=Vocabulary(), text=ByteTokenizer(), options=LayoutOptions()
    )
    one = np.ones(1, int)
    sequence = layout.encode(["\\[b]\x1b[2J\u202e"], np.array([1]), timesteps=0 * one, segments=one, source=0)
    view = SequenceView(sequence, Vocabulary(), layout)
    for shown in (table(view), html(view)):
        assert not set(shown) & set("\x1b\u202e")
