"""Public language models in one GGUF file, as llama.cpp has them: turned once into a folder of safetensors.

The numbers of such a file are often of four or eight bits. They are turned back into sixteen, which loses nothing more
than the file has lost; what was lost before is not known here, so that a run that starts from one says "GGUF". Only the
architecture `llama` with a byte-level BPE is read. The reader and the arithmetic of its many formats are those of the
package `gguf` (extra `gguf`).
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from generalist.envs.files import user_cache

SUFFIX = ".gguf"
VERSION = 1
"""Of what is made here, so that an older folder in the cache is made again."""
NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
OF_LAYER = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""By the name in a GGUF file, the key in a safetensors file of a Llama."""
DIGITS = {"type": "Digits", "individual_digits": True}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
BEFORE_BPE = {"gpt-2": [BYTES], "smollm": [DIGITS, BYTES]}
"""How a text is cut before its pieces are joined, by the name that a file gives it."""
CONTROL = 3
"""The type of a token that is a mark."""


def folder_of(path: Path) -> Path:
    """The folder that a GGUF file was turned into, in the user's cache; made where it is not there.

    Raises:
        FileNotFoundError: no such file.
        ImportError: the extra is not installed.
        ValueError: a damaged file, or one of another architecture or tokenizer.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    folder = user_cache() / "gguf" / f"{path.stem}-{digest[:16]}-{VERSION}"
    if folder.is_dir():
        return folder
    making = folder.with_name(f"{folder.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        _turn(path, making)
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def _turn(path: Path, folder: Path) -> None:
    reader = _reader(path)
    try:
        said = {name: field.contents() for name, field in reader.fields.items()}
        config, tokenizer = _config(said), _tokenizer(said)
        heads = config["num_attention_heads"], config["num_key_value_heads"]
        save_file({_key(each.name): _values(each, *heads) for each in reader.tensors}, folder / "model.safetensors")
    except KeyError as error:
        raise ValueError(f"{path} does not say {error}: it is damaged, or of another architecture") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    for name, content in (("config.json", config), *tokenizer.items()):
        (folder / name).write_text(json.dumps(content, ensure_ascii=False))


def _reader(path: Path) -> Any:
    try:
        from gguf import GGUFReader
    except ImportError:
        raise ImportError("GGUF files are read by the package gguf: pip install 'generalist[gguf]'") from None
    try:
        return GGUFReader(path)
    except Exception as error:  # of several kinds, by what is damaged
        raise ValueError(f"{path} is damaged or no GGUF file ({error}): fetch it again") from error


def _config(said: Mapping[str, Any]) -> dict[str, Any]:
    kind = said["general.architecture"]
    if kind != "llama":
        raise ValueError(f"its architecture is {kind!r}, of GGUF files only llama is read; take its safetensors")
    if unknown := [name for name in said if name.startswith("llama.rope.scaling") and said[name] not in (None, "none")]:
        raise ValueError(f"its rotations are changed for longer texts ({unknown[0]}), which is not read here")
    width, heads = said["llama.embedding_length"], said["llama.attention.head_count"]
    size = said.get("llama.rope.dimension_count", width // heads)
    if said.get("llama.attention.key_length", size) != size:
        raise ValueError("a part of each head is rotated, which is not read here")
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": width,
        "num_hidden_layers": said["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": said.get("llama.attention.head_count_kv", heads),
        "head_dim": size,
        "intermediate_size": said["llama.feed_forward_length"],
        "max_position_embeddings": said["llama.context_length"],
        "rope_theta": said.get("llama.rope.freq_base", 10_000.0),
        "rms_norm_eps": said["llama.attention.layer_norm_rms_epsilon"],
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "vocab_size": len(said["tokenizer.ggml.tokens"]),
        "bos_token_id": said.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": said.get("tokenizer.ggml.eos_token_id"),
    }


def _tokenizer(said: Mapping[str, Any]) -> dict[str, Any]:
    """The files of a tokenizer, by name."""
    kind, before = said["tokenizer.ggml.model"], said.get("tokenizer.ggml.pre", "gpt-2")
    if kind != "gpt2" or before not in BEFORE_BPE:
        raise ValueError(f"its tokenizer is {kind!r} ({before!r}), known are gpt2 with {', '.join(BEFORE_BPE)}")
    tokens, types = said["tokenizer.ggml.tokens"], said["tokenizer.ggml.token_type"]
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    pieces = BEFORE_BPE[before]
    whole = {
        "version": "1.0",
        "added_tokens": [
            {"id": at, "content": tokens[at], **plain} for at, each in enumerate(types) if each == CONTROL
        ],
        "normalizer": None,
        "pre_tokenizer": pieces[0] if len(pieces) == 1 else {"type": "Sequence", "pretokenizers": pieces},
        "post_processor": None,
        "decoder": BYTES,
        "model": {
            "type": "BPE",
            "vocab": {token: at for at, token in enumerate(tokens)},
            "merges": [each.split(" ", 1) for each in said["tokenizer.ggml.merges"]],
        },
    }
    marks = {f"{name}_token": said.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos")}
    settings = {name: tokens[at] for name, at in marks.items() if at is not None}
    settings["chat_template"] = said.get("tokenizer.chat_template")
    return {"tokenizer.json": whole, "tokenizer_config.json": settings}


def _key(name: str) -> str:
    """The key of a tensor in a safetensors file."""
    if name in NAMES:
        return NAMES[name]
    block, _, rest = name.partition(".")
    layer, _, rest = rest.partition(".")
    module, _, kind = rest.partition(".")
    if block != "blk" or module not in OF_LAYER or kind != "weight":
        raise ValueError(f"it has a tensor {name!r}, which a llama does not have")
    return f"model.layers.{layer}.{OF_LAYER[module]}.weight"


def _values(tensor: Any, heads: int, key_heads: int) -> np.ndarray:
    """The numbers of a tensor: norms in float32, matrices in float16, queries and keys in the order of a Llama."""
    from gguf.quants import dequantize

    values = dequantize(tensor.data, tensor.tensor_type)
    if values.ndim == 1:
        return values.astype(np.float32)
    if (which := tensor.name.split(".")[-2]) in ("attn_q", "attn_k"):
        values = _halves(values, heads if which == "attn_q" else key_heads)
    return np.ascontiguousarray(values.astype(np.float16))


def _halves(values: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head, which turn in pairs of neighbours in GGUF, so that the two halves turn together."""
    apart = values.reshape(heads, -1, 2, values.shape[1])
    return apart.swapaxes(1, 2).reshape(values.shape)
