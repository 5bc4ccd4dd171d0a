"""Noise on the expert's actions while it is recorded: what it does to the demonstrations and to a clone of them.

The recorded action stays the expert's own. For each level the same number of episodes, the expert's score in them (the
share of successes, or the mean return normalised by random play and the expert), and the score of a clone on selection
seeds: two layers of 256 units, fitted by scikit-learn alike for every task, on the numbers that the plain baselines
see. `default` is what `collect` uses.
"""

import sys
import tempfile
import warnings
from typing import Any

import numpy as np
from common import parser, save
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from generalist.demonstrations.collect import collect
from generalist.demonstrations.storage import Demonstrations
from generalist.envs.seeds import selection_seed
from generalist.envs.table import find_task
from generalist.envs.task import Task
from generalist.eval.baselines.actions import Columns, action_columns
from generalist.eval.baselines.features import fit_features
from generalist.eval.baselines.fitted import FittedPolicy
from generalist.play.rollout import rollout, scores

LEVELS = (0.0, 0.2, 0.4)
PLAYED = 20
METAWORLD = "assembly basketball pick-place push peg-insert-side door-open hammer sweep-into reach drawer-open"
TASKS = {f"metaworld/{name}-v3": 30 for name in METAWORLD.split()} | {
    "MountainCarContinuous-v0": 30,
    "Pendulum-v1": 30,
    "InvertedPendulum-v5": 10,
    "InvertedDoublePendulum-v5": 10,
    "Reacher-v5": 200,
    "dm_control/cartpole-swingup": 10,
    "dm_control/pendulum-swingup": 10,
    "dm_control/point_mass-easy": 10,
    "dm_control/reacher-easy": 10,
    "FetchPush-v4": 100,
    "FetchPickAndPlace-v4": 100,
    "PointMaze_UMaze-v3": 60,
    "CartPole-v1": 20,
    "LunarLander-v3": 30,
    "Taxi-v4": 600,
    "babyai_symbolic/GoToLocal": 1000,
}
"""Tasks of eight families, and episodes of each that give one to ten thousand steps."""


def measure(task: Task, noise: float, episodes: int, played: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        (summary,) = collect([task], folder, seed=0, episodes=episodes, noise=noise, workers=0, quiet=True)
        clone = fit(Demonstrations.open(summary.folder))
    results = rollout(task, clone, [selection_seed(number) for number in range(played)], slots=1)
    success = np.mean([bool(result.success) for result in results])
    return {
        "task": task.id,
        "default": task.noise,
        "noise": noise,
        "steps": summary.steps,
        "demonstrations": score(task, summary.mean_return, summary.success or 0.0),
        "clone": score(task, float(scores(results, "return").mean()), float(success)),
    }


def fit(demonstrations: Demonstrations) -> FittedPolicy:
    """A network for the numbers of an action, and one for each of its classes."""
    observations, actions = demonstrations.columns().take(np.arange(int(demonstrations.lengths.sum())))
    columns = action_columns(demonstrations.action_space)
    shown = columns.encode(actions)
    encode = fit_features(demonstrations.observation_space, observations)
    x = encode.stacked(observations)
    numbers = [fitted(MLPRegressor, x, shown.numbers)] if len(columns.low) else []
    classes = [fitted(MLPClassifier, x, column) for column in shown.classes.T]

    def predict(rows: np.ndarray) -> Columns:
        said = [model.predict(rows).reshape(len(rows), -1) for model in numbers] or [np.zeros((len(rows), 0))]
        chosen = [model.predict(rows) for model in classes]
        none = np.zeros((len(rows), 0), np.int64)
        return Columns(said[0], np.stack(chosen, axis=1) if chosen else none)

    parameters = sum(part.size for model in (*numbers, *classes) for part in (*model.coefs_, *model.intercepts_))
    return FittedPolicy(encode, columns, predict, *x.shape, parameters)


def fitted(kind: type, x: np.ndarray, y: np.ndarray) -> Any:
    model = kind(hidden_layer_sizes=(256, 256), batch_size=256, max_iter=40, learning_rate_init=1e-3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y)


def score(task: Task, mean: float, success: float) -> float:
    """The share of successes, or the mean return between random play (0) and the expert (1)."""
    if task.score == "success":
        return success
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
        for id, episodes in TASKS.items():
            rows += [measure(find_task(id), noise, episodes, PLAYED) for noise in LEVELS]
            print(rows[-3:], file=sys.stderr, flush=True)
    save(options.out, "noise", rows)


if __name__ == "__main__":
    main()
