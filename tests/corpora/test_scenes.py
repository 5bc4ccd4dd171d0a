"""What is said of a room is checked against what its pixels show, with code of its own."""

import pickle
import re
import sys
from collections import Counter
from functools import cache
from time import process_time

import numpy as np
import pytest

from generalist.corpora import scenes
from generalist.corpora.open import open_corpus as open_by_name
from generalist.corpora.scenes import HELD_OUT, MAKERS, SIZES, Thing, caption, open_corpus, questions
from generalist.tokenizers.parts import Picture, Speaker, Words, prompt_and_answer

minigrid = pytest.importorskip("minigrid")
from minigrid.core.grid import Grid  # noqa: E402
from minigrid.core.world_object import Ball, Box, Key  # noqa: E402

COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")
CLASSES = {"ball": Ball, "box": Box, "key": Key}
SOME = 1000
"""Documents of a split that a test reads."""


def drawn(things: dict[tuple[int, int], tuple[str, str]]) -> np.ndarray:
    """A room by MiniGrid's own renderer; (row, column) -> (colour, kind)."""
    grid = Grid(7, 7)
    grid.wall_rect(0, 0, 7, 7)
    for (row, column), (colour, kind) in things.items():
        grid.set(column + 1, row + 1, CLASSES[kind](colour))
    return grid.render(8, agent_pos=(-1, -1), highlight_mask=np.ones((7, 7), bool))


@cache
def known_tiles() -> dict[bytes, tuple[str, str] | None]:
    pairs = [(colour, kind) for colour in COLOURS for kind in CLASSES]
    known = {drawn({(0, 0): pair})[8:16, 8:16].tobytes(): pair for pair in pairs}
    return known | {drawn({})[8:16, 8:16].tobytes(): None}


def seen(pixels: np.ndarray) -> dict[tuple[int, int], tuple[str, str]]:
    """What the pixels of a picture show, in reading order."""
    tiles = {(row, column): pixels[8 * row + 8 :, 8 * column + 8 :][:8, :8] for row in range(5) for column in range(5)}
    found = {cell: known_tiles()[tile.tobytes()] for cell, tile in tiles.items()}
    return {cell: pair for cell, pair in found.items() if pair}


@cache
def documents(name: str, split: str) -> list:
    corpus = open_corpus(f"scenes/{name}", split)
    return [corpus[index] for index in range(SOME)]


def is_placed(cell: tuple[int, int], relation: str, other: tuple[int, int]) -> bool:
    down, right = cell[0] - other[0], cell[1] - other[1]
    return {"left of": right < 0, "right of": right > 0, "above": down < 0, "below": down > 0}[relation]


def answers(question: str, room: dict) -> set[str]:
    """Every right answer to a question about a room."""
    if found := re.fullmatch(r"what colour is the (\w+)\?", question):
        return {colour for colour, kind in room.values() if kind == found[1]}
    if found := re.fullmatch(r"is there a (\w+) (\w+)\?", question):
        return {"yes" if found.groups() in room.values() else "no"}
    if found := re.fullmatch(r"how many (ball|box|key)(s|es) are there\?", question):
        return {["none", "one", "two", "three"][sum(kind == found[1] for _, kind in room.values())]}
    found = re.fullmatch(r"what is (left of|right of|above|below) the (\w+) (\w+)\?", question)
    (place,) = [cell for cell, pair in room.items() if pair == found.groups()[1:]]
    return {" ".join(pair) for cell, pair in room.items() if is_placed(cell, found[1], place)} or {"nothing"}


def said(text: str, room: dict) -> bool:
    """Whether a caption names all there is in reading order, and is right about how it is placed."""
    names = [tuple(each) for each in re.findall(r"a (\w+) (ball|box|key)", text)]
    if names != list(room.values()):
        return False
    if len(names) != 2:
        return text == {1: "a {} {}", 3: "a {} {}, a {} {} and a {} {}"}[len(names)].format(*sum(names, ()))
    one, other = room
    relation = re.fullmatch(r"a \w+ \w+ (left of|right of|above) a \w+ \w+", text)[1]
    farther_across = abs(one[1] - other[1]) > abs(one[0] - other[0])
    return is_placed(one, relation, other) and farther_across == (relation != "above")


