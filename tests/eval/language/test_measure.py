"""Language and vision measured on small corpora, asked of a stand-in that knows what follows some of the prompts."""

import base64
import io
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

from generalist.corpora.corpus import BadExampleError
from generalist.envs.task import MissingExtra
from generalist.eval.language.corpus_record import AGENT, corpus_from_json, corpus_to_json
from generalist.eval.language.measure import EXAMPLES, PICTURE_SIDE, measure_corpus
from generalist.eval.language.ngram import NGram
from generalist.tokenizers.parts import Picture, Speaker, Words, prompt_and_answer

COLOURS = {"red": (250, 20, 20), "green": (20, 250, 20), "blue": (20, 20, 250)}


@dataclass(frozen=True)
class Listed:
    """A corpus in memory; None is a damaged document."""

    documents: Sequence
    measure: str
    labels: tuple[str, ...] = ()

    def __len__(self):
        return len(self.documents)

    def __getitem__(self, index):
        if self.documents[index] is None:
            raise BadExampleError(f"shelf.jsonl:{index}: no text")
        return self.documents[index]


def key(prompt):
    """A prompt as something to look up."""
    return tuple(part.pixels.tobytes() if isinstance(part, Picture) else part for part in prompt)


@dataclass
class Knowing:
    """Knows the answers of some documents and says something else elsewhere.

    A byte costs it one bit, an `end` two; what it knows is certain.
    """

    known: dict = field(default_factory=dict)
    otherwise: str = "I do not know"
    asked: int = 0

    @classmethod
    def of(cls, documents, **options):
        return cls({key(prompt): said for prompt, said in map(prompt_and_answer, documents)}, **options)

    def write(self, prompts, sampling=None):
        assert sampling == "greedy"
        self.asked += len(prompts)
        return [self.known.get(key(prompt), self.otherwise) for prompt in prompts]

    def likelihoods(self, prompts, answers):
        self.asked += len(prompts)
        known = [self.known.get(key(prompt)) for prompt in prompts]
        bits = [
            0 if said == truth else len(said.encode(errors="surrogatepass")) + 2
            for said, truth in zip(answers, known, strict=True)
        ]
        return -math.log(2) * np.array(bits, np.float64)


def measured(writer, train, test, *, limit=1000, **options) -> dict:
    record = measure_corpus(writer, train, test, name="shelf", limit=limit, sampling="greedy", **options)
    return corpus_to_json(record)


def score(found: dict, name: str) -> dict:
    """A score by its name: of the agent and the baselines."""
    [score] = [score for score in found["scores"] if score["name"] == name]
    return {AGENT: score["agent"], **score["baselines"]}


def picture(colour: str, seed: int, side: int = 12) -> Picture:
    noise = np.random.default_rng(seed).integers(-20, 6, (side, side, 3))
    return Picture(np.clip(noise + COLOURS[colour], 0, 255).astype(np.uint8))


