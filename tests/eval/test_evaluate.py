"""A whole evaluation of a small run: the report's fields, its parts on disk, and what it refuses."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cattrs
import pytest
from page_words import Words
from tiny import TASKS, demonstrations, trained

from generalist.agent.config import DecodeConfig
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs.files import write_json
from generalist.envs.seeds import evaluation_seed, selection_seed
from generalist.envs.table import find_task
from generalist.eval import evaluate as module
from generalist.eval.config import EvaluationConfig, evaluation_of, keep_evaluation
from generalist.eval.evaluate import decode_of, evaluate, make_policy, seeds_of
from generalist.eval.parts import Parts
from generalist.eval.report.record import POLICIES, SPECIALISTS, load_report, recompute
from generalist.eval.trained_on import trained_on
from generalist.play.agent import Agent
from generalist.play.policy import _prompt
from generalist.train.metrics import read_metrics
from generalist.train.run import read_run

CONFIG = EvaluationConfig(episodes=2, slots=2, prompts=1, films=False, selection_episodes=1, workers=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A copy of the trained run with its report."""
    made = Path(shutil.copytree(trained(), tmp_path_factory.mktemp("evaluated") / "run"))
    evaluate(made, CONFIG, quiet=True)
    return made


def test_the_report_has_the_fields_that_readers_rely_on(run):
    report = load_report(run / "report.json")
    assert report["schema"] == 1
    for group in (report["overall"], *report["families"].values()):
        assert {"mean", "median", "iqm"} <= set(group)
    assert set(report["families"]) == {"classic_control", "toy_text"}
    assert [task["id"] for task in report["tasks"]] == list(TASKS)
    for task in report["tasks"]:
        assert {"id", "family", "episodes", "random", "expert", "agent", "normalized", "success"} <= set(task)
        assert task["episodes"] == 2
        assert task["seeds"] == [evaluation_seed(0), evaluation_seed(1)]
        low, high = task["agent"]["ci95"]
        assert low <= task["agent"]["mean"] <= high
        assert all(len(task[name]["returns"]) == 2 for name in POLICIES if name not in SPECIALISTS)
        assert not {*SPECIALISTS} & {*task}
        assert 0 <= task["agreement"] <= 1
    assert report["configuration"]["checkpoint"] == 6
    assert report["configuration"]["evaluation"]["prompts"] == 1
    assert report["versions"]["jax"]
    assert report["timings"]["agent"] > 0
    assert report["timings"]["training"] == pytest.approx(
        sum(one["seconds"] for one in read_metrics(run / "metrics.jsonl"))
    )
    assert report["training"]["steps"][-1] == 6


def test_a_notebook_shows_the_scores(run):
    report = evaluate(run, CONFIG, quiet=True)
    text = Words(report._repr_html_()).text
    assert report == load_report(run / "report.json")
    for task in report["tasks"]:
        assert task["id"] in text
        assert f"{task['normalized']:.3f}" in text
    for name in ("agent", "1-nearest neighbour", "linear policy", "best constant action"):
        assert name in text
    assert "MLP" not in text
    low, high = report["overall"]["mean_ci95"]
    assert f"{low:.3f} to {high:.3f}" in text


def test_baselines_learn_from_what_the_agent_was_trained_on(run):
    """One of the ten episodes of each task is held out."""
    for task in load_report(run / "report.json")["tasks"]:
        opened = Demonstrations.open(dataset_folder(demonstrations(), task["id"]))
        chosen, held_out = trained_on(read_run(run).config, task["id"], opened)
        assert (len(chosen), len(held_out)) == (9, 1)
        steps = int(opened.columns().lengths[chosen].sum())
        for name in ("constant", "linear", "nearest_neighbour"):
            assert (task[name]["fitted_on"], task[name]["fitted_on_episodes"]) == (steps, 9), name


def test_of_a_task_that_was_not_trained_on_all_episodes_may_be_learned_from(run):
    opened = Demonstrations.open(dataset_folder(demonstrations(), TASKS[0]))
    assert [len(part) for part in trained_on(read_run(run).config, "Acrobot-v1", opened)] == [10, 0]


