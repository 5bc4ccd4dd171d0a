"""Parts of a study that a pool makes: each is kept as it ends, and one that fails costs itself alone."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, as_completed
from typing import Any, TypeVar

from generalist.envs.failures import PartsFailed, in_words, is_of_one_part
from generalist.envs.workers import JobFailed

Part = TypeVar("Part")


def gather(
    waiting: Mapping[Future, Part],
    keep: Callable[[Part, Any], None],
    name: Callable[[Part], str],
    done: Callable[[str], None],
) -> None:
    """Call `keep` with every part and what was made of it, in the order in which they end.

    Args:
        waiting: parts by their futures.
        name: what a part is called where it failed, and when it is done.
        done: called with the name as each ends, also those that failed.

    Raises:
        PartsFailed: some could not be made, a line for each; the others are kept.
    """
    failed = []
    for future in as_completed(waiting):
        part = waiting[future]
        try:
            keep(part, future.result())
        except BaseException as error:
            if not is_of_one_part(error):
                raise
            said = error.reason if isinstance(error, JobFailed) else in_words(error)
            failed.append(f"{name(part)} failed: {said}")
        done(name(part))
    if failed:
        raise PartsFailed(failed)
