"""Documents as a source: every byte once an epoch, an order from the seed, damaged ones passed over and named."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import CONFIG, demonstrations, metrics_of, train_here

from generalist.corpora.corpus import BadExampleError
from generalist.corpora.text import open_corpus as open_text
from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.parts import Document, Picture, Words
from generalist.tokenizers.pictures import PictureOptions
from generalist.tokenizers.sequence import Kind
from generalist.tokenizers.text import ByteTokenizer
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train import sources
from generalist.train.config import DocumentsConfig
from generalist.train.data import packed_rows, row_capacity
from generalist.train.documents import DocumentSource, keep_damaged, piece_of
from generalist.train.held_out import held_out_indices
from generalist.train.packing import to_batch
from generalist.train.sources import input_sizes, open_mixture
from generalist.train.start import Start

LENGTH = 32
TEXTS = ["a short one", "", "ä" * 40, "".join(chr(97 + i % 26) for i in range(200))]


@dataclass(frozen=True)
class Texts:
    texts: tuple[str, ...]
    broken: tuple[int, ...] = ()
    measure: str = "text"
    labels: tuple[str, ...] = ()

    @property
    def sizes(self) -> list[int]:
        return [len(text.encode()) for text in self.texts]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> Document:
        if index in self.broken:
            raise BadExampleError(f"line {index}: broken")
        return (Words(self.texts[index]),)


class Unsized(Texts):
    sizes = None


class Pictures(Texts):
    sizes = None

    def __getitem__(self, index: int) -> Document:
        return Picture(np.full((4, 4, 1), index, np.uint8)), Words(self.texts[index])


def source(corpus, images="conv", **changes) -> DocumentSource:
    layout = DocumentLayout(Vocabulary(), ByteTokenizer(), PictureOptions(images=images, shape=(8, 8, 3), patch_size=4))
    settings = {"index": 0, "name": "x", "sequence_length": LENGTH, "pictures": 5, "seed": 0} | changes
    return DocumentSource(layout=layout, corpus=corpus, **settings)


def words(made: DocumentSource, i: int) -> Words:
    [part] = made.document(i)
    assert isinstance(part, Words)
    return part


@given(st.text(max_size=100), st.integers(1, 20))
def test_pieces_join_to_the_text_and_are_short(text, size):
    count = max(1, -(-len(text.encode(errors="replace")) // size))
    pieces = [piece_of(Words(text), number, size) for number in range(count)]
    assert "".join(piece.text for piece in pieces) == text.encode(errors="replace").decode()
    assert all(len(piece.text.encode()) <= size + 3 for piece in pieces)
    assert pieces[-1].whole


def test_an_epoch_holds_every_piece_of_every_text_once_in_an_order_of_its_own():
    made = source(Texts(tuple(TEXTS)))
    count = int(made.ends[-1])
    epochs = [[words(made, epoch * count + i).text for i in range(count)] for epoch in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert epochs[0] != epochs[1]
    assert sum(len(text.encode()) for text in epochs[0]) == sum(made.corpus.sizes)
    assert all(len(made[i]) <= LENGTH for i in range(count))
    assert [words(source(Texts(tuple(TEXTS))), i).text for i in range(count)] == epochs[0]
    assert [words(source(Texts(tuple(TEXTS)), seed=1), i).text for i in range(count)] != epochs[0]


def test_a_text_of_unknown_size_is_shown_piece_by_piece():
    made = source(Unsized((TEXTS[3],)))
    seen = {words(made, i).text for i in range(100)}
    assert len(seen) == -(-200 // made.piece_bytes)
    assert all(text in TEXTS[3] for text in seen)


def test_every_bad_line_of_a_file_counts(tmp_path):
    lines = ['{"text": "a"}', "no JSON", '{"text": 3}', '{"text": "b"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    made = source(open_text(tmp_path / "a.jsonl"))
    for index in range(4):
        made.document(index)
    assert sorted(made.bad) == [f"{tmp_path / 'a.jsonl'}:{line}" for line in (2, 3)]


def test_damaged_documents_are_passed_over_and_named(tmp_path):
    made = source(Texts(tuple("abcdef"), broken=(1, 4)))
    seen = [words(made, i).text for i in range(60)]
    assert set(seen) == set("acdf")
    assert made.bad == {"line 1": "line 1: broken", "line 4": "line 4: broken"}
    assert keep_damaged(tmp_path / "damaged.json", [made]) == 2
    assert json.loads((tmp_path / "damaged.json").read_text()) == {"x": made.bad}
    assert keep_damaged(tmp_path / "none.json", [source(Texts(("a",)))]) == 0
    assert not (tmp_path / "none.json").exists()


def test_a_corpus_of_damage_is_an_error():
    with pytest.raises(BadExampleError, match="x: 1000 documents in a row are damaged; the last: line"):
        source(Texts(("a", "b"), broken=(0, 1))).document(0)


@pytest.mark.parametrize("images", ["conv", "patches"])
def test_rows_hold_several_documents_that_do_not_see_each_other(images):
    made = source(Pictures(tuple("abcdefgh")), images)
    capacity = row_capacity([made])
    assert (capacity.images, capacity.patches) == ((5, 0) if images == "conv" else (0, 5 * 4))
    batch = to_batch([next(packed_rows([made], [1.0], capacity, rows=2))], capacity)
    for row in range(2):
        segments = batch.segment[row]
        assert len(set(segments[segments > 0])) > 2
        begins = np.flatnonzero((batch.position[row] == 0) & (segments > 0))
        assert (batch.kind[row][begins] == Kind.SEPARATOR).all()
        kind, at = (Kind.IMAGE, batch.image_at) if images == "conv" else (Kind.PATCH, batch.patch_at)
        used = at[row][at[row] < LENGTH]
        assert (batch.kind[row][used] == kind).all()
        assert len(used) == (batch.kind[row] == kind).sum()


def test_a_picture_that_does_not_fit_a_row_is_refused():
    layout = DocumentLayout(Vocabulary(), ByteTokenizer(), PictureOptions(shape=(64, 64, 3), patch_size=8))
    made = replace(source(Pictures(("a",))), layout=layout)
    with pytest.raises(ValueError, match=r"has 64 tokens and does not fit sequence_length 32.*images conv"):
        _ = made.capacity


def test_a_corpus_without_pictures_takes_no_room_for_them():
    assert row_capacity([source(Texts(("a",)), pictures=0)]).images == 0
    assert [DocumentsConfig(corpus=name).room for name in ("docstrings", "text:x", "digits")] == [0, 0, 5]
    sizes = input_sizes(replace(CONFIG, documents=(DocumentsConfig(corpus="docstrings"),)), [])
    assert (sizes.patch_size, sizes.image_shape) == (0, (0, 0, 0))
    with pytest.raises(BadExampleError, match="1 pictures, a row has room for 0"):
        source(Pictures(tuple("abc")), pictures=0).document(0)


def test_tasks_and_corpora_train_together_and_alone(tmp_path):
    pictures = PictureOptions(images="conv", shape=(16, 16, 1))
    documents = (DocumentsConfig(corpus="digits", weight=3.0, pictures=pictures), DocumentsConfig(corpus="docstrings"))
    documents = tuple(replace(each, pictures=pictures) for each in documents)
    run = train_here(tmp_path / "both", documents=documents, steps=16, held_out_batches=16)
    assert set(metrics_of(run)[-1]["held_out"]["sources"]) == {*CONFIG.names, "digits", "docstrings"}
    seen = {name for line in metrics_of(run) for name in line["sources"]}
    assert seen == {*CONFIG.names, "digits", "docstrings"}
    alone = train_here(tmp_path / "alone", documents=documents, sources=(), steps=16)
    assert {name for line in metrics_of(alone) for name in line["sources"]} == {"digits", "docstrings"}
    whole = metrics_of(train_here(tmp_path / "resumed", documents=documents, steps=3))
    assert metrics_of(train_here(tmp_path / "again", documents=documents, steps=3)) == whole
    train_here(tmp_path / "both", documents=documents, steps=16, held_out_batches=16, start=Start(resume=True))
    sizes = input_sizes(
        replace(CONFIG, documents=documents), list(open_mixture(CONFIG, demonstrations()).layouts.values())
    )
    assert (sizes.sources, sizes.image_shape) == (4, (16, 16, 1))


def test_pieces_of_held_out_documents_are_never_drawn_in_training(monkeypatch):
    """Long texts of one letter each, in pieces; the held-out source has the others."""
    corpus = Texts(tuple(letter * 100 for letter in "abcdefghij"))
    monkeypatch.setattr(sources, "open_corpus", lambda name: corpus)
    config = replace(CONFIG, documents=(DocumentsConfig(corpus="text:x"),), held_out=0.2)
    [(training, held_out)] = sources.document_sources(config, ByteTokenizer())
    seen, unseen = ({words(made, i).text[0] for i in range(3 * int(made.ends[-1]))} for made in (training, held_out))
    assert unseen == {"abcdefghij"[index] for index in held_out_indices(10, 0.2)}
    assert seen == set("abcdefghij") - unseen
    assert training.index == held_out.index == 2
    assert sources.document_sources(replace(config, held_out=0.0), ByteTokenizer())[0][1] is None
    corpus = Texts(("a" * 100,))
    [(alone, none)] = sources.document_sources(config, ByteTokenizer())
    assert (len(alone.corpus), none) == (1, None)


def test_settings_of_a_corpus_are_checked():
    with pytest.raises(ValueError, match="weight of corpus digits must not be negative"):
        DocumentsConfig(corpus="digits", weight=-1)
    with pytest.raises(ValueError, match="loss_weight of corpus digits"):
        DocumentsConfig(corpus="digits", loss_weight=-1)
    with pytest.raises(ValueError, match="pictures_per_row must not be negative"):
        DocumentsConfig(corpus="digits", pictures_per_row=-1)
    with pytest.raises(ValueError, match="repeated: digits"):
        replace(CONFIG, documents=(DocumentsConfig(corpus="digits"),) * 2)
