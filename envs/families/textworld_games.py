"""TextWorld's games, drawn from a seed: what is asked for by name, and what stands in the scene that the player sees.

A game is played from TextWorld's own facts and rules; nothing is compiled, and no file is written. The compiled games
describe a room in sentences that a grammar draws, which come out of that compiler alone; here a scene says the same
in the fewest words: the room, its exits, what is there and what is carried, and of these things only what can be seen.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np

from generalist.envs.task import needs_extra

DRAFTS = 100
"""Not every map has room for a quest of every length; so many are drawn before a level is taken for impossible."""


@dataclass(frozen=True)
class Level:
    """Games of one kind and difficulty.

    Args:
        kind: "coin_collector", "treasure_hunter", "cooking", "simple" (TextWorld's challenges), or "quest": rooms,
            things and a quest of its general generator.
        settings: of the challenge; of a quest its rooms, objects and length.
        horizon: commands of an episode, invalid ones too.
        steps: whether the objective tells every step, and not the last one alone.
    """

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    horizon: int = 50
    steps: bool = False


COOKING = {"recipe": 1, "take": 1, "go": 1, "open": False, "cook": False, "cut": False, "drop": False}
COOKING |= {"recipe_seed": 0, "split": None}

LEVELS: dict[str, Level] = {
    "coin-easy": Level("coin_collector", {"level": 10}, 30),
    "coin-medium": Level("coin_collector", {"level": 110}, 40),
    "coin-hard": Level("coin_collector", {"level": 215}, 60),
    "treasure-easy": Level("treasure_hunter", {"level": 10}, 20),
    "treasure-medium": Level("treasure_hunter", {"level": 13}, 24),
    "cooking-easy": Level("cooking", COOKING | {"open": True}, 20),
    "cooking-medium": Level("cooking", COOKING | {"recipe": 2, "take": 2, "open": True, "cook": True, "cut": True}, 40),
    "cooking-hard": Level(
        "cooking",
        COOKING | {"recipe": 3, "take": 3, "go": 6, "open": True, "cook": True, "cut": True, "drop": True},
        100,
    ),
    "simple": Level("simple", {"rewards": "balanced", "goal": "brief", "test": False}, 50),
    "quest-1": Level("quest", {"rooms": 1, "objects": 5, "length": 1}, 5, steps=True),
    "quest-2": Level("quest", {"rooms": 2, "objects": 6, "length": 2}, 8, steps=True),
    "quest-3": Level("quest", {"rooms": 3, "objects": 8, "length": 3}, 12, steps=True),
    "quest-5": Level("quest", {"rooms": 5, "objects": 10, "length": 5}, 20, steps=True),
}
"""Coin: a chain of 10 rooms, the same with as many dead ends, 15 rooms with 30 more. Treasure: levels of TextWorld's 30
with 5 and 10 rooms; taking the wrong thing loses. Cooking: a recipe of 1, 2 and 3 ingredients, to be read first."""


def draw_game(level: Level, rng: np.random.Generator) -> Any:
    """A `textworld.Game` that depends on `rng` alone.

    Raises:
        MissingExtra: TextWorld is not installed.
        RuntimeError: `DRAFTS` maps had no room for the quest.
    """
    with needs_extra("text"):
        import textworld  # pyright: ignore[reportMissingImports]
        from textworld.generator import QuestGenerationError  # pyright: ignore[reportMissingImports]
    for _ in range(DRAFTS):
        seed = int(rng.integers(2**31 - 1))
        # What has no seed of its own in the options.
        textworld.g_rng.set_seed(seed)  # pyright: ignore[reportAttributeAccessIssue]
        options = textworld.GameOptions()  # pyright: ignore[reportAttributeAccessIssue]
        options.seeds = seed
        options.grammar.only_last_action = not level.steps
        try:
            return _make(level, options)
        except QuestGenerationError:
            continue
    raise RuntimeError(f"TextWorld found no game of {level} in {DRAFTS} drafts")


def _make(level: Level, options: Any) -> Any:
    from textworld.challenges import CHALLENGES  # pyright: ignore[reportMissingImports]
    from textworld.generator import make_game  # pyright: ignore[reportMissingImports]
    from textworld.generator.data import BUILTIN_DATA_PATH, KnowledgeBase  # pyright: ignore[reportMissingImports]

    if level.kind != "quest":
        with _without_compiling():
            return CHALLENGES[f"tw-{level.kind}"][1](dict(level.settings), options)
    # By default TextWorld takes a folder textworld_data of the working directory instead, where there is one.
    options.kb = _knowledge(KnowledgeBase.load, BUILTIN_DATA_PATH)
    options.nb_rooms, options.nb_objects = level.settings["rooms"], level.settings["objects"]
    options.quest_length = level.settings["length"]
    return make_game(options)


@cache
def _knowledge(load: Callable[..., Any], *where: str, **paths: str) -> Any:
    """Rules and grammar of a kind of game, which take a second to parse and do not change."""
    return load(*where, **paths)


@contextmanager
def _without_compiling() -> Iterator[None]:
    """TextWorld's challenges parse their rules anew for each game, and compile it by Inform 7, which takes seconds, to
    see which actions their commands are.
    """
    from textworld import GameMaker  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue]
    from textworld.generator.data import KnowledgeBase  # pyright: ignore[reportMissingImports]

    loader: Any = KnowledgeBase
    maker: Any = GameMaker
    load, compiled = loader.load, maker.set_walkthrough
    loader.load, maker.set_walkthrough = partial(_knowledge, load), _set_walkthrough
    try:
        yield
    finally:
        loader.load, maker.set_walkthrough = load, compiled


def _set_walkthrough(maker: Any, commands: list[str]) -> None:
    """Give each event of the maker's quests the actions that lead to it, as `GameMaker.set_walkthrough` does."""
    from textworld.generator.game import GameProgression  # pyright: ignore[reportMissingImports]
    from textworld.generator.inform7 import Inform7Game  # pyright: ignore[reportMissingImports]

    game = maker.build()
    progress, inform7 = GameProgression(game), Inform7Game(game)
    watched = [each for quest in progress.quest_progressions for each in quest.win_events]
    actions: list[Any] = []
    led: dict[Any, int] = {}
    for number, command in enumerate(commands, 1):
        valid = list(progress.valid_actions)
        known = dict(zip(inform7.gen_commands_from_actions(valid), valid, strict=True))
        if command not in known:  # what is open already is opened again
            continue
        actions.append(known[command])
        waiting = [each for each in watched if not each.triggered]
        progress.update(actions[-1])
        led |= {each.event: number for each in waiting if each.triggered}
    found = [(event, led[event]) for quest in maker.quests for event in quest.win_events if event in led]
    for event, count in found:
        event.actions, event.commands = actions[:count], commands[:count]


DIRECTIONS = ("north", "east", "south", "west")
STATES = ("open", "closed", "locked")
DONE = ("fried", "roasted", "grilled", "burned", "chopped", "sliced", "diced")
"""What can be seen of a thing: of doors and containers, and of food."""


class Scene:
    """What a state's facts say about one place after the other; `text` puts it in words."""

    def __init__(self, facts: Iterable[Any], names: Mapping[str, str]):
        self._names = names
        self._said: dict[str, set[str]] = defaultdict(set)
        self._inside: dict[str, list[str]] = defaultdict(list)
        self._beside: dict[tuple[str, str], str] = {}
        self._doors: dict[tuple[str, str], str] = {}
        for fact in facts:
            arguments = [argument.name for argument in fact.arguments]
            match fact.name, arguments:
                case (("at" | "in" | "on"), [thing, place]):
                    self._inside[place].append(thing)
                case "link", [room, door, other]:
                    self._doors[room, other] = door
                case name, [there, here] if name.endswith("_of"):
                    self._beside[here, name.removesuffix("_of")] = there
                case name, [thing]:
                    self._said[thing].add(name)

    def text(self) -> str:
        room = next(place for place, things in self._inside.items() if "P" in things)
        exits = [self._exit(room, way) for way in DIRECTIONS if (room, way) in self._beside]
        things = [self._thing(thing) for thing in self._sorted(room) if thing != "P"]
        carried = [self._thing(thing) for thing in self._sorted("I")]
        return (
            f"{self._names[room]}. exits: {', '.join(exits) or 'none'}. here: {'; '.join(things) or 'nothing'}. "
            f"you carry: {', '.join(carried) or 'nothing'}."
        )

    def _sorted(self, place: str) -> list[str]:
        return sorted(self._inside.get(place, ()), key=lambda thing: (self._names.get(thing, ""), thing))

    def _exit(self, room: str, way: str) -> str:
        door = self._doors.get((room, self._beside[room, way]))
        return way if door is None else f"{way} ({self._names[door]}, {self._state(door)})"

    def _state(self, thing: str) -> str:
        return next((state for state in STATES if state in self._said[thing]), "")

    def _thing(self, thing: str) -> str:
        """Its name, what was done to it, and what is on it or, where it is open, in it."""
        words = [word for word in (self._state(thing), *DONE) if word and word in self._said[thing]]
        told = self._names[thing] + (f" ({', '.join(words)})" if words else "")
        shown = [] if {"closed", "locked"} & self._said[thing] else self._sorted(thing)
        return told + (f" with {', '.join(map(self._thing, shown))}" if shown else "")
