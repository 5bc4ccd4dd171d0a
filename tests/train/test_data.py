"""The input pipeline: examples packed into rows can be read back, in any order of saving and restoring."""

import dataclasses
import itertools
from collections import Counter

import gymnasium as gym
import numpy as np
import pytest
from arrays import columns_of
from token_examples import DIRECT, OPTIONS, SPACES, VOCABULARY, stacked, steps

from generalist.tokenizers.layout import Layout, LayoutOptions
from generalist.tokenizers.sequence import FEATURES, TOKEN_FIELDS, Kind, TokenBatch, TokenSequence, shapes
from generalist.train import data
from generalist.train.config import PromptConfig
from generalist.train.data import TaskSource, check_timesteps, packed_rows, row_capacity
from generalist.train.packing import SEGMENTS, to_batch
from generalist.train.padding import element_sizes
from generalist.train.shown import ShownSteps
from generalist.train.step_tokens import StepTokens, column_tokens
from generalist.train.windows import EpisodeTable

LENGTH = 48


def source(name: str, index: int, *, seed: int = 0, prompt: float = 0.25, **options) -> TaskSource:
    """Random episodes of 9, 4 and 7 timesteps of the named layout."""
    lengths = np.array([9, 4, 7])
    observations, actions = steps(name, int(lengths.sum()), seed=index)
    if options.get("text_every", 1) > 1:  # a mission for four timesteps
        observations = [each | {"mission": observations[i - i % 4]["mission"]} for i, each in enumerate(observations)]
    chosen = LayoutOptions(**OPTIONS[name] | options)
    made = Layout.from_spaces(*SPACES[name], vocabulary=VOCABULARY, options=chosen)
    columns = columns_of(*SPACES[name], stacked(observations), stacked(actions), lengths)
    return TaskSource(
        index=index,
        layout=made,
        steps=ShownSteps(columns),
        table=EpisodeTable(np.cumsum(lengths) - lengths, lengths),
        step_tokens=column_tokens(made, columns),
        sequence_length=LENGTH,
        prompt=PromptConfig(fraction=prompt),
        seed=seed,
    )


def mixture() -> list[TaskSource]:
    return [
        source("tokens", 0),
        source("vector", 1, past_actions="hidden", context=2),
        source("patches", 2),
        source("conv", 3, past_actions="hidden"),
        source("discrete", 4),
        source("vector", 5, context=1, **DIRECT),
        source("patches", 6, context=3, text_every=3, chunk=2, **DIRECT),
    ]


def first(
    sources: list[TaskSource], count: int, *, weights=None, rows: int = 4, capacity=None, **stream
) -> list[TokenBatch]:
    capacity = capacity or row_capacity(sources)
    made = packed_rows(sources, weights or [1.0] * len(sources), capacity, rows=rows, **stream)
    return [to_batch([packed], capacity) for packed in itertools.islice(made, count)]


def examples_in(row: TokenSequence) -> list[dict]:
    """Every packed example of a row, its features found through their positions; as hashable pieces."""
    found = []
    owners = row.segment // SEGMENTS
    for owner in sorted(set(owners[owners > 0])):
        places = np.flatnonzero(owners == owner)
        assert places.tolist() == list(range(places[0], places[-1] + 1)), "an example stands together"
        piece = {name: getattr(row, name)[places].copy() for name in TOKEN_FIELDS}
        piece["segment"] = piece["segment"] % SEGMENTS
        for at, names in FEATURES.items():
            inside = (getattr(row, at) >= places[0]) & (getattr(row, at) <= places[-1])
            piece[at] = getattr(row, at)[inside] - places[0]
            piece |= {name: getattr(row, name)[inside] for name in names}
        found.append(piece)
    return found


