"""How a trained agent is adapted: the choices, with defaults from measurement (docs/adapting.md)."""

from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from typing import Any, Literal

from generalist.envs.names import nearest
from generalist.tokenizers.options import LayoutOptions
from generalist.train.config import MeshConfig, TrainableConfig

KEEP = 0.5
"""Share of the examples that are of the foundation's own tasks, where their demonstrations are there."""
RATES = {"full": 0.5, "lora": 1.5, "head": 0.5, "embedding": 5.0, "scratch": 1.5}
"""Highest learning rate, as a part of the foundation's: what is trained less of can be moved faster."""
STEPS, ALONE_STEPS = 2400, 600
"""Updates; fewer where everything is trained on few demonstrations alone, which are soon learnt by heart."""


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """How an agent is adapted.

    Args:
        episodes: demonstrations of each task; None is all there are.
        episodes_seed: draws them at random; None takes the first, in the order of their seeds.
        failures: take demonstrations that did not reach the goal, too.
        trainable: what is trained.
        keep: share of the examples that are of the foundation's own tasks, against forgetting; 0 trains on the new ones
            alone. None is `KEEP` where the
            demonstrations of all of them are there, else 0.
        steps: updates; None is `STEPS`, or `ALONE_STEPS` where everything is trained on the new demonstrations alone.
        learning_rate: the highest; None is `RATES` of the foundation's.
        timesteps: of one update, about; None chooses the batch size by `batch_size`.
        batch_size: rows of one update; None is as many as hold `timesteps`, or some more, so that devices divide them.
        new_tasks: how the embedding of a new task begins: as the mean of those of its family, as that of the trained
            task that is nearest (`generalist.train.nearest`), or at random.
        layout: how a new task is shown; None is as the foundation's nearest task is.
        from_scratch: begin with new parameters: the baseline that says what the foundation is worth. Statistics are the
            foundation's all the same.
        mesh: of devices; None is the foundation's.
        seed: of everything random in training.
    """

    episodes: int | None = None
    episodes_seed: int | None = None
    failures: bool = False
    trainable: TrainableConfig = field(default_factory=TrainableConfig)
    keep: float | None = None
    steps: int | None = None
    learning_rate: float | None = None
    timesteps: int = 128
    batch_size: int | None = None
    new_tasks: Literal["mean", "nearest", "random"] = "mean"
    layout: LayoutOptions | None = None
    from_scratch: bool = False
    mesh: MeshConfig | None = None
    seed: int = 0

    @classmethod
    def of(cls, **fields: Any) -> "AdaptConfig":
        """From fields of this class and, beside them, of `TrainableConfig` (how, rank, alpha, parts, also).

        Raises:
            TypeError: a field that there is not, with the nearest ones.
        """
        own, inner = ({each.name for each in dataclass_fields(kind)} for kind in (cls, TrainableConfig))
        for name in fields:
            if name not in own | inner:
                raise TypeError(f"adapting has no setting {name!r}: {nearest(name, sorted(own | inner))}")
        rest: dict[str, Any] = {name: value for name, value in fields.items() if name in own}
        if trainable := {name: value for name, value in fields.items() if name in inner}:
            rest["trainable"] = TrainableConfig(**trainable)
        return cls(**rest)

    def __post_init__(self):
        if not 0 <= (self.keep or 0) < 1:
            raise ValueError(f"keep is a share of the examples in [0, 1), got {self.keep}")
        if self.timesteps < 1:
            raise ValueError(f"timesteps must be positive, got {self.timesteps}")
        for name in ("steps", "learning_rate", "batch_size", "episodes"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise ValueError(f"{name} must be positive, got {value}; None is the default")
        if (draw := self.episodes_seed) is not None and (self.episodes is None or draw < 0):
            asked = "together with episodes, of which it draws" if draw >= 0 else "0 or more"
            raise ValueError(f"episodes_seed must be {asked}, got {draw}")
        if self.from_scratch and (self.keep or self.trainable.how != "full"):
            raise ValueError(
                "from scratch there is no foundation: nothing of it can be kept, and everything is trained"
            )
