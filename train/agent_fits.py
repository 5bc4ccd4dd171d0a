"""Whether an agent has room for what layouts show: rows of its table of local positions, and its window."""

from generalist.agent.config import AgentConfig
from generalist.tokenizers.layout import Layout
from generalist.train.documents import DocumentSource


def check_local_positions(task: str, layout: Layout, agent: AgentConfig) -> None:
    """Raises ValueError where an observation has more tokens than the agent's table of local positions has rows."""
    needed = layout.max_observation_tokens
    if needed > agent.local_positions:
        raise ValueError(
            f"an observation of {task} has up to {needed} tokens, agent.local_positions is {agent.local_positions}; "
            f"raise it (--train.agent.local-positions {needed}), or show vectors or images as one token"
        )


def check_document_positions(source: DocumentSource, agent: AgentConfig) -> None:
    """Raises ValueError where a picture has more tokens than the agent's table of local positions has rows."""
    needed = source.layout.local_positions
    if needed > agent.local_positions:
        raise ValueError(
            f"a picture of {source.name} has {needed} tokens, agent.local_positions is {agent.local_positions}; raise "
            f"it (--train.agent.local-positions {needed}), or make patches larger"
        )


def check_window(task: str, index: int, layout: Layout, agent: AgentConfig) -> None:
    """Raises ValueError where acting may need a longer window than the agent has, whatever the demonstrations show."""
    needed = layout.least_window
    if needed > agent.window:
        words = sum(layout.text_limits)
        shorter = f", or cut texts shorter (--train.sources.{index}.layout.max-text-tokens, now {words} ids)"
        raise ValueError(
            f"a timestep of {task} may need {needed} positions when it is played, by its spaces, and agent.window is "
            f"{agent.window}: raise it (--train.agent.window {needed}){shorter if words else ''}"
        )
