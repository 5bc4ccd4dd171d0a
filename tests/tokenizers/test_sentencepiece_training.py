import io
import os
import random
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from generalist.tokenizers.sentencepiece_training import LONGEST, train_sentencepiece
from generalist.tokenizers.text import SentencePieceTokenizer

sentencepiece = pytest.importorskip("sentencepiece")

TEXTS = ["go to the red ball", "open  the blue door\n\tthen pick up a green key", "où est la clé ?"] * 20


def words(count=3000, seed=0):
    draw = random.Random(seed)
    known = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 9))) for _ in range(800)]
    return [" ".join(draw.choices(known, k=12)) for _ in range(count // 12)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return SentencePieceTokenizer.load(
        train_sentencepiece(TEXTS, tmp_path_factory.mktemp("model") / "small.model", 320, threads=1)
    )


@given(st.text())
@example("  two  spaces ")
@example("\u2581")
@example("a\u2581 \u2581\u2581")
@example("\ue000\ue000a\u2581\ue000b\u2581")
@example("\n\r\n\t\0")
@example("<s></s><unk><0x41>")
@example("ﬁ Ⅳ \u00a0\u3000e\u0301 \u2047 \ufeff\ufffd")
def test_every_text_comes_back(tokenizer, text):
    clean = "".join("\ufffd" if 0xD800 <= ord(char) <= 0xDFFF else char for char in text)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == clean
    assert ((ids >= 0) & (ids < 320)).all()


@given(st.text(alphabet=" \u2581\ue000ab\n"))
def test_characters_of_the_rules_come_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.lists(st.integers(0, 319), max_size=20))
def test_any_ids_decode(tokenizer, ids):
    assert isinstance(tokenizer.decode(ids), str)


def test_pieces_are_learned(tokenizer):
    assert tokenizer.size == 320
    assert len(tokenizer.encode("go to the red ball")) < 9
    assert len(tokenizer.encode("\n\t")) == 2


def test_phrases_are_learned_across_words_up_to_their_length(tmp_path):
    texts = ["go to the red ball", "go to the blue key", "pick up the blue ball"] * 20
    model = SentencePieceTokenizer.load(train_sentencepiece(texts, tmp_path / "phrases.model", 300, phrases=9))
    pieces = [model.decode([each]) for each in range(256, model.size)]
    assert any(" " in each[1:-1] for each in pieces), "across words"
    assert all(len(each) <= 9 for each in pieces)
    assert len(model.encode(texts[0])) < len(texts[0].split())
    assert model.decode(model.encode(" go  to\tthe ball ")) == " go  to\tthe ball "
    with pytest.raises(ValueError, match="phrases of 4 to 512 characters are learned, got 3"):
        train_sentencepiece(texts, tmp_path / "none.model", 300, phrases=3)


def test_the_same_text_gives_the_same_model(tmp_path):
    models = [train_sentencepiece(words(), tmp_path / f"{n}.model", 600, threads=n + 1).read_bytes() for n in range(2)]
    assert models[0] == models[1]
    some = [train_sentencepiece(words(), tmp_path / f"{n}.model", 400, sentences=150).read_bytes() for n in range(2)]
    every_line = train_sentencepiece(words(), tmp_path / "all.model", 400).read_bytes()
    assert some[0] == some[1] != every_line


def test_texts_are_read_as_they_come_and_once(tmp_path):
    seen = []

    def stream():
        for text in TEXTS:
            seen.append(text)
            yield text

    train_sentencepiece(stream(), tmp_path / "a.model", 320)
    assert seen == TEXTS


def test_lines_with_tabs_and_long_lines_are_learned_from(tmp_path):
    long = "red\tball " + "tele graph " * LONGEST + "zip zap " * LONGEST
    tokenizer = SentencePieceTokenizer.load(train_sentencepiece([long], tmp_path / "a.model", 285))
    assert len(tokenizer.encode("graph")) <= 2
    assert len(tokenizer.encode("zip zap")) <= 3
    with_tab = SentencePieceTokenizer.load(train_sentencepiece(["telegraph\tx"] * 9, tmp_path / "a.model", 275))
    assert len(with_tab.encode("telegraph")) <= 2


def test_too_little_text_names_the_largest_size(tmp_path):
    with pytest.raises(ValueError, match=r"too little for 5000 pieces; .* a size of at most (\d+)") as caught:
        train_sentencepiece(TEXTS, tmp_path / "a.model", 5000)
    most = int(str(caught.value).rsplit(" ", 1)[1])
    train_sentencepiece(TEXTS, tmp_path / "a.model", most)
    with pytest.raises(ValueError, match=f"at most {most}"):
        train_sentencepiece(TEXTS, tmp_path / "a.model", most + 1)


def test_too_few_pieces_names_the_smallest_size(tmp_path):
    with pytest.raises(ValueError, match=r"265 pieces do not hold .* at least (\d+)") as caught:
        train_sentencepiece(TEXTS, tmp_path / "a.model", 265)
    train_sentencepiece(TEXTS, tmp_path / "a.model", int(str(caught.value).rsplit(" ", 1)[1]))


def test_sizes_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 260 pieces and 1 sentence, got 259 and 5000000"):
        train_sentencepiece(TEXTS, tmp_path / "a.model", 259)
    with pytest.raises(ValueError, match="got 300 and 0"):
        train_sentencepiece(TEXTS, tmp_path / "a.model", 300, sentences=0)


@pytest.mark.parametrize("texts", [[], [""], ["\n\n", "\t"]])
def test_no_text_is_refused(tmp_path, texts):
    with pytest.raises(ValueError, match="no text to train a tokenizer on"):
        train_sentencepiece(texts, tmp_path / "a.model", 300)


@pytest.mark.parametrize("error", [ValueError("line 3 is bad"), OSError("gone"), KeyboardInterrupt()])
def test_an_error_of_the_texts_arrives_and_nothing_is_written(tmp_path, error):
    def stream():
        yield from TEXTS
        raise error

    (tmp_path / "a.model").write_bytes(b"older")
    with pytest.raises(type(error)) as caught:
        train_sentencepiece(stream(), tmp_path / "a.model", 320)
    assert caught.value is error
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a.model", b"older")]


def test_a_model_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("no space")

    (tmp_path / "a.model").write_bytes(b"older")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        train_sentencepiece(TEXTS, tmp_path / "a.model", 320)
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a.model", b"older")]


def test_a_folder_that_is_not_there_is_refused_before_training(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        train_sentencepiece(iter(lambda: pytest.fail("read"), None), tmp_path / "nowhere" / "a.model")


def test_a_missing_extra_names_its_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "generalist\[sentencepiece\]"'):
        train_sentencepiece(TEXTS, tmp_path / "a.model")


def test_sentencepiece_itself_reads_the_model(tokenizer):
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(tokenizer.model)
    assert processor.IdToPiece(3) == "<0x00>"
    assert io.BytesIO(tokenizer.model).read() == processor.serialized_model_proto()


def test_another_process_gives_the_same_model(tmp_path):
    code = "import sys; from generalist.tokenizers.sentencepiece_training import train_sentencepiece as train\n"
    code += "train([f'{n} {n * n} green' for n in range(900)], sys.argv[1], 300, sentences=150)"
    for name in ("a", "b"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
