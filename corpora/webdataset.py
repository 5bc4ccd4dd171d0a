"""WebDataset shards: .tar files in which members of one name are one sample, such as 00001.jpg and 00001.txt.

The name ends at the first dot of its last part, as WebDataset has it. Where that makes no member of it (v1.2_0002.png)
and members that end at the last dot make a whole sample, they are one; others are left out and counted. An image
(.jpg, .jpeg, .png, .webp) goes with a caption (.txt), fields as in a metadata.jsonl of an image folder (.json), or a
label (.cls); the first of these that is there counts. Of two members of the same name the later counts, as when tar
unpacks. Other members, links among them, are ignored: nothing is unpickled and nothing unpacked. Opening reads headers,
and what labels need; reading a sample is two reads.
"""

import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from glob import glob, has_magic
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from generalist.corpora.corpus import BadExampleError, Measure
from generalist.corpora.image_folder import EXPECTED, label_of, measure_of, words_of
from generalist.corpora.json_lines import parse_line
from generalist.corpora.pictures import decode_image
from generalist.tokenizers.parts import Document, Words

IMAGES = (".jpg", ".jpeg", ".png", ".webp")
TEXTS = (".txt", ".json", ".cls")
PACKED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ\x00": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
"""First bytes of compressed files, and what unpacks them."""
MOST_MEMBER = 1 << 28
"""Bytes of the largest member that is read."""

Place = tuple[str, int, int]
"""Suffix, byte offset in the shard, and length of a member."""


def open_corpus(path: str | Path, *, damaged: Literal["refuse", "keep"] = "refuse") -> "WebDataset":
    """The samples of shards.

    Args:
        path: one .tar, a pattern with * or ?, or braces such as {000..012}, which count with the zeros they have.
        damaged: whether a shard that is cut off or damaged is refused, or what stands before the damage is kept.

    Raises:
        FileNotFoundError: no such shard.
        ValueError: a damaged shard, by name; no samples; no sample says what to answer.
    """
    if damaged not in ("refuse", "keep"):
        raise ValueError(f"damaged must be refuse or keep, got {damaged!r}")
    samples: list[Sample] = []
    passed = Counter()
    for shard in shards(str(path)):
        found, complaint = index_shard(shard, passed)
        if complaint and damaged == "refuse":
            raise ValueError(
                f"{shard} is damaged ({complaint}) after {len(found)} samples; get the shard again, or keep these with "
                'open_corpus(path, damaged="keep")'
            )
        samples += found
    if not samples:
        raise ValueError(f"no samples in {path}; members are named like 0001.jpg with 0001.txt, .json or .cls")
    measure, labels = _measured(samples)
    if measure is None:
        raise ValueError(f"no sample of {path} says what to answer: a .txt, a .cls, or a .json with {EXPECTED}")
    note = f"{path}: passed over {', '.join(f'{count} {what}' for what, count in passed.items())}" if passed else ""
    return WebDataset(tuple(samples), measure, labels, note)


def shards(pattern: str) -> list[Path]:
    """The files that a path with braces or wildcards names; those of a wildcard are sorted.

    Raises:
        FileNotFoundError: one does not exist.
    """
    parts = re.split(r"\{(\d+)\.\.(\d+)\}", pattern)
    ranges = [_count(first, last) for first, last in zip(parts[1::3], parts[2::3], strict=True)]
    found = []
    for chosen in product(*ranges):
        name = parts[0] + "".join(number + rest for number, rest in zip(chosen, parts[3::3], strict=True))
        names = sorted(glob(name)) if has_magic(name) and not Path(name).is_file() else [name]
        if not names or not all(Path(each).is_file() for each in names):
            raise FileNotFoundError(f"no shard at {name}; give a .tar file, a pattern with *, or braces {{000..012}}")
        found += [Path(each) for each in names]
    if not found:
        raise FileNotFoundError(f"{pattern} counts backwards; write the smaller number first")
    return found


def _count(first: str, last: str) -> list[str]:
    return [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]


@dataclass(frozen=True)
class Sample:
    """Where the members of one sample stand; None for one that is missing."""

    shard: Path
    key: str
    image: Place | None
    text: Place | None

    @property
    def where(self) -> str:
        return f"{self.shard}:{self.key}"

    def read(self, place: Place) -> bytes:
        if place[2] > MOST_MEMBER:
            raise BadExampleError(f"{self.where}{place[0]}: {place[2]:,} bytes are more than {MOST_MEMBER:,}")
        with self.shard.open("rb") as file:
            file.seek(place[1])
            return file.read(place[2])

    def fields(self) -> dict[str, Any]:
        """What the text member says, named as in metadata.jsonl.

        Raises:
            BadExampleError: there is none, or it is damaged.
        """
        if self.text is None:
            raise BadExampleError(f"{self.where}: no {', '.join(TEXTS)} goes with the image")
        suffix, raw = self.text[0], self.read(self.text)
        if suffix == ".json":
            return parse_line(raw, f"{self.where}.json")
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise BadExampleError(f"{self.where}{suffix}: byte {error.start} is not UTF-8") from None
        return {"text": text.rstrip("\r\n")} if suffix == ".txt" else {"label": text.strip()}


