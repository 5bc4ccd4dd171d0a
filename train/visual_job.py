"""A visual tokenizer from corpora: their pictures, the training, and what it is worth beside k-means of the same size.

Baselines without a network (iGPT, Chen et al. 2020, has such a palette): each block of pixels that a token stands for
as the nearest of as many blocks as there are ids, and each pixel as the nearest of 512 colours, a token per pixel.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from generalist.corpora.corpus import BadExampleError, Corpus
from generalist.corpora.open import open_corpus
from generalist.tokenizers.parts import Picture
from generalist.tokenizers.pictures import PictureOptions, sized
from generalist.tokenizers.visual import VisualConfig
from generalist.train.visual_file import write_visual
from generalist.train.visual_training import VisualTraining, train_visual

HELD, MEASURED = 20_000, 500
"""Most pictures of each corpus that are held in memory to learn from, spread over it, and that are measured on."""
COLOURS = 512
SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class VisualFindings:
    """What pictures that were not trained on come back as.

    Args:
        pictures: how many.
        psnr: decibels by the mean squared error of all, by who rebuilt them: "tokenizer", "blocks" and "palette".
        tokens: of a picture, of each.
        used: ids that occur among those pictures.
        read: share of the pictures that are read, by the corpus itself and not by a network of ours, as the same as
            before, by who rebuilt them; empty where no corpus reads its pictures.
    """

    pictures: int
    psnr: dict[str, float]
    tokens: dict[str, int]
    used: int
    read: dict[str, float]


def train_on_corpora(
    names: Sequence[str],
    out: Path,
    config: VisualConfig,
    training: VisualTraining,
    *,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> VisualFindings:
    """Train on the pictures of corpora, write the file, and beside it a picture of what comes back.

    Args:
        names: of the corpora, as `generalist.corpora.open` knows them.
        out: the file; `out` with the ending .png is the picture.

    Raises:
        ValueError: no such corpus, or one without pictures.
        FloatingPointError: as `train_visual`.
        WritingError: it cannot be written.
    """
    corpora = [open_corpus(name) for name in names]
    batches = _batches(corpora, names, config, training)
    tokenizer = train_visual(batches, config, training, progress=progress)
    write_visual(out, tokenizer)
    tests = [open_corpus(name, "test") for name in names]
    apart = [_some(test, name, config, MEASURED) for test, name in zip(tests, names, strict=True)]
    unseen = np.concatenate(apart)
    learnt = np.concatenate([_some(corpus, name, config, 2000) for corpus, name in zip(corpora, names, strict=True)])
    rebuilt = {"tokenizer": tokenizer.decode(tokenizer.encode(unseen)), **_baselines(learnt, unseen, config)}
    _draw(out.with_suffix(".png"), unseen, rebuilt)
    height, width, _ = config.shape
    return VisualFindings(
        pictures=len(unseen),
        psnr={name: psnr(unseen, each) for name, each in rebuilt.items()},
        tokens={"tokenizer": config.tokens, "blocks": config.tokens, "palette": height * width},
        used=len(np.unique(tokenizer.encode(unseen))),
        read=read_as_before(tests, apart, rebuilt),
    )


def read_as_before(
    tests: Sequence[Corpus], apart: Sequence[np.ndarray], rebuilt: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """The share of pictures that are read as before, of the corpora that read their own.

    Args:
        apart: uint8[n, *shape] of each corpus, which `rebuilt` has one after the other.
    """
    same: dict[str, list[bool]] = {}
    ends = np.cumsum([len(each) for each in apart])
    for corpus, pictures, end in zip(tests, apart, ends, strict=True):
        reader = getattr(corpus, "reader", None)
        if reader is None:
            continue
        truth = list(map(reader, pictures))
        for name, each in rebuilt.items():
            found = map(reader, each[end - len(pictures) : end])
            same.setdefault(name, []).extend(one == other for one, other in zip(truth, found, strict=True))
    return {name: float(np.mean(each)) for name, each in same.items()}


def psnr(pictures: np.ndarray, rebuilt: np.ndarray) -> float:
    """Peak signal-to-noise ratio in decibels of uint8 pictures; infinite where they are equal."""
    error = np.mean((pictures.astype(np.float64) - rebuilt) ** 2)
    return float(10 * np.log10(255.0**2 / error)) if error else float("inf")


def pictures_of(corpus: Corpus, index: int, config: VisualConfig) -> list[np.ndarray]:
    """uint8[*shape] of every picture of a document."""
    options = PictureOptions(images="conv", shape=config.shape)
    return [sized(part.pixels, options)[0] for part in corpus[index] if isinstance(part, Picture)]


def _some(corpus: Corpus, name: str, config: VisualConfig, count: int) -> np.ndarray:
    """Pictures of the corpus, at most so many, spread over it; damaged documents are passed over."""
    found: list[np.ndarray] = []
    for index in np.linspace(0, len(corpus) - 1, min(count, len(corpus))).astype(int):
        try:
            found += pictures_of(corpus, int(index), config)
        except BadExampleError:
            continue
        if len(found) >= count:
            break
    if not found:
        raise ValueError(f"{name} has no pictures")
    return np.stack(found[:count])


def _batches(
    corpora: Sequence[Corpus], names: Sequence[str], config: VisualConfig, training: VisualTraining
) -> Iterator[np.ndarray]:
    """Batches without an end, of each corpus about as many; pictures are read once, before the first."""
    rng = np.random.default_rng(training.seed)
    held = [_some(corpus, name, config, HELD) for corpus, name in zip(corpora, names, strict=True)]
    while True:
        chosen = rng.integers(len(held), size=training.batch_size)
        yield np.stack([held[which][rng.integers(len(held[which]))] for which in chosen])


def _baselines(learnt: np.ndarray, unseen: np.ndarray, config: VisualConfig) -> dict[str, np.ndarray]:
    from sklearn.cluster import MiniBatchKMeans

    found = {}
    for name, side, count in (("blocks", config.side, config.codes), ("palette", 1, COLOURS)):
        points = _blocks(learnt, side).reshape(-1, side * side * learnt.shape[-1]).astype(np.float32)
        points = points[np.random.default_rng(0).permutation(len(points))[:50_000]]
        centres = np.unique(points, axis=0)
        if len(centres) > count:
            means = MiniBatchKMeans(count, random_state=0, batch_size=4096).fit(points)
            centres = np.asarray(means.cluster_centers_)
        blocks = _blocks(unseen, side)
        rows = blocks.reshape(-1, points.shape[1]).astype(np.float32)
        nearest = np.concatenate([_nearest(rows[at : at + 4096], centres) for at in range(0, len(rows), 4096)])
        found[name] = _joined(np.rint(centres[nearest]).astype(np.uint8).reshape(blocks.shape))
    return found


def _nearest(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.argmin((centres**2).sum(axis=1) - 2 * rows @ centres.T, axis=1)


def _blocks(pictures: np.ndarray, side: int) -> np.ndarray:
    """[n, h, w, c] -> [n, h / side, w / side, side, side, c]."""
    n, h, w, c = pictures.shape
    return pictures.reshape(n, h // side, side, w // side, side, c).swapaxes(2, 3)


def _joined(blocks: np.ndarray) -> np.ndarray:
    n, rows, columns, side, _, c = blocks.shape
    return blocks.swapaxes(2, 3).reshape(n, rows * side, columns * side, c)


def _draw(path: Path, pictures: np.ndarray, rebuilt: dict[str, Any]) -> None:
    """The first pictures, and below each as they came back."""
    rows = [np.concatenate(list(each[:SHOWN]), axis=1) for each in (pictures, *rebuilt.values())]
    whole = np.concatenate(rows, axis=0)
    image = Image.fromarray(whole if whole.shape[-1] == 3 else whole[..., 0])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST).save(path)
