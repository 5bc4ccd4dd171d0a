import difflib
import os
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generalist.corpora import docstrings as module
from generalist.corpora.docstrings import PIECE, SHORTEST, docstrings, is_test, open_corpus, pieces
from generalist.corpora.open import open_corpus as open_by_name
from generalist.tokenizers.parts import Words

STDLIB = Path(sysconfig.get_paths()["stdlib"])
LONG = "A text that is long enough to be kept, because it has more than eighty characters in all."
WORDS = st.text(alphabet="ab \n\té字", max_size=300)


@given(WORDS, st.integers(4, 60))
def test_pieces_fit_and_join_back(text, limit):
    found = pieces(text, limit)
    assert "".join(found) == text
    assert max(len(piece.encode()) for piece in found) <= limit
    assert len(found) == 1 or all(found)


def test_pieces_end_at_a_paragraph_else_at_whitespace_else_anywhere():
    assert pieces("one two\n\nthree four", 12) == ["one two\n\n", "three four"]
    assert pieces("a\n\ntwo three four", 12) == [
        "a\n\ntwo ",
        "three four",
    ]  # a paragraph of the first half is too short
    assert pieces("éééé", 5) == ["éé", "éé"]


def test_documents_of_a_long_docstring_join_back_and_only_the_last_is_whole():
    for split in ("train", "test"):
        corpus = open_by_name("docstrings", split)
        texts, parts = [], []
        for index in range(len(corpus)):
            (words,) = corpus[index]
            assert words.target
            assert 0 < len(words.text.encode()) <= PIECE
            parts.append(words.text)
            if words.whole:
                texts.append("".join(parts))
                parts = []
        assert not parts
        assert texts == [text for name, text in docstrings(STDLIB) if is_test(name) == (split == "test")]
        assert min(map(len, texts)) >= SHORTEST


def test_the_standard_library_has_a_megabyte_of_distinct_texts_and_a_share_of_them_is_test():
    found = docstrings(STDLIB)
    assert len({text for _, text in found}) == len(found)
    size = {split: sum(len(text.encode()) for name, text in found if is_test(name) == split) for split in (True, False)}
    assert size[False] > 1_000_000
    assert 0.01 < size[True] / size[False] < 0.15
    names = {name for name, _ in found}
    assert {"difflib", "email.message", "json"} <= names
    assert not [name for name in names if {"test", "site-packages", "idlelib"} & set(name.split("."))]


def test_the_texts_are_those_that_python_shows():
    texts = {text for name, text in docstrings(STDLIB) if name == "difflib"}
    assert difflib.__doc__.strip() in texts
    assert difflib.SequenceMatcher.__doc__.strip().splitlines()[0] in {text.splitlines()[0] for text in texts}


def test_a_module_is_in_one_split_by_the_hash_of_its_name():
    modules = {name for name, _ in docstrings(STDLIB)}
    assert {name for name in modules if is_test(name)} >= {"enum", "tarfile", "tempfile"}
    assert not is_test("difflib")


def test_nothing_is_run_and_what_is_not_of_the_library_is_left_out(tmp_path):
    files = {
        "b.py": f'"""{LONG}"""\nraise SystemExit\nclass C:\n    """Short."""\n    async def f():\n        """{LONG} f\n'
        '        indented."""\n',
        "a.py": f'"""{LONG}"""\n',
        "package/__init__.py": f'"{LONG} \\d \\ud800"\n',  # a bad escape, of which the parser warns; a lone surrogate
        "test/t.py": f'"""{LONG} t"""\n',
        "package/tests/t.py": f'"""{LONG} t"""\n',
        "site-packages/s.py": f'"""{LONG} s"""\n',
        "not-a-name/s.py": f'"""{LONG} s"""\n',
        "broken.py": f'"""{LONG} broken"""\nprint "2"\n',
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert docstrings(tmp_path) == (("a", LONG), ("b", f"{LONG} f\nindented."), ("package", f"{LONG} \\d ?"))


def test_the_order_is_that_of_names_not_of_the_file_system(tmp_path, monkeypatch):
    for name in "bca":
        (tmp_path / f"{name}.py").write_text(f'"""{LONG} {name}"""')
    real = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: sorted(real(self, pattern), reverse=True))
    assert [name for name, _ in docstrings(tmp_path)] == ["a", "b", "c"]


def test_a_library_without_source_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no docstring in {tmp_path}".replace(os.sep, ".")):
        docstrings(tmp_path)


def test_it_is_text_with_two_splits(monkeypatch):
    corpus = open_corpus("docstrings", "train")
    assert (corpus.measure, corpus.labels) == ("text", ())
    monkeypatch.setattr(module, "_documents", lambda split: ((Words("one"),),))
    assert corpus[0] == (Words("one"),)
    with pytest.raises(ValueError, match="docstrings has the splits train and test, not heldout"):
        open_corpus("docstrings", "heldout")
