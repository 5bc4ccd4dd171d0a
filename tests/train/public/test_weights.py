"""Folders that are not what they say: refused, with what is wrong, before a tensor is read."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

from generalist.train.public.network import public_network
from generalist.train.public.weights import INDEX, WHOLE, open_public


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("made")
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "model")


def change(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def rewrite(folder, change):
    tensors = load_file(folder / WHOLE)
    change(tensors)
    save_file(tensors, folder / WHOLE)


def test_every_key_that_is_too_many_or_too_few_is_named(folder):
    def changed(tensors):
        tensors["model.layers.0.self_attn.q_proj.bias"] = np.zeros(32, np.float32)
        del tensors["model.layers.1.mlp.up_proj.weight"], tensors["lm_head.weight"]

    rewrite(folder, changed)
    lacks = r"it lacks lm_head\.weight, model\.layers\.1\.mlp\.up_proj\.weight"
    with pytest.raises(ValueError, match=rf"{lacks}; it has besides model\.layers\.0\.self_attn\.q_proj\.bias"):
        open_public(folder)


def test_a_tensor_of_another_shape_is_named(folder):
    rewrite(folder, lambda tensors: tensors.update({"model.norm.weight": np.ones(31, np.float32)}))
    with pytest.raises(ValueError, match=r"transformer/norm/scale has the shape \(31,\).*needed is \(32,\)"):
        public_network(open_public(folder))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model_type": "mamba"}, "model_type 'mamba' is none of gpt2, llama, qwen3, gemma3_text, gpt_neox"),
        ({"hidden_act": "relu"}, "hidden_act 'relu' is none of silu, swish"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2}}, "kind 'yarn' are none of default, linear, llama3"),
        ({"auto_map": {"AutoModel": "remote.py"}}, r"asks for code of its own \(auto_map\), which is never run"),
        ({"num_attention_heads": 3}, "heads must be a multiple|head_size"),
        ({"hidden_size": "large"}, "config.json"),
    ],
)
def test_choices_that_are_not_known(folder, fields, said):
    change(folder, **fields)
    with pytest.raises(ValueError, match=said):
        open_public(folder)


def test_damage_is_named(folder):
    whole = (folder / WHOLE).read_bytes()
    for size in (3, 40, len(whole) - 100):
        (folder / WHOLE).write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"model\.safetensors is damaged or truncated"):
            open_public(folder)
    (folder / WHOLE).unlink()
    with pytest.raises(FileNotFoundError, match=r"has neither model\.safetensors nor model\.safetensors\.index\.json"):
        open_public(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no config\.json"):
        open_public(folder)


def test_numbers_of_another_kind_are_refused(folder):
    rewrite(folder, lambda tensors: tensors.update({"model.norm.weight": np.ones(32, np.int8)}))
    with pytest.raises(ValueError, match=r"model\.norm\.weight is I8, known are"):
        open_public(folder)


def sharded(folder):
    tensors = load_file(folder / WHOLE)
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, keys in parts.items():
        save_file({key: tensors[key] for key in keys}, folder / file)
    (folder / WHOLE).unlink()
    where = {key: file for file, keys in parts.items() for key in keys}
    (folder / INDEX).write_text(json.dumps({"weight_map": where}))
    return where


def test_shards_are_one_model(made, folder):
    sharded(folder)
    one, other = (public_network(open_public(each)) for each in (made, folder))
    np.testing.assert_array_equal(one.tokens.rows[...], other.tokens.rows[...])
    np.testing.assert_array_equal(one.transformer.norm.scale[...], other.transformer.norm.scale[...])


def test_shards_that_are_not_there(folder):
    where = sharded(folder)
    (folder / "b.safetensors").unlink()
    with pytest.raises(ValueError, match=r"lacks b\.safetensors, which its index names"):
        open_public(folder)
    for wrong, said in (("../b.safetensors", "a file outside its folder"), ("a.safetensors", "which its index names")):
        (folder / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(where, wrong)}))
        with pytest.raises(ValueError, match=said):
            open_public(folder)


def test_half_precision_is_read(folder):
    import ml_dtypes

    exact = load_file(folder / WHOLE)
    rewrite(folder, lambda tensors: tensors.update({k: v.astype(ml_dtypes.bfloat16) for k, v in tensors.items()}))
    network = public_network(open_public(folder))
    np.testing.assert_allclose(
        np.asarray(network.tokens.rows[...])[:50], exact["model.embed_tokens.weight"], rtol=1e-2, atol=1e-3
    )
