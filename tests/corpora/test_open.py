import json

import numpy as np
import pytest
from PIL import Image

from generalist.corpora import open as opening
from generalist.corpora.corpus import HELD_OUT, every_so_manieth
from generalist.corpora.open import BUILT_IN, KINDS, open_corpus
from generalist.tokenizers.parts import Words


class Numbers:
    measure, labels = "label", ("a", "b")

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return (Words(str(range(self.count)[index])),)


def contents(corpus):
    return [corpus[index][0].text for index in range(len(corpus))]


def test_every_so_manieth_document_is_the_test_split():
    train, test = (every_so_manieth(Numbers(103), split) for split in ("train", "test"))
    assert contents(test) == ["49", "99"]
    assert sorted(contents(train) + contents(test), key=int) == [str(n) for n in range(103)]
    assert (test.measure, test.labels) == ("label", ("a", "b"))
    assert HELD_OUT == 50


def test_questions_about_one_picture_are_in_one_split(tmp_path):
    """Picture 49 of the order in which they come, and only it, is test; each damaged line stands for a picture."""
    rows = [{"file_name": f"{n // 3}.png", "question": f"{n}?", "answer": "yes"} for n in range(180)]
    lines = [json.dumps(row) for row in (*rows, *rows[:2])]
    (tmp_path / "metadata.jsonl").write_text("\n".join(["{damaged", "{damaged", *lines]))
    for n in range(60):
        Image.fromarray(np.full((3, 3), n, np.uint8)).save(tmp_path / f"{n}.png")
    train, test = (open_corpus(f"images:{tmp_path}", split) for split in ("train", "test"))
    found = [test[index] for index in range(len(test))]
    assert [int(picture.pixels[0, 0, 0]) for picture, *_ in found] == [47, 47, 47]
    assert [question.text for _, question, _ in found] == ["141?", "142?", "143?"]
    assert len(train) == 184 - 3
    with pytest.raises(ValueError, match="the corpus has 184 documents of 62 pictures, every 70th is test"):
        every_so_manieth(train.corpus, "test", every=70)


def test_a_split_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="has the splits train and test, not heldout"):
        every_so_manieth(Numbers(100), "heldout")
    with pytest.raises(ValueError, match="the test split is empty: the corpus has 49 documents, every 50th is test"):
        every_so_manieth(Numbers(49), "test")
    assert len(every_so_manieth(Numbers(49), "train")) == 49


def text(folder):
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"text": str(n)}) for n in range(100)))


def images(folder):
    for n in range(100):
        Image.fromarray(np.zeros((3, 3), np.uint8)).save(folder / f"{n}.png")
    rows = (json.dumps({"file_name": f"{n}.png", "text": "x"}) for n in range(100))
    (folder / "metadata.jsonl").write_text("\n".join(rows))


def chat(folder):
    rows = [json.dumps({"messages": [{"role": "assistant", "content": str(n)}]}) for n in range(100)]
    (folder / "a.jsonl").write_text("\n".join(rows))


@pytest.mark.parametrize(("kind", "write"), [("text", text), ("images", images), ("chat", chat)])
def test_kinds_take_a_path(tmp_path, kind, write):
    write(tmp_path)
    train, test = open_corpus(f"{kind}:{tmp_path}"), open_corpus(f"{kind}:{tmp_path}", "test")
    assert (len(train), len(test)) == (98, 2)
    assert train.measure == {"text": "text", "images": "caption", "chat": "dialogue"}[kind]
    assert isinstance(test[1][-1], Words)


def test_a_path_may_hold_colons(tmp_path):
    (tmp_path / "a:b.txt").write_text("x")
    assert open_corpus(f"text:{tmp_path}/a:b.txt")[0] == (Words("x"),)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("drawings", "reasoning")])
def test_nothing_at_the_path_is_an_error_of_its_kind(tmp_path, kind):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_corpus(f"{kind}:{tmp_path / 'nowhere.tar'}")


@pytest.mark.parametrize(
    ("name", "near"),
    [("digit", "digits"), ("txt:books", "text:PATH"), ("scenes/caption", "scenes/captions"), ("chat", "chat:PATH")],
)
def test_an_unknown_name_gives_the_nearest(name, near):
    with pytest.raises(ValueError, match=f"no corpus '{name}'; did you mean .*{near}"):
        open_corpus(name)


@pytest.mark.parametrize("name", ["", "text:", ":", "qqqq"])
def test_a_name_like_no_other_lists_names(name):
    with pytest.raises(ValueError, match=r"no corpus .*; did you mean \w+"):
        open_corpus(name)


def test_built_in_corpora_get_the_name_and_the_split(monkeypatch):
    asked = []

    class Module:
        @staticmethod
        def open_corpus(name, split):
            asked.append((name, split))
            return Numbers(3)

    monkeypatch.setattr(opening, "import_module", lambda name: Module)
    for name in BUILT_IN:
        assert len(open_corpus(name, "heldout")) == 3
    assert asked == [(name, "heldout") for name in BUILT_IN]
