"""From demonstrations on disk to the sources of a mixture: layouts with their statistics, filtered episodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from generalist.agent.config import AgentConfig, InputSizes
from generalist.corpora.open import open_corpus
from generalist.demonstrations.columns import Columns
from generalist.demonstrations.filter import lowest_return
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs.spaces import space_from_json, space_to_json
from generalist.envs.table import task_in_file
from generalist.tokenizers.continuous import Range
from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.layout import Layout, LayoutOptions
from generalist.tokenizers.sequence import Capacity
from generalist.tokenizers.text import ByteTokenizer, SentencePieceTokenizer, TextTokenizer
from generalist.train.config import TextConfig, TrainConfig
from generalist.train.data import Source, TaskSource, check_timesteps, row_capacity
from generalist.train.documents import DocumentSource
from generalist.train.held_out import split_corpus, split_indices
from generalist.train.notices import corpus_notices, task_notices
from generalist.train.ranges import with_ranges
from generalist.train.shown import shown_steps
from generalist.train.step_tokens import column_tokens
from generalist.train.windows import EpisodeTable


def make_text_tokenizer(config: TextConfig) -> TextTokenizer:
    """The text tokenizer that a configuration names."""
    if config.tokenizer == "bytes":
        return ByteTokenizer()
    if not config.model:
        raise ValueError("text.tokenizer sentencepiece needs text.model, the path of a SentencePiece model file")
    return SentencePieceTokenizer.load(config.model)


def check_local_positions(task: str, layout: Layout, agent: AgentConfig) -> None:
    """Raises ValueError where an observation has more tokens than the agent's table of local positions has rows."""
    needed = layout.max_observation_tokens
    if needed > agent.local_positions:
        raise ValueError(
            f"an observation of {task} has up to {needed} tokens, agent.local_positions is {agent.local_positions}; "
            f"raise it (--train.agent.local-positions {needed}), or show vectors or images as one token"
        )


def check_window(task: str, index: int, layout: Layout, agent: AgentConfig) -> None:
    """Raises ValueError where acting may need a longer window than the agent has, whatever the demonstrations show."""
    needed = layout.least_window
    if needed > agent.window:
        words = sum(layout.text_limits)
        shorter = f", or cut texts shorter (--train.sources.{index}.layout.max-text-tokens, now {words} ids)"
        raise ValueError(
            f"a timestep of {task} may need {needed} positions when it is played, by its spaces, and agent.window is "
            f"{agent.window}: raise it (--train.agent.window {needed}){shorter if words else ''}"
        )


@dataclass(frozen=True)
class Mixture:
    """Everything that training takes from its data: sources, weights, and the static sizes they imply.

    Args:
        held_out: the same of what is never trained on, with the same capacity; sources of which nothing is held out are
            not in it. None where there is nothing at all.
        notices: what does not reach the network as it is, see `generalist.train.notices`.
    """

    sources: tuple[Source, ...]
    weights: tuple[float, ...]
    names: tuple[str, ...]
    capacity: Capacity
    held_out: "Mixture | None" = None
    notices: tuple[str, ...] = ()

    @property
    def layouts(self) -> dict[str, Layout]:
        """Of the tasks, by id."""
        named = zip(self.names, self.sources, strict=True)
        return {name: source.layout for name, source in named if isinstance(source, TaskSource)}

    @property
    def episodes(self) -> dict[str, int]:
        """How many episodes the data set of each task has, by the task's id."""
        named = zip(self.names, self.sources, strict=True)
        found = {name: source.steps for name, source in named if isinstance(source, TaskSource)}
        return {name: len(steps.columns.lengths) for name, steps in found.items() if steps is not None}


