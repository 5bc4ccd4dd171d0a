"""The description of a data set that TFDS has prepared, looked at before TFDS reads it.

TFDS imports the module of every class that features.json names, and formats the names of shards by a template of
dataset_info.json. A data set may be a stranger's, so what it names there is checked first.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from generalist.envs.files import read_json

OWN_FEATURES = "tensorflow_datasets.core.features."
"""Modules that a class of features.json may stand in; no other is imported."""
CLASS_FIELDS = ("pythonClassName", "python_class_name", "type")
"""Where features.json names a class: protobuf's JSON reads both spellings, and older files have `type`."""
TEMPLATE_FIELDS = ("filepathTemplate", "filepath_template")
TEMPLATE = re.compile(r"(?:[\w./-]|\{(?:DATASET|SPLIT|FILEFORMAT|SHARD_INDEX|NUM_SHARDS|SHARD_X_OF_Y)\})*")
MISSING = "this is not a data set prepared by TFDS"


def check_description(folder: Path) -> None:
    """Raises ValueError where features.json or dataset_info.json would have TFDS import or format what they please."""
    path = folder / "features.json"
    for fields in _objects(read_json(path, MISSING)):
        for named in (fields.get(key) for key in CLASS_FIELDS):
            if isinstance(named, str) and not named.startswith(OWN_FEATURES):
                raise ValueError(f"{path} needs {named[:200]}, which is no feature of TFDS, and is not imported")
    path = folder / "dataset_info.json"
    for fields in _objects(read_json(path, MISSING)):
        for template in (fields.get(key) for key in TEMPLATE_FIELDS):
            if template and not (isinstance(template, str) and TEMPLATE.fullmatch(template)):
                raise ValueError(f"{path} has {str(template)[:200]!r} as names of files, which is no template of TFDS")


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of some JSON, however deep."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
        waiting.extend(one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
