"""An agent learns new tasks from few demonstrations: the training job that does it, and its defaults.

The defaults come from Meta-World (`docs/adapting.md`): everything is trained, at half the rate of the foundation, in
few updates of few timesteps, with the foundation's own data in half of each batch where it is there; the statistics of
observations are the foundation's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any, Literal

import jax

from generalist.agent.sharding import mesh_sizes, split_cpu
from generalist.corpora.open import open_corpus
from generalist.demonstrations.data_folder import check_known
from generalist.demonstrations.storage import INDEX, Demonstrations, dataset_folder
from generalist.envs.names import nearest
from generalist.envs.table import family_of
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.options import LayoutOptions
from generalist.train.checkpoint import Which, steps_in
from generalist.train.config import MeshConfig, OptimizerConfig, SourceConfig, TrainableConfig, TrainConfig
from generalist.train.foundation import Weights
from generalist.train.loop import train
from generalist.train.nearest import nearest_tasks
from generalist.train.run import Run, measured_alike, read_run
from generalist.train.sources import input_sizes
from generalist.train.start import Start, difference
from generalist.train.statistics import plain_layout
from generalist.train.transfer import PARTS

WARM_UP = 0.05
KEEP = 0.5
"""Share of the examples that are of the foundation's own tasks, where their demonstrations are there."""
RATES = {"full": 0.5, "lora": 1.5, "head": 0.5, "embedding": 5.0, "scratch": 1.5}
"""Highest learning rate, as a part of the foundation's: what is trained less of can be moved faster."""
ROWS_MULTIPLE = 4
CHECKPOINTS = 4
"""Of a run, one after another: what a kill may cost is a quarter."""


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """How an agent is adapted.

    Args:
        episodes: demonstrations of each task; None is all there are.
        episodes_seed: draws them at random; None takes the first, in the order of their seeds.
        failures: take demonstrations that did not reach the goal, too.
        trainable: what is trained.
        keep: share of the examples that are of the foundation's own tasks, against forgetting; 0 trains on the new ones
            alone. None is `KEEP` where the
            demonstrations of all of them are there, else 0.
        steps: updates.
        learning_rate: the highest; None is `RATES` of the foundation's.
        timesteps: of one update, about; None chooses the batch size by `batch_size`.
        batch_size: rows of one update; None is as many as hold `timesteps`, or some more, so that devices divide them.
        new_tasks: how the embedding of a new task begins: as the mean of those of its family, as that of the trained
            task that is nearest (`generalist.train.nearest`), or at random.
        layout: how a new task is shown; None is as the foundation's nearest task is.
        from_scratch: begin with new parameters: the baseline that says what the foundation is worth. Statistics are the
            foundation's all the same.
        mesh: of devices; None is the foundation's.
        seed: of everything random in training.
    """

    episodes: int | None = None
    episodes_seed: int | None = None
    failures: bool = False
    trainable: TrainableConfig = field(default_factory=TrainableConfig)
    keep: float | None = None
    steps: int = 2400
    learning_rate: float | None = None
    timesteps: int = 128
    batch_size: int | None = None
    new_tasks: Literal["mean", "nearest", "random"] = "mean"
    layout: LayoutOptions | None = None
    from_scratch: bool = False
    mesh: MeshConfig | None = None
    seed: int = 0

    @classmethod
    def of(cls, **fields: Any) -> "AdaptConfig":
        """From fields of this class and, beside them, of `TrainableConfig` (how, rank, alpha, parts, also).

        Raises:
            TypeError: a field that there is not, with the nearest ones.
        """
        own, inner = ({each.name for each in dataclass_fields(kind)} for kind in (cls, TrainableConfig))
        for name in fields:
            if name not in own | inner:
                raise TypeError(f"adapting has no setting {name!r}: {nearest(name, sorted(own | inner))}")
        rest: dict[str, Any] = {name: value for name, value in fields.items() if name in own}
        if trainable := {name: value for name, value in fields.items() if name in inner}:
            rest["trainable"] = TrainableConfig(**trainable)
        return cls(**rest)

    def __post_init__(self):
        if not 0 <= (self.keep or 0) < 1:
            raise ValueError(f"keep is a share of the examples in [0, 1), got {self.keep}")
        if self.timesteps < 1 or self.steps < 1:
            raise ValueError(f"timesteps and steps must be positive, got {self.timesteps} and {self.steps}")
        for name in ("learning_rate", "batch_size", "episodes"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise ValueError(f"{name} must be positive, got {value}; None is the default")
        if (draw := self.episodes_seed) is not None and (self.episodes is None or draw < 0):
            asked = "together with episodes, of which it draws" if draw >= 0 else "0 or more"
            raise ValueError(f"episodes_seed must be {asked}, got {draw}")
        if self.from_scratch and (self.keep or self.trainable.how != "full"):
            raise ValueError(
                "from scratch there is no foundation: nothing of it can be kept, and everything is trained"
            )


def adapt(
    run: Run | Path,
    tasks: Sequence[str],
    config: AdaptConfig,
    *,
    data: Path | None = None,
    out: Path,
    step: Which = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    workers: int | None = None,
) -> Run:
    """Train a run's agent on other tasks, into a run directory of its own.

    Args:
        run: the foundation; it is only read.
        tasks: ids; those that it knows are trained further.
        data: folder of the demonstrations; the foundation's by default.
        step: which of its checkpoints; the newest by default.
        resume: go on with the run in `out`, also where the foundation is there no more.

    Raises:
        ValueError: no task, an unknown one, too few demonstrations, something that does not go together.
        CheckpointError: the foundation has no such checkpoint, or other parts than its configuration says.
        FileNotFoundError: no run there, or no demonstrations of a task.
        FileExistsError: as `generalist.train.loop.train`.
    """
    if resume and not isinstance(run, Run) and not (run / "config.json").exists() and (out / "config.json").exists():
        own = read_run(out)  # from its first checkpoint on it has all that it needs of the foundation, which is gone
        again = _as_begun(own, tasks, config)
        return train(again, Path(data or own.data), out, start=Start(resume=True), quiet=quiet, workers=workers)
    foundation = run if isinstance(run, Run) else read_run(run)
    if foundation.directory.resolve() in out.resolve().parents:
        raise ValueError(f"{out} is inside the foundation, which is only read: choose another --out")
    data = Path(data or foundation.data)
    split_cpu((config.mesh or foundation.config.mesh).cpu_devices)  # before JAX is in use
    training = adapted(foundation, tasks, config, data)
    if config.batch_size is None:
        training = _over_devices(training)
    if resume and (out / "config.json").exists():
        training = _paced_as(read_run(out).config, training)
    weights = Weights(run=foundation.directory, step=step, allow=PARTS, parameters=not config.from_scratch)
    if config.new_tasks == "random":
        weights = replace(weights, new_tasks="random")
    elif config.new_tasks == "nearest" and not config.from_scratch and not (resume and steps_in(out / "checkpoints")):
        weights = replace(weights, new_tasks=nearest_tasks(training, data, weights))
    return train(
        training,
        data,
        out,
        start=Start(resume=resume, overwrite=overwrite, weights=weights),
        quiet=quiet,
        workers=workers,
        on_start=lambda new: measured_alike(foundation, new.directory),
    )


def _paced_as(own: TrainConfig, asked: TrainConfig) -> TrainConfig:
    """The job with what follows from the number of updates as it was when the run began: that number may change."""
    optimizer = replace(asked.optimizer, warmup_steps=own.optimizer.warmup_steps)
    return replace(asked, optimizer=optimizer, log_every=own.log_every, checkpoint_every=own.checkpoint_every)


def _as_begun(own: Run, tasks: Sequence[str], config: AdaptConfig) -> TrainConfig:
    """The job of a run whose foundation is gone, to the steps that are asked for.

    Raises:
        ValueError: what is asked for is not what it was started with, as far as that is known without the foundation.
    """
    before = own.config
    new, rate = before.sources[-max(1, len(tasks)) :], before.optimizer.learning_rate
    trained = {name: getattr(before.trainable, name) for name in ("how", "rank", "alpha", "parts")}
    begun = {
        "task": [source.task for source in new],
        **trained,
        "from_scratch": not (own.foundation or {}).get("parameters", True),
        "episodes": new[0].episodes,
        "episodes_seed": new[0].episodes_seed,
        "failures": not new[0].successes,
        "learning_rate": rate,
        "batch_size": before.batch_size,
        "seed": before.seed,
    }
    asked = {name: getattr(config, name) for name in begun if hasattr(config, name)}
    asked |= {"task": list(tasks), **{name: getattr(config.trainable, name) for name in trained}}
    asked |= {"learning_rate": config.learning_rate or rate, "batch_size": config.batch_size or before.batch_size}
    if said := difference(begun, asked):
        raise ValueError(
            f"{own.directory} was started with another configuration ({said}), and its foundation is gone: give the "
            "same options to go on with it; only --steps may change"
        )
    return replace(before, steps=config.steps, mesh=config.mesh or before.mesh)


def adapted(foundation: Run, tasks: Sequence[str], config: AdaptConfig, data: Path) -> TrainConfig:
    """The training job: the foundation's network, its tasks as far as they are kept, and the new ones."""
    if not tasks:
        raise ValueError("no task to adapt to; name one (--task)")
    before = foundation.config
    layouts = {task: _layout(foundation, task, data, config.layout) for task in tasks}
    new = tuple(_source(foundation, task, layouts[task], config) for task in tasks)
    weight, keep = sum(source.weight for source in new), _kept(foundation, tasks, config, data)
    old = () if config.from_scratch else tuple(each for each in before.sources if each.task not in tasks)
    documents = () if config.from_scratch else before.documents
    kept = _shares([*old, *documents], weight * keep / (1 - keep))
    agent = replace(
        before.agent,
        local_positions=max(before.agent.local_positions, *(each.max_observation_tokens for each in layouts.values())),
        window=max(before.agent.window, *(each.least_window for each in layouts.values())),
    )
    longest = max(each.max_tokens for each in layouts.values())
    length = max(before.sequence_length, longest)
    rate = config.learning_rate or before.optimizer.learning_rate * RATES[_way(config)]
    trainable = replace(config.trainable, also=_also(foundation, list(layouts.values()), config.trainable))
    return replace(
        before,
        sources=(*kept[: len(old)], *new),
        documents=tuple(kept[len(old) :]),
        agent=replace(agent, window=max(agent.window, length)),
        trainable=trainable,
        optimizer=_optimizer(before.optimizer, rate, config.steps),
        sequence_length=length,
        batch_size=config.batch_size or _rows(config.timesteps, length // longest, before.accumulation),
        data_streams=0,
        mesh=config.mesh or before.mesh,
        steps=config.steps,
        held_out=0.0,
        return_filter=0.0,
        log_every=max(1, config.steps // 20),
        checkpoint_every=-(-config.steps // CHECKPOINTS),
        keep=1,
        keep_best=0,
        seed=config.seed,
    )


def _kept(foundation: Run, tasks: Sequence[str], config: AdaptConfig, data: Path) -> float:
    """`keep` of the configuration, or what its default comes to here."""
    if config.from_scratch:
        return 0.0
    own = own_data(foundation, tasks)
    if config.keep and not own:
        raise ValueError(
            f"{foundation.directory} was trained on nothing but {', '.join(tasks)}: there is nothing else to keep "
            f"(keep {config.keep}); leave --keep out"
        )
    if config.keep is not None:
        return config.keep
    known = any(name in foundation.layouts for name in own)
    return KEEP if known and not missing_data(foundation, tasks, data) else 0.0


def own_data(run: Run, tasks: Sequence[str]) -> list[str]:
    """What a run was trained on besides these tasks: its other tasks, and its corpora."""
    config = run.config
    weighted = zip(config.names, config.weights, strict=True)
    return [name for name, weight in weighted if weight and name not in tasks]


def missing_data(foundation: Run, tasks: Sequence[str], data: Path) -> list[str]:
    """What of the foundation's own tasks and corpora, besides these tasks, is not there to be kept."""

    def is_there(name: str) -> bool:
        if name in foundation.layouts:
            return (dataset_folder(data, name) / INDEX).exists()
        try:
            open_corpus(name)
        except (FileNotFoundError, ModuleNotFoundError):
            return False
        return True

    return [name for name in own_data(foundation, tasks) if not is_there(name)]


def _also(foundation: Run, new: list[Layout], asked: TrainableConfig) -> tuple[str, ...]:
    """What is trained whole besides, where not everything is: task embeddings, embedders of which something is new."""
    if asked.how == "full":
        return asked.also
    before = input_sizes(foundation.config, list(foundation.layouts.values()))
    after = input_sizes(foundation.config, [*foundation.layouts.values(), *new])
    grown = {
        "source": foundation.config.agent.source_embedding,
        "vector": after.vector_values > before.vector_values,
        "patch": after.patch_size != before.patch_size,
        "image": after.image_shape != before.image_shape,
        "local": max(each.max_observation_tokens for each in new) > foundation.config.agent.local_positions,
    }
    return tuple(dict.fromkeys([*asked.also, *(part for part, is_new in grown.items() if is_new)]))


def _way(config: AdaptConfig) -> str:
    return "scratch" if config.from_scratch else config.trainable.how


def _layout(foundation: Run, task: str, data: Path, options: LayoutOptions | None) -> Layout:
    """Of a task, for its sizes and options: the foundation's, or one of the spaces of its demonstrations."""
    if task in foundation.layouts:
        return foundation.layouts[task]
    check_known(task, data)
    folder = dataset_folder(data, task)
    if not folder.exists():
        raise FileNotFoundError(
            f"no demonstrations of {task} under {data}; run: generalist collect --task {task} --out {data}, or name "
            "the folder that has them (--data)"
        )
    opened = Demonstrations.open(folder)
    spaces = opened.observation_space, opened.action_space
    if options is not None:
        return Layout.from_spaces(
            *spaces, vocabulary=foundation.config.vocabulary, text=foundation.text, options=options
        )
    if not foundation.layouts:
        raise ValueError(
            f"{foundation.directory} was trained on no task, so it does not say how {task} is shown: name a config "
            "that does (--layout-of)"
        )
    return plain_layout(*spaces, family_of(task), foundation.layouts)


def _source(foundation: Run, task: str, layout: Layout, config: AdaptConfig) -> SourceConfig:
    return SourceConfig(
        task=task,
        layout=layout.options,
        episodes=config.episodes,
        episodes_seed=config.episodes_seed,
        successes=not config.failures,
    )


def _shares(sources: list, total: float) -> list:
    """The same sources with weights that sum to `total`; of one that was not trained on, 0."""
    before = sum(each.weight for each in sources)
    return [replace(each, weight=each.weight * total / before if before else 0.0) for each in sources]


def _optimizer(before: OptimizerConfig, rate: float, steps: int) -> OptimizerConfig:
    """Linear warm-up from 0, then a cosine to 0 over the whole run."""
    return replace(
        before,
        learning_rate=rate,
        initial_rate=0.0,
        final_fraction=0.0,
        warmup_steps=round(WARM_UP * steps),
        decay_steps=0,
    )


def _rows(timesteps: int, in_a_row: int, accumulation: int) -> int:
    """Rows that hold so many timesteps, over which streams and the parts of an update divide."""
    return _rounded(-(-timesteps // max(in_a_row, 1)), accumulation)


def _rounded(rows: int, parts: int) -> int:
    """So many rows or a few more, a multiple of `ROWS_MULTIPLE` and of `parts`."""
    multiple = math.lcm(ROWS_MULTIPLE, parts)
    return -(-rows // multiple) * multiple


def _over_devices(config: TrainConfig) -> TrainConfig:
    """The job with a batch that divides over its devices."""
    mesh = config.mesh
    data, fsdp, _ = mesh_sizes(mesh.data, mesh.fsdp, mesh.tensor, devices=jax.device_count())
    return replace(config, batch_size=_rounded(config.batch_size, data * fsdp * config.accumulation))
