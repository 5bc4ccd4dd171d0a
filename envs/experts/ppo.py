"""PPO (Schulman et al. 2017) of Stable-Baselines3, for numbered actions; `generalist.envs.experts.training` runs it."""

from typing import Any

import gymnasium as gym

from generalist.envs.experts.learned import Chooser, layers_of
from generalist.envs.experts.settings import Settings

ALGORITHM = "PPO (Schulman et al. 2017)"
ROLLOUT, EPOCHS = 2048, 10
"""Steps that are walked before an update, and how often it goes over them: the library's own numbers."""


class FromZero(gym.ActionWrapper):
    """Actions numbered from 0, as the library has them; `first` is the number of the environment's own first one."""

    def __init__(self, env: gym.Env):
        super().__init__(env)
        numbered: Any = env.action_space
        self.first, self.action_space = int(numbered.start), gym.spaces.Discrete(numbered.n)

    def action(self, action: Any) -> int:
        return self.first + int(action)


def new_model(env: gym.Env, settings: Settings) -> Any:
    from stable_baselines3 import PPO
    from torch.nn import ReLU

    walked = min(ROLLOUT, settings.steps)
    batch = min(settings.batch, walked)
    return PPO(
        "MlpPolicy",
        FromZero(env),
        learning_rate=settings.learning_rate,
        n_steps=max(2, walked // batch * batch),
        batch_size=max(2, batch),
        n_epochs=EPOCHS,
        gamma=settings.discount,
        policy_kwargs={
            "net_arch": {"pi": list(settings.actor), "vf": list(settings.critic)},
            "activation_fn": ReLU,
            "optimizer_kwargs": {"fused": True},
        },
        seed=settings.seed,
        device="cpu",
    )


def actor_of(model: Any, provenance: dict[str, Any]) -> Chooser:
    """The policy of a `stable_baselines3.PPO` with "MlpPolicy", as arrays; its likeliest action is played."""
    layers = layers_of((*model.policy.mlp_extractor.policy_net, model.policy.action_net))
    return Chooser(layers, model.get_env().get_attr("first")[0], provenance)