def open_mixture(config: TrainConfig, data: Path) -> Mixture:
    """Read the demonstrations of every source under `data`.

    Raises:
        FileNotFoundError: naming the task without demonstrations and the command that collects them.
    """
    text = make_text_tokenizer(config.text)
    sources: list[Source] = []
    held_out: list[Source | None] = []
    notices: list[str] = []
    for index, source in enumerate(config.sources):
        path = dataset_folder(data, source.task)
        if not path.exists():
            policy = "" if task_in_file(source.task).expert else " --policy random"
            raise FileNotFoundError(
                f"no demonstrations of {source.task} under {data}; run: "
                f"generalist collect --task {source.task}{policy} --out {data}"
            )
        found, unseen, said = _sources(config, index, Demonstrations.open(path), text)
        check_local_positions(source.task, found.layout, config.agent)
        check_timesteps(source.task, found, config.sequence_length)
        check_window(source.task, index, found.layout, config.agent)
        sources.append(found)
        held_out.append(unseen)
        notices += said
    for found, unseen in document_sources(config, text):
        sources.append(found)
        held_out.append(unseen)
        notices += corpus_notices(found)
    capacity = row_capacity(sources)
    mixture = Mixture(tuple(sources), config.weights, config.names, capacity, notices=tuple(notices))
    return replace(mixture, held_out=_held_out(mixture, held_out))


def open_layout(config: TrainConfig, task: str, data: Path) -> Layout:
    """The layout of one of the job's tasks, with what it takes from the demonstrations; raises as `open_mixture`."""
    [source] = [each for each in config.sources if each.task == task]
    return open_mixture(replace(config, sources=(source,), documents=()), data).layouts[task]


def _held_out(mixture: Mixture, sources: Sequence[Source | None]) -> Mixture | None:
    there = [index for index, source in enumerate(sources) if source is not None]
    if not there:
        return None
    kept = tuple(source for source in sources if source is not None)
    weights, names = tuple(mixture.weights[index] for index in there), tuple(mixture.names[index] for index in there)
    return Mixture(kept, weights, names, mixture.capacity)


def document_sources(config: TrainConfig, text: TextTokenizer) -> list[tuple[DocumentSource, DocumentSource | None]]:
    """Of every corpus of a job, the documents of its training split that are trained on, and those that are held out.

    Raises as `generalist.corpora.open.open_corpus`.
    """
    found = []
    for number, each in enumerate(config.documents):
        corpus, held_out = split_corpus(open_corpus(each.corpus), config.held_out)
        source = DocumentSource(
            index=len(config.sources) + number,
            name=each.corpus,
            layout=DocumentLayout(config.vocabulary, text, each.pictures),
            corpus=corpus,
            sequence_length=config.sequence_length,
            pictures=each.room,
            seed=config.seed,
        )
        found.append((source, None if held_out is None else replace(source, corpus=held_out)))
    return found


