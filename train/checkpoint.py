"""Checkpoints through Orbax: agent, optimizer and data position together; a checkpoint is whole or absent."""

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

FORMAT = 2
"""2: heads and head size are one axis of the attention's matrices."""


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged or of another run."""


class Checkpoints:
    """The checkpoints of one run, under `directory`/<step>.

    Args:
        directory: made if it is not there.
        keep: this many newest checkpoints stay,
        keep_best: and this many with the lowest loss (see `generalist.train.log.compared_loss`), of those that were
            saved with one.
        metadata: JSON stored in every checkpoint and compared on load; holds the vocabulary's version.
        writes: whether it may save. Then it removes what a killed run left half-written; a reader must not, because a
            run may be writing right now.
    """

    def __init__(
        self,
        directory: Path,
        *,
        keep: int = 2,
        keep_best: int = 0,
        metadata: dict[str, Any] | None = None,
        writes: bool = True,
    ):
        self.directory = Path(directory).absolute()
        self.metadata = {"format": FORMAT} | (metadata or {})
        self.directory.mkdir(parents=True, exist_ok=True)
        policies = ocp.training.preservation_policies
        best = policies.BestN(
            get_metric_fn=lambda metrics: metrics["loss"],
            reverse=True,  # Orbax keeps the end of the sorted list
            n=keep_best,
            keep_checkpoints_without_metrics=False,
        )
        self._checkpointer = ocp.training.Checkpointer(
            str(self.directory),
            # Orbax annotates its own policies with other types than its protocols have.
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),  # pyright: ignore[reportArgumentType]
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(keep), best]),  # pyright: ignore[reportArgumentType]
            cleanup_tmp_directories=writes,
        )

    def __enter__(self) -> "Checkpoints":
        # What goes wrong is raised; Orbax logs it too, from its threads, with tracebacks.
        self._level = logging.getLogger("absl").level
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until the last one is written. Raises CheckpointError if it could not be."""
        try:
            with self._writing():
                self._checkpointer.close()
        finally:
            logging.getLogger("absl").setLevel(self._level)

    @property
    def latest(self) -> int | None:
        """Step of the newest whole checkpoint."""
        newest = self._checkpointer.latest
        return None if newest is None else newest.step

    @property
    def best(self) -> int | None:
        """Step of the whole checkpoint with the lowest loss, the newest of equals; None if none has one."""
        checkpoints: Any = self._checkpointer.checkpoints
        found = [(kept.metrics["loss"], -kept.step) for kept in checkpoints if kept.metrics]
        return -min(found)[1] if found else None

    def save(
        self, step: int, state: Any, data: Any, *, loss: float | None = None, note: dict[str, Any] | None = None
    ) -> None:
        """Start saving; training goes on while it is written.

        Args:
            loss: what `best` and `keep_best` compare; a checkpoint without one is never among the best.
            note: JSON that belongs to this checkpoint; `note` gives it back.

        Raises:
            CheckpointError: this one, or the one before it, could not be written; older ones are untouched.
        """
        parts = {"agent": state[0], "optimizer": state[1], "data": data}
        with self._writing():
            stored = self.metadata | {"note": note or {}}
            metrics: Any = None if loss is None else {"loss": loss}
            self._checkpointer.save_checkpointables_async(step, parts, metrics=metrics, custom_metadata=stored)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise CheckpointError(
                f"{self.directory}: a checkpoint could not be written ({type(error).__name__}: {str(error)[:200]}); "
                "older ones are whole: free some space and go on with --resume"
            ) from error

    def restore(self, step: int, state: Any, data: Any) -> Any:
        """The state saved at `step`, laid out as the (abstract) `state`; `data` is set back in place.

        This and `restore_agent` must be called with the mesh of the state in use.
        """
        parts = {"agent": state[0], "optimizer": state[1], "data": data}
        found = _checked(self, step, parts)
        leaves = jax.tree.leaves((found["agent"], found["optimizer"]))
        return jax.tree.unflatten(jax.tree.structure(state), leaves)

    def note(self, step: int) -> dict[str, Any]:
        """What was noted in a checkpoint that could be restored; empty in those of earlier versions."""
        stored: Any = self._checkpointer.checkpointables_metadata(step).custom_metadata
        return stored.get("note", {}) if isinstance(stored, dict) else {}

    def restore_agent(self, step: int, agent_state: Any) -> Any:
        """The agent's parameters alone."""
        return _checked(self, step, {"agent": agent_state})["agent"]


def _checked(checkpoints: Checkpoints, step: int, parts: dict[str, Any]) -> dict[str, Any]:
    where = checkpoints.directory / str(step)
    with warnings.catch_warnings():
        # When Orbax fails it leaves coroutines that nobody awaited, and Python complains as each is collected. So they
        # are collected here, and the exception that holds them goes no further.
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            stored = checkpoints._checkpointer.checkpointables_metadata(step).custom_metadata
            if not isinstance(stored, dict):
                stored = {}
            for name, value in checkpoints.metadata.items():
                if stored.get(name) != value:
                    raise CheckpointError(f"{where}: {name} is {stored.get(name)!r} in the checkpoint, {value!r} here")
            return checkpoints._checkpointer.load_checkpointables(step, parts)
        except CheckpointError:
            raise
        except Exception as error:
            problem = f"{type(error).__name__}: {str(error)[:200]}"
        gc.collect()
    raise CheckpointError(
        f"{where}: cannot be read ({problem}); remove this folder to go on from the checkpoint before it"
    )
