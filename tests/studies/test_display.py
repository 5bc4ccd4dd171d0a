"""What a study says where there is no terminal: what was done before, lines now and then, the last part."""

import pytest

from generalist.studies import display
from generalist.studies.display import StudyDisplay


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the display reads; a test moves them on."""
    now = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    return now


def test_it_says_what_was_done_before_a_line_now_and_then_and_the_last(clock: list[float], capsys):
    with StudyDisplay().working("training", total=6, known=2) as done:
        for name, seconds in (("a", 30.0), ("b", 31.0), ("c", 90.0), ("d", 91.0)):
            clock[0] = seconds
            done(name)
    assert capsys.readouterr().err.splitlines() == [
        "training: 2 of 6 were done before",
        "training: 3 of 6, a; about 2 min left of these",  # 30 s for one, three left
        "training: 5 of 6, c; less than a minute left of these",
        "training: 6 of 6, d",
    ]


def test_quiet_is_quiet(clock: list[float], capsys):
    show = StudyDisplay(quiet=True)
    show.say("loading")
    with show.working("training", total=2, known=1) as done:
        done("a")
    assert capsys.readouterr().err == ""
