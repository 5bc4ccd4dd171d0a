import gzip
import io
import json
import pickle
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from generalist.corpora.corpus import BadExampleError
from generalist.corpora.text import PIECE_BYTES, _cuts, open_corpus
from generalist.tokenizers.parts import Words


def words(corpus) -> list[Words]:
    return [part for index in range(len(corpus)) for part in corpus[index]]


def texts(corpus) -> list[str]:
    """The texts put together again: a piece that is whole ends one."""
    found = [""]
    for each in words(corpus):
        found[-1] += each.text
        if each.whole:
            found.append("")
    assert found.pop() == ""
    return found


def write_lines(path, rows):
    lines = [json.dumps({"text": row}) if isinstance(row, str) else row.decode("latin-1") for row in rows]
    data = "\n".join(lines).encode("latin-1")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


LONG = st.builds(lambda parts, times: "".join(parts) * times, st.lists(st.text(), max_size=5), st.integers(1, 400))
ENCODABLE = st.text(st.characters(codec="utf-8")).flatmap(
    lambda text: st.integers(1, 300).map(lambda times: (text + " ") * times)
)


@given(st.lists(LONG, max_size=4))
@example(["é" * 2000, "漢" * 999, "😀" * 700, "\ud800" * 500, "a" * 1000, "a" * 1001])
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_texts_of_json_lines_come_back(tmp_path_factory, suffix, rows):
    path = write_lines(tmp_path_factory.mktemp("text") / f"a{suffix}", ["mark", *rows])
    corpus = open_corpus(path)
    assert texts(corpus) == ["mark", *(row for row in rows if row)]
    assert all(len(each.text.encode(errors="surrogatepass")) <= PIECE_BYTES for each in words(corpus))
    assert (corpus.measure, corpus.labels) == ("text", ())


@given(ENCODABLE)
@example("é" * 2000)
@example("a" + "😀" * 2000)
@example("x" * 1000)
@example("one\r\ntwo\r" * 300)
def test_the_text_of_a_file_comes_back(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("text") / "a.md"
    path.write_bytes(text.encode())
    assert texts(open_corpus(path)) == [text]


def test_pieces_end_after_white_space_in_their_last_quarter(tmp_path):
    (tmp_path / "a.txt").write_text("x" * 800 + " " + "y" * 500 + " " + "z" * 100)
    assert [each.text for each in words(open_corpus(tmp_path))] == ["x" * 800 + " ", "y" * 500 + " " + "z" * 100]
    (tmp_path / "a.txt").write_text("x" * 700 + " " + "y" * 500)
    assert [len(each.text) for each in words(open_corpus(tmp_path))] == [1000, 201]


def test_pieces_do_not_depend_on_how_a_file_is_read():
    data = ("wörd " * 200_000).encode()

    class Dribble(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 777))

    assert list(_cuts(io.BytesIO(data))) == list(_cuts(Dribble(data)))


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path):
    for name, text in {
        "b.txt": "b",
        "a/z.md": "z",
        "a/c.txt": "",
        "no.py": "no",
        "a.jsonl": '{"text": "line"}',
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert texts(open_corpus(str(tmp_path))) == ["z", "line", "b"]


def test_bytes_that_are_not_utf8_spoil_their_piece_only(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\n" * 400 + b"\xff" + b"two\n" * 400)
    corpus = open_corpus(tmp_path)
    assert len(corpus) == 4
    with pytest.raises(BadExampleError, match=r"a\.txt:401: byte 1600 is not UTF-8"):
        corpus[1]
    assert corpus[0][0].text == "one\n" * 250
    assert corpus[3][0].whole


def test_a_file_of_nothing_but_continuation_bytes_is_refused_piece_by_piece(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\x80" * 2500)
    corpus = open_corpus(tmp_path)
    assert len(corpus) == 3
    for index in range(3):
        with pytest.raises(BadExampleError, match=r"a\.txt:1"):
            corpus[index]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_bad_lines_are_named_and_others_stay_readable(tmp_path, suffix):
    rows = ["good", b'{"text": "cut', b'{"text": 3}', b'{"body": "x"}', b"[1]", b"", b'{"text": "\xff"}', b"[" * 9999]
    path = write_lines(tmp_path / f"a{suffix}", [*rows, "fine"])
    corpus = open_corpus(path)
    assert len(corpus) == 8
    assert corpus[0] == (Words("good"),)
    assert corpus[7] == (Words("fine"),)
    said = {
        1: "2: not a line of JSON",
        2: "3: needs a string 'text', got int",
        3: "4: needs a string 'text', got the fields body",
        4: "5: a line must be a JSON object, got list",
        5: "7: byte 10 of the line is not UTF-8",
        6: "8: not a line of JSON",
    }
    for index, message in said.items():
        with pytest.raises(BadExampleError, match=f"a{suffix}:{message}"):
            corpus[index]


def test_a_mark_at_the_beginning_of_json_lines_is_no_text(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "x"}\n{"text": "\xed\xa0\x80"}')
    corpus = open_corpus(tmp_path)
    assert corpus[0] == (Words("x"),)
    with pytest.raises(BadExampleError, match=r"a\.jsonl:2: byte 10 of the line is not UTF-8"):
        corpus[1]


def test_nothing_to_read_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_corpus(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no text in .*: 0 files"):
        open_corpus(tmp_path)
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.jsonl").write_text('\n{"text": ""}\n')
    with pytest.raises(ValueError, match=r"no text in .*: 2 files .*, all empty"):
        open_corpus(tmp_path)
    (tmp_path / "c.pdf").touch()
    with pytest.raises(ValueError, match=r"c\.pdf is none of \.txt, \.md"):
        open_corpus(tmp_path / "c.pdf")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: b"no gzip", lambda data: data[:20] + b"\0" * 9]
)
def test_a_damaged_gz_is_refused_by_name(tmp_path, damage):
    path = write_lines(tmp_path / "a.jsonl.gz", [str(number) * 9 for number in range(99)])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"a\.jsonl\.gz is damaged"):
        open_corpus(path)


def test_a_gz_of_many_blocks_is_read_at_any_place(tmp_path):
    rows = [f"{number} " * 300 for number in range(3000)]
    corpus = open_corpus(write_lines(tmp_path / "a.jsonl.gz", rows))
    assert len(corpus.sources[0].blocks) > 10
    assert texts(corpus) == rows
    last = corpus[len(corpus) - 1]
    assert pickle.loads(pickle.dumps(corpus))[len(corpus) - 1] == last
    assert rows[-1].endswith(last[0].text)


def test_a_huge_line_is_split_and_memory_stays_flat(tmp_path):
    with (tmp_path / "a.txt").open("w") as file:
        for _ in range(50):
            file.write("word " * 200_000)
    tracemalloc.start()
    corpus = open_corpus(tmp_path)
    pieces = [corpus[index][0] for index in (0, 25_000, len(corpus) - 1)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(corpus) == 50_000
    assert peak < 8e6
    assert [(each.text, each.whole) for each in pieces] == [("word " * 200, whole) for whole in (False, False, True)]
