"""TextWorld (Cote et al. 2018): games that are read and played by commands, written freely or chosen from a list.

`textworld/LEVEL` takes the command as a text. `textworld_choice/LEVEL` plays the same games, lists the commands that do
something and takes the number of one. Levels are those of `generalist.envs.families.textworld_games`; the reset seed
draws the game. Everything is in lower case.
"""

import re
from collections.abc import Iterable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Dict, Discrete, Text

from generalist.envs.families.textworld_games import LEVELS, Scene, draw_game
from generalist.envs.task import ActionFunction, Task, needs_extra

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789 '-"
_MARKS = frozenset(_LETTERS + '.,;:()!?&#/"')
OBJECTIVE = Text(min_length=0, max_length=2048, charset=_MARKS)
SCENE = Text(min_length=0, max_length=2048, charset=_MARKS)
COMMANDS = Text(min_length=0, max_length=4096, charset=_MARKS)
COMMAND = Text(min_length=0, max_length=96, charset=frozenset(_LETTERS))
MOST_COMMANDS = 64
"""That can be chosen from; of more, which no level here has had, the last ones cannot."""

MUTE = ("look", "inventory")
"""Commands that say what the scene says at every step."""

NOTHING = "that does nothing."
"""What is said of a command that the game does not know, or not here."""


def make(level: str, render_mode: str | None = None) -> gym.Env:
    """A level by its name in `LEVELS`; the command is written.

    Observations: {"objective": text, "scene": text}. Actions: text. The reward is what the command added to the game's
    score, as a share of the most that can be had; a game that is lost is terminated, too.
    """
    return WrittenCommands(level, render_mode)


def make_choice(level: str, render_mode: str | None = None) -> gym.Env:
    """The same games; observations also have "commands", a numbered list, and actions are the numbers."""
    return ChosenCommands(WrittenCommands(level, render_mode))


class WrittenCommands(gym.Env):
    """One game an episode."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 2}  # noqa: RUF012 (as Gymnasium has it)
    observation_space = Dict({"objective": OBJECTIVE, "scene": SCENE})
    action_space = COMMAND

    def __init__(self, level: str, render_mode: str | None = None):
        with needs_extra("text"):
            import textworld  # pyright: ignore[reportMissingImports]  # noqa: F401 (so that it is missed now, not at the first reset)
        self.level, self.render_mode = LEVELS[level], render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        from textworld.generator.game import GameProgression  # pyright: ignore[reportMissingImports]
        from textworld.generator.inform7 import Inform7Game  # pyright: ignore[reportMissingImports]

        super().reset(seed=seed)
        self.game = draw_game(self.level, self.np_random)
        self._inform7 = Inform7Game(self.game)
        self._names = {id: info.name or "" for id, info in self.game.infos.items()}
        self._progress = GameProgression(self.game)
        self._objective = plain(self.game.objective)
        planned = map(plain, self.game.metadata.get("walkthrough", ()))
        self._planned = [command for command in planned if command not in MUTE]
        self._steps, self._score, self._said, self._last = 0, 0, "", ""
        self._look()
        return self._observation(), {}

    def step(self, action: Any):
        command = " ".join(action.split())
        self._last, self._said = command, NOTHING
        if command in self._planned and command == self._due:
            del self._planned[: self._planned.index(command) + 1]
        if command in self._actions:
            self._progress.update(self._actions[command])
            self._said = self._told(command)
            self._look()
        self._steps += 1
        gained, self._score = self._progress.score - self._score, self._progress.score
        won, lost = self._progress.completed, self._progress.failed
        over = bool(won or lost)
        late = self._steps >= self.level.horizon and not over
        reward = gained / max(self.game.max_score, 1)
        return self._observation(), float(reward), over, late, {"success": bool(won)}

    @property
    def commands(self) -> list[str]:
        """Those that change something or say something that the scene does not, sorted."""
        told = (command for command in self._actions if command not in MUTE)
        return sorted(each for each in told if not each.startswith("examine ") or self._told(each))

    @property
    def next_command(self) -> str:
        """Of the game's own solution, from here on; "look" where it has none any more."""
        if self.level.kind == "cooking":  # its quests are told by facts, not by the commands that lead there
            return self._due
        policy: Any = self._progress.winning_policy or (None,)
        return plain(self._inform7.gen_commands_from_actions(policy[:1])[0]) if policy[0] else "look"

    def render(self) -> Any:
        """A frame uint8[300, 400, 3] of all that is read, and the last command."""
        return picture([self._objective, f"{self._said} {self._scene}".strip(), f"> {self._last}"])

    @property
    def _due(self) -> str:
        """The first of the planned commands that can be given: what is open already is not opened again."""
        return next((command for command in self._planned if command in self._actions), "look")

    def _look(self) -> None:
        actions = list(self._progress.valid_actions)
        found = map(plain, self._inform7.gen_commands_from_actions(actions))
        self._actions = dict(sorted(zip(found, actions, strict=True), key=lambda pair: pair[0]))
        self._scene = plain(Scene(self._progress.state.facts, self._names).text())

    def _told(self, command: str) -> str:
        """What examining says: a thing's own text (a recipe, a note); others say what the scene says."""
        verb, _, name = command.partition(" ")
        if verb != "examine":
            return ""
        texts = [info.desc for info in self.game.infos.values() if info.desc and plain(info.name or "") == name]
        return plain(texts[0]) if texts and "[" not in texts[0] else ""

    def _observation(self) -> dict[str, str]:
        scene = f"{self._said} {self._scene}".strip()
        return {"objective": self._objective[: OBJECTIVE.max_length], "scene": scene[: SCENE.max_length]}


