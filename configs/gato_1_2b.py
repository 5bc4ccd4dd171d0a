"""Gato 1.18B with the paper's layout and optimizer; needs accelerators, and was not trained here.

generalist train gato_1_2b --data data --out runs/gato_1_2b
"""

from generalist.configs.experiment import Experiment
from generalist.configs.gato import gato


def config() -> Experiment:
    return gato(width=2048, layers=24, heads=16, head_size=128, patch_channels=64, learning_rate=1e-4)
