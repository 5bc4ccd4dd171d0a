"""Dialogues in JSON lines: {"messages": [{"role": "user", "content": "Hello"}, ...]}, as chat models are trained on.

Content is a string, or a list of {"type": "text", "text": ...} and {"type": "image", "path": ...} with a path relative
to the file.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from generalist.corpora.corpus import BadExampleError, Measure
from generalist.corpora.files import files_of
from generalist.corpora.image_folder import read_picture
from generalist.corpora.json_lines import JsonLines, path_inside, string_field
from generalist.tokenizers.parts import Document, Part, Speaker, Words
from generalist.tokenizers.vocabulary import SPEAKERS

SUFFIXES = (".jsonl", ".jsonl.gz")
Targets = Literal["assistant", "all"]


def open_corpus(path: str | Path, *, targets: Targets = "assistant") -> "Chat":
    """The dialogues of a file, or of all .jsonl and .jsonl.gz files of a folder in the order of their names.

    Args:
        targets: whose words carry a loss: the assistant's, or everyone's.

    Raises:
        FileNotFoundError: nothing at `path`.
        ValueError: no dialogue in it, or other targets.
    """
    path = Path(path)
    if targets not in ("assistant", "all"):
        raise ValueError(f"targets must be assistant or all, got {targets!r}")
    if not path.exists():
        raise FileNotFoundError(f"no dialogues at {path}; give a .jsonl file or a folder of them")
    paths, note = files_of(path, SUFFIXES, deep=False)
    files = tuple(JsonLines(each) for each in paths)
    places = tuple((file, index) for file in files for index in range(len(file)))
    if not places:
        raise ValueError(f"no dialogue in {path}; each line of a .jsonl file is one, with the field messages")
    return Chat(places, targets, note)


@dataclass(frozen=True, eq=False)
class Chat:
    """Documents (speaker, words, speaker, words, ...), one per line."""

    places: tuple[tuple[JsonLines, int], ...]
    targets: Targets
    note: str = ""

    measure: Measure = field(default="dialogue", init=False)
    labels: tuple[str, ...] = field(default=(), init=False)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Document:
        file, line = self.places[index]
        where, messages = file.where(line), file[line].get("messages")
        if not isinstance(messages, list) or not messages:
            raise BadExampleError(f"{where}: needs a list of messages that is not empty, got {messages!r:.80}")
        document = tuple(part for message in messages for part in self._parts(message, file.path.parent, where))
        if not any(isinstance(part, Words) and part.target for part in document):
            raise BadExampleError(f"{where}: no message is the assistant's, so there is nothing to learn")
        return document

    def _parts(self, message: Any, folder: Path, where: str) -> list[Part]:
        if not isinstance(message, dict):
            raise BadExampleError(f"{where}: a message must be an object with role and content, got {message!r:.80}")
        role = message.get("role")
        if role not in SPEAKERS:
            raise BadExampleError(f"{where}: the role of a message is one of {', '.join(SPEAKERS)}, got {role!r:.80}")
        target = self.targets == "all" or role == "assistant"
        content = message.get("content")
        items = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(items, list) or not items:
            raise BadExampleError(
                f"{where}: content must be a string or a list of text and images, got {content!r:.80}"
            )
        parts = [_part(item, at == len(items) - 1, target, folder, where) for at, item in enumerate(items)]
        return [Speaker(role), *parts]


def _part(item: Any, last: bool, target: bool, folder: Path, where: str) -> Part:
    """One item of a message; only a text that is its last ends with `end`."""
    kind = item.get("type") if isinstance(item, dict) else None
    if kind == "text":
        return Words(string_field(item, "text", where), target=target, whole=last)
    if kind == "image":
        path = path_inside(folder, string_field(item, "path", where), where)
        return read_picture(path, where)
    raise BadExampleError(f"{where}: an item of content has the type text or image, got {item!r:.80}")
