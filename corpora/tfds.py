"""Data sets that TFDS has prepared on disk, read without TensorFlow: `coco_captions`, `eurosat/rgb`, `mnist@FOLDER`.

Preparing one needs TensorFlow; reading one needs its files in array_record format, which have random access. Nothing is
downloaded here. Where an image has several captions, its number picks one, so that an image is one document and cannot
be in two splits; a text is one document, however long.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from generalist.corpora.corpus import BadExampleError, Corpus, Measure, Split, every_so_manieth
from generalist.corpora.pictures import decode_image, to_picture
from generalist.envs.files import TOO_MANY, check_opens, failed_by
from generalist.envs.tfds_files import check_description
from generalist.tokenizers.bands import Bands
from generalist.tokenizers.parts import Document, Picture, Words


@dataclass(frozen=True)
class Fields:
    """Which features of an example become a document; names with "/" go into a sequence of dicts.

    Args:
        image: the picture: an Image, or a Tensor [height, width, bands].
        text: running text where there is no image, else its caption, or several of them.
        label: a ClassLabel.
        bands: names of the bands of a Tensor.
    """

    image: str = ""
    text: str = ""
    label: str = ""
    bands: tuple[str, ...] = ()

    @property
    def measure(self) -> Measure:
        return "label" if self.label else "caption" if self.image else "text"


SENTINEL2 = (
    "B01 443 nm",
    "B02 490 nm blue",
    "B03 560 nm green",
    "B04 665 nm red",
    "B05 705 nm",
    "B06 740 nm",
    "B07 783 nm",
    "B08 842 nm",
    "B09 945 nm",
    "B10 1375 nm",
    "B11 1610 nm",
    "B12 2190 nm",
    "B8A 865 nm",
)
"""Bands of Sentinel-2 in the order of EuroSAT's files (Helber et al. 2019)."""
LABELLED = Fields(image="image", label="label")

SETS: dict[str, Fields] = {
    "coco_captions": Fields(image="image", text="captions/text"),
    "eurosat/rgb": LABELLED,
    "eurosat/all": Fields(image="sentinel2", label="label", bands=SENTINEL2),
    "resisc45": LABELLED,
    "cifar10": LABELLED,
    "mnist": LABELLED,
    "wiki40b": Fields(text="text"),
    "lm1b": Fields(text="text"),
    "c4": Fields(text="text"),
}
"""By the name of the data set, with its config where configs differ. Others are looked at: see `fields_of`."""


TEST_SPLITS = ("test", "validation", "val")
"""What a data set may call the split that training does not see; the first that it has is taken."""


def open_split(path: str, split: Split) -> Corpus:
    """The training or test documents: of the data set's own splits, else every so-manieth. Raises as `open_corpus`."""
    own = next((name for name in TEST_SPLITS if name in _open_builder(path)[0].info.splits), None)
    if own is None:
        return every_so_manieth(open_corpus(path), split)
    if split not in ("train", "test"):
        raise ValueError(f"tfds:{path} has the splits train and test, not {split}")
    return open_corpus(path, split="train" if split == "train" else own)


def open_corpus(path: str, *, split: str = "train") -> "Prepared":
    """The examples of one split of a prepared data set.

    Args:
        path: NAME, or NAME@FOLDER for another folder than TFDS's own ($TFDS_DATA_DIR, else ~/tensorflow_datasets);
            NAME may have a config and a version: eurosat/rgb/2.0.0. Without a version the newest is read.
        split: as TFDS has it: train, or train[:10%].

    Raises:
        FileNotFoundError: it is not prepared there; says how to.
        ValueError: no such split, another file format, damaged files, features that no rule maps, or a description
            that names what is not TFDS's own.
    """
    import tensorflow_datasets as tfds

    builder, name, place = _open_builder(path)
    fields = SETS.get(name) or SETS.get(name.split("/")[0]) or fields_of(builder.info.features, name)
    _check_files(builder, split, place)
    image, label = (_feature(builder, key, place) for key in (fields.image, fields.label))
    # Images stay as they are in their file, because decoding is done here, with its checks.
    skip = tfds.decode.SkipDecoding()
    as_bytes = {fields.image: skip} if isinstance(image, tfds.features.Image) else None
    source = builder.as_data_source(split, decoders=as_bytes)  # pyright: ignore[reportCallIssue]
    return Prepared(source, f"{place} {split}", fields, tuple(label.names) if label else ())


