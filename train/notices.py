"""What is said once, before the first update, of values that do not reach the network as they are.

Lines for people: ranges that come from the data, and what is clipped by them; infinite values; texts and documents that
are cut. They are printed, and stand in the run's `config.json` as `notices`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from generalist.corpora.corpus import BadExampleError, note_of
from generalist.demonstrations.columns import Columns
from generalist.tokenizers.parts import Words
from generalist.tokenizers.ranges import range_rows
from generalist.train.data import TaskSource
from generalist.train.documents import DocumentSource

MOST_LINES = 20
"""Lines that are printed; a mixture of hundreds of tasks, or an action of thousands of values, has as many more."""
LOOKED_AT = 64
"""Documents of a corpus that are measured before training."""


def in_short(notices: Sequence[str], config: Path) -> list[str]:
    """The first `MOST_LINES` of them, and where the others stand."""
    if len(notices) <= MOST_LINES:
        return list(notices)
    return [*notices[: MOST_LINES - 1], f"and {len(notices) - MOST_LINES + 1} more of this kind: `notices` of {config}"]


def task_notices(task: str, source: TaskSource, columns: Columns, episodes: np.ndarray) -> list[str]:
    """Of one task; `episodes` are those that are trained on."""
    infinite = [f"{task}: {line}" for line in columns.infinities(episodes)]
    return range_notices(task, source) + infinite + text_notices(task, source)


def range_notices(task: str, source: TaskSource) -> list[str]:
    """Of values of which the space does not say how large they are."""
    return [
        f"{task}: {row}" + {"data": " (ends found in the data)", "": ""}.get(row.form, f" (by {row.form})")
        for row in range_rows(source.layout.continuous_fields)
    ]


def text_notices(task: str, source: TaskSource) -> list[str]:
    """Of texts that are longer than the layout shows."""
    option, found = f"--train.sources.{source.index}.layout", []
    for cut in source.step_tokens.cut:
        alike = f"; {cut.alike:,} of them then equal another" if cut.alike else ""
        found.append(
            f"{task}: {cut.cut:,} of {cut.texts:,} different texts of {cut.path} are cut to {cut.limit} ids, in "
            f"{cut.timesteps:,} of {cut.of:,} timesteps{alike}; the longest has {cut.longest}: "
            f"{option}.max-text-tokens {cut.longest} cuts none"
        )
    return found


def corpus_notices(source: DocumentSource) -> list[str]:
    """Of one corpus: what it passed over, and whether documents lose what does not fit a row, by some of them."""
    passed_over = [note] if (note := note_of(source.corpus)) else []
    lengths = np.array(list(_lengths(source)), np.int64)
    longer = int((lengths > source.sequence_length).sum())
    if not longer:
        return passed_over
    return [
        *passed_over,
        f"{source.name}: {longer} of {len(lengths)} documents that were looked at are longer than a row of "
        f"{source.sequence_length} positions and lose their end; the longest has {int(lengths.max()):,}: "
        "--train.sequence-length and --train.agent.window make rows longer",
    ]


def _lengths(source: DocumentSource) -> Iterator[int]:
    """Positions of some documents that are not split into rows, evenly from all of the corpus."""
    if source.ends is not None:
        return
    count = len(source.corpus)
    for at in np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(int)).tolist():
        try:
            document = source.corpus[at]
        except BadExampleError:  # training passes over it and names it
            continue
        if not (len(document) == 1 and isinstance(document[0], Words)):
            yield source.layout.length(document)