def select_episodes(config: TrainConfig, returns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 (ascending): the episodes that are trained on, and those that are held out.

    The return filter takes its threshold from the former; of the latter, which may then be none, those below it are
    left out too.
    """
    training, held_out = split_indices(len(returns), config.held_out)
    if config.return_filter:
        lowest = lowest_return(returns[training], config.return_filter)
        training, held_out = (chosen[returns[chosen] >= lowest] for chosen in (training, held_out))
    return training, held_out


def _sources(
    config: TrainConfig, index: int, demonstrations: Demonstrations, text: TextTokenizer
) -> tuple[TaskSource, TaskSource | None, list[str]]:
    """Two selections of episodes over the same steps, trained on and held out, and what is to be said of them."""
    training, held_out = select_episodes(config, demonstrations.returns)
    columns = demonstrations.columns()
    task = config.sources[index].task
    try:
        plain = Layout.from_spaces(
            demonstrations.observation_space,
            demonstrations.action_space,
            vocabulary=config.vocabulary,
            text=text,
            options=config.sources[index].layout,
            statistics=columns.statistics(training),
        )
        layout = with_ranges(plain, columns, training)
    except ValueError as cause:
        raise ValueError(f"{task}: {cause}") from cause
    source = TaskSource(
        index=index,
        layout=layout,
        steps=shown_steps(demonstrations, columns, layout),
        table=episodes_of(columns, training),
        step_tokens=column_tokens(layout, columns),
        sequence_length=config.sequence_length,
        prompt=config.prompt,
        seed=config.seed,
        name=task,
    )
    unseen = replace(source, table=episodes_of(columns, held_out)) if len(held_out) else None
    return source, unseen, task_notices(task, source, columns, training)


def episodes_of(columns: Columns, episodes: np.ndarray) -> EpisodeTable:
    """Where these episodes lie among the steps."""
    return EpisodeTable(columns.starts[episodes], columns.lengths[episodes])


def input_sizes(config: TrainConfig, layouts: Sequence[Layout]) -> InputSizes:
    """What the agent must be able to read; equal to what `row_capacity` gives for the same layouts."""
    patches = [(layout.options.patch_size, layout.options.channels) for layout in layouts if layout.patch_count]
    images = [layout.image_shape for layout in layouts if layout.image_count]
    for pictures in (each.pictures for each in config.documents if each.room):
        if pictures.images == "patches":
            patches.append((pictures.patch_size, pictures.shape[2]))
        else:
            images.append(pictures.shape)
    patch_size, patch_channels = patches[0] if patches else (0, 3)
    return InputSizes(
        vocabulary=config.vocabulary.size,
        sources=len(config.names),
        patch_size=patch_size,
        patch_channels=patch_channels,
        vector_values=max((layout.vector_values for layout in layouts), default=0),
        image_shape=images[0] if images else (0, 0, 0),
    )


def layout_to_json(layout: Layout) -> dict[str, Any]:
    """Spaces, statistics and ranges of a layout; options, vocabulary and text tokenizer are in the run's `config`."""
    return {
        "observation_space": space_to_json(layout.observation_space),
        "action_space": space_to_json(layout.action_space),
        "statistics": {path: [list(part) for part in parts] for path, parts in layout.statistics.items()},
        "ranges": {path: found.to_json() for path, found in layout.ranges.items()},
        "text": layout.text.version,
    }


def layout_from_json(stored: Mapping[str, Any], config: TrainConfig, options: LayoutOptions) -> Layout:
    """The layout that `layout_to_json` described.

    What was stored before there were ranges keeps the fixed scale that it was trained with, and its options say so.

    Raises:
        ValueError: the text tokenizer is not the one of training.
    """
    text = make_text_tokenizer(config.text)
    if text.version != stored["text"]:
        raise ValueError(f"the agent was trained with text tokenizer {stored['text']!r}, this one is {text.version!r}")
    layout = Layout.from_spaces(
        space_from_json(stored["observation_space"]),
        space_from_json(stored["action_space"]),
        vocabulary=config.vocabulary,
        text=text,
        options=options,
        statistics={path: tuple(parts) for path, parts in stored["statistics"].items()},
        ranges={path: Range.from_json(found) for path, found in stored.get("ranges", {}).items()},
    )
    return layout if "ranges" in stored else _as_before_ranges(layout)


def _as_before_ranges(layout: Layout) -> Layout:
    """The same layout with the meaning that it had: other options only where they change something.

    Raises:
        ValueError: an image whose channels were read as numbers then.
    """
    fixed = replace(layout, options=replace(layout.options, ranges="mu-law"))
    pairs = zip(layout.float_fields, fixed.float_fields, strict=True)
    layout = layout if all(np.array_equal(new.forms, old.forms) for new, old in pairs) else fixed
    images = layout.image_fields
    alpha = [part for part in images if part.form.channels == 4 and not part.form.channels_first]
    for part in images:
        form = part.form
        numbers = form.channels not in (1, 3, 4) if not form.channels_first else len(part.leaf.space.shape) == 4
        if numbers or (alpha and form.channels_first and form.channels > 3):
            raise ValueError(f"{part.leaf.path} was shown otherwise by the version that trained this run: train again")
    return replace(layout, options=replace(layout.options, channel_axis="rgb")) if alpha else layout