def key(piece: dict, source: TaskSource) -> tuple:
    """What identifies an example; vectors without the zeros that the row pads them with."""
    values = dict(piece)
    values["vectors"] = values["vectors"][:, : source.layout.vector_values]
    if not source.layout.patch_count:
        values["patches"] = np.zeros(0)
    if not source.layout.image_count:
        values["images"] = np.zeros(0)
    return tuple((name, np.asarray(values[name]).astype(np.float64).tobytes()) for name in sorted(values))


def rows_of(rows: list[TokenBatch]) -> list[TokenSequence]:
    return [
        TokenSequence(**{name: value[index] for name, value in batch.arrays().items()})
        for batch in rows
        for index in range(len(batch.ids))
    ]


def known(source: TaskSource, indices: range) -> Counter:
    """The examples of a source; two of them may be equal."""
    return Counter((source.index, key(source[i].arrays(), source)) for i in indices)


def test_packed_rows_hold_exactly_the_examples_of_the_sources(monkeypatch):
    monkeypatch.setattr(data, "MIXED", 21)
    sources = mixture()
    seen = Counter()
    for row in rows_of(first(sources, 6)):
        for piece in examples_in(row):
            assert len(set(piece["source"])) == 1
            owner = sources[piece["source"][0]]
            seen[owner.index, key(piece, owner)] += 1
        padding = row.segment == 0
        assert (row.kind[padding] == Kind.PAD).all()
        assert not row.loss_mask[padding].any()
    assert seen.total() >= 24
    assert seen <= sum((known(one, range(20)) for one in sources), Counter())
    assert {index for index, _ in seen} == set(range(len(sources)))


def test_every_feature_is_where_its_token_stands():
    kinds = {"patch_at": Kind.PATCH, "vector_at": Kind.VECTOR, "image_at": Kind.IMAGE}
    for batch in first(mixture(), 3):
        for at, kind in kinds.items():
            for positions, row in zip(getattr(batch, at), batch.kind, strict=True):
                used = positions[positions < LENGTH]
                assert sorted(used.tolist()) == np.flatnonzero(row == kind).tolist()


