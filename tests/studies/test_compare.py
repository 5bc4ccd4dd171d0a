"""Whole comparisons of small runs: what is read, what is played, what is left out, and what is written."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from page_words import Words
from tiny import TASKS, demonstrations, train_here, trained

from generalist.configs.commands.cli import main
from generalist.envs.files import read_json, write_json
from generalist.envs.trust import UntrustedModule
from generalist.eval.config import EvaluationConfig, keep_evaluation
from generalist.eval.evaluate import evaluate
from generalist.eval.report.record import load_report, recompute
from generalist.studies import playing
from generalist.studies.compare import ComparisonError, compare

CONFIG = EvaluationConfig(episodes=4, slots=3, prompts=2, films=False, selection_episodes=1, workers=1)
LAKE = TASKS[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Runs s0 and s1 of two seeds, both evaluated; not to be changed."""
    folder = tmp_path_factory.mktemp("compared")
    shutil.copytree(trained(), folder / "s0")
    train_here(folder / "s1", seed=1)
    for name in ("s0", "s1"):
        keep_evaluation(folder / name, CONFIG)
        evaluate(folder / name, quiet=True)
        if name == "s0":  # the baselines are the same ones
            ours = shutil.ignore_patterns("*.agent.json", "episodes")
            shutil.copytree(folder / "s0" / "evaluation", folder / "s1" / "evaluation", ignore=ours)
    return folder


