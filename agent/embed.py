"""One embedder per modality: token table, patch residual block, vector network, whole-image convolution, positions."""

import functools
import math
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt8

from generalist.agent.config import AgentConfig, InputSizes
from generalist.agent.parts import in_parts
from generalist.agent.sharding import one_device

PATCHES_AT_ONCE = 8
"""So many patches for each row have their pixels in work together on a CPU, and so many whole images."""
VECTORS_AT_ONCE = 16
"""The same of vectors."""


def dense(inputs: int, outputs: int, config: AgentConfig, rngs: nnx.Rngs, axes=(None, None)) -> nnx.Linear:
    return nnx.Linear(
        inputs,
        outputs,
        dtype=jnp.dtype(config.dtype),
        kernel_metadata={"out_sharding": axes},
        bias_metadata={"out_sharding": (axes[-1],)},
        rngs=rngs,
    )


def merge(x: Float[Array, "B N *shape"]) -> Float[Array, "M *shape"]:
    """Rows and positions as one axis M: on a CPU, a weight gradient summed over two axes takes twice as long."""
    return x.reshape(-1, *x.shape[2:])


def convolution(inputs: int, outputs: int, size: int, stride: int, config: AgentConfig, rngs: nnx.Rngs) -> nnx.Conv:
    return nnx.Conv(
        inputs,
        outputs,
        (size, size),
        strides=stride,
        padding="VALID" if stride > 1 else "SAME",
        dtype=jnp.dtype(config.dtype),
        kernel_metadata={"out_sharding": (None,) * 4},
        bias_metadata={"out_sharding": (None,)},
        rngs=rngs,
    )


