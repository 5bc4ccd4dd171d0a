"""What a training job is: sources, batch, prompts, optimizer, mesh and checkpoints, as frozen dataclasses."""

import math
from dataclasses import dataclass, field
from typing import Literal

from generalist.agent.config import TRUNK, AgentConfig
from generalist.envs.names import nearest
from generalist.tokenizers.options import LayoutOptions
from generalist.tokenizers.pictures import PictureOptions
from generalist.tokenizers.vocabulary import Vocabulary

PUBLIC = "public"
"""The corpus that a public language model was trained on, which is not here."""

NOTHING_TO_SEE = ("docstrings", "text:", "drawings:", "series:", "choices:")
"""Beginnings of names of corpora without pictures that are read."""


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """One task of the mixture.

    Args:
        task: task id, as `generalist tasks` lists it, or `gym:ID`.
        weight: share of sequences in a batch relative to the other sources. 0 is a task that the run this one starts
            from knows: its layout and parameters are taken over, its demonstrations are not opened.
        loss_weight: weight of this source's targets in the loss.
        layout: how observations and actions become tokens.
        episodes: so many of the task's episodes are all there is: for training, statistics, what is held out, and the
            baselines that are fitted on the demonstrations. None is all of them.
        episodes_seed: draws these `episodes` at random; None takes the first, in the order of their seeds.
        successes: only episodes that reached the goal, where the task has one; chosen before they are counted.
    """

    task: str
    weight: float = 1.0
    loss_weight: float = 1.0
    layout: LayoutOptions = field(default_factory=LayoutOptions)
    episodes: int | None = None
    episodes_seed: int | None = None
    successes: bool = False

    def __post_init__(self):
        if self.weight < 0:
            raise ValueError(f"weight of source {self.task} must not be negative, got {self.weight}")
        if self.episodes is not None and self.episodes < 1:
            raise ValueError(f"episodes of source {self.task} must be at least 1, got {self.episodes}; None is all")
        if (draw := self.episodes_seed) is not None and (self.episodes is None or draw < 0):
            asked = "together with episodes, of which it draws" if draw >= 0 else "0 or more"
            raise ValueError(f"episodes_seed of source {self.task} must be {asked}, got {draw}")
        if self.loss_weight < 0:
            raise ValueError(f"loss_weight of source {self.task} must not be negative, got {self.loss_weight}")


