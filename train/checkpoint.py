"""Checkpoints through Orbax: agent, optimizer and data position together; a checkpoint is whole, or refused.

Each has a list of its files with their SHA-256 (see `generalist.train.manifest`), and whatever is restored is compared
with it first. Those of earlier versions have none and are restored as they are.
"""

import gc
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import jax
from orbax.checkpoint import v1 as ocp

from generalist.envs.checksums import check_file
from generalist.envs.files import what_to_do
from generalist.train.manifest import MANIFEST, Manifest, check_description, check_parts, read_manifest, write_manifest
from generalist.train.processes import leads

LOSS = "metrics"
"""Orbax's part that holds the loss."""
UNFINISHED = ".orbax-checkpoint-tmp"
"""End of the name of a checkpoint's folder while it is written."""
FORMAT = 2
"""2: heads and head size are one axis of the attention's matrices."""


Which = int | Literal["best"] | None
"""A checkpoint: of this update, that of the lowest held-out loss, or the newest."""


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged or of another run."""


def steps_in(directory: Path) -> list[int]:
    """Updates whose checkpoints are in this folder, ascending; none where there is no such folder."""
    return sorted(int(path.name) for path in directory.glob("*") if path.name.isdigit())


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

    Raises:
        CheckpointError: the list of files or the loss of a checkpoint is damaged.
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
        self._saving: tuple[int, dict[str, Any], Any] | None = None
        if writes:
            self._check_listing()  # by them checkpoints are deleted
        policies = ocp.training.preservation_policies
        best = policies.BestN(
            get_metric_fn=lambda metrics: metrics["loss"],
            reverse=True,  # Orbax keeps the end of the sorted list
            n=keep_best,
            keep_checkpoints_without_metrics=False,
        )
        context = ocp.Context()
        # A function, because Orbax copies the options deeply, and with a bound method what it is bound to.
        context.asynchronous.post_finalization_callback = lambda: self._list_files()
        found, problem = _tried(
            lambda: ocp.training.Checkpointer(
                str(self.directory),
                context=context,
                # Orbax annotates its own policies with other types than its protocols have.
                save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),  # pyright: ignore[reportArgumentType]
                preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(keep), best]),  # pyright: ignore[reportArgumentType]
                cleanup_tmp_directories=writes,
            )
        )
        if problem:
            self._check_listing()
            raise CheckpointError(f"{self.directory}: its checkpoints cannot be listed ({problem})")
        self._checkpointer: Any = found

    def __enter__(self) -> "Checkpoints":
        # What goes wrong is raised; Orbax logs it too, from its threads, with tracebacks.
        self._level = logging.getLogger("absl").level
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until the last one is written. Raises CheckpointError if it could not be."""
        try:
            with self._writing():
                try:
                    self._finish()
                finally:
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
        """Step of the whole checkpoint with the lowest loss, the newest of equals; None if none has one.

        Raises CheckpointError if a loss is damaged.
        """
        self._check_listing()
        found = [(kept.metrics["loss"], -kept.step) for kept in self._checkpointer.checkpoints if kept.metrics]
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
        self._save(step, {"agent": state[0], "optimizer": state[1], "data": data}, loss, note)

    def save_agent(self, step: int, agent_state: Any) -> None:
        """Start saving the agent's parameters alone: nothing that training could go on from. Raises as `save`."""
        self._save(step, {"agent": agent_state}, None, None)

    def _save(self, step: int, parts: dict[str, Any], loss: float | None, note: dict[str, Any] | None) -> None:
        said = self.metadata | {"note": note or {}, "listed": MANIFEST}
        with self._writing():
            self._finish()
            metrics: Any = None if loss is None else {"loss": loss}
            self._saving = step, said, None
            response = self._checkpointer.save_checkpointables_async(step, parts, metrics=metrics, custom_metadata=said)
            self._saving = step, said, response

    def _finish(self) -> None:
        """Wait for the save that is under way. Orbax's thread and its descriptors end only when it is asked."""
        try:
            if self._saving and self._saving[2]:
                self._saving[2].result()
        finally:
            self._saving = None

    def _list_files(self) -> None:
        """Called by Orbax, when all parts of a checkpoint are written and its folder has not got its name yet."""
        if self._saving and leads():
            step, said, _ = self._saving
            write_manifest(self.directory / f"{step}{UNFINISHED}", said)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            help = what_to_do(error) or "see that the folder can be written and run the same command again"
            raise CheckpointError(
                f"{self.directory}: a checkpoint could not be written ({type(error).__name__}: {str(error)[:200]}); "
                f"older ones are whole and --resume goes on from the newest. {help[0].upper()}{help[1:]}"
            ) from error

    def restore(self, step: int, state: Any, data: Any) -> Any:
        """The state saved at `step`, laid out as the (abstract) `state`; `data` is set back in place.

        This and `restore_agent` must be called with the mesh of the state in use.
        """
        manifest = self._manifest(step) if step in self._folders() else None
        if manifest and not manifest.of(("optimizer",)):
            raise CheckpointError(
                f"{self.directory / str(step)} holds a network alone, which training cannot go on from; start another "
                f"run from it: --weights {self.directory.parent} and another --out"
            )
        found = self._restored(step, {"agent": state[0], "optimizer": state[1], "data": data})
        leaves = jax.tree.leaves((found["agent"], found["optimizer"]))
        return jax.tree.unflatten(jax.tree.structure(state), leaves)

    def chosen(self, step: Which = None) -> int:
        """The step of the checkpoint that is asked for: the newest by default.

        Raises:
            CheckpointError: there is none yet, or none of this step.
        """
        found = self.latest if step is None else self.best if step == "best" else step
        if found is None:
            what = "checkpoint with a loss" if step == "best" else "checkpoint"
            raise CheckpointError(
                f"{self.directory.parent} has no {what} yet; wait for the first one, or train it with --resume"
            )
        self.check_there(found)
        return found

    def check_there(self, step: int) -> None:
        """Raises CheckpointError if there is no checkpoint of this step, with those that there are."""
        if step not in (there := self._folders()):
            where = self.directory / str(step)
            raise CheckpointError(f"{where}: there is no such checkpoint; {_listed('there are', there)}")

    def note(self, step: int) -> dict[str, Any]:
        """What was noted in a checkpoint that could be restored; empty in those of earlier versions."""
        return self._said(step).get("note", {})

    def restore_agent(self, step: int, agent_state: Any) -> Any:
        """The agent's parameters alone."""
        return self._restored(step, {"agent": agent_state})["agent"]

    def _restored(self, step: int, parts: dict[str, Any]) -> dict[str, Any]:
        self.check_there(step)
        where = self.directory / str(step)
        manifest = self._manifest(step)
        stored = self._said(step)
        for name, value in self.metadata.items():
            if stored.get(name) != value:
                raise CheckpointError(f"{where}: {name} is {stored.get(name)!r} in the checkpoint, {value!r} here")
        if manifest:
            try:
                check_description(where, manifest)
                check_parts(where, manifest, tuple(parts))
            except ValueError as error:
                raise self._refused(step, str(error)) from error
        found, problem = _tried(lambda: self._checkpointer.checkpointables_metadata(step).metadata)
        different = "" if problem else _differences(found, {name: parts[name] for name in parts if name != "data"})
        if different:
            raise CheckpointError(f"{where} holds another agent than is asked for: {different}")
        if not problem:
            found, problem = _tried(lambda: self._checkpointer.load_checkpointables(step, parts))
        if problem and manifest:
            raise CheckpointError(f"{where} is whole, but holds something else than is asked for ({problem})")
        if problem:
            raise self._refused(step, f"it cannot be read, it is damaged or holds something else ({problem})")
        return found

    def _said(self, step: int) -> dict[str, Any]:
        """The metadata and note of a checkpoint; of earlier versions' as Orbax keeps them."""
        if (manifest := self._manifest(step)) is not None:
            return manifest.said
        found, problem = _tried(lambda: self._checkpointer.checkpointables_metadata(step).custom_metadata)
        if problem:
            raise self._refused(step, f"it cannot be read ({problem})")
        if isinstance(found, dict) and "listed" in found:
            raise self._refused(step, f"{found['listed']} is missing")
        return found if isinstance(found, dict) else {}

    def _manifest(self, step: int) -> Manifest | None:
        try:
            return read_manifest(self.directory / str(step))
        except ValueError as error:
            raise self._refused(step, str(error)) from error

    def _check_listing(self) -> None:
        """Raises CheckpointError if one of the small files is damaged by which checkpoints are found and chosen."""
        for step in self._folders():
            folder, manifest = self.directory / str(step), self._manifest(step)
            try:
                if manifest:
                    check_description(folder, manifest)
                    for name in manifest.of((LOSS,)):
                        check_file(folder, name, manifest.files[name])
            except ValueError as error:
                if folder.exists():  # else whoever trains here has just removed it
                    raise self._refused(step, str(error)) from error

    def _folders(self) -> list[int]:
        return steps_in(self.directory)

    def _refused(self, step: int, why: str) -> CheckpointError:
        """The error for a checkpoint that is not whole, with those that are; nothing is deleted here."""
        where = self.directory / str(step)
        return CheckpointError(
            f"checkpoint {where} is refused: {why}. {_listed('Whole are', self._whole(step))}. Restore the file from a "
            f"copy, or name another checkpoint (--step), or move {where} elsewhere, so that it counts no more"
        )

    def _whole(self, but: int) -> list[int]:
        """Other checkpoints whose files are all as they were written."""
        found = []
        for step in self._folders():
            with suppress(ValueError):
                folder = self.directory / str(step)
                manifest = None if step == but else read_manifest(folder)
                if manifest is not None:
                    for name, wanted in manifest.files.items():
                        check_file(folder, name, wanted)
                    found.append(step)
        return found