def coloured(count: int, first: int, say=str, measure="label") -> Listed:
    """Sorted by colour, as folders are: four tenths red, three green, three blue."""
    names = [name for name, share in (("red", 4), ("green", 3), ("blue", 3)) for _ in range(count * share // 10)]
    rows = [(picture(name, first + i), Words(say(name))) for i, name in enumerate(names)]
    return Listed(rows, measure, tuple(COLOURS) if measure == "label" else ())


def questions(rows: Sequence[tuple[str, str]]) -> Listed:
    """Each with a picture of its own, so that no two prompts are alike."""
    asked = [(picture("red", i), Words(f"{text}?", target=False), Words(said)) for i, (text, said) in enumerate(rows)]
    return Listed(asked, "answer")


TEXTS = [f"the {name} room has a door to the {other} room" for name in COLOURS for other in COLOURS]


def test_bits_per_byte_count_the_end_of_a_whole_text_and_bytes_not_characters():
    whole = Listed([(Words("abcd"),), (Words("äö"),)], "text")
    found = score(measured(Knowing(), whole, whole, tokens=len), "bits per byte")[AGENT]
    assert found["value"] == pytest.approx((6 + 6) / 8)
    open_ended = Listed([(Words("abcd", whole=False),), (Words("äö", whole=False),)], "text")
    assert score(measured(Knowing(), whole, open_ended), "bits per byte")[AGENT]["value"] == pytest.approx(1)


def test_perplexity_is_per_token_of_the_agent_for_baselines_too():
    test = Listed([(Words(text),) for text in TEXTS], "text")
    found = measured(Knowing(), test, test, tokens=lambda text: len(text.split()))
    tokens = sum(len(text.split()) + 1 for text in TEXTS)
    nats = {
        AGENT: sum(len(text) + 2 for text in TEXTS) * math.log(2),
        "five_gram": NGram.fit(TEXTS, 5).nats(TEXTS).sum(),
    }
    for who, total in nats.items():
        assert score(found, "perplexity per token")[who]["value"] == pytest.approx(math.exp(total / tokens))
    assert [each["name"] for each in measured(Knowing(), test, test)["scores"]] == ["bits per byte"]


def test_n_grams_learn_from_the_training_texts_and_are_asked_the_test_texts():
    train, test = Listed([(Words(text),) for text in TEXTS[:6]], "text"), Listed([(Words(TEXTS[7]),)] * 3, "text")
    found = score(measured(Knowing(), train, test), "bits per byte")
    for name, order in (("unigram", 1), ("five_gram", 5)):
        expected = NGram.fit(TEXTS[:6], order).nats([TEXTS[7]])[0] / math.log(2) / len(TEXTS[7])
        assert found[name]["value"] == pytest.approx(expected)
    assert found["unigram"]["value"] > 2 * found["five_gram"]["value"]


def test_the_interval_of_bits_per_byte_is_over_documents():
    texts = ["a" * 10, "b" * 10, "c" * 100]
    test = Listed([(Words(text),) for text in texts * 10], "text")
    found = score(measured(Knowing(), test, test), "bits per byte")[AGENT]
    low, high = found["ci95"]
    assert 102 / 100 < low < found["value"] < high < 12 / 10


def test_a_long_text_is_cut_to_the_beginning_that_fits_for_everybody():
    test = Listed([(Words("abcdefgh" * 10),), (Words("abc"),)], "text")
    found = measured(Knowing(), test, test, fits=lambda document: len(document[0].text) <= 29)
    assert sorted(found["sizes"]) == [3, 29]
    assert found["too_long"] == 0
    bits = np.array(found["outcomes"][AGENT]["nats"]) / math.log(2)
    assert sorted(bits) == pytest.approx([5, 29]), "a text that was cut has no end"


def test_other_documents_that_do_not_fit_are_left_out_and_counted():
    corpus = questions([("how many", "two"), ("what colour is the third thing from the left", "red")])
    found = measured(Knowing.of(corpus), corpus, corpus, fits=lambda document: len(document[1].text) < 20)
    assert (found["documents"], found["too_long"]) == (1, 1)


def test_labels_are_chosen_by_likelihood_beside_the_majority_and_a_regression_on_pixels():
    train, test = coloured(60, 0), coloured(30, 500)
    found = measured(Knowing.of(test.documents[::2]), train, test)
    accuracy = score(found, "accuracy")
    # What it does not know, it calls red: the shortest label.
    right = sum(name == "red" or i % 2 == 0 for i, (_, (name,)) in enumerate(zip(test, answers(test), strict=True)))
    assert accuracy[AGENT]["value"] == pytest.approx(right / 30)
    assert accuracy["majority_class"]["value"] == pytest.approx(0.4)
    assert accuracy["pixels"]["value"] == 1
    assert accuracy["pixels"]["ci95"][0] == pytest.approx(30 / (30 + 1.96**2), abs=1e-3), "Wilson, not a bootstrap"
    confusion = np.array(found["confusion"])
    assert confusion.sum(axis=1).tolist() == [12, 9, 9]
    assert confusion[:, 0].tolist() == [12, 4, 5]
    assert confusion.trace() == right


def answers(corpus):
    return [(prompt_and_answer(document)[1],) for document in corpus.documents]


def test_answers_match_exactly_up_to_case_and_spaces_beside_the_commonest_to_the_same_question():
    train = questions([("how many", "two"), ("how many", "Two "), ("how many", "three"), ("colour", "red")])
    test = questions([("how many", "two"), ("How  many", "two"), ("colour", "Red"), ("shape", "two"), ("shape", "box")])
    known = Knowing({key(prompt): f" {said.upper()} " for prompt, said in map(prompt_and_answer, test.documents[:3])})
    found = measured(known, train, test)
    assert [each["name"] for each in found["scores"]] == ["exact match"]
    exact = score(found, "exact match")
    assert exact[AGENT]["value"] == pytest.approx(3 / 5)
    said = dict(zip(found["numbers"], found["outcomes"]["commonest_answer"]["texts"], strict=True))
    assert [said[number] for number in range(5)] == ["two", "two", "red", "two", "two"]


def test_vqa_accuracy_counts_how_many_people_agree():
    test = questions([("a", "yes"), ("b", "yes"), ("c", "yes"), ("d", "yes")])
    people = [["yes"] * 2 + ["no"] * 8, ["no"] * 10, ["Yes"] * 5, ["yes"]]
    found = measured(Knowing(otherwise="yes"), test, test, references=lambda number: people[number])
    assert score(found, "VQA accuracy")[AGENT]["value"] == pytest.approx((2 / 3 + 0 + 1 + 1) / 4)
    assert score(found, "exact match")[AGENT]["value"] == pytest.approx(3 / 4)


def caption(name: str) -> str:
    return f"a field of {name} grass under the sun"


def test_captions_are_measured_by_sacrebleu_beside_the_commonest_and_the_nearest_one():
    from sacrebleu.metrics import BLEU, CHRF

    train, test = coloured(40, 0, caption, "caption"), coloured(20, 500, caption, "caption")
    found = measured(Knowing.of(test.documents[::2], otherwise="a field of grass"), train, test)
    said, truths = found["outcomes"][AGENT]["texts"], [[right for (right,) in found["truths"]]]
    for name, metric in (("BLEU", BLEU()), ("chrF", CHRF())):
        rows = score(found, name)
        assert rows[AGENT]["value"] == pytest.approx(metric.corpus_score(said, truths).score)
        low, high = rows[AGENT]["ci95"]
        assert 0 < low < rows[AGENT]["value"] < high < 100
        assert rows["nearest_picture"] == {"value": pytest.approx(100), "ci95": pytest.approx([100, 100])}
        assert rows["commonest_caption"]["value"] < 90
    assert score(found, "exact match")["commonest_caption"]["value"] == pytest.approx(0.4)
    assert "tok:13a" in found["scores"][0]["signature"]


def test_short_captions_have_a_bleu_and_several_references_count():
    test = coloured(10, 0, lambda name: f"a {name} field", "caption")
    assert score(measured(Knowing.of(test.documents), test, test), "BLEU")[AGENT]["value"] == pytest.approx(100)
    several = measured(
        Knowing(otherwise="some other words"), test, test, references=lambda n: ["x", "some other words"][: 1 + n % 2]
    )
    assert 20 < score(several, "BLEU")[AGENT]["value"] < 90
    assert score(several, "exact match")[AGENT]["value"] == 0.5


def dialogue(number: int, last: str):
    question = Words(f"what is thing {number}?", target=False)
    begin = (Speaker("user"), question, Speaker("assistant"), Words("a box"))
    return (*begin, Speaker("user"), Words("and its colour?", target=False), Speaker("assistant"), Words(last))


def test_dialogues_measure_all_that_the_assistant_says_and_its_last_words():
    train = Listed([dialogue(i, "red") for i in range(3)], "dialogue")
    test = Listed([dialogue(9, "red"), dialogue(8, "green"), dialogue(7, "green"), dialogue(6, "green")], "dialogue")
    found = measured(Knowing.of(test.documents[1:2]), train, test)
    bits, last = score(found, "bits per byte"), score(found, "exact match of the last answer")
    assert bits[AGENT]["value"] == pytest.approx((4 * 7 + 5 + 0 + 7 + 7) / (4 * 5 + 3 + 3 * 5))
    assert {*bits} == {AGENT, "unigram", "five_gram"}
    assert last[AGENT]["value"] == 0.25
    assert last["commonest_answer"]["value"] == 0.25


@pytest.mark.parametrize("measure", ["text", "label", "answer", "caption", "dialogue"])
def test_a_record_comes_back_from_json_and_gives_the_same_numbers(measure):
    corpora = {
        "text": Listed([(Words(text),) for text in TEXTS], "text"),
        "label": coloured(20, 0),
        "answer": questions([("how many", "two"), ("colour", "red")]),
        "caption": coloured(10, 0, caption, "caption"),
        "dialogue": Listed([dialogue(i, "red") for i in range(3)], "dialogue"),
    }
    corpus = corpora[measure]
    found = measured(Knowing.of(corpus.documents), corpus, corpus, tokens=len, split="heldout")
    again = json.loads(json.dumps(found, allow_nan=False))
    assert again == found
    assert corpus_to_json(corpus_from_json(again)) == found
    assert found["split"] == "heldout"
    assert all(each["agent"] and each["baselines"] for each in found["scores"])


def test_damaged_documents_are_counted_and_named():
    train, test = questions([("how many", "two")] * 3), questions([("how many", "two")] * 3)
    train, test = (Listed([*corpus.documents, None], "answer") for corpus in (train, test))
    found = measured(Knowing.of(test.documents[:3]), train, test)
    assert (found["documents"], found["learnt_from"]) == (3, 3)
    assert found["damaged"] == ["shelf.jsonl:3: no text"] * 2
    assert 3 not in found["numbers"]


def test_a_split_that_cannot_be_read_has_no_scores_and_without_training_documents_there_are_no_baselines():
    fine, broken = questions([("how many", "two")]), Listed([None, None], "answer")
    found = measured(Knowing(), fine, broken)
    assert (found["documents"], found["scores"], len(found["damaged"])) == (0, [], 2)
    assert {*score(measured(Knowing(), broken, fine), "exact match")} == {AGENT}


def test_documents_are_drawn_all_over_a_sorted_corpus_and_the_first_drawn_are_shown():
    train, test = coloured(60, 0), coloured(60, 500)
    found = measured(Knowing(), train, test, limit=20)
    assert len({*found["numbers"]}) == 20
    assert {right for (right,) in found["truths"]} == {*COLOURS}
    assert len(found["examples"]) == EXAMPLES
    for example, number in zip(found["examples"], found["numbers"], strict=False):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(example["png"]))))
        assert (pixels == test[number][0].pixels).all()
        assert example["truth"] == test[number][1].text
        assert {*example["said"]} == {AGENT, "majority_class", "pixels"}
    assert found["numbers"] == measured(Knowing(), train, test, limit=20)["numbers"]


