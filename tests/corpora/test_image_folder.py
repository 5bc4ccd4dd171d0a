import json

import numpy as np
import pytest
from PIL import Image

from generalist.corpora.corpus import BadExampleError
from generalist.corpora.image_folder import open_corpus
from generalist.tokenizers.parts import Words


def folder(path, rows):
    """A folder in the layout of Hugging Face; every image that a row names is written, with its row number as grey."""
    lines = []
    for number, row in enumerate(rows):
        lines.append(row if isinstance(row, str) else json.dumps(row))
        if isinstance(row, dict) and str(row.get("file_name", "")).endswith(".png"):
            (path / row["file_name"]).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((4, 5), number, np.uint8)).save(path / row["file_name"])
    (path / "metadata.jsonl").write_text("\n".join(lines))
    return path


def grey(document):
    return document[0].pixels.shape, int(document[0].pixels[0, 0, 0])


@pytest.mark.parametrize("name", ["text", "caption"])
def test_captions(tmp_path, name):
    corpus = open_corpus(
        str(folder(tmp_path, [{"file_name": "a.png", name: "A."}, {"file_name": "b/c.png", name: "C."}]))
    )
    assert (len(corpus), corpus.measure, corpus.labels) == (2, "caption", ())
    assert [grey(corpus[index]) for index in range(2)] == [((4, 5, 1), 0), ((4, 5, 1), 1)]
    assert [corpus[index][1:] for index in range(2)] == [(Words("A."),), (Words("C."),)]


def test_questions(tmp_path):
    corpus = open_corpus(folder(tmp_path, [{"file_name": "a.png", "question": "How many?", "answer": "2"}]))
    assert corpus.measure == "answer"
    assert corpus[0][1:] == (Words("How many?", target=False), Words("2"))


def test_labels(tmp_path):
    rows = [{"file_name": f"{at}.png", "label": label} for at, label in enumerate(["sea", "forest", "sea", 7])]
    corpus = open_corpus(folder(tmp_path, rows))
    assert (corpus.measure, corpus.labels) == ("label", ("7", "forest", "sea"))
    assert [corpus[index][1].text for index in range(4)] == ["sea", "forest", "sea", "7"]


@pytest.mark.parametrize(
    "name", ["../a.png", "/etc/a.png", "b/../../a.png", "C:\\a.png", "..\\a.png", "\\a.png", "", "a\0"]
)
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, name):
    Image.new("L", (3, 3)).save(tmp_path / "a.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "metadata.jsonl").write_text(json.dumps({"file_name": name, "text": "x"}))
    with pytest.raises(BadExampleError, match=r"metadata\.jsonl:1: .* is not a path inside"):
        open_corpus(tmp_path / "in")[0]


def test_bad_lines_and_images_are_named_and_others_stay_readable(tmp_path):
    rows = ["{", {"file_name": "a.png", "text": "A."}, {"text": "no name"}, {"file_name": "gone.jpg", "text": "x"}]
    rows += [{"file_name": "empty.jpg", "text": "x"}, {"file_name": "cut.jpg", "text": "x"}, {"file_name": "d.png"}]
    rows += [{"file_name": "folder.jpg", "text": "x"}]
    corpus = open_corpus(folder(tmp_path, rows))
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    Image.fromarray(np.zeros((50, 50, 3), np.uint8)).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-30])
    assert corpus[1][1] == Words("A.")
    said = {
        0: r"metadata\.jsonl:1: not a line of JSON",
        2: r"metadata\.jsonl:3: needs a string 'file_name'",
        3: r"metadata\.jsonl:4: cannot read the image .*gone\.jpg",
        4: r"metadata\.jsonl:5: .*empty\.jpg: no readable image",
        5: r"metadata\.jsonl:6: .*cut\.jpg: no readable image",
        6: r"metadata\.jsonl:7: needs a string 'caption'",
        7: r"metadata\.jsonl:8: cannot read the image .*folder\.jpg",
    }
    for index, message in said.items():
        with pytest.raises(BadExampleError, match=message):
            corpus[index]


@pytest.mark.parametrize("value", [True, 1.5, None, ["a"]])
def test_labels_that_are_none(tmp_path, value):
    rows = [{"file_name": "a.png", "label": "sea"}, {"file_name": "b.png", "label": value}]
    corpus = open_corpus(folder(tmp_path, rows))
    assert corpus.labels == ("sea",)
    with pytest.raises(BadExampleError, match=r"metadata\.jsonl:2: needs a string 'label'"):
        corpus[1]


def test_nothing_to_read_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no metadata\.jsonl in .*nowhere"):
        open_corpus(tmp_path / "nowhere")
    with pytest.raises(
        ValueError, match=r"none of the 0 lines of .*metadata\.jsonl has the fields question and answer"
    ):
        open_corpus(folder(tmp_path, []))
    with pytest.raises(ValueError, match="none of the 1 lines"):
        open_corpus(folder(tmp_path, [{"file_name": "a.png"}]))
