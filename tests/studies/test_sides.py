"""What a side may be, and what it is refused for."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import trained

from generalist.agent.config import DecodeConfig
from generalist.envs.files import read_json, write_json
from generalist.eval.config import EvaluationConfig, keep_evaluation
from generalist.studies.sides import sides_of
from generalist.train.checkpoint import CheckpointError
from generalist.train.run import read_run


@pytest.fixture
def runs(tmp_path) -> Path:
    """Runs s0 and s1 of two training seeds, as far as their files say; `wide` has another width too."""
    for name, seed, width in (("s0", 0, 16), ("s1", 1, 16), ("wide", 2, 32)):
        path = Path(shutil.copytree(trained(), tmp_path / "runs" / name)) / "config.json"
        stored = read_json(path, "")
        stored["config"]["seed"] = seed
        stored["config"]["agent"]["width"] = width
        write_json(path, stored)
    return tmp_path / "runs"


def steps(*given, **options) -> list[list[int]]:
    return [[each.step for each in side.chosen] for side in sides_of(given, **options)]


def test_a_side_is_a_run_one_of_its_checkpoints_or_several_training_seeds(runs):
    s0, s1 = str(runs / "s0"), str(runs / "s1")
    given = (s0, f"{s1}@3", f"{s0}@3,{s1}@3", [f"{s0}@3", runs / "s1@3"], read_run(runs / "s1"))
    assert steps(*given) == [[6], [3], [3, 3], [3, 3], [6]]
    assert steps(f"{s0},{s1}", f"{s0}@3") == [[6, 6], [3]]
    best = sides_of([s0, f"{s0}@best"])[1].chosen[0].step
    assert best in (3, 6)


def test_a_folder_that_is_there_is_meant_whatever_is_in_its_name(runs):
    odd = runs / "a,b@3"
    (runs / "s0").rename(odd)
    assert steps(str(odd), f"{odd}@3") == [[6], [3]]


def test_a_plain_policy_stands_after_a_colon(runs, monkeypatch):
    monkeypatch.chdir(runs)
    agent, linear, earlier = (side.chosen[0] for side in sides_of(["s0", "s0:linear", "s0@3:linear"]))
    assert (agent.policy, linear.policy, linear.name, linear.step) == ("agent", "linear", "s0:linear", 6)
    assert (earlier.policy, earlier.step) == ("linear", 3)
    assert agent.identity != linear.identity
    with pytest.raises(ValueError, match=r"s0:liner: after : stands .* did you mean linear"):
        sides_of(["s0", "s0:liner"])
    with pytest.raises(ValueError, match="cannot stand together: one is agent, the other linear"):
        sides_of(["s0", "s0,s1:linear"])
    (runs / "s0").rename(runs / "s0:linear")
    assert sides_of(["s0:linear", "s1"])[0].chosen[0].policy == "agent"


def test_all_sides_play_the_episodes_of_the_first_and_act_as_their_own_settings_say(runs):
    keep_evaluation(runs / "s0", EvaluationConfig(episodes=7, prompts=2))
    keep_evaluation(runs / "s1", EvaluationConfig(episodes=9, decode=DecodeConfig(discrete="sample")))
    one, two = (side.chosen[0].config for side in sides_of([runs / "s0", runs / "s1"]))
    assert (one.episodes, two.episodes) == (7, 7)
    assert (one.prompts, two.prompts) == (2, 0)
    assert two.decode.discrete == "sample"
    assert [side.chosen[0].config.episodes for side in sides_of([runs / "s0", runs / "s1"], 30)] == [30, 30]


def test_the_same_agent_is_seen_under_another_name(runs, monkeypatch):
    monkeypatch.chdir(runs)
    one, two, earlier, other = sides_of(["s0", str(runs / "s0@6"), "s0@3", "s1"])
    assert one.same_as(two)
    assert not one.same_as(earlier)
    assert not one.same_as(other)
    changed = replace(two.chosen[0], config=replace(two.chosen[0].config, prompts=3))
    assert not one.same_as(replace(two, chosen=(changed,)))


def test_runs_that_differ_in_more_than_the_seed_do_not_stand_together(runs):
    with pytest.raises(ValueError, match=r"differ in more than the seed: agent\.width: 16 and 32$"):
        sides_of([f"{runs / 's0'},{runs / 'wide'}", runs / "s1"])
    with pytest.raises(ValueError, match="one is at update 6, the other at 3"):
        sides_of([f"{runs / 's0'},{runs / 's1'}@3", runs / "s1"])
    with pytest.raises(ValueError, match="training seeds of their own, got 0, 0"):
        sides_of([f"{runs / 's0'},{runs / 's0'}", runs / "s1"])
    keep_evaluation(runs / "s1", EvaluationConfig(prompts=4))
    with pytest.raises(ValueError, match="other settings: prompts: 0 and 4"):
        sides_of([f"{runs / 's0'},{runs / 's1'}", runs / "s1"])


def test_runs_that_began_from_other_foundations_do_not_stand_together(runs):
    def begun(name: str, foundation: dict | None) -> None:
        path = runs / name / "config.json"
        write_json(path, read_json(path, "") | {"foundation": foundation})

    pair = f"{runs / 's0'},{runs / 's1'}"
    begun("s0", {"run": str(runs / "f0"), "step": 3, "parameters": True})
    begun("s1", {"run": str(runs / "f0"), "step": 6, "parameters": True})
    with pytest.raises(ValueError, match="began from other foundations: step: 3 and 6"):
        sides_of([pair, runs / "wide"])
    begun("s1", {"run": str(runs / "f1"), "step": 3, "parameters": True})
    with pytest.raises(ValueError, match=r"began from other foundations: run: .*f0 and .*f1"):
        sides_of([pair, runs / "wide"])
    for name, seed in (("f0", 0), ("f1", 1)):
        path = Path(shutil.copytree(trained(), runs / name)) / "config.json"
        stored = read_json(path, "")
        stored["config"]["seed"] = seed
        write_json(path, stored)
    assert steps(pair, runs / "wide") == [[6, 6], [6]]
    begun("s0", None)
    with pytest.raises(ValueError, match="began from other foundations"):
        sides_of([pair, runs / "wide"])


def test_a_run_does_not_stand_on_both_sides_among_others(runs, monkeypatch):
    monkeypatch.chdir(runs)
    with pytest.raises(ValueError, match="s0@6 stands on both sides"):
        sides_of(["s0,s1", "s0@6"])
    assert steps("s0,s1", "s1,s0", "s0@3") == [[6, 6], [6, 6], [3]]


def test_what_cannot_be_is_said(runs):
    with pytest.raises(ValueError, match="at least two runs, got 1"):
        sides_of([runs / "s0"])
    with pytest.raises(FileNotFoundError, match=r"s7 is not a run directory.* did you mean .*s"):
        sides_of([runs / "s0", runs / "s7"])
    with pytest.raises(FileNotFoundError, match="generalist train"):
        sides_of([runs / "s0", "nowhere/at/all"])
    with pytest.raises(ValueError, match="after @ stands the number of an update, or best"):
        sides_of([runs / "s0", f"{runs / 's0'}@bset"])
    with pytest.raises(ValueError, match="RUN,RUN"):
        sides_of([runs / "s0", f"{runs / 's0'},"])
    with pytest.raises(ValueError, match="at least 2 episodes"):
        sides_of([runs / "s0", runs / "s1"], 1)
    shutil.rmtree(runs / "s1" / "checkpoints")
    with pytest.raises(CheckpointError, match="has no checkpoint yet"):
        sides_of([runs / "s0", runs / "s1"])
    path = runs / "s0" / "config.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 7'))
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        sides_of([runs / "s0", runs / "s1"])
