"""Files of corpora as people have them: hidden ones, capitals, .gz, and what grows without end when it is unpacked."""

import gzip
import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from generalist.corpora import chat, files, image_folder, json_lines, text, webdataset
from generalist.corpora.corpus import BadExampleError, every_so_manieth, note_of


def texts(corpus) -> list[str]:
    return [corpus[index][-1].text for index in range(len(corpus))]


def png(size=(6, 5)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((*size, 3), 9, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def tar(path, *members, mode="w"):
    with tarfile.open(path, mode) as out:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def dialogue(answer: str) -> str:
    return json.dumps({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]})


def test_hidden_files_of_a_folder_are_passed_over_and_counted(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "._a.txt").write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "notes.md").write_text("not mine")
    (tmp_path / ".DS_Store").write_bytes(b"\x00\xff")
    corpus = text.open_corpus(tmp_path)
    assert texts(corpus) == ["one"]
    assert "2 hidden files passed over" in corpus.note
    assert note_of(every_so_manieth(corpus, "train")) == corpus.note
    assert texts(text.open_corpus(tmp_path / ".git" / "notes.md")) == ["not mine"], "a file that was named counts"


def test_suffixes_in_capitals_and_packed_lines_count(tmp_path):
    (tmp_path / "A.TXT").write_text("one")
    (tmp_path / "B.JSONL").write_text('{"text": "two"}\n')
    with gzip.open(tmp_path / "c.jsonl.GZ", "wt") as out:
        out.write('{"text": "three"}\n')
    assert texts(text.open_corpus(tmp_path)) == ["one", "two", "three"]


def test_packed_dialogues_and_captions_are_read_as_plain_ones(tmp_path):
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as out:
        out.write(dialogue("one") + "\n\n" + dialogue("two") + "\n")
    (tmp_path / "B.JSONL").write_text(dialogue("three"))
    (tmp_path / "._a.jsonl").write_bytes(b"\x00\x01")
    corpus = chat.open_corpus(tmp_path)
    assert sorted(texts(corpus)) == ["one", "three", "two"]
    assert "1 hidden files" in corpus.note
    (tmp_path / "P.JPG").write_bytes(png())
    with gzip.open(tmp_path / "metadata.jsonl.gz", "wt") as out:
        out.write('{"file_name": "P.JPG", "text": "grey"}\n')
    assert texts(image_folder.open_corpus(tmp_path)) == ["grey"]


def test_a_line_without_end_costs_itself_only(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "MOST_LINE", 100)
    monkeypatch.setattr(text, "MOST_LINE", 100)
    lines = ['{"text": "one"}', '{"text": "' + "x" * 350 + '"}', '{"text": "three"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    corpus = text.open_corpus(tmp_path / "a.jsonl")
    assert [corpus[0][0].text, corpus[2][0].text] == ["one", "three"]
    with pytest.raises(BadExampleError, match=r"a\.jsonl:2: the line has more than 100 bytes"):
        corpus[1]
    numbered = json_lines.JsonLines(tmp_path / "a.jsonl")
    assert [len(numbered), numbered[2]["text"], numbered.where(2)] == [3, "three", f"{tmp_path / 'a.jsonl'}:3"]
    with pytest.raises(BadExampleError, match="more than 100 bytes"):
        numbered[1]


def test_what_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_UNPACKED", 1 << 20)
    with gzip.open(tmp_path / "bomb.jsonl.gz", "wb") as out:
        for _ in range(40):
            out.write(bytes(1 << 20))
    with pytest.raises(ValueError, match=r"bomb\.jsonl\.gz unpacks to more than 4,\d+,\d+ bytes, 100 times its size"):
        text.open_corpus(tmp_path)


@pytest.mark.parametrize("value", ["[" * 100_000, '{"text": ' + "9" * 5000 + "}"])
def test_json_that_python_cannot_hold_names_its_line(tmp_path, value):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n' + value)
    with pytest.raises(BadExampleError, match=r"a\.jsonl:2: "):
        text.open_corpus(tmp_path / "a.jsonl")[1]


def test_a_key_with_more_dots_is_no_lost_sample(tmp_path):
    shard = tar(
        tmp_path / "S.TAR",
        ("._0001.png", b"\x00\x05"),
        ("0001.png", png()),
        ("0001.txt", b"one\r\n"),
        ("0001.depth.png", png()),
        ("run.2_0007.PNG", png()),
        ("run.2_0007.TXT", b"two"),
    )
    corpus = webdataset.open_corpus(shard)
    assert texts(corpus) == ["one", "two"]
    assert "1 hidden files" in corpus.note
    assert "1 members whose names have more dots" in corpus.note


@pytest.mark.parametrize(("mode", "tool"), [("w:gz", "gunzip"), ("w:bz2", "bunzip2"), ("w:xz", "unxz")])
def test_a_compressed_shard_says_how_to_unpack_it(tmp_path, mode, tool):
    shard = tar(tmp_path / "a.tar.x", ("1.png", png()), ("1.txt", b"x"), mode=mode)
    with pytest.raises(ValueError, match=rf"a\.tar\.x is compressed.* unpack it: {tool} .*a\.tar\.x"):
        webdataset.open_corpus(shard)


def test_a_member_too_large_to_be_a_picture_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(webdataset, "MOST_MEMBER", 1000)
    shard = tar(tmp_path / "a.tar", ("1.png", bytes(2000)), ("1.txt", b"x"), ("2.png", png()), ("2.txt", b"y"))
    corpus = webdataset.open_corpus(shard)
    assert corpus[1][1].text == "y"
    with pytest.raises(BadExampleError, match=r"1\.png: 2,000 bytes are more than 1,000"):
        corpus[0]
