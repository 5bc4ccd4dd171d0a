"""Episodes of made-up observations, and policies of untrained networks that play them in turns."""

from flax import nnx
from token_examples import CONFIG, DIRECT, OPTIONS, SPACES, VOCABULARY, network, steps

from generalist.agent.acting import make_act, make_prefill
from generalist.agent.config import DecodeConfig
from generalist.play.policy import AgentPolicy, Player
from generalist.tokenizers.layout import Layout, LayoutOptions

GREEDY = DecodeConfig(continuous="mode")
CASES = [
    ("tokens", {}),
    ("vector", {"past_actions": "hidden", "context": 2}),
    ("discrete", {"past_actions": "hidden", "separator": False}),
    ("vector", {**DIRECT, "context": 1}),
    ("vector", {**DIRECT, "context": 2, "separator": False}),
    ("discrete", DIRECT),
    ("patches", {"max_text_tokens": 5, "predict_text": False}),
    ("patches", {"max_text_tokens": 5, "predict_text": False, "text_every": 3}),
    ("conv", {"max_text_tokens": 5, "predict_text": False, "past_actions": "hidden"}),
    ("conv", {"max_text_tokens": 5, "predict_text": False, **DIRECT, "context": 3, "text_every": 2}),
]
PLAYED = 5
"""Timesteps of each episode that is compared."""


def layout_of(name: str, options: dict) -> Layout:
    chosen = LayoutOptions(**OPTIONS[name] | options)
    return Layout.from_spaces(*SPACES[name], vocabulary=VOCABULARY, options=chosen)


def observed(name: str, layout: Layout, number: int) -> list:
    """What an episode shows; where texts come and go, a mission that changes once, in each episode at another time."""
    observations = steps(name, PLAYED, seed=number)[0]
    if layout.options.text_every == 1:
        return observations
    missions = [observations[step > number]["mission"] for step in range(PLAYED)]
    return [each | {"mission": mission} for each, mission in zip(observations, missions, strict=True)]


def before(layout: Layout, episodes: dict[int, list], count: int) -> dict[int, list]:
    """What is played first, so that all is compiled: `count` timesteps, or all where texts come and go."""
    return episodes if layout.options.text_every > 1 else {0: episodes[0][:count]}


def player(name: str, decode: DecodeConfig = GREEDY) -> Player:
    graphdef, state = nnx.split(network(name))
    made = make_act(graphdef, VOCABULARY, decode), make_prefill(graphdef)
    return Player(CONFIG, network(name).sizes, state, *made, decode)


def in_turns(policy: AgentPolicy, episodes: dict[int, list]) -> dict[int, list]:
    """Play episodes, of which later ones start later and so take turns that change in size; actions by episode."""
    actions: dict[int, list] = {number: [] for number in episodes}
    slots: dict[int, int] = {}
    waiting, free = list(episodes), list(range(policy.slots))
    while waiting or slots:
        if waiting and free:
            slot = free.pop()
            slots[slot] = policy._episodes[slot].seed = waiting.pop(0)
            policy.reset(slot)
        active = sorted(slots)
        given = [episodes[slots[slot]][len(actions[slots[slot]])] for slot in active]
        for slot, action in zip(active, policy.act(given, active), strict=True):
            number = slots[slot]
            actions[number].append(action)
            if len(actions[number]) == len(episodes[number]):
                del slots[slot]
                free.append(slot)
    return actions
