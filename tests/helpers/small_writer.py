"""An untrained network that writes: what it writes is nonsense, and the same each time."""

from flax import nnx
from token_examples import CONFIG, VOCABULARY, network

from generalist.agent.config import AgentConfig
from generalist.agent.network import unstacked
from generalist.play.writer import Writer
from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.pictures import PictureOptions
from generalist.tokenizers.text import ByteTokenizer

PICTURES = PictureOptions(shape=(8, 16, 3), patch_size=8)
AGENT = AgentConfig(**{**vars(CONFIG), "attention_block": 64})


def writer(source: int) -> Writer:
    """It writes as the document source of that number."""
    model = network("patches", AGENT, 3)
    graphdef, state = nnx.split(unstacked(model))
    return Writer(AGENT, model.sizes, graphdef, state, DocumentLayout(VOCABULARY, ByteTokenizer(), PICTURES), source)
