"""The command `generalist tokenizer train`: a SentencePiece model from files of text."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from generalist.configs.commands.terminal import console

MEASURED = 10_000_000
"""Bytes of text, from the beginning, on which bytes per token are measured."""


@dataclass(frozen=True, kw_only=True)
class TrainTokenizer:
    """Train a SentencePiece text tokenizer on files of text: `generalist tokenizer train FILES... --out NAME.model`."""

    action: tyro.conf.Positional[Literal["train"]]
    """What to do."""
    files: tyro.conf.Positional[tuple[Path, ...]]
    """Files or folders of .txt, .md, .jsonl and .jsonl.gz (one text per line, field text)."""
    out: Path = Path("tokenizer.model")
    """File to write; an older one is replaced once the new one is whole."""
    size: int = 32_000
    """Number of pieces, among them 256 bytes and 3 special ones."""
    phrases: int = 0
    """Pieces may go across words and have at most so many characters, for texts of few phrases; 0 keeps words apart."""

    def __post_init__(self):
        if not self.files:
            raise ValueError("give at least one file or folder of text: `generalist tokenizer train FILES...`")

    def __call__(self) -> None:
        from generalist.tokenizers.sentencepiece_training import train_sentencepiece
        from generalist.tokenizers.text import SentencePieceTokenizer

        train_sentencepiece(_texts(self.files), self.out, self.size, phrases=self.phrases)
        tokenizer = SentencePieceTokenizer.load(self.out)
        tokens = size = 0
        for text in _texts(self.files):
            tokens += len(tokenizer.encode(text))
            size += len(text.encode(errors="replace"))
            if size >= MEASURED:
                break
        out = console()
        out.print(f"{self.out}: {tokenizer.size} pieces, {size / tokens:.2f} bytes per token on {size:,} bytes of it")
        out.print(
            "Use it with: generalist train CONFIG --train.text.tokenizer sentencepiece "
            f"--train.text.model {self.out} --train.vocabulary.text-size {tokenizer.size}",
            markup=False,
            soft_wrap=True,
        )


def _texts(files: tuple[Path, ...]) -> Iterator[str]:
    """Pieces of the texts, one after the other."""
    from generalist.corpora.text import open_corpus
    from generalist.tokenizers.document import Words

    for file in files:
        corpus = open_corpus(file)
        for index in range(len(corpus)):
            for part in corpus[index]:
                if isinstance(part, Words):
                    yield part.text
