"""Noise on the expert's actions while it is recorded: what it does to the demonstrations and to a clone of them.

The recorded action stays the expert's own. For each level the same number of episodes, the expert's score in them (the
share of successes, or the mean return normalised by random play and the expert), and the score of a clone on selection
seeds: two layers of 256 units, fitted by scikit-learn alike for every task. `default` is what `collect` uses.
"""

import sys
import tempfile
import warnings

import numpy as np
from common import parser, save
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from generalist.envs.collect import collect
from generalist.envs.seeds import selection_seed
from generalist.envs.storage import Demonstrations
from generalist.envs.task import Task, find_task

LEVELS = (0.0, 0.2, 0.4)
EPISODES, PLAYED = 30, 20
METAWORLD = "assembly basketball pick-place push peg-insert-side door-open hammer sweep-into reach drawer-open"
TASKS = (
    *(f"metaworld/{name}-v3" for name in METAWORLD.split()),
    "MountainCarContinuous-v0",
    "Pendulum-v1",
    "InvertedPendulum-v5",
    "InvertedDoublePendulum-v5",
)


def measure(task: Task, noise: float, episodes: int, played: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        (summary,) = collect([task], folder, seed=0, episodes=episodes, noise=noise, workers=0, progress=False)
        steps = Demonstrations.open(summary.folder).load_steps()
    clone = fit(np.asarray(steps.observations, np.float64), np.asarray(steps.actions, np.float64))
    return {
        "task": task.id,
        "default": task.noise,
        "noise": noise,
        "steps": summary.steps,
        "demonstrations": score(task, summary.mean_return, summary.success),
        "clone": play(task, clone, played),
    }


def fit(observations: np.ndarray, actions: np.ndarray):
    """observation -> action, fitted on standardised observations."""
    scale = StandardScaler().fit(observations)
    model = MLPRegressor(
        hidden_layer_sizes=(256, 256), batch_size=256, max_iter=40, learning_rate_init=1e-3, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scale.transform(observations), actions if actions.shape[1] > 1 else actions[:, 0])
    return lambda observation: model.predict(scale.transform(np.asarray(observation, np.float64)[None]))[0]


def play(task: Task, act, episodes: int) -> float:
    env, returns, successes = task.make(), [], []
    space = env.action_space
    for number in range(episodes):
        observation, _ = env.reset(seed=selection_seed(number))
        total, success, over = 0.0, False, False
        while not over:
            action = np.clip(np.reshape(act(observation), space.shape), space.low, space.high).astype(space.dtype)
            observation, reward, terminated, truncated, info = env.step(action)
            total, success = total + float(reward), success or info.get("success", False)
            over = terminated or truncated
        returns.append(total)
        successes.append(success)
    env.close()
    return score(task, float(np.mean(returns)), float(np.mean(successes)))


def score(task: Task, mean: float, success: float | None) -> float:
    if task.score == "success":
        return float(success or 0)
    random, expert = task.random_reference, task.expert_reference
    assert random is not None
    assert expert is not None
    return (mean - random.mean) / (expert.mean - random.mean)


def main() -> None:
    options = parser(__doc__).parse_args()
    if options.small:
        rows = [measure(find_task("MountainCarContinuous-v0"), 0.2, 2, 1)]
    else:
        rows = []
        for task in map(find_task, TASKS):
            rows += [measure(task, noise, EPISODES, PLAYED) for noise in LEVELS]
            print(rows[-3:], file=sys.stderr, flush=True)
    save(options.out, "noise", rows)


if __name__ == "__main__":
    main()