@dataclass(frozen=True, kw_only=True)
class DocumentsConfig:
    """One corpus of the mixture: texts, captions, questions or dialogues.

    Args:
        corpus: its name, as `generalist.corpora.open` reads it: docstrings, digits, text:PATH, images:PATH, ...
        weight: share of examples relative to the other sources. An example of a task fills a row, one of a corpus is a
            document, of which several share a row. 0 is a corpus that the run this one starts from knows, not opened.
        loss_weight: weight of this source's targets in the loss.
        pictures: how pictures become tokens; those of all corpora and tasks share sizes.
        pictures_per_row: pictures that a row has room for; five as in the paper (sec. 3: five image-text pairs). 0 for
            a corpus without any, as docstrings, text:PATH, choices:PATH and series:PATH always are, and drawings, whose
            pictures are written.
    """

    corpus: str
    weight: float = 1.0
    loss_weight: float = 1.0
    pictures: PictureOptions = field(default_factory=PictureOptions)
    pictures_per_row: int = 5

    def __post_init__(self):
        if self.weight < 0:
            raise ValueError(f"weight of corpus {self.corpus} must not be negative, got {self.weight}")
        if self.loss_weight < 0:
            raise ValueError(f"loss_weight of corpus {self.corpus} must not be negative, got {self.loss_weight}")
        if self.pictures_per_row < 0:
            raise ValueError(f"pictures_per_row must not be negative, got {self.pictures_per_row}")

    @property
    def room(self) -> int:
        """Pictures that a row has room for, of those that are read."""
        return 0 if self.corpus.startswith(NOTHING_TO_SEE) else self.pictures_per_row


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """Prompts from another episode of the same task (Reed et al. 2022, sec. 2.3).

    Args:
        fraction: share of sequences that get a prompt (0.25 in the paper).
        end: share of prompts taken from the end of their episode; the others start anywhere (0.5 in the paper).
        share: at most this part of the sequence is prompt. The paper does not state a length.
    """

    fraction: float = 0.25
    end: float = 0.5
    share: float = 0.5

    def __post_init__(self):
        for name in ("fraction", "end", "share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"prompt.{name} must lie in [0, 1], got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with linear warm-up and cosine decay; the defaults are the paper's for 364M (app. C.3).

    Args:
        method: `adamw`, or `muon` for the kernels (Jordan 2024): the momentum of each matrix is made nearly orthogonal
            and scaled to the size of AdamW's updates (Liu et al. 2025, sec. 2.2), so that a rate means the same.
        learning_rate: highest rate, reached after the warm-up.
        initial_rate: rate at step 0.
        final_fraction: the rate decays to this part of `learning_rate`.
        warmup_steps, decay_steps: the decay is counted after the warm-up; the paper leaves that open. A `decay_steps`
            of 0 decays over the whole run. The rate is a function of the update and of the run's `steps`: a run that
            goes on to more `steps` follows the schedule of the longer run from there, so that with 0 the rate rises
            again; with a fixed `decay_steps` nothing changes.
        clip: global gradient norm; 0 does not clip. The paper mentions no clipping.
    """

    method: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 2e-4
    initial_rate: float = 1e-7
    final_fraction: float = 0.1
    warmup_steps: int = 15_000
    decay_steps: int = 1_000_000
    b1: float = 0.9
    b2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 0.0

    def __post_init__(self):
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if self.warmup_steps < 0 or self.decay_steps < 0:
            raise ValueError("warmup_steps and decay_steps must not be negative")


@dataclass(frozen=True, kw_only=True)
class TrainableConfig:
    """What of the network is trained. The rest stays as it is, to the bit, without gradient and optimizer state.

    Args:
        how: `full`: every parameter. `lora`: low-rank products added to matrices of the trunk (Hu et al. 2021), and the
            task embedding where there is one. `head`: the final norm and the token table, whose rows are both what
            tokens are read as and what the next one is scored by. `embedding`: the task embedding alone.
        rank, alpha: of LoRA, whose products are scaled by alpha / rank.
        parts: matrices with LoRA: query, key, value, out (together `attention`), gate, up, down (`feedforward`).
        also: parts of the network that are trained whole besides, by the beginning of their parameters' paths: source,
            vector, vector/out, transformer/norm, ...
    """

    how: Literal["full", "lora", "head", "embedding"] = "full"
    rank: int = 8
    alpha: float = 8.0
    parts: tuple[str, ...] = tuple(TRUNK)
    also: tuple[str, ...] = ()

    def __post_init__(self):
        if self.rank < 1:
            raise ValueError(f"trainable.rank must be positive, got {self.rank}")
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise ValueError(f"trainable.alpha must be positive, got {self.alpha}")
        if not self.parts:
            raise ValueError("trainable.parts is empty: name matrices for LoRA, or choose another trainable.how")
        known = [*TRUNK, *(name for names in TRUNK.values() for name in names)]
        for name in self.parts:
            if name not in known:
                raise ValueError(f"trainable.parts: the trunk has no {name!r}: {nearest(name, known)}")

    @property
    def matrices(self) -> tuple[str, ...]:
        """Names of the matrices that have LoRA."""
        if self.how != "lora":
            return ()
        return tuple(name for part, names in TRUNK.items() for name in names if {part, name} & {*self.parts})


@dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """Devices along each axis of the mesh; one may be -1 and takes what is left.

    Args:
        cpu_devices: without an accelerator, into how many devices the CPU is split. Many operations of a small model
            run on one thread, so one device per core trains it faster. Results depend on it by rounding alone.
    """

    data: int = -1
    fsdp: int = 1
    tensor: int = 1
    cpu_devices: int = 1

    def __post_init__(self):
        if self.cpu_devices < 1:
            raise ValueError(f"mesh.cpu_devices must be positive, got {self.cpu_devices}")


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """`bytes` needs no file; `sentencepiece` reads a model file, or "missions" or "worlds", which are part of this
    package; `json` reads the tokenizer.json of a public language model, or the folder that it is in.
    """

    tokenizer: Literal["bytes", "sentencepiece", "json"] = "bytes"
    model: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training job.

    Args:
        sources: the tasks of the mixture.
        documents: the corpora of the mixture.
        visual: file of the visual tokenizer (`generalist tokenizer train-images`) by which pictures are written, or
            "pictures", which is part of this package; its number of ids (1,000) is `vocabulary.visual_size`.
        trainable: what of the network is trained; by default everything.
        sequence_length: positions T of a row (1024 in the paper).
        batch_size: rows of one update, over all devices (512 in the paper).
        data_streams: parts of a batch whose examples are drawn and packed apart from each other; 0 chooses 4, 2 or 1,
            the first of which the batch is a multiple. Batches depend on this number and not on the number of processes
            and workers, each of which makes the streams that its devices need; with fewer streams than processes,
            several make the same. More streams leave a little more padding.
        accumulation: parts into which an update's rows are split to save memory.
        steps: number of updates.
        held_out: share of the episodes of each task, and of the documents of each corpus, that are never trained on (as
            `generalist.train.held_out` chooses them); 0 trains on all.
        evaluate_every: updates from one measurement of what is held out to the next. There is one with every checkpoint
            too, and at the end. It costs about a third of as many updates as `held_out_batches` says: with the defaults
            1% of training, whatever the model and the mixture.
        held_out_batches: that are measured, always the same: those that training would make of what is held out.
        return_filter: keep demonstrations with at least this part of the expert's return (0.8 in the paper, sec. 3);
            0 keeps all.
        label_width: standard deviation in bins of the label of a continuous action; 0 is one-hot, as in the paper.
        loss_chunk: targets of a row whose logits are in memory at one time, for large vocabularies; 0 is all of them.
        log_every, checkpoint_every: in updates.
        keep, keep_best: the newest `keep` checkpoints stay on disk, and besides them the `keep_best` with the lowest
            loss of what is held out. Where nothing is, it is the training loss of the line of `metrics.jsonl` at the
            checkpoint's step: the mean over the targets since the line before, noisy where that is few updates. Neither
            says much of rollouts.
        seed: of parameters, batches and everything random in training.
    """

    sources: tuple[SourceConfig, ...] = ()
    documents: tuple[DocumentsConfig, ...] = ()
    agent: AgentConfig = field(default_factory=AgentConfig)
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    text: TextConfig = field(default_factory=TextConfig)
    visual: str | None = None
    prompt: PromptConfig = field(default_factory=PromptConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainable: TrainableConfig = field(default_factory=TrainableConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    sequence_length: int = 1024
    batch_size: int = 512
    data_streams: int = 0
    accumulation: int = 1
    steps: int = 1_000_000
    held_out: float = 0.05
    evaluate_every: int = 500
    held_out_batches: int = 16
    return_filter: float = 0.8
    label_width: float = 0.0
    loss_chunk: int = 0
    log_every: int = 100
    checkpoint_every: int = 1000
    keep: int = 2
    keep_best: int = 0
    seed: int = 0

    def __post_init__(self):
        if not self.names:
            raise ValueError("a training job needs at least one source")
        if not any(self.weights):
            raise ValueError("every source has weight 0: there is nothing to train on")
        if repeated := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise ValueError(f"each task may be a source once; repeated: {', '.join(repeated)}")
        counts = ("sequence_length", "batch_size", "accumulation", "steps")
        for name in (*counts, "evaluate_every", "held_out_batches", "log_every", "checkpoint_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.held_out <= 0.5:
            raise ValueError(f"held_out must lie in [0, 0.5], got {self.held_out}; 0 trains on every episode")
        if self.loss_chunk < 0:
            raise ValueError(f"loss_chunk must not be negative, got {self.loss_chunk}; 0 computes all logits at once")
        if self.keep_best < 0:
            raise ValueError(f"keep_best must not be negative, got {self.keep_best}; 0 keeps the newest only")
        if self.data_streams < 0:
            raise ValueError(f"data_streams must not be negative, got {self.data_streams}; 0 chooses")
        for name, value in (("accumulation", self.accumulation), ("data_streams", self.streams)):
            if self.batch_size % value:
                raise ValueError(f"batch_size {self.batch_size} must be a multiple of {name} {value}")
        if self.agent.window < self.sequence_length:
            raise ValueError(
                f"agent.window {self.agent.window} is shorter than sequence_length {self.sequence_length}: "
                "training would see less than it pays for; raise agent.window"
            )

    @property
    def streams(self) -> int:
        """Number of streams that `data_streams` stands for."""
        return self.data_streams or math.gcd(self.batch_size, 4)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all sources in the order of their indices: tasks first, then corpora."""
        return tuple(source.task for source in self.sources) + tuple(each.corpus for each in self.documents)

    @property
    def weights(self) -> tuple[float, ...]:
        """Share of examples of each source."""
        return tuple(source.weight for source in (*self.sources, *self.documents))
