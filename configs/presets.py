"""The named experiments, and how to get one by its name."""

import importlib
from typing import TYPE_CHECKING

from generalist.envs.names import nearest

if TYPE_CHECKING:
    from generalist.configs.experiment import Experiment

PRESETS = (
    "smoke",
    "quickstart",
    "mt50",
    "ml45",
    "transfer/all",
    "transfer/words",
    "babyai",
    "rooms",
    "local",
    "worlds",
    "libero",
    "multimodal",
    "multimodal_ablation/control",
    "multimodal_ablation/text",
    "multimodal_ablation/pictures",
    "multimodal_ablation/drawings",
    "words_first",
    "gato_79m",
    "gato_364m",
    "gato_1_2b",
)
"""Modules of `generalist.configs` that have a function `config`, and after a slash what is given to it."""


def load_preset(name: str) -> "Experiment":
    """The experiment of that name.

    Raises:
        ValueError: no preset of that name, with the nearest ones.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown config {name!r}: {nearest(name, PRESETS)}")
    module, *given = name.split("/")
    return importlib.import_module(f"generalist.configs.{module}").config(*given)
