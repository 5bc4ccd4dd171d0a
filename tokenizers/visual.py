"""Pictures as ids and back: finite scalar quantisation over a small strided convolution (Mentzer et al. 2023).

A picture becomes a grid of tokens, each a few numbers of few levels: no codebook is learned, so none collapses. The
arithmetic takes an array library, so that training (JAX) and everything else (NumPy, also where there is no JAX) do the
same. Not here: training (`generalist.train.visual_training`) and the file (`generalist.train.visual_file`).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from generalist.tokenizers.kept_ids import KeptIds, key_of

PICTURES = "pictures"
SHIPPED = {PICTURES: Path(__file__).with_name("pictures.safetensors")}
"""Files of tokenizers that are part of this package. `pictures`: 1,000 ids, 49 of a picture, for rooms and digits of
56 x 56 pixels; made by `generalist tokenizer train-images scenes/captions digits --out pictures.safetensors`.
"""
MOST_CODES = 2**16
LARGEST_SIDE = 2048
"""Pixels along a side: a file alone must not say how much memory is asked for."""
TOGETHER = 64
"""Pictures that are encoded or decoded at once."""
ROOM = 1e-3
"""Of the levels, see `bounded`: the outermost are reached before the tanh saturates."""

Parameters = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class VisualConfig:
    """The form of a visual tokenizer.

    Args:
        shape: (height, width, channels) of its pictures; channels 1 (grey) or 3 (colour).
        strides: by which each stage shrinks a picture; their product is the side of what a token stands for, in pixels.
        width: channels between.
        levels: of each number that a token is; their product is how many ids there are.
    """

    shape: tuple[int, int, int] = (56, 56, 3)
    strides: tuple[int, ...] = (4, 2)
    width: int = 32
    levels: tuple[int, ...] = (8, 5, 5, 5)

    def __post_init__(self):
        for name in ("shape", "strides", "levels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.shape) != 3 or min(self.shape) < 1 or self.shape[2] not in (1, 3):
            raise ValueError(f"the shape of pictures must be (height, width, 1 or 3), got {self.shape}")
        if not self.strides or min(self.strides) < 1 or any(side % self.side for side in self.shape[:2]):
            raise ValueError(
                f"pictures of {self.shape[0]} x {self.shape[1]} must be a multiple of the product of the strides "
                f"{self.strides}, which is {prod(self.strides)}"
            )
        if not self.levels or min(self.levels) < 2 or self.codes > MOST_CODES:
            raise ValueError(
                f"levels must be 2 or more each, and their product at most {MOST_CODES}, got {self.levels}"
            )
        if max(self.shape) > LARGEST_SIDE:
            raise ValueError(f"pictures have at most {LARGEST_SIDE} pixels along a side, got {self.shape}")
        if self.width < 1:
            raise ValueError(f"width must be positive, got {self.width}")

    @property
    def side(self) -> int:
        """Pixels along a side of what a token stands for."""
        return prod(self.strides)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        return self.shape[0] // self.side, self.shape[1] // self.side

    @property
    def tokens(self) -> int:
        """Of one picture."""
        return self.grid[0] * self.grid[1]

    @property
    def codes(self) -> int:
        """How many ids there are."""
        return prod(self.levels)


def parameter_shapes(config: VisualConfig) -> dict[str, tuple[int, ...]]:
    """Of all arrays by name: kernels [in, out] of products over what is gathered, and their biases."""
    width, channels = config.width, config.shape[2]
    sizes: dict[str, tuple[int, int]] = {}
    for stage, stride in enumerate(config.strides):
        below = channels if stage == 0 else width
        sizes |= {f"down{stage}": (stride * stride * below, width), f"near{stage}": (9 * width, width)}
        sizes |= {f"again{stage}": (9 * width, width), f"up{stage}": (width, stride * stride * below)}
    sizes |= {"code": (width, len(config.levels)), "opened": (len(config.levels), width)}
    kernels = {f"{name}.kernel": shape for name, shape in sizes.items()}
    return kernels | {f"{name}.bias": (shape[1],) for name, shape in sizes.items()}


def encoded(p: Parameters, x: Any, config: VisualConfig, xp: Any = np) -> Any:
    """Pictures [n, h, w, c] in [-1, 1] -> unbounded numbers [n, rows, columns, len(levels)]."""
    for stage, stride in enumerate(config.strides):
        n, h, w, c = x.shape
        blocks = x.reshape(n, h // stride, stride, w // stride, stride, c).swapaxes(2, 3)
        x = _gelu(_affine(p, f"down{stage}", blocks.reshape(n, h // stride, w // stride, -1)), xp)
        x = x + _gelu(_affine(p, f"near{stage}", _neighbours(x, xp)), xp)
    return _affine(p, "code", x)


def decoded(p: Parameters, codes: Any, config: VisualConfig, xp: Any = np) -> Any:
    """What `levelled` gives -> pictures [n, h, w, c], about [-1, 1].

    The last stage gives pixels: a layer of every pixel's own would cost more than all else.
    """
    x = _gelu(_affine(p, "opened", codes), xp)
    for stage, stride in reversed([*enumerate(config.strides)]):
        x = x + _gelu(_affine(p, f"again{stage}", _neighbours(x, xp)), xp)
        n, h, w, _ = x.shape
        blocks = _affine(p, f"up{stage}", x)
        blocks = (_gelu(blocks, xp) if stage else blocks).reshape(n, h, w, stride, stride, -1)
        x = blocks.swapaxes(2, 3).reshape(n, h * stride, w * stride, -1)
    return x


def bounded(z: Any, levels: tuple[int, ...], xp: Any = np) -> Any:
    """Numbers of any size -> between the outermost levels of each, which are whole numbers around 0 (sec. 3.1).

    An even number of levels lies around -1/2: they are -L/2 to L/2 - 1.
    """
    count = _counts(levels, z)
    half = (count - 1) * (1 + ROOM) / 2
    offset = np.where(count % 2 == 0, 0.5, 0.0).astype(np.float32)
    return xp.tanh(z + np.arctanh(offset / half)) * half - offset


def levelled(whole: Any, levels: tuple[int, ...]) -> Any:
    """Whole numbers of each level -> [-1, 1], as the decoder reads them."""
    return whole / (_counts(levels, whole) // 2)


def _counts(levels: tuple[int, ...], like: Any) -> np.ndarray:
    """The levels along the last axis of as many as `like` has."""
    return np.asarray(levels, np.float32).reshape(*[1] * (like.ndim - 1), -1)


@dataclass(frozen=True, eq=False)
class VisualTokenizer:
    """A trained one. Two are equal if their numbers are.

    Args:
        parameters: float32 arrays by the names and shapes of `parameter_shapes`.
        cache: folder in which `encode_once` keeps ids; None keeps them in memory.
    """

    config: VisualConfig
    parameters: Parameters = field(repr=False)
    cache: Path | None = field(default=None, repr=False)

    def __post_init__(self):
        found = {name: np.shape(value) for name, value in self.parameters.items()}
        if found != parameter_shapes(self.config):
            raise ValueError("the parameters of a visual tokenizer are not those of its form")

    @cached_property
    def version(self) -> str:
        """By content."""
        digest = hashlib.sha256(repr(self.config).encode())
        for name in sorted(self.parameters):
            digest.update(np.ascontiguousarray(self.parameters[name], "<f4").tobytes())
        return f"visual-{digest.hexdigest()[:16]}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VisualTokenizer) and self.version == other.version

    def __hash__(self) -> int:
        return hash(self.version)

    @property
    def size(self) -> int:
        """Number of ids."""
        return self.config.codes

    def encode(self, pictures: np.ndarray) -> np.ndarray:
        """uint8[n, *shape] -> int32[n, tokens], row by row of the grid.

        Raises:
            ValueError: of another shape or type.
        """
        x = np.asarray(pictures)
        if x.shape[1:] != self.config.shape or x.dtype != np.uint8:
            raise ValueError(f"pictures are uint8[n, {self.config.shape}], got {x.dtype} of shape {x.shape}")
        parts = [self._encode(x[at : at + TOGETHER]) for at in range(0, len(x), TOGETHER)]
        return np.concatenate([np.zeros((0, self.config.tokens), np.int32), *parts])

    def encode_once(self, picture: np.ndarray) -> np.ndarray:
        """uint8[*shape] -> int32[tokens]; of one that was asked for before, what was found then (`KeptIds`)."""
        key = key_of(picture)
        ids = self._kept.get(key)
        if ids is None:
            ids = self.encode(picture[None])[0]
            self._kept.put(key, ids)
        return ids

    @cached_property
    def _kept(self) -> KeptIds:
        return KeptIds(self.cache, self.version, self.config.tokens, self.size)

    def _encode(self, pictures: np.ndarray) -> np.ndarray:
        z = encoded(self.parameters, pictures.astype(np.float32) / np.float32(127.5) - 1, self.config)
        levels = self.config.levels
        digits = np.rint(bounded(z, levels)).astype(np.int32) + np.asarray(levels, np.int32) // 2
        return (digits @ self._places).reshape(len(pictures), -1).astype(np.int32)

    def decode(self, ids: np.ndarray) -> np.ndarray:
        """int[n, tokens] -> uint8[n, *shape]. Raises ValueError for other ids or another number of them."""
        x = np.asarray(ids)
        if x.ndim != 2 or x.shape[1] != self.config.tokens:
            raise ValueError(f"a picture has {self.config.tokens} ids, got an array of shape {x.shape}")
        if x.size and not (x.min() >= 0 and x.max() < self.size):
            raise ValueError(f"ids of pictures lie in [0, {self.size}), got {x.min()} to {x.max()}")
        parts = [self._decode(x[at : at + TOGETHER]) for at in range(0, len(x), TOGETHER)]
        return np.concatenate([np.zeros((0, *self.config.shape), np.uint8), *parts])

    def _decode(self, ids: np.ndarray) -> np.ndarray:
        levels = np.asarray(self.config.levels)
        digits = ids[..., None] // self._places % levels - levels // 2
        codes = levelled(digits.astype(np.float32), self.config.levels).reshape(len(ids), *self.config.grid, -1)
        pixels = decoded(self.parameters, codes, self.config)
        return np.clip(np.rint((pixels + 1) * np.float32(127.5)), 0, 255).astype(np.uint8)

    @cached_property
    def _places(self) -> np.ndarray:
        """Place value of each level's digit in an id."""
        return np.cumprod([1, *self.config.levels[:-1]]).astype(np.int32)


def _affine(p: Parameters, name: str, x: Any) -> Any:
    return x @ p[f"{name}.kernel"] + p[f"{name}.bias"][None, None, None]


def _gelu(x: Any, xp: Any) -> Any:
    """By tanh, so that every array library has it."""
    return 0.5 * x * (1 + xp.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))


def _neighbours(x: Any, xp: Any) -> Any:
    """[n, h, w, c] -> [n, h, w, 9 c]: each place with those around it, zeros beyond the edge."""
    _, h, w, _ = x.shape
    padded = xp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return xp.concatenate([padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)], axis=-1)