def turns(document: tuple) -> list[tuple[str, str]]:
    texts = [part.text for part in document if isinstance(part, Words)]
    return list(zip(texts[::2], texts[1::2], strict=True))


@pytest.mark.parametrize("split", SIZES)
def test_pictures_are_minigrids_own(split):
    for picture, _ in documents("captions", split)[:50]:
        room = seen(picture.pixels)
        assert picture.pixels.dtype == np.uint8
        assert picture.pixels.shape == (56, 56, 3)
        assert np.array_equal(picture.pixels, drawn(room))
        assert 1 <= len(room) == len(set(room.values())) <= 3


@pytest.mark.parametrize("split", SIZES)
def test_captions_are_true_and_short(split):
    for picture, words in documents("captions", split):
        assert said(words.text, seen(picture.pixels)), words.text
        assert len(words.text) < 70
        assert words == Words(words.text)


@pytest.mark.parametrize("split", SIZES)
def test_questions_have_one_right_answer_which_is_given(split):
    for picture, question, answer in documents("questions", split):
        assert answers(question.text, seen(picture.pixels)) == {answer.text}, question.text
        assert not question.target
        assert answer == Words(answer.text)
        assert len(answer.text.split()) <= 2


@pytest.mark.parametrize("split", SIZES)
def test_an_assistant_answers_rightly_what_a_user_asks_and_only_it_is_learned(split):
    followed = 0
    for document in documents("dialogue", split):
        picture, *parts = document
        room, before = seen(picture.pixels), ""
        assert parts[::4] + parts[2::4] == [Speaker("user")] * (len(parts) // 4) + [Speaker("assistant")] * (
            len(parts) // 4
        )
        assert [part.target for part in parts[1::2]] == [False, True] * (len(parts) // 4)
        assert len({question for question, _ in turns(document)}) == len(turns(document)) in (2, 3)
        for question, answer in turns(document):
            if question.endswith(" it?"):
                followed += 1
                meant = re.search(r"(\w+ )?(\w+)\?$", before)  # "is there a red ball?", "what colour is the ball?"
                (pair,) = [p for p in room.values() if p[1] == meant[2] and meant[1].strip() in ("the", p[0])]
                assert answers(question.replace("it", f"the {' '.join(pair)}"), room) == {answer}
            elif question == scenes.DESCRIBE:
                assert said(answer, room)
            else:
                assert answers(question, room) == {answer}
                before = question
        assert prompt_and_answer(document) == (document[:-1], turns(document)[-1][1])
    assert followed > SOME / 20


def test_a_caption_names_the_larger_distance_and_a_tie_is_above():
    one, below = Thing(0, 0, "red", "ball"), Thing(1, 1, "blue", "key")
    assert caption((one,)) == "a red ball"
    assert caption((one, below)) == "a red ball above a blue key"
    assert caption((one, Thing(1, 2, "blue", "key"))) == "a red ball left of a blue key"
    assert caption((Thing(0, 4, "red", "ball"), below)) == "a red ball right of a blue key"
    assert caption((one, below, Thing(2, 0, "grey", "box"))) == "a red ball, a blue key and a grey box"


@pytest.mark.parametrize("name", ["captions", "questions", "dialogue"])
@pytest.mark.parametrize("split", SIZES)
def test_held_out_pairs_are_in_every_heldout_document_and_nowhere_else(name, split):
    names = {f"{colour} {kind}" for colour, kind in HELD_OUT}
    for picture, *parts in documents(name, split):
        room = seen(picture.pixels)
        texts = " ".join(part.text for part in parts if isinstance(part, Words))
        assert len(set(room.values()) & set(HELD_OUT)) == (split == "heldout")
        if split != "heldout":
            assert not [each for each in names if each in texts]


def test_every_heldout_question_is_about_a_held_out_pair():
    for picture, question, answer in documents("questions", "heldout"):
        room = seen(picture.pixels)
        (pair,) = [pair for pair in room.values() if pair in HELD_OUT]
        names = [" ".join(each) for each in HELD_OUT]
        asked = [f"what colour is the {pair[1]}?", f"how many {scenes.KINDS[pair[1]]} are there?"]
        assert question.text in asked or any(name in f"{question.text} {answer.text}" for name in names)


def test_every_colour_and_kind_of_a_held_out_pair_is_in_other_pairs_of_the_train_split():
    pairs = {pair for picture, _ in documents("captions", "train") for pair in seen(picture.pixels).values()}
    assert len(pairs) == 15
    for colour, kind in HELD_OUT:
        assert sum(each[0] == colour for each in pairs) >= 2
        assert sum(each[1] == kind for each in pairs) >= 2


def test_no_room_of_the_test_split_is_in_the_train_split():
    """Rooms with one thing are only 375, so that 3,000 documents have most of them."""
    rooms = {}
    for split, count in (("train", 3000), ("test", 1000)):
        corpus = open_corpus("scenes/captions", split)
        rooms[split] = {corpus.scene(index) for index in range(count)}
    assert not rooms["train"] & rooms["test"]
    assert len([room for room in rooms["train"] if len(room) == 1]) > 250
    assert len([room for room in rooms["test"] if len(room) == 1]) > 20


@pytest.mark.parametrize("split", SIZES)
def test_answers_are_balanced(split):
    asked = [(question.text, answer.text) for _, question, answer in documents("questions", split)]
    types = Counter(" ".join(question.split()[:2]) for question, _ in asked)
    assert set(types) == {"what colour", "is there", "how many", "what is"}
    assert max(types.values()) < 0.4 * SOME
    yes = [answer == "yes" for question, answer in asked if question.startswith("is there")]
    assert 0.4 < np.mean(yes) < 0.6
    for kind in types:
        given = Counter(answer for question, answer in asked if question.startswith(kind))
        assert max(given.values()) < 0.7 * types[kind], given
    assert max(Counter(answer for _, answer in asked).values()) < 0.25 * SOME


def test_asked_in_vain_is_often_a_colour_and_a_kind_that_are_both_there():
    """Else who only looks for the words, one by one, answers nearly all rightly."""
    near = []
    for picture, question, answer in documents("questions", "train"):
        room = seen(picture.pixels).values()
        if answer.text == "no" and len(room) > 1:
            colour, kind = re.search(r"(\w+) (\w+)\?", question.text).groups()
            near.append(colour in {each for each, _ in room} and kind in {each for _, each in room})
    assert 0.25 < np.mean(near) < 0.75


def test_a_lone_thing_is_not_asked_for_its_neighbours():
    assert questions((Thing(0, 0, "red", "ball"),), "train")[3] == [[], []]


@pytest.mark.parametrize("name", MAKERS)
def test_a_document_is_a_function_of_split_and_number(name):
    corpora = {split: open_by_name(name, split) for split in SIZES}
    assert {split: len(corpus) for split, corpus in corpora.items()} == SIZES
    again = pickle.loads(pickle.dumps(corpora["train"]))
    for index in (99_999, 7, 0):
        one, other = corpora["train"][index], again[index]
        assert np.array_equal(one[0].pixels, other[0].pixels)
        assert one[1:] == other[1:]
        assert isinstance(one[0], Picture)
    firsts = {corpus[0][0].pixels.tobytes() for corpus in corpora.values()}
    assert len(firsts) == 3
    with pytest.raises(IndexError, match=r"documents \[0, 1000\) in test, not 1000"):
        corpora["test"][1000]


def test_documents_stay_what_they_were():
    assert documents("captions", "train")[0][1].text == "a grey key right of a green box"
    assert turns(documents("questions", "test")[0]) == [("what is below the grey box?", "grey key")]


def test_measures():
    assert [open_corpus(name, "train").measure for name in MAKERS] == ["caption", "answer", "dialogue"]
    assert open_corpus("scenes/captions", "test").labels == ()


def test_reading_costs_well_under_a_millisecond():
    for name in MAKERS:
        corpus = open_corpus(name, "train")
        corpus[0]
        before = process_time()
        for index in range(300):
            corpus[index]
        assert (process_time() - before) / 300 < 1e-3


def test_names_and_splits_are_refused_by_name(monkeypatch):
    with pytest.raises(ValueError, match="no corpus of scenes is named 'scenes/films'; choose one of scenes/captions"):
        open_corpus("scenes/films", "train")
    with pytest.raises(ValueError, match="has the splits train, test, heldout, not 'validation'"):
        open_corpus("scenes/captions", "validation")


def test_without_minigrid_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "minigrid.core.grid", None)
    monkeypatch.setattr(scenes, "_tiles", scenes._tiles.__wrapped__)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "generalist\[babyai\]"'):
        open_corpus("scenes/captions", "train")
