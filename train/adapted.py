"""The training job by which an agent is adapted: the foundation's configuration, changed where adapting needs it."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from generalist.corpora.open import open_corpus
from generalist.demonstrations.data_folder import check_known
from generalist.demonstrations.storage import INDEX, Demonstrations, dataset_folder
from generalist.envs.table import family_of
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.options import LayoutOptions
from generalist.train.adaptation import ALONE_STEPS, KEEP, RATES, STEPS, AdaptConfig
from generalist.train.config import OptimizerConfig, SourceConfig, TrainableConfig, TrainConfig
from generalist.train.run import Run
from generalist.train.sources import input_sizes
from generalist.train.statistics import plain_layout

WARM_UP = 0.05
ROWS_MULTIPLE = 4
CHECKPOINTS = 4
"""Of a run, one after another: what a kill may cost is a quarter."""


def adapted(foundation: Run, tasks: Sequence[str], config: AdaptConfig, data: Path) -> TrainConfig:
    """The training job: the foundation's network, its tasks as far as they are kept, and the new ones."""
    if not tasks:
        raise ValueError("no task to adapt to; name one (--task)")
    before = foundation.own_files
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
    steps = config.steps or (ALONE_STEPS if _way(config) == "full" and not keep else STEPS)
    trainable = replace(config.trainable, also=_also(foundation, list(layouts.values()), config.trainable))
    return replace(
        before,
        sources=(*kept[: len(old)], *new),
        documents=tuple(kept[len(old) :]),
        agent=replace(agent, window=max(agent.window, length)),
        trainable=trainable,
        optimizer=_optimizer(before.optimizer, rate, steps),
        sequence_length=length,
        batch_size=config.batch_size or _rows(config.timesteps, length // longest, before.accumulation),
        data_streams=0,
        mesh=config.mesh or before.mesh,
        steps=steps,
        held_out=0.0,
        return_filter=0.0,
        log_every=max(1, steps // 20),
        checkpoint_every=-(-steps // CHECKPOINTS),
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
        "answer": after.answers > before.answers,
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
    """AdamW, with which `RATES` were measured; linear warm-up from 0, then a cosine to 0 over the whole run."""
    return replace(
        before,
        method="adamw",
        learning_rate=rate,
        initial_rate=0.0,
        final_fraction=0.0,
        warmup_steps=round(WARM_UP * steps),
        decay_steps=0,
    )


def _rows(timesteps: int, in_a_row: int, accumulation: int) -> int:
    """Rows that hold so many timesteps, over which streams and the parts of an update divide."""
    return rounded(-(-timesteps // max(in_a_row, 1)), accumulation)


def rounded(rows: int, parts: int) -> int:
    """So many rows or a few more, a multiple of `ROWS_MULTIPLE` and of `parts`."""
    multiple = math.lcm(ROWS_MULTIPLE, parts)
    return -(-rows // multiple) * multiple
