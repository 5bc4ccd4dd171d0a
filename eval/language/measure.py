"""Measuring text and pictures: how well an agent predicts, labels, answers, captions and talks, beside plain

`measure_corpus` takes whoever writes (`generalist.play.writer.Writer`) and the training and test documents of a corpus;
what is asked follows from the corpus's measure. Baselines learn from training documents and are asked the same test
documents. The numbers that follow are in `corpus_record.py`.

Documents are drawn from a seed, because many corpora are sorted; a document that cannot be read is counted and named.
"""

import base64
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np

from generalist.corpora.corpus import BadExampleError, Corpus
from generalist.eval.language.band_baselines import BAND_BASELINES
from generalist.eval.language.choice_baselines import chosen_by, commonest_place, n_gram_nats
from generalist.eval.language.corpus_baselines import (
    as_image,
    commonest,
    commonest_answers,
    last_picture,
    n_gram_answers,
    n_grams,
    nearest_captions,
    regression_labels,
    shrunk,
)
from generalist.eval.language.corpus_record import AGENT, CorpusRecord, Example, Outcome, by_the_corpus, sacrebleu
from generalist.tokenizers.parts import Choice, Document, Speaker, Words, prompt_and_answer

TRAIN_DOCUMENTS = 5000
"""Of a corpus, for the baselines that look at answers and pictures."""

TRAIN_BYTES, TRAIN_TEXTS = 4_000_000, 20_000
"""Of a corpus, for the n-gram models: reading stops at so many bytes or documents."""

EXAMPLES = 10
"""Documents that the report shows: the first that were drawn, whatever came out."""

PICTURE_SIDE = 128
"""Pixels of a picture in the report, at most."""

SHOWN_TEXT = 300
"""Characters of a prompt, truth or answer in the report, at most; a running text is shown in two halves of it."""


