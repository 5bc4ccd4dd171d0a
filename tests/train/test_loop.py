"""Whole small runs: resumed equals uninterrupted to the last bit, and a run directory is never taken by accident."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
from tiny import CONFIG, TASKS, demonstrations, leaves_of, metrics_of, train_here, trained

from generalist.agent.config import AgentConfig
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.demonstrations.collect import collect
from generalist.play.agent import Agent
from generalist.train import loop
from generalist.train.checkpoint import CheckpointError
from generalist.train.config import MeshConfig, OptimizerConfig
from generalist.train.foundation import Weights
from generalist.train.interval import Interval
from generalist.train.log import MetricsLog
from generalist.train.loop import train
from generalist.train.metrics import DivergedError, MetricsWriter, read_metrics
from generalist.train.preemption import Stopped
from generalist.train.run import read_run
from generalist.train.sources import input_sizes, open_mixture
from generalist.train.start import Start
from generalist.train.step import abstract_state
from generalist.train.streams import open_stream


def parameters(run: Path, step: int | None = None) -> list[np.ndarray]:
    return leaves_of(Agent.load(run, step=step).state)


class Killed(Exception):  # noqa: N818
    pass


def stop_after(step: int, monkeypatch) -> None:
    """The run ends with the line of this step, as if killed."""
    write = MetricsWriter.write

    def write_and_stop(self, line):
        write(self, line)
        if line["step"] == step:
            raise Killed

    monkeypatch.setattr(MetricsWriter, "write", write_and_stop)


def test_a_run_leaves_what_the_agent_needs():
    run = trained()
    lines = metrics_of(run)
    assert [line["step"] for line in lines] == [2, 3, 4, 6]
    assert set(lines[0]["sources"]) == set(TASKS)
    assert [line["step"] for line in lines if "held_out" in line] == [3, 4, 6]
    for line in lines[1:]:
        assert set(line["held_out"]["sources"]) == set(TASKS)
        assert 0 < line["held_out"]["loss"] < 20
    assert 0 <= lines[0]["padding"] < 0.5
    agent = Agent.load(run)
    assert (agent.step, agent.tasks) == (6, TASKS)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["3", "6"]


@pytest.mark.parametrize("step", [2, 4])
def test_resumed_equals_uninterrupted(tmp_path, monkeypatch, step):
    """Stopped before the first checkpoint, and between two: prompts, packing, mixture and optimizer go on."""
    with monkeypatch.context() as patch:
        stop_after(step, patch)
        with pytest.raises(Killed):
            train_here(tmp_path / "run")
    assert [line["step"] for line in metrics_of(tmp_path / "run")] == [2, 3, 4][: step - 1]
    train_here(tmp_path / "run", start=Start(resume=True))
    assert metrics_of(tmp_path / "run") == metrics_of(trained())
    for one, other in zip(parameters(tmp_path / "run"), parameters(trained()), strict=True):
        np.testing.assert_array_equal(one, other)


KILLED = """
import os, signal
from pathlib import Path
import tiny
from generalist.train.metrics import MetricsWriter

def write_and_die(self, line, write=MetricsWriter.write):
    write(self, line)
    if line["step"] == 4:
        os.kill(os.getpid(), signal.SIGKILL)

