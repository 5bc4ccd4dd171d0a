"""`generalist export`, and commands on what it writes: the same results as on the run, and nothing written into it."""

import json
import os
import re
import shutil
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import CONFIG, TASKS, demonstrations, trained

import generalist
from generalist.configs.commands.cli import main
from generalist.configs.experiment import Experiment
from generalist.configs.export import _public, export
from generalist.configs.fit import fit
from generalist.demonstrations.collect import collect
from generalist.envs.checksums import sealed
from generalist.envs.table import find_task
from generalist.eval.alone import read_report
from generalist.eval.config import EvaluationConfig, evaluation_of, keep_evaluation
from generalist.eval.evaluate import decode_of, evaluate
from generalist.eval.shipped import reproduction
from generalist.play.rollout import rollout
from generalist.play.standalone.policy import StandalonePolicy
from generalist.train.config import DocumentsConfig
from generalist.train.exported_files import CARD, EVALUATION, SCORES
from generalist.train.run import measured_alike, read_run, write_merged
from generalist.train.trained_network import trained_network

FEW = {"episodes": 2, "selection_episodes": 1, "slots": 2, "films": False, "workers": 1, "quiet": True}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A copy of the tiny run that was evaluated."""
    folder = Path(shutil.copytree(trained(), tmp_path_factory.mktemp("runs") / "mine"))
    keep_evaluation(folder, EvaluationConfig(episodes=2, slots=2, selection_episodes=1, films=False))
    evaluate(folder, data=demonstrations(), **FEW)
    return folder


@pytest.fixture(scope="module")
def shared(run, tmp_path_factory) -> Path:
    """Its export; no test may change it."""
    to = tmp_path_factory.mktemp("exports") / "rooms"
    export(run, to, command="generalist quickstart --seed 0")
    return to


@pytest.fixture(autouse=True)
def _only_read(shared):
    before = {path.name: path.read_bytes() for path in shared.iterdir()}
    yield
    assert {path.name: path.read_bytes() for path in shared.iterdir()} == before


def test_its_evaluation_gives_the_returns_of_the_run_and_goes_to_runs(run, shared, monkeypatch):
    monkeypatch.setattr(generalist.pretrained, "__path__", [str(shared.parent)])
    assert evaluation_of(shared) == evaluation_of(run)
    found = evaluate("pretrained:rooms", data=demonstrations(), **FEW)
    wanted = json.loads((run / "report.json").read_text())
    assert [task["agent"]["returns"] for task in found["tasks"]] == [
        task["agent"]["returns"] for task in wanted["tasks"]
    ]
    assert found["name"] == "rooms"
    assert sorted(os.listdir("runs/rooms-eval")) == ["evaluation", "report.html", "report.json"]


def test_an_evaluation_says_how_it_agrees_with_the_scores_of_the_export(run, shared, monkeypatch):
    monkeypatch.setattr(generalist.pretrained, "__path__", [str(shared.parent)])
    found = evaluate("pretrained:rooms", data=demonstrations(), **FEW)
    same = reproduction(found, shared)
    assert (same.tasks, same.outside, same.episodes, same.equal) == (2, (), 4, 4)
    assert same.here == same.said
    changed = deepcopy(found)
    changed["tasks"][0]["agent"] |= {"returns": [-9.0, *found["tasks"][0]["agent"]["returns"][1:]], "mean": -9.0}
    changed["tasks"][1]["seeds"] = [1, 2]
    other = reproduction(changed, shared)
    assert (other.outside, other.episodes, other.equal) == ((TASKS[0],), 2, 1)
    assert "the same return in 1 of 2 episodes" in other.words()
    assert reproduction(found, run) is None, "no export"


def test_finished_parts_of_another_export_of_the_same_name_do_not_count(run, shared, tmp_path):
    """They stand in one folder, runs/rooms-eval, and say nothing of whose weights they are."""
    other = tmp_path / "others" / "rooms"
    changed = read_run(trained())
    state = trained_network(changed, 3)[1]
    write_merged(tmp_path / "run", changed, state, 6)
    export(tmp_path / "run", other)
    both = [read_run(each).exported for each in (shared, other)]
    assert both[0].step == both[1].step
    assert both[0].fingerprint != both[1].fingerprint
    from generalist.eval.parts import parts_folder

    assert parts_folder(read_run(shared), tmp_path) != parts_folder(read_run(other), tmp_path)


def test_it_stands_in_a_comparison_and_its_scores_are_not_taken_at_its_word(run, shared, tmp_path):
    found = generalist.compare(run, shared, episodes=2, out=tmp_path / "out", data=demonstrations(), quiet=True)
    [one] = found["comparisons"]
    assert one["overall"]["difference"] == 0
    said = tmp_path / "said"
    shutil.copytree(shared, said)
    report = json.loads((run / "report.json").read_text())
    for task in report["tasks"]:
        task["agent"]["returns"] = [10_000.0] * len(task["agent"]["returns"])
    (said / "report.json").write_text(json.dumps(sealed(report)))
    shutil.copytree(run / "evaluation", said / "evaluation")
    forged = generalist.compare(run, said, episodes=2, out=tmp_path / "forged", data=demonstrations(), quiet=True)
    assert forged["comparisons"][0]["overall"]["difference"] == 0
    assert forged["played_now"] == 2 * len(TASKS)
    kept = list((tmp_path / "out" / "episodes").rglob("*.json"))
    assert len(kept) == len(TASKS)


def test_what_was_measured_of_it_here_stands_in_a_comparison(run, shared, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    evaluate(shared, data=demonstrations(), **FEW)
    found = generalist.compare(f"{shared}:linear", shared, episodes=2, data=demonstrations(), quiet=True)
    assert found["played_now"] == 0
    wanted = json.loads((run / "report.json").read_text())["tasks"]
    pairs = [(task["linear"]["mean"], task["agent"]["mean"]) for task in wanted]
    assert [(row["first"], row["second"]) for row in found["comparisons"][0]["tasks"]] == pairs
    assert read_report(shared)["name"] == "rooms"


def test_an_endless_file_beside_it_is_not_read(shared, tmp_path):
    folder = Path(shutil.copytree(shared, tmp_path / "copy"))
    (folder / EVALUATION).unlink()
    (folder / EVALUATION).symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"evaluation.json is no file of at most"):
        evaluation_of(folder)


def test_adapting_writes_to_runs_and_says_that_its_own_data_are_not_there(shared, capsys):
    collect(("CliffWalking-v1",), "new", seed=0, episodes=2, policy="random", workers=0, quiet=True)
    few = ("--task", "CliffWalking-v1", "--episodes", "2", "--failures", "--steps", "1", "--data", "new")
    assert main(["adapt", str(shared), *few]) == 0
    assert "learnt from the new demonstrations alone, as not all" in capsys.readouterr().err
    adapted = read_run("runs/rooms-adapted")
    assert [source.task for source in adapted.config.sources if source.weight] == ["CliffWalking-v1"]
    assert main(["adapt", str(shared), *few, "--keep", "0.5", "--out", "kept"]) == 2
    assert "no demonstrations of CartPole-v1 under new" in capsys.readouterr().err


@pytest.mark.rare
def test_a_job_starts_from_it_and_it_is_described(shared, capsys):
    fit(Experiment(train=CONFIG), data=demonstrations(), out="other", weights=shared, quiet=True)
    assert read_run("other").foundation["run"] == str(shared)
    capsys.readouterr()
    assert main(["describe", str(shared), "--data", str(demonstrations()), "--mesh", *"111", "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    parameters = sum(leaf.size for leaf in __import__("jax").tree.leaves(trained_network(read_run(shared))[1]))
    assert sum(described["parameters"].values()) == parameters


def test_the_card_is_one_that_the_hub_reads(shared):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard.load(shared / CARD)
    data = card.data.to_dict()
    assert (data["license"], data["library_name"]) == ("apache-2.0", "generalist")
    assert data["pipeline_tag"] == "reinforcement-learning"
    assert {"classic_control", "toy_text"} <= set(data["tags"])
    scores = json.loads((shared / SCORES).read_text())
    results = {each.dataset_type: each for each in card.data.eval_results}
    assert results["all"].metric_value == pytest.approx(scores["overall"]["mean"], abs=1e-4)
    low, high = scores["overall"]["mean_ci95"]
    assert f"[{low:.2f}, {high:.2f}]" in results["all"].metric_name
    said = (shared / CARD).read_text()
    assert "generalist quickstart --seed 0" in said
    assert "| 1-nearest neighbour |" in said
    assert f"| updates | {CONFIG.steps} of {CONFIG.batch_size} rows" in said
    assert "CartPole-v1 (10)" in said
    tokens = sum(json.loads(line)["tokens"] for line in (trained() / "metrics.jsonl").read_text().splitlines())
    assert f"| tokens | {tokens:,}, padding not counted |" in said
    assert "\n\n\n" not in said


def test_its_python_is_what_loads_it(shared, monkeypatch):
    monkeypatch.chdir(shared.parent)
    first = re.findall(r"```python\n(.*?)```", (shared / CARD).read_text(), re.DOTALL)[0]
    exec(compile(first, CARD, "exec"), {})


def test_a_run_without_scores_has_a_card_that_says_so(tmp_path):
    export(trained(), tmp_path / "bare")
    said = (tmp_path / "bare" / CARD).read_text()
    assert "was not evaluated when it was exported" in said
    assert "model-index" not in said
    assert not (tmp_path / "bare" / SCORES).exists()
    assert pytest.importorskip("huggingface_hub").ModelCard.load(tmp_path / "bare" / CARD).data.license == "apache-2.0"


def test_no_path_of_this_machine_is_in_the_scores(run, shared):
    text = "".join((shared / name).read_text() for name in (CARD, SCORES, EVALUATION, "config.json"))
    for path in (run, demonstrations(), Path.cwd(), Path.home()):
        assert str(path) not in text


def test_scores_of_another_checkpoint_are_left_out_or_refused(run, tmp_path, capsys):
    assert main(["export", str(run), "--to", "early", "--step", "3"]) == 0
    assert "no report of this checkpoint" in capsys.readouterr().out
    assert not Path("early", SCORES).exists()
    report = str(run / "report.json")
    assert main(["export", str(run), "--to", "other", "--step", "3", "--report", report]) == 2
    assert "is of 'mine' at update 6, not of" in capsys.readouterr().err
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["no-run", "--to", "there"], "no run directory no-run"),
        (["RUN", "--to", "hf:me/rooms"], "--to needs a folder or minari:ID"),
        (["RUN", "--to", "there", "--license", "My Licence"], "no identifier of a licence"),
        (["RUN", "--to", "there", "--step", "5"], "there is no such checkpoint; there are 3, 6"),
        (["RUN", "--to", "two words"], "no name of an export"),
        (["RUN", "--to", "there", "--task", "CartPole-v1"], "--task is of a policy in one file"),
        (["RUN", "--to", "there.stablehlo"], "choose one of them with --task"),
        (["RUN", "--to", "there.stablehlo", "--task", "CartPole"], "unknown task 'CartPole'"),
        (["EXPORT", "--to", "there"], "is an export already"),
        (["pretrained:roms", "--to", "there"], "no pretrained:roms"),
    ],
)
def test_what_cannot_be_exported_is_one_clear_line(run, shared, args, said, capsys):
    args = [{"RUN": str(run), "EXPORT": str(shared)}.get(each, each) for each in args]
    assert main(["export", *args]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "loading" not in line]
    assert len(lines) == 1
    assert said in lines[0]
    assert not Path("there").exists()


def test_a_policy_in_one_file_acts_as_evaluation_does_and_is_not_written_over(run, tmp_path, capsys):
    task, file = "FrozenLake8x8-v1", tmp_path / "there.stablehlo"
    command = ["export", str(run), "--to", str(file), "--task", task]
    assert main(command) == 0
    assert str(file) in capsys.readouterr().out
    assert main(command) == 2
    assert "is there already" in capsys.readouterr().err
    played = find_task(task)
    agent = generalist.load(run).with_decode(decode_of(evaluation_of(run), played))
    expected = rollout(played, agent.policy(task, slots=2).policy, [5, 6], slots=2)
    found = rollout(played, StandalonePolicy(file, slots=2), [5, 6], slots=2)
    assert [each.episode_return for each in found] == [each.episode_return for each in expected]
    assert main([*command, "--overwrite"]) == 0
    keep_evaluation(run, replace(evaluation_of(run), prompts=1))
    try:
        assert main([*command, "--overwrite"]) == 2
        assert "is evaluated with prompts" in capsys.readouterr().err
    finally:
        keep_evaluation(run, replace(evaluation_of(run), prompts=0))


def test_pushing_needs_an_export_that_is_whole_and_a_place_on_the_hub(run, shared, tmp_path, capsys):
    assert main(["push", str(run), "hf:me/rooms"]) == 2
    assert "is a run, not an export" in capsys.readouterr().err
    assert main(["push", str(shared), "me/rooms"]) == 2
    assert "hf:USER/NAME" in capsys.readouterr().err
    broken = Path(shutil.copytree(shared, tmp_path / "broken"))
    (broken / "model.safetensors").write_bytes(b"none")
    assert main(["push", str(broken), "hf:me/rooms"]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_a_task_whose_extra_is_missing_is_one_clear_line_and_the_others_load(shared, tmp_path, capsys, monkeypatch):
    for name in ("procgen_gym", "envpool"):
        monkeypatch.setitem(sys.modules, name, None)
    # The export's rooms stand in for a game of other spaces; known ones would have it measured on demonstrations.
    monkeypatch.setattr("generalist.eval.playable.stored_spaces", dict)
    folder, coins = Path(shutil.copytree(shared, tmp_path / "copy")), "procgen/coinrun"
    stored = json.loads((folder / "config.json").read_text())
    stored["config"]["sources"][0]["task"] = coins
    stored["layouts"][coins] = stored["layouts"].pop(TASKS[0])
    (folder / "config.json").write_text(json.dumps(sealed(stored)))
    assert generalist.load(folder).tasks == (coins, TASKS[1])
    assert main(["eval", str(folder), "--task", coins]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(lines) == 1
    assert "pip install 'generalist[procgen]'" in lines[0]


def test_settings_of_a_stranger_are_bounded(shared, tmp_path):
    folder = Path(shutil.copytree(shared, tmp_path / "copy"))
    stored = json.loads((folder / EVALUATION).read_text())
    (folder / EVALUATION).write_text(json.dumps(sealed(stored | {"workers": 10**6})))
    assert evaluation_of(folder).workers == 0
    (folder / EVALUATION).write_text(json.dumps(sealed(stored | {"slots": 10**6})))
    with pytest.raises(ValueError, match="asks for slots 1000000, more than"):
        evaluation_of(folder)
    measured_alike(replace(read_run(shared), directory=folder), tmp_path)
    with pytest.raises(ValueError, match="asks for slots 1000000, more than"):
        evaluation_of(tmp_path)
    (folder / EVALUATION).write_text(json.dumps(sealed(stored | {"slots": "many"})))
    with pytest.raises(ValueError, match="is damaged"):
        evaluation_of(folder)


def test_a_report_on_the_seeds_of_selection_is_no_score_of_a_card(run, tmp_path, capsys):
    """The card says that nothing was chosen on them."""
    copy = Path(shutil.copytree(run, tmp_path / "chosen"))
    report = json.loads((copy / "report.json").read_text())
    report["configuration"]["evaluation"]["seeds"] = "selection"
    (copy / "report.json").write_text(json.dumps(sealed(report)))
    assert main(["export", str(copy), "--to", "card", "--report", str(copy / "report.json")]) == 2
    assert "was measured on seeds of 'selection'" in capsys.readouterr().err
    assert not Path("card").exists()
    export(copy, "card")
    assert not Path("card", SCORES).exists()
    assert "was not evaluated when it was exported" in Path("card", CARD).read_text()


@pytest.mark.parametrize("parameters", [True, False])
def test_the_card_says_what_it_began_with(tmp_path, parameters):
    own = read_run(trained())
    began = replace(own, foundation={"run": "/home/me/base", "step": None, "parameters": parameters})
    write_merged(tmp_path / "run", began, trained_network(own)[1], 6)
    found = export(tmp_path / "run", tmp_path / "adapted")
    assert found.foundation == {"run": "base", "step": None, "parameters": parameters}
    said = (found.directory / CARD).read_text()
    assert ("| the parameters of base |" in said, "allow=PARTS)" in said) == (parameters, parameters)
    assert ("those of base |" in said, 'run="base", parameters=False)' in said) == (not parameters, not parameters)
    for code in re.findall(r"```python\n(.*?)```", said, re.DOTALL):
        compile(code, CARD, "exec")


def test_corpora_of_one_last_name_have_the_names_of_the_card_in_the_scores():
    documents = tuple(DocumentsConfig(corpus=f"text:/{place}/books") for place in "ab")
    own = read_run(trained())
    own = replace(own, config=replace(own.config, documents=documents))
    entries = [{"corpus": each.corpus, "split": "test"} for each in documents]
    course = {"loss": [2.0, 1.0], "sources": {"CartPole-v1": {}}, "held_out": {}}
    found = _public({"configuration": {}, "corpora": entries, "training": course}, own, "mine")
    assert found["training"] == {"loss": [2.0, 1.0]}
    assert [each["corpus"] for each in found["corpora"]] == ["text:books-0", "text:books-1"]
    assert [each["corpus"] for each in found["configuration"]["training"]["documents"]] == [
        each["corpus"] for each in found["corpora"]
    ]
