import io
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from generalist.tokenizers.space import leaves
from generalist.tokenizers.text import SHIPPED, ByteTokenizer, SentencePieceTokenizer, TextField, encode_texts
from generalist.tokenizers.vocabulary import Vocabulary


def field(space, text=None):
    text = text or ByteTokenizer()
    return TextField(leaves(space, "action")[0], text, Vocabulary(text_size=text.size))


@pytest.fixture(scope="module")
def pieces():
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(["go to the red ball", "open the blue door", "pick up a green key"] * 20),
        model_writer=model,
        vocab_size=60,
        model_type="bpe",
        minloglevel=2,
    )
    return model.getvalue()


def test_golden_bytes():
    ids = ByteTokenizer().encode("go é")
    assert ids.dtype == np.int32
    assert ids.tolist() == [103, 111, 32, 195, 169]


@given(st.text())
def test_bytes_round_trip(string):
    tokenizer = ByteTokenizer()
    ids = tokenizer.encode(string)
    assert ((ids >= 0) & (ids < tokenizer.size)).all()
    clean = "".join("\ufffd" if 0xD800 <= ord(char) <= 0xDFFF else char for char in string)
    assert tokenizer.decode(ids) == clean


def test_lone_surrogate_becomes_the_replacement_character():
    assert ByteTokenizer().decode(ByteTokenizer().encode("a\ud800b")) == "a\ufffdb"


def test_bytes_that_are_not_utf8_decode():
    assert ByteTokenizer().decode([0xFF, 97]) == "\ufffda"


def test_texts_are_encoded_and_checked():
    rows = encode_texts(["abc", "a"], ByteTokenizer(), "observation/mission")
    assert [row.tolist() for row in rows] == [[97, 98, 99], [97]]
    with pytest.raises(ValueError, match="observation/mission: text must be str, got bytes"):
        encode_texts([b"abc"], ByteTokenizer(), "observation/mission")


def test_sentencepiece(pieces, tmp_path):
    path = tmp_path / "small.model"
    path.write_bytes(pieces)
    tokenizer = SentencePieceTokenizer.load(path)
    path.unlink()
    ids = tokenizer.encode("open the red door")
    assert ids.dtype == np.int32
    assert len(ids) < len("open the red door")
    assert ids.max() < tokenizer.size == 60
    assert tokenizer.decode(ids) == "open the red door"
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again == tokenizer
    assert again.version == tokenizer.version
    assert again.encode("the key").tolist() == tokenizer.encode("the key").tolist()
    assert (tokenizer.encode("a\ud800") < 60).all()


MISSION = "pick up the yellow key and go to the purple door after you put the grey ball next to the green box"


def test_the_model_of_missions_has_a_piece_for_every_phrase_and_loses_nothing():
    pytest.importorskip("sentencepiece")
    tokenizer = SentencePieceTokenizer.load("missions")
    assert [tokenizer.decode([each]) for each in tokenizer.encode(MISSION)] == [
        *("pick up the", " yellow key", " and", " go to the", " purple door", " after you"),
        *(" put the", " grey ball", " next to the", " green box"),
    ]
    for text in (MISSION, "", "  Zwölf ▁ Boxkämpfer", "open the red door, then go to a blue ball"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.size == 512
    with pytest.raises(ValueError, match=r"no SentencePiece model at mission; .*, or missions"):
        SentencePieceTokenizer.load("mission")


@pytest.mark.rare
def test_the_model_of_missions_is_made_by_its_script(tmp_path):
    pytest.importorskip("sentencepiece")
    pytest.importorskip("minigrid")
    root = Path(__file__).parents[2]
    made = tmp_path / "made.model"
    subprocess.run([sys.executable, root / "docs/make_missions.py", made], check=True)
    assert made.read_bytes() == SHIPPED["missions"].read_bytes()


def test_bad_sentencepiece_files_are_refused(tmp_path):
    pytest.importorskip("sentencepiece")
    with pytest.raises(ValueError, match="no SentencePiece model at"):
        SentencePieceTokenizer.load(tmp_path / "none.model")
    with pytest.raises(ValueError, match="not a SentencePiece model"):
        SentencePieceTokenizer(b"not a model")


def test_a_missing_extra_names_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sentencepiece", None)
    with pytest.raises(ImportError, match=r"pip install 'generalist\[sentencepiece\]'"):
        SentencePieceTokenizer(b"")


def test_action_ids_end_with_end():
    part = field(spaces.Text(4, charset="abé"))
    ids = part.encode(["aé", "b"])
    end = Vocabulary().end
    assert ids.tolist() == [[97, 195, 169, end, end, end, end, end], [98] + [end] * 7]
    assert part.decode(ids) == ["aé", "b"]


def test_room_for_an_action_can_be_less_than_its_space_may_need():
    part = replace(field(spaces.Text(9, charset="abé")), limit=3)
    end = Vocabulary().end
    ids = part.encode(["aé", "b"])
    assert (part.count, part.ranges.shape, ids.tolist()) == (3, (3, 2), [[97, 195, 169], [98, end, end]])
    assert part.decode(ids) == ["aé", "b"]
    with pytest.raises(ValueError, match=r"action: 'abab' has 4 ids, .* room for 3; raise LayoutOptions.action_text_t"):
        part.encode(["abab"])
    assert replace(part, limit=99).count == field(part.leaf.space).count


def test_action_outside_the_space_is_refused():
    part = field(spaces.Text(2, charset="ab"))
    for wrong in ("abc", "x", "", 3):
        with pytest.raises(ValueError, match=r"^action: "):
            part.encode([wrong])


@given(st.integers(0, 3), st.integers(0, 4), st.sampled_from(["a", "xyz", "é€𝄞"]), st.data())
def test_any_action_ids_decode_to_a_member(least, more, charset, data):
    space = spaces.Text(least + more, min_length=least, charset=charset)
    part = field(space)
    ids = data.draw(st.lists(st.integers(-5, Vocabulary().size + 5), min_size=part.count, max_size=part.count))
    (member,) = part.decode(np.asarray([ids]).reshape(1, part.count))
    assert space.contains(member)


def test_sentencepiece_actions_round_trip(pieces):
    part = field(spaces.Text(8, charset="abdeglnoprt "), SentencePieceTokenizer(pieces))
    ids = part.encode(["red ball", "go to"])
    assert part.decode(ids) == ["red ball", "go to"]
