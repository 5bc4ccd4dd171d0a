"""Gato 79M with the paper's layout and optimizer; needs accelerators, and was not trained here.

generalist train gato_79m --data data --out runs/gato_79m
"""

from generalist.configs.experiment import Experiment
from generalist.configs.gato import gato


def config() -> Experiment:
    return gato(width=768, layers=8, heads=24, head_size=32, patch_channels=32, learning_rate=1e-4)
