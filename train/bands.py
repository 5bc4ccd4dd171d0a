"""Means and spreads of the bands of pictures, from the training documents of their corpus."""

import math
from dataclasses import replace

import numpy as np

from generalist.corpora.corpus import BadExampleError, Corpus
from generalist.corpora.open import open_corpus
from generalist.tokenizers.bands import Bands, band_statistics
from generalist.tokenizers.parts import is_read
from generalist.tokenizers.pictures import PictureOptions
from generalist.train.config import DocumentsConfig, TrainConfig
from generalist.train.held_out import split_corpus

PATCH = 8
"""Pixels along a patch of bands, at most, where nothing else is asked for."""
LOOKED_AT = 2000
"""Documents of a corpus, at most, spread over it."""


def with_band_statistics(config: TrainConfig) -> TrainConfig:
    """The job with the means and spreads of every corpus that is shown by its bands, where it has none yet.

    Raises:
        ValueError: a corpus without pictures, of pictures with fewer bands than are read, or with a band that has no
            number.
    """
    documents = tuple(_filled(config, each) for each in config.documents)
    return config if documents == config.documents else replace(config, documents=documents)


def all_bands(name: str) -> PictureOptions | None:
    """How a corpus is shown by all of its bands; None where its first document has no picture of bands.

    Patches have the side of the largest divisor up to `PATCH` of the picture's sides.

    Raises:
        As `generalist.corpora.open.open_corpus`.
    """
    corpus = open_corpus(name)
    try:
        first = next((part for part in corpus[0] if isinstance(part, Bands)), None) if len(corpus) else None
    except BadExampleError:
        return None
    if first is None:
        return None
    height, width = first.values.shape[:2]
    side = max(size for size in range(1, PATCH + 1) if math.gcd(height, width) % size == 0)
    return PictureOptions(images="bands", shape=(height, width, first.count), patch_size=side)


def _filled(config: TrainConfig, documents: DocumentsConfig) -> DocumentsConfig:
    options = documents.pictures
    if options.images != "bands" or options.means or not (documents.weight and documents.room):
        return documents
    training, _ = split_corpus(open_corpus(documents.corpus), config.held_out)
    try:
        means, spreads = band_statistics(bands_of(training, options))
    except ValueError as cause:
        raise ValueError(f"{documents.corpus}: {cause}") from cause
    if len(means) != options.shape[2]:
        raise ValueError(
            f"pictures of {documents.corpus} have {len(means)} bands, pictures.shape says {options.shape[2]}"
        )
    return replace(documents, pictures=replace(options, means=means, spreads=spreads))


def bands_of(corpus: Corpus, options: PictureOptions) -> list[Bands]:
    """The bands that are read, of pictures of at most `LOOKED_AT` documents; damaged ones are passed over."""
    found = []
    for index in np.linspace(0, len(corpus) - 1, min(LOOKED_AT, len(corpus))).astype(int):
        try:
            document = corpus[int(index)]
        except BadExampleError:  # training passes over it and names it
            continue
        for part in document:
            if is_read(part):
                values = part.values if isinstance(part, Bands) else part.pixels
                found.append(Bands(options.chosen(values)))
    return found
