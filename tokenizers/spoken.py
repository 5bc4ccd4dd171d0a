"""Dialogues in the words of a public model: speakers and what they say become what its chat template writes."""

from collections.abc import Sequence
from typing import Any

from generalist.tokenizers.json_text import JsonTokenizer
from generalist.tokenizers.parts import Said, Speaker, Words


def spoken(document: Sequence[Any], text: JsonTokenizer) -> tuple[Any, ...]:
    """The document with `Said` in place of speakers and their words; other parts stay where they are.

    A speaker at the end who is the assistant is to answer. What follows the mark that ends an answer carries no loss.

    Raises:
        ValueError: somebody else speaks last and says nothing; or as `JsonTokenizer.said`.
    """
    messages: list[tuple[str, Words]] = []
    order: list[Any] = []
    speaker = None
    for part in document:
        if isinstance(part, Speaker):
            speaker = part.name
        elif isinstance(part, Words) and speaker:
            messages.append((speaker, part))
            order.append(None)
            speaker = None
        else:
            order.append(part)
    if speaker not in (None, "assistant"):
        raise ValueError(f"the {speaker} speaks last and says nothing")
    said = text.said([(name, words.text) for name, words in messages], answering=speaker == "assistant")
    pieces, found = iter(said), []
    waiting = iter(messages)
    for part in order:
        if part is not None:
            found.append(part)
            continue
        name, words = next(waiting)
        found.append(next(pieces))
        if name == "assistant":
            found += _answer(next(pieces), words.target, text.ends)
    return (*found, *pieces)


def _answer(piece: Said, target: bool, ends: Sequence[int]) -> list[Said]:
    """What the assistant says with the mark that ends it, and what the template writes after that."""
    stops = [at + 1 for at, each in enumerate(piece.ids) if each in ends]
    stop = stops[0] if stops else len(piece.ids)
    return [Said(piece.ids[:stop], target), *[Said(piece.ids[stop:], False)] * (stop < len(piece.ids))]