def convolve(layer: nnx.Conv, x: Float[Array, "M h w I"]) -> Float[Array, "M h w O"]:
    """`layer(x)` for a 3x3 convolution of same size; on a CPU as nine matrix products, in less than half the time."""

    def native(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    @jax.checkpoint  # else the nine shifted inputs are kept for the gradient
    def products(x: jax.Array, kernel: jax.Array) -> jax.Array:
        height, width = x.shape[1:3]
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        shifts = [(row, column) for row in range(3) for column in range(3)]
        parts = (padded[:, i : i + height, j : j + width].reshape(-1, x.shape[3]) @ kernel[i, j] for i, j in shifts)
        return functools.reduce(jnp.add, parts).reshape(*x.shape[:3], -1)

    kernel, bias = (part.get_value().astype(layer.dtype) for part in (layer.kernel, cast(nnx.Param, layer.bias)))
    out = jax.lax.platform_dependent(x.astype(layer.dtype), kernel, cpu=products, default=native)
    return out + bias[None, None, None, :]


def group_norm(channels: int, config: AgentConfig, rngs: nnx.Rngs) -> nnx.GroupNorm:
    return nnx.GroupNorm(
        channels,
        num_groups=min(32, channels),
        dtype=jnp.dtype(config.dtype),
        scale_metadata={"out_sharding": (None,)},
        bias_metadata={"out_sharding": (None,)},
        rngs=rngs,
    )


class Table(nnx.Module):
    """A lookup table [rows, D]; negative indices give zeros."""

    def __init__(self, rows: int, config: AgentConfig, *, rngs: nnx.Rngs, axes=(None, None)):
        init = nnx.initializers.normal(config.width**-0.5)
        self.rows = nnx.Param(init(rngs.params(), (rows, config.width), jnp.float32), out_sharding=axes)
        self.dtype = jnp.dtype(config.dtype)

    def __call__(self, index: Int[Array, "*shape"]) -> Float[Array, "*shape D"]:
        rows, known = self.rows[...], jnp.maximum(index, 0)
        if one_device() or rows.dtype == self.dtype:
            found = jnp.take(rows, known, axis=0, mode="clip")
        else:
            found = cast(jax.Array, look_up(rows, known, self.dtype))
        return jnp.where(index[..., None] >= 0, found, 0).astype(self.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def look_up(rows: Float[Array, "V D"], index: Int[Array, "*shape"], dtype: jnp.dtype) -> Float[Array, "*shape D"]:
    """Rows of a table that lies on several devices, which exchange it in the compute dtype.

    The gradient of a row is summed in the dtype of the table: a token that a batch has thousands of times would lose
    nearly all of its gradient in bfloat16.
    """
    return jnp.take(rows.astype(dtype), index, axis=0, mode="clip")


def _looked_up(rows: jax.Array, index: jax.Array, dtype: jnp.dtype) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return look_up(rows, index, dtype), (rows, index)


def _of_rows(dtype: jnp.dtype, kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, None]:
    rows, index = kept
    return jnp.zeros_like(rows).at[index].add(gradient.astype(rows.dtype)), None


look_up.defvjp(_looked_up, _of_rows)


class PatchEmbed(nnx.Module):
    """One pre-activation residual block per patch, then row and column positions (Reed et al. 2022, app. C.2, C.3).

    A 1x1 stem brings the patch to `patch_channels`, because GroupNorm over 32 groups cannot apply to three channels;
    the paper gives neither the stem nor the widths.
    """

    def __init__(self, config: AgentConfig, sizes: InputSizes, *, rngs: nnx.Rngs):
        channels = config.patch_channels
        self.stem = convolution(sizes.patch_channels, channels, 1, 1, config, rngs)
        self.norm1 = group_norm(channels, config, rngs)
        self.conv1 = convolution(channels, channels, 3, 1, config, rngs)
        self.norm2 = group_norm(channels, config, rngs)
        self.conv2 = convolution(channels, channels, 3, 1, config, rngs)
        self.out = dense(channels * sizes.patch_size**2, config.width, config, rngs, (None, "embed"))
        self.rows = Table(config.patch_positions, config, rngs=rngs)
        self.columns = Table(config.patch_positions, config, rngs=rngs)

    def __call__(
        self,
        patches: UInt8[Array, "B P values"],
        rows: Int[Array, "B P 2"],
        columns: Int[Array, "B P 2"],
        used: Bool[Array, "B P"],
        key: PRNGKeyArray | None,
    ) -> Float[Array, "B P D"]:
        """Embedded patches; those that are not `used` may be anything finite.

        With a key, table indices are drawn from each interval; without, its rounded mean.
        """
        row_key, column_key = (None, None) if key is None else jax.random.split(key)
        places = self.rows(interval_index(rows, row_key)) + self.columns(interval_index(columns, column_key))
        shown = in_parts(shown_by, (*self.block, self.out), patches, used, PATCHES_AT_ONCE)
        return shown + places

    @property
    def block(self) -> tuple[nnx.Module, ...]:
        """The layers of `residual_block`."""
        return self.stem, self.norm1, self.conv1, self.norm2, self.conv2


def shown_by(layers: tuple[Any, ...], patches: UInt8[Array, "B P values"]) -> Float[Array, "B P D"]:
    """What the patches show, each as one vector."""
    *block, out = layers
    return out(merge(residual_block(tuple(block), patches))).reshape(*patches.shape[:2], -1)


def residual_block(layers: tuple[Any, ...], patches: UInt8[Array, "B P values"]) -> Float[Array, "B P features"]:
    """What the patches show, each pixel in `patch_channels` features.

    Pixels are in [-1, 1] over the square root of the patch's side (Reed et al. 2022, sec. 2.1).
    """
    stem, norm1, conv1, norm2, conv2 = layers
    (B, P, values), channels = patches.shape, stem.in_features
    side = math.isqrt(values // channels)
    pixels = patches.reshape(B * P, side, side, channels).astype(stem.dtype)
    x = stem((pixels - 127.5) * (1 / 127.5 / math.sqrt(side)))
    hidden = convolve(conv1, nnx.gelu(norm1(x)))
    x = x + convolve(conv2, nnx.gelu(norm2(hidden)))
    return x.reshape(B, P, -1)


def interval_index(interval: Int[Array, "B P 2"], key: PRNGKeyArray | None) -> Int[Array, "B P"]:
    """A table index inside [first, last]: uniform with a key (training), else the rounded mean (evaluation)."""
    first, last = interval[..., 0], interval[..., 1]
    if key is None:
        return jnp.round((first + last) / 2).astype(jnp.int32)
    uniform = jax.random.uniform(key, first.shape)
    return first + jnp.floor(uniform * (last - first + 1)).astype(jnp.int32)


class VectorEmbed(nnx.Module):
    """A normalised vector, and what task it belongs to, through a network with one hidden layer."""

    def __init__(self, config: AgentConfig, sizes: InputSizes, *, rngs: nnx.Rngs):
        self.hidden = dense(sizes.vector_values, config.vector_hidden, config, rngs)
        self.source = dense(config.width, config.vector_hidden, config, rngs) if config.source_embedding else None
        self.gate = dense(config.width, config.vector_hidden, config, rngs) if config.vector_gate else None
        self.out = dense(config.vector_hidden, config.width, config, rngs, (None, "embed"))

    def __call__(
        self, vectors: Float[Array, "B N values"], source: Float[Array, "B N D"] | None, used: Bool[Array, "B N"]
    ) -> Float[Array, "B N D"]:
        """Embedded vectors, each with the embedding of its task; those that are not `used` may be anything finite."""
        return in_parts(lambda own, given: own.embed(*given), self, (vectors, source), used, VECTORS_AT_ONCE)

    def embed(self, vectors: Float[Array, "B N values"], source: Float[Array, "B N D"] | None) -> Float[Array, "B N D"]:
        hidden = self.hidden(merge(vectors))
        if self.source is not None and source is not None:
            hidden = hidden + self.source(merge(source))
        hidden = nnx.gelu(hidden)
        if self.gate is not None and source is not None:
            hidden = hidden * (1 + self.gate(merge(source)))
        return self.out(hidden).reshape(*vectors.shape[:2], -1)


class ImageEmbed(nnx.Module):
    """A whole image as one token: patches of `image_patch` pixels, a 3x3 convolution over them, one projection.

    The stem is a convolution whose stride is its size, written as one matrix product: half the time on a CPU.
    """

    def __init__(self, config: AgentConfig, sizes: InputSizes, *, rngs: nnx.Rngs):
        height, width, channels = sizes.image_shape
        edge, C = config.image_patch, config.image_channels
        if height % edge or width % edge:
            raise ValueError(f"images of {height} x {width} are not a whole number of patches of {edge} pixels")
        self.stem = convolution(channels, C, edge, edge, config, rngs)
        self.conv = convolution(C, C, 3, 1, config, rngs)
        self.out = dense(C * (height // edge) * (width // edge), config.width, config, rngs, (None, "embed"))
        self.text = dense(config.width, 4 * C, config, rngs) if config.image_text else None

    def __call__(
        self, images: UInt8[Array, "B M h w c"], used: Bool[Array, "B M"], said: Float[Array, "B M D"] | None = None
    ) -> Float[Array, "B M D"]:
        """Embedded images, each with what was said before it; those that are not `used` may be anything finite."""
        B, M, *shape = images.shape

        def embed(own: ImageEmbed, given: tuple[jax.Array, jax.Array | None]) -> jax.Array:
            some, said = given
            heard = None if said is None else merge(said)
            return own.embed(some.reshape(-1, *shape), heard).reshape(*some.shape[:2], -1)

        return in_parts(embed, self, (images.reshape(B, M, -1), said), used, PATCHES_AT_ONCE)

    def embed(self, images: UInt8[Array, "N h w c"], said: Float[Array, "N D"] | None = None) -> Float[Array, "N D"]:
        """Each of some images. What was said scales and shifts the channels before and after the 3x3 convolution."""
        x, told = nnx.gelu(self.patches(images)), None
        if self.text is not None and said is not None:
            told = self.text(said).reshape(said.shape[0], 4, 1, 1, -1)
            x = x * (1 + told[:, 0]) + told[:, 1]
        x = convolve(self.conv, x)
        if told is not None:
            x = x * (1 + told[:, 2]) + told[:, 3]
        return self.out(nnx.gelu(x).reshape(images.shape[0], -1))

    def patches(self, images: UInt8[Array, "N h w c"]) -> Float[Array, "N rows columns C"]:
        """What the stem makes of the pixels of every patch."""
        N, height, width, channels = images.shape
        edge, dtype = self.stem.kernel_size[0], self.stem.dtype
        rows, columns = height // edge, width // edge
        x = images.reshape(N, rows, edge, columns, edge, channels).swapaxes(2, 3).reshape(N * rows * columns, -1)
        kernel, bias = self.stem.kernel.get_value(), cast(nnx.Param, self.stem.bias).get_value()
        x = (x.astype(dtype) / 127.5 - 1) @ kernel.reshape(x.shape[1], -1).astype(dtype) + bias.astype(dtype)[None]
        return x.reshape(N, rows, columns, -1)
