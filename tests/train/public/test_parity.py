"""Public language models compute here what they compute in transformers: tiny ones, of random parameters."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from flax import nnx

from generalist.agent.cache import empty_cache, extend
from generalist.agent.network import Network, attending, unstacked
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.parts import Words
from generalist.tokenizers.sequence import stack
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train.public.loading import PublicWeights
from generalist.train.public.network import public_network
from generalist.train.public.weights import open_public, write_public
from generalist.train.trainable import name_of

VOCABULARY = 211
COMMON = {"vocab_size": VOCABULARY, "max_position_embeddings": 600, "bos_token_id": 1, "eos_token_id": 2}
SMALL = {"hidden_size": 64, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 4}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}
CONFIGS = {
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=VOCABULARY, n_positions=600, n_embd=48, n_layer=3, n_head=4, bos_token_id=1, eos_token_id=2
    ),
    "llama": lambda: transformers.LlamaConfig(
        **COMMON, **SMALL, num_key_value_heads=2, tie_word_embeddings=True, rms_norm_eps=1e-5
    ),
    "llama, biases, its own head, llama3": lambda: transformers.LlamaConfig(
        **COMMON, **SMALL, attention_bias=True, mlp_bias=True, rope_parameters=LLAMA3, head_dim=16
    ),
    "qwen3": lambda: transformers.Qwen3Config(**COMMON, **SMALL, num_key_value_heads=2, head_dim=32),
    "gemma3": lambda: transformers.Gemma3TextConfig(
        **COMMON, **SMALL | {"num_hidden_layers": 7}, num_key_value_heads=1, head_dim=32, sliding_window=16,
        query_pre_attn_scalar=24,
    ),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**COMMON, **SMALL, rotary_pct=0.25),
    "gpt_neox, in turn": lambda: transformers.GPTNeoXConfig(**COMMON, **SMALL, use_parallel_residual=False),
}  # fmt: skip


@pytest.fixture(scope="module", params=CONFIGS)
def both(request, tmp_path_factory):
    """Theirs, with every parameter random (norms and biases are born equal), and ours from its files."""
    torch.manual_seed(0)
    theirs = transformers.AutoModelForCausalLM.from_config(CONFIGS[request.param]()).eval().float()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            spread = 0.3 if parameter.ndim == 1 else 0.2
            parameter += spread * torch.randn_like(parameter) * (1 if "embed" not in name else 0.5)
    folder = tmp_path_factory.mktemp("public")
    theirs.save_pretrained(folder)
    return theirs, public_network(open_public(folder)), folder


class Numbers:
    """A tokenizer whose texts are numbers."""

    size, version, begins, ends = VOCABULARY, "numbers", None, ()

    def encode(self, text: str) -> np.ndarray:
        return np.asarray(text.split(), np.int32)

    def decode(self, ids) -> str:
        return " ".join(map(str, ids))


def batch_of(ids: np.ndarray):
    """A segment without our separator, which is none of theirs."""
    layout = DocumentLayout(Vocabulary(text_size=VOCABULARY), Numbers())
    words = Words(" ".join(map(str, ids)), whole=False)
    sequence = layout.encode([(words,)], source=0)
    arrays = {name: value[1:] if len(value) == len(sequence) else value for name, value in sequence.arrays().items()}
    arrays["position"] = arrays["position"] - 1
    return stack([type(sequence)(**arrays)])


def ids_of(length: int) -> np.ndarray:
    return np.random.default_rng(length).integers(0, VOCABULARY, length)


@pytest.mark.parametrize("length", [5, 500])
def test_logits_are_those_of_transformers(both, length):
    """A prompt of five tokens cannot see a wrong rotation; one of five hundred does."""
    theirs, network, _ = both
    ids = ids_of(length)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(ids)[None]).logits[0].numpy()
    found = np.asarray(network(batch_of(ids)))[0]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-4)


def test_every_layer_gives_what_theirs_gives(both):
    theirs, network, _ = both
    ids = ids_of(60)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(ids)[None], output_hidden_states=True).hidden_states
    batch = batch_of(ids)
    x, attend = network.embed(batch), attending(batch, network.config, network.sizes)
    np.testing.assert_allclose(np.asarray(x)[0], expected[0][0].numpy(), atol=1e-4)
    trunk = network.transformer
    for at, (block, kind) in enumerate(zip(trunk.layers(), trunk.kinds(), strict=True)):
        x, _ = block(x, batch.position, attend, kind)
        last = at == network.config.layers - 1
        own = trunk.norm(x) if last else x  # theirs has its last one normed
        want = expected[at + 1][0].numpy()
        np.testing.assert_allclose(np.asarray(own)[0], want, atol=1e-4 * np.abs(want).max())


def test_token_by_token_through_the_cache_is_the_whole_pass(both):
    _, network, _ = both
    ids = ids_of(40)
    batch = batch_of(ids)
    whole = np.asarray(network(batch))[0]
    own, cache, found = unstacked(network), empty_cache(network.config, 1, 64), []
    for at in range(len(ids)):
        one = type(batch)(**{
            name: value[:, at : at + 1] if value.shape[1:2] == (len(ids),) else value
            for name, value in batch.arrays().items()
        })  # fmt: skip
        hidden, cache = extend(own, cache, one)
        found.append(np.asarray(own.logits(hidden))[0, 0])
    np.testing.assert_allclose(np.stack(found), whole, atol=2e-4 * np.abs(whole).max())


def test_gradients_are_those_of_transformers(both):
    theirs, network, _ = both
    ids = ids_of(64)
    theirs.zero_grad()
    theirs(torch.from_numpy(ids)[None], labels=torch.from_numpy(ids)[None]).loss.backward()
    expected = theirs.get_input_embeddings().weight.grad.numpy()

    def loss(network):
        logits = jax.nn.log_softmax(network(batch_of(ids))[0, :-1], axis=-1)
        return -jnp.take_along_axis(logits, jnp.asarray(ids[1:])[:, None], axis=-1).mean()

    found = np.asarray(nnx.grad(loss)(network).tokens.rows.get_value())[:VOCABULARY]
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


WRONG = {
    "rotations of another base": {"rotary_base": 20_000.0},
    "the whole head rotated": {"rotary_share": 1.0},
    "no rotations": {"positions": "learned", "learned_positions": 600},
    "another norm": {"norm": "layer"},
    "norms whose scale is not 1 and what is learnt": {"norm_offset": 0.5},
    "a norm for each query and key left out": {"query_key_norm": False},
    "attention and feed-forward in turn": {"parallel": False},
    "attention and feed-forward side by side": {"parallel": True},
    "another activation": {"activation": "silu"},
    "the approximate activation": {"activation": "gelu_tanh"},
    "embeddings without their scale": {"embedding_scale": 1.0},
    "every layer global": {"local_window": 0, "global_every": 0},
    "another scale of attention": {"attention_scale": 1.0},
    "rotations that are not slowed down": {"rotary_scaling": None},
}


def applies(wrong: dict, trunk) -> bool:
    """Whether a trunk has what is done wrong."""
    if all(getattr(trunk, name) == value for name, value in wrong.items()) or ("norm" in wrong and trunk.norm_bias):
        return False
    if {"rotary_base", "rotary_share", "positions"} & {*wrong}:
        return trunk.positions == "rotary"
    if "norm_offset" in wrong:
        return trunk.norm == "rms"
    return "query_key_norm" not in wrong or trunk.query_key_norm


def test_a_wrong_choice_is_seen_on_a_long_prompt(both):
    """The same parameters in another trunk: that the comparison above can fail, by each of its choices."""
    theirs, network, _ = both
    trunk, ids = network.config.trunk, ids_of(500)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(ids)[None]).logits[0].numpy()
    tried = {name: changes for name, changes in WRONG.items() if applies(changes, trunk)}
    assert len(tried) >= 3
    for name, changes in tried.items():
        found = np.asarray(altered(network, replace(trunk, **changes))(batch_of(ids)))[0]
        assert np.abs(found - expected).max() > 1.5e-4 * np.abs(expected).max(), name


def altered(network, trunk):
    """The same parameters, as far as the other trunk has them."""
    config = replace(network.config, trunk=trunk)
    with use_mesh(make_mesh(1)):
        abstract = nnx.eval_shape(lambda: type(network)(config, network.sizes, rngs=nnx.Rngs(0)))
    graphdef, state = nnx.split(abstract)
    there, values = dict(named(network)), []
    for path, leaf in nnx.to_flat_state(state):
        found = there.get(name_of(path))
        values.append(jnp.zeros(leaf.get_value().shape, leaf.get_value().dtype) if found is None else found)
    return nnx.merge(graphdef, jax.tree.unflatten(jax.tree.structure(state), values))


def test_what_is_written_is_read_by_transformers(both, tmp_path):
    theirs, network, folder = both
    write_public(tmp_path / "out", open_public(folder), {path: np.asarray(leaf) for path, leaf in named(network)})
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    ids = torch.from_numpy(ids_of(50))[None]
    with torch.no_grad():
        np.testing.assert_array_equal(again(ids).logits.numpy(), theirs(ids).logits.numpy())


def test_parts_on_eight_devices_are_the_whole(both):
    """No device is given more of a parameter than it keeps."""
    _, network, folder = both
    model = open_public(folder)
    with use_mesh(make_mesh(data=1, fsdp=4, tensor=2)):
        made = nnx.as_abstract(nnx.eval_shape(lambda: Network(network.config, network.sizes, rngs=nnx.Rngs(0))))
        state = PublicWeights(model).restore_agent(0, nnx.state(made))
    whole, split = dict(named(network)), 0
    for path, leaf in ((name_of(path), leaf.get_value()) for path, leaf in nnx.to_flat_state(state)):
        np.testing.assert_array_equal(np.asarray(leaf), np.asarray(whole[path]))
        split += leaf.addressable_shards[0].data.size < leaf.size
    assert split >= 7


def named(network):
    return [(name_of(path), leaf.get_value()) for path, leaf in nnx.to_flat_state(nnx.state(network))]
