"""Text as token ids: UTF-8 bytes (no file needed) or a SentencePiece model, and the text fields of a layout.

Text ids start at 0 in the vocabulary, so ids here are vocabulary ids. Not here: subword training.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from generalist.tokenizers.space import Leaf, is_mission
from generalist.tokenizers.vocabulary import Vocabulary

_SURROGATES = re.compile("[\ud800-\udfff]")


class TextTokenizer(Protocol):
    """What a layout needs from a text tokenizer; ids are in [0, size).

    `begins` are ids that stand before the first word of a document, None for the vocabulary's separator; `ends` are
    those by which a text ends, none for the vocabulary's `end`.
    """

    @property
    def size(self) -> int: ...

    @property
    def version(self) -> str: ...

    @property
    def begins(self) -> tuple[int, ...] | None: ...

    @property
    def ends(self) -> tuple[int, ...]: ...

    def encode(self, text: str) -> np.ndarray: ...

    def decode(self, ids: Iterable[int]) -> str: ...

    def most_tokens(self, space: spaces.Text) -> int: ...


@dataclass(frozen=True)
class ByteTokenizer:
    """UTF-8 bytes, ids 0..255. Every string is known.

    A lone surrogate has no UTF-8 form and becomes U+FFFD; bytes that are not UTF-8 decode to U+FFFD.
    """

    size: int = field(default=256, init=False)
    version: str = field(default="bytes-1", init=False)
    begins: None = field(default=None, init=False, repr=False)
    ends: tuple[int, ...] = field(default=(), init=False, repr=False)

    def encode(self, text: str) -> np.ndarray:
        """int32[n], one id per byte."""
        try:
            raw = text.encode()
        except UnicodeEncodeError:
            raw = _SURROGATES.sub("\ufffd", text).encode()
        return np.frombuffer(raw, np.uint8).astype(np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        return bytes(int(i) for i in ids).decode(errors="replace")

    def most_tokens(self, space: spaces.Text) -> int:
        """The number of ids that suffices for every string of `space`."""
        return space.max_length * _widest(space)


MISSIONS, WORLDS = "missions", "worlds"
SHIPPED = {name: Path(__file__).parent / f"{name}.model" for name in (MISSIONS, WORLDS)}
"""Models that are part of this package. `missions`: 512 pieces for MiniGrid's and BabyAI's missions, such as "go to
the" and " red ball"; made by `python docs/make_missions.py`. `worlds`: 1,024 pieces for these, instructions of LIBERO,
rooms of TextWorld, pages of MiniWoB++ and questions of reasoning-gym; made by `python docs/make_worlds.py`.
"""


@dataclass(frozen=True)
class SentencePieceTokenizer:
    """A SentencePiece model (32,000 pieces in Reed et al. 2022, sec. 2.1). Needs the extra `sentencepiece`.

    Characters outside the model become its unknown piece, whose surface is " ⁇ "; a lone surrogate becomes U+FFFD
    first, which the model may normalise away. The model's bytes are held, so the tokenizer can be pickled and needs no
    file after construction.
    """

    model: bytes = field(repr=False)
    version: str = field(init=False)
    size: int = field(init=False)
    begins: None = field(default=None, init=False, repr=False)
    ends: tuple[int, ...] = field(default=(), init=False, repr=False)
    _processor: Any = field(init=False, repr=False, compare=False)

    @classmethod
    def load(cls, path: str | Path) -> "SentencePieceTokenizer":
        """Reads a `.model` file, or one of `SHIPPED` by its name.

        Raises:
            ValueError: no such file, or not a SentencePiece model; with its name.
            ImportError: the extra is not installed.
        """
        path = SHIPPED.get(str(path), Path(path))
        if not path.is_file():
            raise ValueError(
                f"no SentencePiece model at {path}; give the path of a .model file, or {' or '.join(SHIPPED)}"
            )
        try:
            return cls(path.read_bytes())
        except ValueError as problem:
            raise ValueError(f"{path} is damaged or {problem}") from None

    def __post_init__(self):
        processor = _load_processor(self.model)
        object.__setattr__(self, "_processor", processor)
        object.__setattr__(self, "size", processor.GetPieceSize())
        object.__setattr__(self, "version", f"sentencepiece-{hashlib.sha256(self.model).hexdigest()[:16]}")

    def __reduce__(self):
        return type(self), (self.model,)

    def encode(self, text: str) -> np.ndarray:
        """int32[n] piece ids."""
        return np.asarray(self._processor.EncodeAsIds(_SURROGATES.sub("\ufffd", text)), np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        return self._processor.DecodeIds([int(i) for i in ids])

    def most_tokens(self, space: spaces.Text) -> int:
        """As many ids as bytes and one for the leading mark; normalisation that needs more is refused on encoding."""
        return space.max_length * _widest(space) + 1 if space.max_length else 0


def _load_processor(model: bytes) -> Any:
    try:
        import sentencepiece
    except ImportError:
        raise ImportError("SentencePiece is not installed: pip install 'generalist[sentencepiece]'") from None
    try:
        processor = sentencepiece.SentencePieceProcessor()
        processor.LoadFromSerializedProto(model)
    except RuntimeError as error:
        raise ValueError(f"not a SentencePiece model ({error}); give the bytes of a .model file") from None
    return processor


def _widest(space: spaces.Text) -> int:
    """Bytes of the widest character of a space (3 for U+FFFD, which replaces a surrogate)."""
    return max((len(_SURROGATES.sub("\ufffd", char).encode()) for char in space.character_set), default=1)


class CutTextWarning(UserWarning):
    """A text is longer than the layout shows."""


def encode_texts(texts: Sequence[str], text: TextTokenizer, path: str) -> list[np.ndarray]:
    """Ids of each string; equal strings are encoded once.

    Raises:
        ValueError: something that is not a str.
    """
    known: dict[str, np.ndarray] = {}
    for value in texts:
        if not isinstance(value, str):
            raise ValueError(f"{path}: text must be str, got {type(value).__name__} ({value!r})")
        if value not in known:
            known[value] = text.encode(value)
    return [known[value] for value in texts]


@dataclass(frozen=True)
class TextField:
    """A Text action: `count` ids, the text's own and then `vocabulary.end`. Decoding any ids gives a member.

    Args:
        limit: of `count`; see `LayoutOptions.action_text_tokens`.
    """

    leaf: Leaf
    text: TextTokenizer
    vocabulary: Vocabulary
    limit: int | None = None

    def __post_init__(self):
        if is_mission(self.leaf.space):
            raise ValueError(f"{self.leaf.path}: a MissionSpace cannot be an action; use gymnasium.spaces.Text")

    @property
    def count(self) -> int:
        most = self.text.most_tokens(self.leaf.space)
        return most if self.limit is None else min(most, self.limit)

    @property
    def ranges(self) -> np.ndarray:
        """int32[count, 2]; text and `end` are not adjacent, so every id is legal and any id but text's ends it."""
        return np.tile(np.asarray([[0, self.vocabulary.size]], np.int32), (self.count, 1))

    def encode(self, values: Sequence[str]) -> np.ndarray:
        """int32[n, count].

        Raises:
            ValueError: not a str of the space.
        """
        ids = np.full((len(values), self.count), self.vocabulary.end, np.int32)
        encoded = encode_texts(values, self.text, self.leaf.path)
        for row, value, words in zip(ids, values, encoded, strict=True):
            if not self.leaf.space.contains(str(value)):
                raise ValueError(f"{self.leaf.path}: {value!r:.80} is outside {self.leaf.space}")
            if len(words) > self.count:
                raise ValueError(
                    f"{self.leaf.path}: {value!r:.80} has {len(words)} ids, the layout has room for {self.count}; "
                    "raise LayoutOptions.action_text_tokens"
                )
            row[: len(words)] = words
        return ids

    def decode(self, ids: np.ndarray, values: np.ndarray | None = None) -> list[str]:
        """ids [n, count] -> n members: characters outside the space are dropped, short texts padded."""
        return [self._member(row) for row in ids]

    def _member(self, row: np.ndarray) -> str:
        stops = np.flatnonzero((row < 0) | (row >= self.text.size))
        string = self.text.decode(row[: stops[0]] if stops.size else row)
        space = self.leaf.space
        string = "".join(char for char in string if char in space.character_set)[: space.max_length]
        return string if len(string) >= space.min_length else string.ljust(space.min_length, space.character_list[0])
