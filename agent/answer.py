"""Action tokens directly from the last token of an observation, see `generalist.tokenizers.options.LayoutOptions`."""

from flax import nnx
from jaxtyping import Array, Float, Int

from generalist.agent.config import AgentConfig, InputSizes
from generalist.agent.embed import Table, dense, merge


class Answer(nnx.Module):
    """What a position says as each part (token) of its action: its state, the part, and a hidden layer over both.

    The parts of an action are told apart by an embedding, as blank inputs of their own would be; a token of a sequence
    passes through all layers for each of them, this through two small matrices.
    """

    def __init__(self, config: AgentConfig, sizes: InputSizes, *, rngs: nnx.Rngs):
        self.parts = Table(sizes.answers, config, rngs=rngs)
        self.hidden = dense(config.width, config.width, config, rngs, (None, "embed"))
        self.out = dense(config.width, config.width, config, rngs, (None, "embed"))

    def __call__(self, hidden: Float[Array, "B R D"], part: Int[Array, "B R"]) -> Float[Array, "B R D"]:
        """States from which the logits of these parts are computed, from the final states of their positions."""
        flat = merge(hidden)
        x = flat + self.parts(part.reshape(-1))
        return (flat + self.out(nnx.gelu(self.hidden(x)))).reshape(hidden.shape)
