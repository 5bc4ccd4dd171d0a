"""From the name of a corpus to its documents: `text:books`, `images:photos`, `tfds:coco_captions`, `digits`, ...

A name is a kind, and for most kinds a path or name after a colon. Modules are imported when their kind is asked for.
"""

from difflib import get_close_matches
from importlib import import_module

from generalist.corpora.corpus import Corpus, Split, every_so_manieth

KINDS: dict[str, tuple[str, str]] = {
    "text": ("generalist.corpora.text", "a file or folder of .txt, .md or JSON lines with a field text"),
    "images": ("generalist.corpora.image_folder", "a folder of images with a metadata.jsonl"),
    "webdataset": ("generalist.corpora.webdataset", "WebDataset shards: a .tar, a pattern with * or {000..123}"),
    "chat": ("generalist.corpora.chat", "JSON lines of messages with role and content; the assistant's words count"),
    "chat-all": ("generalist.corpora.chat", "the same; everybody's words count"),
    "drawings": ("generalist.corpora.drawings", "the pictures of a corpus of captions or labels, to be written"),
    "series": ("generalist.corpora.series", "elnino, sunspots, co2, sp500, wti, or a file FILE.csv or FILE.csv@PERIOD"),
    "worlds": ("generalist.corpora.worlds", "frames of a task's demonstrations to be written, FOLDER or FOLDER@PAST"),
    "choices": ("generalist.corpora.choices", "JSON lines of question, choices and answer: PATH, or PATH@SHOTS solved"),
    "reasoning": ("generalist.corpora.reasoning", "generators of reasoning-gym, NAME or NAME,NAME: questions, answers"),
    "tfds": ("generalist.corpora.tfds", "a data set that TFDS has prepared, such as tfds:coco_captions"),
}
"""Kinds that take a path or name: the module whose `open_corpus(path)` gives all documents, and what the path is."""

BUILT_IN: dict[str, tuple[str, str]] = {
    "digits": ("generalist.corpora.digits", "handwritten digits of scikit-learn, captioned and labelled"),
    "docstrings": ("generalist.corpora.docstrings", "English text: the documentation in Python's standard library"),
    "easy-vqa": ("generalist.corpora.easy_vqa", "pictures of one coloured shape with questions and answers"),
    "landsat": ("generalist.corpora.landsat", "Statlog's Landsat pictures of four bands, what covers the ground"),
    "reasoning": ("generalist.corpora.reasoning", "short questions of reasoning-gym with answers, of several kinds"),
    "scenes/captions": ("generalist.corpora.scenes", "rooms of MiniGrid and what stands in them"),
    "scenes/questions": ("generalist.corpora.scenes", "rooms of MiniGrid with questions and answers"),
    "scenes/dialogue": ("generalist.corpora.scenes", "short dialogues about a room of MiniGrid"),
}
"""Corpora that need no file: the module whose `open_corpus(name, split)` gives the documents of a split."""


def splits(name: str) -> tuple[Split, ...]:
    """The splits of a corpus that training never sees."""
    return ("test", "heldout") if name.removeprefix("drawings:").startswith("scenes/") else ("test",)


def open_corpus(name: str, split: Split = "train") -> Corpus:
    """The documents of one split.

    Raises:
        ValueError: an unknown name, with the nearest ones; a split that the corpus does not have.
        FileNotFoundError: nothing at its path.
        ModuleNotFoundError: an extra is missing; the message has the command that installs it.
    """
    if name in BUILT_IN:
        return import_module(BUILT_IN[name][0]).open_corpus(name, split)
    kind, _, path = name.partition(":")
    if kind not in KINDS or not path:
        known = [*BUILT_IN, *(f"{each}:PATH" for each in KINDS)]
        near = get_close_matches(name, known, n=3, cutoff=0.4) or get_close_matches(f"{kind}:PATH", known, n=3)
        raise ValueError(f"no corpus {name!r}; did you mean {', '.join(near or known)}?")
    module = import_module(KINDS[kind][0])
    if kind == "drawings":
        return module.Drawings(open_corpus(path, split), module.UNSAID if split == "train" else 0)
    if kind in ("series", "worlds", "choices", "reasoning"):
        return module.open_corpus(path, split)
    if kind == "tfds":
        return module.open_split(path, split)
    options = {"targets": "all"} if kind == "chat-all" else {}
    return every_so_manieth(module.open_corpus(path, **options), split)
