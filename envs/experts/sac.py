"""SAC (Haarnoja et al. 2018) of Stable-Baselines3, for actions of a box; `generalist.envs.experts.training` runs it."""

from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.experts.learned import Actor, layers_of
from generalist.envs.experts.settings import ROUND, Settings

ALGORITHM = "SAC (Haarnoja et al. 2018)"
BUFFER = 300_000
"""Steps that are remembered."""

WARM_UP = 5_000
"""Steps of uniformly random actions before the first update; a tenth of a shorter training."""


def new_model(env: gym.Env, settings: Settings) -> Any:
    from stable_baselines3 import SAC

    return SAC(
        "MlpPolicy",
        env,
        learning_rate=settings.learning_rate,
        buffer_size=min(BUFFER, settings.steps + ROUND),
        learning_starts=min(WARM_UP, settings.steps // 10),
        batch_size=settings.batch,
        tau=settings.averaging,
        gamma=settings.discount,
        train_freq=ROUND,
        gradient_steps=round(settings.updates * ROUND),
        policy_kwargs={
            "net_arch": {"pi": list(settings.actor), "qf": list(settings.critic)},
            "optimizer_kwargs": {"fused": True},  # a sixth faster on a CPU
        },
        seed=settings.seed,
        device="cpu",  # networks this small lose more by copying than an accelerator gains
    )


def actor_of(model: Any, provenance: dict[str, Any]) -> Actor:
    """The deterministic actor of a `stable_baselines3.SAC` with the policy "MlpPolicy", as arrays."""
    network = model.policy.actor
    layers, box = layers_of((*network.latent_pi, network.mu)), model.action_space
    return Actor(layers, box.low.astype(np.float32), box.high.astype(np.float32), provenance)
