"""Timesteps to a token sequence: the arithmetic of `Layout.encode`, vectorised over timesteps.

A timestep is its text (any length) and its body (one length for all). Not here: what stands in the body, which a
`Form` says and `Layout` works out.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from generalist.tokenizers.continuous import ContinuousField, VectorField
from generalist.tokenizers.discrete import DiscreteField
from generalist.tokenizers.image import PatchField, ShownImages, WholeImageField
from generalist.tokenizers.options import LayoutOptions
from generalist.tokenizers.sequence import NO_LOCAL, UNLIMITED, Kind, TokenSequence
from generalist.tokenizers.space import Leaf, pick
from generalist.tokenizers.text import CutTextWarning, TextField, TextTokenizer, encode_texts
from generalist.tokenizers.vocabulary import Vocabulary

_FEATURES = {PatchField: "patches", WholeImageField: "images", VectorField: "vectors"}

Span = tuple[Any, int, int]
"""A field, and the half-open range of its tokens."""


KINDS = {
    PatchField: Kind.PATCH,
    WholeImageField: Kind.IMAGE,
    VectorField: Kind.VECTOR,
    ContinuousField: Kind.CONTINUOUS,
    DiscreteField: Kind.DISCRETE,
}


def spans_of(parts: Sequence[Any]) -> tuple[Span, ...]:
    """Each field with the half-open range of its tokens; a vector is one token, or none if it is empty."""
    counts = [min(part.count, 1) if isinstance(part, VectorField) else part.count for part in parts]
    stops = np.cumsum(counts, dtype=np.int64).tolist()
    return tuple((part, stop - count, stop) for part, count, stop in zip(parts, counts, stops, strict=True))


@dataclass(frozen=True, kw_only=True)
class Form:
    """What stands in a timestep, as plain data.

    Args:
        text_leaves, text_limits: texts of the observation, in order, and to how many ids each is cut.
        observation_spans: the other fields of the observation, in the body.
        action_spans: fields of the action, among the action tokens.
        body_kinds: int32[S], `Kind` of every body position, all action tokens included.
        patch_values, vector_values, image_shape: size of one row of each kind of feature.
    """

    vocabulary: Vocabulary
    text: TextTokenizer
    options: LayoutOptions
    text_leaves: tuple[Leaf, ...]
    text_limits: tuple[int, ...]
    observation_spans: tuple[Span, ...]
    action_spans: tuple[Span, ...]
    body_kinds: np.ndarray
    patch_values: int
    vector_values: int
    image_shape: tuple[int, int, int]

    @property
    def tokens_of_action(self) -> int:
        """Ids of one action."""
        return self.action_spans[-1][2] if self.action_spans else 0

    @property
    def action_tokens(self) -> int:
        """A: ids of the actions that a timestep predicts."""
        return self.options.chunk * self.tokens_of_action


def next_steps(steps: np.ndarray, ends: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Each step and those that follow in its episode: what a chunk of actions is made of.

    Args:
        steps: int[n]; ends: int[n], the step behind the last of the episode of each.

    Returns:
        int[n * count], one step's after the other's, and bool[n, count] whether there is such a step; where there is
        none, the last of the episode stands for it.
    """
    ahead = steps[:, None] + np.arange(count)[None]
    return np.minimum(ahead, ends[:, None] - 1).reshape(-1), ahead < ends[:, None]


def encode_timesteps(
    form: Form,
    observations: Any,
    actions: Any,
    timesteps: np.ndarray,
    segments: np.ndarray,
    source: int,
    *,
    told: bool,
    known: np.ndarray | None = None,
    returns: np.ndarray | None = None,
    shown: np.ndarray | None = None,
) -> TokenSequence:
    """See `Layout.encode`; `timesteps` and `segments` are int32[n]."""
    n, kinds = len(timesteps), form.body_kinds
    if timesteps.shape != (n,) or segments.shape != (n,):
        raise ValueError(f"timesteps and segments must be int[n], got shapes {timesteps.shape} and {segments.shape}")
    if shown is None:
        shown = texts_due(form.options.text_every, timesteps, segments, _alike(form, observations, n))
    words, owner = _texts(form, observations, np.asarray(shown), told)
    body, features = _body(form, observations, n, returns)
    hidden = form.options.past_actions == "hidden"
    answers, there = _answers(form, actions, n, known)
    direct = form.options.actions == "direct"
    if not direct:
        # A hidden last action predicts nothing and nothing may attend to it.
        body = np.concatenate([body, answers[:, :-1] if hidden else answers], axis=1)
    kinds = kinds[: body.shape[1]]

    width = len(kinds)
    lengths = np.bincount(owner, minlength=n) + width
    start = np.cumsum(lengths) - lengths
    body_at = (start + lengths - width)[:, None] + np.arange(width)
    text_at = np.arange(len(words)) + owner * width
    total = len(words) + n * width
    step = np.repeat(np.arange(n), lengths)

    ids, kind = np.empty(total, np.int32), np.empty(total, np.int32)
    ids[text_at], ids[body_at] = words, body
    kind[text_at], kind[body_at] = Kind.TEXT, kinds
    written = (answers[:, :0], there[:, :0]) if direct else (answers, there)
    targets, loss_mask = _targets(form, total, (words, owner, text_at), (*written, body_at))
    index = np.arange(total)
    no_local = (kind == Kind.SEPARATOR) | (kind == Kind.ACTION)
    return TokenSequence(
        ids=ids,
        targets=targets,
        loss_mask=loss_mask,
        kind=kind,
        local=np.where(no_local, NO_LOCAL, index - start[step]).astype(np.int32),
        timestep=timesteps[step],
        position=(index - start[_first_of_segment(segments)][step]).astype(np.int32),
        segment=segments[step],
        source=np.full(total, source, np.int32),
        context=np.full(total, form.options.context or UNLIMITED, np.int32),
        visible=(kind != Kind.ACTION) if hidden else np.ones(total, np.bool_),
        **_feature_rows(form, features, body_at, n),
        **_answer_rows(answers, there, body_at[:, -1] if direct else None),
    )


