"""A made-up evaluation of eighteen tasks with plausible numbers."""

import numpy as np
import pytest
from corridor import broken_corridor, corridor  # noqa: F401 (fixtures)

from generalist.eval.report.record import PolicyRecord, Report, TaskRecord

# id, family, random mean, expert mean, normalised: constant, linear, 1-NN, agent; spread; horizon
ROWS = [
    ("CartPole-v1", "classic_control", 21.3, 500, -0.03, 1.0, 0.95, 1.0, 0.02, 500),
    ("Acrobot-v1", "classic_control", -499.5, -87.3, 0.0, 0.93, 0.96, 1.0, 0.05, 500),
    ("MountainCar-v0", "classic_control", -200, -103.6, 0.0, 0.84, 0.97, 0.96, 0.15, 200),
    ("MountainCarContinuous-v0", "classic_control", -32.2, 94.7, 0.25, 0.98, 0.99, 1.0, 0.01, 999),
    ("Pendulum-v1", "classic_control", -1185, -143, 0.09, 0.12, 0.88, 0.97, 0.09, 200),
    ("Taxi-v4", "toy_text", -770, 8.2, 0.73, 1.0, 0.99, 1.0, 0.004, 200),
    ("FrozenLake8x8-v1", "toy_text", 0.01, 0.84, 0.41, 1.03, 1.01, 1.02, 0.4, 200),
    ("CliffWalking-v1", "toy_text", -2055, -13, 0.91, 1.0, 1.0, 1.0, 0.0, 200),
    ("InvertedPendulum-v5", "mujoco", 4.4, 1000, 0.002, 1.0, 0.81, 1.0, 0.0, 1000),
    ("Reacher-v5", "mujoco", -43.2, -3.5, 0.79, 0.81, 0.86, 0.96, 0.04, 50),
    ("babyai/GoToRedBallNoDists", "babyai", 0.11, 0.93, 0.01, 0.55, 0.62, 0.99, 0.1, 64),
    ("babyai/GoToObj", "babyai", 0.12, 0.93, 0.02, 0.31, 0.44, 0.98, 0.15, 64),
    ("babyai/OpenRedDoor", "babyai", 0.09, 0.92, 0.02, 0.7, 0.72, 1.0, 0.05, 128),
    ("babyai/GoToLocalS5N2", "babyai", 0.2, 0.89, 0.03, 0.22, 0.41, 0.87, 0.3, 64),
    ("metaworld/drawer-close-v3", "metaworld", 0.2, 1, -0.2, 1.0, 1.0, 1.0, 0.0, 500),
    ("metaworld/button-press-topdown-v3", "metaworld", 0.0, 1, 0.0, 0.7, 0.5, 0.95, 0.3, 500),
    ("metaworld/door-open-v3", "metaworld", 0.0, 1, 0.0, 0.4, 0.55, 0.85, 0.4, 500),
    ("metaworld/push-v3", "metaworld", 0.0, 1, 0.0, 0.05, 0.3, 0.7, 0.4, 500),
]


def made_up_report(seed: int = 0) -> Report:
    rng = np.random.default_rng(seed)
    return Report(
        name="quickstart, seed 0",
        created="2026-11-22 23:10 UTC",
        tasks=tuple(_task(row, rng) for row in ROWS),
        configuration={
            "name": "quickstart",
            "agent": {"width": 64, "layers": 2, "heads": 4, "window": 64},
            "training": {"seconds": 480, "learning_rate": 3e-3, "weights": {row[0]: 1.0 for row in ROWS}},
        },
        versions={"python": "3.11.7", "jax": "0.10.2", "flax": "0.12.8", "gymnasium": "1.4.0", "mujoco": "3.3.0"},
        timings={"collect": 64.2, "train": 481.0, "evaluate": 151.7, "baselines": 24.1, "films": 31.0, "total": 752.0},
    )


def _task(row: tuple, rng: np.random.Generator) -> TaskRecord:
    id, family, random, expert, constant, linear, neighbour, agent, spread, horizon = row
    count = 20 if family == "metaworld" else 50
    levels = {"random": 0.0, "expert": 1.0, "constant": constant, "linear": linear, "nearest_neighbour": neighbour}
    succeeds = family in ("babyai", "metaworld", "toy_text")

    def record(name: str, level: float) -> PolicyRecord:
        mean = random + level * (expert - random)
        if family == "metaworld":
            successes = tuple(bool(one) for one in np.arange(count) < round(np.clip(mean, 0, 1) * count))
            returns = tuple(float(2000 * one + rng.normal(900, 90)) for one in successes)
        else:
            wobble = rng.normal(0, spread * abs(expert - random) + 1e-9, count)
            returns = tuple(float(one) for one in mean + wobble - wobble.mean())
            successes = tuple(bool(one) for one in rng.random(count) < np.clip(mean, 0, 1)) if succeeds else None
        lengths = tuple(int(one) for one in rng.integers(horizon // 3, horizon + 1, count))
        details = {"action": 1, "choice": "each action"} if name == "constant" else {}
        return PolicyRecord(returns=returns, successes=successes, lengths=lengths, seconds=1.5, details=details)

    return TaskRecord(
        id=id,
        family=family,
        score="success" if family == "metaworld" else "return",
        horizon=horizon,
        seeds=tuple(range(2**30, 2**30 + count)),
        policies={name: record(name, level) for name, level in (levels | {"agent": agent}).items()},
        agreement=float(rng.uniform(0.8, 1.0)),
    )


def made_up_metrics(lines: int = 400) -> list[dict]:
    rng = np.random.default_rng(1)
    floors = {row[0]: rng.uniform(0.02, 0.6) for row in ROWS}
    rows = []
    for step in range(10, 10 * lines + 1, 10):
        sources = {
            id: {
                "loss": float((floor + 5 * np.exp(-step / 150) + 1.2 * np.exp(-step / 900)) * rng.lognormal(0, 0.12)),
                "accuracy": float(1 - floor / 2 - 0.5 * np.exp(-step / 500)),
                "tokens": 300,
            }
            for id, floor in floors.items()
        }
        loss = float(np.mean([one["loss"] for one in sources.values()]))
        rows.append({"step": step, "loss": loss, "sources": sources, "tokens_per_second": 31_000.0})
    return rows


@pytest.fixture(scope="session")
def report() -> Report:
    return made_up_report()


@pytest.fixture(scope="session")
def metrics() -> list[dict]:
    return made_up_metrics()