MetricsWriter.write = write_and_die
tiny._folder = lambda: Path({folder!r})
tiny.demonstrations = lambda: Path({data!r})
tiny.train_here(Path({run!r}), workers=2)
"""


def test_killed_with_two_workers_and_gone_on_with_by_a_thread_equals_uninterrupted(tmp_path):
    """Kill -9 of the process that trains: its workers end, and the next run goes on with another number of them."""
    run = tmp_path / "run"
    script = KILLED.format(folder=str(tmp_path), data=str(demonstrations()), run=str(run))
    path = os.pathsep.join([str(Path(tiny.__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {
        "PYTHONPATH": path, "JAX_NUM_CPU_DEVICES": "8", "JAX_DISABLE_MOST_OPTIMIZATIONS": "true"
    }  # fmt: skip
    died = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert [line["step"] for line in metrics_of(run)] == [2, 3, 4]
    train_here(run, start=Start(resume=True), workers=0)
    assert metrics_of(run) == metrics_of(trained())
    for one, other in zip(parameters(run), parameters(trained()), strict=True):
        np.testing.assert_array_equal(one, other)


def sigterm_at(step: int, monkeypatch) -> None:
    """This process gets a SIGTERM while the update runs."""
    add = MetricsLog.add

    def add_and_signal(self, number, metrics):
        add(self, number, metrics)
        if number == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(MetricsLog, "add", add_and_signal)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 6])
def test_stopped_by_sigterm_and_resumed_equals_uninterrupted(tmp_path, monkeypatch, step):
    """Inside an interval, at the end of one, with a checkpoint, and after the last update."""
    seen = []
    with monkeypatch.context() as patch:
        sigterm_at(step, patch)
        with pytest.raises(Stopped, match=f"after update {step} of 6, whose checkpoint is saved") as stopped:
            train(CONFIG, demonstrations(), tmp_path / "run", quiet=True, on_checkpoint=lambda at, _: seen.append(at))
    assert stopped.value.code == 0
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert seen == [at for at in (3, 6) if at <= step]
    assert Agent.load(tmp_path / "run").step == step
    assert [line["step"] for line in metrics_of(tmp_path / "run")] == [at for at in (2, 3, 4, 6) if at <= step]
    train_here(tmp_path / "run", start=Start(resume=True))
    assert metrics_of(tmp_path / "run") == metrics_of(trained())
    for one, other in zip(parameters(tmp_path / "run"), parameters(trained()), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("held_out", "rate", "seed"), [(0.1, 1.0, 10), (0.0, 3.0, 0)])
def test_the_best_checkpoint_is_that_of_the_lowest_held_out_loss(tmp_path, monkeypatch, held_out, rate, seed):
    """A rate so high that losses rise, and a seed with which the two disagree; stopped inside, the same ones are kept.

    With nothing held out, it is that of the lowest training loss.
    """
    high = OptimizerConfig(learning_rate=rate, initial_rate=rate, warmup_steps=0, decay_steps=0)
    changes = {"optimizer": high, "log_every": 2, "checkpoint_every": 2, "keep": 1, "keep_best": 1}
    changes |= {"held_out": held_out, "seed": seed}
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        sigterm_at(3, patch)
        with pytest.raises(Stopped):
            train_here(run, **changes)
    train_here(run, start=Start(resume=True), **changes)
    lines = metrics_of(run)
    by_training = min(lines, key=lambda line: line["loss"])["step"]
    best = min(lines, key=lambda line: line["held_out"]["loss"])["step"] if held_out else by_training
    assert (best == by_training) == (not held_out)
    assert best < 6 == lines[-1]["step"]
    assert sorted(int(path.name) for path in (run / "checkpoints").iterdir()) == [best, 6]
    assert Agent.load(run, step="best").step == best
    assert Agent.load(run).step == 6


WIDE = replace(
    CONFIG,
    agent=AgentConfig(width=32, layers=1, heads=8, head_size=4, feedforward=64, window=32, vector_hidden=16),
    batch_size=8,
    steps=9,
    held_out=0.0,
    log_every=1,
)
"""Every dimension that a mesh axis may split is a multiple of 8; checkpoints after 3, 6 and 9 updates."""


def stored(run: Path, step: int, sizes: tuple[int, int, int]) -> list[np.ndarray]:
    """The whole state of a checkpoint, brought back through a mesh; each array lies where training would have it."""
    config, mesh, mixture = read_run(run).config, make_mesh(*sizes), open_mixture(WIDE, demonstrations())
    _, state = abstract_state(config, input_sizes(config, list(mixture.layouts.values())), mesh)
    stream = open_stream(config, mixture, mesh)
    with read_run(run).open_checkpoints() as checkpoints, use_mesh(mesh):
        found = checkpoints.restore(step, state, stream)
    stream.close()
    for here, asked in zip(jax.tree.leaves(found), jax.tree.leaves(state), strict=True):
        assert here.sharding.shard_shape(here.shape) == asked.sharding.shard_shape(asked.shape)
    return leaves_of(found)


@pytest.mark.slow
def test_a_run_moves_from_eight_devices_to_four_to_one(tmp_path, monkeypatch):
    """Split by rows, parameters and heads in other ways each time: the state is the same to the last bit."""
    run, meshes = tmp_path / "run", [(2, 2, 2), (1, 1, 4), (1, 1, 1)]
    for leg, sizes in enumerate(meshes):
        moved = replace(WIDE, mesh=MeshConfig(data=sizes[0], fsdp=sizes[1], tensor=sizes[2]))
        start = Start(resume=leg > 0)
        if leg == 2:
            train_here(run, config=moved, start=start)
            break
        with monkeypatch.context() as patch:
            stop_after(3 * leg + 4, patch)
            with pytest.raises(Killed):
                train_here(run, config=moved, start=start)
        first, *others = (stored(run, 3 * leg + 3, sizes) for sizes in meshes)
        for other in others:
            for mine, theirs in zip(first, other, strict=True):
                np.testing.assert_array_equal(mine, theirs)
    still = metrics_of(train_here(tmp_path / "still", config=WIDE))
    assert [line["step"] for line in metrics_of(run)] == list(range(1, 10))
    for mine, theirs in zip(metrics_of(run), still, strict=True):
        assert mine["tokens"] == theirs["tokens"]
        np.testing.assert_allclose(mine["objective"], theirs["objective"], rtol=2e-3)


def test_a_finished_run_resumes_to_itself_and_says_so(capsys):
    train(CONFIG, demonstrations(), trained(), start=Start(resume=True))
    assert "run is finished: 6 updates are done; more --train.steps" in capsys.readouterr().err.replace("\n", " ")
    assert [line["step"] for line in metrics_of(trained())] == [2, 3, 4, 6]


def test_a_finished_run_goes_on_to_more_updates(tmp_path, capsys):
    """With a fixed decay, to the last bit as if it had been started with them."""
    fixed = replace(CONFIG, optimizer=replace(CONFIG.optimizer, decay_steps=10))
    run, whole = tmp_path / "run", tmp_path / "whole"
    for config in (replace(fixed, steps=3), fixed):
        train(config, demonstrations(), run, start=Start(resume=True))
    assert "going on from update 3 to 6 instead of 3" in capsys.readouterr().err.replace("\n", " ")
    assert read_run(run).config.steps == 6
    train_here(whole, config=fixed)
    assert metrics_of(run) == metrics_of(whole)
    for one, other in zip(parameters(run), parameters(whole), strict=True):
        np.testing.assert_array_equal(one, other)


def test_held_out_zero_trains_on_everything_and_says_nothing_of_it(tmp_path):
    lines = metrics_of(train_here(tmp_path / "run", held_out=0.0, steps=2))
    assert [line["step"] for line in lines] == [2]
    assert "held_out" not in lines[0]


def test_an_existing_run_is_not_touched():
    before = {path: path.stat().st_mtime_ns for path in trained().rglob("*")}
    with pytest.raises(FileExistsError, match=r"already holds a run; add --resume .* or --overwrite"):
        train_here(trained())
    changed = replace(CONFIG.optimizer, learning_rate=2e-2)
    difference = r"another configuration \(optimizer.learning_rate: 0.01 -> 0.02, seed: 0 -> 1\); .* --weights .*run "
    with pytest.raises(ValueError, match=difference):
        train_here(trained(), start=Start(resume=True), optimizer=changed, seed=1, steps=9)
    fewer = r"another configuration \(sources.length: 2 -> 1, sources.1.\S+: \S+ -> None, .*, \d+ more\); "
    with pytest.raises(ValueError, match=fewer):
        train_here(trained(), start=Start(resume=True), sources=CONFIG.sources[:1])
    for steps in (5, 3):
        with pytest.raises(ValueError, match=f"is at update 6 of 6 and cannot go on to {steps}: ask for more than 6"):
            train_here(trained(), start=Start(resume=True), steps=steps)
    assert {path: path.stat().st_mtime_ns for path in trained().rglob("*")} == before


def test_a_run_goes_on_with_its_own_demonstrations_only(tmp_path):
    collect(TASKS, tmp_path / "other", seed=1, episodes=3, policy="random", workers=0, quiet=True)
    with pytest.raises(ValueError, match=r"the demonstrations of CartPole-v1 under .*other are not those that"):
        train(CONFIG, tmp_path / "other", trained(), start=Start(resume=True), quiet=True)


def test_loss_weights_of_sources_reach_the_update(tmp_path):
    sources = (replace(CONFIG.sources[0], loss_weight=0.0), CONFIG.sources[1])
    [line] = metrics_of(train_here(tmp_path / "run", sources=sources, steps=1))
    assert line["objective"] == pytest.approx(line["sources"][TASKS[1]]["loss"], rel=1e-5)
    assert line["loss"] != pytest.approx(line["objective"], rel=1e-5)


def test_a_folder_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty and holds no run"):
        train_here(tmp_path)
    with pytest.raises(FileExistsError, match="not empty and holds no run"):
        train_here(tmp_path, start=Start(overwrite=True))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_overwriting_and_starting_from_other_weights(tmp_path):
    """Nothing of the old run stays; the new one begins with the weights that were asked for."""
    run = train_here(tmp_path / "run", steps=1, log_every=1)
    (run / "evaluation").mkdir()
    (run / "evaluation" / "cart_pole_v1.agent.json").write_text("{}")
    still = OptimizerConfig(learning_rate=1e-12, initial_rate=0.0, warmup_steps=0, weight_decay=0.0)
    start = Start(overwrite=True, weights=Weights(run=trained()))
    train_here(run, start=start, steps=2, log_every=1, optimizer=still)
    assert [line["step"] for line in metrics_of(run)] == [1, 2]
    assert not (run / "evaluation").exists()
    for one, other in zip(parameters(run), parameters(trained()), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_weights_of_another_shape_are_refused(tmp_path):
    wider = replace(CONFIG.agent, feedforward=64)
    with pytest.raises(CheckpointError, match=r"run holds another network .* there, .* here"):
        train_here(tmp_path / "run", start=Start(weights=Weights(run=trained())), agent=wider)


def test_a_loss_that_is_not_a_number_stops_the_run_and_is_not_kept(tmp_path):
    """Also of an update after which neither a line nor a checkpoint is due."""
    wild = OptimizerConfig(learning_rate=1e30, initial_rate=1e30, warmup_steps=0, decay_steps=0)
    for name, every in (("often", 1), ("never", 6)):
        run, changes = tmp_path / name, {"optimizer": wild, "log_every": every, "checkpoint_every": every}
        with pytest.raises(DivergedError, match=r"step 2: loss"):
            train_here(run, held_out=0.0, **changes)
        assert [path.name for path in (run / "checkpoints").iterdir()] == ["1"] * (every == 1)
    with pytest.raises(DivergedError, match="step 1: loss nan of what is held out"):
        train_here(tmp_path / "held", optimizer=wild, log_every=1, checkpoint_every=1)
    assert not list((tmp_path / "held" / "checkpoints").iterdir())


def test_metrics_are_read_when_the_next_update_has_been_started(tmp_path, monkeypatch):
    """So that the device does not wait for the host, but at the end of an interval (2, 3, 4, 6), whose time it is."""
    events = []
    make_step, add = loop.make_step, Interval.add

    def make_noted_step(*given):
        step = make_step(*given)

        def noted(state, batch):
            events.append("update")
            return step(state, batch)

        return noted

    def noted_add(self, step, metrics):
        events.append(step)
        add(self, step, metrics)

    monkeypatch.setattr(loop, "make_step", make_noted_step)
    monkeypatch.setattr(Interval, "add", noted_add)
    train_here(tmp_path / "run", evaluate_every=6)
    assert events == ["update", "update", 1, 2, "update", 3, "update", 4, "update", "update", 5, 6]


def test_missing_demonstrations_are_named_with_the_command(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no demonstrations of CartPole-v1 .*generalist collect --task CartPole-v1"
    ):
        train(CONFIG, tmp_path / "none", tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_the_command_that_collects_names_a_policy_where_there_is_no_expert(tmp_path):
    config = replace(CONFIG, sources=(replace(CONFIG.sources[0], task="gym:CartPole-v1"),))
    with pytest.raises(FileNotFoundError, match="collect --task gym:CartPole-v1 --policy random --out"):
        train(config, tmp_path / "none", tmp_path / "run", quiet=True)


def test_resume_and_overwrite_exclude_each_other():
    with pytest.raises(ValueError, match="choose one"):
        Start(resume=True, overwrite=True)


def test_evaluation_during_training_is_a_callable(tmp_path):
    seen = []
    train(
        replace(CONFIG, steps=2, checkpoint_every=1),
        demonstrations(),
        tmp_path / "run",
        quiet=True,
        on_checkpoint=lambda step, state: seen.append((step, len(leaves_of(state)) > 5)),
    )
    assert seen == [(1, True), (2, True)]


def test_an_update_takes_as_long_as_it_takes(tmp_path, monkeypatch):
    """Also where an interval has one update, and the one before was read late."""
    pause, make = 0.05, loop.make_step

    def slow(*args):
        step = make(*args)

        def paused(*given):
            time.sleep(pause)
            return jax.block_until_ready(step(*given))

        return paused

    monkeypatch.setattr(loop, "make_step", slow)
    train_here(tmp_path / "run", log_every=2, checkpoint_every=3, steps=6, held_out=0.0)
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 3, 4, 6]
    for line, updates in zip(lines, (2, 1, 1, 2), strict=True):
        assert line["seconds"] >= updates * pause, line["step"]
