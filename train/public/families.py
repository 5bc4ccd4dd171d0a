"""Public language models: what their config.json says of a trunk, and which tensor of theirs is what of ours.

Each rule names one tensor of theirs and all of our parameters that it holds, and turns one into the other, both ways.
So every key of theirs and every parameter of ours can be accounted for. Families: GPT-2 (Radford et al. 2019), Llama
(Touvron et al. 2023; SmolLM2 is one), Qwen3, Gemma 3, GPT-NeoX (Black et al. 2022; Pythia is one).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from generalist.agent.config import AgentConfig
from generalist.agent.trunk_config import RotaryScaling, TrunkConfig

BLOCK = "transformer/blocks/"
Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Rule:
    """One tensor of theirs, and what it is here.

    Args:
        theirs: its key; {} is the number of a layer.
        ours: paths of parameters, those of a layer without its axis.
        split: from their tensor to ours, in the order of `ours`.
        join: back.
    """

    theirs: str
    ours: tuple[str, ...]
    split: Callable[[np.ndarray], Arrays]
    join: Callable[[Arrays], np.ndarray]

    @property
    def layered(self) -> bool:
        return "{}" in self.theirs


def plain(theirs: str, ours: str) -> Rule:
    """As it is: a table, a norm, a bias, or a matrix [inputs, outputs]."""
    return Rule(theirs, (ours,), lambda tensor: (tensor,), lambda parts: parts[0])


def linear(theirs: str, ours: str) -> Rule:
    """A matrix [outputs, inputs], as torch's Linear has it."""
    return Rule(theirs, (ours,), lambda tensor: (tensor.T,), lambda parts: parts[0].T)


def in_three(theirs: str, ours: Sequence[str]) -> Rule:
    """Three in a row along the last axis: GPT-2's queries, keys and values."""
    return Rule(
        theirs,
        tuple(ours),
        lambda tensor: tuple(np.split(tensor, 3, axis=-1)),
        lambda parts: np.concatenate(parts, axis=-1),
    )


def by_head(theirs: str, ours: Sequence[str], heads: int) -> Rule:
    """[heads x 3 x size, ...]: GPT-NeoX's queries, keys and values, those of a head together; matrices are turned."""

    def split(tensor: np.ndarray) -> Arrays:
        parts = tensor.reshape(heads, 3, -1, *tensor.shape[1:]).swapaxes(0, 1)
        return tuple(part.reshape(-1, *tensor.shape[1:]).T for part in parts)

    def join(parts: Arrays) -> np.ndarray:
        apart = [part.T.reshape(heads, -1, *part.T.shape[1:]) for part in parts]
        return np.stack(apart, axis=1).reshape(-1, *apart[0].shape[2:])

    return Rule(theirs, tuple(ours), split, join)


@dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture.

    Args:
        settings: from config.json to fields of `AgentConfig`.
        rules: from that and the configuration to what its tensors are.
        prefix: that files of the bare model leave out of every key.
        buffers: ends of keys that hold no parameters: masks and rates that older files store.
    """

    settings: Callable[[Mapping[str, Any]], dict[str, Any]]
    rules: Callable[[AgentConfig], list[Rule]]
    prefix: str
    buffers: tuple[str, ...] = ()


def agent_config(said: Mapping[str, Any], **changes: Any) -> AgentConfig:
    """The trunk that a config.json describes; `changes` are other fields of `AgentConfig`.

    Raises:
        ValueError: an architecture or a choice that is not known here.
        KeyError: a field is missing.
    """
    return AgentConfig(**family_of(said).settings(said) | changes)


def family_of(said: Mapping[str, Any]) -> Family:
    """Raises ValueError for an architecture that is not known here, with those that are."""
    found = said.get("model_type")
    if found not in FAMILIES:
        raise ValueError(f"model_type {found!r} is none of {', '.join(FAMILIES)}")
    return FAMILIES[found]


def _llama(said: Mapping[str, Any]) -> dict[str, Any]:
    heads, width = said["num_attention_heads"], said["hidden_size"]
    _only(said, hidden_act=("silu", "swish"))
    bias, feedforward_bias = bool(said.get("attention_bias")), bool(said.get("mlp_bias"))
    trunk = TrunkConfig(
        norm="rms",
        norm_eps=said["rms_norm_eps"],
        key_heads=said.get("num_key_value_heads") or heads,
        activation="silu",
        attention_bias=bias,
        out_bias=bias,
        feedforward_bias=feedforward_bias,
        tied=bool(said.get("tie_word_embeddings", False)),
        **_rotary(said),
    )
    return _sizes(said, width, heads, said.get("head_dim") or width // heads, trunk)


def _qwen3(said: Mapping[str, Any]) -> dict[str, Any]:
    if said.get("use_sliding_window"):
        raise ValueError("use_sliding_window is not known here")
    found = _llama(said)
    return found | {"trunk": _with(found["trunk"], query_key_norm=True)}


def _gemma3(said: Mapping[str, Any]) -> dict[str, Any]:
    heads, width = said["num_attention_heads"], said["hidden_size"]
    _only(said, hidden_activation=("gelu_pytorch_tanh",), attn_logit_softcapping=(None,))
    _only(
        said, final_logit_softcapping=(None,), attention_bias=(None, False), use_bidirectional_attention=(None, False)
    )
    layers, kinds = said["num_hidden_layers"], said.get("layer_types")
    every = said.get("sliding_window_pattern") or said.get("_sliding_window_pattern") or _every(kinds, layers)
    rotary = said.get("rope_parameters") or {}
    local, whole = rotary.get("sliding_attention", {}), rotary.get("full_attention", {})
    scaling = whole if whole.get("rope_type", "default") != "default" else said.get("rope_scaling")
    _only(scaling or {}, rope_type=(None, "default", "linear"))
    trunk = TrunkConfig(
        norm="rms",
        norm_eps=said["rms_norm_eps"],
        norm_offset=1.0,
        post_norms=True,
        query_key_norm=True,
        key_heads=said["num_key_value_heads"],
        attention_scale=said["query_pre_attn_scalar"] ** -0.5,
        activation="gelu_tanh",
        tied=bool(said.get("tie_word_embeddings", True)),
        embedding_scale=width**0.5,
        local_window=said["sliding_window"],
        global_every=every,
        rotary_base=float(whole.get("rope_theta") or said["rope_theta"]),
        rotary_factor=float((scaling or {}).get("factor", 1.0)),
        local_rotary_base=float(local.get("rope_theta") or said["rope_local_base_freq"]),
    )
    if kinds and [trunk.is_local(at) for at in range(layers)] != [kind == "sliding_attention" for kind in kinds]:
        raise ValueError(f"layer_types are not local but for every {every}th, which is all that is known here")
    return _sizes(said, width, heads, said["head_dim"], trunk)


def _every(kinds: Sequence[str] | None, layers: int) -> int:
    if not kinds:
        raise ValueError("neither layer_types nor sliding_window_pattern says which layers are local")
    whole = [at for at, kind in enumerate(kinds) if kind == "full_attention"]
    return whole[0] + 1 if whole else layers + 1


def _gpt_neox(said: Mapping[str, Any]) -> dict[str, Any]:
    heads, width = said["num_attention_heads"], said["hidden_size"]
    _only(said, hidden_act=("gelu",))
    rotary = said.get("rope_parameters") or {}
    bias = bool(said.get("attention_bias", True))
    trunk = TrunkConfig(
        norm="layer",
        norm_bias=True,
        norm_eps=said["layer_norm_eps"],
        parallel=bool(said.get("use_parallel_residual", True)),
        rotary_share=rotary.get("partial_rotary_factor") or said.get("rotary_pct") or 0.25,
        rotary_base=float(rotary.get("rope_theta") or said.get("rotary_emb_base") or 10_000),
        activation="gelu",
        gated=False,
        attention_bias=bias,
        out_bias=bias,
        feedforward_bias=True,
        tied=bool(said.get("tie_word_embeddings", False)),
    )
    return _sizes(said, width, heads, width // heads, trunk)


def _gpt2(said: Mapping[str, Any]) -> dict[str, Any]:
    heads, width = said["n_head"], said["n_embd"]
    _only(said, activation_function=("gelu_new",), scale_attn_by_inverse_layer_idx=(None, False))
    _only(said, scale_attn_weights=(None, True), add_cross_attention=(None, False))
    trunk = TrunkConfig(
        norm="layer",
        norm_bias=True,
        norm_eps=said["layer_norm_epsilon"],
        positions="learned",
        learned_positions=said["n_positions"],
        activation="gelu_tanh",
        gated=False,
        attention_bias=True,
        out_bias=True,
        feedforward_bias=True,
        tied=bool(said.get("tie_word_embeddings", True)),
    )
    found = {"width": width, "layers": said["n_layer"], "heads": heads, "head_size": width // heads, "trunk": trunk}
    inner = said.get("n_inner") or 4 * width
    return found | {"feedforward": 2 * inner, "window": said["n_positions"]}


def _sizes(said: Mapping[str, Any], width: int, heads: int, head_size: int, trunk: TrunkConfig) -> dict[str, Any]:
    return {
        "width": width,
        "layers": said["num_hidden_layers"],
        "heads": heads,
        "head_size": head_size,
        "feedforward": 2 * said["intermediate_size"],
        "window": said["max_position_embeddings"],
        "trunk": trunk,
    }


def _rotary(said: Mapping[str, Any]) -> dict[str, Any]:
    """The rotations of a Llama, in the form of older files (rope_theta, rope_scaling) or of newer ones."""
    given = said.get("rope_parameters") or said.get("rope_scaling") or {}
    base = float(given.get("rope_theta") or said.get("rope_theta") or 10_000)
    kind = given.get("rope_type") or given.get("type") or "default"
    if kind == "default":
        return {"rotary_base": base}
    if kind == "linear":
        return {"rotary_base": base, "rotary_factor": float(given["factor"])}
    if kind == "llama3":
        scaling = RotaryScaling(
            factor=float(given["factor"]),
            low=float(given["low_freq_factor"]),
            high=float(given["high_freq_factor"]),
            context=int(given["original_max_position_embeddings"]),
        )
        return {"rotary_base": base, "rotary_scaling": scaling}
    raise ValueError(f"rotations of the kind {kind!r} are none of default, linear, llama3")


def _only(said: Mapping[str, Any], **known: tuple) -> None:
    """Raises ValueError where a field has a value that is not known here."""
    for name, values in known.items():
        if said.get(name) not in values:
            raise ValueError(f"{name} {said.get(name)!r} is none of {', '.join(map(str, values))}")


def _with(trunk: TrunkConfig, **changes: Any) -> TrunkConfig:
    return TrunkConfig(**{**vars(trunk), **changes})


def _llama_rules(config: AgentConfig) -> list[Rule]:
    trunk, layer = config.trunk, "model.layers.{}."
    found = [
        plain("model.embed_tokens.weight", "tokens/rows"),
        plain("model.norm.weight", "transformer/norm/scale"),
        plain(f"{layer}input_layernorm.weight", f"{BLOCK}attention_norm/scale"),
    ]
    attention = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "o_proj": "out"}
    feedforward = {"gate_proj": "gate", "up_proj": "up", "down_proj": "down"}
    for module, theirs, ours in (("attention", "self_attn", attention), ("feedforward", "mlp", feedforward)):
        for their, own in ours.items():
            key, path = f"{layer}{theirs}.{their}", f"{BLOCK}{module}/{own}"
            found.append(linear(f"{key}.weight", f"{path}/kernel"))
            biased = trunk.feedforward_bias if module == "feedforward" else trunk.attention_bias
            found += [plain(f"{key}.bias", f"{path}/bias")] if biased else []
    if trunk.query_key_norm:
        for name, own in (("q_norm", "query_norm"), ("k_norm", "key_norm")):
            found.append(plain(f"{layer}self_attn.{name}.weight", f"{BLOCK}attention/{own}/scale"))
    norms = {"post_attention_layernorm": "feedforward_norm"}
    if trunk.post_norms:
        norms = {
            "post_attention_layernorm": "attention_post_norm",
            "pre_feedforward_layernorm": "feedforward_norm",
            "post_feedforward_layernorm": "feedforward_post_norm",
        }
    found += [plain(f"{layer}{their}.weight", f"{BLOCK}{own}/scale") for their, own in norms.items()]
    return found + ([] if trunk.tied else [plain("lm_head.weight", "head/rows")])


def _gpt_neox_rules(config: AgentConfig) -> list[Rule]:
    layer, trunk = "gpt_neox.layers.{}.", config.trunk
    found = [plain("gpt_neox.embed_in.weight", "tokens/rows")]
    norms = {
        "gpt_neox.final_layer_norm": "transformer/norm",
        f"{layer}input_layernorm": f"{BLOCK}attention_norm",
        f"{layer}post_attention_layernorm": f"{BLOCK}feedforward_norm",
    }
    found += _norms(norms)
    three = [f"{BLOCK}attention/{name}" for name in ("query", "key", "value")]
    fused = f"{layer}attention.query_key_value"
    found.append(by_head(f"{fused}.weight", [f"{path}/kernel" for path in three], config.heads))
    if trunk.attention_bias:
        found.append(by_head(f"{fused}.bias", [f"{path}/bias" for path in three], config.heads))
    matrices = {
        f"{layer}attention.dense": (f"{BLOCK}attention/out", trunk.out_bias),
        f"{layer}mlp.dense_h_to_4h": (f"{BLOCK}feedforward/up", True),
        f"{layer}mlp.dense_4h_to_h": (f"{BLOCK}feedforward/down", True),
    }
    for key, (path, biased) in matrices.items():
        found.append(linear(f"{key}.weight", f"{path}/kernel"))
        found += [plain(f"{key}.bias", f"{path}/bias")] if biased else []
    return found + ([] if trunk.tied else [plain("embed_out.weight", "head/rows")])


def _gpt2_rules(config: AgentConfig) -> list[Rule]:
    layer, whole = "transformer.h.{}.", "transformer."
    found = [plain(f"{whole}wte.weight", "tokens/rows"), plain(f"{whole}wpe.weight", "positions/rows")]
    norms = {
        f"{whole}ln_f": "transformer/norm",
        f"{layer}ln_1": f"{BLOCK}attention_norm",
        f"{layer}ln_2": f"{BLOCK}feedforward_norm",
    }
    found += _norms(norms)
    three = [f"{BLOCK}attention/{name}" for name in ("query", "key", "value")]
    for their, own in (("weight", "kernel"), ("bias", "bias")):
        found.append(in_three(f"{layer}attn.c_attn.{their}", [f"{path}/{own}" for path in three]))
        found.append(plain(f"{layer}attn.c_proj.{their}", f"{BLOCK}attention/out/{own}"))
        found.append(plain(f"{layer}mlp.c_fc.{their}", f"{BLOCK}feedforward/up/{own}"))
        found.append(plain(f"{layer}mlp.c_proj.{their}", f"{BLOCK}feedforward/down/{own}"))
    return found + ([] if config.trunk.tied else [plain("lm_head.weight", "head/rows")])


def _norms(paths: Mapping[str, str]) -> list[Rule]:
    both = (("weight", "scale"), ("bias", "bias"))
    return [plain(f"{key}.{their}", f"{path}/{own}") for key, path in paths.items() for their, own in both]


FAMILIES: dict[str, Family] = {
    "gpt2": Family(
        settings=_gpt2, rules=_gpt2_rules, prefix="transformer.", buffers=(".attn.bias", ".attn.masked_bias")
    ),
    "llama": Family(settings=_llama, rules=_llama_rules, prefix="model.", buffers=(".rotary_emb.inv_freq",)),
    "qwen3": Family(settings=_qwen3, rules=_llama_rules, prefix="model."),
    "gemma3_text": Family(settings=_gemma3, rules=_llama_rules, prefix="model."),
    "gpt_neox": Family(
        settings=_gpt_neox,
        rules=_gpt_neox_rules,
        prefix="gpt_neox.",
        buffers=(".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"),
    ),
}
"""By the model_type of config.json."""
