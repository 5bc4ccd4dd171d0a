"""Rooms of MiniGrid and what stands in them: captions, questions and dialogues, made when they are read.

A room has 5x5 free cells and one to three things, a ball, box or key in one of six colours, no two alike. Everything
that is said follows from where they stand. Its picture has the size and the very tiles of `envs/babyai.py`, drawn by
MiniGrid as the agent there sees them. Example i of a split is a function of the split and i; nothing is stored, and
making one takes 0.05 to 0.3 ms.

The pairs of colour and kind in `HELD_OUT` appear only in the split "heldout", in pictures as in words: each of its
rooms has one such thing, and every question there names, counts or is answered by such a pair. It measures whether
known words are put together in a new way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar
from zlib import crc32

import numpy as np

from generalist.corpora.corpus import Measure, Split
from generalist.tokenizers.parts import Document, Picture, Speaker, Words

T = TypeVar("T")
Pair = tuple[str, str]
"""(colour, kind)"""

SEED = 20_260
SIZES: dict[Split, int] = {"train": 100_000, "test": 1_000, "heldout": 1_000}
SIDE, TILE = 5, 8
"""Free cells along a wall; pixels along a cell."""

KINDS = {"ball": "balls", "box": "boxes", "key": "keys"}
COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")
PAIRS: tuple[Pair, ...] = tuple((colour, kind) for colour in COLOURS for kind in KINDS)
HELD_OUT: tuple[Pair, ...] = (("red", "key"), ("green", "ball"), ("purple", "box"))
SEEN = tuple(pair for pair in PAIRS if pair not in HELD_OUT)

HOW_MANY = (1, 2, 2, 3, 3)
"""Things in a room, each number of this row as likely."""

TEST_SHARE = 10
"""One of so many rooms with seen pairs is test, and never in train."""

NEAR = 6
"""How much likelier a pair is asked for in vain if its colour and its kind are both there, in different things."""

NUMBERS = ("none", "one", "two", "three")
DESCRIBE = "what do you see?"


@dataclass(frozen=True, order=True)
class Thing:
    """One thing of a room. Row 0 is the upper, column 0 the left."""

    row: int
    column: int
    colour: str
    kind: str

    @property
    def pair(self) -> Pair:
        return self.colour, self.kind

    def __str__(self) -> str:
        return f"{self.colour} {self.kind}"


Scene = tuple[Thing, ...]
"""Things by rows, then columns."""

RELATIONS: dict[str, Callable[[Thing, Thing], bool]] = {
    "left of": lambda one, other: one.column < other.column,
    "right of": lambda one, other: one.column > other.column,
    "above": lambda one, other: one.row < other.row,
    "below": lambda one, other: one.row > other.row,
}
"""Whether one thing is so placed to another, however far the two are apart."""


@dataclass(frozen=True)
class Question:
    """A question about a room, and its only answer.

    Args:
        pairs: of colour and kind that it names, counts or is answered by.
        subject: the thing that "it" means in what is said next, if any.
    """

    text: str
    answer: str
    pairs: tuple[Pair, ...]
    subject: Thing | None = None


@dataclass(frozen=True)
class Scenes:
    """Captions, questions or dialogues of one split, named as in `MAKERS`. The same number is the same room in all."""

    name: str
    split: Split

    @property
    def measure(self) -> Measure:
        return MAKERS[self.name][0]

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    def __len__(self) -> int:
        return SIZES[self.split]

    def __getitem__(self, index: int) -> Document:
        """(picture uint8[56, 56, 3], what is said about it ...)."""
        rng, scene = self._draw(index)
        return Picture(picture(scene)), *MAKERS[self.name][1](rng, scene, self.split)

    def reader(self, pixels: np.ndarray) -> str:
        """The caption of what stands in a picture, read tile by tile."""
        return caption(parsed(pixels))

    def scene(self, index: int) -> Scene:
        """What stands in the room of a document."""
        return self._draw(index)[1]

    def _draw(self, index: int) -> tuple[np.random.Generator, Scene]:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has the documents [0, {len(self)}) in {self.split}, not {index}")
        rng = np.random.default_rng((SEED, tuple(SIZES).index(self.split), index))
        return rng, _draw_scene(rng, self.split)


def open_corpus(name: str, split: Split) -> Scenes:
    """The documents of "scenes/captions", "scenes/questions" or "scenes/dialogue".

    Raises:
        ValueError: another name or split.
        ModuleNotFoundError: MiniGrid is missing.
    """
    if name not in MAKERS:
        raise ValueError(f"no corpus of scenes is named {name!r}; choose one of {', '.join(MAKERS)}")
    if split not in SIZES:
        raise ValueError(f"{name} has the splits {', '.join(SIZES)}, not {split!r}; choose one of them")
    _tiles()
    return Scenes(name, split)


def picture(scene: Scene) -> np.ndarray:
    """uint8[56, 56, 3]: the room with its walls."""
    codes = np.full((SIDE + 2, SIDE + 2), len(PAIRS) + 1)
    codes[1:-1, 1:-1] = len(PAIRS)
    for thing in scene:
        codes[thing.row + 1, thing.column + 1] = PAIRS.index(thing.pair)
    side = len(codes) * TILE
    # [row, column, y, x, 3] -> [row, y, column, x, 3]
    return _tiles()[codes].transpose(0, 2, 1, 3, 4).reshape(side, side, 3)


def tiles_of(pixels: np.ndarray) -> np.ndarray:
    """int[rows, columns]: which tile stands at each place of a picture of a room, the nearest of all by its pixels.

    In the order of `PAIRS`, then the free cell and the wall.
    """
    side = SIDE + 2
    if pixels.shape != (side * TILE, side * TILE, 3):
        raise ValueError(f"a room is drawn as {side * TILE} x {side * TILE} pixels, got {pixels.shape}")
    tiles = pixels.reshape(side, TILE, side, TILE, 3).swapaxes(1, 2).astype(np.int64)
    error = (tiles[:, :, None] - _tiles()[None, None].astype(np.int64)) ** 2
    return error.sum(axis=(3, 4, 5)).argmin(axis=2)


def parsed(pixels: np.ndarray) -> Scene:
    """The things in a picture of a room; what stands in a wall's place does not count."""
    inside = tiles_of(pixels)[1:-1, 1:-1]
    there = zip(*np.nonzero(inside < len(PAIRS)), strict=True)
    return tuple(Thing(int(row), int(column), *PAIRS[inside[row, column]]) for row, column in there)


