"""easy-VQA: 5,000 pictures of one coloured shape, 48,248 questions with an answer of one word. Extra `pictures`.

Its own split: 4,000 pictures to train on and 1,000 to test. Source: V. Zhou, easy-VQA, 2020, MIT licence, as the PyPI
package `easy-vqa` holds it; nothing of that package is run.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from generalist.corpora.corpus import Measure, Split
from generalist.corpora.image_folder import read_picture
from generalist.corpora.packages import folder_of
from generalist.tokenizers.parts import Document, Words


@dataclass(frozen=True)
class EasyVQA:
    """One split."""

    split: Split

    @property
    def measure(self) -> Measure:
        return "answer"

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    @property
    def groups(self) -> tuple[int, ...]:
        """Number of the picture of each question."""
        return tuple(picture for _, _, picture in _questions(self.split))

    def __len__(self) -> int:
        return len(_questions(self.split))

    def __getitem__(self, index: int) -> Document:
        """(picture uint8[64, 64, 3], question, answer)."""
        question, answer, number = _questions(self.split)[index]
        path = _folder(self.split) / "images" / f"{number}.png"
        return read_picture(path, f"easy-vqa {self.split}[{index}]"), Words(question, target=False), Words(answer)


def open_corpus(name: str, split: Split) -> EasyVQA:
    """The questions of the split "train" (38,575) or "test" (9,673).

    Raises:
        ValueError: another split, or a file that is not what it should be.
        MissingExtra: without the extra `pictures`.
    """
    if split not in ("train", "test"):
        raise ValueError(f"{name} has the splits train and test, not {split}; choose one of them")
    _questions(split)
    return EasyVQA(split)


def _folder(split: Split) -> Path:
    return folder_of("easy_vqa") / "data" / split


@cache
def _questions(split: Split) -> tuple[tuple[str, str, int], ...]:
    """(question, answer, number of the picture) of every line."""
    path = _folder(split) / "questions.json"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return tuple((str(question), str(answer), int(picture)) for question, answer, picture in rows)
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(f"{path} is not what easy-VQA has: rows of question, answer and picture ({error})") from None
