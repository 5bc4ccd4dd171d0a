"""Environment steps per second of evaluation, one environment at a time and many at once, beside the bare environments.

The agent is the quickstart's network, untrained: its speed is that of a trained one. The bare environment is stepped
with random actions that were drawn before, in the same process.
"""

import sys
import time

from acting import Setting, player
from common import parser, save

from generalist.configs.quickstart import config as quickstart
from generalist.envs.seeds import evaluation_seed
from generalist.envs.table import find_task
from generalist.envs.task import Task
from generalist.play.policy import AgentPolicy
from generalist.play.rollout import rollout
from generalist.tokenizers.layout import Layout

TASKS = ("CartPole-v1", "Reacher-v5", "metaworld/push-v3")


def bare(task: Task, steps: int) -> float:
    """Steps per second of one environment with random actions."""
    env = task.make()
    env.reset(seed=evaluation_seed(0))
    actions = [env.action_space.sample() for _ in range(steps)]
    begun, resets = time.perf_counter(), 0.0
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            reset = time.perf_counter()
            env.reset()
            resets += time.perf_counter() - reset
    spent = time.perf_counter() - begun - resets
    env.close()
    return steps / spent


def agent(task: Task, slots: int, episodes: int) -> float:
    """Steps per second of whole episodes of the agent."""
    train = quickstart().train
    env = task.make()
    layout = Layout.from_spaces(
        env.observation_space, env.action_space, vocabulary=train.vocabulary, options=train.sources[0].layout
    )
    env.close()
    policy = AgentPolicy(player(Setting("quickstart", train.agent, train.vocabulary, layout)), layout, 0, slots=slots)
    seeds = [evaluation_seed(number) for number in range(episodes)]
    rollout(task, policy, seeds[:slots][:1], slots=slots)
    begun = time.perf_counter()
    results = rollout(task, policy, seeds, slots=slots)
    return sum(result.length for result in results) / (time.perf_counter() - begun)


def main() -> None:
    given = parser(__doc__.split("\n")[0]).parse_args()
    rows = []
    for name in TASKS[: 1 if given.small else None]:
        task = find_task(name)
        plain = bare(task, 200 if given.small else 2000)
        counts = (1, 4) if given.small else (1, 8, 64)
        # As many episodes as slots, several at least; an untrained agent's episodes differ in length.
        speeds = {slots: agent(task, slots, max(4, 2 * slots)) for slots in counts}
        for slots, speed in speeds.items():
            rows.append(
                {
                    "task": name,
                    "environments": slots,
                    "steps/s": speed,
                    "of one at a time": speed / speeds[1],
                    "bare steps/s": plain,
                    "of bare": speed / plain,
                }
            )
            print(rows[-1], file=sys.stderr)
    save(given.out, "rollout", rows)


if __name__ == "__main__":
    main()
