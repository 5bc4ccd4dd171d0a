"""What a training job is made of, before it runs: parameters, tokens of each task, padding, memory and FLOPs.

Environments are created to read their spaces; nothing is recorded and no parameter is allocated.
"""

from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import numpy as np
from flax import nnx

from generalist.agent.config import InputSizes
from generalist.agent.sharding import AXES, abstract_mesh
from generalist.demonstrations.data_folder import check_known, is_recorded
from generalist.envs.table import task_in_file
from generalist.envs.task import MissingExtra, UnknownTask
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.sequence import Capacity
from generalist.train.agent_fits import check_window
from generalist.train.compiled import Compiled, computed_in, look
from generalist.train.config import SourceConfig, TrainConfig
from generalist.train.data import TaskSource, check_timesteps, row_capacity
from generalist.train.flops import measured_peak, update_flops
from generalist.train.footprint import Footprint, footprint, with_remat
from generalist.train.input_rate import InputRate, made_per_second
from generalist.train.notices import range_notices, text_notices
from generalist.train.padding import imagined_source, most_text, padding_share
from generalist.train.placement import Placement, placements
from generalist.train.sources import document_sources, input_sizes, make_text_tokenizer, open_mixture
from generalist.train.step import State, abstract_state
from generalist.train.step_tokens import token_counts
from generalist.train.topologies import Topology
from generalist.train.trained_share import TrainedShare, trained_share

FIRST_OBSERVATIONS = 8
"""Resets of an environment with text, to see how long its text is."""


@dataclass(frozen=True, kw_only=True)
class TaskTokens:
    """Tokens of a timestep of one task; `tokens` is the most and the sum of the four kinds below it.

    Args:
        weight: share of examples, all sources together 1.
        text, observation, separator, action: text at its longest; the last action token is not counted where later
            timesteps may not see it, because nothing is predicted from it.
        mean_tokens: over the demonstrations; without them, over a few first observations.
        targets: positions that carry a loss, at most.
        timesteps: of the longest kind that fit one sequence.
        frames_per_second: timesteps per second of play; None where the environment does not say.
        episodes: demonstrations that are trained on: not held out, and passing the return filter; None without any on
            disk.
        notices: ranges of values without useful bounds, and texts that are cut.
    """

    task: str
    weight: float
    tokens: int
    mean_tokens: float
    text: int
    observation: int
    separator: int
    action: int
    targets: int
    timesteps: int
    frames_per_second: float | None
    episodes: int | None
    notices: tuple[str, ...] = ()

    @property
    def tokens_per_second(self) -> float | None:
        """Of play in real time."""
        return None if self.frames_per_second is None else self.mean_tokens * self.frames_per_second