def test_answers_are_those_of_the_last_token_of_a_timestep_of_a_direct_source():
    """Each part of an action once; no other source has any."""
    counts = {one.index: one.layout.answer_count for one in mixture()}
    for batch in first(mixture(), 3):
        for row in rows_of([batch]):
            step = np.stack([row.segment, row.timestep])
            last = np.r_[(step[:, 1:] != step[:, :-1]).any(axis=0), True] & (row.segment > 0)
            used = row.answer_at < LENGTH
            assert last[row.answer_at[used]].all()
            for at in np.flatnonzero(last):
                parts = row.answer_part[used & (row.answer_at == at)].tolist()
                assert parts == list(range(len(parts)))
                assert len(parts) in (counts[row.source[at]], counts[row.source[at]] // 2)  # the last action of a chunk


def test_where_texts_are_not_repeated_an_example_holds_more_timesteps():
    one = mixture()[6]
    repeated = [int(one.step_tokens.of(one.window(i).steps).sum()) for i in range(12)]
    assert max(repeated) > LENGTH >= max(len(one[i]) for i in range(12))


def test_sizes_are_those_of_the_examples_that_are_not_made():
    for one in mixture():
        for i in range(12):
            made = one[i]
            sizes = [len(made), made.loss_mask.sum(), *(len(getattr(made, at)) for at in FEATURES)]
            found = element_sizes(one, i)
            assert found[:-1].tolist() == sizes[:-1]
            assert 0 <= found[-1] - sizes[-1] <= len(made) * (one.layout.options.chunk > 1)  # behind an episode's end
        assert (one.step_tokens.every > 1) == (one.index == 6)


def test_batches_have_the_shapes_of_the_capacity():
    sources = mixture()
    capacity = row_capacity(sources)
    [batch] = first(sources, 1)
    for name, (shape, dtype) in shapes(capacity).items():
        assert getattr(batch, name).shape == (4, *shape), name
        assert getattr(batch, name).dtype == dtype, name
    assert batch.loss_mask.sum(axis=1).max() <= capacity.targets


def test_no_row_has_more_targets_than_the_loss_can_take():
    """Two of its examples fit a row by their tokens, one by its targets."""
    one = dataclasses.replace(source("discrete", 0), sequence_length=LENGTH // 2)
    targets = max(int(one[i].loss_mask.sum()) for i in range(40))
    capacity = dataclasses.replace(row_capacity([one]), targets=targets)
    rows = rows_of(first([one], 10, rows=2, capacity=capacity))
    assert max(int(row.loss_mask.sum()) for row in rows) == targets


def same(a: TokenBatch, b: TokenBatch) -> bool:
    return all((value == getattr(b, name)).all() for name, value in a.arrays().items())


def test_batches_are_a_function_of_the_seed():
    one, again = first(mixture(), 3), first(mixture(), 3)
    assert all(same(a, b) for a, b in zip(one, again, strict=True))
    other = [dataclasses.replace(source, seed=1) for source in mixture()]
    assert not same(one[0], first(other, 1)[0])
    assert not same(one[0], one[1])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_stream_goes_on_from_its_position_as_if_nothing_had_happened(count):
    sources = [source("tokens", 0), source("vector", 1, context=2)]
    made = packed_rows(sources, [1.0, 1.0], row_capacity(sources), rows=2)
    for _ in range(count):
        next(made)
    again = packed_rows(sources, [1.0, 1.0], row_capacity(sources), rows=2, position=made.position)
    for _ in range(3):
        one, other = (to_batch([next(each)], row_capacity(sources)) for each in (made, again))
        assert same(one, other)


def test_weights_are_shares_of_examples():
    """The vector source is given three of four examples."""
    sources = [source("tokens", 0), source("vector", 1)]
    counts = np.zeros(2)
    for batch in first(sources, 20, weights=[1.0, 3.0]):
        starts = batch.position == 0
        starts &= batch.segment > 0
        counts += np.bincount(batch.source[starts], minlength=2)
    assert counts[1] / counts.sum() == pytest.approx(0.75, abs=0.05)


def test_little_is_padding():
    filled = [(batch.segment > 0).mean() for batch in first(mixture(), 12)]
    assert np.mean(filled) > 0.8


def test_streams_take_different_examples(monkeypatch):
    monkeypatch.setattr(data, "MIXED", 8)
    one = source("vector", 0, context=2)
    for stream in (0, 1):
        rows = rows_of(first([one], 4, rows=2, stream=stream, of=2))
        assert len(rows) == 8
        seen = Counter((0, key(piece, one)) for row in rows for piece in examples_in(row))
        assert seen <= known(one, range(stream, 80, 2))
        assert not seen <= known(one, range(1 - stream, 80, 2))


def test_a_batch_is_its_parts_one_after_the_other():
    sources = mixture()
    capacity = row_capacity(sources)
    weights = [1.0] * len(sources)
    parts = [next(packed_rows(sources, weights, capacity, rows=2, stream=stream, of=3)) for stream in range(3)]
    whole = to_batch(parts, capacity)
    for name, values in whole.arrays().items():
        alone = [getattr(to_batch([part], capacity), name) for part in parts]
        np.testing.assert_array_equal(values, np.concatenate(alone), name)


def test_examples_of_sources_of_the_same_weight_are_shuffled(monkeypatch):
    """Each has its share of those that are shuffled together; another part and another stream have other orders."""
    monkeypatch.setattr(data, "MIXED", 16)
    sources = [source("tokens", index) for index in range(4)]
    parts = []
    for stream in range(3):
        examples = packed_rows(sources, [1.0] * 4, row_capacity(sources), rows=1, stream=stream, of=3).examples
        order = [int(examples[number].source[0]) for number in range(32)]
        parts += [tuple(order[:16]), tuple(order[16:])]
    assert all(sorted(part) == sorted([*range(4)] * 4) for part in parts)
    assert len(set(parts)) == 6
    assert all(len({tuple(part[at : at + 4]) for at in range(0, 16, 4)}) > 1 for part in parts)


@pytest.mark.parametrize("prompt", [0.0, 1.0])
def test_prompts_are_as_frequent_as_configured(prompt):
    one = source("tokens", 0, prompt=prompt)
    jumps = [(np.diff(one.window(i).steps) != 1).any() for i in range(50)]
    assert np.mean(jumps) == pytest.approx(prompt, abs=0.2)  # where two episodes meet, a prompt shows no jump


def test_sources_draw_independently():
    one = source("tokens", 0)
    other = dataclasses.replace(one, index=1)
    assert any(one.window(i).steps.tolist() != other.window(i).steps.tolist() for i in range(5))


def test_an_example_is_cut_at_whole_timesteps_and_may_fill_the_row():
    one = source("tokens", 0)
    assert (one.step_tokens.least, one.step_tokens.most) == (5, 5)
    assert max(len(one[i]) for i in range(50)) == LENGTH // 5 * 5
    full = dataclasses.replace(one, sequence_length=20)
    assert max(len(full[i]) for i in range(50)) == 20


def test_short_windows_pack_several_segments_into_a_row():
    one = source("vector", 0, context=2)
    row = one[0]
    assert len(np.unique(row.segment)) > 3
    assert len(row) <= LENGTH


@pytest.mark.parametrize("name", ["vector", "discrete"])
@pytest.mark.parametrize("options", [{"context": 1}, {"context": 3, "actions": "direct"}, {}], ids=str)
def test_targets_of_a_chunk_are_the_next_actions_of_the_episode(name, options):
    one = source(name, 0, chunk=4, past_actions="hidden", **options)
    layout, seen = one.layout, set()
    assert one.steps is not None
    ids = layout.encode_actions(one.steps.actions(np.arange(20)))
    ends = np.repeat([9, 13, 20], [9, 4, 7])
    for number in range(12):
        window, sequence = one.window(number), one[number]
        assert np.count_nonzero(sequence.loss_mask) <= one.capacity.targets
        assert len(sequence.answers) <= one.capacity.answers
        for segment, timestep, step in zip(window.segments, window.timesteps, window.steps, strict=True):
            here = (sequence.segment == segment) & (sequence.timestep == timestep)
            expected = ids[step : min(step + 4, ends[step])]
            predicted = sequence.answers[here[sequence.answer_at]] if layout.direct else sequence.targets
            found = predicted if layout.direct else predicted[here & sequence.loss_mask]
            assert found.tolist() == expected.reshape(-1).tolist()
            seen.add(len(expected))
    assert seen == {1, 2, 3, 4}


def test_a_timestep_that_fits_no_row_is_refused():
    wide = gym.spaces.Box(-1, 1, (60,), np.float32)
    made = Layout.from_spaces(wide, gym.spaces.Discrete(2), vocabulary=VOCABULARY)
    one = dataclasses.replace(source("tokens", 0), layout=made, step_tokens=StepTokens.known(np.full(20, 62)))
    with pytest.raises(ValueError, match=r"of gym:Wide-v0 has 62 tokens and does not fit .*--train.sequence-length"):
        check_timesteps("gym:Wide-v0", one, LENGTH)
    many = Layout.from_spaces(wide, gym.spaces.MultiBinary(200), vocabulary=VOCABULARY)
    with pytest.raises(ValueError, match=r"window with it\); the action alone has 200$"):
        check_timesteps("gym:Wide-v0", dataclasses.replace(one, layout=many), LENGTH)


def test_patches_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="must share one size"):
        row_capacity([source("patches", 0), source("patches", 1, patch_size=4)])
    with pytest.raises(ValueError, match="must share one shape"):
        row_capacity([source("conv", 0), source("conv", 1, image_shape=(4, 8, 3))])
