import io
import json
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from generalist.corpora.corpus import BadExampleError
from generalist.corpora.webdataset import index_shard, open_corpus, shards
from generalist.tokenizers.parts import Words


def picture(value: int, form="PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 5), value, np.uint8)).save(file, form)
    return file.getvalue()


def write(path, members, form=tarfile.PAX_FORMAT):
    """A shard; members are (name, bytes) or ready TarInfo objects."""
    with tarfile.open(path, "w", format=form) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return path


def captioned(count, first=0):
    rows = range(first, first + count)
    return [each for n in rows for each in ((f"{n:03d}.png", picture(n)), (f"{n:03d}.txt", f"number {n}".encode()))]


def said(corpus):
    return [(int(d[0].pixels[0, 0, 0]), *(w.text for w in d[1:])) for d in (corpus[i] for i in range(len(corpus)))]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_captions(tmp_path, form):
    long = "folder/" * 30 + "x"
    members = [*captioned(3), (f"{long}.jpeg", picture(9, "JPEG")), (f"{long}.txt", "é".encode())]
    corpus = open_corpus(str(write(tmp_path / "a.tar", members[: 6 if form == tarfile.USTAR_FORMAT else 8], form)))
    assert (corpus.measure, corpus.labels) == ("caption", ())
    assert said(corpus)[:3] == [(0, "number 0"), (1, "number 1"), (2, "number 2")]
    assert said(corpus)[3:] == ([] if form == tarfile.USTAR_FORMAT else [(9, "é")])
    assert said(pickle.loads(pickle.dumps(corpus))) == said(corpus)


def test_fields_of_json_and_labels(tmp_path):
    asks = json.dumps({"question": "How many?", "answer": "2"}).encode()
    corpus = open_corpus(write(tmp_path / "a.tar", [("a.png", picture(1)), ("a.json", asks)]))
    assert corpus.measure == "answer"
    assert corpus[0][1:] == (Words("How many?", target=False), Words("2"))
    members = [
        ("a.png", picture(1)),
        ("a.cls", b"7\n"),
        ("b.webp", picture(2, "WEBP")),
        ("b.json", b'{"label": "sea"}'),
    ]
    corpus = open_corpus(write(tmp_path / "b.tar", members))
    assert (corpus.measure, corpus.labels) == ("label", ("7", "sea"))
    assert [words for _, words in said(corpus)] == ["7", "sea"]


def test_names_end_at_the_first_dot_of_their_last_part(tmp_path):
    members = [("v1.0/a.png", picture(1)), ("v1.0/a.seg.png", picture(99)), ("v1.0/a.TXT", b"one")]
    members += [
        ("v2.0/a.txt", b"two"),
        ("v1.0/b.txt", b"three"),
        ("v1.0/b.png", picture(3)),
        ("v2.0/a.png", picture(2)),
    ]
    assert said(open_corpus(write(tmp_path / "a.tar", members))) == [(1, "one"), (2, "two"), (3, "three")]


def test_links_pickles_and_other_members_are_ignored(tmp_path, monkeypatch):
    link, hard, folder = tarfile.TarInfo("000.jpg"), tarfile.TarInfo("x.txt"), tarfile.TarInfo("y.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard.type, hard.linkname = tarfile.LNKTYPE, "000.txt"
    folder.type = tarfile.DIRTYPE
    monkeypatch.setattr(pickle, "loads", lambda data: pytest.fail("unpickled"))
    others = [("000.pyd", b"cos\nsystem\n(S'false'\ntR."), ("000.pkl", b""), ("README", b"hello"), ("../evil.sh", b"x")]
    path = write(tmp_path / "a.tar", [link, hard, folder, *others, *captioned(1)])
    assert said(open_corpus(path)) == [(0, "number 0")]
    assert [each.name for each in tmp_path.iterdir()] == ["a.tar"]


def test_of_one_name_the_later_counts(tmp_path):
    members = [*captioned(1), ("000.txt", b"newer")]
    assert said(open_corpus(write(tmp_path / "a.tar", members))) == [(0, "newer")]


def test_braces_and_wildcards(tmp_path):
    for number in range(12):
        write(tmp_path / f"s-{number:03d}.tar", captioned(1, number))
    assert [each.name for each in shards(f"{tmp_path}/s-{{009..011}}.tar")] == ["s-009.tar", "s-010.tar", "s-011.tar"]
    assert [each.name for each in shards(f"{tmp_path}/s-0{{0..1}}{{0..1}}.tar")] == [
        f"s-0{n}.tar" for n in ("00", "01", "10", "11")
    ]
    assert len(shards(f"{tmp_path}/s-*.tar")) == 12
    assert said(open_corpus(f"{tmp_path}/s-{{003..005}}.tar")) == [(n, f"number {n}") for n in (3, 4, 5)]
    write(tmp_path / "odd[1].tar", captioned(1))
    assert len(open_corpus(tmp_path / "odd[1].tar")) == 1


@pytest.mark.parametrize("name", ["gone.tar", "gone-*.tar", "s-{000..001}.tar", "s-{5..0}.tar"])
def test_a_shard_that_is_not_there(tmp_path, name):
    write(tmp_path / "s-000.tar", captioned(1))
    with pytest.raises(FileNotFoundError, match=r"gone|s-001\.tar|counts backwards"):
        open_corpus(f"{tmp_path}/{name}")


def cuts():
    """Places at which a shard of three samples is cut, and how many samples stand before them whole."""
    return [(550, 0), (1024, 0), (1536, 0), (1543, 0), (1544, 1), (2048, 1), (2100, 1), (4500, 2), (6143, 3), (6144, 3)]


@pytest.mark.parametrize(("at", "samples"), cuts())
def test_a_shard_that_is_cut_off(tmp_path, at, samples):
    path = write(tmp_path / "a.tar", captioned(3), tarfile.USTAR_FORMAT)  # 512 + 512 bytes a member
    path.write_bytes(path.read_bytes()[:at])
    found, complaint = index_shard(path)
    assert complaint
    assert len(found) == samples
    assert all(each.read(each.image) for each in found)
    with pytest.raises(ValueError, match=rf"a\.tar is damaged .* after {samples} samples"):
        open_corpus(path)


def test_an_image_that_is_cut_off_is_not_kept(tmp_path):
    members = [member for pair in zip(captioned(3)[1::2], captioned(3)[::2], strict=True) for member in pair]
    path = write(tmp_path / "a.tar", members, tarfile.USTAR_FORMAT)
    path.write_bytes(path.read_bytes()[: 2 * 2048 + 1536 + 20])
    assert said(open_corpus(path, damaged="keep")) == [(0, "number 0"), (1, "number 1")]


def test_what_stands_before_the_damage_is_readable(tmp_path):
    path = write(tmp_path / "a.tar", captioned(5), tarfile.USTAR_FORMAT)
    whole = path.read_bytes()
    for damaged in (whole[: 3 * 2048 + 700], whole[: 3 * 2048] + b"\xaa" * 512 + whole[3 * 2048 + 512 :]):
        path.write_bytes(damaged)
        corpus = open_corpus(path, damaged="keep")
        assert said(corpus)[:3] == [(n, f"number {n}") for n in range(3)]
        assert len(corpus) == 3
        with pytest.raises(ValueError, match=r"a\.tar is damaged"):
            open_corpus(path)
    with pytest.raises(ValueError, match="damaged must be refuse or keep"):
        open_corpus(path, damaged="yes")


@pytest.mark.parametrize("data", [b"", b"no tar", b"\xff" * 2000, bytes(100)])
def test_what_is_no_tar_is_refused(tmp_path, data):
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.tar"):
        open_corpus(tmp_path / "a.tar")


def test_bad_members_are_named_and_others_stay_readable(tmp_path):
    members = [("a.png", picture(1)), ("b.txt", b"b"), ("c.png", picture(3)[:40]), ("c.txt", b"c"), ("d.png", b"")]
    members += [("d.txt", b"d"), ("e.png", picture(5)), ("e.txt", b"\xff"), ("f.png", picture(6)), ("f.json", b"{")]
    members += [("g.png", picture(7)), ("g.json", b'{"label": 3}')]
    corpus = open_corpus(write(tmp_path / "s.tar", [*members, *captioned(1)]))
    assert corpus.measure == "caption"
    assert corpus[7][1] == Words("number 0")
    expected = [
        r"s\.tar:a: no \.txt, \.json, \.cls goes with the image",
        r"s\.tar:b: no \.jpg, \.jpeg, \.png, \.webp goes with the text",
        r"s\.tar:c\.png: no readable image",
        r"s\.tar:d\.png: no readable image",
        r"s\.tar:e\.txt: byte 0 is not UTF-8",
        r"s\.tar:f\.json: not a line of JSON",
        r"s\.tar:g: needs a string 'caption'",
    ]
    for index, message in enumerate(expected):
        with pytest.raises(BadExampleError, match=message):
            corpus[index]


def test_nothing_to_read_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no samples in"):
        open_corpus(write(tmp_path / "a.tar", [("README", b"hello")]))
    with pytest.raises(ValueError, match=r"no sample of .* says what to answer"):
        open_corpus(write(tmp_path / "a.tar", [("a.png", picture(1)), ("a.json", b'{"width": 3}')]))


def test_opening_reads_headers_only(tmp_path, monkeypatch):
    big = [("big.png", bytes(30_000_000)), ("big.txt", b"big")]
    path = write(tmp_path / "a.tar", [*captioned(1), *big, *captioned(1, 1)])
    import tracemalloc

    tracemalloc.start()
    corpus = open_corpus(path)
    assert corpus[2][1] == Words("number 1")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6