def _open_builder(path: str) -> tuple[Any, str, Path]:
    """The builder of NAME or NAME@FOLDER, its name and its folder."""
    import tensorflow_datasets as tfds

    name, _, folder = path.partition("@")
    place = _find(name, Path(folder or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser())
    check_description(place)
    try:
        return tfds.builder_from_directory(place), name, place
    except RecursionError:
        raise ValueError(f"{place} has a description that is nested too deeply to be read") from None


def _find(name: str, folder: Path) -> Path:
    """The folder of one version."""
    place = folder / name
    if (place / "dataset_info.json").is_file():
        return place
    versions = [each.parent for each in place.glob("*/dataset_info.json")]
    if versions:
        return max(versions, key=lambda each: [int(part) if part.isdigit() else -1 for part in each.name.split(".")])
    configs = sorted({f"{name}/{each.parent.parent.name}" for each in place.glob("*/*/dataset_info.json")})
    if configs:
        raise ValueError(f"{name} in {folder} has configs; give one of {', '.join(configs)}")
    raise FileNotFoundError(
        f"{name} is not prepared in {folder}; prepare it, where TensorFlow is installed, with `tfds build {name} "
        f"--data_dir={folder} --file_format=array_record`, or give its folder as {name}@FOLDER"
    )


def fields_of(features: Any, name: str) -> Fields:
    """The rule for data sets that the table lacks: an Image with one ClassLabel; else an Image with one Text; else one
    Text without an Image.

    Raises:
        ValueError: the features are otherwise.
    """
    import tensorflow_datasets as tfds

    def of(kind: type) -> list[str]:
        return [key for key, feature in features.items() if isinstance(feature, kind)]

    labels, texts = of(tfds.features.ClassLabel), of(tfds.features.Text)
    images = [key for key in of(tfds.features.Image) if not isinstance(features[key], tfds.features.Video)]
    if len(images) == 1 and len(labels) == 1:
        return Fields(image=images[0], label=labels[0])
    if len(images) <= 1 and len(texts) == 1:
        return Fields(image="".join(images), text=texts[0])
    listed = ", ".join(f"{key}: {type(feature).__name__}" for key, feature in features.items())
    raise ValueError(
        f"no rule makes documents of {name}, which needs one Image with one ClassLabel or one Text, or one Text alone; "
        f"it has {listed}; add it to SETS in corpora/tfds.py"
    )


def _feature(builder: Any, name: str, place: Path) -> Any:
    features = builder.info.features
    if name and name not in features:
        raise ValueError(f"{place} has the features {', '.join(features)}, not {name}; prepare the data set again")
    return features[name] if name else None


def _check_files(builder: Any, split: str, place: Path) -> None:
    """TFDS takes a shard that is cut off for an empty one; here it is an error."""
    from array_record.python.array_record_module import ArrayRecordReader

    if builder.info.file_format is None or builder.info.file_format.value != "array_record":
        raise ValueError(
            f"{place} has the format {getattr(builder.info.file_format, 'value', None)}, which has no random access; "
            f"convert it: `python -m tensorflow_datasets.scripts.convert_format --dataset_version_dir={place} "
            f"--out_file_format=array_record --out_dir=FOLDER`"
        )
    whole = split.split("[")[0]
    if whole not in builder.info.splits:
        raise ValueError(f"{place} has the splits {', '.join(builder.info.splits)}, not {whole}")
    info = builder.info.splits[whole]
    for file, count in zip(info.filepaths, info.shard_lengths, strict=True):
        reader = ArrayRecordReader(str(file)) if os.path.isfile(file) else None
        found = reader.num_records() if reader and reader.ok() else None
        if found != count:
            if reader:
                check_opens(file)
            said = "is missing" if reader is None else "is damaged" if found is None else f"has {found} records"
            raise ValueError(f"the shard {file} {said}, it should hold {count} records; prepare the data set again")


@dataclass(frozen=True, eq=False)
class Prepared:
    """The examples of a split, in its order."""

    source: Any
    where: str
    fields: Fields
    labels: tuple[str, ...]

    @property
    def measure(self) -> Measure:
        return self.fields.measure

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Document:
        index = range(len(self))[index]
        where = f"{self.where}[{index}]"
        try:
            example = self._example(index)
        except Exception as error:  # protobuf and array_record raise what they like
            if failed_by(error, TOO_MANY):
                raise
            raise BadExampleError(f"{where}: cannot be read ({' '.join(str(error).split())})") from None
        words = Words(self._label(example, where) if self.fields.label else self._text(example, index, where))
        return (self._picture(example, where), words) if self.fields.image else (words,)

    def _example(self, index: int) -> dict[str, Any]:
        """TFDS keeps every shard open that it has read from; where they are too many, all are closed and it goes on."""
        try:
            return self.source[index]
        except Exception:
            try:
                check_opens(os.devnull)
            except OSError:
                self.source.data_source.__exit__(None, None, None)
                check_opens(os.devnull)
                return self.source[index]
            raise

    def _picture(self, example: dict[str, Any], where: str) -> Picture | Bands:
        value = example[self.fields.image]
        if isinstance(value, bytes):
            return decode_image(value, f"{where}.{self.fields.image}")
        try:
            values = np.asarray(value)
            if values.ndim == 3 and values.shape[2] not in (1, 3):
                return Bands(values, self.fields.bands)
            return to_picture(values)
        except ValueError as error:
            raise BadExampleError(f"{where}.{self.fields.image}: {error}") from None

    def _label(self, example: dict[str, Any], where: str) -> str:
        number = int(example[self.fields.label])
        if not 0 <= number < len(self.labels):
            raise BadExampleError(f"{where}: label {number} is none of the {len(self.labels)} labels")
        return self.labels[number]

    def _text(self, example: dict[str, Any], index: int, where: str) -> str:
        value: Any = example
        for key in self.fields.text.split("/"):
            value = value[key]
        values = [value] if isinstance(value, bytes | str) else list(value)
        if not values:
            raise BadExampleError(f"{where}: {self.fields.text} is empty")
        chosen = values[index % len(values)]
        try:
            return chosen if isinstance(chosen, str) else chosen.decode()
        except UnicodeDecodeError as error:
            raise BadExampleError(f"{where}: byte {error.start} of {self.fields.text} is not UTF-8") from None
