"""Folders of images in the ImageFolder layout of Hugging Face: a metadata.jsonl (or .jsonl.gz), one line per image.

A line has `file_name`, a path inside the folder, and says what to answer: `question` and `answer`, or `text` or
`caption`, or `label` (a string or an integer). The first of these that the first readable line has holds for all.
Pictures of bands are .npy and TIFF files (`band_files`). Where lines have `latitude` and `longitude`, or the first file
is a TIFF with coordinates, the pictures of one region are in one split (`places`).
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from generalist.corpora.band_files import NPY, TIFF, is_of_bands, place_of, read_npy, read_tiff
from generalist.corpora.corpus import BadExampleError, Measure
from generalist.corpora.json_lines import JsonLines, path_inside, string_field
from generalist.corpora.pictures import decode_image
from generalist.corpora.places import Place, regions
from generalist.envs.files import TOO_MANY, failed_by
from generalist.tokenizers.bands import Bands
from generalist.tokenizers.parts import Document, Picture, Words

METADATA = "metadata.jsonl"
COORDINATES = ("latitude", "longitude")


def open_corpus(path: str | Path) -> "ImageFolder":
    """The images of a folder with a metadata.jsonl.

    Raises:
        FileNotFoundError: no folder, or no metadata.jsonl in it.
        ValueError: no line says what to answer.
    """
    folder = Path(path)
    found = next((each for each in (folder / METADATA, folder / f"{METADATA}.gz") if each.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"no {METADATA} in {folder}; it has one JSON object per image, with file_name and text")
    lines = JsonLines(found)
    measure, labels = None, set()
    for index in range(len(lines)):
        try:
            fields = lines[index]
            measure = measure or measure_of(fields)
            if measure == "label":
                labels.add(label_of(fields, lines.where(index)))
            elif measure:
                break
        except BadExampleError:
            continue  # reading it says what is wrong
    if measure is None:
        raise ValueError(f"none of the {len(lines)} lines of {found} has the fields {EXPECTED}; add what to answer")
    return ImageFolder(folder, lines, measure, tuple(sorted(labels)))


EXPECTED = "question and answer, text, caption, or label"


def measure_of(fields: dict[str, Any]) -> Measure | None:
    """What these fields of an example ask for; None if nothing."""
    if "question" in fields and "answer" in fields:
        return "answer"
    if "text" in fields or "caption" in fields:
        return "caption"
    return "label" if "label" in fields else None


def label_of(fields: dict[str, Any], where: str) -> str:
    """The label as a string.

    Raises:
        BadExampleError: it is neither a string nor an integer.
    """
    value = fields.get("label")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return string_field(fields, "label", where)


def words_of(fields: dict[str, Any], measure: Measure, where: str) -> tuple[Words, ...]:
    """What stands after the picture.

    Raises:
        BadExampleError: a field is missing or no string.
    """
    if measure == "answer":
        question = Words(string_field(fields, "question", where), target=False)
        return question, Words(string_field(fields, "answer", where))
    if measure == "label":
        return (Words(label_of(fields, where)),)
    return (Words(string_field(fields, "caption" if "text" not in fields else "text", where)),)


def read_picture(path: Path, where: str) -> Picture | Bands:
    """The picture in a file.

    Raises:
        BadExampleError: there is none, or it is damaged.
        MissingExtra: a TIFF that is no picture of colours, without the extra `pictures`.
    """
    suffix = path.suffix.lower()
    if suffix in NPY:
        return read_npy(path, where)
    if suffix in TIFF and is_of_bands(path):
        return read_tiff(path, where)
    try:
        with path.open("rb") as file:
            return decode_image(file, f"{where}: {path}")
    except OSError as error:
        if failed_by(error, TOO_MANY):
            raise
        raise BadExampleError(f"{where}: cannot read the image {path} ({error.strerror})") from None


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Documents (picture, words) in the order of metadata.jsonl; `labels` holds every label that occurs, sorted."""

    folder: Path
    lines: JsonLines
    measure: Measure
    labels: tuple[str, ...]

    @cached_property
    def groups(self) -> tuple[int, ...]:
        """Number of the region of each line, or of its picture, in the order in which they first appear.

        A damaged line has its own.
        """
        if self.by_place:
            return regions([self._place(index) for index in range(len(self))])
        numbers: dict[str | int, int] = {}
        return tuple(numbers.setdefault(self._file_name(index), len(numbers)) for index in range(len(self)))

    @cached_property
    def by_place(self) -> bool:
        """Whether it is known where pictures lie: the first line says it, or its file."""
        return len(self) > 0 and self._place(0) is not None

    @property
    def note(self) -> str:
        if self.by_place or not len(self) or not str(self._file_name(0)).lower().endswith(TIFF):
            return ""
        return f"{self.folder} has no coordinates: neighbours may be in training and in test"

    def _place(self, index: int) -> Place | None:
        try:
            fields = self.lines[index]
            latitude, longitude = (fields.get(name) for name in COORDINATES)
            if isinstance(latitude, int | float) and isinstance(longitude, int | float):
                return Place("", float(longitude), float(latitude))
            name = string_field(fields, "file_name", self.lines.where(index))
            path = path_inside(self.folder, name, self.lines.where(index))
            return place_of(path) if path.suffix.lower() in TIFF else None
        except BadExampleError:
            return None

    def _file_name(self, index: int) -> str | int:
        try:
            name = self.lines[index].get("file_name")
        except BadExampleError:
            name = None
        return name if isinstance(name, str) else index

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> Document:
        where, fields = self.lines.where(index), self.lines[index]
        words = words_of(fields, self.measure, where)
        path = path_inside(self.folder, string_field(fields, "file_name", where), where)
        return (read_picture(path, where), *words)
