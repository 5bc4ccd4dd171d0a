"""The loss against a slow computation: gathered targets, soft labels, sums per source, weights."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from token_examples import DIRECT, VOCABULARY, batch, episode, hidden, jitted, layout, network, padded

from generalist.agent import loss as loss_module
from generalist.agent.loss import (
    LossConfig,
    bin_error,
    cross_entropy,
    gather_targets,
    held_out_metrics,
    loss_and_metrics,
    one_label,
)
from generalist.agent.network import Network
from generalist.tokenizers.sequence import TokenBatch


def test_gathered_targets_are_the_masked_positions_in_order():
    mask = np.array([[0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0]], bool)
    index, real = gather_targets(mask, 3)
    assert real.tolist() == [[True] * 3, [True, False, False], [False] * 3]
    assert index[0].tolist() == [1, 3, 4]
    assert index[1, 0] == 5


def slow_label(target: int, width: float) -> np.ndarray:
    """The distribution that a target stands for, [V]."""
    label = np.zeros(VOCABULARY.size)
    start, stop = VOCABULARY.continuous
    if width and start <= target < stop:
        for at in range(start, stop):
            if abs(at - target) <= int(4 * width) + 1:
                label[at] = math.exp(-0.5 * ((at - target) / width) ** 2)
    else:
        label[target] = 1
    return label / label.sum()


@pytest.mark.parametrize("width", [0.0, 0.01, 1.5])
def test_cross_entropy_against_every_label_written_out(width):
    """Targets at both ends of the continuous range, inside it, and outside it; a tiny width is one-hot."""
    start, stop = VOCABULARY.continuous
    targets = np.array([[start, start + 1, start + 15, stop - 1, 3, stop + 2, VOCABULARY.size - 1]])
    logits = np.random.default_rng(0).normal(0, 3, (1, targets.shape[1], VOCABULARY.size)).astype(np.float32)
    losses, correct = cross_entropy(jnp.asarray(logits), jnp.asarray(targets), VOCABULARY, width)
    for i, target in enumerate(targets[0]):
        row = logits[0, i].astype(np.float64)
        log_probability = row - np.log(np.exp(row).sum())
        label = slow_label(int(target), 0 if width < 0.1 else width)
        assert label.sum() == pytest.approx(1)
        assert float(losses[0, i]) == pytest.approx(-(label * log_probability).sum(), abs=2e-5)
        assert bool(correct[0, i]) == (row.argmax() == target)


def test_the_gradient_of_one_label_is_that_of_the_written_out_form():
    rng = np.random.default_rng(0)
    logits, targets = jnp.asarray(rng.normal(size=(2, 5, 9)), jnp.float32), jnp.asarray(rng.integers(9, size=(2, 5)))
    weights = jnp.asarray(rng.normal(size=(2, 5)), jnp.float32)

    def written_out(logits):
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], axis=-1)[..., 0]
        return -(chosen * weights).sum()

    found = jax.value_and_grad(lambda logits: (one_label(logits, targets)[0] * weights).sum())(logits)
    for mine, other in zip(found, jax.value_and_grad(written_out)(logits), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)


def test_labels_sum_to_one_everywhere_in_the_range():
    """Shifting all logits changes nothing exactly when the label's weights sum to one."""
    start, stop = VOCABULARY.continuous
    targets = jnp.arange(start, stop)[None]
    logits = jnp.zeros((1, stop - start, VOCABULARY.size))
    losses, _ = cross_entropy(logits + 50, targets, VOCABULARY, 2.0)
    np.testing.assert_allclose(losses, math.log(VOCABULARY.size), atol=1e-3)


def total(model: Network, example: TokenBatch, config: LossConfig) -> tuple[jax.Array, dict]:
    return jitted(_FUNCTIONS.setdefault(config, _with(config)), model, example)


def _with(config: LossConfig):
    return lambda model, example: loss_and_metrics(model, example, None, VOCABULARY, config)


_FUNCTIONS: dict = {}


def two_sources() -> TokenBatch:
    """Two rows of two sources, padded."""
    first = padded(episode("vector", 3, source=0), 20, {"vector_at": 4})
    return batch(first, padded(episode("vector", 4, seed=1, source=1), 20))


def test_sums_per_source_against_one_position_at_a_time():
    model, example = network("vector"), two_sources()
    loss, metrics = total(model, example, LossConfig(targets=10))
    table = np.asarray(model.tokens.rows[...])[: VOCABULARY.size].astype(np.float64)
    states = hidden(model, example).astype(np.float64)
    losses, correct, targets = np.zeros(2), np.zeros(2), np.zeros(2)
    for row, column in zip(*np.nonzero(example.loss_mask), strict=True):
        logits = table @ states[row, column]
        target, source = example.targets[row, column], example.source[row, column]
        losses[source] += np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[target]
        correct[source] += logits.argmax() == target
        targets[source] += 1
    np.testing.assert_allclose(metrics["loss"], losses, rtol=1e-4)
    assert metrics["correct"].tolist() == correct.tolist()
    assert metrics["targets"].tolist() == targets.tolist() == [6, 8]
    assert float(loss) == pytest.approx(losses.sum(), rel=1e-4)
    assert float(metrics["weight"]) == 14
    assert float(metrics["tokens"]) == (example.segment > 0).sum() == sum(metrics["source_tokens"].tolist())


