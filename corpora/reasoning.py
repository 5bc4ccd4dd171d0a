"""Questions that reasoning-gym draws, with its answers and its scorer (extra `text`): arithmetic, letters, logic, ...

`reasoning` are short ones of several kinds; `reasoning:NAME` or `reasoning:NAME,NAME,...` are those of any of its
generators, as it has them by default. Document i is a function of the names and i. The words of a question decide its
split, so that no question of the test is one of training. Source: Stojanovski et al. 2025, Reasoning Gym, Apache-2.0.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from generalist.corpora.corpus import BadExampleError, Measure, Split
from generalist.envs.names import nearest
from generalist.envs.task import needs_extra
from generalist.tokenizers.parts import Document, Words

DEFAULT: dict[str, Mapping[str, Any]] = {
    "chain_sum": {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2},
    "count_bits": {"min_n": 1, "max_n": 4095},
    "gcd": {"max_value": 99},
    "letter_counting": {"min_words": 2, "max_words": 4},
    "spell_backward": {},
    "syllogism": {},
}
"""The generators of `reasoning` and their settings."""

QUESTIONS: dict[Split, int] = {"train": 20_000, "test": 1_000}
"""Documents of each generator."""

ONE_IN, BLOCK = 8, 256
"""A question in `ONE_IN` is for the test; a document is the first of `BLOCK` drawn questions that is of its split."""


@dataclass(frozen=True)
class Reasoning:
    """One split: the generators in turn."""

    generators: tuple[str, ...]
    split: Split
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def measure(self) -> Measure:
        return "answer"

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    def __len__(self) -> int:
        return QUESTIONS[self.split] * len(self.generators)

    def __getitem__(self, index: int) -> Document:
        """(question, answer)."""
        entry = self._entry(index)[1]
        return Words(entry["question"], target=False), Words(entry["answer"])

    def score(self, index: int, answer: str) -> float:
        """What reasoning-gym gives for an answer to document `index`: 1 for a right one, often a little for others."""
        drawn, entry = self._entry(index)
        return float(drawn.score_answer(answer, entry))

    def _entry(self, index: int) -> tuple[Any, dict[str, Any]]:
        number, place = divmod(range(len(self))[index], len(self.generators))
        name = self.generators[place]
        drawn = _generator(name, tuple(sorted(self.settings.get(name, {}).items())))
        for at in range(number * BLOCK, (number + 1) * BLOCK):
            entry = drawn[at]
            if (zlib.crc32(entry["question"].encode()) % ONE_IN == 0) == (self.split == "test"):
                return drawn, entry
        raise BadExampleError(f"reasoning:{name}: {BLOCK} drawn questions are none of the split {self.split}")


def open_corpus(name: str, split: Split) -> Reasoning:
    """The questions of a split.

    Args:
        name: "reasoning", or the names of generators, with commas between them.

    Raises:
        ValueError: another split, no such generator (with the nearest ones), or one without answers of its own.
        MissingExtra: without the extra `text`.
    """
    if split not in QUESTIONS:
        raise ValueError(f"{name} has the splits train and test, not {split}; choose one of them")
    names, settings = (tuple(DEFAULT), DEFAULT) if name == "reasoning" else (tuple(name.split(",")), {})
    for each in names:
        if each not in _names():
            raise ValueError(f"reasoning-gym has no generator {each!r}: {nearest(each, _names())}")
        if not isinstance(_generator(each, tuple(sorted(settings.get(each, {}).items())))[0]["answer"], str):
            raise ValueError(f"reasoning-gym scores answers to {each}, but has none to learn from; choose another one")
    return Reasoning(names, split, settings)


@cache
def _names() -> tuple[str, ...]:
    with needs_extra("text"):
        import reasoning_gym  # pyright: ignore[reportMissingImports]  # noqa: F401 (registers its generators)
        from reasoning_gym.factory import DATASETS  # pyright: ignore[reportMissingImports]
    return tuple(DATASETS)


@cache
def _generator(name: str, settings: tuple[tuple[str, Any], ...]) -> Any:
    with needs_extra("text"):
        import reasoning_gym  # pyright: ignore[reportMissingImports]
    return reasoning_gym.create_dataset(name, seed=0, **dict(settings))