def caption(scene: Scene) -> str:
    """ "a red ball", "a red ball left of a blue key" or "a red ball, a blue key and a grey box".

    Things are named by rows, then columns. Of two, the larger distance says how the first is placed to the second;
    where both are equal, the first is above. Of none: "nothing".
    """
    if not scene:
        return "nothing"
    names = [f"a {thing}" for thing in scene]
    if len(scene) == 2:
        one, other = scene
        across = other.column - one.column
        beside = "left of" if across > 0 else "right of"
        return f" {beside if abs(across) > other.row - one.row else 'above'} ".join(names)
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def questions(scene: Scene, split: Split) -> tuple[list[list[Question]], ...]:
    """All that may be asked about a room: by type of question, then by class of answer.

    Of "heldout", only what is about a held-out pair.
    """
    absent = HELD_OUT if split == "heldout" else SEEN
    types = _colours(scene), _presence(scene, absent), _counts(scene), _relations(scene)
    if split != "heldout":
        return types
    return tuple([[each for each in group if set(each.pairs) & set(HELD_OUT)] for group in groups] for groups in types)


def _draw_scene(rng: np.random.Generator, split: Split) -> Scene:
    while True:
        many = _one_of(rng, HOW_MANY)
        pairs = [SEEN[at] for at in rng.permutation(len(SEEN))[:many]]
        if split == "heldout":
            pairs[0] = _one_of(rng, HELD_OUT)
        cells = [divmod(int(cell), SIDE) for cell in rng.permutation(SIDE**2)[:many]]
        scene = tuple(sorted(Thing(*cell, *pair) for cell, pair in zip(cells, pairs, strict=True)))
        text = " ".join(f"{thing} {thing.row} {thing.column}" for thing in scene)
        if split == "heldout" or (crc32(text.encode()) % TEST_SHARE == 0) == (split == "test"):
            return scene


def _one_of(rng: np.random.Generator, choices: Sequence[T]) -> T:
    return choices[int(rng.integers(len(choices)))]


