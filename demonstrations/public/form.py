"""What a user says about a data set where its format leaves it open, or where what would be assumed is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a data set is to be read; what is not said is decided by its format's rule or the catalogue's row.

    Args:
        observation: our key in the observation and the path in the data, ("state", "observation.state"); without
            any, every observation that the format has. The key "" makes that one value the whole observation.
        action: path of the action in the data; "" is the format's rule.
        instruction: path of the text that says what to do; "" is the format's rule.
        last_action_taken: whether the last step's action and reward are real (True), or the last step only holds the
            final observation (False); None lets the data decide. Of RLDS alone: other formats say it themselves.
    """

    observation: tuple[tuple[str, str], ...] = ()
    action: str = ""
    instruction: str = ""
    last_action_taken: bool | None = None


BY_RULE = Form()


def pairs(given: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """("state=observation.state", "image=image") as pairs. Raises ValueError for what is no KEY=PATH or comes twice."""
    found: dict[str, str] = {}
    for text in given:
        key, separator, path = text.partition("=")
        if not separator or not path:
            raise ValueError(f"--observation needs KEY=PATH, got {text!r}: such as state=observation.state")
        if key in found:
            raise ValueError(f"--observation names {key!r} twice: {found[key]} and {path}")
        found[key] = path
    return tuple(found.items())


def check_last_action(form: Form, format: str) -> None:
    """For formats in which every action was taken. Raises ValueError where the user says that the last was not."""
    if form.last_action_taken is False:
        raise ValueError(f"--last-action-taken False: in {format} the last action of an episode was always taken")