class ChosenCommands(gym.Wrapper):
    """A list of commands, "0 drop coin; 1 go east", and the number of one; a number that is not listed does nothing."""

    def __init__(self, env: WrittenCommands):
        super().__init__(env)
        self.observation_space = Dict({"commands": COMMANDS, "objective": OBJECTIVE, "scene": SCENE})
        self.action_space = Discrete(MOST_COMMANDS)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        observation, info = self.env.reset(seed=seed, options=options)
        return self._listed(observation), info

    def step(self, action: Any):
        command = self.listed[int(action)] if int(action) < len(self.listed) else ""
        observation, *rest = self.env.step(command)
        return self._listed(observation), *rest

    def _listed(self, observation: dict[str, str]) -> dict[str, str]:
        base: Any = self.env
        self.listed = base.commands[:MOST_COMMANDS]
        told = "; ".join(f"{number} {command}" for number, command in enumerate(self.listed))
        return {**observation, "commands": told[: COMMANDS.max_length]}


def plain(text: str) -> str:
    """Lower case, single spaces, and no other characters than those of the spaces."""
    return re.sub(" +", " ", "".join(one if one in _MARKS else " " for one in text.lower())).strip()


def picture(paragraphs: Iterable[str]) -> np.ndarray:
    """uint8[300, 400, 3]: the paragraphs below each other, as far as there is room."""
    from textwrap import wrap

    from PIL import Image, ImageDraw

    image = Image.new("RGB", (400, 300), (250, 248, 240))
    lines = [line for text in paragraphs for line in (*wrap(text, 62), "")]
    ImageDraw.Draw(image).multiline_text((8, 8), "\n".join(lines[-20:]), fill=(20, 20, 24), spacing=3)
    return np.asarray(image)


def walkthrough_expert(env: gym.Env) -> ActionFunction:
    """The game's own solution, command by command. It looks at the game, not at the observation.

    Where another command led off the way, it finds back, but in cooking: there it goes on with its list.
    """
    base: Any = env.unwrapped
    if not isinstance(base, WrittenCommands):
        raise ValueError(f"TextWorld's expert needs an environment made by envs.families.textworld, got {env}")
    return lambda observation: base.next_command


def chosen_walkthrough_expert(env: gym.Env) -> ActionFunction:
    """The same by number."""
    write, chosen = walkthrough_expert(env), _chosen(env)

    def act(observation: dict[str, str]) -> int:
        command = write(observation)
        return chosen.listed.index(command) if command in chosen.listed else MOST_COMMANDS - 1

    return act


def _chosen(env: Any) -> ChosenCommands:
    while not isinstance(env, ChosenCommands):
        if not isinstance(env, gym.Wrapper):
            raise ValueError(f"the expert by number needs an environment made by make_choice, got {env}")
        env = env.env
    return env


def _task(family: str, level: str) -> Task:
    written = family == "textworld"
    return Task(
        id=f"{family}/{level}",
        family=family,
        make=partial(make if written else make_choice, level),
        expert=walkthrough_expert if written else chosen_walkthrough_expert,
        horizon=LEVELS[level].horizon,
        score="success",
        has_success=True,
        episodes=1000,
        extra="text",
        provenance="TextWorld (Cote et al. 2018), its generators and its solutions; scenes in words of our own",
    )


CHOICE = ("coin-easy", "coin-medium", "treasure-easy", "cooking-easy", "quest-3", "quest-5")
"""Levels with a view by number."""

TASKS: tuple[Task, ...] = (
    *(_task("textworld", level) for level in LEVELS),
    *(_task("textworld_choice", level) for level in CHOICE),
)
