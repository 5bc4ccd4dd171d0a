"""Text tokenizers of public language models: `tokenizer.json`, read by the `tokenizers` library, and their dialogues.

Their special tokens are ids of text like all others, so that the weights' rows keep their meaning. In what is said they
are characters and no marks: only the model's chat template (Jinja, rendered in a sandbox) writes marks. Needs the extra
`public`. Not here: training of such tokenizers.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Never

import numpy as np
from gymnasium import spaces
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from generalist.tokenizers.parts import Said

FILE, SETTINGS, TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
ENDS_IN = ("generation_config.json", "config.json")
"""Where a folder says by which ids a text ends, besides `SETTINGS`."""
FORMAT = 1
LARGEST = 2**28
"""Bytes of a file that is read."""
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class JsonTokenizer:
    """A tokenizer of the `tokenizers` library.

    Args:
        model: JSON of one object: `format`, `tokenizer` (what a tokenizer.json holds), `begins` and `ends`, lists of
            ids, and `template`, a chat template or null; with `bos` and `eos`, the strings that it may write.
    """

    model: bytes = field(repr=False)
    version: str = field(init=False)
    size: int = field(init=False)
    begins: tuple[int, ...] = field(init=False)
    """Before the first word of a text; empty where there is nothing."""
    ends: tuple[int, ...] = field(init=False)
    """Each of these ends a text; the first one is written."""
    _parts: Any = field(init=False, repr=False, compare=False)

    @classmethod
    def load(cls, path: str | Path) -> "JsonTokenizer":
        """From the folder of a public model, its tokenizer.json, or a file of `model`.

        Raises:
            ValueError: no such file, damaged, or no tokenizer.
            ImportError: the extra is not installed.
        """
        path = Path(path)
        folder = path if path.is_dir() else path.parent if path.name == FILE else None
        if folder is None:
            if not path.is_file():
                raise ValueError(f"no tokenizer at {path}; give a {FILE} or its folder")
            return cls(_read(path))
        if not (folder / FILE).is_file():
            raise ValueError(f"{folder} has no {FILE}: other forms of a public tokenizer are not read")
        return cls(gathered(folder))

    def __post_init__(self):
        stored = _object(self.model, "the tokenizer")
        if stored.get("format") != FORMAT:
            raise ValueError(f"the tokenizer has format {stored.get('format')}, known is {FORMAT}")
        plain, marked = (_tokenizer(stored["tokenizer"]) for _ in range(2))
        plain.encode_special_tokens = True
        ids = [*plain.get_vocab(with_added_tokens=True).values()]
        given = {name: stored.get(name) for name in ("template", "bos", "eos")}
        marks = [each.content for each in plain.get_added_tokens_decoder().values() if each.special]
        for name, value in (
            ("version", f"json-{hashlib.sha256(self.model).hexdigest()[:16]}"),
            ("size", max(ids) + 1),
            ("begins", tuple(stored["begins"])),
            ("ends", tuple(stored["ends"])),
            ("_parts", (plain, marked, given, marks)),
        ):
            object.__setattr__(self, name, value)
        if not self.ends or not all(0 <= each < self.size for each in (*self.begins, *self.ends)):
            raise ValueError(f"the tokenizer ends texts with the ids {[*self.ends]}, of {self.size} that it has")

    def __reduce__(self):
        return type(self), (self.model,)

    def encode(self, text: str) -> np.ndarray:
        """int32[n] ids. Names of special tokens in the text are characters like others."""
        found = self._parts[0].encode(_SURROGATES.sub("\ufffd", text), add_special_tokens=False)
        return np.asarray(found.ids, np.int32)

    def marked(self, text: str) -> np.ndarray:
        """int32[n] ids of what a template has written: names of special tokens are these tokens."""
        return np.asarray(self._parts[1].encode(text, add_special_tokens=False).ids, np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        return self._parts[0].decode([int(i) for i in ids], skip_special_tokens=False)

    def most_tokens(self, space: spaces.Text) -> int:
        """As many ids as bytes and one for a leading mark; what needs more is refused on encoding."""
        widest = max((len(_SURROGATES.sub("\ufffd", char).encode()) for char in space.character_set), default=1)
        return space.max_length * widest + 1 if space.max_length else 0

    @property
    def speaks(self) -> bool:
        """Whether it has a chat template."""
        return bool(self._parts[2]["template"])

    def said(self, messages: Sequence[tuple[str, str]], *, answering: bool) -> list[Said]:
        """Every message (speaker, text) with its marks, as the chat template has them.

        Args:
            answering: the assistant is to answer: the last part is what the template writes before.

        Raises:
            ValueError: no template, one that is wrong or refuses the messages, or whose text of the first messages
                depends on those after them; or a text that has the name of a special token in it.
        """
        for _, text in messages:
            if named := [mark for mark in self._parts[3] if mark in text]:
                raise ValueError(f"a message must not have {named[0]} in it, by which the model tells speakers apart")
        found, before = [], ""
        for at, (speaker, _) in enumerate(messages):
            if speaker == "assistant":
                header = self._rendered(messages[:at], True)
                found.append(self._piece(before, header, False))
                before = header
            text = self._rendered(messages[: at + 1], False)
            found.append(self._piece(before, text, speaker == "assistant"))
            before = text
        return [*found, self._piece(before, self._rendered(messages, True), False)] if answering else found

    def _piece(self, before: str, text: str, target: bool) -> Said:
        if not text.startswith(before):
            raise ValueError("the chat template writes the beginning of a dialogue otherwise once it goes on")
        return Said(tuple(self.marked(text[len(before) :]).tolist()), target)

    def _rendered(self, messages: Sequence[tuple[str, str]], answering: bool) -> str:
        given = self._parts[2]
        if not self.speaks:
            raise ValueError("the tokenizer has no chat template: it is of a model that was not trained on dialogues")
        spoken = [{"role": speaker, "content": text} for speaker, text in messages]
        try:
            return self._template.render(
                messages=spoken, add_generation_prompt=answering, bos_token=given["bos"], eos_token=given["eos"]
            )
        except (TemplateError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"the chat template refuses what is said: {error}") from error

    @cached_property
    def _template(self) -> Any:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        environment.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
        return environment.from_string(self._parts[2]["template"])


def gathered(folder: Path) -> bytes:
    """What a `JsonTokenizer` is made of, from the files of a public model. Raises ValueError where one is damaged."""
    stored = _object(_read(folder / FILE), str(folder / FILE))
    settings, *others = (_object(_read(folder / name), name) for name in (SETTINGS, *ENDS_IN))
    tokenizer = _tokenizer(stored)
    bos, eos = (_content(settings.get(name)) for name in ("bos_token", "eos_token"))
    ends = [tokenizer.token_to_id(eos)] if eos else []
    for other in others:
        said = other.get("eos_token_id")
        ends += said if isinstance(said, list) else [said]
    path = folder / TEMPLATE
    template = path.read_text() if path.is_file() else settings.get("chat_template")
    whole = {
        "format": FORMAT,
        "tokenizer": stored,
        "begins": tokenizer.encode("", add_special_tokens=True).ids[:1],
        "ends": [*dict.fromkeys(each for each in ends if each is not None)],
        "template": template if isinstance(template, str) else None,
        "bos": bos,
        "eos": eos,
    }
    if whole["begins"] and whole["begins"][0] in whole["ends"] and whole["begins"][0] != tokenizer.token_to_id(bos):
        whole["begins"] = []  # what the tokenizer adds stands behind a text
    return json.dumps(whole, ensure_ascii=False).encode()


def _tokenizer(stored: Mapping[str, Any]) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ImportError("tokenizers is not installed: pip install 'generalist[public]'") from None
    try:
        tokenizer = Tokenizer.from_str(json.dumps(stored))
    except Exception as error:  # the library raises Exception itself
        raise ValueError(f"no tokenizer of the tokenizers library: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _content(said: Any) -> str:
    """A special token, which is a string or an object that holds one."""
    found = said.get("content") if isinstance(said, dict) else said
    return found if isinstance(found, str) else ""


def _read(path: Path) -> bytes:
    """A file, `{}` for one that is not there."""
    if not path.is_file():
        return b"{}"
    if (size := path.stat().st_size) > LARGEST:
        raise ValueError(f"{path} has {size:,} bytes, a tokenizer at most {LARGEST:,}")
    return path.read_bytes()


def _object(content: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is damaged: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{name} is no JSON object")
    return found


def _refuse(message: str = "") -> Never:
    raise TemplateError(message)
