import io

from rich.console import Console

from generalist.envs.progress import CollectionProgress


def console():
    return Console(file=io.StringIO(), force_terminal=True, width=100)


def test_a_line_per_task_with_counts_and_rates():
    screen = console()
    with CollectionProgress({"CartPole-v1": (8, 0), "babyai/GoToObj": (4, 4)}, visible=True, console=screen) as bars:
        bars.add("CartPole-v1", 2, 1000)
        bars.add("CartPole-v1", 6, 3000)
        bars.finish("CartPole-v1")
    last = screen.file.getvalue()
    assert "CartPole-v1" in last
    assert "8/8" in last
    assert "4/4" in last
    assert "steps/s" in last
    assert "ep/s" in last


def test_nothing_is_printed_when_not_visible():
    screen = console()
    with CollectionProgress({"CartPole-v1": (8, 0)}, visible=False, console=screen) as bars:
        bars.add("CartPole-v1", 8, 4000)
        bars.finish("CartPole-v1")
    assert screen.file.getvalue() == ""


def test_bars_leave_stdout_to_results(capsys):
    with CollectionProgress({"CartPole-v1": (8, 0)}, visible=True) as bars:
        bars.add("CartPole-v1", 8, 4000)
    out, err = capsys.readouterr()
    assert out == ""
    assert "8/8" in err
