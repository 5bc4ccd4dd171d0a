"""An untrained network that draws: what it draws is nonsense, and the same each time."""

from dataclasses import replace

from flax import nnx
from token_examples import CONFIG, VOCABULARY, network
from visual import SMALL, visual_tokenizer

from generalist.agent.config import AgentConfig
from generalist.agent.network import unstacked
from generalist.play.painter import Painter
from generalist.play.writer import Writer
from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.pictures import PictureOptions
from generalist.tokenizers.text import ByteTokenizer

AGENT = AgentConfig(**{**vars(CONFIG), "attention_block": 64})
VISUAL = replace(SMALL, strides=(2,))
DRAWN = replace(VOCABULARY, visual_size=VISUAL.codes)


def painter(visual: bool = True) -> Painter:
    model = network("conv", AGENT, 3, DRAWN)
    graphdef, state = nnx.split(unstacked(model))
    found = visual_tokenizer(VISUAL) if visual else None
    layout = DocumentLayout(DRAWN if visual else VOCABULARY, ByteTokenizer(), PictureOptions(images="conv"), found)
    sizes = model.sizes if visual else replace(model.sizes, vocabulary=VOCABULARY.size)
    return Painter.of(Writer(AGENT, sizes, graphdef, state, layout, 1))
