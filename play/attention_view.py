"""Attention over the first steps of an episode, as arrays and as a picture."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from generalist.tokenizers.sequence import Kind
from generalist.tokenizers.viewer import SequenceView

NAMED = 48
"""Positions up to which the picture names what stands at each."""


@dataclass(frozen=True, eq=False)
class AttentionView:
    """How much every position attends to every other: take `weights`, or let a notebook show it.

    Args:
        weights: float32[layers, heads, T, T]; a row is a position, and sums to 1 over those that it attends to.
        view: the sequence, whose `print` says what stands at each position.
    """

    weights: np.ndarray
    view: SequenceView

    def __repr__(self) -> str:
        layers, heads, count, _ = self.weights.shape
        return f"AttentionView({layers} layers, {heads} heads, {count} positions)"

    def figure(self, head: int | None = None) -> Figure:
        """A picture of every layer: one head, or by default the mean over all."""
        layers, _, count, _ = self.weights.shape
        shown = self.weights.mean(axis=1) if head is None else self.weights[:, head]
        side = float(np.clip(count * 0.16, 2.4, 6.0))
        figure = Figure(figsize=(side * layers + 0.8, side + 0.8), layout="constrained")
        kinds = [Kind(int(kind)).name.lower() for kind in self.view.sequence.kind]
        begins = np.flatnonzero(np.diff(self.view.sequence.timestep)) + 0.5
        panels = figure.subplots(1, layers, sharey=True, squeeze=False)[0]
        for layer, axes in enumerate(panels):
            image = axes.imshow(shown[layer], cmap="magma", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(f"layer {layer + 1}")
            for begin in begins:
                axes.axhline(begin, color="#888", linewidth=0.6)
                axes.axvline(begin, color="#888", linewidth=0.6)
            if count <= NAMED:
                axes.set_xticks(range(count), kinds, rotation=90, fontsize=7)
                axes.set_yticks(range(count), kinds, fontsize=7)
        figure.supylabel("position")
        figure.supxlabel("attends to")
        figure.colorbar(image, ax=list(panels), shrink=0.8)
        return figure

    def _repr_html_(self) -> str:
        drawn = io.BytesIO()
        self.figure().savefig(drawn, format="png", dpi=110)
        data = base64.b64encode(drawn.getvalue()).decode()
        return f'<img alt="attention of every layer, mean over heads" src="data:image/png;base64,{data}">'
