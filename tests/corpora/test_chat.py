import json

import pytest
from PIL import Image

from generalist.corpora.chat import open_corpus
from generalist.corpora.corpus import BadExampleError
from generalist.tokenizers.parts import Picture, Speaker, Words


def write(path, *rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps({"messages": row}) for row in rows))
    return path


def said(role, content):
    return {"role": role, "content": content}


TALK = [said("system", "Be kind."), said("user", "Hi"), said("assistant", "Hello!")]


def test_a_dialogue(tmp_path):
    corpus = open_corpus(str(write(tmp_path / "a.jsonl", TALK, TALK[1:])))
    assert (len(corpus), corpus.measure, corpus.labels) == (2, "dialogue", ())
    hi, hello = Words("Hi", target=False), Words("Hello!")
    assert corpus[1] == (Speaker("user"), hi, Speaker("assistant"), hello)
    assert corpus[0] == (Speaker("system"), Words("Be kind.", target=False), *corpus[1])


def test_everyone_can_be_the_target(tmp_path):
    corpus = open_corpus(write(tmp_path / "a.jsonl", TALK), targets="all")
    assert [part.target for part in corpus[0] if isinstance(part, Words)] == [True, True, True]
    with pytest.raises(ValueError, match="targets must be assistant or all, got 'user'"):
        open_corpus(tmp_path / "a.jsonl", targets="user")


def test_content_of_parts_ends_once_and_finds_its_pictures(tmp_path):
    (tmp_path / "pics").mkdir()
    Image.new("RGB", (3, 2)).save(tmp_path / "pics" / "a.png")
    parts = [{"type": "text", "text": "Look: "}, {"type": "image", "path": "pics/a.png"}, {"type": "text", "text": "!"}]
    document = open_corpus(write(tmp_path / "a.jsonl", [said("user", parts), *TALK[2:]]))[0]
    assert document[1] == Words("Look: ", target=False, whole=False)
    assert isinstance(document[2], Picture)
    assert document[2].pixels.shape == (2, 3, 3)
    assert document[3] == Words("!", target=False)


def test_a_folder_is_read_in_the_order_of_names(tmp_path):
    write(tmp_path / "b.jsonl", [said("assistant", "b")])
    write(tmp_path / "a.jsonl", [said("assistant", "a1")], "", [said("assistant", "a2")])
    corpus = open_corpus(tmp_path)
    assert [corpus[index][1].text for index in range(len(corpus))] == ["a1", "a2", "b"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "not a line of JSON"),
        ('{"talk": []}', "needs a list of messages that is not empty, got None"),
        ([], "needs a list of messages that is not empty"),
        (["Hi"], "a message must be an object with role and content"),
        ([said("human", "Hi")], "one of system, user, assistant, got 'human'"),
        ([said(["user"], "Hi")], "one of system, user, assistant"),
        ([said("assistant", None)], "content must be a string or a list"),
        ([said("assistant", [])], "content must be a string or a list"),
        ([said("assistant", [{"type": "text"}])], "needs a string 'text'"),
        ([said("assistant", ["x"])], "has the type text or image"),
        ([said("assistant", [{"type": "audio"}])], "has the type text or image"),
        ([said("assistant", [{"type": "image", "path": "../a.png"}])], "is not a path inside"),
        ([said("assistant", [{"type": "image", "path": "gone.png"}])], r"cannot read the image .*gone\.png"),
        ([said("user", "Hi")], "no message is the assistant's"),
    ],
)
def test_bad_lines_are_named_and_others_stay_readable(tmp_path, row, message):
    corpus = open_corpus(write(tmp_path / "a.jsonl", TALK, "", row, TALK))
    assert corpus[2] == corpus[0]
    with pytest.raises(BadExampleError, match=rf"a\.jsonl:3: .*{message}"):
        corpus[1]


def test_bytes_that_are_not_utf8_are_named(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"messages": "\xe9"}\n')
    with pytest.raises(BadExampleError, match=r"a\.jsonl:1: byte 14 of the line is not UTF-8"):
        open_corpus(tmp_path)[0]


def test_nothing_to_read_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_corpus(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no dialogue in"):
        open_corpus(tmp_path)
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(ValueError, match="no dialogue in"):
        open_corpus(tmp_path)