def _listed(what: str, steps: list[int]) -> str:
    return f"{what} {', '.join(map(str, steps))}" if steps else "No other is here"


def _differences(stored: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Parameters that have other shapes in a checkpoint, or are only there or only here; the first few by name."""
    there, here = _shapes({name: stored[name] for name in wanted if name in stored}), _shapes(wanted)
    found = [
        f"{name} is {there.get(name, 'missing')} in the checkpoint, {here.get(name, 'missing')} here"
        for name in sorted(there | here)
        if there.get(name) != here.get(name)
    ]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(found[:3]) + more


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    named = {"/".join(map(_key, path)).removesuffix("/value"): leaf for path, leaf in leaves}
    return {name: tuple(getattr(leaf, "shape", ())) for name, leaf in named.items()}


def _key(entry: Any) -> str:
    """A step of a path, which is a key of a dict, an attribute or a place in a list."""
    return str(next(getattr(entry, name) for name in ("key", "name", "idx") if hasattr(entry, name)))


def _tried(read: Callable[[], Any]) -> tuple[Any, str]:
    """What it reads, or what went wrong. Raises CheckpointError for what is no fault of the files."""
    with warnings.catch_warnings():
        # When Orbax fails it leaves coroutines that nobody awaited, and Python complains as each is collected. So they
        # are collected here, and the exception that holds them goes no further.
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            return read(), ""
        except Exception as error:
            problem, help = f"{type(error).__name__}: {str(error)[:200]}", what_to_do(error)
        gc.collect()
    if help:
        raise CheckpointError(f"a checkpoint cannot be read: {help}")
    return None, problem
