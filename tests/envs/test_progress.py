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
    assert "episodes" not in screen.file.getvalue(), "that is what is printed without a terminal"


def test_nothing_is_printed_when_not_visible():
    screen = console()
    with CollectionProgress({"CartPole-v1": (8, 0)}, visible=False, console=screen) as bars:
        bars.add("CartPole-v1", 8, 4000)
        bars.finish("CartPole-v1")
    assert screen.file.getvalue() == ""


def test_without_a_terminal_a_line_for_every_tenth(capsys):
    with CollectionProgress({"CartPole-v1": (20, 4), "Taxi-v4": (20, 0)}, visible=True) as bars:
        bars.add("CartPole-v1", 3, 1500)  # 7 of 40
        bars.add("CartPole-v1", 1, 500)
        bars.add("CartPole-v1", 12, 6000)
        bars.finish("CartPole-v1")
        bars.add("Taxi-v4", 20, 250)
    out, err = capsys.readouterr()
    assert out == "", "stdout is for results"
    lines = err.splitlines()
    assert [line.split("  ")[:2] for line in lines] == [
        ["all tasks (0 of 2 done)", "8/40 episodes"],
        ["all tasks (0 of 2 done)", "20/40 episodes"],
        ["all tasks (1 of 2 done)", "40/40 episodes"],
    ]
    assert lines[-1].endswith("steps/s")
    assert "ep/s" in lines[-1]
