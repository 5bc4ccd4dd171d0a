"""Generation: cached equals uncached token for token, only text and `end`, draws that follow the distribution."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny import compilations
from token_examples import CONFIG, VOCABULARY, hidden, network, padded

from generalist.agent.cache import empty_cache
from generalist.agent.config import AgentConfig
from generalist.agent.generating import (
    Drawing,
    Rows,
    TextIds,
    draw,
    likeliest,
    make_begin,
    make_read,
    make_write,
    whole,
)
from generalist.agent.network import unstacked
from generalist.agent.sampling import SamplingConfig
from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.parts import Document, Picture, Speaker, Words
from generalist.tokenizers.pictures import PictureOptions
from generalist.tokenizers.sequence import NO_LOCAL, UNLIMITED, Kind, TokenBatch, TokenSequence, stack
from generalist.tokenizers.text import ByteTokenizer

END = VOCABULARY.end
LAYOUT = DocumentLayout(VOCABULARY, ByteTokenizer(), PictureOptions(shape=(8, 16, 3), patch_size=8))
SMALL = AgentConfig(**{**vars(CONFIG), "window": 24, "attention_block": 96, "source_embedding": True})
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 9, 20, 3)).astype(np.uint8)
PROMPTS: list[Document] = [
    (Words("who is", whole=False),),
    (Picture(PIXELS[0]),),
    (Picture(PIXELS[1]), Words("and"), Picture(PIXELS[2]), Speaker("assistant")),
]
FULL = 96
"""Length of the rows of the uncached reference."""


def row(document: Document, columns: int, source: int = 1) -> TokenSequence:
    """A prompt with padding after it and room for two pictures."""
    return padded(LAYOUT.encode([document], source=source), columns, {"patch_at": 2 * LAYOUT.patches})


def generate(model, prompts, sampling, *, count=30, seeds=None, words=256, columns=16) -> tuple[np.ndarray, Rows, dict]:
    """Ids [B, count] by the compiled steps: the first, five more, the rest; where rows stand, and the cache's marks."""
    graphdef, state = nnx.split(unstacked(model))
    batch = stack([row(prompt, columns) for prompt in prompts])
    lengths = (np.asarray(batch.segment) > 0).sum(axis=1).astype(np.int32)
    drawing = Drawing.of(sampling, range(len(prompts)) if seeds is None else seeds)
    cache = empty_cache(model.config, len(prompts))
    text = TextIds(words, (VOCABULARY.end,))
    logits, cache = make_read(graphdef, text)(state, cache, batch, lengths - 1)
    source = np.full(len(prompts), 1, np.int32)
    rows = make_begin(text)(logits, lengths, lengths > 0, source, drawing)
    found = [np.asarray(rows.ids)[:, None]]
    for more in (5, count - 6):
        ids, rows, cache = make_write(graphdef, text, more)(state, cache, rows, drawing)
        found.append(np.asarray(ids))
    return np.concatenate(found, axis=1), rows, cache.marks


def with_written(sequence: TokenSequence, ids: list[int]) -> TokenSequence:
    """The prompt and what was written after it, as a plain loop has it."""
    arrays, n = sequence.arrays(), len(sequence)
    more = {
        "ids": ids, "targets": 0, "loss_mask": False, "kind": int(Kind.TEXT), "local": NO_LOCAL, "timestep": 0,
        "position": n + np.arange(len(ids)), "segment": 1, "source": 1, "context": UNLIMITED, "visible": True,
    }  # fmt: skip
    for name, value in more.items():
        column = np.broadcast_to(np.asarray(value, arrays[name].dtype), len(ids))
        arrays[name] = np.concatenate([arrays[name], column])
    return padded(TokenSequence(**arrays), FULL, {"patch_at": 2 * LAYOUT.patches})


def uncached(model, prompt: Document, count: int) -> tuple[list[int], list[int]]:
    """Greedy tokens by a full forward pass each, and those that would be the likeliest among all ids."""
    sequence, ids, any_id = LAYOUT.encode([prompt], source=1), [], []
    table = np.asarray(model.tokens.rows[...])[: VOCABULARY.size]
    for _ in range(count):
        full = stack([with_written(sequence, ids)])
        scores = table @ hidden(model, full)[0, len(sequence) + len(ids) - 1]
        legal = [*range(256), END]
        ids.append(legal[int(np.argmax(scores[legal]))])
        any_id.append(int(np.argmax(scores)))
        if ids[-1] == END:
            break
    return ids, any_id


def test_cached_equals_uncached_token_for_token_beyond_the_window():
    """Prompts of different lengths and pictures side by side; the window of 24 is left far behind."""
    model = network("patches", SMALL)
    found, _, _ = generate(model, PROMPTS, SamplingConfig())
    illegal = 0
    for prompt, ids in zip(PROMPTS, found, strict=True):
        expected, any_id = uncached(model, prompt, 30)
        assert ids[: len(expected)].tolist() == expected
        illegal += sum(one >= 256 and one != END for one in any_id)
    assert illegal > 5, "ids that are not text must have been likelier, or nothing is shown about them"


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_batched_equals_one_by_one(temperature):
    model, sampling = network("patches", SMALL), SamplingConfig(temperature=temperature, seed=5)
    together, _, _ = generate(model, PROMPTS, sampling, seeds=[7, 8, 9])
    for index, prompt in enumerate(PROMPTS):
        alone, _, _ = generate(model, [prompt], sampling, seeds=[7 + index])
        assert alone[0].tolist() == together[index].tolist()


HOT = SamplingConfig(temperature=1e3)