def test_the_error_in_bins_is_the_distance_of_the_expectation():
    """Of two bins 4 apart, the middle; ids beside the bins do not count, nor do their targets."""
    start, stop = VOCABULARY.continuous
    logits = np.full((1, 4, VOCABULARY.size), -50.0, np.float32)
    logits[0, :3, [start + 2, start + 6]] = 3.0
    logits[0, :, stop] = 9.0
    logits[0, 3, stop - 1] = 0.0
    targets = np.asarray([[start + 4, start + 1, stop, start]])
    error, continuous = bin_error(jnp.asarray(logits), jnp.asarray(targets), VOCABULARY)
    assert continuous.tolist() == [[True, True, False, True]]
    np.testing.assert_allclose(error, [[0.0, 3.0, 0.0, stop - 1 - start]], atol=1e-4)


def test_held_out_metrics_are_those_of_training_and_more():
    """On made-up targets: text, bins and discrete values."""
    model, example = network("vector"), two_sources()
    (text, _), (start, _), (discrete, _) = VOCABULARY.text, VOCABULARY.continuous, VOCABULARY.discrete
    made = np.random.default_rng(0).choice([text + 1, start + 3, discrete, start], example.targets.shape)
    example = TokenBatch(**example.arrays() | {"targets": np.where(example.loss_mask, made, 0).astype(np.int32)})
    config = LossConfig(targets=10, label_width=1.0, chunk=4)
    _, training = total(model, example, config)
    found = jitted(lambda model, example: held_out_metrics(model, example, VOCABULARY, config), model, example)
    for name, values in training.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, err_msg=name)
    logits = jitted(lambda model, example: model(example), model, example)
    error, bins, actions, correct = np.zeros(2), np.zeros(2), np.zeros(2), np.zeros(2)
    for row, column in zip(*np.nonzero(example.loss_mask), strict=True):
        target, source = example.targets[row, column], example.source[row, column]
        share = np.exp(np.asarray(logits[row, column, slice(*VOCABULARY.continuous)], np.float64))
        if VOCABULARY.continuous[0] <= target < VOCABULARY.continuous[1]:
            bins[source] += 1
            error[source] += abs((share / share.sum() * np.arange(len(share))).sum() - (target - start))
        if target >= VOCABULARY.text[1]:
            actions[source] += 1
            correct[source] += logits[row, column].argmax() == target
    assert bins.min() > 0
    assert (actions < found["targets"]).all()
    np.testing.assert_allclose(found["bin_error"], error, rtol=1e-4)
    for name, values in (("bins", bins), ("actions", actions), ("correct_actions", correct)):
        assert found[name].tolist() == values.tolist(), name


def gradients(config: LossConfig):
    """Loss, metrics and gradient of every parameter, as a function of (state, batch), and that state."""
    graphdef, state = nnx.split(network("vector"))

    def loss(state, example):
        return loss_and_metrics(nnx.merge(graphdef, state), example, None, VOCABULARY, config)

    return jax.value_and_grad(loss, has_aux=True), state


@pytest.mark.parametrize("chunk", [1, 4, 5, 64])
def test_logits_in_chunks_give_the_same_loss_metrics_and_gradients(chunk):
    whole, state = gradients(LossConfig(targets=10, label_width=1.0))
    parts, _ = gradients(LossConfig(targets=10, label_width=1.0, chunk=chunk))
    (expected, got) = (jax.jit(function)(state, two_sources()) for function in (whole, parts))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5), expected, got)


