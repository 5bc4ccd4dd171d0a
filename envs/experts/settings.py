"""How an expert is trained."""

from dataclasses import dataclass

ROUND = 64
"""Steps that SAC walks before their updates are made."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train.

    Args:
        steps: steps of the environment.
        seed: of the networks, the random actions and the first reset.
        updates: per step of the environment, after the warm-up. PPO has its own number, and no slow copies.
        batch: steps that an update is made on.
        learning_rate: Adam's.
        discount: per step.
        averaging: share of the critics that their slow copies take at each update (tau).
        actor, critic: hidden sizes. SAC trains two critics, PPO one, and none is kept.
        every: steps between two evaluations.
        episodes: of an evaluation, by the mean return of which the best actor is chosen. With few of them one that
            falls now and then is taken for one that never does.
    """

    steps: int
    seed: int = 0
    updates: float = 1.0
    batch: int = 256
    learning_rate: float = 3e-4
    discount: float = 0.99
    averaging: float = 0.005
    actor: tuple[int, ...] = (64, 64)
    critic: tuple[int, ...] = (128, 128)
    every: int = 10_000
    episodes: int = 10

    def __post_init__(self):
        for name in ("steps", "batch", "every", "episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")
        if not 1 / ROUND <= self.updates <= ROUND:
            raise ValueError(f"updates must be at least 1/{ROUND} and at most {ROUND} a step, got {self.updates}")
        for name in ("learning_rate", "discount", "averaging"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {getattr(self, name)}")
        for name in ("actor", "critic"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise ValueError(f"{name} must be hidden sizes of at least 1, got {getattr(self, name)}")
