"""Milliseconds of one environment step of the agent, and where they go; decoding beside its memory bound.

A decoded token must read the trunk's parameters, the rows of the token table that may be chosen and the cache, so these
bytes over the measured read bandwidth are the least time it can take.
"""

import sys
import time
from dataclasses import dataclass

import jax
import numpy as np
from common import parser, read_bandwidth, save, seconds
from flax import nnx

from generalist.agent.acting import ActionSpec, make_act, make_prefill
from generalist.agent.config import AgentConfig, DecodeConfig, InputSizes
from generalist.agent.network import Network, unstacked
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.configs.gato_79m import config as gato_79m
from generalist.configs.quickstart import config as quickstart
from generalist.envs.table import find_task
from generalist.envs.task import Task
from generalist.play.policy import AgentPolicy, Player
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.sequence import TokenBatch
from generalist.tokenizers.vocabulary import Vocabulary

TASK = "metaworld/push-v3"


@dataclass(frozen=True)
class Setting:
    """A network and how it sees the task."""

    name: str
    agent: AgentConfig
    vocabulary: Vocabulary
    layout: Layout


def settings(task: Task) -> list[Setting]:
    """The quickstart's agent, and the paper's 79M network with vectors (float32 on a CPU)."""
    made = []
    for name, experiment, changes in (
        ("quickstart", quickstart(), {}),
        ("gato_79m", gato_79m(), {"dtype": "float32"} if jax.default_backend() == "cpu" else {}),
    ):
        train = experiment.train
        options = quickstart().train.sources[0].layout
        with_env = task.make()
        layout = Layout.from_spaces(
            with_env.observation_space, with_env.action_space, vocabulary=train.vocabulary, options=options
        )
        with_env.close()
        agent = AgentConfig(**{**vars(train.agent), **changes})
        made.append(Setting(name, agent, train.vocabulary, layout))
    return made


def player(setting: Setting) -> Player:
    """An untrained network: its speed is that of a trained one."""
    sizes = InputSizes(
        vocabulary=setting.vocabulary.size,
        sources=1,
        vector_values=setting.layout.vector_values,
        answers=setting.layout.answer_count,
    )
    with use_mesh(make_mesh(1)):
        network = nnx.jit(lambda: Network(setting.agent, sizes, rngs=nnx.Rngs(0)))()
    graphdef, state = nnx.split(unstacked(network))
    act = make_act(graphdef, setting.vocabulary, DecodeConfig())
    return Player(setting.agent, sizes, state, act, make_prefill(graphdef))


def measure(setting: Setting, played: Player, task: Task, slots: int, steps: int, bandwidth: float) -> dict:
    """One row: a batch of `slots` environments for `steps` steps."""
    envs = [task.make() for _ in range(slots)]
    policy = AgentPolicy(played, setting.layout, 0, slots=slots)
    active = list(range(slots))
    observations = []
    for index, env in enumerate(envs):
        observations.append(env.reset(seed=index)[0])
        policy.reset(index)
    whole, playing = [], []
    for _ in range(steps + 2):
        begun = time.perf_counter()
        actions = policy.act(observations, active)
        acted = time.perf_counter()
        observations = [env.step(action)[0] for env, action in zip(envs, actions, strict=True)]
        whole.append(acted - begun)
        playing.append(time.perf_counter() - acted)
    for env in envs:
        env.close()
    act, environment = float(np.median(whole[2:])), float(np.median(playing[2:]))
    rows = np.asarray(active)
    tokenizing = seconds(lambda: policy._batch(observations, rows))
    first, all_tokens = (compiled(policy, observations, rows, count) for count in (1, setting.layout.action_tokens))
    token = (all_tokens - first) / (setting.layout.action_tokens - 1)
    bound = token_bytes(played, policy) / bandwidth
    return {
        "agent": setting.name,
        "environments": slots,
        "act ms": 1e3 * act,
        "tokenize ms": 1e3 * tokenizing,
        "read+first token ms": 1e3 * first,
        "each more token ms": 1e3 * token,
        "environment ms": 1e3 * environment,
        "bound ms": 1e3 * bound,
        "token / bound": token / bound,
        "Hz": 1 / (act + environment),
        "env steps/s": slots / (act + environment),
    }


def token_bytes(played: Player, policy: AgentPolicy) -> int:
    """What a decoded token must read: the trunk, the rows of the table that are legal, the cache."""
    trunk = sum(leaf.nbytes for leaf in jax.tree.leaves(played.state["transformer"]))
    table = policy.spec.widest * played.config.width * np.dtype(played.config.dtype).itemsize
    return trunk + table + sum(leaf.nbytes for leaf in jax.tree.leaves(policy.cache))


def compiled(policy: AgentPolicy, observations: list, rows: np.ndarray, count: int) -> float:
    """Seconds of the compiled step alone when an action has `count` tokens."""
    batch, last = policy._batch(observations, rows)
    device_batch = jax.device_put(TokenBatch(**batch))
    layout = policy.layout
    spec = ActionSpec.of(layout.action_ranges[:count], layout.action_is_continuous[:count], visible=not policy.hidden)

    def once():
        ids, _, policy.cache = policy.player.act(
            policy.player.state, policy.cache, device_batch, last, policy.fresh, spec, policy.seed, policy.step
        )
        return ids

    return seconds(once, repeats=15, warmup=2)


def main() -> None:
    given = parser(__doc__.split("\n")[0]).parse_args()
    task = find_task(TASK)
    rows = []
    for setting in settings(task)[: 1 if given.small else None]:
        played = player(setting)
        for slots in (1, 8) if given.small else (1, 8, 64):
            rows.append(measure(setting, played, task, slots, 5 if given.small else 40, read_bandwidth()))
            print(rows[-1], file=sys.stderr)
    save(given.out, "acting", rows, task=TASK)


if __name__ == "__main__":
    main()