def test_logits_in_chunks_are_never_all_there():
    V = -(-VOCABULARY.size // 128) * 128

    def shapes(chunk: int) -> str:
        function, state = gradients(LossConfig(targets=10, chunk=chunk))
        return str(jax.make_jaxpr(function)(state, two_sources())).replace(f",{V}]", f",{VOCABULARY.size}]")

    assert f"[2,10,{VOCABULARY.size}]" in shapes(0)
    assert f"[2,10,{VOCABULARY.size}]" not in shapes(5)
    assert f"[2,5,{VOCABULARY.size}]" in shapes(5)


def test_source_weights_change_the_objective_and_not_the_metrics():
    model, example = network("vector"), two_sources()
    _, plain = total(model, example, LossConfig(targets=10))
    loss, weighted = total(model, example, LossConfig(targets=10, source_weights=(0.5, 3.0)))
    np.testing.assert_allclose(weighted["loss"], plain["loss"], rtol=1e-5)
    assert float(loss) == pytest.approx(float(0.5 * plain["loss"][0] + 3 * plain["loss"][1]), rel=1e-5)
    assert float(weighted["weight"]) == 0.5 * 6 + 3 * 8


SLOTS = 11
"""Answers that a row has room for."""
WEIGHTS = (0.5, 3.0)
ACTION_IDS = slice(VOCABULARY.continuous[0], VOCABULARY.discrete[1])


def with_answers(name: str) -> tuple[TokenBatch, TokenBatch]:
    """Rows of direct actions of two sources and one of sequential actions, padded; and the same without answers."""
    rows = [episode(name, 3, **DIRECT), episode(name, 4, seed=1, source=1, **DIRECT), episode(name, 2, seed=2)]
    room = {"vector_at": 4 * (name == "vector"), "answer_at": SLOTS}
    made = batch(*(padded(row, 20, room) for row in rows))
    arrays = made.arrays()
    none = {name: arrays[name][:, :0] for name in ("answers", "answer_at", "answer_part")}
    return made, TokenBatch(**arrays | none)


def each_answer(example: TokenBatch):
    """Row, position, part, id and source of every answer."""
    for row, slot in zip(*np.nonzero(example.answer_at < example.ids.shape[1]), strict=True):
        at = example.answer_at[row, slot]
        yield row, at, example.answer_part[row, slot], example.answers[row, slot], example.source[row, at]


def answer_logits(model: Network, states: jax.Array, row: int, at: int, part: int) -> jax.Array:
    """Of the ids of actions alone."""
    state = model.answer(states[row, at][None, None], jnp.asarray([[part]]))[0, 0]
    return model.tokens.rows[...][ACTION_IDS] @ state


def slow_answers(model: Network, example: TokenBatch, width: float) -> jax.Array:
    """Their weighted loss, one after the other."""
    states, total = model.hidden(example), jnp.zeros(())
    for row, at, part, answer, source in each_answer(example):
        share = jax.nn.log_softmax(answer_logits(model, states, row, at, part))
        total -= WEIGHTS[source] * (jnp.asarray(slow_label(int(answer), width)[ACTION_IDS]) * share).sum()
    return total


@pytest.mark.parametrize(("name", "width", "at_once"), [("vector", 0.0, 2), ("vector", 1.5, 32), ("discrete", 1.5, 3)])
def test_answers_have_the_loss_and_gradient_of_one_at_a_time(name, width, at_once, monkeypatch):
    """Added to that of what the rows predict besides; answers that are padding have none."""
    monkeypatch.setattr(loss_module, "ANSWERS_AT_ONCE", at_once)
    config = LossConfig(targets=10, label_width=width, source_weights=WEIGHTS)
    graphdef, state = nnx.split(network(name))

    def loss(state, example):
        return loss_and_metrics(nnx.merge(graphdef, state), example, None, VOCABULARY, config)[0]

    def both(state, example, without):
        difference = jax.value_and_grad(lambda state: loss(state, example) - loss(state, without))(state)
        return difference, jax.value_and_grad(lambda state: slow_answers(nnx.merge(graphdef, state), given, width))(
            state
        )

    given, without = with_answers(name)
    found, expected = jax.jit(both)(state, given, without)
    assert float(expected[0]) > 1
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3), found, expected)
    moved = nnx.to_pure_dict(found[1])["answer"]
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(moved))


@pytest.mark.parametrize("name", ["vector", "discrete"])
def test_metrics_count_every_answer_once(name):
    model, (example, without) = network(name), with_answers(name)
    config = LossConfig(targets=10, source_weights=WEIGHTS)

    def metrics(model, example):
        return held_out_metrics(model, example, VOCABULARY, config)

    more, fewer = (jitted(metrics, model, each) for each in (example, without))
    expected = {key: np.zeros(2) for key in ("targets", "actions", "correct", "correct_actions", "bins", "bin_error")}
    states, bins = hidden(model, example), VOCABULARY.bins
    for row, at, part, answer, source in each_answer(example):
        logits = np.asarray(jitted(answer_logits, model, jnp.asarray(states), row, at, part), np.float64)
        target = answer - ACTION_IDS.start
        expected["targets"][source] += 1
        expected["correct"][source] += logits.argmax() == target
        if target < bins:
            share = np.exp(logits[:bins] - logits.max())
            expected["bins"][source] += 1
            expected["bin_error"][source] += abs(share / share.sum() @ np.arange(bins) - target)
    expected |= {"actions": expected["targets"], "correct_actions": expected["correct"]}
    for key, values in expected.items():
        np.testing.assert_allclose(more[key] - fewer[key], values, rtol=1e-3, atol=1e-3, err_msg=key)
    assert expected["targets"].tolist() == [6, 8]
    assert expected["bins"].tolist() == ([6, 8] if name == "vector" else [0, 0])
    assert float(more["weight"] - fewer["weight"]) == 0.5 * 6 + 3 * 8
    for key in ("tokens", "source_tokens"):
        np.testing.assert_array_equal(more[key], fewer[key])


def test_only_text_and_actions_carry_a_loss():
    example = episode("patches", 2)
    predicted = example.ids[np.flatnonzero(example.loss_mask) + 1]
    assert (predicted == example.targets[example.loss_mask]).all()
    text, discrete = VOCABULARY.text, VOCABULARY.discrete
    assert ((predicted < text[1]) | ((predicted >= discrete[0]) & (predicted < discrete[1]))).all()
    assert layout("patches").target_count >= example.loss_mask.sum() / 2
