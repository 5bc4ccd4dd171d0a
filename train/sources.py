"""From demonstrations on disk to the sources of a mixture: layouts with their statistics, filtered episodes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from generalist.agent.config import InputSizes
from generalist.corpora.open import open_corpus
from generalist.demonstrations.columns import Columns
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs.spaces import space_from_json, space_to_json
from generalist.envs.table import family_of, task_in_file
from generalist.tokenizers.continuous import Range
from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.json_text import JsonTokenizer
from generalist.tokenizers.layout import Layout, LayoutOptions
from generalist.tokenizers.sequence import Capacity
from generalist.tokenizers.text import SHIPPED, ByteTokenizer, SentencePieceTokenizer, TextTokenizer
from generalist.tokenizers.visual import VisualTokenizer
from generalist.train.agent_fits import check_document_positions, check_local_positions, check_window
from generalist.train.bands import with_band_statistics
from generalist.train.config import TextConfig, TrainConfig
from generalist.train.data import Source, TaskSource, check_timesteps, row_capacity
from generalist.train.documents import DocumentSource
from generalist.train.episodes import Selection, select_episodes
from generalist.train.held_out import split_corpus
from generalist.train.notices import corpus_notices, task_notices
from generalist.train.ranges import with_ranges
from generalist.train.returns import with_returns
from generalist.train.shown import shown_steps
from generalist.train.statistics import inherited, shared
from generalist.train.step_tokens import column_tokens
from generalist.train.visual_file import read_visual
from generalist.train.windows import EpisodeTable


def make_text_tokenizer(config: TextConfig) -> TextTokenizer:
    """The text tokenizer that a configuration names."""
    if config.tokenizer == "bytes":
        return ByteTokenizer()
    if config.tokenizer == "json":
        if not config.model:
            raise ValueError("text.tokenizer json needs text.model, the path of a tokenizer.json or of its folder")
        return JsonTokenizer.load(config.model)
    if not config.model:
        raise ValueError(
            f"text.tokenizer sentencepiece needs text.model, the path of a model file, or {' or '.join(SHIPPED)}"
        )
    return SentencePieceTokenizer.load(config.model)


def make_visual_tokenizer(config: TrainConfig) -> VisualTokenizer | None:
    """The visual tokenizer that a configuration names, None for none. Raises as `read_visual`."""
    return read_visual(config.visual) if config.visual else None


@dataclass(frozen=True)
class Mixture:
    """Everything that training takes from its data: sources, weights, and the static sizes they imply.

    Args:
        held_out: the same of what is never trained on, with the same capacity; sources of which nothing is held out are
            not in it. None where there is nothing at all.
        notices: what does not reach the network as it is, see `generalist.train.notices`.
        inherited: layouts of tasks that are known and not trained on (of weight 0), by id.
        order: ids of all tasks in the order of the configuration; empty where there are none but those of `sources`.
    """

    sources: tuple[Source, ...]
    weights: tuple[float, ...]
    names: tuple[str, ...]
    capacity: Capacity
    held_out: "Mixture | None" = None
    notices: tuple[str, ...] = ()
    inherited: Mapping[str, Layout] = field(default_factory=dict)
    order: tuple[str, ...] = ()

    @property
    def layouts(self) -> dict[str, Layout]:
        """Of the tasks, by id, in the order of the configuration; those that are known and not trained on too."""
        named = zip(self.names, self.sources, strict=True)
        trained = {name: source.layout for name, source in named if isinstance(source, TaskSource)}
        order = self.order or tuple(trained)
        return {task: trained[task] if task in trained else self.inherited[task] for task in order}

    @property
    def episodes(self) -> dict[str, int]:
        """How many episodes the data set of each task has, by the task's id."""
        named = zip(self.names, self.sources, strict=True)
        found = {name: source.steps for name, source in named if isinstance(source, TaskSource)}
        return {name: len(steps.columns.lengths) for name, steps in found.items() if steps is not None}


@dataclass(frozen=True)
class _Opened:
    """One task's data set, and what is taken of it."""

    index: int
    demonstrations: Demonstrations
    columns: Columns
    selection: Selection


