"""What `generalist serve` puts together: the agent as it is evaluated, its texts, and what its playground shows."""

import asyncio
from dataclasses import replace

from generalist.envs.table import family_of, task_in_file
from generalist.envs.task import Task, UnknownTask
from generalist.eval.baselines.constant import ExpertPolicy, RandomPolicy
from generalist.eval.config import evaluation_of
from generalist.eval.evaluate import decode_of_named
from generalist.play.agent import Agent
from generalist.play.dialogue import picture_comes_first
from generalist.play.rollout import Policy
from generalist.play.server.completions import Model
from generalist.play.server.engine import Engine
from generalist.play.server.stage_socket import MODES, MOST_VIEWERS, StageRoom, variant
from generalist.play.writer import Writer, choose_source, measure_of
from generalist.tokenizers.json_text import JsonTokenizer
from generalist.train.checkpoint import steps_in
from generalist.train.config import PUBLIC
from generalist.train.export import public_corpus


def stage_of(agent: Agent, tasks: tuple[str, ...], idle: float, leaving: asyncio.Event) -> StageRoom:
    """What the playground shows: every task that has an environment, by every checkpoint and way of choosing.

    Args:
        idle: seconds without a request after which a viewer is let go.
        leaving: set once the server ends.
    """
    updates = checkpoints_of(agent)
    every = [(task, mode, update) for task in tasks for mode in MODES for update in updates]
    names = {variant(*each): each for each in every}
    loaded = {agent.step: agent}

    def playing(name: str) -> Agent:
        task, mode, update = names[name]
        if update not in loaded:
            loaded[update] = Agent.load(agent.run, step=update)
        return explained(loaded[update], task, mode)

    task_of = {name: each[0] for name, each in names.items()}
    engine = Engine(playing, tuple(names), slots=MOST_VIEWERS, most=MOST_VIEWERS, task_of=task_of.__getitem__)
    others = {"expert": expert_of, "random": lambda task: RandomPolicy()}
    shown = tuple(task for task in tasks if is_known(task))
    return StageRoom(engine, others, shown, updates, idle, leaving)


def checkpoints_of(agent: Agent) -> tuple[int, ...]:
    """Updates whose checkpoints the run has, the one that is served last."""
    there = [] if agent.run.exported is not None else steps_in(agent.run.checkpoints)
    return (*(step for step in there if step != agent.step), agent.step)


def explained(agent: Agent, task: str, mode: str) -> Agent:
    """The agent as it is evaluated on a task, or with discrete actions chosen otherwise; it keeps its probabilities."""
    decode = decode_of_named(evaluation_of(agent.run.directory), task, family_of(task))
    discrete = {"greedy": "mode", "sampled": "sample"}.get(mode, decode.discrete)
    return replace(agent.with_decode(replace(decode, discrete=discrete)), explained=True)


def expert_of(task: Task) -> Policy | None:
    return None if task.expert is None else ExpertPolicy(task)


def is_known(task: str) -> bool:
    """Whether there is an environment of that id; it is not made."""
    try:
        task_in_file(task)
    except UnknownTask:
        return False
    return True


def models_of(agent: Agent) -> dict[str, Model]:
    """Every document source as a model, AGENT/SOURCE, and the one that is talked to as AGENT."""
    documents = agent.run.config.documents
    if not documents:
        return {}
    made = []
    for number, each in enumerate(documents):
        text = agent.run.text
        talks = each.corpus == PUBLIC and isinstance(text, JsonTokenizer) and text.speaks
        measure = "dialogue" if talks else measure_of(each)
        first = measure == "dialogue" and picture_comes_first(each.corpus)
        made.append(Model(Writer.of(agent, number), measure, first))
    try:
        main = choose_source(agent.run.config, None, ("dialogue", "answer", "text", "caption", "label"))
    except ValueError:  # of no source it is known what it is
        main = 0
    called = [public_corpus(each.corpus) for each in documents]
    called = [f"{name}-{at}" if called.count(name) > 1 else name for at, name in enumerate(called)]
    names = [f"{agent.run.name}/{name}" for name in called]
    return {agent.run.name: made[main], **dict(zip(names, made, strict=True))}
