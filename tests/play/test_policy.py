"""The agent as a policy plays what a full forward pass over the whole episode would, whatever happens beside it."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from acted import CASES, GREEDY, PLAYED, before, in_turns, layout_of, observed, player
from tiny import compilations
from token_examples import (
    CONFIG,
    DIRECT,
    SPACES,
    VOCABULARY,
    batch,
    hidden,
    jitted,
    network,
    padded,
    stacked,
    steps,
)

from generalist.agent.config import DecodeConfig
from generalist.agent.network import Network
from generalist.demonstrations.episode import Episode, EpisodeMetadata
from generalist.play.policy import AgentPolicy, stack_observations
from generalist.tokenizers.encoding import next_steps
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.sequence import Kind, TokenSequence


def demonstration(name: str, count: int, seed: int) -> Episode:
    observations, actions = steps(name, count + 1, seed)
    metadata = EpisodeMetadata(task_id="x", seed=0, episode_return=0.0, success=None, expert="x", noise=0.0)
    return Episode(
        observations=stacked(observations),
        actions=stacked(actions[:-1]),
        rewards=np.zeros(count, np.float32),
        terminated=True,
        truncated=False,
        metadata=metadata,
    )


def whole(layout: Layout, observations: list, actions: list, prompt: Episode | None, shown: int) -> TokenSequence:
    """The episode after its prompt as one sequence, as in training."""
    if prompt is not None:
        earlier = [stack_row(prompt.observations, i) for i in range(shown)]
        observations = earlier + observations
        actions = [stack_row(prompt.actions, i) for i in range(shown)] + actions
    return layout.encode(
        stack_observations(layout.observation_space, observations),
        stack_observations(layout.action_space, actions),
        timesteps=np.arange(len(observations)),
        segments=np.ones(len(observations), int),
        source=0,
    )


def stack_row(tree, index: int):
    if isinstance(tree, dict):
        return {key: stack_row(value, index) for key, value in tree.items()}
    return tree[index]


def greedy(name: str, layout: Layout, sequence: TokenSequence, length: int = 64) -> np.ndarray:
    """The likeliest legal id at every action position of a sequence, by one full forward pass [n, A]."""
    states = hidden(network(name), batch(padded(sequence, length)))[0, : len(sequence)]
    at = sequence.answer_at if layout.direct else np.flatnonzero(sequence.loss_mask)
    assert len(at) % layout.action_tokens == 0
    assert (sequence.kind[at[:: layout.action_tokens]] != Kind.ACTION).all()
    predicting = states[at]
    if layout.direct:
        predicting = np.asarray(jitted(_answered, network(name), states[at][None], sequence.answer_part[None]))[0]
    logits = predicting @ np.asarray(network(name).tokens.rows[...])[: VOCABULARY.size].T
    found = []
    for i, one in enumerate(logits):
        start, stop = layout.action_ranges[i % layout.action_tokens]
        found.append(start + one[start:stop].argmax())
    return np.reshape(found, (-1, layout.action_tokens))


def _answered(model: Network, states: jax.Array, part: jax.Array) -> jax.Array:
    return model.answer(states, part)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_a_policy_decides_as_a_full_forward_pass_would(name, options):
    """Four episodes in three slots: texts of different lengths, starts at different times, a slot used again."""
    layout = layout_of(name, options)
    policy = AgentPolicy(player(name), layout, 0, slots=3)
    policy.attach([SimpleNamespace(seed=0) for _ in range(3)])
    episodes = {number: observed(name, layout, number) for number in range(4)}
    in_turns(policy, before(layout, episodes, 1))
    with compilations() as compiled:
        played = in_turns(policy, episodes)
    assert compiled == []
    for number, actions in played.items():
        assert all(layout.action_space.contains(action) for action in actions)
        sequence = whole(layout, episodes[number], actions, None, 0)
        ids = layout.encode_actions(stack_observations(layout.action_space, actions))
        assert (greedy(name, layout, sequence) == ids).all()


CHUNKS = [
    ("vector", {"context": 1, "continuous": "vector"}, 3, 1),
    ("vector", {"context": 1, "separator": False}, 3, 2),
    ("vector", {"context": 3}, 3, 3),
    ("discrete", {}, 2, 2),
    ("vector", {"actions": "direct", "context": 1}, 3, 2),
    ("discrete", {"actions": "direct"}, 4, 3),
    ("patches", {"actions": "direct", "context": 2, "max_text_tokens": 5, "predict_text": False}, 2, 2),
    ("patches", {"actions": "direct", "text_every": 3, "max_text_tokens": 5, "predict_text": False}, 2, 2),
]


@pytest.mark.parametrize(("name", "options", "chunk", "played_of_it"), CHUNKS, ids=str)
def test_chunks_are_played_as_a_full_forward_pass_would(name, options, chunk, played_of_it):
    """Five timesteps, so that episodes end inside a chunk, and slots are used again then."""
    layout = layout_of(name, options | {"past_actions": "hidden", "chunk": chunk})
    policy = AgentPolicy(player(name, replace(GREEDY, play_chunk=played_of_it)), layout, 0, slots=3)
    policy.attach([SimpleNamespace(seed=0) for _ in range(3)])
    episodes = {number: observed(name, layout, number) for number in range(4)}
    in_turns(policy, before(layout, episodes, chunk))
    with compilations() as compiled:
        played = in_turns(policy, episodes)
    assert compiled == []
    for number, actions in played.items():
        sequence = layout.encode(
            stack_observations(layout.observation_space, episodes[number]),
            stack_observations(layout.action_space, _chunked(actions, chunk)),
            timesteps=np.arange(PLAYED),
            segments=np.ones(PLAYED, int),
            source=0,
        )
        ids = layout.encode_actions(stack_observations(layout.action_space, actions))
        forced = greedy(name, layout, sequence, 160).reshape(PLAYED, chunk, -1)
        for look in range(0, PLAYED, played_of_it):
            until = min(look + played_of_it, PLAYED)
            assert forced[look, : until - look].tolist() == ids[look:until].tolist()


def test_between_looks_of_one_timestep_the_network_is_not_asked():
    layout = layout_of("vector", {"past_actions": "hidden", "chunk": 3, "context": 1})
    asked = []
    whole_player = player("vector", replace(GREEDY, play_chunk=3))
    counting = replace(whole_player, act=lambda *given: asked.append(0) or whole_player.act(*given), prefill=None)
    policy = AgentPolicy(counting, layout, 0, slots=1)
    policy.reset(0)
    for observation in steps("vector", 7)[0]:
        policy.act([observation], [0])
    assert len(asked) == 3


def test_the_rest_of_a_chunk_counts_as_played():
    """Actions are drawn by their timestep: taken two at a time they are those that are played one by one."""
    layout = layout_of("vector", {"past_actions": "hidden", "chunk": 2, "context": 1})
    drawing = player("vector", DecodeConfig(continuous="sample", play_chunk=2))
    whole, single = (AgentPolicy(drawing, layout, 0, slots=slots) for slots in (2, 1))
    for policy, slot in ((whole, 1), (single, 0)):
        policy.reset(slot)
        policy.seed[slot] = 5
    observations = steps("vector", 6)[0]

    taken = []
    for observation in observations[::2]:
        taken += [*whole.act([observation], [1]), *whole.rest_of_chunk(1)]
    one_by_one = [single.act([observation], [0])[0] for observation in observations]

    assert [np.asarray(each).tolist() for each in taken] == [np.asarray(each).tolist() for each in one_by_one]


def test_where_the_past_is_shown_no_chunk_is_taken_whole():
    layout = layout_of("vector", {"past_actions": "hidden", "chunk": 2, "context": 2})
    policy = AgentPolicy(player("vector", replace(GREEDY, play_chunk=2)), layout, 0, slots=1)
    policy.reset(0)
    policy.act(steps("vector", 1)[0], [0])

    assert policy.rest_of_chunk(0) == []
    assert len(policy.waiting[0]) == 1


def test_a_text_is_read_where_it_is_due_and_fewer_columns_where_none_is():
    """Two slots, one a step later, whose mission changes at its second timestep; then the first begins anew."""
    options = {**DIRECT, "context": 2, "text_every": 2, "max_text_tokens": 5, "predict_text": False}
    layout, read = layout_of("patches", options), []

    def act(state, cache, batch, *_):
        read.append((batch.ids.shape[1], np.flatnonzero((batch.kind == Kind.TEXT).any(axis=1)).tolist()))
        return np.tile(layout.action_ranges[:, 0], (2, 1)), np.zeros((2, 1)), cache

    policy = AgentPolicy(replace(player("patches"), act=act), layout, 0, slots=2)
    image = steps("patches", 1)[0][0]["image"]
    for missions, begins in (("a", 0), ("aa", 1), ("ab", None), ("a", None), ("a", 0)):
        if begins is not None:
            policy.reset(begins)
        policy.act([{"image": image, "mission": mission} for mission in missions], list(range(len(missions))))
    wide, few = layout.acting_tokens, layout.acting_tokens_without_text
    assert few < wide
    assert read == [(wide, [0]), (wide, [1]), (wide, [0, 1]), (few, []), (wide, [0])]


def test_more_of_a_chunk_than_there_is_cannot_be_played():
    with pytest.raises(ValueError, match=r"play_chunk 3 asks for more.*which is 2.*--layout chunk=3"):
        AgentPolicy(
            player("vector", replace(GREEDY, play_chunk=3)),
            layout_of("vector", {"past_actions": "hidden", "chunk": 2}),
            0,
            slots=1,
        )
    with pytest.raises(ValueError, match="play_chunk must be at least 1"):
        DecodeConfig(play_chunk=0)


RETURNS = {"returns": "to_go", "past_actions": "hidden"}
STATISTICS = {"return": ([4.0], [2.0])}


@pytest.mark.parametrize("attached", [True, False])
@pytest.mark.parametrize("options", [{}, {"context": 2, "chunk": 2}], ids=str)
def test_the_target_less_what_was_received_is_shown(attached, options):
    """Two slots, one a step later; the slots of a rollout say what was received, or whoever calls does."""
    plain = layout_of("vector", RETURNS | options)
    layout = replace(plain, statistics=STATISTICS, target_return=7.0)
    policy = AgentPolicy(player("vector"), layout, 0, slots=3)
    told = [SimpleNamespace(seed=0, episode_return=0.0) for _ in range(3)]
    if attached:
        policy.attach(told)
    seen = {slot: steps("vector", PLAYED, seed=slot)[0] for slot in range(2)}
    rewards = np.random.default_rng(0).normal(0, 3, (2, PLAYED))
    done: dict[int, list] = {0: [], 1: []}
    for episode in range(2):
        for slot in range(2):
            policy.reset(slot)
            told[slot].episode_return, done[slot] = 0.0, []
        for turn in range(PLAYED + 1):
            active = [slot for slot in range(2) if 0 <= turn - slot < PLAYED]
            chosen = policy.act([seen[slot][turn - slot] for slot in active], active)
            for slot, action in zip(active, chosen, strict=True):
                done[slot].append(action)
                told[slot].episode_return += rewards[slot, turn - slot]
            if not attached:
                policy.receive([rewards[slot, turn - slot] for slot in active], active)
        for slot in range(2):
            sequence = layout.encode(
                stack_observations(layout.observation_space, seen[slot]),
                stack_observations(layout.action_space, _chunked(done[slot], layout.options.chunk)),
                timesteps=np.arange(PLAYED),
                segments=np.ones(PLAYED, int),
                source=0,
                returns=7.0 - np.concatenate([[0.0], np.cumsum(rewards[slot])[:-1]]),
            )
            ids = layout.encode_actions(stack_observations(layout.action_space, done[slot]))
            forced = greedy("vector", layout, sequence)[:, : layout.tokens_of_action]
            assert forced.tolist() == ids.tolist(), f"episode {episode}, slot {slot}"


def _chunked(actions: list, chunk: int) -> list:
    rows, _ = next_steps(np.arange(len(actions)), np.full(len(actions), len(actions)), chunk)
    return [actions[row] for row in rows]


def test_without_a_target_nothing_is_played():
    with pytest.raises(ValueError, match="not known what to ask for: let it learn the task from demonstrations"):
        AgentPolicy(player("vector"), layout_of("vector", RETURNS), 0, slots=1)


def test_a_prompt_is_read_first_and_nothing_compiles_again():
    """Prompts of two lengths; the longer one is cut at half the window."""
    layout = layout_of("discrete", {})
    prompts = [demonstration("discrete", 3, seed=50), demonstration("discrete", 20, seed=51)]
    policy = AgentPolicy(player("discrete"), layout, 0, slots=2, prompts=prompts)
    policy.attach([SimpleNamespace(seed=0) for _ in range(2)])
    shown = [3, CONFIG.window // 2 // layout.max_tokens]
    assert [len(prompt) // layout.max_tokens for prompt in policy.prompts] == shown
    episodes = {number: steps("discrete", PLAYED, seed=number)[0] for number in range(4)}
    in_turns(policy, {0: episodes[0][:1]})
    with compilations() as compiled:
        played = in_turns(policy, episodes)
    assert compiled == []
    different = 0
    for number, actions in played.items():
        which = number % 2
        sequence = whole(layout, episodes[number], actions, prompts[which], shown[which])
        ids = layout.encode_actions(stack_observations(layout.action_space, actions))
        assert (greedy("discrete", layout, sequence)[shown[which] :] == ids).all()
        alone = whole(layout, episodes[number], actions, None, 0)
        different += (greedy("discrete", layout, alone) != ids).any()
    assert different, "without its prompt an episode would be played differently"


def test_a_layout_of_limited_context_gets_no_prompt_and_a_small_cache():
    layout = layout_of("vector", {"context": 2})
    policy = AgentPolicy(player("vector"), layout, 0, slots=2, prompts=[demonstration("vector", 20, seed=50)])
    assert policy.prompts == []
    assert policy.cache.marks.segment.shape[1] < CONFIG.window


def test_sampled_actions_do_not_depend_on_the_number_of_slots():
    """The same episodes, one at a time and three at a time."""
    layout = layout_of("discrete", {})
    decode = replace(GREEDY, discrete="sample", temperature=20.0)
    episodes = {number: steps("discrete", PLAYED, seed=number)[0] for number in range(4)}
    found = []
    for slots in (1, 3):
        policy = AgentPolicy(player("discrete", decode), layout, 0, slots=slots)
        policy.attach([SimpleNamespace(seed=0) for _ in range(slots)])
        found.append(in_turns(policy, episodes))
    assert jax.tree.map(np.array_equal, found[0], found[1]) == jax.tree.map(lambda _: True, found[0])
    assert len({str(actions) for actions in found[0].values()}) > 1


def test_every_step_is_drawn_anew():
    """At this temperature all logits are equal, so that only the key of a step can make actions differ."""
    policy = AgentPolicy(
        player("discrete", replace(GREEDY, discrete="sample", temperature=1e9)), layout_of("discrete", {}), 0, slots=1
    )
    policy.reset(0)
    assert len({str(policy.act([3], [0])) for _ in range(10)}) > 1


def test_observations_are_stacked_leaf_by_leaf():
    space = SPACES["patches"][0]
    observations = [space.sample() for _ in range(3)]
    found = stack_observations(space, observations)
    assert found["image"].shape == (3, 8, 16, 3)
    assert list(found["mission"]) == [one["mission"] for one in observations]


@pytest.mark.parametrize(
    ("name", "options"), [("discrete", {}), ("vector", {}), ("tokens", {}), ("vector", {"past_actions": "hidden"})]
)
def test_the_past_can_be_what_a_demonstrator_did(name, options):
    """Shown a demonstration step by step, its actions put in place of the policy's own; two slots, one step apart."""
    layout = layout_of(name, options)
    told = [demonstration(name, PLAYED, seed=number) for number in range(2)]

    def first_tokens(corrected: bool) -> np.ndarray:
        policy = AgentPolicy(player(name), layout, 0, slots=3)
        found = np.zeros((2, PLAYED), int)
        for turn in range(PLAYED + 1):
            active = [slot for slot in range(2) if 0 <= turn - slot < PLAYED]
            shown = [stack_row(told[slot].observations, turn - slot) for slot in active]
            chosen = policy.act(shown, active)
            ids = layout.encode_actions(stack_observations(layout.action_space, chosen))
            for slot, row in zip(active, ids, strict=True):
                found[slot, turn - slot] = row[0]
            if corrected:
                policy.correct([stack_row(told[slot].actions, turn - slot) for slot in active], active)
        return found

    def forced(episode: Episode) -> np.ndarray:
        observations = [stack_row(episode.observations, step) for step in range(PLAYED)]
        actions = [stack_row(episode.actions, step) for step in range(PLAYED)]
        return greedy(name, layout, whole(layout, observations, actions, None, 0))[:, 0]

    expected = np.stack([forced(episode) for episode in told])
    assert first_tokens(True).tolist() == expected.tolist()
    if layout.options.past_actions == "shown":
        assert first_tokens(False).tolist() != expected.tolist(), "its own actions would have done as well"
