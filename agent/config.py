"""The agent's settings: its architecture, what the data hands to it, and how it chooses actions.

JAX is not imported here, so that commands can show these settings without waiting for it.
"""

from dataclasses import dataclass, field
from typing import Literal

from generalist.agent.trunk_config import TrunkConfig

TRUNK = {"attention": ("query", "key", "value", "out"), "feedforward": ("gate", "up", "down")}
"""Names of the matrices of a block of the trunk, by the module that has them."""


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """A decoder-only transformer with one embedder per modality (Reed et al. 2022, sec. 2.2, app. C).

    Args:
        width: residual stream D.
        layers: number of blocks L.
        heads: attention heads N.
        head_size: size H of each query, key and value.
        feedforward: hidden width of the gated feed-forward *before* the split into gate and value, as the paper
            lists it; the down projection reads half of it.
        window: attention reaches back this many tokens; also the size of the key/value cache when acting.
        attention: of training rows: `blocked` runs everywhere; `cudnn` is its fused kernel, for NVIDIA GPUs of compute
            capability 8 or more, with `dtype` bfloat16; `splash` that of TPUs, where no layout hides past actions or
            has a `context`, and rows are a multiple of 128 tokens; `auto` is the one of them that fits.
        attention_block: queries of a training row that are computed together; memory for the scores grows with it.
        local_positions: rows of the table of positions inside a timestep (512 in the paper).
        patch_channels: channels of the patch embedder's residual block (GroupNorm over at most 32 groups).
        patch_positions: rows of the patch row and column tables (128 in the paper).
        vector_hidden: hidden width of the vector embedder.
        vector_gate: the task also scales each hidden unit of the vector embedder (Perez et al. 2018, "FiLM"); needs
            `source_embedding`.
        image_patch: edge of the first convolution of the whole-image encoder, in pixels.
        image_channels: channels of the whole-image encoder.
        image_text: what was said last scales and shifts these channels (Perez et al. 2018, "FiLM"), so that the one
            token of an image can be about what the text asks for.
        source_embedding: add a learned vector per source (task) to every observation token. The paper has none and
            tells tasks apart by prompts. Played, a task that was not trained on has the mean of its family's.
        dtype: compute dtype; parameters, softmax and loss are float32.
        remat: recompute the activations of each block, and of the patch embedder, in the backward pass.
        remat_keeps: of a block that is recomputed, its `input` alone, or also what its matrix `products` give, so that
            only attention and what lies between them is computed again: memory for at most a quarter of the FLOPs.
        unroll: layers compiled per iteration of the scan; `layers` unrolls it whole, faster for small models on CPU.
        trunk: what a block of the trunk is made of; Gato's by default.
    """

    width: int = 64
    layers: int = 2
    heads: int = 4
    head_size: int = 16
    feedforward: int = 512
    window: int = 1024
    attention: Literal["auto", "blocked", "cudnn", "splash"] = "blocked"
    attention_block: int = 256
    local_positions: int = 512
    patch_channels: int = 64
    patch_positions: int = 128
    vector_hidden: int = 256
    vector_gate: bool = False
    image_patch: int = 8
    image_channels: int = 32
    image_text: bool = False
    source_embedding: bool = False
    dtype: Literal["float32", "bfloat16"] = "float32"
    remat: bool = False
    remat_keeps: Literal["input", "products"] = "input"
    unroll: int = 1
    trunk: TrunkConfig = field(default_factory=TrunkConfig)

    @property
    def key_heads(self) -> int:
        """Heads of keys and values."""
        return self.trunk.key_heads or self.heads

    @property
    def fits_cudnn(self) -> bool:
        """Whether cuDNN's kernel takes these heads."""
        return self.dtype == "bfloat16" and self.head_size % 8 == 0 and self.head_size <= 128

    @property
    def block_matrices(self) -> int:
        """Parameters of the matrices of one block."""
        heads, hidden = 2 * (self.heads + self.key_heads) * self.head_size, self.feedforward // 2
        return self.width * (heads + (3 if self.trunk.gated else 2) * hidden)

    def __post_init__(self):
        for name in ("width", "layers", "heads", "head_size", "feedforward", "window", "attention_block", "unroll"):
            if getattr(self, name) < 1:
                raise ValueError(f"AgentConfig.{name} must be positive, got {getattr(self, name)}")
        if self.attention == "cudnn" and not self.fits_cudnn:
            raise ValueError(
                "AgentConfig.attention cudnn needs dtype bfloat16 and a head_size that is a multiple of 8 and at most "
                f"128, got {self.dtype} and {self.head_size}"
            )
        if self.vector_gate and not self.source_embedding:
            raise ValueError("AgentConfig.vector_gate is told the task by source_embedding, which is off")
        if self.feedforward % 2:
            raise ValueError(
                f"AgentConfig.feedforward is split into two halves and must be even, got {self.feedforward}"
            )
        if self.head_size % 2:
            raise ValueError(f"AgentConfig.head_size is rotated in pairs and must be even, got {self.head_size}")
        if self.trunk.positions == "rotary" and int(self.head_size * self.trunk.rotary_share) % 2:
            rotated = f"AgentConfig.head_size {self.head_size} times trunk.rotary_share {self.trunk.rotary_share}"
            raise ValueError(f"{rotated} is rotated in pairs and must be even")
        if self.heads % self.key_heads:
            raise ValueError(
                f"AgentConfig.heads must be a multiple of trunk.key_heads, which they share, got {self.heads} and "
                f"{self.key_heads}"
            )
        if self.patch_channels % min(32, self.patch_channels):
            raise ValueError(
                f"AgentConfig.patch_channels must be below 32 or a multiple of it, got {self.patch_channels}"
            )


@dataclass(frozen=True, kw_only=True)
class InputSizes:
    """What the tokenizers of a run produce; a size of 0 leaves out that embedder.

    Args:
        vocabulary: number of token ids V.
        sources: number of sources; the source index of a token is below it.
        patch_size, patch_channels: edge in pixels and channels of an image patch.
        vector_values: length of a (padded) vector.
        image_shape: (height, width, channels) of a whole image.
        answers: the most tokens of an action that is predicted directly.
        plain_mask: whether causality, segments and the window are all that any layout hides.
    """

    vocabulary: int
    sources: int = 1
    patch_size: int = 0
    patch_channels: int = 3
    vector_values: int = 0
    image_shape: tuple[int, int, int] = (0, 0, 0)
    answers: int = 0
    plain_mask: bool = False


@dataclass(frozen=True, kw_only=True)
class DecodeConfig:
    """How an action is chosen from the model's distribution over its legal ids.

    Args:
        continuous: `mean` is the expectation over the bins, `mode` the likeliest bin, `sample` a draw.
        discrete: `mode` or `sample`.
        temperature: divides the logits before a draw.
        play_chunk: how many of the actions that one look predicts are played before the next look; at most the
            layout's `chunk`.
    """

    continuous: Literal["mean", "mode", "sample"] = "mean"
    discrete: Literal["mode", "sample"] = "mode"
    temperature: float = 1.0
    play_chunk: int = 1

    def __post_init__(self):
        if self.play_chunk < 1:
            raise ValueError(f"play_chunk must be at least 1, got {self.play_chunk}")
        if self.temperature <= 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}; use mode for greedy decoding")
