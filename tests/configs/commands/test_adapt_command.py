"""`generalist adapt`: a new task, with the foundation's own demonstrations and without them."""

import shutil

from tiny import demonstrations, trained

from generalist.configs.commands.cli import main
from generalist.demonstrations.collect import collect
from generalist.train.run import read_run

NEW = "CliffWalking-v1"
FEW = ("--task", NEW, "--episodes", "2", "--failures", "--steps", "1")


def test_a_run_learns_a_new_task_beside_its_own_where_their_demonstrations_are(tmp_path, capsys):
    data = shutil.copytree(demonstrations(), tmp_path / "data")
    collect((NEW,), data, seed=0, episodes=2, policy="random", workers=0, quiet=True)
    assert main(["adapt", str(trained()), *FEW, "--data", str(data), "--out", "beside"]) == 0
    assert "beside: a run like any other" in (said := capsys.readouterr().err)
    assert "alone" not in said
    assert all(source.weight for source in read_run("beside").config.sources)


def test_without_the_foundations_demonstrations_it_says_what_may_be_lost(tmp_path, capsys):
    collect((NEW,), tmp_path / "new", seed=0, episodes=2, policy="random", workers=0, quiet=True)
    assert main(["adapt", str(trained()), *FEW, "--data", str(tmp_path / "new"), "--out", "alone"]) == 0
    said = capsys.readouterr().err
    assert "learnt from the new demonstrations alone, as not all of the foundation's own are under " in said
    assert [source.task for source in read_run("alone").config.sources if source.weight] == [NEW]


def test_of_a_foundation_whose_own_tasks_are_all_trained_further_nothing_is_lost(capsys):
    own = ("--task", "CartPole-v1", "--task", "FrozenLake8x8-v1", "--failures", "--steps", "1", "--out", "further")
    assert main(["adapt", str(trained()), *own]) == 0
    assert "alone" not in capsys.readouterr().err
