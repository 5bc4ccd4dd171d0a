"""Measuring pictures that an agent writes, without a learned judge of their looks: they are read back.

What a picture shows is read by its corpus (`generalist.corpora.drawings.Drawings.reader`): rooms tile by tile, digits
by a classifier that was trained on real ones. The reverse says whether drawings are as varied as real pictures: a
classifier that was trained on them reads real ones (Ravuri & Vinyals 2019). Beside the agent stand a training picture
that is fetched by its words, the mean of the pictures that are like that one (k-means), and the real picture as the
visual tokenizer gives it back, which is the most that can be reached.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.feature_extraction.text import TfidfVectorizer

from generalist.corpora.drawings import Drawings, Learner, Reader
from generalist.eval.language.corpus_record import AGENT, CorpusRecord, Example, Outcome
from generalist.eval.language.measure import EXAMPLES, png_of, read_documents, shortened
from generalist.play.painter import Painter
from generalist.tokenizers.parts import Document, Picture, Words
from generalist.tokenizers.pictures import PictureOptions, sized

LEARNT = 2000
"""Training documents that baselines learn from."""
CLUSTERS, SMALL = 100, 14
"""Of the training pictures, for the plain baseline of means, by pictures of so many pixels a side."""


def measure_drawings(
    painter: Painter,
    train: Drawings,
    test: Drawings,
    *,
    name: str,
    split: Literal["test", "heldout"] = "test",
    limit: int,
    seed: int = 0,
) -> CorpusRecord:
    """Draw for the words of test documents, and ask how likely their real pictures are.

    Args:
        train: what the agent was trained on; baselines learn from some of it.
        name, limit, seed: as for `generalist.eval.language.measure.measure_corpus`.
    """
    begun = time.perf_counter()
    found, learnt = read_documents(test, limit, seed), read_documents(train, LEARNT, seed)
    window, length = painter.writer.config.window, painter.writer.length
    kept = {number: document for number, document in found.documents.items() if length(document) <= window}
    documents = list(kept.values())
    outcomes, drawn = outcomes_of(painter, documents, list(learnt.documents.values()), test.reader, test.learner)
    said = outcomes[AGENT].texts or ("",) * len(documents)
    shown = zip(documents[:EXAMPLES], said, drawn, strict=False)
    return CorpusRecord(
        corpus=name,
        split=split,
        measure="drawing",
        numbers=tuple(kept),
        truths=tuple((words_of(document),) for document in documents),
        tokens=(painter.visual.config.tokens,) * len(documents),
        outcomes=outcomes,
        examples=tuple(
            Example(
                prompt=shortened(words_of(document)),
                truth=shortened(words_of(document)),
                said={AGENT: shortened(text)} if text else {},
                png=png_of(pixels),
            )
            for document, text, pixels in shown
        ),
        damaged=(*found.damaged, *learnt.damaged),
        too_long=len(found.documents) - len(kept),
        learnt_from=len(learnt.documents),
        seconds=time.perf_counter() - begun,
    )


def outcomes_of(
    painter: Painter,
    test: Sequence[Document],
    train: Sequence[Document],
    reader: Reader | None,
    learner: Learner | None = None,
) -> tuple[dict[str, Outcome], np.ndarray]:
    """Nats of the pictures of documents, what is read of those that are drawn for their words, and the drawn ones.

    Args:
        test: documents of words and a picture, what is asked.
        train: documents to learn from; those without words are for the ids alone.
        reader: None where nobody can read the pictures.
        learner: None where nobody can learn to.
    """
    drawn = painter.draw([words_of(document) for document in test])
    nats = tuple((-painter.writer.log_likelihoods(test)).tolist())
    rebuilt = [painter.visual.decode(_ids(painter, document)[None])[0] for document in test]
    told = [document for document in train if words_of(document)]

    def read(pictures: Sequence[np.ndarray]) -> Outcome:
        texts = None if reader is None else tuple(map(reader, pictures))
        shares = None if learner is None else taught(learner, pictures, test)
        return Outcome(texts=texts, shares=shares)

    found = {AGENT: replace(read(list(drawn)), nats=nats)}
    if train:
        found["unigram_ids"] = Outcome(nats=unigram(painter, train, test))
    if reader is not None:
        if told:
            nearest = nearest_words(told, test)
            found["retrieval"] = read([picture_of(told[index]) for index in nearest])
            found["clusters"] = read(centres(painter, told, nearest))
        found["rebuilt"] = read(rebuilt)
    return found, drawn


def taught(learner: Learner, pictures: Sequence[np.ndarray], test: Sequence[Document]) -> tuple[float, ...] | None:
    """For each real picture of `test`, whether it is read right by who learnt from `pictures`, one for each document.

    None where all are meant to show the same.
    """
    words = [words_of(document) for document in test]
    if len(set(words)) < 2:
        return None
    reader = learner(pictures, words)
    return tuple(float(reader(picture_of(document)) == said) for document, said in zip(test, words, strict=True))


def centres(painter: Painter, train: Sequence[Document], chosen: Sequence[int]) -> list[np.ndarray]:
    """The mean picture of the cluster of each chosen training picture, in the size of those that are drawn."""
    options = PictureOptions(images="conv", shape=painter.visual.config.shape)
    small = PictureOptions(images="conv", shape=(SMALL, SMALL, options.shape[2]))
    pictures = np.concatenate([sized(picture_of(document), options) for document in train])
    flat = np.stack([sized(each, small).reshape(-1) for each in pictures]).astype(np.float32)
    labels = np.asarray(MiniBatchKMeans(min(CLUSTERS, len(flat)), random_state=0, n_init="auto").fit(flat).labels_)
    means = {
        label: np.rint(pictures[labels == label].mean(axis=0)).astype(np.uint8) for label in {*labels[list(chosen)]}
    }
    return [means[labels[index]] for index in chosen]


def words_of(document: Document) -> str:
    """All that a document says."""
    return " ".join(part.text for part in document if isinstance(part, Words))


def picture_of(document: Document) -> np.ndarray:
    """The pixels of its last picture."""
    return [part.pixels for part in document if isinstance(part, Picture)][-1]


def nearest_words(train: Sequence[Document], test: Sequence[Document]) -> list[int]:
    """For each test document the number of the training document whose words are nearest (characters, tf-idf)."""
    model = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4))
    known = model.fit_transform([words_of(document) for document in train])
    asked = model.transform([words_of(document) for document in test])
    return np.asarray((asked @ known.T).argmax(axis=1)).reshape(-1).tolist()


def _ids(painter: Painter, document: Document) -> np.ndarray:
    options = PictureOptions(images="conv", shape=painter.visual.config.shape)
    return painter.visual.encode_once(sized(picture_of(document), options)[0])


def unigram(painter: Painter, train: Sequence[Document], test: Sequence[Document]) -> tuple[float, ...]:
    """Nats by how often each id occurs in training pictures, one more of each."""
    counts = np.ones(painter.visual.size)
    for document in train:
        np.add.at(counts, _ids(painter, document), 1)
    cost = -np.log(counts / counts.sum())
    return tuple(float(cost[_ids(painter, document)].sum()) for document in test)