class Writes(Protocol):
    """Whose language is measured."""

    def write(self, prompts: Sequence[Document], sampling: Any = None) -> list[str]:
        """What follows each prompt."""
        ...

    def likelihoods(self, prompts: Sequence[Document], answers: Sequence[str]) -> np.ndarray:
        """float64[n]: log p of each answer and its `end` after its prompt, in nats."""
        ...

    def log_likelihoods(self, documents: Sequence[Document]) -> np.ndarray:
        """float64[n]: log p of the targets of each document, in nats."""
        ...


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of whom: test documents with the texts that count as right, and the documents to learn from."""

    writer: Writes
    sampling: Any
    test: Sequence[Document]
    train: Sequence[Document]
    truths: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...]

    @property
    def prompts(self) -> list[Document]:
        return [prompt_and_answer(document)[0] for document in self.test]


def measure_corpus(
    writer: Writes,
    train: Corpus,
    test: Corpus,
    *,
    name: str,
    split: Literal["test", "heldout"] = "test",
    limit: int,
    sampling: Any = None,
    tokens: Callable[[str], int] | None = None,
    fits: Callable[[Document], bool] = lambda document: True,
    references: Callable[[int], Sequence[str]] | None = None,
    seed: int = 0,
) -> CorpusRecord:
    """Ask the agent and the baselines of the corpus's measure the same test documents.

    Args:
        train: documents that the agent was trained on; the baselines learn from some of them.
        test: documents of the split that is measured.
        name: of the corpus in the report.
        limit: test documents, drawn from `seed`; all where there are no more.
        sampling: passed on to `writer.write`; greedy is the usual choice.
        tokens: of a text, without its `end`; with it perplexity per token is measured on running text.
        fits: whether a document is short enough for the agent. A running text is cut to a beginning that fits, any
            other document is left out and counted.
        references: from the number of a test document to all answers that count as right, where there are several.

    Raises:
        ValueError: the corpora differ in their measure, `limit` is not positive, or a label is not among the labels.
        MissingExtra: captions need sacrebleu, and it is not installed.
    """
    _check(train, test, name, limit)
    begun = time.perf_counter()
    running = test.measure in ("text", "dialogue")
    found = read_documents(test, limit, seed)
    learnt = (
        read_documents(train, TRAIN_TEXTS, seed, TRAIN_BYTES)
        if running
        else read_documents(train, TRAIN_DOCUMENTS, seed)
    )
    kept = {number: document for number, whole in found.documents.items() if (document := _fitting(whole, test, fits))}
    shown = list(kept.values())
    truths = _truths(test, kept, references, name)
    known = list(learnt.documents.values())
    asked = Asked(writer=writer, sampling=sampling, test=shown, train=known, truths=truths, labels=test.labels)
    outcomes = by_the_corpus(OUTCOMES[test.measure](asked), test, tuple(kept)) if shown else {}
    targets = [_targets(document) for document in shown] if running else []
    return CorpusRecord(
        corpus=name,
        split=split,
        measure=test.measure,
        labels=tuple(test.labels),
        numbers=tuple(kept),
        truths=truths,
        sizes=_each_sum(targets, lambda target: len(_utf8(target.text))),
        tokens=_each_sum(targets, lambda target: int(tokens(target.text)) + target.whole) if tokens else None,
        outcomes=outcomes,
        examples=tuple(_continued(asked) if test.measure == "text" else _examples(asked, outcomes)),
        damaged=(*found.damaged, *learnt.damaged),
        too_long=len(found.documents) - len(kept),
        learnt_from=len(learnt.documents),
        seconds=time.perf_counter() - begun,
    )


def _each_sum(targets: "Sequence[Sequence[Target]]", of: "Callable[[Target], int]") -> tuple[int, ...]:
    """What `of` gives for the target texts of a document, summed; for each document."""
    return tuple(sum(map(of, texts)) for texts in targets)


def measure_text(asked: Asked) -> dict[str, Outcome]:
    """Nats of running text, of the agent and of n-gram models."""
    return _nats(asked)


def measure_dialogue(asked: Asked) -> dict[str, Outcome]:
    """Nats of all that the assistant says, and the last thing it says."""
    found = _nats(asked)
    said = asked.writer.write(asked.prompts, asked.sampling)
    found[AGENT] = Outcome(nats=found[AGENT].nats, texts=tuple(said))
    return found | _learnt(asked, commonest_answer=lambda: commonest_answers(asked.train, asked.prompts))


def measure_label(asked: Asked) -> dict[str, Outcome]:
    """The likeliest of all labels: every one is tried after every prompt, and its length counts as it is."""
    prompts = [prompt for prompt in asked.prompts for _ in asked.labels]
    answers = [label for _ in asked.test for label in asked.labels]
    likely = np.asarray(asked.writer.likelihoods(prompts, answers), np.float64).reshape(-1, len(asked.labels))
    if np.isnan(likely).any():
        raise ValueError("a label has no likelihood (NaN); the weights are damaged")
    said = tuple(asked.labels[best] for best in likely.argmax(axis=1))
    return {AGENT: Outcome(texts=said)} | _learnt(
        asked,
        majority_class=lambda: commonest(asked.train, len(asked.test)),
        pixels=lambda: regression_labels(asked.train, asked.prompts),
        **{name: partial(fit, asked.train, asked.prompts) for name, fit in BAND_BASELINES.items()},
    )


def measure_answer(asked: Asked) -> dict[str, Outcome]:
    """Written answers, beside the commonest answer to the same words and, without pictures, that of an n-gram model."""
    said = asked.writer.write(asked.prompts, asked.sampling)
    return {AGENT: Outcome(texts=tuple(said))} | _learnt(
        asked,
        commonest_answer=lambda: commonest_answers(asked.train, asked.prompts),
        five_gram=lambda: n_gram_answers(asked.train, asked.prompts),
    )


def measure_caption(asked: Asked) -> dict[str, Outcome]:
    """Written captions, beside the commonest one and that of the nearest training picture."""
    said = asked.writer.write(asked.prompts, asked.sampling)
    return {AGENT: Outcome(texts=tuple(said))} | _learnt(
        asked,
        commonest_caption=lambda: commonest(asked.train, len(asked.test)),
        nearest_picture=lambda: nearest_captions(asked.train, asked.prompts),
    )


def measure_choice(asked: Asked) -> dict[str, Outcome]:
    """The likeliest of each question's choices; as whole texts and per byte."""
    questions = [last for document in asked.test if isinstance(last := document[-1], Choice)]
    flat = [(prompt, text) for prompt, each in zip(asked.prompts, questions, strict=True) for text in each.among]
    nats = -asked.writer.log_likelihoods([(*prompt, Words(text, whole=False)) for prompt, text in flat])
    if np.isnan(nats).any():
        raise ValueError("a choice has no likelihood (NaN); the weights are damaged")
    found = {AGENT: chosen_by(questions, nats)}
    chance = tuple(1 / len(each.among) for each in questions)
    return (
        found
        | {"guess": Outcome(shares=chance)}
        | _learnt(
            asked,
            commonest_place=lambda: commonest_place(asked.train, questions),
            five_gram=lambda: chosen_by(questions, n_gram_nats(asked.train, flat)),
        )
    )