def open_mixture(config: TrainConfig, data: Path, known: Mapping[str, Layout] | None = None) -> Mixture:
    """Read the demonstrations of every source under `data`.

    Args:
        known: layouts of the run that this job starts from, by task: their statistics are taken over, as
            `generalist.train.statistics.inherited` says.

    Raises:
        FileNotFoundError: naming the task without demonstrations and the command that collects them.
        ValueError: too few episodes, a layout that does not fit the agent, a task of weight 0 that is not known.
    """
    text, known = make_text_tokenizer(config.text), known or {}
    opened = [_open(config, index, data) for index, source in enumerate(config.sources) if source.weight]
    layouts = _layouts(config, opened, text, known)
    sources: list[Source] = []
    held_out: list[Source | None] = []
    notices: list[str] = []
    for part in opened:
        task = config.sources[part.index].task
        found, unseen = _sources(config, part, layouts[task])
        check_local_positions(task, found.layout, config.agent)
        check_timesteps(task, found, config.sequence_length)
        check_window(task, part.index, found.layout, config.agent)
        sources.append(found)
        held_out.append(unseen)
        notices += task_notices(task, found, part.columns, part.selection.training)
    for found, unseen in document_sources(config, text):
        check_document_positions(found, config.agent)
        sources.append(found)
        held_out.append(unseen)
        notices += corpus_notices(found)
    names = tuple(source.name for source in sources)
    weights = tuple(config.weights[source.index] for source in sources)
    order = tuple(source.task for source in config.sources)
    idle, capacity = _inherited(config, known), row_capacity(sources)
    longest = input_sizes(config, [*layouts.values(), *idle.values()]).vector_values
    capacity = replace(capacity, vector_values=longest)
    _check_pictures(config, {**layouts, **idle})
    mixture = Mixture(tuple(sources), weights, names, capacity, notices=tuple(notices), inherited=idle, order=order)
    return replace(mixture, held_out=_held_out(mixture, held_out))


def _open(config: TrainConfig, index: int, data: Path) -> _Opened:
    source = config.sources[index]
    path = dataset_folder(data, source.task)
    if not path.exists():
        policy = "" if task_in_file(source.task).expert else " --policy random"
        raise FileNotFoundError(
            f"no demonstrations of {source.task} under {data}; run: "
            f"generalist collect --task {source.task}{policy} --out {data}"
        )
    demonstrations = Demonstrations.open(path)
    selection = select_episodes(config, source, demonstrations)
    return _Opened(index, demonstrations, demonstrations.columns(), selection)


def _layouts(
    config: TrainConfig, opened: Sequence[_Opened], text: TextTokenizer, known: Mapping[str, Layout]
) -> dict[str, Layout]:
    """Of every task that is trained on, with the statistics and ranges of what is trained on, or with those `known`."""
    found = {}
    for part in opened:
        task, training = config.sources[part.index].task, part.selection.training
        try:
            plain = Layout.from_spaces(
                part.demonstrations.observation_space,
                part.demonstrations.action_space,
                vocabulary=config.vocabulary,
                text=text,
                options=config.sources[part.index].layout,
                statistics=part.columns.statistics(training),
            )
            found[task] = with_returns(with_ranges(plain, part.columns, training), part.columns, training)
        except ValueError as cause:
            raise ValueError(f"{task}: {cause}") from cause
    found = shared(found)
    if not known:
        return found
    return {task: inherited(layout, task, family_of(task), known) for task, layout in found.items()}


def _inherited(config: TrainConfig, known: Mapping[str, Layout]) -> dict[str, Layout]:
    idle = [source.task for source in config.sources if not source.weight]
    if missing := [task for task in idle if task not in known]:
        raise ValueError(
            f"{', '.join(missing)}: a source of weight 0 takes its layout and parameters from a run that knows it "
            "(--weights RUN), and there is none; give it a weight, or leave it out"
        )
    return {task: known[task] for task in idle}


def open_layout(config: TrainConfig, task: str, data: Path) -> Layout:
    """The layout of one of the job's tasks, with what it takes from the demonstrations; raises as `open_mixture`.

    Statistics that it shares with others are those of all sources of its family.
    """
    [asked] = [each for each in config.sources if each.task == task]
    family = family_of(task)
    alone = asked.layout.statistics == "task"
    sources = [each for each in config.sources if each.weight and (each is asked or not alone)]
    kept = tuple(each for each in sources if family_of(each.task) == family)
    return open_mixture(replace(config, sources=kept, documents=()), data).layouts[task]


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
    found, visual = [], make_visual_tokenizer(config)
    for number, each in enumerate(with_band_statistics(config).documents):
        if not each.weight:
            continue
        corpus, held_out = split_corpus(open_corpus(each.corpus), config.held_out)
        source = DocumentSource(
            index=len(config.sources) + number,
            name=each.corpus,
            layout=DocumentLayout(config.vocabulary, text, each.pictures, visual),
            corpus=corpus,
            sequence_length=config.sequence_length,
            pictures=each.room,
            seed=config.seed,
        )
        found.append((source, None if held_out is None else replace(source, corpus=held_out, turns=False)))
    return found


