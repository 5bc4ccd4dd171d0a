"""What is said to a writer, as a document of the kind that it was trained on: a text, a question, or a dialogue."""

from collections.abc import Callable, Sequence

from generalist.corpora.corpus import Measure
from generalist.corpora.open import open_corpus
from generalist.tokenizers.bands import Bands
from generalist.tokenizers.parts import Document, Picture, Speaker, Words


def prompt_of(text: str, measure: Measure | None, pictures: Sequence[Picture | Bands] = ()) -> Document:
    """A text as a source of this measure shows it: one to go on from, a question, or the first turn of a dialogue.

    Pictures stand before it; where a source has captions or labels, they are all that is shown.
    """
    if measure in ("caption", "label") and pictures:
        return tuple(pictures)
    if measure == "dialogue":
        return turn(text, pictures, picture_first=True)
    return (*pictures, Words(text, target=False, whole=measure == "answer"))


def turn(text: str, pictures: Sequence[Picture | Bands] = (), *, picture_first: bool) -> Document:
    """What the user says, and the mark after which the assistant answers."""
    user, words = Speaker("user"), Words(text, target=False)
    said = (*pictures, user, words) if picture_first else (user, *pictures, words)
    return (*said, Speaker("assistant"))


def joined(turns: Sequence[Document], asked: Document) -> Document:
    return (*(part for turn in turns for part in turn), *asked)


def fitting(turns: Sequence[Document], asked: Document, length: Callable[[Document], int], room: int) -> list[Document]:
    """The newest turns that, with what is asked, have at most `room` tokens; none where that alone has more."""
    for start in range(len(turns)):
        if length(joined(turns[start:], asked)) <= room:
            return list(turns[start:])
    return []


def room_for(window: int, max_tokens: int) -> int:
    """Tokens of what was said that leave room for an answer."""
    return window - min(max_tokens, window // 4)


def picture_comes_first(corpus: str) -> bool:
    """Whether the first dialogue of a corpus begins with a picture; False where it cannot be read here."""
    try:
        return isinstance(open_corpus(corpus)[0][0], Picture)
    except (ValueError, OSError, ImportError, IndexError):
        return False