OUTCOMES: dict[str, Callable[[Asked], dict[str, Outcome]]] = {
    "text": measure_text,
    "label": measure_label,
    "answer": measure_answer,
    "caption": measure_caption,
    "dialogue": measure_dialogue,
    "choice": measure_choice,
}


def _learnt(asked: Asked, **fitted: Callable[[], Outcome | None]) -> dict[str, Outcome]:
    """Baselines by name, without those that the documents do not allow."""
    found = {name: fit() for name, fit in fitted.items()} if asked.train else {}
    return {name: outcome for name, outcome in found.items() if outcome is not None}


def _nats(asked: Asked) -> dict[str, Outcome]:
    """Of all target texts of every document, of the agent and of n-gram models.

    Of a text that goes on elsewhere no `end` follows; what the agent thinks of one is taken off again.
    """
    targets = [_targets(document) for document in asked.test]
    flat = [each for texts in targets for each in texts]
    nats = -np.asarray(asked.writer.likelihoods([each.before for each in flat], [each.text for each in flat]))
    if open_ended := [index for index, each in enumerate(flat) if not each.whole]:
        read = [(*flat[i].before, Words(flat[i].text, target=False, whole=False)) for i in open_ended]
        nats[open_ended] += np.asarray(asked.writer.likelihoods(read, [""] * len(read)))
    owner = np.repeat(np.arange(len(targets)), [len(texts) for texts in targets])
    found = {AGENT: Outcome(nats=tuple(np.bincount(owner, nats, len(targets)).tolist()))}
    train = [(each.text, each.whole) for document in asked.train for each in _targets(document)]
    if any(text for text, _ in train):
        test = [[(each.text, each.whole) for each in texts] for texts in targets]
        found |= n_grams(train, test)
    return found


@dataclass(frozen=True)
class Target:
    """One target text of a document, and all that stands before it."""

    before: Document
    text: str
    whole: bool


def _targets(document: Document) -> list[Target]:
    return [
        Target(document[:index], part.text, part.whole)
        for index, part in enumerate(document)
        if isinstance(part, Words) and part.target
    ]


def _check(train: Corpus, test: Corpus, name: str, limit: int) -> None:
    if train.measure != test.measure:
        raise ValueError(
            f"{name}: the training documents are for {train.measure}, the test documents for {test.measure}; "
            "open two splits of one corpus"
        )
    if limit < 1:
        raise ValueError(f"{name}: at least one document must be measured, got a limit of {limit}")
    if test.measure == "caption":
        sacrebleu()  # before hours of writing, not after


@dataclass(frozen=True)
class Readings:
    """Documents by number, in the order in which they were drawn, and why others could not be read."""

    documents: dict[int, Document]
    damaged: tuple[str, ...]


