"""An experiment: what to train and how to measure it."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

from generalist.envs.names import nearest
from generalist.eval.config import EvaluationConfig
from generalist.tokenizers.options import LayoutOptions
from generalist.train.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a config module returns. Every field can be overridden on the command line, as --train.steps 100."""

    train: TrainConfig
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def with_layout(self, **changes: Any) -> "Experiment":
        """The same with other choices in the layout of every task; `--layout NAME=VALUE` of the commands is this.

        Args:
            **changes: fields of `LayoutOptions`.

        Raises:
            TypeError: a field that there is not, with the nearest ones.
            ValueError: choices that do not go together.

        Example:
            >>> from generalist.configs.presets import load_preset
            >>> longer = load_preset("quickstart").with_layout(context=4)
            >>> {source.layout.context for source in longer.train.sources}
            {4}
        """
        names = [each.name for each in fields(LayoutOptions)]
        for name in changes:
            if name not in names:
                raise TypeError(f"a layout has no option {name!r}: {nearest(name, names)}")
        sources = tuple(replace(each, layout=replace(each.layout, **changes)) for each in self.train.sources)
        return replace(self, train=replace(self.train, sources=sources))
