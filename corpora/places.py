"""Pictures of one region belong into one split: neighbours look alike, and a test among them measures memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CELLS = 100
"""So many cells with pictures are wanted at least; every fiftieth is test."""
FINEST = 1024


@dataclass(frozen=True)
class Place:
    """A point of the ground.

    Args:
        reference: of its numbers, an EPSG number, "" where it is not known.
        x, y: in degrees or metres, as the reference has them.
    """

    reference: str
    x: float
    y: float


def regions(places: Sequence[Place | None]) -> tuple[int, ...]:
    """Number of the region of each place, in the order in which they first appear; None is a region of its own.

    Regions are the cells of a grid of equal divisions over all places of one reference system: 8 to a side, or twice
    as many until `CELLS` cells hold a place, or `FINEST` to a side.
    """
    cells: list[tuple] = [("none", at) for at in range(len(places))]
    for reference in sorted({each.reference for each in places if each}):
        chosen = [at for at, each in enumerate(places) if each and each.reference == reference]
        points = np.asarray([(places[at].x, places[at].y) for at in chosen])  # pyright: ignore[reportOptionalMemberAccess]
        for at, cell in zip(chosen, _cells(points), strict=True):
            cells[at] = (reference, *cell)
    numbers: dict[tuple, int] = {}
    return tuple(numbers.setdefault(cell, len(numbers)) for cell in cells)


def _cells(points: np.ndarray) -> list[tuple[int, int]]:
    low, extent = points.min(axis=0), np.ptp(points, axis=0)
    unit = (points - low) / np.where(extent > 0, extent, 1.0)
    divisions = 8
    while True:
        found = np.minimum((unit * divisions).astype(int), divisions - 1)
        if divisions >= FINEST or len(np.unique(found, axis=0)) >= min(CELLS, len(points)):
            return [(int(column), int(row)) for column, row in found]
        divisions *= 2
