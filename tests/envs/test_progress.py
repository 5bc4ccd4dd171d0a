import io

from rich.console import Console

from generalist.envs.progress import CollectionProgress


def console():
    return Console(file=io.StringIO(), force_terminal=True, width=100)


def test_a_line_for_the_whole_and_one_for_each_task_at_work():
    screen = console()
    tasks = {"CartPole-v1": (8, 0), "babyai/GoToObj": (4, 4), "Taxi-v4": (6, 2)}
    with CollectionProgress(tasks, visible=True, console=screen) as bars:
        bars.finish("babyai/GoToObj")
        bars.add("CartPole-v1", 2, 1000)
        bars.add("CartPole-v1", 6, 3000)
        bars.finish("CartPole-v1")
        bars.add("Taxi-v4", 3, 30)
    last = screen.file.getvalue().split("\x1b[2K")[-2:]
    assert "all tasks (2 of 3 done)" in "".join(last)
    assert "17/18" in "".join(last), "4 and 2 were there, 8 and 3 came"
    assert "Taxi-v4" in "".join(last)
    assert "5/6" in "".join(last)
    assert "steps/s" in "".join(last)
    assert "ep/s" in "".join(last)
    assert not [line for line in last if "CartPole-v1" in line]


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
