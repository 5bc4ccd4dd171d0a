"""English text that ships with every Python: the docstrings of its standard library.

The source files are parsed, never imported or run. Which texts there are depends on the version of Python (3.11 to
3.13: 1.30 to 1.38 MB train, 44 to 47 kB test); finding them takes 3 s, once per process. Not here: text
from files of one's own; see `text.py`.
"""

import ast
import hashlib
import inspect
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from generalist.corpora.corpus import Measure, Split
from generalist.tokenizers.parts import Document, Words

SHORTEST = 80
"""Characters; shorter docstrings are left out."""

PIECE = 900
"""UTF-8 bytes of a document at most, so that it fits a window of 1,024 tokens of bytes."""

TEST_SHARE = 20
"""One module in so many is test."""

OUTSIDE = ("site-packages", "dist-packages", "__pycache__")
WITHOUT_TEXT = ("test", "tests", "idlelib", "turtledemo", "lib2to3", "ensurepip", "encodings")
SKIPPED = frozenset(OUTSIDE + WITHOUT_TEXT)
"""Folders that are not of the standard library, that hardly document anything, or repeat one text per module."""


@dataclass(frozen=True)
class Docstrings:
    """One split. A docstring of more than `PIECE` bytes is several documents, one after the other."""

    split: Split

    @property
    def measure(self) -> Measure:
        return "text"

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """UTF-8 bytes of each document."""
        return _sizes(self.split)

    def __len__(self) -> int:
        return len(_documents(self.split))

    def __getitem__(self, index: int) -> Document:
        return _documents(self.split)[index]


def open_corpus(name: str, split: Split) -> Docstrings:
    """The docstrings of the split "train" or "test". They are searched at the first use, which takes seconds.

    Raises:
        ValueError: another split.
    """
    if split not in ("train", "test"):
        raise ValueError(f"{name} has the splits train and test, not {split}; choose one of them")
    return Docstrings(split)


def is_test(module: str) -> bool:
    """Whether a module is of the test split: all its docstrings, or none."""
    return int.from_bytes(hashlib.sha256(module.encode()).digest()) % TEST_SHARE == 0


def pieces(text: str, limit: int = PIECE) -> list[str]:
    """Cuts a text into pieces of at most `limit` UTF-8 bytes (4 or more), which join back to it.

    Cut after the last blank line of the second half of the limit, else after the last whitespace, else anywhere
    between two characters.
    """
    raw, found = text.encode(), []
    while len(raw) > limit:
        at = _cut(raw, limit)
        found.append(raw[:at].decode())
        raw = raw[at:]
    return [*found, raw.decode()]


def _cut(raw: bytes, limit: int) -> int:
    """How many bytes of a longer text are its first piece."""
    paragraph = raw.rfind(b"\n\n", limit // 2, limit)
    if paragraph >= 0:
        return paragraph + 2
    space = max(raw.rfind(b" ", 0, limit), raw.rfind(b"\n", 0, limit))
    if space >= 0:
        return space + 1
    while raw[limit] & 0xC0 == 0x80:  # in the middle of a character
        limit -= 1
    return limit


@cache
def docstrings(folder: Path) -> tuple[tuple[str, str], ...]:
    """(module, docstring) of every module, class and function in a folder, in the order of modules and lines.

    The same text is given once, at its first place, so that a text is never in two splits. Files that are no Python of
    this version are left out.

    Raises:
        FileNotFoundError: no docstring in the folder.
    """
    found: dict[str, str] = {}
    for module, path in sorted(_modules(folder)):
        for text in _docstrings_of(path):
            if len(text) >= SHORTEST:
                found.setdefault(text, module)
    if not found:
        raise FileNotFoundError(
            f"no docstring in {folder}: this Python comes without the source of its standard library; use one that "
            "has it, or another corpus of text"
        )
    return tuple((module, text) for text, module in found.items())


def _modules(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and files of the modules in a folder and its packages."""
    for path in folder.rglob("*.py"):
        *packages, name = path.relative_to(folder).with_suffix("").parts
        if not SKIPPED.intersection(packages) and all(each.isidentifier() for each in (*packages, name)):
            yield ".".join([*packages, name]).removesuffix(".__init__"), path


def _docstrings_of(path: Path) -> list[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the parser thinks of others' escape sequences
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, documented)]
    nodes.sort(key=lambda node: getattr(node, "lineno", 0))
    texts = (ast.get_docstring(node, clean=False) for node in nodes)
    # A lone surrogate, written as an escape, has no UTF-8 form and becomes a question mark.
    return [inspect.cleandoc(text).encode(errors="replace").decode() for text in texts if text]


@cache
def _documents(split: Split) -> tuple[Document, ...]:
    found = []
    for module, text in docstrings(Path(sysconfig.get_paths()["stdlib"])):
        if is_test(module) == (split == "test"):
            *before, last = pieces(text)
            found += [(Words(piece, whole=False),) for piece in before] + [(Words(last),)]
    return tuple(found)


@cache
def _sizes(split: Split) -> tuple[int, ...]:
    return tuple(
        len(part.text.encode()) for document in _documents(split) for part in document if isinstance(part, Words)
    )