def _colours(scene: Scene) -> list[list[Question]]:
    kinds = [thing.kind for thing in scene]
    only = [thing for thing in scene if kinds.count(thing.kind) == 1]
    return [[Question(f"what colour is the {each.kind}?", each.colour, (each.pair,), each) for each in only]]


def _presence(scene: Scene, absent: Sequence[Pair]) -> list[list[Question]]:
    """Yes and no; in vain is asked only for the pairs `absent`."""
    pairs = {thing.pair for thing in scene}
    colours, kinds = {thing.colour for thing in scene}, {thing.kind for thing in scene}
    no = []
    for colour, kind in absent:
        if (colour, kind) not in pairs:
            asked = Question(f"is there a {colour} {kind}?", "no", ((colour, kind),))
            no += [asked] * (NEAR if colour in colours and kind in kinds else 1)
    return [[Question(f"is there a {each}?", "yes", (each.pair,), each) for each in scene], no]


def _counts(scene: Scene) -> list[list[Question]]:
    groups: list[list[Question]] = [[] for _ in NUMBERS]
    for kind, plural in KINDS.items():
        counted = tuple(thing.pair for thing in scene if thing.kind == kind)
        groups[len(counted)].append(Question(f"how many {plural} are there?", NUMBERS[len(counted)], counted))
    return groups


def _relations(scene: Scene, subject: Thing | None = None) -> list[list[Question]]:
    """Where one thing or none is in a place; with a subject only about it, and it is called "it"."""
    some, nothing = [], []
    for thing in scene if len(scene) > 1 else ():
        for relation, holds in RELATIONS.items():
            found = [other for other in scene if holds(other, thing)]
            if len(found) > 1 or subject not in (None, thing):
                continue
            text = f"what is {relation} {'it' if subject else f'the {thing}'}?"
            answer = str(found[0]) if found else "nothing"
            pairs = (thing.pair, *(other.pair for other in found))
            (some if found else nothing).append(Question(text, answer, pairs))
    return [some, nothing]


def _ask(rng: np.random.Generator, types: Sequence[list[list[Question]]]) -> Question:
    """A question of any type that has one, each type and each class of its answers as likely."""
    possible = [[group for group in groups if group] for groups in types]
    return _one_of(rng, _one_of(rng, _one_of(rng, [groups for groups in possible if groups])))


def _captioned(rng: np.random.Generator, scene: Scene, split: Split) -> Document:
    return (Words(caption(scene)),)


def _questioned(rng: np.random.Generator, scene: Scene, split: Split) -> Document:
    asked = _ask(rng, questions(scene, split))
    return Words(asked.text, target=False), Words(asked.answer)


def _talked(rng: np.random.Generator, scene: Scene, split: Split) -> Document:
    """Two or three turns, the first often a description; "it" is what the question before was about."""
    types, turns = questions(scene, split), {}
    many = int(rng.integers(2, 4))
    if rng.random() < 0.5:
        turns[DESCRIBE] = caption(scene)
    subject = None
    while len(turns) < many:
        more = _relations(scene, subject) if subject and rng.random() < 0.5 else []
        asked = _ask(rng, [more] if any(more) else types)
        if asked.text not in turns:
            turns[asked.text] = asked.answer
            subject = asked.subject
    parts = []
    for text, answer in turns.items():
        parts += [Speaker("user"), Words(text, target=False), Speaker("assistant"), Words(answer)]
    return tuple(parts)


MAKERS: dict[str, tuple[Measure, Callable[[np.random.Generator, Scene, Split], Document]]] = {
    "scenes/captions": ("caption", _captioned),
    "scenes/questions": ("answer", _questioned),
    "scenes/dialogue": ("dialogue", _talked),
}
"""What is measured, and what says something about a room."""


@cache
def _tiles() -> np.ndarray:
    """uint8[20, 8, 8, 3]: the things in the order of `PAIRS`, the free cell, the wall."""
    try:
        from minigrid.core.grid import Grid
        from minigrid.core.world_object import Ball, Box, Key, Wall
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{error}; the scenes are drawn by MiniGrid, install it with: pip install "generalist[babyai]"',
            name=error.name,
        ) from error
    classes = {"ball": Ball, "box": Box, "key": Key}
    cells = [*(classes[kind](colour) for colour, kind in PAIRS), None, Wall()]
    return np.stack([Grid.render_tile(cell, highlight=True, tile_size=TILE) for cell in cells]).astype(np.uint8)
