"""A trained agent that writes: prompts of text, pictures and speakers in, texts or their likelihoods out.

The compiled steps are `generalist.agent.generating`; here are texts, batches of them and stop strings.
"""

import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
from flax import nnx

from generalist.agent.cache import empty_cache
from generalist.agent.config import AgentConfig, InputSizes
from generalist.agent.generating import Drawing, TextIds, make_begin, make_read, make_score, make_write
from generalist.agent.sampling import SamplingConfig
from generalist.corpora.corpus import Measure
from generalist.corpora.open import open_corpus
from generalist.play.agent import Agent
from generalist.play.stopping import settled, until
from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.parts import Document, Words, is_read
from generalist.tokenizers.sequence import FEATURES, TOKEN_FIELDS, Capacity, TokenBatch, TokenSequence, empty, stack
from generalist.train.checkpoint import Which
from generalist.train.config import PUBLIC, DocumentsConfig, TrainConfig
from generalist.train.trained_network import Dtype

ROWS = 16
"""Most prompts that are read together."""
SHORTEST = 16
"""Lengths are rounded up to powers of two from here on, so that few shapes are compiled."""
CHUNK, STREAMED = 32, 8
"""Tokens of one compiled call: of texts that are wanted whole, and of one that is shown as it is written."""
MOST_LOGITS = 2**25
"""Numbers that the logits of one batch of likelihoods may take."""
SHOWN_AT = ("patch_at", "vector_at", "image_at")
PICTURES = [name for at in SHOWN_AT for name in (at, *FEATURES[at])]
"""Arrays of what a prompt shows besides text."""


@dataclass(frozen=True)
class Written:
    """A text that was written.

    Args:
        text: without its `end` or the stop string.
        tokens: how many were drawn.
        ended: whether it came to its `end` or to a stop string, and not to the most tokens that it might have.
    """

    text: str
    tokens: int
    ended: bool