def _sources(config: TrainConfig, part: _Opened, layout: Layout) -> tuple[TaskSource, TaskSource | None]:
    """Two selections of episodes over the same steps: trained on and held out."""
    source = TaskSource(
        index=part.index,
        layout=layout,
        steps=shown_steps(part.demonstrations, part.columns, layout),
        table=episodes_of(part.columns, part.selection.training),
        step_tokens=column_tokens(layout, part.columns),
        sequence_length=config.sequence_length,
        prompt=config.prompt,
        seed=config.seed,
        name=config.sources[part.index].task,
    )
    held_out = part.selection.held_out
    return source, replace(source, table=episodes_of(part.columns, held_out)) if len(held_out) else None


def episodes_of(columns: Columns, episodes: np.ndarray) -> EpisodeTable:
    """Where these episodes lie among the steps."""
    return EpisodeTable(columns.starts[episodes], columns.lengths[episodes])


def input_sizes(config: TrainConfig, layouts: Sequence[Layout]) -> InputSizes:
    """What the agent must be able to read, for layouts that `open_mixture` lets stand together; for those that are
    trained on it is what `row_capacity` gives.
    """
    patches, images = _pictures(config, {f"{number}": layout for number, layout in enumerate(layouts)})
    patch_size, patch_channels = next(iter(patches), (0, 3))
    bands = [each.pictures.vector_values for each in config.documents if each.room]
    return InputSizes(
        vocabulary=config.vocabulary.size,
        sources=len(config.names),
        patch_size=patch_size,
        patch_channels=patch_channels,
        vector_values=max([0, *(layout.vector_values for layout in layouts), *bands]),
        image_shape=next(iter(images), (0, 0, 0)),
        answers=max((layout.answer_count for layout in layouts), default=0),
        plain_mask=not any(layout.options.context or layout.options.past_actions == "hidden" for layout in layouts),
    )


Sizes = dict[tuple, list[str]]
"""Names of what has each size, in the order in which the sizes are found."""


def _pictures(config: TrainConfig, layouts: Mapping[str, Layout]) -> tuple[Sizes, Sizes]:
    """(side, channels) of the patches and shapes of the whole images of tasks and corpora, trained on or not."""
    patches: Sizes = {}
    images: Sizes = {}
    for task, layout in layouts.items():
        if layout.patch_count:
            patches.setdefault((layout.options.patch_size, layout.options.channels), []).append(task)
        if layout.image_count:
            images.setdefault(layout.image_shape, []).append(task)
    for each in config.documents:
        if each.room and each.pictures.images == "patches":
            patches.setdefault((each.pictures.patch_size, each.pictures.shape[2]), []).append(each.corpus)
        elif each.room and each.pictures.images == "conv":
            images.setdefault(each.pictures.shape, []).append(each.corpus)
    return patches, images


def _check_pictures(config: TrainConfig, layouts: Mapping[str, Layout]) -> None:
    """Raises ValueError where not all patches, or not all whole images, are of one size: they share an embedder."""
    patches, images = _pictures(config, layouts)
    squares: Sizes = {(size, size, channels): names for (size, channels), names in patches.items()}
    for what, found in (("patches", squares), ("whole images", images)):
        if len(found) > 1:
            each = ", ".join(f"{' x '.join(map(str, size))} ({', '.join(names)})" for size, names in found.items())
            raise ValueError(
                f"pictures of all tasks and corpora of a run must share one size, those of weight 0 too: {what} of "
                f"{each}; show the new ones as the others are, or leave those out"
            )


def layout_to_json(layout: Layout) -> dict[str, Any]:
    """What a layout has of its data; its options, vocabulary and text tokenizer are in the run's `config`."""
    return {
        "observation_space": space_to_json(layout.observation_space),
        "action_space": space_to_json(layout.action_space),
        "statistics": {path: [list(part) for part in parts] for path, parts in layout.statistics.items()},
        "ranges": {path: found.to_json() for path, found in layout.ranges.items()},
        "text": layout.text.version,
        **({} if layout.target_return is None else {"target_return": layout.target_return}),
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
        target_return=_finite(stored.get("target_return")),
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


def _finite(value: Any) -> float | None:
    """Raises ValueError for what is stored and no finite number."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"the target_return of a layout must be a finite number, got {value!r}")
    return float(value)
