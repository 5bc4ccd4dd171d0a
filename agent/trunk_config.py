"""What a block of the trunk is made of: each choice by which public language models differ. The defaults are Gato's.

JAX is not imported here, so that commands can show these settings without waiting for it.
"""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class RotaryScaling:
    """Llama 3.1's rule for longer contexts: slow rotations are slowed down further (Grattafiori et al. 2024).

    Args:
        factor: by which rotations are slowed that turn fewer than `low` times in `context` tokens; those that turn more
            than `high` times stay, and between the two it goes over smoothly.
        context: tokens of the context that the model was trained with before.
    """

    factor: float
    low: float
    high: float
    context: int


@dataclass(frozen=True, kw_only=True)
class TrunkConfig:
    """A block of the trunk (`generalist.agent.transformer`).

    Args:
        norm: `layer` (Ba et al. 2016) or `rms` (Zhang & Sennrich 2019).
        norm_bias: layer norms have a bias.
        norm_offset: the scale of a norm is this and what is learned: 1 in Gemma.
        norm_eps: added to the variance.
        post_norms: attention and feed-forward are normed once more before they are added (Gemma's sandwich).
        query_key_norm: each query and key is normed over its head size, before it is rotated.
        parallel: attention and feed-forward read the same input, each by its own norm, and are added together.
        positions: `rotary` (Su et al. 2021), or `learned`: a table of positions that is added to every embedding.
        learned_positions: rows of that table.
        rotary_share: part of each head that is rotated, from its beginning.
        rotary_base: of the rotations; the slowest turns once in 2 pi times as many tokens.
        rotary_factor: positions are divided by it.
        rotary_scaling: another rule for longer contexts.
        key_heads: heads of keys and values, each for several heads of queries (Ainslie et al. 2023); 0: one for each.
        attention_scale: of the products of queries and keys; 0 is head_size ** -0.5.
        activation: of the feed-forward: `gelu_tanh` (the approximation), `gelu` or `silu`.
        gated: the feed-forward's hidden units are multiplied by others (Shazeer 2020).
        attention_bias, out_bias, feedforward_bias: of queries, keys and values; of the output projection; of the
            matrices of the feed-forward.
        tied: logits are computed with the token table, else with a table of their own.
        embedding_scale: multiplies the embeddings of tokens, not those of patches, vectors and images.
        local_window: tokens that local layers look back; 0: every layer is global, and looks back `AgentConfig.window`.
        global_every: every so-manieth layer is global; the others are local.
        local_rotary_base: of the rotations of local layers, which positions are not divided for.
    """

    norm: Literal["layer", "rms"] = "layer"
    norm_bias: bool = False
    norm_offset: float = 0.0
    norm_eps: float = 1e-6
    post_norms: bool = False
    query_key_norm: bool = False
    parallel: bool = False
    positions: Literal["rotary", "learned"] = "rotary"
    learned_positions: int = 0
    rotary_share: float = 1.0
    rotary_base: float = 10_000.0
    rotary_factor: float = 1.0
    rotary_scaling: RotaryScaling | None = None
    key_heads: int = 0
    attention_scale: float = 0.0
    activation: Literal["gelu_tanh", "gelu", "silu"] = "gelu_tanh"
    gated: bool = True
    attention_bias: bool = False
    out_bias: bool = False
    feedforward_bias: bool = False
    tied: bool = True
    embedding_scale: float = 1.0
    local_window: int = 0
    global_every: int = 0
    local_rotary_base: float = 10_000.0

    def __post_init__(self):
        if not 0 < self.rotary_share <= 1:
            raise ValueError(f"TrunkConfig.rotary_share must lie in (0, 1], got {self.rotary_share}")
        for name in ("norm_eps", "rotary_base", "rotary_factor", "local_rotary_base", "embedding_scale"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"TrunkConfig.{name} must be positive, got {getattr(self, name)}")
        for name in ("learned_positions", "key_heads", "attention_scale", "local_window", "global_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"TrunkConfig.{name} must not be negative, got {getattr(self, name)}")
        if self.norm == "rms" and self.norm_bias:
            raise ValueError("TrunkConfig.norm_bias is of layer norms; an rms norm has none")
        if (self.positions == "learned") != bool(self.learned_positions):
            raise ValueError(
                f"TrunkConfig.learned_positions {self.learned_positions} does not go with positions {self.positions}"
            )
        if bool(self.local_window) != bool(self.global_every):
            raise ValueError("TrunkConfig.local_window and global_every are given together, or neither")

    def is_local(self, layer: int) -> bool:
        """Whether layer `layer`, from 0, looks back `local_window` tokens alone."""
        return bool(self.global_every) and (layer + 1) % self.global_every > 0