@dataclass(frozen=True, eq=False)
class Writer:
    """One set of weights and one source of documents, as which it writes.

    Args:
        config, sizes, graphdef, state: of an `unstacked` network; see `generalist.play.agent.Agent`.
        layout: how documents become tokens.
        source: index of the source, -1 if the documents are of none that it was trained on.

    Example:
        >>> import generalist
        >>> from generalist.agent.sampling import SamplingConfig
        >>> writer = generalist.Writer.load("runs/words", source="docstrings")
        >>> texts = writer.write(["Return the", "Raise"], SamplingConfig(max_tokens=5))
        >>> [type(text) for text in texts]
        [<class 'str'>, <class 'str'>]
        >>> pieces = writer.stream("Return the", SamplingConfig(max_tokens=5, temperature=0.8))
        >>> len("".join(pieces)) <= 5
        True
    """

    config: AgentConfig
    sizes: InputSizes
    graphdef: nnx.GraphDef
    state: Any
    layout: DocumentLayout
    source: int

    def __post_init__(self):
        if self.sizes.vocabulary != self.layout.vocabulary.size:
            raise ValueError(
                f"the network has {self.sizes.vocabulary} ids, the layout's vocabulary {self.layout.vocabulary.size}; "
                "build the layout with the vocabulary of training"
            )

    def __repr__(self) -> str:
        return f"Writer(source {self.source}, {self.sizes.vocabulary} ids)"

    @classmethod
    def load(
        cls,
        run: str | os.PathLike[str],
        step: Which = None,
        *,
        source: str | None = None,
        measures: Sequence[Measure] = ("text", "dialogue", "answer", "caption", "label"),
        dtype: Dtype | None = None,
    ) -> "Writer":
        """From a run directory, as the named document source or the first that is of one of `measures`.

        Raises:
            As `generalist.play.agent.Agent.load` and `choose_source`.
        """
        agent = Agent.load(run, step=step, dtype=dtype)
        return cls.of(agent, choose_source(agent.run.config, source, measures))

    @classmethod
    def of(cls, agent: Agent, number: int) -> "Writer":
        """A loaded agent as its document source `number`."""
        config = agent.run.config
        pictures = config.documents[number].pictures
        layout = DocumentLayout(config.vocabulary, agent.run.text, pictures, agent.run.visual)
        return cls(config.agent, agent.sizes, agent.graphdef, agent.state, layout, len(config.sources) + number)

    def length(self, prompt: str | Document) -> int:
        """Tokens of a prompt."""
        return len(self.layout.encode([_document(prompt)], source=self.source))

    def check(self, prompt: str | Document) -> int:
        """Tokens of a prompt that can be gone on from. Raises ValueError as `write`."""
        return len(self.encoded(_document(prompt)))

    def write(
        self,
        prompts: Sequence[str | Document],
        sampling: SamplingConfig | None = None,
        *,
        stop: Sequence[str] = (),
        seeds: Sequence[int] | None = None,
    ) -> list[str]:
        """What follows each prompt, up to its `end`, a stop string (left out) or `sampling.max_tokens`.

        Beyond the window the oldest tokens are forgotten.

        Args:
            prompts: documents; a string is a text to go on from.
            sampling: how tokens are chosen; the likeliest ones by default.
            stop: a text ends before any of these strings.
            seeds: of each text, 0, 1, 2, ... by default. A draw depends on `sampling.seed`, this seed and the number
                of the token alone, so a text does not depend on what it is written beside.

        Raises:
            ValueError: a prompt is longer than the window or has pictures that the network does not read.
        """
        return [each.text for each in self.written(prompts, sampling, stop=stop, seeds=seeds)]

    def written(
        self,
        prompts: Sequence[str | Document],
        sampling: SamplingConfig | None = None,
        *,
        stop: Sequence[str] = (),
        seeds: Sequence[int] | None = None,
    ) -> list[Written]:
        """As `write`, with how each text came to its end."""
        sampling = sampling or SamplingConfig()
        if isinstance(prompts, str):
            raise ValueError("prompts are a list of texts or documents, got one text; write([text]) writes one")
        prompts = [_document(prompt) for prompt in prompts]
        seeds = range(len(prompts)) if seeds is None else seeds
        encoded = [self.encoded(prompt) for prompt in prompts]
        texts = [Written("", 0, True)] * len(prompts)
        for chosen in _batches([len(sequence) for sequence in encoded], ROWS):
            ids = np.zeros((len(chosen), 0), np.int32)
            for more in self._tokens([encoded[i] for i in chosen], [seeds[i] for i in chosen], sampling, CHUNK):
                ids = np.concatenate([ids, more], axis=1)
                found = [self._text(prompts[i], row) for i, row in zip(chosen, ids, strict=True)] if stop else []
                stopped = np.asarray([until(text, stop) != text for text in found] or [False])
                if (stopped | self._ended(ids).any(axis=1)).all():
                    break
            for i, row in zip(chosen, ids, strict=True):
                texts[i] = self._written(prompts[i], row, stop)
        return texts

    def _written(self, prompt: Document, ids: np.ndarray, stop: Sequence[str]) -> Written:
        whole = self._text(prompt, ids)
        text, ends = until(whole, stop), np.flatnonzero(self._ended(ids))
        tokens = int(ends[0]) + 1 if ends.size else len(ids)
        return Written(text, tokens, bool(ends.size) or text != whole)

    def stream(
        self, prompt: str | Document, sampling: SamplingConfig | None = None, *, stop: Sequence[str] = (), seed: int = 0
    ) -> Generator[str, None, Written]:
        """The same text in pieces, each as soon as nothing after it can change it; no character is cut.

        The generator returns the whole text with how it came to its end.

        Raises:
            ValueError: as `write`, at once.
        """
        prompt = _document(prompt)
        sequence = self.encoded(prompt)
        return self._stream(prompt, sequence, sampling or SamplingConfig(), stop, seed)

    def _stream(
        self, prompt: Document, sequence: TokenSequence, sampling: SamplingConfig, stop: Sequence[str], seed: int
    ) -> Generator[str, None, Written]:
        ids, given = np.zeros(0, np.int32), 0
        for more in self._tokens([sequence], [seed], sampling, STREAMED):
            ids = np.concatenate([ids, more[0]])
            text, stopped = settled(self._text(prompt, ids), stop)
            if len(text) > given:
                yield text[given:]
                given = len(text)
            if stopped:
                break
        whole = self._written(prompt, ids, stop)
        if rest := whole.text[given:]:
            yield rest
        return whole

    def likelihoods(self, prompts: Sequence[str | Document], answers: Sequence[str]) -> np.ndarray:
        """float64[n]: log-likelihood in nats of each answer and its `end` after its prompt, among all ids.

        Raises:
            ValueError: as `write`, of a prompt with its answer.
        """
        pairs = [(_document(prompt), answer) for prompt, answer in zip(prompts, answers, strict=True)]
        return self.log_likelihoods([(*map(shown, prompt), Words(answer)) for prompt, answer in pairs])

    def log_likelihoods(self, documents: Sequence[Document]) -> np.ndarray:
        """float64[n]: of the targets of each document, in nats, among all ids. Raises ValueError as `write`."""
        return self.scored(documents)[0]

    def scored(self, documents: Sequence[Document]) -> tuple[np.ndarray, np.ndarray]:
        """`log_likelihoods`, and bool[n]: whether each target of a document is the likeliest id at its place."""
        encoded = [self.encoded(document) for document in documents]
        out, likeliest = np.zeros(len(documents)), np.zeros(len(documents), np.bool_)
        score = make_score(self.graphdef)
        most = max((self.rounded(int(sequence.loss_mask.sum())) for sequence in encoded), default=1)
        rows = min(ROWS, max(1, MOST_LOGITS // (most * self.sizes.vocabulary)))
        for chosen in _batches([len(sequence) for sequence in encoded], rows):
            batch = self.batch([encoded[i] for i in chosen])
            targets = self.rounded(int(batch.loss_mask.sum(axis=1).max()))
            at = np.argsort(~batch.loss_mask, axis=1, kind="stable")[:, :targets].astype(np.int32)
            nats, best = (np.asarray(each)[: len(chosen)] for each in score(self.state, batch, at))
            out[chosen], likeliest[chosen] = nats.astype(np.float64).sum(axis=1), best.all(axis=1)
        return out, likeliest

    def encoded(self, document: Document) -> TokenSequence:
        """As the network reads it. Raises ValueError as `write`."""
        sequence, window = self.layout.encode([document], source=self.source), self.config.window
        if not len(sequence):
            raise ValueError("the prompt is empty, and the text tokenizer begins texts with nothing: write a word")
        if len(sequence) > window:
            raise ValueError(
                f"the prompt has {len(sequence)} tokens, the agent sees {window}; shorten it or leave out its beginning"
            )
        if any(map(is_read, document)):
            shown, sizes = self.layout.pictures, self.sizes
            nothing = ((), ())
            wanted, readable = {
                "patches": ((shown.patch_size, shown.shape[2]), (sizes.patch_size, sizes.patch_channels)),
                "conv": (shown.shape, sizes.image_shape),
                "bands": (shown.vector_values, sizes.vector_values),
            }.get(shown.images, nothing)
            if wanted > readable if shown.images == "bands" else wanted != readable:
                raise ValueError(
                    f"pictures are shown as {shown.images} of {wanted}, this agent reads {readable}; "
                    "train one with pictures among its sources"
                )
        return sequence

    def rounded(self, length: int) -> int:
        """One of few lengths, at most the window."""
        return min(self.config.window, power_of_two(length, SHORTEST))

    def batch(self, sequences: Sequence[TokenSequence]) -> TokenBatch:
        """One row for each, and rows of padding up to a power of two."""
        most = max(len(sequence.arrays()[at]) for sequence in sequences for at in SHOWN_AT)
        pictures = power_of_two(most // self.layout.picture_tokens, 1) if most else 0
        shown, longest = self.layout.shows(pictures), self.sizes.vector_values
        capacity = replace(
            shown,
            tokens=self.rounded(max(map(len, sequences))),
            patch_values=self.layout.patch_values,
            vector_values=longest if shown.vectors else 0,
            image_shape=shown.image_shape if pictures else self.layout.shows(1).image_shape,
        )
        idle = [empty(capacity)] * (power_of_two(len(sequences)) - len(sequences))
        return stack([*(_padded(sequence, capacity) for sequence in sequences), *idle])

    def _tokens(
        self, sequences: Sequence[TokenSequence], seeds: Sequence[int], sampling: SamplingConfig, chunk: int
    ) -> Iterator[np.ndarray]:
        """Ids int32[n, 1], then [n, chunk] over and over until all have ended or have `max_tokens`."""
        n, text = len(sequences), TextIds(self.layout.text.size, self.layout.ends)
        batch = self.batch(sequences)
        B, columns = batch.ids.shape
        lengths = np.asarray([*map(len, sequences), *[1] * (B - n)], np.int32)
        drawing = Drawing.of(sampling, [*seeds, *[0] * (B - n)])
        cache = empty_cache(self.config, B, self.rounded(columns + sampling.max_tokens))
        read = make_read(self.graphdef, text)
        logits, cache = read(self.state, cache, batch, lengths - 1)
        source = np.full(B, self.source, np.int32)
        rows = make_begin(text)(logits, lengths, np.arange(B) < n, source, drawing)
        ids, given = np.asarray(rows.ids)[:n, None], 0
        write = make_write(self.graphdef, text, chunk)
        ended = np.zeros(n, bool)
        while True:
            yield ids[:, : sampling.max_tokens - given]
            given += ids.shape[1]
            ended |= self._ended(ids).any(axis=1)
            if ended.all() or given >= sampling.max_tokens:
                return
            ids, rows, cache = write(self.state, cache, rows, drawing)
            ids = np.asarray(ids)[:n]

    def _ended(self, ids: np.ndarray) -> np.ndarray:
        """Where a text ends."""
        return np.isin(ids, self.layout.ends)

    def _text(self, prompt: Document, ids: np.ndarray) -> str:
        """What the ids before the first end add to the prompt; some tokenizers decode a first word differently."""
        ends = np.flatnonzero(self._ended(ids))
        written = (ids[: ends[0]] if ends.size else ids).tolist()
        last = prompt[-1] if prompt else None
        if not isinstance(last, Words) or last.whole:
            return self.layout.text.decode(written)
        begun = self.layout.text.encode(last.text).tolist()
        return self.layout.text.decode(begun + written)[len(self.layout.text.decode(begun)) :]


def _document(prompt: str | Document) -> Document:
    return (Words(prompt, target=False, whole=False),) if isinstance(prompt, str) else prompt


def power_of_two(count: int, least: int = 1) -> int:
    """The smallest power of two that is at least both."""
    return 1 << (max(count, least) - 1).bit_length()


def choose_source(config: TrainConfig, wanted: str | None, measures: Sequence[Measure]) -> int:
    """Number of a document source among `config.documents`: the named one, else the first of the first measure.

    Raises:
        ValueError: no such source, with the nearest names; or none is of these measures.
    """
    documents: Sequence[DocumentsConfig] = getattr(config, "documents", ())
    names = [each.corpus for each in documents]
    if not names:
        raise ValueError("this run was trained without documents: it has no text to go on from; see --train.documents")
    if wanted is not None:
        if wanted not in names:
            near = get_close_matches(wanted, names, n=3) or names
            raise ValueError(f"the run has no document source {wanted!r}; did you mean {' or '.join(near)}?")
        return names.index(wanted)
    if PUBLIC in names:
        return 0
    found = [measure_of(each) for each in documents]
    for measure in measures:
        if measure in found:
            return found.index(measure)
    known = ", ".join(f"{name} ({measure or 'cannot be opened'})" for name, measure in zip(names, found, strict=True))
    raise ValueError(f"no document source of this run is of {' or '.join(measures)}: {known}; name one with --source")


def measure_of(documents: DocumentsConfig) -> Measure | None:
    """What is measured on a source, None if its corpus cannot be opened here."""
    stored = getattr(documents, "measure", None)
    if stored is not None:
        return stored
    try:
        return open_corpus(documents.corpus).measure
    except (ValueError, OSError, ImportError):
        return None


def shown(part: Any) -> Any:
    """A part of a document without a loss: it is read, and nothing is asked of it."""
    return replace(part, target=False) if isinstance(part, Words) else part


def _padded(sequence: TokenSequence, capacity: Capacity) -> TokenSequence:
    """The sequence with padding and unused feature rows after it."""
    filled, given = empty(capacity).arrays(), sequence.arrays()
    for name in (*TOKEN_FIELDS, *PICTURES):
        if name == "vectors":  # those of a layout may be shorter than the longest of the agent
            count, values = given[name].shape
            filled[name][:count, :values] = given[name]
        elif len(given[name]):
            filled[name][: len(given[name])] = given[name]
    return TokenSequence(**filled)


def _batches(lengths: Sequence[int], rows: int) -> list[np.ndarray]:
    """Indices in groups of at most `rows`, those of like lengths together."""
    order = np.argsort(lengths, kind="stable")
    return [order[start : start + rows] for start in range(0, len(order), rows)]
