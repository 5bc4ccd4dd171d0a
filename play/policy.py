"""The trained network as a policy: observations in, legal actions out, a key/value cache per environment slot."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from generalist.agent.acting import ActionSpec
from generalist.agent.cache import empty_cache, forget_from
from generalist.agent.config import AgentConfig, DecodeConfig, InputSizes
from generalist.demonstrations.episode import Episode
from generalist.envs.spaces import take
from generalist.tokenizers.encoding import next_steps
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.sequence import (
    FEATURES,
    NO_LOCAL,
    TOKEN_FIELDS,
    UNLIMITED,
    Capacity,
    Kind,
    TokenBatch,
    TokenSequence,
)
from generalist.tokenizers.sequence import shapes as sequence_shapes
from generalist.tokenizers.space import assemble, leaves, pick
from generalist.train.returns import to_go


@dataclass(frozen=True)
class Player:
    """What a policy needs of a loaded agent: compiled functions and parameters.

    act, prefill: see `generalist.agent.acting`; decode: how `act` chooses, and how much of a chunk is played.
    """

    config: AgentConfig
    sizes: InputSizes
    state: Any
    act: Callable
    prefill: Callable
    decode: DecodeConfig = DecodeConfig()


class AgentPolicy:
    """Plays one task in up to `slots` environments at once. Follows `generalist.play.rollout.Policy`.

    Args:
        player: the loaded agent.
        layout: of the task.
        source: index of the task among those trained on, -1 if it is not one of them.
        slots: static batch size of the compiled step; idle slots are padding.
        prompts: demonstrations; slot episodes take them in turn. Empty plays without a prompt. The first tokens of a
            demonstration are shown, at most half the window (sec. 2.4 shows the first 1024 tokens). A layout with a
            limited context was trained without prompts and is shown none.

    Raises:
        ValueError: more actions of a chunk are to be played than the layout has; or returns are shown, and there is no
            target, because the task was not trained on.
    """

    def __init__(self, player: Player, layout: Layout, source: int, *, slots: int, prompts: Sequence[Episode] = ()):
        self.player, self.layout, self.source, self.slots = player, layout, source, slots
        self.hidden = layout.options.past_actions == "hidden"
        shown = prompts if layout.options.context is None else ()
        self.prompts = [_prompt(layout, source, episode, player.config.window // 2) for episode in shown]
        self.columns = layout.acting_tokens
        self.few_columns = layout.acting_tokens_without_text
        self.said: list[Any] = [None] * slots
        self.playing_of_chunk = played_of_chunk(player.decode, layout)
        self.cache = empty_cache(player.config, slots, self._window())
        tokens = self.playing_of_chunk * layout.tokens_of_action
        self.spec = ActionSpec.of(
            layout.action_ranges[:tokens],
            layout.action_is_continuous[:tokens],
            visible=not self.hidden,
            direct=layout.direct,
        )
        self.target = target_of(layout)
        self.received = np.zeros(slots)
        self.playing = np.zeros(slots, bool)
        self.fresh = np.ones(slots, bool)
        self.position = np.zeros(slots, np.int32)
        self.timestep = np.zeros(slots, np.int32)
        self.step = np.zeros(slots, np.int32)
        self.seed = np.arange(slots, dtype=np.uint32)
        self.last_action = np.full(slots, -1, np.int32)
        self.chances: np.ndarray | None = None
        self.waiting: list[deque[Any]] = [deque() for _ in range(slots)]
        self._episodes: Sequence[Any] = ()

    def _window(self) -> int:
        """Tokens that the cache must hold: what `context` timesteps can take, or the whole window."""
        context = self.layout.options.context
        whole = self.player.config.window
        if context is None:
            return whole
        return min(whole, _round_up(context * (self.columns + self.layout.written_tokens), 16))

    def attach(self, slots: Sequence[Any]) -> None:
        """Take the seed of each episode from the rollout's slots, so that sampled actions depend on it alone."""
        self._episodes = slots

    def reset(self, index: int) -> None:
        if self._episodes:
            self.seed[index] = self._episodes[index].seed
        else:
            self.seed[index] += self.slots
        self.fresh[index] = True
        self.position[index] = self.timestep[index] = self.step[index] = 0
        self.last_action[index] = -1
        self.received[index] = 0.0
        self.waiting[index].clear()
        self.said[index] = None
        if self.prompts:
            self._read_prompt(index, self.prompts[int(self.seed[index]) % len(self.prompts)])

    def _read_prompt(self, index: int, prompt: TokenSequence) -> None:
        longest = max(len(sequence) for sequence in self.prompts)
        batch = _blank(self.player.sizes, self.layout, self.slots, longest, max(len(p.timestep) for p in self.prompts))
        _fill(batch, prompt, np.full(len(prompt), index), np.arange(len(prompt)))
        fresh = np.zeros(self.slots, bool)
        fresh[index] = True
        self.cache = self.player.prefill(self.player.state, self.cache, TokenBatch(**batch), fresh)
        self.fresh[index] = False
        self.position[index] = len(prompt)
        self.timestep[index] = int(prompt.timestep[-1]) + 1

    def act(self, observations: list[Any], active: list[int]) -> list[Any]:
        """Actions of the active slots, in the order of `active`, each a member of the action space.

        A slot whose last look left actions to be played plays these; where earlier timesteps are shown, what it
        observes is read all the same.
        """
        rows = np.asarray(active)
        looking = np.array([not self.waiting[row] for row in active])
        if looking.any():
            self._look([each for each, now in zip(observations, looking, strict=True) if now], rows[looking])
        if not looking.all() and self.layout.options.context != 1:
            self._read([each for each, now in zip(observations, looking, strict=True) if not now], rows[~looking])
        self.timestep[rows] += 1
        self.step[rows] += 1
        return [self.waiting[row].popleft() for row in active]

    def rest_of_chunk(self, slot: int) -> list[Any]:
        """What the last look of a slot chose beyond its first action; it counts as played from now on.

        None where earlier timesteps are shown, because what is observed between is then to be read.
        """
        if self.layout.options.context != 1:
            return []
        rest = list(self.waiting[slot])
        self.waiting[slot].clear()
        self.timestep[slot] += len(rest)
        self.step[slot] += len(rest)
        return rest

    def _look(self, observations: list[Any], rows: np.ndarray) -> None:
        """Read the observations of some slots and choose what they play until they look again."""
        batch, last = self._batch(observations, rows)
        ids, values, *chances, self.cache = self.player.act(
            self.player.state, self.cache, TokenBatch(**batch), last, self.fresh, self.spec, self.seed, self.step
        )
        ids, values = np.asarray(ids), np.asarray(values)
        self.chances = np.asarray(chances[0]) if chances else None
        self.fresh[rows] = False
        self._go_on(batch, last, rows)
        if not self.hidden:
            self.position[rows] += 1
            self.last_action[rows] = ids[rows, -1]
        each = (len(rows) * self.playing_of_chunk, self.layout.tokens_of_action)
        chosen = self.layout.decode_actions(ids[rows].reshape(each), values[rows].reshape(each))
        for number, row in enumerate(rows):
            self.waiting[row].extend(chosen[number * self.playing_of_chunk :][: self.playing_of_chunk])

    def _read(self, observations: list[Any], rows: np.ndarray) -> None:
        """Read the observations of some slots and choose nothing."""
        batch, last = self._batch(observations, rows)
        self.cache = self.player.prefill(self.player.state, self.cache, TokenBatch(**batch), np.zeros(self.slots, bool))
        self._go_on(batch, last, rows)

    def _go_on(self, batch: dict[str, np.ndarray], last: np.ndarray, rows: np.ndarray) -> None:
        """The next position is behind the action tokens that training has there, read or not."""
        self.last_action[rows] = -1
        step = 1 if self.layout.direct else self.layout.action_tokens
        self.position[rows] = batch["position"][rows, last[rows]] + step

    def receive(self, rewards: Sequence[float] | np.ndarray, active: Sequence[int]) -> None:
        """What the active slots were given for their last action; where the policy is attached, its slots say it."""
        self.received[np.asarray(active)] += np.asarray(rewards, np.float64)

    def _to_go(self, rows: np.ndarray) -> np.ndarray | None:
        """What is still to be returned by the episodes of some slots, float64[n]; None where that is not shown."""
        if self.target is None:
            return None
        if self._episodes:
            return self.target - np.array([self._episodes[row].episode_return for row in rows])
        return self.target - self.received[rows]

    def correct(self, actions: list[Any], active: list[int]) -> None:
        """The past becomes what was done in the active slots instead of what `act` chose: a demonstrator's actions.

        Of a layout that hides past actions nothing changes, as none is ever looked at.
        """
        if self.hidden:
            return
        rows, tokens = np.asarray(active), self.layout.action_tokens
        ids = self.layout.encode_actions(stack_observations(self.layout.action_space, actions))
        self.last_action[rows] = ids[:, -1]  # not in the cache yet
        if tokens == 1:
            return
        first = np.full(self.slots, np.iinfo(np.int32).max, np.int32)
        first[rows] = self.position[rows] - tokens
        batch = _blank(self.player.sizes, self.layout, self.slots, tokens - 1, 0)
        for slot, chosen in zip(rows, ids, strict=True):
            for column in range(tokens - 1):
                self._action_token(batch, slot, column, int(chosen[column]), int(first[slot]) + column)
        cache = forget_from(self.cache, jnp.asarray(first))
        self.cache = self.player.prefill(self.player.state, cache, TokenBatch(**batch), np.zeros(self.slots, bool))

    def _batch(self, observations: list[Any], rows: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The new positions of every slot [slots, columns] and the column of each slot's last one."""
        stacked = stack_observations(self.layout.observation_space, observations)
        shown = self._texts_due(observations, rows)
        sequence = self.layout.encode(
            stacked,
            None,
            timesteps=self.timestep[rows],
            segments=np.arange(1, len(rows) + 1),
            source=self.source,
            returns=self._to_go(rows),
            shown=shown,
        )
        columns = self.columns if shown.any() else self.few_columns
        batch = _blank(self.player.sizes, self.layout, self.slots, columns, 1)
        row = rows[sequence.segment - 1]
        before = self.last_action[row] >= 0
        _fill(batch, sequence, row, sequence.position + before)
        batch["position"][row, sequence.position + before] += self.position[row]
        batch["segment"][row, sequence.position + before] = 1
        for slot in rows[self.last_action[rows] >= 0]:
            # The last token of the previous action comes first: the cache does not hold it yet.
            self._action_token(batch, slot, 0, int(self.last_action[slot]), int(self.position[slot]) - 1)
        last = np.zeros(self.slots, np.int32)
        np.maximum.at(last, row, (sequence.position + before).astype(np.int32))
        return batch, last

    def _texts_due(self, observations: list[Any], rows: np.ndarray) -> np.ndarray:
        """bool[n]: whose texts are shown now, see `LayoutOptions.text_every`; what they say is remembered."""
        due = self.timestep[rows] % self.layout.options.text_every == 0
        for number, (row, observation) in enumerate(zip(rows, observations, strict=True)):
            said = tuple(pick(observation, leaf) for leaf in self.layout.text_leaves)
            due[number] |= said != self.said[row]
            self.said[row] = said
        return due

    def _action_token(self, batch: dict[str, np.ndarray], slot: int, column: int, id: int, position: int) -> None:
        """A token of the previous step's action at [slot, column]."""
        values = {
            "ids": id,
            "kind": int(Kind.ACTION),
            "local": NO_LOCAL,
            "timestep": self.timestep[slot] - 1,
            "position": position,
            "segment": 1,
            "source": self.source,
            "context": self.layout.options.context or UNLIMITED,
            "visible": True,
        }
        for name, value in values.items():
            batch[name][slot, column] = value


def played_of_chunk(decode: DecodeConfig, layout: Layout) -> int:
    """How many actions of one look are played. Raises ValueError where it is more than the layout predicts."""
    if decode.play_chunk > layout.options.chunk:
        raise ValueError(
            f"play_chunk {decode.play_chunk} asks for more actions of one look than this agent predicts, which is "
            f"{layout.options.chunk}: play at most that many, or train with --layout chunk={decode.play_chunk}"
        )
    return decode.play_chunk


def target_of(layout: Layout) -> float | None:
    """The return that play asks for, None where none is shown. Raises ValueError where it is not known."""
    if layout.return_field is not None and layout.target_return is None:
        raise ValueError(
            "this agent is shown what an episode will return, and of a task that it was not trained on it is not known "
            "what to ask for: let it learn the task from demonstrations (generalist adapt, or Agent.adapt)"
        )
    return layout.target_return if layout.return_field is not None else None


def stack_observations(space: Any, observations: Sequence[Any]) -> Any:
    """Single observations as one nested value whose leaves have a leading axis; text leaves are lists."""
    stacked = {}
    for leaf in leaves(space, "observation"):
        values = [pick(observation, leaf) for observation in observations]
        stacked[leaf.keys] = values if isinstance(values[0], str) else np.stack([np.asarray(value) for value in values])
    return assemble(space, lambda keys: stacked[keys])


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _prompt(layout: Layout, source: int, episode: Episode, room: int) -> TokenSequence:
    """The first timesteps of a demonstration that fit `room` tokens, as one segment."""
    return first_steps(layout, source, episode, max(1, room // layout.max_tokens))


def first_steps(layout: Layout, source: int, episode: Episode, count: int) -> TokenSequence:
    """The first `count` timesteps of an episode, or all if it has fewer, as one segment."""
    steps = np.arange(min(count, len(episode)))
    rows, known = next_steps(steps, np.full(len(steps), len(episode)), layout.options.chunk)
    return layout.encode(
        take(episode.observations, steps),
        take(episode.actions, rows),
        timesteps=steps,
        segments=np.ones(len(steps), int),
        source=source,
        known=known,
        returns=None if layout.return_field is None else to_go(episode.rewards)[steps],
    )


def as_batch(sizes: InputSizes, layout: Layout, sequence: TokenSequence) -> TokenBatch:
    """One sequence of a layout as a batch of one row, in the shapes that the network reads."""
    length = len(sequence)
    batch = _blank(sizes, layout, 1, length, length)
    _fill(batch, sequence, np.zeros(length, int), np.arange(length))
    return TokenBatch(**batch)


def _blank(sizes: InputSizes, layout: Layout, rows: int, columns: int, timesteps: int) -> dict[str, np.ndarray]:
    """A batch of padding for `timesteps` timesteps per row, as writable arrays."""
    capacity = Capacity(
        tokens=columns,
        targets=1,
        patches=layout.patch_count * timesteps,
        patch_values=layout.patch_values,
        vectors=layout.vector_count * timesteps,
        vector_values=sizes.vector_values,
        images=layout.image_count * timesteps,
        image_shape=layout.image_shape,
    )
    arrays = {name: np.zeros((rows, *shape), dtype) for name, (shape, dtype) in sequence_shapes(capacity).items()}
    for name in FEATURES:
        arrays[name][:] = columns
    arrays["context"][:] = 1
    return arrays


def _fill(batch: dict[str, np.ndarray], sequence: TokenSequence, row: np.ndarray, column: np.ndarray) -> None:
    """Write position i of `sequence` to [row[i], column[i]] of `batch`, its features to free places of the same row."""
    arrays = sequence.arrays()
    for name in TOKEN_FIELDS:
        batch[name][row, column] = arrays[name]
    for at, names in FEATURES.items():
        owner = row[arrays[at]]
        if not len(owner) or at == "answer_at":  # in play nothing is asked of what was
            continue
        starts = np.r_[0, np.flatnonzero(np.diff(owner)) + 1]
        place = np.arange(len(owner)) - np.repeat(starts, np.diff(np.r_[starts, len(owner)]))
        batch[at][owner, place] = column[arrays[at]]
        for name in names:
            value = arrays[name]
            if name == "vectors":
                batch[name][owner, place, : value.shape[1]] = value
            else:
                batch[name][owner, place] = value
