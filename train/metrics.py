"""The file of metrics: one line per interval in `metrics.jsonl`, TensorBoard beside it."""

import json
from pathlib import Path
from typing import Any

from generalist.envs.checksums import CHECKSUM, sealed, unsealed
from generalist.envs.files import write_atomically
from generalist.train.tracking import Trackers

TIMINGS = (
    *("seconds", "evaluation_seconds", "tokens_per_second", "model_flops_utilisation"),
    *("input_wait", "input_made", "input_needed", CHECKSUM),
)
"""Fields that depend on the machine; every other field is a function of the configuration and the step.

`input_wait` is the share of time in which updates waited for a batch. `input_made` are the tokens per second that the
first process's makers of batches could make, by the time they spent on it; `input_needed` those that its share of the
updates would take if they never waited. The checksum is that of the line, see `generalist.envs.checksums`."""


class DivergedError(FloatingPointError):
    """The loss is not a number."""


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Every whole line of a `metrics.jsonl`; a last line cut short by a crash is left out.

    Raises:
        ValueError: a line is damaged, with the file and its number. Lines of earlier versions have no checksum.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    if not _begins_a_line(lines[-1]):
        lines.append(b"")
    found = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            found.append(unsealed(json.loads(line)))
        except ValueError as cause:
            raise ValueError(
                f"{path}, line {number} is damaged ({cause}): restore the file from a copy, or move it elsewhere; the "
                "run then goes on without what it says of the updates before"
            ) from cause
    return found


def _begins_a_line(text: bytes) -> bool:
    """Whether this is what a kill left of a line, and not a line whose end is damaged."""
    return not text or (text[:1] == b"{" and not _holds_object(text))


def _holds_object(text: bytes) -> bool:
    try:
        json.JSONDecoder().raw_decode(text.decode(errors="replace"))
    except ValueError:
        return False
    return True


class MetricsWriter:
    """Appends lines to `metrics.jsonl` and, where tensorboardX is installed, scalars to `tensorboard/`.

    Args:
        directory: of the run; None writes nothing.
        resume: keep lines up to this step and drop later ones, whose updates will be done again.
        trackers: services that get the same numbers.
    """

    def __init__(self, directory: Path | None, *, resume: int = 0, trackers: Trackers | None = None):
        self._file = self._board = None
        self._trackers = trackers
        if directory is None:
            return
        self.path = directory / "metrics.jsonl"
        kept = [line for line in read_metrics(self.path) if line["step"] <= resume]
        write_atomically(self.path, "".join(map(_written, kept)).encode())
        self._file = self.path.open("a")
        self._board = _tensorboard(directory / "tensorboard", resume)

    def write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            return
        self._file.write(_written(line))
        self._file.flush()
        if self._trackers is not None:
            self._trackers.log(line["step"], scalars(line))
        if self._board is None:
            return
        for name, value in scalars(line).items():
            self._board.add_scalar(name, value, line["step"])

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()
        if self._trackers is not None:
            self._trackers.close()


def _written(line: dict[str, Any]) -> str:
    return json.dumps(sealed(line)) + "\n"


def scalars(line: dict[str, Any]) -> dict[str, float]:
    """The numbers of a line by their names in TensorBoard: train/loss, loss/SOURCE, held_out/loss, ..."""
    held_out = line.get("held_out", {"sources": {}})
    found = {f"train/{name}": value for name, value in line.items() if name != "step"}
    found |= {f"held_out/{name}": value for name, value in held_out.items()}
    for before, sources in (("", line["sources"]), ("held_out/", held_out["sources"])):
        found |= {f"{before}{name}/{id}": value for id, values in sources.items() for name, value in values.items()}
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def _tensorboard(directory: Path, resume: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(directory), purge_step=resume + 1 if resume else None)
