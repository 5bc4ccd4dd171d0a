"""Questions with choices: read from JSON lines, solved ones before them, and measured beside plain guesses."""

import json
import math

import numpy as np
import pytest
from public_models import model

import generalist
from generalist.corpora.choices import Choices
from generalist.corpora.corpus import BadExampleError
from generalist.corpora.open import open_corpus
from generalist.eval.language.corpus_record import AGENT, corpus_from_json, corpus_to_json
from generalist.eval.language.measure import measure_corpus
from generalist.tokenizers.parts import Choice, Words

COLOURS = ("red", "green", "blue")


def write(path, count=120, **changed):
    """Questions whose right answer stands at place 1 two times out of three, and in the text always."""
    lines = []
    for at in range(count):
        right = COLOURS[at % 3]
        others = [each for each in COLOURS if each != right]
        choices = [others[0], right, others[1]] if at % 3 else [right, *others]
        fields = {"question": f"Which is {right}?", "choices": choices, "answer": choices.index(right)}
        lines.append(json.dumps(fields | changed))
    path.write_text("\n".join(lines))
    return path


def test_a_question_is_shown_with_its_choices(tmp_path):
    path = write(tmp_path / "q.jsonl")
    train, test = open_corpus(f"choices:{path}"), open_corpus(f"choices:{path}", "test")
    assert (len(train), len(test), test.measure) == (118, 2, "choice")
    prompt, answer = train[1]
    assert prompt == Words("Question: Which is green?\nAnswer:", target=False, whole=False)
    assert answer == Choice(" green", whole=False, among=(" red", " green", " blue"))


def test_solved_questions_stand_before_it_but_never_itself(tmp_path):
    path = write(tmp_path / "q.jsonl")
    test = open_corpus(f"choices:{path}@2", "test")
    assert test[0][0].text == (
        "Question: Which is red?\nAnswer: red\n\nQuestion: Which is green?\nAnswer: green\n\n"
        "Question: Which is green?\nAnswer:"
    )
    train = open_corpus(f"choices:{path}@2")
    assert train[0][0].text.count("Question") == 2
    assert train[5][0].text.count("Question") == 3


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"choices": ["one"]}, r"q\.jsonl:1: needs choices, a list of two texts or more"),
        ({"choices": ["a", "a"]}, "the same choice stands twice"),
        ({"answer": 3}, r"answer is the number of a choice from 0, or a choice, got 3"),
        ({"answer": True}, "answer is the number of a choice"),
        ({"question": 1}, "needs a string 'question'"),
    ],
)
def test_lines_that_are_no_question(tmp_path, fields, said):
    with pytest.raises(BadExampleError, match=said):
        open_corpus(f"choices:{write(tmp_path / 'q.jsonl', **fields)}")[0]


def test_an_answer_may_be_the_choice_itself(tmp_path):
    path = write(tmp_path / "q.jsonl", answer="blue")
    assert open_corpus(f"choices:{path}")[0][1].text == " blue"


@pytest.mark.parametrize(
    ("name", "said"),
    [("q.jsonl@x", "a number of solved questions"), ("q.jsonl@65", "up to 64"), ("none.jsonl", "no questions at")],
)
def test_names_that_open_nothing(tmp_path, name, said):
    write(tmp_path / "q.jsonl")
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        open_corpus(f"choices:{tmp_path / name}")


class Reads:
    """Finds likely what stands in the question, and by its sum the shortest answer otherwise."""

    def log_likelihoods(self, documents):
        told = [(document[0].text.rsplit("Question:", 1)[1], document[-1].text) for document in documents]
        return -np.asarray([1 if text.strip() in asked else len(text.encode()) for asked, text in told], float)


def test_who_reads_the_question_is_right_and_baselines_stand_beside(tmp_path):
    path = write(tmp_path / "q.jsonl", 3000)
    train, test = (open_corpus(f"choices:{path}", split) for split in ("train", "test"))
    record = measure_corpus(Reads(), train, test, name="colours", limit=100)
    entry = corpus_to_json(record)
    accuracy, per_byte = entry["scores"]
    assert (accuracy["name"], per_byte["name"]) == ("accuracy", "accuracy, per byte")
    assert accuracy["agent"]["value"] == per_byte["agent"]["value"] == 1
    guess = accuracy["baselines"]["guess"]["value"]
    assert guess == pytest.approx(1 / 3)
    places = [document[1].among.index(document[1].text) for document in map(test.__getitem__, range(60))]
    assert accuracy["baselines"]["commonest_place"]["value"] == pytest.approx(np.mean([at == 1 for at in places]))
    assert accuracy["baselines"]["five_gram"]["value"] > guess
    assert corpus_to_json(corpus_from_json(entry)) == entry
    assert not isinstance(record.outcomes[AGENT].shares, type(None))


def test_a_public_model_is_asked_by_command_alone(tmp_path):
    path = write(tmp_path / "q.jsonl", 200)
    report = generalist.evaluate(model(), corpora=(f"choices:{path}@1",), documents=4, out=tmp_path / "out", quiet=True)
    [entry] = report["corpora"]
    assert entry["documents"] == 4
    assert 0 <= entry["scores"][0]["agent"]["value"] <= 1
    assert "commonest place of the right choice" in (tmp_path / "out" / "report.html").read_text()
    with pytest.raises(ValueError, match="name corpora to measure it on"):
        generalist.evaluate(model(), out=tmp_path / "none", quiet=True)
    assert isinstance(open_corpus(f"choices:{path}"), Choices)
    assert math.isfinite(entry["seconds"])