@dataclass(frozen=True, kw_only=True)
class Description:
    """What `describe` finds.

    Args:
        tasks: of the mixture, those without `missing` extras.
        missing: (task, why) of the others; they count in nothing below but the source embedding.
        parameters: number by part of the network.
        padding: expected share of positions without a token. `padding_from` says from what: demonstrations, or
            horizons, where every episode is taken to last as long as the task allows.
        capacity: what one row can hold.
        mesh: devices along each axis.
        memory: by `remat` off and on; `remat` says which of the two is configured.
        compiled: what the compiler says of the configured one, where it was asked.
        comparable: the prediction to set beside them, of the dtype that the compiler computes in.
        trained: what is trained, and what that saves against training everything.
        placements: of the parameters; the optimizer's moments lie as they do.
        update_flops: model FLOPs of an update (see `generalist.train.flops`), over all devices.
        input: how fast batches are made, and needed; None where demonstrations are missing.
        tokens_per_update: positions that hold a token.
    """

    tasks: tuple[TaskTokens, ...]
    missing: tuple[tuple[str, str], ...]
    parameters: dict[str, int]
    layers: int
    padding: float
    padding_from: str
    sequence_length: int
    batch_size: int
    accumulation: int
    capacity: Capacity
    mesh: dict[str, int]
    remat: bool
    memory: dict[bool, Footprint]
    compiled: Compiled | None
    comparable: Footprint | None
    trained: TrainedShare
    placements: tuple[Placement, ...]
    update_flops: float
    input: InputRate | None

    @property
    def parameter_count(self) -> int:
        return sum(self.parameters.values())

    @property
    def tokens_per_update(self) -> float:
        return self.batch_size * self.sequence_length * (1 - self.padding)

    @property
    def flops_per_token(self) -> float:
        return self.update_flops / self.tokens_per_update

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, derived numbers included; bytes and counts are exact integers."""
        stored = asdict(self)
        stored["tasks"] = [
            row | {"tokens_per_second": task.tokens_per_second}
            for row, task in zip(stored["tasks"], self.tasks, strict=True)
        ]
        stored["memory"] = {
            "with_remat" if remat else "without_remat": _footprint_to_json(memory)
            for remat, memory in self.memory.items()
        }
        stored["comparable"] = self.comparable and _footprint_to_json(self.comparable)
        stored["trained"]["share_of_full_memory"] = self.trained.share
        derived = ("parameter_count", "tokens_per_update", "flops_per_token")
        return stored | {name: getattr(self, name) for name in derived}


def _footprint_to_json(memory: Footprint) -> dict[str, int]:
    return asdict(memory) | {"activations": memory.activations, "total": memory.total}


def describe(
    config: TrainConfig,
    data: Path,
    mesh: tuple[int, int, int],
    *,
    compiled: bool = False,
    chips: Topology | None = None,
) -> Description:
    """Describe a training job on a mesh of (data, fsdp, tensor) devices, which need not be here.

    Args:
        compiled: compile the update too, for as many devices of this process; nothing is allocated.
        chips: compile it for these.
        data: folder of demonstrations; the tasks that have some there are measured on them, the others need none.

    Raises:
        MissingExtra: no task of the mixture can be made.
        ValueError: what training would refuse too: a timestep longer than a row, a mesh that does not divide a size.
    """
    found: list[tuple[TaskTokens, TaskSource]] = []
    missing: list[tuple[str, str]] = []
    errors: list[MissingExtra] = []
    for index, source in enumerate(config.sources):
        try:
            found.append(_look(config, index, source, data))
        except MissingExtra as error:
            missing.append((source.task, str(error)))
            errors.append(error)
    documents = [source for source, _ in document_sources(config, make_text_tokenizer(config.text))]
    if not found and not documents:
        raise errors[0]
    for task, source in found:
        check_timesteps(task.task, source, config.sequence_length)
        check_window(task.task, source.index, source.layout, config.agent)
    tasks = tuple(task for task, _ in found)
    sources = [*(source for _, source in found), *documents]
    capacity = row_capacity(sources)
    sizes = input_sizes(config, [source.layout for _, source in found])
    _, state = abstract_state(config, sizes, abstract_mesh(*mesh))
    weights = [config.weights[source.index] for source in sources]
    recorded = sum(task.episodes is not None for task in tasks)
    rows = config.batch_size // config.streams
    trained = [(source, weight) for source, weight in zip(sources, weights, strict=True) if weight]
    sources, weights = ([pair[part] for pair in trained] for part in (0, 1))
    padding = padding_share(sources, weights, capacity, rows=rows)
    flops = update_flops(config.agent, sizes, capacity, config.batch_size)
    made = made_per_second(sources, weights, capacity, rows) if recorded == len(tasks) and not missing else None
    tokens = config.batch_size * config.sequence_length * (1 - padding)
    return Description(
        tasks=tasks,
        missing=tuple(missing),
        parameters=parameters_by_part(state[0]),
        layers=config.agent.layers,
        padding=padding,
        padding_from={len(tasks): "demonstrations", 0: "horizons"}.get(recorded, "demonstrations and horizons"),
        sequence_length=config.sequence_length,
        batch_size=config.batch_size,
        accumulation=config.accumulation,
        capacity=capacity,
        mesh=dict(zip(AXES, mesh, strict=True)),
        remat=config.agent.remat,
        memory={remat: footprint(with_remat(config, remat), sizes, capacity, mesh, state) for remat in (False, True)},
        compiled=look(config, sizes, capacity, mesh, chips) if compiled or chips else None,
        comparable=footprint(computed_in(config, chips), sizes, capacity, mesh, state) if compiled or chips else None,
        trained=trained_share(config, sizes, mesh, state),
        placements=tuple(placements(state[0])),
        update_flops=flops,
        input=InputRate(made=made, needed=_needed(config, mesh, tokens, flops)) if made else None,
    )


def _needed(config: TrainConfig, mesh: tuple[int, int, int], tokens: float, flops: float) -> float | None:
    """Tokens per second of updates at this machine's peak, where the mesh is this machine's."""
    if prod(mesh) != jax.device_count():
        return None
    return tokens * measured_peak(computed_in(config).agent.dtype) / flops


def count_parameters(config: TrainConfig, sizes: InputSizes) -> dict[str, int]:
    """Number of parameters by part of the network that reads `sizes`; nothing is allocated."""
    return parameters_by_part(abstract_state(config, sizes, abstract_mesh(1, 1, 1))[1][0])


PARTS = {
    "tokens": "token table",
    "local": "local positions",
    "source": "source embedding",
    "patch": "patch embedder",
    "vector": "vector embedder",
    "image": "image embedder",
    "answer": "direct actions",
    "blocks": "blocks",
    "norm": "final norm",
    "lora": "LoRA",
}


def parameters_by_part(network: State) -> dict[str, int]:
    """Number of parameters of each part that the network has, in the order of `PARTS`."""
    counts: dict[str, int] = {}
    for path, leaf in nnx.to_flat_state(network):
        part = "lora" if isinstance(leaf, nnx.LoRAParam) else str(path[1] if path[0] == "transformer" else path[0])
        counts[part] = counts.get(part, 0) + int(np.prod(leaf.get_value().shape))
    return {name: counts[part] for part, name in PARTS.items() if part in counts}


def _look(config: TrainConfig, index: int, source: SourceConfig, data: Path) -> tuple[TaskTokens, TaskSource]:
    """Tokens and sizes of one task: from its demonstrations where there are some, else from its environment."""
    check_known(source.task, data)
    recorded = None
    if is_recorded(data, source.task):
        only = replace(source, weight=source.weight or 1.0)  # what is only known has a size too
        [alone] = open_mixture(replace(config, sources=(only,), documents=()), data).sources
        assert isinstance(alone, TaskSource)
        recorded = replace(alone, index=index)
    try:
        task = task_in_file(source.task)
        env = task.make()
    except (MissingExtra, UnknownTask):
        if recorded is None:
            raise
        return _tokens(config, source, recorded, None, measured=True), recorded
    try:
        rate = env.metadata.get("render_fps")
        known = recorded or _imagine(config, index, source, env, task.horizon)
    finally:
        env.close()
    return _tokens(config, source, known, rate, measured=recorded is not None), known


def _imagine(config: TrainConfig, index: int, source: SourceConfig, env: gym.Env, horizon: int) -> TaskSource:
    """The source that demonstrations of `horizon` timesteps would make, with the text of a few first observations."""
    layout = Layout.from_spaces(
        env.observation_space,
        env.action_space,
        vocabulary=config.vocabulary,
        text=make_text_tokenizer(config.text),
        options=source.layout,
    )
    resets = FIRST_OBSERVATIONS if layout.text_leaves else 1
    tokens = [int(token_counts(layout, _stacked(env.reset(seed=seed)[0]), 1)[0]) for seed in range(resets)]
    return imagined_source(config, index, layout, tokens, horizon)


def _stacked(value: Any) -> Any:
    """One observation with a leading axis of 1."""
    if isinstance(value, dict):
        return {key: _stacked(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(_stacked(part) for part in value)
    return np.asarray(value)[None]


def _tokens(
    config: TrainConfig, source: SourceConfig, known: TaskSource, rate: float | None, *, measured: bool
) -> TaskTokens:
    layout = known.layout
    text = most_text(layout)
    return TaskTokens(
        task=source.task,
        weight=source.weight / sum(config.weights),
        tokens=layout.max_tokens,
        mean_tokens=float(known.step_tokens.mean),
        text=text,
        observation=layout.max_observation_tokens - text,
        separator=int(layout.options.separator),
        action=layout.body_tokens - (len(layout.body_kinds) - layout.written_tokens),
        targets=layout.target_count + layout.answer_count,
        timesteps=config.sequence_length // layout.max_tokens,
        frames_per_second=None if rate is None else float(rate),
        episodes=len(known.table.lengths) if measured else None,
        notices=(*range_notices(source.task, known), *text_notices(source.task, known)),
    )
