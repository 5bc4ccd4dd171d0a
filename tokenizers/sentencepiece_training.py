"""Training of SentencePiece models that lose nothing: decode(encode(text)) == text for every text.

Pieces are found by byte-pair encoding; characters outside them are bytes (byte fallback). White space stays as it is
and nothing is normalised. SentencePiece writes a space as U+2581, so that character itself would come back as a space.
The model carries a rule that writes it as two characters, the first of them U+E000, which is doubled in the same way;
and the rule that undoes it. The model of Reed et al. 2022, sec. 2.1, has 32,000 pieces. Needs the extra
`sentencepiece`. Not here: reading files.
"""

import io
import os
import random
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

LONGEST = 4000
"""Characters of a line after which it is cut; SentencePiece leaves longer lines out."""

SENTENCES = 5_000_000
"""Of more lines a random choice of this many is learned from, always the same."""

SMALLEST = 260
"""Pieces: 256 bytes, 3 special ones, and something to learn."""

SHORTEST_PHRASE, LONGEST_PHRASE = 4, 512
"""Characters; SentencePiece's own upper limit of a piece is 512."""

_ESCAPES = (("2581", "E000 0061"), ("E000", "E000 0062"))


def train_sentencepiece(
    texts: Iterable[str],
    out: str | Path,
    size: int = 32_000,
    *,
    phrases: int = 0,
    sentences: int = SENTENCES,
    threads: int = 0,
) -> Path:
    """Train a model and write it to `out`, which appears whole or not at all.

    Args:
        texts: read once, one after the other; they are learned from by lines.
        out: the file, its name ends in .model by custom.
        size: number of pieces, among them 256 bytes and 3 special ones.
        phrases: pieces may go across words, and have at most this many characters; 0 keeps words apart. For texts of
            few phrases, such as missions, which are then a few ids.
        sentences: most lines that are held in memory; of more, a random choice, the same in every process.
        threads: 0 takes one for each core.

    Raises:
        ValueError: no text, too little of it for so many pieces (with the largest number), or too few pieces for its
            characters (with the smallest).
        ModuleNotFoundError: the extra is not installed.
        Exception: whatever `texts` raises.
    """
    try:
        import sentencepiece
    except ImportError:
        raise ModuleNotFoundError('SentencePiece is not installed: pip install "generalist[sentencepiece]"') from None
    if phrases and not SHORTEST_PHRASE <= phrases <= LONGEST_PHRASE:
        raise ValueError(f"phrases of {SHORTEST_PHRASE} to {LONGEST_PHRASE} characters are learned, got {phrases}")
    if size < SMALLEST or sentences < 1:
        raise ValueError(f"need at least {SMALLEST} pieces and 1 sentence, got {size} and {sentences}")
    out = Path(out)
    if not out.parent.is_dir():
        raise FileNotFoundError(f"no folder {out.parent} for the model; make it first")
    lines, model = _Lines(texts, sentences), io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        try:
            sentencepiece.SentencePieceTrainer.Train(
                sentence_iterator=iter(lines),
                model_writer=model,
                vocab_size=size,
                num_threads=threads or os.cpu_count() or 1,
                **({"split_by_whitespace": False, "max_sentencepiece_length": phrases} if phrases else {}),
                **_lossless(Path(folder)),
            )
        except RuntimeError as error:
            raise lines.error or _explained(str(error), size, lines.count) from None
    _write(_without_traces(model.getvalue()), out)
    return out


class _Lines:
    """The texts as lines; remembers how many there were, and what a text raised, which SentencePiece would hide."""

    def __init__(self, texts: Iterable[str], most: int):
        self.texts = texts
        self.most = most
        self.count = 0
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[str]:
        # SentencePiece can choose too, but differently in every process.
        kept, draw = [], random.Random(0)
        try:
            for line in self._all():
                self.count += 1
                if len(kept) < self.most:
                    kept.append(line)
                elif (at := draw.randrange(self.count)) < self.most:
                    kept[at] = line
            yield from kept
        except (Exception, KeyboardInterrupt) as error:
            self.error = error
            raise

    def _all(self) -> Iterator[str]:
        for text in self.texts:
            # A line with a tab would be left out: SentencePiece uses tabs itself.
            for line in re.split("[\n\r\t\0]+", re.sub("[\ud800-\udfff]", "\ufffd", text)):
                yield from (line[start : start + LONGEST] for start in range(0, len(line), LONGEST))


def _lossless(folder: Path) -> dict[str, Any]:
    """Settings of the trainer under which nothing is lost; the rules are files in `folder`."""
    there, back = folder / "there.tsv", folder / "back.tsv"
    there.write_text("".join(f"{char}\t{two}\n" for char, two in _ESCAPES))
    back.write_text("".join(f"{two}\t{char}\n" for char, two in _ESCAPES))
    return {
        "model_type": "bpe",
        "byte_fallback": True,
        "normalization_rule_tsv": str(there),
        "denormalization_rule_tsv": str(back),
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": False,
        "max_sentence_length": 8 * LONGEST,
        "minloglevel": 2,
    }


def _without_traces(model: bytes) -> bytes:
    """The model without what differs from machine to machine, so that the same text gives the same version."""
    from sentencepiece import sentencepiece_model_pb2

    proto: Any = sentencepiece_model_pb2.ModelProto.FromString(model)  # pyright: ignore[reportAttributeAccessIssue]
    proto.normalizer_spec.ClearField("normalization_rule_tsv")
    proto.denormalizer_spec.ClearField("normalization_rule_tsv")
    proto.trainer_spec.ClearField("num_threads")
    return proto.SerializeToString(deterministic=True)


def _explained(message: str, size: int, lines: int) -> Exception:
    """What the user can do about an error of the trainer; the error itself where it is another."""
    if not lines:
        return ValueError("no text to train a tokenizer on; give some that is not empty")
    if found := re.search(r"too high .*value <= (\d+)", message):
        return ValueError(
            f"{lines} lines of text are too little for {size} pieces; give more text, or a size of at most {found[1]}"
        )
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return ValueError(f"{size} pieces do not hold the characters of the text; give a size of at least {found[1]}")
    return RuntimeError(message)


def _write(model: bytes, out: Path) -> None:
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(model)
        os.chmod(name, 0o644)
        os.replace(name, out)
    except BaseException:
        os.unlink(name)
        raise