def test_specialists_stand_beside_when_they_are_asked_for(run, tmp_path):
    played = {path: path.stat().st_mtime_ns for path in (run / "evaluation").glob("*.json")}
    report = evaluate(run, CONFIG, tasks=TASKS[1], specialists=SPECIALISTS, out=tmp_path, quiet=True)
    [task] = report["tasks"]
    for name in SPECIALISTS:
        assert len(task[name]["returns"]) == 2
        assert task[name]["fitted_on_episodes"] == 9
        assert task[name]["parameters"] > 10_000
        assert task[name]["fit_seconds"] > 0
        assert report["baselines"][name]["overall"]["tasks"] == 1
    assert recompute(report) == report
    assert "MLP of one task" in (tmp_path / "report.html").read_text()
    assert all(path.stat().st_mtime_ns == time for path, time in played.items()), "nothing else is measured again"
    parts = {path.name: path.stat().st_mtime_ns for path in (run / "evaluation").glob("frozen_lake8x8_v1.*.json")}
    assert {"frozen_lake8x8_v1.mlp.json", "frozen_lake8x8_v1.gru.json"} < set(parts)
    [task] = evaluate(run, CONFIG, tasks=TASKS[1], specialists=("mlp",), out=tmp_path, quiet=True)["tasks"]
    assert "mlp" in task
    assert "gru" not in task, "one can be asked for alone"
    assert {path.name: path.stat().st_mtime_ns for path in (run / "evaluation").glob("frozen*.json")} == parts


def test_the_report_can_be_computed_again_from_itself(run):
    report = load_report(run / "report.json")
    assert recompute(report) == report
    assert (run / "report.html").stat().st_size > 10_000


def test_finished_parts_are_not_done_again(run, tmp_path, monkeypatch):
    """Interrupted after the agent's first task: that task, and every baseline, is taken from disk."""
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (copy / "evaluation" / "frozen_lake8x8_v1.agent.json").unlink()
    played = []

    def rollout(task, *args, **kwargs):
        played.append(task.id)
        return real(task, *args, **kwargs)

    real = module.rollout
    monkeypatch.setattr(module, "rollout", rollout)
    again = evaluate(copy, CONFIG, quiet=True)
    assert played == ["FrozenLake8x8-v1"]
    before = load_report(run / "report.json")
    for one, other in zip(again["tasks"], before["tasks"], strict=True):
        assert one["agent"]["returns"] == other["agent"]["returns"]
    assert again["overall"] == before["overall"]


@pytest.mark.parametrize("other", ["settings", "demonstrations"])
def test_parts_that_do_not_fit_do_not_count(run, tmp_path, other):
    task = find_task(TASKS[0])
    folder = Path(shutil.copytree(run / "evaluation", tmp_path / "parts"))
    config, data = CONFIG, demonstrations()
    assert Parts(folder, replace(config, films=True), 6, data).load(task, "agent") is not None
    assert Parts(folder, config, 3, data).load(task, "agent") is None
    if other == "settings":
        config = replace(config, decode=DecodeConfig(discrete="sample"))
    else:
        data = tmp_path
    assert Parts(folder, config, 6, data).load(task, "agent") is None


def test_only_the_named_tasks_are_played_and_the_report_goes_elsewhere(run, tmp_path):
    report = evaluate(run, CONFIG, tasks=[TASKS[0]], out=tmp_path / "there", quiet=True)
    assert [task["id"] for task in report["tasks"]] == [TASKS[0]]
    assert load_report(tmp_path / "there" / "report.json") == json.loads(json.dumps(report))


def test_prompts_without_demonstrations_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"prompts need demonstrations of CartPole-v1 .* --prompts 0"):
        evaluate(trained(), CONFIG, tasks=["CartPole-v1"], data=tmp_path, out=tmp_path, quiet=True)


def test_a_family_or_a_task_can_be_sampled():
    config = replace(CONFIG, sampled=("toy_text", "Acrobot-v1"))
    decoded = {id: decode_of(config, find_task(id)) for id in ("CartPole-v1", "Acrobot-v1", "Taxi-v4")}
    chosen = {id: (decode.discrete, decode.continuous) for id, decode in decoded.items()}
    drawn = ("sample", "sample")
    assert chosen == {"CartPole-v1": ("mode", "mean"), "Acrobot-v1": drawn, "Taxi-v4": drawn}


def test_continuous_actions_of_a_family_or_a_task_can_be_the_likeliest_bin():
    config = replace(CONFIG, likeliest=("metaworld", "Pendulum-v1"))
    chosen = {id: decode_of(config, find_task(id)) for id in ("Reacher-v5", "Pendulum-v1", "metaworld/push-v3")}
    assert {id: decode.continuous for id, decode in chosen.items()} == {
        "Reacher-v5": "mean",
        "Pendulum-v1": "mode",
        "metaworld/push-v3": "mode",
    }
    assert {decode.discrete for decode in chosen.values()} == {CONFIG.decode.discrete}


