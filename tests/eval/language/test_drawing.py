"""Drawn pictures are read back, beside what is fetched by its words and the real picture through the tokenizer."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from page_words import Words
from visual import visual_tokenizer

from generalist.corpora.open import open_corpus
from generalist.eval.language.corpus_record import AGENT, corpus_from_json, corpus_to_json
from generalist.eval.language.drawing import measure_drawings, nearest_words, picture_of, words_of
from generalist.eval.report.language_page import language_section, score_rows
from generalist.eval.report.shown import ShownReport
from generalist.tokenizers.visual import VisualConfig

pytest.importorskip("minigrid")
SHAPE = VisualConfig(shape=(56, 56, 3), strides=(8,), width=4, levels=(5, 5))


class Copier:
    """Draws, whatever it is asked, the rooms that it is given, and finds every picture as likely."""

    def __init__(self, rooms: np.ndarray, window: int = 200):
        self.rooms, self.visual, self.asked = rooms, visual_tokenizer(SHAPE), []
        self.writer = SimpleNamespace(
            config=SimpleNamespace(window=window),
            length=lambda document: 49 + len(words_of(document)),
            log_likelihoods=lambda documents: np.full(len(documents), -49 * np.log(4)),
        )

    def draw(self, texts):
        self.asked += texts
        return self.rooms[: len(texts)]


@pytest.fixture
def corpora():
    return open_corpus("drawings:scenes/captions"), open_corpus("drawings:scenes/captions", "test")


def measured(corpora, painter, limit=12):
    return measure_drawings(painter, *corpora, name="drawings:scenes/captions", limit=limit)


def rooms_of(corpora, limit: int) -> np.ndarray:
    """The real pictures of what will be asked, in its order."""
    numbers = measured(corpora, Copier(np.zeros((limit, 56, 56, 3), np.uint8)), limit).numbers
    return np.stack([corpora[1][number][-1].pixels for number in numbers])


def test_what_is_drawn_right_is_read_as_right_and_the_scores_say_so(corpora):
    rooms = rooms_of(corpora, 12)
    painter = Copier(rooms)
    record = measured(corpora, painter)
    assert list(record.outcomes[AGENT].texts) == [truth for (truth,) in record.truths]
    scores = {score["name"]: score for score in corpus_to_json(record)["scores"]}
    assert scores["exact match"]["agent"]["value"] == 1.0
    assert scores["things right"]["agent"]["value"] == 1.0
    assert scores["bits per token"]["agent"]["value"] == pytest.approx(2.0)
    assert {"unigram_ids"} == set(scores["bits per token"]["baselines"])
    assert {"clusters", "retrieval", "rebuilt"} == set(scores["exact match"]["baselines"])
    assert corpus_from_json(corpus_to_json(record)) == record


def test_a_part_may_be_right_where_the_whole_is_not(corpora):
    """Everything in the room of the first is drawn for all."""
    rooms = rooms_of(corpora, 12)
    record = measured(corpora, Copier(np.repeat(rooms[:1], 12, axis=0)))
    scores = {score["name"]: score["agent"] for score in corpus_to_json(record)["scores"]}
    assert scores["exact match"]["value"] == pytest.approx(1 / 12)
    assert scores["exact match"]["value"] <= scores["things right"]["value"] <= scores["kinds right"]["value"] < 1


def test_texts_longer_than_the_window_are_left_out_and_counted(corpora):
    record = measured(corpora, Copier(np.zeros((40, 56, 56, 3), np.uint8), 80), 40)
    assert record.too_long > 0
    assert len(record.numbers) + record.too_long == 40
    assert all(49 + len(truth) <= 80 for (truth,) in record.truths)


def test_the_nearest_words_fetch_their_picture(corpora):
    train = [corpora[0][index] for index in range(30) if words_of(corpora[0][index])]
    nearest = [picture_of(train[index]) for index in nearest_words(train, train)]
    for document, picture in zip(train, nearest, strict=True):
        same = [each for each in train if words_of(each) == words_of(document)]
        assert any(np.array_equal(picture, each[-1].pixels) for each in same)


def test_the_page_shows_what_was_drawn_and_no_rival_is_given_the_real_picture(corpora):
    rooms = rooms_of(corpora, 40)
    entry = corpus_to_json(measured(corpora, Copier(rooms), 40))
    section = language_section({"corpora": [entry]})
    assert section["shown"][0]["alt"] == "The picture that the agent drew"
    assert len(section["shown"][0]["examples"]) == 10
    exact = next(row for row in score_rows(entry) if row["score"] == "exact match")
    assert exact["verdict"] == "better"
    report = ShownReport({"overall": {"mean": None}, "baselines": {}, "tasks": [], "corpora": [entry]})
    assert "exact match" in Words(report._repr_html_()).text


def test_pictures_that_nobody_can_read_have_bits_alone(corpora):
    silent = tuple(replace(corpus, corpus=Unread(corpus.corpus)) for corpus in corpora)
    entry = corpus_to_json(measured(silent, Copier(np.zeros((12, 56, 56, 3), np.uint8))))
    assert [score["name"] for score in entry["scores"]] == ["bits per token"]


class Unread:
    """A corpus without a reader."""

    measure, labels = "caption", ()

    def __init__(self, corpus):
        self.corpus = corpus

    def __len__(self):
        return len(self.corpus)

    def __getitem__(self, index):
        return self.corpus[index]


class Imitator(Copier):
    """Draws real training pictures of what it is asked for, or of one digit, whatever it is asked."""

    def __init__(self, documents, only=None):
        super().__init__(np.zeros((0, 8, 8, 1), np.uint8))
        self.visual = visual_tokenizer(VisualConfig(shape=(8, 8, 1), strides=(4,), width=4, levels=(5, 5)))
        self.known = {words_of(document): picture_of(document) for document in documents if words_of(document)}
        self.only = only

    def draw(self, texts):
        return np.stack([self.known[self.only or text] for text in texts])


def test_a_classifier_that_was_trained_on_drawings_reads_real_digits():
    corpora = open_corpus("drawings:digits"), open_corpus("drawings:digits", "test")
    documents = [corpora[0][index] for index in range(300)]

    def scored(painter):
        record = measure_drawings(painter, *corpora, name="drawings:digits", limit=80)
        return {score["name"]: score for score in corpus_to_json(record)["scores"]}

    found = scored(Imitator(documents))
    assert found["exact match"]["agent"]["value"] > 0.9
    reverse = found["real ones read by who learnt from them"]
    assert 0.5 < reverse["agent"]["value"] < 1  # one picture of each digit is not as varied as digits are
    assert {*reverse["baselines"]} == {"clusters", "retrieval", "rebuilt"}
    one = scored(Imitator(documents, only="a handwritten three"))
    assert one["exact match"]["agent"]["value"] < 0.25
    assert one["real ones read by who learnt from them"]["agent"]["value"] < 0.4
