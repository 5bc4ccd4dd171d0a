"""How many tokens and features a timestep of a layout has: what capacity and compiled shapes follow from."""

from functools import cached_property
from typing import Any

import numpy as np

from generalist.tokenizers.continuous import VectorField
from generalist.tokenizers.encoding import KINDS, Span
from generalist.tokenizers.options import LayoutOptions
from generalist.tokenizers.sequence import Kind
from generalist.tokenizers.space import Leaf, is_mission
from generalist.tokenizers.text import TextTokenizer


class TimestepSizes:
    """The part of `Layout` that counts; its fields are the layout's."""

    options: LayoutOptions
    text: TextTokenizer
    text_leaves: tuple[Leaf, ...]
    observation_spans: tuple[Span, ...]
    action_fields: tuple[Any, ...]

    @cached_property
    def tokens_of_action(self) -> int:
        """Ids of one action."""
        return sum(part.count for part in self.action_fields)

    @property
    def action_tokens(self) -> int:
        """A: ids of the `options.chunk` actions that a timestep predicts."""
        return self.options.chunk * self.tokens_of_action

    @property
    def direct(self) -> bool:
        """Whether actions are predicted directly, and have no place in the sequence."""
        return self.options.actions == "direct"

    @cached_property
    def body_kinds(self) -> np.ndarray:
        """int32[S]: `Kind` of every body position, all action tokens included that have a place there."""
        kinds: list[int] = []
        for part, start, stop in self.observation_spans:
            kinds += [KINDS[type(part)]] * (stop - start)
        kinds += [Kind.SEPARATOR] * self.options.separator + [Kind.ACTION] * self.written_tokens
        return np.asarray(kinds, np.int32)

    @cached_property
    def _observed(self) -> int:
        """Observation positions of the body."""
        return int((~np.isin(self.body_kinds, (Kind.SEPARATOR, Kind.ACTION))).sum())

    @property
    def written_tokens(self) -> int:
        """Action tokens of a timestep that have a place in the sequence."""
        return 0 if self.direct else self.action_tokens

    @property
    def body_tokens(self) -> int:
        """Positions of the body, as trained on: a hidden last action token predicts nothing and is left out."""
        return len(self.body_kinds) - (self.options.past_actions == "hidden" and self.written_tokens > 0)

    @property
    def max_tokens(self) -> int:
        """Positions of the longest possible timestep, as trained on."""
        return self._most_text + self.body_tokens

    @property
    def max_observation_tokens(self) -> int:
        """Largest local position + 1."""
        return self._most_text + self._observed

    @property
    def _most_text(self) -> int:
        return sum(self.text_limits) + max(len(self.text_leaves) - 1, 0)

    @cached_property
    def text_limits(self) -> tuple[int, ...]:
        """Ids to which each text of the observation is cut: the option's, or fewer where its space needs no more."""
        most = self.options.max_text_tokens
        return tuple(
            most if is_mission(leaf.space) else min(most, self.text.most_tokens(leaf.space))
            for leaf in self.text_leaves
        )

    @property
    def acting_tokens(self) -> int:
        """Positions that are read at once when acting, at most: the observation and what stands beside it.

        Where past actions are shown, the last token of the one before comes first. A multiple of 4.
        """
        return self._read_at_once(self.max_observation_tokens)

    @property
    def acting_tokens_without_text(self) -> int:
        """The same of a timestep whose texts are not shown, see `LayoutOptions.text_every`."""
        return self._read_at_once(self._observed)

    def _read_at_once(self, observed: int) -> int:
        return -(-(observed + self.options.separator + (self.options.past_actions == "shown")) // 4) * 4

    @property
    def least_window(self) -> int:
        """Tokens of the window with which the longest timestep of the spaces can be acted upon as it was trained."""
        return max(self.max_tokens, self.acting_tokens)

    @property
    def target_count(self) -> int:
        """The most positions of a timestep that may carry a loss."""
        return self.written_tokens + (max(self._most_text - 1, 0) if self.options.predict_text else 0)

    @property
    def answer_count(self) -> int:
        """Action tokens of a timestep that are predicted directly."""
        return self.action_tokens if self.direct else 0

    @property
    def patch_count(self) -> int:
        return int((self.body_kinds == Kind.PATCH).sum())

    @property
    def patch_values(self) -> int:
        """Values in one patch, 0 without patches."""
        return self.options.patch_size**2 * self.options.channels if self.patch_count else 0

    @property
    def vector_count(self) -> int:
        return int((self.body_kinds == Kind.VECTOR).sum())

    @property
    def vector_values(self) -> int:
        """Length of the longest vector, to which the others are padded with zeros."""
        return max((part.count for part, *_ in self.observation_spans if isinstance(part, VectorField)), default=0)

    @property
    def image_count(self) -> int:
        return int((self.body_kinds == Kind.IMAGE).sum())

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of a whole image, zeros without any."""
        return self.options.image_shape if self.image_count else (0, 0, 0)