def test_pictures_in_the_report_are_small_and_grey_ones_stay_grey():
    grey = Picture(np.tile(np.arange(200, dtype=np.uint8)[:, None, None], (1, 400, 1)))
    corpus = Listed([(grey, Words("a ramp"))], "caption")
    [example] = measured(Knowing(), corpus, corpus)["examples"]
    image = Image.open(io.BytesIO(base64.b64decode(example["png"])))
    assert (image.size, image.mode) == ((PICTURE_SIDE, PICTURE_SIDE // 2), "L")


def test_running_texts_are_shown_as_a_beginning_and_how_it_goes_on():
    test = Listed([(Words("a lone \ud800 surrogate, as JSON can hold"),)], "text")
    [example] = measured(Knowing(), test, test)["examples"]
    assert example["prompt"] + example["truth"] == "a lone ? surrogate, as JSON can hold"
    assert example["said"] == {AGENT: "I do not know"}


def test_without_sacrebleu_captions_are_refused_before_anything_is_written(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    corpus, writer = coloured(10, 0, caption, "caption"), Knowing()
    with pytest.raises(MissingExtra, match=r"pip install 'generalist\[language\]'"):
        measured(writer, corpus, corpus)
    assert writer.asked == 0


def test_what_cannot_be_measured_is_refused():
    labels, other = coloured(10, 0), Listed([(picture("red", 0), Words("rad"))], "label", tuple(COLOURS))
    with pytest.raises(ValueError, match="training documents are for answer, the test documents for label"):
        measured(Knowing(), questions([("how many", "two")]), labels)
    with pytest.raises(ValueError, match="limit of 0"):
        measured(Knowing(), labels, labels, limit=0)
    with pytest.raises(ValueError, match="'rad' is none of its labels; did you mean red"):
        measured(Knowing(), labels, other)
    broken = Knowing()
    broken.likelihoods = lambda prompts, answers: np.full(len(prompts), np.nan)
    texts = Listed([(Words("abc"),)], "text")
    for corpus in (labels, texts):
        with pytest.raises(ValueError, match="NaN"):
            measured(broken, corpus, corpus)


@dataclass(frozen=True)
class Marked(Listed):
    """A corpus with marks of its own: half of one for a number that is wrong."""

    def score(self, index, answer):
        return 1.0 if answer == self.documents[index][-1].text else answer.isdecimal() / 2


def sums(first: int, last: int) -> Marked:
    return Marked([(Words(f"{n} + 1?", target=False), Words(str(n + 1))) for n in range(first, last)], "answer")


def test_a_corpus_that_marks_answers_itself_is_asked():
    test = sums(10, 20)
    found = measured(Knowing.of(test.documents[:4], otherwise="many"), sums(20, 60), test)
    marks = score(found, "score of the corpus")
    assert marks[AGENT]["value"] == pytest.approx(0.4)
    assert marks["commonest_answer"]["value"] == pytest.approx(0.5), "a number, and the wrong one"
    again = corpus_to_json(corpus_from_json(json.loads(json.dumps(found))))
    assert again == found
    unmarked = Listed(test.documents, "answer")
    assert {each["name"] for each in measured(Knowing(), unmarked, unmarked)["scores"]} == {"exact match"}


def test_an_n_gram_model_answers_where_there_are_no_pictures():
    train = Listed(
        [(Words(f"{a}{b}, the last?", target=False), Words("yes")) for a in "abc" for b in "de"] * 3, "answer"
    )
    test = Listed([(Words("xy, the last?", target=False), Words("yes"))], "answer")
    assert score(measured(Knowing(), train, test), "exact match")["five_gram"]["value"] == 1
    with_pictures = questions([("what", "red")] * 4)
    assert "five_gram" not in score(measured(Knowing(), with_pictures, with_pictures), "exact match")
