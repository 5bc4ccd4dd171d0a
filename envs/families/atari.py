"""Atari 2600 games of the Arcade Learning Environment, preprocessed as Machado et al. 2018 recommend.

An action is held for 4 emulator frames, the pixelwise maximum of the last two is shown as one grey image of 84x84, and
with probability 0.25 a frame repeats the action before it. All actions of the joystick are offered, losing a life does
not end an episode, and 108,000 frames (30 minutes) do. Frames are not stacked: an agent here sees a window of steps.

Published scores are in `atari_scores`, the experts in `emulator_search`.
"""

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.experts.emulator_search import EXPERTS, SEARCHES
from generalist.envs.families.atari_scores import published
from generalist.envs.task import Task, needs_extra

SKIP = 4
"""Emulator frames of one step."""
STICKY = 0.25
"""Probability that a frame repeats the action of the one before it."""
SIDE = 84
"""Pixels of an observation's side."""
HORIZON = 27_000
"""Steps of the longest episode: 108,000 frames."""

GAMES = tuple(
    """
    Adventure AirRaid Alien Amidar Assault Asterix Asteroids Atlantis Atlantis2 Backgammon BankHeist BasicMath
    BattleZone BeamRider Berzerk Blackjack Bowling Boxing Breakout Carnival Casino Centipede ChopperCommand
    CrazyClimber Crossbow Darkchambers Defender DemonAttack DonkeyKong DoubleDunk Earthworld ElevatorAction Enduro
    Entombed Et FishingDerby FlagCapture Freeway Frogger Frostbite Galaxian Gopher Gravitar Hangman HauntedHouse Hero
    HumanCannonball IceHockey Jamesbond JourneyEscape Kaboom Kangaroo KeystoneKapers KingKong Klax Koolaid Krull
    KungFuMaster LaserGates LostLuggage MarioBros MiniatureGolf MontezumaRevenge MrDo MsPacman NameThisGame Othello
    Pacman Phoenix Pitfall Pitfall2 Pong Pooyan PrivateEye Qbert Riverraid RoadRunner Robotank Seaquest SirLancelot
    Skiing Solaris SpaceInvaders SpaceWar StarGunner Superman Surround Tennis Tetris TicTacToe3D TimePilot Trondead
    Turmoil Tutankham UpNDown Venture VideoCheckers VideoChess VideoCube VideoPinball WizardOfWor WordZapper
    YarsRevenge Zaxxon
    """.split()
)
"""Every game of ale-py that one player can play, as `ALE/<name>-v5`."""


def make(game: str, render_mode: str | None = None) -> gym.Env:
    """A game by its name in `GAMES`; frames of `render` are the console's, in colour.

    Observations: uint8[84, 84, 1]. Actions: 18 positions of joystick and button, fewer in games that refuse some of
    them (9 in Skiing and LostLuggage). Info: `lives` and counts of frames.
    """
    with needs_extra("atari"):
        import ale_py
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # else the first environment prints a banner
    env = gym.make(
        f"ALE/{game}-v5",
        frameskip=1,
        repeat_action_probability=STICKY,
        full_action_space=True,
        max_num_frames_per_episode=None,
        render_mode=render_mode,
        disable_env_checker=True,
    )
    return GreyScreen(env)


class GreyScreen(gym.Wrapper):
    """Drives the emulator for `SKIP` frames a step and shows the maximum of the last two; ends after `horizon` steps.

    It stands in for the base environment's `step`, which would copy a colour screen for each of the frames.
    """

    def __init__(self, env: gym.Env, horizon: int = HORIZON):
        super().__init__(env)
        self._base: Any = env.unwrapped
        self._horizon = horizon
        self._steps = 0
        shape = self._base.ale.getScreenDims()
        self._last, self._before = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        self._rows, self._columns = area_weights(shape[0], SIDE), area_weights(shape[1], SIDE)
        self.observation_space = gym.spaces.Box(0, 255, (SIDE, SIDE, 1), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        _, info = self.env.reset(seed=seed, options=options)
        self._steps = 0
        self._base.ale.getScreenGrayscale(self._last)
        return self._shrunk(self._last), info

    def step(self, action: Any):
        ale, chosen = self._base.ale, self._base._action_set[action]
        reward, over = 0, False
        for frame in range(SKIP):
            if frame == SKIP - 1:
                ale.getScreenGrayscale(self._before)
            reward += ale.act(chosen)
            over = ale.game_over(with_truncation=False)
            if over:
                break
        self._steps += 1
        ale.getScreenGrayscale(self._last)
        screen = self._last if over else np.maximum(self._last, self._before)
        return self._shrunk(screen), float(reward), over, self._steps >= self._horizon, self._base._get_info()

    def _shrunk(self, screen: np.ndarray) -> np.ndarray:
        """uint8[84, 84, 1]: means over equal areas, to the nearest."""
        none = np.zeros((), np.int32)
        lines = sum((weight[:, None] * screen[pixel] for pixel, weight in self._rows), none)
        sums = sum((weight * lines[:, pixel] for pixel, weight in self._columns), none)
        return ((sums + screen.size // 2) // screen.size).astype(np.uint8)[..., None]


def area_weights(size: int, parts: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """How `size` pixels in a row make `parts` equal parts: [(pixel, weight), ...], each int32[parts].

    The first pair is the first pixel that each part touches, the next the one after it, and so on. Weights are shares
    of a pixel in units of 1/parts, so that every part's are whole and add up to `size`.
    """
    starts, pixels = np.arange(parts)[:, None] * size, np.arange(size)[None, :] * parts
    shares = np.maximum(np.minimum(starts + size, pixels + parts) - np.maximum(starts, pixels), 0)
    first, most = (shares > 0).argmax(axis=1), (shares > 0).sum(axis=1).max()
    shares = np.pad(shares, ((0, 0), (0, most))).astype(np.int32)
    touched = [first + step for step in range(most)]
    return [(np.minimum(pixel, size - 1), shares[np.arange(parts), pixel]) for pixel in touched]


def _note(game: str) -> str:
    if game not in SEARCHES:
        return "no training-free expert: demonstrations from public data (generalist import)"
    limit = SEARCHES[game].limit
    until = f"; it looks ahead for {limit} steps and plays at random after them" if limit < HORIZON else ""
    return f"the expert searches in a copy of the emulator, and agents cannot{until}"


def _task(game: str) -> Task:
    return Task(
        id=f"atari/{game}",
        family="atari",
        make=partial(make, game),
        expert=EXPERTS.get(game),
        horizon=HORIZON,
        score="return",
        has_success=False,
        episodes=5,
        published=published(game),
        note=_note(game),
        extra="atari",
        provenance="ale-py and its ROMs (Bellemare et al. 2013), protocol of Machado et al. 2018",
    )


TASKS: tuple[Task, ...] = tuple(map(_task, GAMES))