def read_documents(corpus: Corpus, most: int, seed: int, most_bytes: float = float("inf")) -> Readings:
    """Documents drawn without repeats, until there are `most` or their targets have `most_bytes`."""
    drawn = np.random.default_rng(seed).choice(len(corpus), min(most, len(corpus)), replace=False)
    documents, damaged, size = {}, [], 0
    for number in map(int, drawn):
        try:
            documents[number] = corpus[number]
        except BadExampleError as problem:
            damaged.append(str(problem))
            continue
        size += sum(len(_utf8(each.text)) for each in _targets(documents[number]))
        if size >= most_bytes:
            break
    return Readings(documents, tuple(damaged))


def _fitting(document: Document, corpus: Corpus, fits: Callable[[Document], bool]) -> Document | None:
    """The document, of a running text the beginning, that fits; None if none does."""
    if fits(document):
        return document
    *before, last = document
    if corpus.measure != "text" or not isinstance(last, Words):
        return None
    low, high = 0, len(last.text)
    while high - low > 1:  # `low` characters fit or are none, `high` do not
        middle = (low + high) // 2
        beginning = Words(last.text[:middle], target=last.target, whole=False)
        low, high = (middle, high) if fits((*before, beginning)) else (low, middle)
    return (*before, Words(last.text[:low], target=last.target, whole=False)) if low else None


def _truths(
    test: Corpus, kept: dict[int, Document], references: Callable[[int], Sequence[str]] | None, name: str
) -> tuple[tuple[str, ...], ...]:
    """What counts as right for each document; nothing for running text."""
    if test.measure == "text":
        return ()
    own = {number: (prompt_and_answer(document)[1],) for number, document in kept.items()}
    for (answer,) in own.values() if test.measure == "label" else ():
        if answer not in test.labels:
            near = get_close_matches(answer, test.labels, n=3, cutoff=0.0)
            raise ValueError(f"{name}: {answer!r} is none of its labels; did you mean {', '.join(near)}?")
    return tuple(tuple(references(number)) or right if references else right for number, right in own.items())


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _examples(asked: Asked, outcomes: dict[str, Outcome]) -> list[Example]:
    return [
        Example(
            prompt=shortened(_told(prompt)),
            truth=shortened(asked.truths[index][0]),
            said={who: shortened(each.texts[index]) for who, each in outcomes.items() if each.texts},
            png=_png(prompt),
        )
        for index, prompt in enumerate(asked.prompts[:EXAMPLES])
    ]


def _continued(asked: Asked) -> list[Example]:
    """Beginnings of running texts, how they go on, and how the agent would go on."""
    half = SHOWN_TEXT // 2
    texts = [prompt_and_answer(document)[1] for document in asked.test[:EXAMPLES]]
    cuts = [min(half, len(text) // 2) for text in texts]
    prompts = [(Words(text[:cut], target=False, whole=False),) for text, cut in zip(texts, cuts, strict=True)]
    said = asked.writer.write(prompts, asked.sampling) if prompts else []
    return [
        Example(
            prompt=shortened(text[:cut]),
            truth=shortened(text[cut : cut + half]),
            said={AGENT: shortened(more[:half])},
        )
        for text, cut, more in zip(texts, cuts, said, strict=True)
    ]


def _told(prompt: Document) -> str:
    """The words of a prompt for people, with the names of the speakers."""
    names = [f"{part.name}: " if isinstance(part, Speaker) else "" for part in prompt]
    lines = [who + part.text for who, part in zip(["", *names], prompt, strict=False) if isinstance(part, Words)]
    return "\n".join(lines)


def shortened(text: str) -> str:
    """What a page can show: lone surrogates have no UTF-8."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= SHOWN_TEXT else text[: SHOWN_TEXT - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _png(prompt: Document) -> str | None:
    pixels = last_picture(prompt)
    return None if pixels is None else png_of(pixels)


def png_of(pixels: np.ndarray) -> str:
    """A picture for the report, in base64."""
    stream = io.BytesIO()
    shrunk(as_image(pixels), PICTURE_SIDE).save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()