@pytest.mark.parametrize(("sampled", "different"), [((), 1), (("toy_text",), 3)])
def test_sampled_tasks_are_played_so(sampled, different):
    hot = DecodeConfig(temperature=1000.0)
    config = replace(CONFIG, episodes=40, slots=50, prompts=0, decode=hot, sampled=sampled)
    policy = make_policy(Agent.load(trained()), find_task(TASKS[1]), demonstrations(), config)
    assert policy.slots == 40
    assert len({int(action) for action in policy.act([0] * 40, list(range(40)))}) >= different


def test_prompts_are_of_the_demonstrations_that_the_run_was_trained_on():
    """Of a run that was given few, no others: else it would be shown more than it is said to have seen."""
    agent, config = Agent.load(trained()), replace(CONFIG, prompts=5)
    task, few = find_task(TASKS[1]), replace(agent.run.config.sources[1], episodes=3, episodes_seed=3)
    sources = (agent.run.config.sources[0], few)
    agent = replace(agent, run=replace(agent.run, config=replace(agent.run.config, sources=sources)))
    there = Demonstrations.open(dataset_folder(demonstrations(), task.id))
    [first, second] = trained_on(agent.run.config, task.id, there)[0]
    shown = make_policy(agent, task, demonstrations(), config).prompts
    layout, source = agent.run.layouts[task.id], 1
    window = agent.run.config.agent.window // 2
    expected = [_prompt(layout, source, there.episode(int(each)), window) for each in (first, second)]
    assert [prompt.ids.tolist() for prompt in shown] == [prompt.ids.tolist() for prompt in expected]


def test_settings_are_compared_on_seeds_of_their_own():
    config = replace(CONFIG, seeds="selection", selection_episodes=3)
    assert seeds_of(config) == [selection_seed(3), selection_seed(4)]
    assert seeds_of(CONFIG) == [evaluation_seed(0), evaluation_seed(1)]


def test_settings_are_the_run_s_own_but_for_those_that_are_changed(run, tmp_path):
    """And nothing is played again for what was played before."""
    keep_evaluation(run, replace(CONFIG, episodes=9))
    played = {path: path.stat().st_mtime_ns for path in (run / "evaluation").glob("*.json")}
    report = evaluate(read_run(run), tasks=TASKS[1], episodes=2, out=str(tmp_path / "report"), quiet=True)
    assert [task["id"] for task in report["tasks"]] == [TASKS[1]]
    assert report["configuration"]["evaluation"] == load_report(run / "report.json")["configuration"]["evaluation"]
    assert load_report(tmp_path / "report" / "report.json") == report
    assert {path: path.stat().st_mtime_ns for path in (run / "evaluation").glob("*.json")} == played


def test_a_setting_that_there_is_not_names_the_nearest(run):
    with pytest.raises(TypeError, match="an evaluation has no setting 'episode': did you mean episodes"):
        evaluate(run, episode=3)
    with pytest.raises(ValueError, match="episodes must be positive"):
        evaluate(run, episodes=0)


def test_a_run_that_cannot_be_written_is_evaluated_into_another_folder(run, tmp_path):
    """Something else stands where its parts would be kept, as no folder can be made in one that is read-only."""
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.rmtree(copy / "evaluation")
    (copy / "evaluation").write_text("")
    evaluate(copy, CONFIG, tasks=[TASKS[1]], out=tmp_path / "there", quiet=True)
    assert (tmp_path / "there" / "evaluation" / "frozen_lake8x8_v1.agent.json").exists()


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_played(run, tmp_path, monkeypatch):
    (tmp_path / "there").write_text("")
    monkeypatch.setattr(module, "rollout", lambda *_, **__: pytest.fail("played"))
    with pytest.raises(OSError, match=r"cannot write .*there"):
        evaluate(run, CONFIG, tasks=[TASKS[1]], out=tmp_path / "there", quiet=True)


def test_a_specialist_that_there_is_not_names_the_nearest():
    with pytest.raises(ValueError, match=r"specialists has no 'mpl': did you mean mlp"):
        EvaluationConfig(specialists=("mpl",))


def test_settings_from_when_specialists_were_all_or_none_are_read(tmp_path):
    for stored, asked in ((False, ()), (True, SPECIALISTS)):
        write_json(tmp_path / "evaluation.json", {**cattrs.unstructure(CONFIG), "specialists": stored})
        assert evaluation_of(tmp_path) == replace(CONFIG, specialists=asked)
