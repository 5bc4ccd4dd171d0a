"""Questions of reasoning-gym: disjoint splits, documents by number alone, its own scorer."""

import os
import subprocess
import sys

import pytest

from generalist.corpora import reasoning
from generalist.corpora.corpus import BadExampleError
from generalist.corpora.open import open_corpus
from generalist.corpora.reasoning import DEFAULT
from generalist.envs.task import MissingExtra
from generalist.tokenizers.parts import Words, prompt_and_answer


def installed():
    return pytest.importorskip("reasoning_gym")


def test_a_document_is_a_question_and_its_answer():
    installed()
    corpus = open_corpus("reasoning:gcd")
    question, answer = corpus[0]
    assert question == Words(question.text, target=False)
    assert "Greatest Common Divisor" in question.text
    assert answer.target
    assert corpus.measure == "answer"
    assert corpus.labels == ()
    assert (len(corpus), len(open_corpus("reasoning:gcd,lcm", "test"))) == (20_000, 2_000)
    with pytest.raises(IndexError):
        corpus[20_000]


def test_the_default_holds_every_generator_in_turn():
    installed()
    corpus = open_corpus("reasoning")
    assert corpus.generators == tuple(DEFAULT)
    alone = {name: reasoning.Reasoning((name,), "train", DEFAULT) for name in DEFAULT}
    for index in range(2 * len(DEFAULT)):
        number, place = divmod(index, len(DEFAULT))
        assert corpus[index] == alone[tuple(DEFAULT)[place]][number]


@pytest.mark.parametrize("name", DEFAULT)
def test_no_question_of_the_test_is_one_of_training(name):
    """Of few questions (legs of one animal) the same ones come again and again, each in its split."""
    installed()
    train, test = (reasoning.Reasoning((name,), split, DEFAULT) for split in ("train", "test"))
    asked = [
        {part[0][0].text for part in map(prompt_and_answer, map(one.__getitem__, range(150)))} for one in (train, test)
    ]
    assert not asked[0] & asked[1]
    assert min(map(len, asked)) > 20


def test_the_stored_answer_has_full_marks_and_another_has_not():
    installed()
    corpus = open_corpus("reasoning", "test")
    for index in range(3 * len(DEFAULT)):
        truth = prompt_and_answer(corpus[index])[1]
        assert corpus.score(index, truth) == 1
        assert corpus.score(index, "no idea") < 0.5


def test_documents_depend_on_their_number_alone():
    installed()
    script = (
        "from generalist.corpora.open import open_corpus\n"
        "corpus = open_corpus('reasoning', 'test')\n"
        "print([corpus[index] for index in (7, 3, 12, 0)])\n"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    corpus = open_corpus("reasoning", "test")
    assert told[0] == told[1] == f"{[corpus[index] for index in (7, 3, 12, 0)]}\n"


def test_what_cannot_be_asked_is_refused():
    installed()
    with pytest.raises(ValueError, match="no generator 'chain_sun': did you mean chain_sum"):
        open_corpus("reasoning:gcd,chain_sun")
    with pytest.raises(ValueError, match="graph_color, but has none to learn from"):
        open_corpus("reasoning:graph_color")
    with pytest.raises(ValueError, match="splits train and test, not heldout"):
        open_corpus("reasoning", "heldout")


def test_a_generator_of_one_split_alone_is_no_endless_search(monkeypatch):
    installed()
    monkeypatch.setattr(reasoning, "ONE_IN", 2**33)
    with pytest.raises(BadExampleError, match="reasoning:gcd: 256 drawn questions are none of the split test"):
        open_corpus("reasoning:gcd", "test")[0]


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    reasoning._names.cache_clear()
    reasoning._generator.cache_clear()
    with pytest.raises(MissingExtra, match=r"pip install 'generalist\[text\]'"):
        open_corpus("reasoning")
