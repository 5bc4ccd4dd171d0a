"""How a trained agent is measured."""

from dataclasses import dataclass, field
from typing import Literal

from generalist.agent.config import DecodeConfig


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Settings of an evaluation; chosen on the selection seeds, never on the evaluation seeds.

    Args:
        episodes: per task and policy, on the evaluation seeds.
        slots: environments that the agent plays at once.
        decode: how actions are chosen.
        sampled: task ids or families whose discrete actions are drawn instead, whatever `decode.discrete` says.
        likeliest: task ids or families whose continuous actions are the likeliest bin, whatever `decode.continuous`
            says: the mean of two ways around an obstacle leads into it.
        prompts: demonstrations shown before an episode, taken in turn from this many; 0 plays without a prompt.
        documents: test documents of each split of each corpus that the run was trained on; 0 measures none.
        selection_episodes: episodes per candidate on which the best constant action is chosen.
        films: record a short film per task.
        workers: processes for baselines and films; 0 uses all cores.
        seeds: evaluation seeds, or those on which settings are chosen.
    """

    episodes: int = 50
    slots: int = 25
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    sampled: tuple[str, ...] = ()
    likeliest: tuple[str, ...] = ()
    prompts: int = 0
    documents: int = 300
    selection_episodes: int = 4
    films: bool = True
    workers: int = 0
    seeds: Literal["evaluation", "selection"] = "evaluation"

    def __post_init__(self):
        for name in ("episodes", "slots", "selection_episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"evaluation.{name} must be positive, got {getattr(self, name)}")
        for name in ("prompts", "workers", "documents"):
            if getattr(self, name) < 0:
                raise ValueError(f"evaluation.{name} must not be negative, got {getattr(self, name)}")