def texts_due(every: int, timesteps: np.ndarray, segments: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """bool[n]: which timesteps show their texts, see `LayoutOptions.text_every`.

    Args:
        alike: bool[n], whether the texts are those of the row before, of whatever segment.
    """
    begins = np.r_[True, segments[1:] != segments[:-1]][: len(segments)]
    return (timesteps % every == 0) | begins | ~alike


def _alike(form: Form, observations: Any, n: int) -> np.ndarray:
    """bool[n]: whether all texts of a timestep are those of the one before."""
    alike = np.ones(n, np.bool_)
    for leaf in form.text_leaves if form.options.text_every > 1 else ():
        strings = _strings(observations, leaf, n)
        alike[1:] &= np.array([one == before for one, before in zip(strings[1:], strings[:-1], strict=True)], bool)
    return alike


def _answers(form: Form, actions: Any, n: int, known: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The ids that n timesteps predict, int32[n, A], and which of them there are, bool[n, A]."""
    if actions is None:
        return np.zeros((n, 0), np.int32), np.zeros((n, 0), np.bool_)
    chunk, width = form.options.chunk, form.tokens_of_action
    there = np.ones((n, chunk), np.bool_) if known is None else np.asarray(known)
    if there.shape != (n, chunk) or there.dtype != np.bool_:
        raise ValueError(f"known must be bool of shape {(n, chunk)}, got {there.dtype} of shape {there.shape}")
    there = np.repeat(there, width, axis=1)
    ids = action_ids(form, actions, n * chunk).reshape(n, chunk * width)
    return np.where(there, ids, np.int32(form.vocabulary.blank)), there


def _texts(form: Form, observations: Any, shown: np.ndarray, told: bool) -> tuple[np.ndarray, np.ndarray]:
    """Text ids of the timesteps that are shown, bool[n], in order, and the timestep that owns each."""
    columns: list[list[np.ndarray]] = []
    owners = np.flatnonzero(shown)
    mark = [np.asarray([form.vocabulary.end], np.int32)] * len(owners)
    for leaf, limit in zip(form.text_leaves, form.text_limits, strict=True):
        texts = _strings(observations, leaf, len(shown))
        strings = [texts[int(step)] for step in owners]
        words = encode_texts(strings, form.text, leaf.path)
        if not told and any(len(each) > limit for each in words):
            said = f"{leaf.path}: a text is cut to its first {limit} ids; LayoutOptions.max_text_tokens shows more"
            warnings.warn(said, CutTextWarning, stacklevel=4)
        columns += [[each[:limit] for each in words], mark]
    # The end of the last text needs no mark.
    pieces = [column[i] for i in range(len(owners)) for column in columns[:-1]]
    if not pieces:
        return np.zeros(0, np.int32), np.zeros(0, np.int64)
    owners = np.repeat(owners, len(columns) - 1)
    return np.concatenate(pieces), np.repeat(owners, [len(piece) for piece in pieces])


def _body(
    form: Form, observations: Any, n: int, returns: np.ndarray | None
) -> tuple[np.ndarray, dict[str, list[np.ndarray]]]:
    """Ids of the body without the actions, int32[n, S - A], and the encoded features in order."""
    if (returns is None) == (form.options.returns == "to_go"):
        given = "none are given" if returns is None else "some are given"
        raise ValueError(f'LayoutOptions.returns is "{form.options.returns}", and {given} (returns= of encode)')
    blocks = [np.zeros((n, 0), np.int32)]
    features: dict[str, list[np.ndarray]] = {"patches": [], "images": [], "vectors": []}
    for number, (part, start, stop) in enumerate(form.observation_spans):
        if returns is not None and number == 0:
            values = part.encode(_stacked({part.leaf.path: np.asarray(returns).reshape(-1, 1)}, part.leaf, n))
        else:
            given = pick(observations, part.leaf)
            values = part.encode(given if isinstance(given, ShownImages) else _stacked(observations, part.leaf, n))
        if isinstance(part, ContinuousField | DiscreteField):
            blocks.append(values)
            continue
        if stop > start:
            features[_FEATURES[type(part)]].append(values)
        blocks.append(np.full((n, stop - start), form.vocabulary.feature, np.int32))
    if form.options.separator:
        blocks.append(np.full((n, 1), form.vocabulary.separator, np.int32))
    return np.concatenate(blocks, axis=1), features


def action_ids(form: Form, actions: Any, n: int) -> np.ndarray:
    """Ids of n actions, int32[n, tokens of one action]."""
    ids = np.zeros((n, form.tokens_of_action), np.int32)
    for part, start, stop in form.action_spans:
        is_text = isinstance(part, TextField)
        ids[:, start:stop] = part.encode((_strings if is_text else _stacked)(actions, part.leaf, n))
    return ids


def _targets(form: Form, total: int, text: tuple, action: tuple) -> tuple[np.ndarray, np.ndarray]:
    """What each position predicts (sec. 2.3), stored at the position that predicts.

    The last token before the action predicts the first action token, every action token the next one, every text token
    the next text token of its timestep. Nothing predicts a separator or the first token of a timestep.
    """
    targets, loss_mask = np.zeros(total, np.int32), np.zeros(total, np.bool_)
    answers, there, body_at = action
    if answers.shape[1]:
        first = len(form.body_kinds) - form.action_tokens - 1
        at = body_at[:, first : first + form.action_tokens]
        targets[at], loss_mask[at] = answers, there
    words, owner, text_at = text
    if form.options.predict_text and len(words):
        same = np.flatnonzero(owner[1:] == owner[:-1])
        targets[text_at[same]], loss_mask[text_at[same]] = words[same + 1], True
    return targets, loss_mask


def _feature_rows(form: Form, features: dict[str, list[np.ndarray]], body_at: np.ndarray, n: int) -> dict:
    """Rows of patches, vectors and images, timestep by timestep, and the positions where they stand."""
    intervals = [part.intervals for part, *_ in form.observation_spans if isinstance(part, PatchField)]
    width = form.vector_values
    vectors = [np.pad(v, ((0, 0), (0, width - v.shape[1])))[:, None] for v in features["vectors"]]

    def rows(blocks: list[np.ndarray], *shape: int, dtype: type = np.float32) -> np.ndarray:
        if not blocks:
            return np.zeros((0, *shape), dtype)
        joined = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
        return joined.reshape(-1, *shape)

    def at(kind: Kind) -> np.ndarray:
        return body_at[:, np.flatnonzero(form.body_kinds == kind)].reshape(-1).astype(np.int32)

    def edges(axis: int) -> np.ndarray:
        return np.tile(np.concatenate([np.zeros((0, 2), np.int32), *(pair[axis] for pair in intervals)]), (n, 1))

    return {
        "patches": rows(features["patches"], form.patch_values, dtype=np.uint8),
        "patch_at": at(Kind.PATCH),
        "patch_rows": edges(0),
        "patch_cols": edges(1),
        "vectors": rows(vectors, width),
        "vector_at": at(Kind.VECTOR),
        "images": rows(features["images"], *form.image_shape, dtype=np.uint8),
        "image_at": at(Kind.IMAGE),
    }


def _answer_rows(answers: np.ndarray, there: np.ndarray, at: np.ndarray | None) -> dict[str, np.ndarray]:
    """What the positions `at` int[n] answer with, int[n, A], where it is there; without `at` nothing does."""
    if at is None:
        answers, there, at = answers[:, :0], there[:, :0], np.zeros(len(answers), np.int32)
    step, part = np.nonzero(there)
    found = {"answers": answers[step, part], "answer_at": at[step], "answer_part": part}
    return {name: values.astype(np.int32) for name, values in found.items()}


def _stacked(tree: Any, leaf: Leaf, n: int) -> np.ndarray:
    """The array of a leaf, of shape [n, *shape]."""
    values = np.asarray(pick(tree, leaf))
    if values.shape != (n, *leaf.space.shape) or values.dtype.kind not in "fiub":
        raise ValueError(
            f"{leaf.path}: numbers of shape {(n, *leaf.space.shape)} are required (first axis: timesteps), "
            f"got {values.dtype} of shape {values.shape}"
        )
    return values


def _strings(tree: Any, leaf: Leaf, n: int) -> Sequence[str]:
    values = pick(tree, leaf)
    if isinstance(values, str) or len(values) != n:
        raise ValueError(f"{leaf.path}: {n} strings are required, one per timestep, got {values!r:.80}")
    return values


def _first_of_segment(segments: np.ndarray) -> np.ndarray:
    """Index of the first timestep of each timestep's segment."""
    new = np.flatnonzero(segments[1:] != segments[:-1]) + 1
    if len(new) and len(np.unique(segments)) != len(new) + 1:
        raise ValueError(f"the timesteps of a segment must stand together, got segments {segments.tolist()}")
    first = np.zeros(len(segments), np.int64)
    first[new] = new
    return np.maximum.accumulate(first)
