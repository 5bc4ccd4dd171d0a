"""The command `generalist tokenizer`: a SentencePiece model from files of text, a visual tokenizer from pictures."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from generalist.configs.commands.terminal import console, print_notice, table

MEASURED = 10_000_000
"""Bytes of text, from the beginning, on which bytes per token are measured."""
NAMES = {"tokenizer": "tokenizer", "blocks": "k-means of blocks", "palette": "k-means of colours"}


@dataclass(frozen=True, kw_only=True)
class TrainTokenizer:
    """Train a tokenizer: of text from files (`train FILES...`), or of pictures from corpora (`train-images CORPUS...`).

    `train FILES... --out NAME.model` gives a SentencePiece model, `train-images CORPUS... --out NAME.safetensors` a
    visual tokenizer, whose ids can be written, and a picture of what comes back.
    """

    action: tyro.conf.Positional[Literal["train", "train-images"]]
    """What to do."""
    sources: tyro.conf.Positional[tuple[str, ...]]
    """train: files or folders of .txt, .md, .jsonl and .jsonl.gz (one text per line, field text). train-images: corpora
    with pictures, such as scenes/captions, digits, images:PATH, webdataset:PATTERN, tfds:NAME."""
    out: Path | None = None
    """File to write, default tokenizer.model or visual.safetensors; an older one is replaced once the new is whole."""
    size: int = 32_000
    """train: number of pieces, among them 256 bytes and 3 special ones."""
    phrases: int = 0
    """train: pieces may go across words and have at most so many characters, for texts of few phrases; 0 keeps words
    apart."""
    shape: tuple[int, int, int] = (56, 56, 3)
    """train-images: height, width and channels (1 or 3) to which pictures are brought."""
    strides: tuple[int, ...] = (4, 2)
    """train-images: by which each stage shrinks a picture; their product is the side of what a token stands for."""
    width: int = 32
    """train-images: channels of the convolutions."""
    levels: tuple[int, ...] = (8, 5, 5, 5)
    """train-images: levels of each number that a token is; their product is how many ids there are."""
    steps: int = 1500
    """train-images: updates."""
    batch_size: int = 64
    """train-images: pictures of an update."""
    learning_rate: float = 1e-2
    """train-images: the highest."""
    seed: int = 0
    """train-images: of everything random."""

    def __post_init__(self):
        if not self.sources:
            what = "file or folder of text" if self.action == "train" else "corpus with pictures"
            raise ValueError(f"give at least one {what}: `generalist tokenizer {self.action} ...`")

    def __call__(self) -> None:
        if self.action == "train":
            self._texts(self.out or Path("tokenizer.model"))
        else:
            self._pictures(self.out or Path("visual.safetensors"))

    def _texts(self, to: Path) -> None:
        from generalist.tokenizers.sentencepiece_training import train_sentencepiece
        from generalist.tokenizers.text import SentencePieceTokenizer

        files = tuple(map(Path, self.sources))
        train_sentencepiece(_texts(files), to, self.size, phrases=self.phrases)
        tokenizer = SentencePieceTokenizer.load(to)
        tokens = size = 0
        for text in _texts(files):
            tokens += len(tokenizer.encode(text))
            size += len(text.encode(errors="replace"))
            if size >= MEASURED:
                break
        out = console()
        out.print(f"{to}: {tokenizer.size} pieces, {size / tokens:.2f} bytes per token on {size:,} bytes of it")
        out.print(
            "Use it with: generalist train CONFIG --train.text.tokenizer sentencepiece "
            f"--train.text.model {to} --train.vocabulary.text-size {tokenizer.size}",
            markup=False,
            soft_wrap=True,
        )

    def _pictures(self, to: Path) -> None:
        print_notice(f"training a visual tokenizer on {', '.join(self.sources)}: loading")
        from generalist.agent.compilation import keep_compilations
        from generalist.configs.commands.update_bar import update_bar
        from generalist.tokenizers.visual import VisualConfig
        from generalist.train.visual_job import train_on_corpora
        from generalist.train.visual_training import VisualTraining

        keep_compilations()
        config = VisualConfig(shape=self.shape, strides=self.strides, width=self.width, levels=self.levels)
        training = VisualTraining(
            steps=self.steps, batch_size=self.batch_size, learning_rate=self.learning_rate, seed=self.seed
        )
        with update_bar(self.steps) as progress:
            found = train_on_corpora(self.sources, to, config, training, progress=progress)
        out = console()
        rows = [
            {"rebuilt by": NAMES[name], "tokens": found.tokens[name], "PSNR, dB": value}
            | ({"read as before": f"{found.read[name]:.1%}"} if found.read else {})
            for name, value in found.psnr.items()
        ]
        out.print(table(rows))
        said = f"{found.used} of {config.codes} ids occur in {found.pictures} pictures that it was not trained on"
        out.print(f"{to}: {said}; {to.with_suffix('.png')} shows some", markup=False, soft_wrap=True)


def _texts(files: tuple[Path, ...]) -> Iterator[str]:
    """Pieces of the texts, one after the other."""
    from generalist.corpora.text import open_corpus
    from generalist.tokenizers.parts import Words

    for file in files:
        corpus = open_corpus(file)
        for index in range(len(corpus)):
            for part in corpus[index]:
                if isinstance(part, Words):
                    yield part.text
