"""Drawing: cached equals uncached token for token, together equals alone, and guidance does what its formula says."""

from dataclasses import replace

import numpy as np
import pytest
from small_painter import AGENT, DRAWN, VISUAL, painter
from token_examples import hidden, network

from generalist.agent.sampling import SamplingConfig
from generalist.play.painter import Painter
from generalist.tokenizers.parts import Document, Picture, Words

TEXTS = ["a red ball", "two", "a green key above a grey box"]
GREEDY, HOT = SamplingConfig(), SamplingConfig(temperature=2.0, seed=4)


def uncached(mine: Painter, prompt: Document, count: int, guidance: float = 1.0) -> list[int]:
    """The likeliest ids by a full forward pass for each, of the text and, beside it, of nothing."""
    model, first = network("conv", AGENT, 3, DRAWN), DRAWN.visual[0]
    table = np.asarray(model.tokens.rows[...])[first : DRAWN.size]
    ids: list[int] = []

    def scores(document: Document) -> np.ndarray:
        picture = Picture(np.zeros((8, 8, 3), np.uint8), written=True)
        sequence = mine.writer.layout.encode([(*document, picture)], source=1)
        begin = len(sequence) - VISUAL.tokens
        known = sequence.ids.copy()
        known[begin : begin + len(ids)] = [first + each for each in ids]
        batch = mine.writer.batch([replace(sequence, ids=known)])
        logits = table @ hidden(model, batch)[0, begin + len(ids) - 1]
        return logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())

    for _ in range(count):
        told = scores(prompt)
        untold = scores(()) if guidance > 1 else told
        ids.append(int(np.argmax(untold + guidance * (told - untold))))
    return ids


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_ids_are_those_of_full_passes(guidance):
    mine = painter()
    found = mine.ids(TEXTS, GREEDY, guidance=guidance)
    assert found.shape == (3, 16)
    for text, ids in zip(TEXTS, found.tolist(), strict=True):
        assert ids[:6] == uncached(mine, (Words(text, target=False),), 6, guidance)
    assert len({tuple(ids) for ids in found.tolist()}) == 3


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_picture_does_not_depend_on_what_is_drawn_beside_it(guidance):
    mine = painter()
    together = mine.draw(TEXTS, HOT, guidance=guidance)
    assert together.shape == (3, 8, 8, 3)
    for seed, text in enumerate(TEXTS):
        np.testing.assert_array_equal(mine.draw([text], HOT, guidance=guidance, seeds=[seed])[0], together[seed])
    assert len({picture.tobytes() for picture in mine.draw(["two"] * 4, HOT)}) > 1


def test_unless_asked_otherwise_pictures_are_guided_and_a_little_cold():
    mine = painter()
    expected = mine.ids(TEXTS, SamplingConfig(temperature=0.8), guidance=1.5)
    np.testing.assert_array_equal(mine.ids(TEXTS), expected)
    assert (mine.ids(TEXTS, guidance=1.0) != expected).any()
    assert (mine.ids(TEXTS, SamplingConfig(temperature=1.0)) != expected).any()


def test_only_ids_of_pictures_are_drawn_and_more_than_fit_together():
    mine = painter()
    ids = mine.ids([f"number {at}" for at in range(19)], HOT)
    assert ids.shape == (19, 16)
    assert ids.min() >= 0
    assert ids.max() < VISUAL.codes
    assert len(np.unique(ids)) > 15
    assert mine.draw([]).shape == (0, 8, 8, 3)


def test_what_cannot_be_drawn_is_refused():
    mine = painter()
    with pytest.raises(ValueError, match="are a list"):
        mine.draw("a red ball")
    with pytest.raises(ValueError, match="guidance must be 1 or more"):
        mine.draw(["x"], guidance=0.5)
    with pytest.raises(ValueError, match="a text and its picture have"):
        mine.draw(["x" * 60])
    with pytest.raises(ValueError, match=r"train one on drawings:CORPUS with --train\.visual FILE"):
        painter(visual=False)
    assert repr(mine) == "Painter(8 x 8 pixels of 16 ids each)"
