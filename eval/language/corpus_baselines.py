"""Plain baselines of language and vision: the commonest answer, the nearest picture, a regression on pixels, n-grams.

All are fitted on training documents of the corpus that is measured, and nothing is tuned. They say what can be had
without looking, or without understanding.
"""

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from generalist.eval.language.corpus_record import Outcome, normal_form
from generalist.eval.language.ngram import END, ORDERS, NGram
from generalist.tokenizers.bands import Bands, false_colour
from generalist.tokenizers.parts import Document, Picture, Words, prompt_and_answer

SIDES = (8, 16)
"""Pixels along a side of a picture for the baselines: as many as the smallest has, within these bounds."""

ITERATIONS = 100
"""Of L-BFGS for the regression; stopping there acts as regularisation and is no error."""


def prompt_text(prompt: Document) -> str:
    """The words of a prompt, one part per line: for people, and to know the same question again."""
    return "\n".join(part.text for part in prompt if isinstance(part, Words))


def last_picture(prompt: Document) -> np.ndarray | None:
    """Pixels uint8[height, width, 1 or 3] of the last picture, the one that is asked about; None if there is none.

    Of bands they are in false colour.
    """
    found = [part for part in prompt if isinstance(part, Picture | Bands)]
    if not found:
        return None
    pixels = found[-1].pixels if isinstance(found[-1], Picture) else false_colour(found[-1])
    return pixels[..., :3]


def commonest(train: Sequence[Document], count: int) -> Outcome:
    """The commonest answer of all, `count` times."""
    answers = Counter(prompt_and_answer(document)[1] for document in train)
    return Outcome(texts=(answers.most_common(1)[0][0],) * count)


def commonest_answers(train: Sequence[Document], prompts: Sequence[Document]) -> Outcome:
    """To each question the commonest answer to the same words, or of all where they were never asked; no picture."""
    everywhere: Counter[str] = Counter()
    questions: dict[str, Counter[str]] = {}
    for document in train:
        prompt, answer = prompt_and_answer(document)
        answer = normal_form(answer)
        everywhere[answer] += 1
        questions.setdefault(normal_form(prompt_text(prompt)), Counter())[answer] += 1
    found = [questions.get(normal_form(prompt_text(prompt)), everywhere) for prompt in prompts]
    return Outcome(texts=tuple(answers.most_common(1)[0][0] for answers in found))


def n_gram_answers(train: Sequence[Document], prompts: Sequence[Document]) -> Outcome | None:
    """What a model of five bytes, that counted questions with their answers, writes; None where there are pictures."""
    if any(last_picture(document) is not None for document in (*train, *prompts)):
        return None
    told = [prompt_and_answer(document) for document in train]
    model = NGram.fit([f"{prompt_text(prompt)}\n{answer}" for prompt, answer in told], ORDERS[1])
    most = max(len(answer.encode()) for _, answer in told)
    likeliest = cache(lambda before: int(model.distribution(before).argmax()))
    texts = []
    for prompt in prompts:
        written = f"{prompt_text(prompt)}\n".encode()
        begun = len(written)
        while len(written) < begun + most and (byte := likeliest(written[1 - ORDERS[1] :])) != END:
            written += bytes([byte])
        texts.append(written[begun:].decode(errors="replace"))
    return Outcome(texts=tuple(texts))


def regression_labels(train: Sequence[Document], prompts: Sequence[Document]) -> Outcome | None:
    """Logistic regression on standardised small pixels; None without pictures, or with one label in all of `train`."""
    features = _small_pictures(train, prompts)
    answers = [prompt_and_answer(document)[1] for document in train]
    if features is None or len(set(answers)) < 2:
        return None
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=ITERATIONS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # see ITERATIONS
        model.fit(features[0], answers)
    return Outcome(texts=tuple(str(label) for label in model.predict(features[1])))


def nearest_captions(train: Sequence[Document], prompts: Sequence[Document]) -> Outcome | None:
    """The caption of the training picture whose small pixels are nearest (Euclidean); None without pictures."""
    features = _small_pictures(train, prompts)
    if features is None:
        return None
    known, asked = features
    nearest = (asked @ known.T - (known * known).sum(axis=1) / 2).argmax(axis=1)
    return Outcome(texts=tuple(prompt_and_answer(train[index])[1] for index in nearest))


def n_grams(train: Sequence[tuple[str, bool]], test: Sequence[Sequence[tuple[str, bool]]]) -> dict[str, Outcome]:
    """Byte n-grams of the lowest and the highest order, on texts and whether each is whole; nats per test document."""
    texts, whole = [text for text, _ in train], [ends for _, ends in train]
    asked = [pair for pairs in test for pair in pairs]
    owner = np.repeat(np.arange(len(test)), [len(pairs) for pairs in test])
    found = {}
    for name, order in zip(("unigram", "five_gram"), ORDERS, strict=True):
        model = NGram.fit(texts, order, whole=whole)
        nats = model.nats([text for text, _ in asked], whole=[ends for _, ends in asked])
        found[name] = Outcome(nats=tuple(np.bincount(owner, nats, len(test)).tolist()))
    return found


def _small_pictures(train: Sequence[Document], prompts: Sequence[Document]) -> tuple[np.ndarray, np.ndarray] | None:
    """Pixels in [0, 1] of the training and the asked pictures, float32[n, F] each; black where there is none."""
    known = [last_picture(prompt_and_answer(document)[0]) for document in train]
    asked = [last_picture(prompt) for prompt in prompts]
    pictures = [each for each in known if each is not None]
    if not pictures:
        return None
    side = int(np.clip(min(min(each.shape[:2]) for each in pictures), *SIDES))
    mode = "L" if all(each.shape[2] == 1 for each in pictures) else "RGB"
    return _features(known, side, mode), _features(asked, side, mode)


def _features(pictures: Sequence[np.ndarray | None], side: int, mode: str) -> np.ndarray:
    rows = np.zeros((len(pictures), side * side * len(mode)), np.float32)
    for row, pixels in zip(rows, pictures, strict=True):
        if pixels is not None:
            small = as_image(pixels).convert(mode).resize((side, side), Image.Resampling.BOX)
            row[:] = np.asarray(small, np.float32).reshape(-1) / 255
    return rows


def as_image(pixels: np.ndarray) -> Image.Image:
    """uint8[height, width, 1 or 3] as an image of Pillow."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))


def shrunk(image: Image.Image, most: int) -> Image.Image:
    """At most `most` pixels wide and high; a smaller one as it is."""
    factor = most / max(image.size)
    if factor >= 1:
        return image
    return image.resize([math.ceil(size * factor) for size in image.size], Image.Resampling.BOX)