def test_a_text_that_has_ended_stays_ended_and_is_not_cached():
    prompts = [(Words("ab", whole=False),)] * 16
    ids, rows, marks = generate(network("patches"), prompts, HOT, count=40, words=20)
    first = np.where((ids == END).any(axis=1), (ids == END).argmax(axis=1), 40)
    assert (first < 35).sum() > 4
    assert ((ids < 20) | (ids == END)).all()
    assert not any((one[at:] != END).any() for one, at in zip(ids, first, strict=True))
    assert np.asarray(rows.open).tolist() == (first == 40).tolist()
    cached = (np.asarray(marks.segment) > 0).sum(axis=1)
    assert cached.tolist() == (3 + np.minimum(first, 39)).tolist()


def test_only_text_of_the_tokenizer_and_the_end_are_drawn():
    ids, _, _ = generate(network("patches"), [(Words("ab", whole=False),)] * 16, HOT, count=40)
    assert set(np.unique(ids)) <= {*range(256), END}
    assert len(np.unique(ids)) > 100


LOGITS = np.log([0.05, 0.5, 0.15, 0.3]).astype(np.float32)


def drawn(sampling: SamplingConfig, count: int = 6000, index: int = 3) -> np.ndarray:
    """Of each of four columns, the share of draws of many rows."""
    logits = jnp.broadcast_to(jnp.asarray(LOGITS), (count, 4))
    columns = draw(logits, jnp.full(count, index), Drawing.of(sampling, range(count)))
    return np.bincount(columns, minlength=4) / count


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [0.05, 0.5, 0.15, 0.3]),
        ({"temperature": 0.5}, np.square([0.05, 0.5, 0.15, 0.3]) / np.square([0.05, 0.5, 0.15, 0.3]).sum()),
        ({"top_k": 2}, [0, 5 / 8, 0, 3 / 8]),
        ({"top_k": 9}, [0.05, 0.5, 0.15, 0.3]),
        ({"top_p": 0.81}, [0, 0.5 / 0.95, 0.15 / 0.95, 0.3 / 0.95]),
        ({"top_p": 0.7, "top_k": 3}, [0, 5 / 8, 0, 3 / 8]),
        ({"top_k": 1}, [0, 1, 0, 0]),
        ({"top_p": 1e-6}, [0, 1, 0, 0]),
        ({"temperature": 0.0}, [0, 1, 0, 0]),
        ({"temperature": 0.001}, [0, 1, 0, 0]),
    ],
)
def test_draws_follow_the_distribution(changes, expected):
    found = drawn(SamplingConfig(**{"temperature": 1.0} | changes))
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert (found[np.asarray(expected) == 0] == 0).all()


def test_of_equal_columns_the_first_are_kept():
    logits = jnp.asarray([[1.0, 2.0, 2.0, 2.0]])
    assert likeliest(logits, jnp.asarray(2), jnp.asarray(1.0)).tolist() == [[False, True, True, False]]


def test_one_of_the_likeliest_is_greedy():
    model = network("patches", SMALL)
    greedy, _, _ = generate(model, PROMPTS, SamplingConfig())
    for only in ({"top_k": 1}, {"top_p": 1e-6}):
        found, _, _ = generate(model, PROMPTS, SamplingConfig(temperature=1.5, **only))
        assert found.tolist() == greedy.tolist()


def test_a_draw_depends_on_seed_row_and_index_alone():
    logits = jnp.zeros((40, 50))
    rows, index = np.arange(40), jnp.full(40, 2)
    sampling = SamplingConfig(temperature=1.0, seed=1)
    first = draw(logits, index, Drawing.of(sampling, rows))
    assert draw(logits, index, Drawing.of(sampling, rows)).tolist() == first.tolist()
    assert draw(logits[:5], index[:5], Drawing.of(sampling, rows[20:25])).tolist() == first[20:25].tolist()
    for other in (
        draw(logits, index + 1, Drawing.of(sampling, rows)),
        draw(logits, index, Drawing.of(replace(sampling, seed=2), rows)),
        draw(logits, index, Drawing.of(sampling, rows + 40)),
    ):
        assert (other != first).sum() > 30


def test_other_settings_need_no_compilation():
    model = network("patches", SMALL)
    generate(model, PROMPTS, SamplingConfig(temperature=1.0, top_k=5))
    with compilations() as found:
        generate(model, PROMPTS[::-1], SamplingConfig(temperature=0.3, top_p=0.5, seed=3))
    assert found == []


def test_a_whole_pass_is_the_network_s_own():
    model = network("patches", SMALL)
    graphdef, state = nnx.split(unstacked(model))
    batch = stack([row(prompt, 32) for prompt in PROMPTS])

    def passed(state: nnx.State, batch: TokenBatch) -> jax.Array:
        return whole(nnx.merge(graphdef, state), batch)

    np.testing.assert_allclose(jax.jit(passed)(state, batch), hidden(model, batch), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": -1.0}, "temperature must be 0"),
        ({"temperature": float("nan")}, "temperature must be 0"),
        ({"temperature": 1e-9}, "at least 0.001, got 1e-09"),
        ({"top_k": -1}, "top_k must not be negative, got -1"),
        ({"top_p": 0.0}, r"top_p must lie in \(0, 1\], got 0.0"),
        ({"top_p": 1.5}, "top_p must lie"),
        ({"max_tokens": 0}, "max_tokens must be positive"),
        ({"seed": -1}, "seed must lie"),
        ({"seed": 2**32}, "seed must lie"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SamplingConfig(**changes)
