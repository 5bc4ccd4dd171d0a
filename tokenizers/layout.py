"""From any pair of Gymnasium spaces to token sequences and back: which token stands where inside a timestep.

Order (Reed et al. 2022, sec. 2.1 and appendix B): text, images, tensors, each lexicographic by key path; then the
separator; then the actions in the same order. A `Layout` is plain data: spaces, vocabulary, text tokenizer, options,
statistics and ranges rebuild it. Not here: packing, prompts, batches, embedding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.tokenizers.continuous import (
    ContinuousField,
    ContinuousTokenizer,
    Range,
    Statistics,
    VectorField,
    is_float_box,
)
from generalist.tokenizers.decoding import decoded_actions, decoded_observation
from generalist.tokenizers.discrete import DiscreteField, DiscreteTokenizer, is_free
from generalist.tokenizers.encoding import Form, Span, action_ids, encode_timesteps, spans_of
from generalist.tokenizers.image import PatchField, WholeImageField, image_format
from generalist.tokenizers.layout_sizes import TimestepSizes
from generalist.tokenizers.layout_view import layout_html
from generalist.tokenizers.options import LayoutOptions
from generalist.tokenizers.ranges import check_paths, fit_ranges, ranged_fields
from generalist.tokenizers.sequence import TokenSequence
from generalist.tokenizers.space import Leaf, is_text, leaves, pick
from generalist.tokenizers.text import ByteTokenizer, TextField, TextTokenizer
from generalist.tokenizers.vocabulary import Vocabulary

__all__ = ["Layout", "LayoutOptions"]

OBSERVATION, ACTION = "observation", "action"
"""Roots of the paths."""
RETURN = "return"
"""Path of what an episode will still return; see `LayoutOptions.returns`."""


@dataclass(frozen=True)
class Layout(TimestepSizes):
    """How timesteps of one pair of spaces become tokens. Build it with `from_spaces`.

    A timestep is the text ids of each Text leaf, then its body, which has a fixed length: features and tensor tokens,
    the separator, the action tokens. With several Text leaves, `vocabulary.end` follows each but the last, so that the
    boundary is never lost.
    """

    observation_space: gym.Space
    action_space: gym.Space
    vocabulary: Vocabulary
    text: TextTokenizer
    options: LayoutOptions
    statistics: Statistics = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    target_return: float | None = None

    @classmethod
    def from_spaces(
        cls,
        observation_space: gym.Space,
        action_space: gym.Space,
        *,
        vocabulary: Vocabulary | None = None,
        text: TextTokenizer | None = None,
        options: LayoutOptions | None = None,
        statistics: Statistics | None = None,
        ranges: Mapping[str, Range] | None = None,
        target_return: float | None = None,
    ) -> "Layout":
        """The layout of an environment.

        Args:
            statistics: (mean, std) per value of float Boxes by path, JSON-able; used by vectors only. Of
                demonstrations, `generalist.demonstrations.columns.Columns.statistics` gives them.
            ranges: of float Boxes whose values have no useful bounds, by path ("action", "observation/arm"). Training
                finds them in the demonstrations, `fitted` in arrays. Without them such values cannot be encoded, and
                the layout tells sizes only; see `generalist.tokenizers.ranges`.
            target_return: what play asks for, where returns are shown; "return" is then a path of the statistics.

        Raises:
            ValueError: a space that cannot be tokenized, a text tokenizer larger than the vocabulary's text range,
                statistics or ranges of a path that does not exist, a layout in which nothing precedes the action.
        """
        return cls(
            observation_space,
            action_space,
            vocabulary or Vocabulary(),
            text or ByteTokenizer(),
            options or LayoutOptions(),
            dict(statistics or {}),
            dict(ranges or {}),
            target_return,
        )

    def __post_init__(self):
        if self.text.size > self.vocabulary.text_size:
            raise ValueError(
                f"the text tokenizer {self.text.version} has {self.text.size} ids, the vocabulary holds "
                f"{self.vocabulary.text_size}; build it with Vocabulary(text_size={self.text.size})"
            )
        boxes = [leaf.path for leaf in leaves(self.observation_space, OBSERVATION) if is_float_box(leaf.space)]
        boxes += [RETURN] if self.return_field else []
        check_paths("statistics", self.statistics, boxes, "the observation")
        both = (*leaves(self.observation_space, OBSERVATION), *leaves(self.action_space, ACTION))
        boxes = [leaf.path for leaf in both if is_float_box(leaf.space) or is_free(leaf.space)]
        check_paths("ranges", self.ranges, boxes, "observation or action")
        if not self.options.separator and self._observed == 0:
            raise ValueError(
                "separator=False needs an observation token before the action in every timestep, and "
                f"{self.observation_space} gives none (text may be empty); use separator=True"
            )
        if self.direct and any(isinstance(part, TextField) for part in self.action_fields):
            raise ValueError(
                'LayoutOptions.actions "direct" predicts numbers, each without knowing the others, and an action here '
                'is text: use actions="sequential"'
            )
        _ = self.body_kinds  # builds every field, so that what is wrong is refused here

    def _repr_html_(self) -> str:
        """What stands in a timestep, in a notebook."""
        return layout_html(self)

    # ---- the fields, in order

    @cached_property
    def text_leaves(self) -> tuple[Leaf, ...]:
        return tuple(leaf for leaf in leaves(self.observation_space, OBSERVATION) if is_text(leaf.space))

    @cached_property
    def return_field(self) -> VectorField | None:
        if self.options.returns == "hidden":
            return None
        return VectorField.of(Leaf((RETURN,), RETURN, spaces.Box(-np.inf, np.inf, (1,), np.float32)), self.statistics)

    @cached_property
    def image_fields(self) -> tuple[PatchField | WholeImageField, ...]:
        options, found = self.options, []
        for leaf in leaves(self.observation_space, OBSERVATION):
            form = image_format(leaf.space, options.channel_axis)
            if form and options.images == "patches":
                found.append(PatchField(leaf, form, options.patch_size, options.channels))
            elif form:
                found.append(WholeImageField(leaf, form, options.image_shape))
        return tuple(found)

    @cached_property
    def tensor_fields(self) -> tuple[ContinuousField | DiscreteField | VectorField, ...]:
        rest = [leaf for leaf in leaves(self.observation_space, OBSERVATION) if not is_text(leaf.space)]
        return tuple(self._tensor(leaf) for leaf in rest if image_format(leaf.space) is None)

    @cached_property
    def action_fields(self) -> tuple[ContinuousField | DiscreteField | TextField, ...]:
        """Text first, then tensors. An image-like action Box is a tensor: pixels can be predicted as digits only."""
        found = leaves(self.action_space, ACTION)
        most = self.options.action_text_tokens
        texts = tuple(TextField(leaf, self.text, self.vocabulary, most) for leaf in found if is_text(leaf.space))
        return texts + tuple(self._values(leaf, action=True) for leaf in found if not is_text(leaf.space))

    def _tensor(self, leaf: Leaf) -> ContinuousField | DiscreteField | VectorField:
        if self.options.continuous == "vector" and is_float_box(leaf.space):
            return VectorField.of(leaf, self.statistics)
        return self._values(leaf, action=False)

    def _values(self, leaf: Leaf, *, action: bool) -> ContinuousField | DiscreteField:
        vocabulary, found = self.vocabulary, self.ranges.get(leaf.path)
        if is_float_box(leaf.space):
            return ContinuousField(leaf, self._bins, action, self.options.ranges, found)
        return DiscreteField(leaf, DiscreteTokenizer(vocabulary.discrete[0], vocabulary.discrete_size), found)

    @property
    def _bins(self) -> ContinuousTokenizer:
        return ContinuousTokenizer(self.vocabulary.continuous[0], self.vocabulary.bins)

    @cached_property
    def observation_spans(self) -> tuple[Span, ...]:
        """(field, start, stop) of every observation field in the body."""
        return spans_of((*([self.return_field] if self.return_field else []), *self.image_fields, *self.tensor_fields))

    @cached_property
    def action_spans(self) -> tuple[Span, ...]:
        """(field, start, stop) of every action field among the action tokens."""
        return spans_of(self.action_fields)

    # ---- ranges

    @property
    def float_fields(self) -> tuple[ContinuousField, ...]:
        """Those of observation and action that are shown as bins."""
        return tuple(part for part in (*self.tensor_fields, *self.action_fields) if isinstance(part, ContinuousField))

    @property
    def continuous_fields(self) -> tuple[ContinuousField, ...]:
        """`float_fields`, and whole numbers without bounds as if they were: a range gives their digits ends."""
        return ranged_fields(self.tensor_fields, self.action_fields, self._bins, self.options.ranges)

    def check_ranges(self) -> None:
        """Raises ValueError, with the ways out, where a value can be encoded only with a range that is not there."""
        for part in self.float_fields:
            part.check()

    def fitted(self, observations: Any, actions: Any) -> "Layout":
        """This layout with the ranges of this data, where values have no useful bounds of their own.

        Args:
            observations, actions: as for `encode`.

        Raises:
            ValueError: NaN, an infinite action, a wrong shape, each with its path and timestep.
        """
        return replace(self, ranges=fit_ranges(replace(self, ranges={}).continuous_fields, observations, actions))

    # ---- encoding

    @cached_property
    def form(self) -> Form:
        """What the arithmetic of encoding needs to know."""
        return Form(
            vocabulary=self.vocabulary,
            text=self.text,
            options=self.options,
            text_leaves=self.text_leaves,
            text_limits=self.text_limits,
            observation_spans=self.observation_spans,
            action_spans=self.action_spans,
            body_kinds=self.body_kinds,
            patch_values=self.patch_values,
            vector_values=self.vector_values,
            image_shape=self.image_shape,
        )

    def encode(
        self,
        observations: Any,
        actions: Any = None,
        *,
        timesteps: Sequence[int] | np.ndarray,
        segments: Sequence[int] | np.ndarray,
        source: int,
        told: bool = False,
        known: np.ndarray | None = None,
        returns: np.ndarray | None = None,
        shown: np.ndarray | None = None,
    ) -> TokenSequence:
        """n timesteps, one after the other, without padding.

        Args:
            observations: structure of the observation space, every leaf with a leading axis n (text: n strings).
            actions: the same for actions; None encodes observations and separators only, to act from. With a
                `chunk` of k actions the leading axis is n * k: for each timestep its own action and the k - 1 that
                follow, see `generalist.tokenizers.encoding.next_steps`.
            timesteps: int[n], index of each timestep inside its segment.
            segments: int[n], the timesteps of a segment stand together; 0 is padding and not for use.
            source: index of the task.
            told: whether it was said already that texts are cut; if not, a `CutTextWarning` says so.
            known: bool[n, k], which of these actions there are; the others, behind the episode's end, are not shown
                and carry no loss. All by default.
            returns: float[n], what the episode will still return from each timestep on; where they are shown.
            shown: bool[n], which timesteps show their texts; by default as `LayoutOptions.text_every` says of these.

        Raises:
            ValueError: NaN, a value outside a discrete space, a wrong type or shape, with the path inside the space.
        """
        at = np.asarray(timesteps, np.int32), np.asarray(segments, np.int32)
        more = {"told": told, "known": known, "returns": returns, "shown": shown}
        return encode_timesteps(self.form, observations, actions, *at, source, **more)

    # ---- actions

    @cached_property
    def action_ranges(self) -> np.ndarray:
        """int32[A, 2]: half-open range of the legal ids of every action token."""
        one = np.concatenate([np.zeros((0, 2), np.int32), *(part.ranges for part in self.action_fields)])
        return np.tile(one, (self.options.chunk, 1))

    @cached_property
    def action_is_continuous(self) -> np.ndarray:
        """bool[A]: tokens that are bins, whose expectation makes sense."""
        flags = [np.full(part.count, isinstance(part, ContinuousField)) for part in self.action_fields]
        return np.tile(np.concatenate([np.zeros(0, np.bool_), *flags]), self.options.chunk)

    def encode_actions(self, actions: Any) -> np.ndarray:
        """Actions stacked along a leading axis n -> int32[n, tokens of one action].

        Raises:
            ValueError: NaN, a value outside a discrete space, a wrong type or shape, with the path inside the space.
        """
        n = len(pick(actions, self.action_fields[0].leaf)) if self.action_fields else 0
        return action_ids(self.form, actions, n)

    def decode_actions(self, ids: np.ndarray, values: np.ndarray | None = None) -> list[Any]:
        """Ids -> n actions, each inside the action space whatever the ids (those outside the ranges are clipped).

        Args:
            ids: int[n, tokens of one action].
            values: float of the same shape, in [-1, 1], which replace the bin centres at continuous tokens (expectation
                over bins).

        Raises:
            ValueError: a wrong shape, or NaN among the values of continuous tokens.
        """
        return decoded_actions(self.form, self.action_space, ids, values)

    # ---- looking back

    def decode_observation(self, ids: np.ndarray) -> Any:
        """Ids of one timestep's observation (no separator, no actions) -> the observation as far as ids hold it.

        Leaves shown as patches, images or vectors are None. Text that was cut decodes to what was left of it.
        """
        return decoded_observation(self.form, self.observation_space, ids)