@pytest.fixture
def runs(made, tmp_path, monkeypatch) -> Path:
    """Copies, in the working directory."""
    for name in ("s0", "s1"):
        shutil.copytree(made / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def played(monkeypatch) -> list[tuple[str, int]]:
    """Policy or "ends", task and number of episodes of everything that is played."""
    seen = []

    def play(agent, task, data, config, seeds, progress=None):
        seen.append((f"{agent.run.directory.name}@{agent.step}", task.id, len(seeds)))
        return real(agent, task, data, config, seeds, progress)

    real = playing.play
    monkeypatch.setattr(playing, "play", play)
    submit = playing._Ends.submit

    def ends(self, pool, task):
        known = self.found.get(task.id, {"random": None})["random"]
        seen.append(("ends", task.id, len(self.seeds) - (len(known.returns) if known else 0)))
        return submit(self, pool, task)

    monkeypatch.setattr(playing._Ends, "submit", ends)
    return seen


def test_finished_evaluations_are_read_and_nothing_is_played(runs, played):
    found = compare("s0", "s1", quiet=True)
    assert played == []
    (one,) = found["comparisons"]
    reports = [load_report(runs / name / "report.json") for name in ("s0", "s1")]
    for row, first, second in zip(one["tasks"], *(report["tasks"] for report in reports), strict=True):
        assert row["id"] == first["id"]
        assert (row["first"], row["second"]) == (first["agent"]["mean"], second["agent"]["mean"])
        assert row["normalized_first"] == pytest.approx(first["normalized"])
    assert one["overall"]["first"] == pytest.approx(reports[0]["overall"]["mean"])
    assert one["overall"]["second"] == pytest.approx(reports[1]["overall"]["mean"])
    assert one["tasks"][1]["test"] == "mcnemar"  # the return of FrozenLake is its success
    assert one["tasks"][0]["test"] == "sign flips"
    assert read_json(Path("comparison/compare.json"), "")["comparisons"] == json.loads(json.dumps([one]))
    text = Words(Path("comparison/compare.html").read_text()).text
    assert one["headline"] in text
    assert all(row["words"] in text for row in one["tasks"])
    shown = Words(found._repr_html_()).text
    assert one["headline"] in shown
    assert all(f"{row['normalized_difference']:+.3f}" in shown for row in one["tasks"])
    assert "s1 against s0" in shown


def test_an_agent_stands_beside_a_plain_policy_that_its_evaluation_measured(runs, played):
    found = compare("s0:linear", "s0", "s0:nearest_neighbour", quiet=True)
    assert played == []
    (report,) = [load_report(runs / "s0" / "report.json")]
    for one, name in zip(found["comparisons"], ("agent", "nearest_neighbour"), strict=True):
        assert (one["first"], one["second"]) == ("s0:linear", "s0" if name == "agent" else f"s0:{name}")
        assert one["notices"] == []
        for row, task in zip(one["tasks"], report["tasks"], strict=True):
            assert (row["first"], row["second"]) == (task["linear"]["mean"], task[name]["mean"])
    assert compare("s0:linear", "s1:linear", quiet=True)["comparisons"][0]["overall"]["difference"] == 0
    for policy, special in (("constant", ""), ("gru", " --specialists gru")):
        with pytest.raises(ValueError, match=rf"of 9 episodes of CartPole-v1 .* eval s0 --episodes 9{special}`"):
            compare("s0", f"s0:{policy}", episodes=9, quiet=True)


def test_more_episodes_play_only_the_new_ones_and_come_to_the_same(runs, played):
    """Each is fixed by its seed, prompts and slots included: beside six that were played at once."""
    found = compare("s0", "s1", episodes=6, quiet=True)
    wanted = [(name, task, 2) for name in ("s0@6", "s1@6") for task in TASKS]
    assert sorted(played) == sorted([*wanted, *(("ends", task, 2) for task in TASKS)])
    evaluate("s1", episodes=6, out="elsewhere", quiet=True)
    whole = {task["id"]: task for task in load_report("elsewhere/report.json")["tasks"]}
    for each in found["episodes_of"]:
        if each["run"] == "s1":
            assert each["returns"] == whole[each["task"]]["agent"]["returns"]
    for id, ends in found["ends"].items():
        assert ends["random"]["returns"] == whole[id]["random"]["returns"]
        assert ends["expert"]["returns"] == whole[id]["expert"]["returns"]
    played.clear()
    assert compare("s0", "s1", episodes=6, quiet=True)["comparisons"] == found["comparisons"]
    assert played == []
    assert (
        compare("s0", "s1", episodes=3, quiet=True)["episodes_of"][0]["returns"]
        == found["episodes_of"][0]["returns"][:3]
    )
    assert played == []


def test_a_run_stands_beside_its_earlier_checkpoint_and_its_evaluation_stays(runs, played):
    before = recompute(load_report("s0/report.json"))
    found = compare("s0@3", "s0", out="there", quiet=True)
    assert sorted(played) == [("s0@3", task, 4) for task in sorted(TASKS)]
    assert [side["runs"][0]["step"] for side in found["sides"]] == [3, 6]
    assert found["comparisons"][0]["same"] is False
    played.clear()
    compare("s0@3", "s0", out="there", quiet=True)
    assert played == []
    assert evaluate("s0", quiet=True)["tasks"] == before["tasks"]


def test_a_run_beside_itself_differs_by_exactly_nothing(runs):
    (one,) = compare("s0", str(runs / "s0@6"), quiet=True)["comparisons"]
    for found in (one["overall"], *one["tasks"], *one["families"].values()):
        assert (found["difference"], found["ci95"]) == (0, [0, 0])
    assert one["overall"]["verdict"] == "same"


def test_several_runs_are_each_beside_the_first_and_training_seeds_stand_together(runs, played):
    found = compare("s0", "s1", "s0@3,s1@3", tasks=LAKE, quiet=True)
    assert [(one["first"], one["second"], one["pooled"]) for one in found["comparisons"]] == [
        ("s0", "s1", False),
        ("s0", "s0@3,s1@3", True),
    ]
    scores = {(each["run"], each["step"]): each["returns"] for each in found["episodes_of"]}
    assert found["comparisons"][1]["tasks"][0]["second"] == pytest.approx(
        np.mean([scores["s0@3", 3], scores["s1@3", 3]])
    )
    assert sorted(played) == [("s0@3", LAKE, 4), ("s1@3", LAKE, 4)]
    assert "luck of training" in Words(Path("comparison/compare.html").read_text()).text


@pytest.mark.parametrize("what", ["versions", "checkpoint", "prompts", "score"])
def test_episodes_that_were_played_otherwise_do_not_count(runs, played, what):
    """Those of one task, in the report and in the part of the evaluation."""
    report = Path("s1/report.json")
    part = Path("s1/evaluation/frozen_lake8x8_v1.agent.json")
    for path in (report, part):
        stored = read_json(path, "")
        if what == "versions":
            stored["versions"]["gymnasium"] = "0.9"
        elif what == "score":
            (stored["task"] if path == part else stored["tasks"][1])["horizon"] = 7
        elif path == part:
            stored["fingerprint"] |= {"step": 5} if what == "checkpoint" else {"demonstrations": ["elsewhere", 1]}
        write_json(path, stored)
    found = compare("s0", "s1", tasks=LAKE, quiet=True)
    assert played == [("s1@6", LAKE, 4)]
    told = [notice for notice in found["notices"] if "gymnasium 0.9" in notice]
    assert bool(told) == (what == "versions")


def test_a_task_whose_environment_changed_between_two_evaluations_is_left_out(runs):
    for path in (Path("s1/report.json"), Path("s1/evaluation/cart_pole_v1.baselines.json")):
        stored = read_json(path, "")
        entry = stored["task"] if "task" in stored else stored["tasks"][0]
        entry["random"]["returns"] = [value + 3 for value in entry["random"]["returns"]]
        write_json(path, stored)
    (one,) = compare("s0", "s1", quiet=True)["comparisons"]
    assert [row["id"] for row in one["tasks"]] == [LAKE]
    assert [each["task"] for each in one["left_out"]] == [TASKS[0]]
    assert "environments differ" in one["left_out"][0]["reason"]
    with pytest.raises(ValueError, match="no task that can be compared: CartPole-v1: random play"):
        compare("s0", "s1", tasks=TASKS[0], quiet=True)


def forget(run: str, *ids: str) -> None:
    """Change a run's configuration so that it was trained on other tasks, in name."""
    path = Path(run) / "config.json"
    stored = read_json(path, "")
    for old, new in zip(TASKS, ids, strict=True):
        stored = json.loads(json.dumps(stored).replace(f'"{old}"', f'"{new}"'))
    write_json(path, stored)


def test_tasks_that_one_run_alone_knows_are_listed_and_left_out(runs):
    forget("s1", "CartPole-v1", "Taxi-v4")
    (one,) = compare("s0", "s1", quiet=True)["comparisons"]
    assert [row["id"] for row in one["tasks"]] == ["CartPole-v1"]
    assert {each["task"]: each["reason"] for each in one["left_out"]} == {
        LAKE: "only s0 knows it",
        "Taxi-v4": "only s1 knows it",
    }
    forget("s1", "Acrobot-v1", "Taxi-v4")
    with pytest.raises(ValueError, match="s0 and s1 have no task in common that can be played"):
        compare("s0", "s1", quiet=True)


def test_what_no_environment_plays_is_left_out_and_a_stranger_s_module_is_not_imported(runs):
    for run in ("s0", "s1"):
        forget(run, "CartPole-v1", "jat/nothing-plays-this")
    (one,) = compare("s0", "s1", quiet=True)["comparisons"]
    assert one["left_out"] == [{"task": "jat/nothing-plays-this", "reason": "no environment plays it"}]
    for run in ("s0", "s1"):
        forget(run, "gym:a_stranger_s_module:Env-v0", "FrozenLake8x8-v1")
    with pytest.raises(UntrustedModule, match="a_stranger_s_module"):
        compare("s0", "s1", quiet=True)


def test_settings_by_which_two_runs_act_differently_are_said(runs):
    keep_evaluation(runs / "s1", replace(CONFIG, sampled=(LAKE,)))
    (one,) = compare("s0", "s1", tasks=LAKE, quiet=True)["comparisons"]
    assert one["notices"] == [
        f"s0 and s1 are played as their own settings say, which differ: sampled: [] and ['{LAKE}']"
    ]


def test_a_run_that_cannot_be_written_is_compared_too(runs):
    shutil.rmtree("s1/evaluation")
    Path("s1/evaluation").write_text("")
    compare("s0", "s1", tasks=LAKE, out="there", quiet=True)
    (kept,) = Path("there/episodes").glob("s1-*/*.json")
    assert kept.name == f"{LAKE}@6.json"


def test_a_comparison_that_cannot_be_written_is_refused_before_anything_is_played(runs, played):
    Path("there").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*there"):
        compare("s0", "s1@3", out="there", quiet=True)
    assert played == []


@pytest.mark.parametrize(
    ("options", "said"), [({"difference": 0}, "must be above 0"), ({"fail_if_worse": -0.1}, "0 or more, got -0.1")]
)
def test_numbers_that_cannot_be_are_refused(runs, played, options, said):
    with pytest.raises(ValueError, match=said):
        compare("s0", "s1", quiet=True, **options)


def test_a_task_that_fails_costs_itself_alone(runs, tmp_path):
    """Of one task, what prompts are taken from is damaged."""
    data = Path(shutil.copytree(demonstrations(), tmp_path / "data"))
    (index,) = data.glob("cart_pole_v1/**/index.json")
    whole = index.read_text()
    index.write_text(whole[:-20])
    with pytest.raises(
        ComparisonError, match=r"playing CartPole-v1 failed \(s0@3\): .*index\.json is damaged"
    ) as raised:
        compare("s0@3", "s1@3", data="data", quiet=True)
    assert [row["id"] for row in raised.value.comparison["comparisons"][0]["tasks"]] == [LAKE]
    assert [each["task"] for each in read_json(Path("comparison/compare.json"), "")["failed"]] == [TASKS[0]]
    assert "1 task could not be played" in Words(Path("comparison/compare.html").read_text()).text
    with pytest.raises(ComparisonError, match="CartPole"):
        compare("s0@3", "s1@3", tasks=TASKS[0], data="data", quiet=True)
    index.write_text(whole)
    assert len(compare("s0@3", "s1@3", data="data", quiet=True)["comparisons"][0]["tasks"]) == 2


def test_prompts_without_demonstrations_are_refused(runs, played):
    with pytest.raises(FileNotFoundError, match=r"prompts need demonstrations of CartPole-v1 under nowhere"):
        compare("s0", "s1", data="nowhere", quiet=True)
    assert played == []


def test_the_command_prints_a_table_and_its_gate_ends_with_a_code_of_its_own(runs, capsys):
    """Successes are put where they are wanted: one run always reaches the goal, the other never."""
    for run, value in (("s0", 1.0), ("s1", 0.0)):
        report, part = Path(run) / "report.json", Path(run) / "evaluation" / "frozen_lake8x8_v1.agent.json"
        for path in (report, part):
            stored = read_json(path, "")
            entry = stored["task"] if path == part else stored["tasks"][1]
            entry["agent"] |= {"returns": [value] * 4, "successes": [bool(value)] * 4}
            write_json(path, stored)
    arguments = ["--task", LAKE, "--quiet", "--out", "there"]
    assert main(["compare", "s0", "s1", *arguments]) == 0
    out, err = capsys.readouterr()
    assert "s1 less s0" in out
    assert "s1 is worse than s0" in out
    assert "numbers: there/compare.json" in out
    assert err == ""
    assert main(["compare", "s0", "s1", *arguments, "--fail-if-worse", "0.02"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: s1 is worse than s0 by more than 0.020 in mean normalised score: ")
    assert main(["compare", "s1", "s0", *arguments, "--fail-if-worse", "0.02"]) == 0
    assert "passed: s0 is not shown to be worse than s1 by more than 0.020" in capsys.readouterr().out
    assert main(["compare", "s0", *arguments]) == 2
    assert "at least two runs" in capsys.readouterr().err
    assert main(["compare", "s0", "s1", "--fail-if-wors", "0.02"]) == 2
    assert "did you mean --fail-if-worse" in capsys.readouterr().err