def index_shard(shard: Path, passed: Counter | None = None) -> tuple[list[Sample], str]:
    """The samples of a shard up to its end or its first damage, and what is damaged ("" if nothing is).

    `passed` counts members that are left out, by what they are.

    Raises:
        ValueError: the shard is compressed.
    """
    _check_not_packed(shard)
    passed = Counter() if passed is None else passed
    found: dict[str, dict[str, Place]] = {}
    dotted: dict[str, dict[str, Place]] = {}
    complaint = ""
    try:
        for name, suffix, whole, at, size in _members(shard, passed):
            (found if whole else dotted).setdefault(name, {})[suffix] = (suffix, at, size)
    except (tarfile.TarError, EOFError) as error:
        complaint = str(error)

    for name, places in dotted.items():
        if name not in found and any(each in places for each in IMAGES) and any(each in places for each in TEXTS):
            found[name] = places
        else:
            passed["members whose names have more dots"] += len(places)

    def first(places: dict[str, Place], suffixes: tuple[str, ...]) -> Place | None:
        return next((places[suffix] for suffix in suffixes if suffix in places), None)

    samples = [Sample(shard, key, first(each, IMAGES), first(each, TEXTS)) for key, each in found.items()]
    if complaint and samples and None in (samples[-1].image, samples[-1].text):
        samples.pop()  # the damage took its other half
    return samples, complaint


def _check_not_packed(shard: Path) -> None:
    with shard.open("rb") as file:
        head = file.read(6)
    for magic, tool in PACKED.items():
        if head.startswith(magic):
            raise ValueError(
                f"{shard} is compressed, and samples of a compressed shard cannot be read one by one; unpack it: "
                f"{tool} {shard}"
            )


def _members(shard: Path, passed: Counter) -> Iterator[tuple[str, str, bool, int, int]]:
    """Key, suffix, whether the key ends at the first dot, byte offset and length of every member that matters.

    Raises:
        tarfile.TarError: the archive is damaged there.
    """
    with tarfile.open(shard, "r:") as archive:
        size = shard.stat().st_size
        while (member := archive.next()) is not None:
            if member.isreg() and member.offset_data + member.size > size:
                raise tarfile.ReadError(f"it ends inside {member.name}")
            archive.members.clear()  # all headers stay otherwise  # pyright: ignore[reportAttributeAccessIssue]
            path = PurePosixPath(member.name)
            if not member.isreg() or member.issparse():
                continue
            if path.name.startswith(".") and path.name.lower() not in IMAGES + TEXTS:
                passed["hidden files"] += 1
                continue
            for whole, (stem, _, suffix) in ((True, path.name.partition(".")), (False, path.name.rpartition("."))):
                suffix = f".{suffix.lower()}"
                if suffix in IMAGES + TEXTS:
                    key = str(path.with_name(stem)) if stem else str(path.parent)
                    yield key, suffix, whole, member.offset_data, member.size
                    break
        end = archive.offset
    with shard.open("rb") as file:  # tarfile takes whatever it cannot read for the end
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"no member and no end of the archive at byte {end}")


def _measured(samples: list[Sample]) -> tuple[Measure | None, tuple[str, ...]]:
    """The measure of the first sample that tells, and all labels."""
    measure, labels = None, set()
    for sample in samples:
        try:
            fields = sample.fields()
            measure = measure or measure_of(fields)
            if measure == "label":
                labels.add(label_of(fields, sample.where))
            elif measure:
                break
        except BadExampleError:
            continue  # reading it says what is wrong
    return measure, tuple(sorted(labels))


@dataclass(frozen=True, eq=False)
class WebDataset:
    """Documents (picture, words) in the order of shards and of their members; `labels` has every label, sorted."""

    samples: tuple[Sample, ...] = field(repr=False)
    measure: Measure
    labels: tuple[str, ...]
    note: str = ""

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Document:
        sample = self.samples[index]
        if sample.image is None:
            raise BadExampleError(f"{sample.where}: no {', '.join(IMAGES)} goes with the text")
        words: tuple[Words, ...] = words_of(sample.fields(), self.measure, sample.where)
        return (decode_image(sample.read(sample.image), f"{sample.where}{sample.image[0]}"), *words)
