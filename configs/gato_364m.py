"""Gato 364M with the paper's layout and optimizer; needs accelerators, and was not trained here.

generalist train gato_364m --data data --out runs/gato_364m
"""

from generalist.configs.experiment import Experiment
from generalist.configs.gato import gato


def config() -> Experiment:
    return gato(width=1536, layers=12, heads=12, head_size=128, patch_channels=64, learning_rate=2e-4)
