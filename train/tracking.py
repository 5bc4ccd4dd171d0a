"""The same numbers as TensorBoard's to services that others keep runs in: Weights & Biases, MLflow.

Where they write, and whether they reach anybody, is said by their own environment variables (WANDB_MODE=offline,
WANDB_PROJECT, MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME). A run that goes on goes on there too. A service that fails
while a run is trained is said once, and does not end the training.
"""

import json
import os
import re
import secrets
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from generalist.envs.files import read_json, write_json
from generalist.envs.names import nearest
from generalist.envs.task import needs_extra

FOLDER, KEPT = "tracking", "runs.json"
"""In a run directory, and the file there of what the run is called by each service."""
PROJECT = "generalist"


class Tracker(Protocol):
    """A service, once a run is open there."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class WeightsAndBiases:
    """A run of Weights & Biases."""

    def __init__(self, directory: Path, id: str, config: Mapping[str, Any]):
        with needs_extra("wandb"):
            import wandb
        try:
            self._run: Any = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                id=id,
                name=directory.name,
                resume="allow",
                dir=directory / FOLDER,
                config=dict(config),
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.Error as error:
            said = " ".join(str(error).split())
            raise ValueError(f"wandb did not begin: {said}; `wandb login`, or WANDB_MODE=offline") from error

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        self._run.finish()


class Mlflow:
    """A run of MLflow."""

    def __init__(self, directory: Path, id: str, config: Mapping[str, Any]):
        with needs_extra("mlflow"):
            from mlflow.entities import Metric
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
        self._metric, self._client = Metric, MlflowClient()
        try:
            self._id = self._opened(id, directory.name)
        except MlflowException as error:
            said = " ".join(str(error).split())
            raise ValueError(f"mlflow did not begin: {said}; MLFLOW_TRACKING_URI says where it writes") from error
        if (directory / "config.json").exists():
            self._client.log_artifact(self._id, str(directory / "config.json"))

    def _opened(self, id: str, name: str) -> str:
        """The run that is tagged with `id`, or a new one."""
        wanted = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        known = self._client.get_experiment_by_name(wanted)
        experiment = known.experiment_id if known else self._client.create_experiment(wanted)
        found = self._client.search_runs([experiment], f"tags.generalist = '{id}'", max_results=1)
        if found:
            self._client.update_run(found[0].info.run_id, status="RUNNING")
            return found[0].info.run_id
        return self._client.create_run(experiment, run_name=name, tags={"generalist": id}).info.run_id

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        # Names stand for files in its folders: one cannot be another's beginning.
        named = {re.sub(r"[^\w\-. ]", ".", name): value for name, value in numbers.items()}
        metrics = [self._metric(name, value, now, step) for name, value in named.items()]
        for begin in range(0, len(metrics), 1000):  # as many as a request may hold
            self._client.log_batch(self._id, metrics=metrics[begin : begin + 1000])

    def close(self) -> None:
        self._client.set_terminated(self._id)


SERVICES: dict[str, Callable[[Path, str, Mapping[str, Any]], Tracker]] = {
    "wandb": WeightsAndBiases,
    "mlflow": Mlflow,
}


def check_services(names: Sequence[str]) -> None:
    """Raises ValueError for one that there is not, with the nearest."""
    for name in names:
        if name not in SERVICES:
            raise ValueError(f"there is no tracking by {name!r}: {nearest(name, list(SERVICES))}")


class Trackers:
    """The services of a run; one that fails is said once, and left out from then on.

    Args:
        names: of `SERVICES`.
        directory: of the run.
    """

    def __init__(self, names: Sequence[str], directory: Path):
        self._open: dict[str, Tracker] = {}
        if not names:
            return
        (directory / FOLDER).mkdir(exist_ok=True)
        kept = directory / FOLDER / KEPT
        ids = read_json(kept, "", "delete it: the run is then a new one there") if kept.exists() else {}
        ids = {name: secrets.token_hex(6) for name in names} | ids
        write_json(kept, ids)
        config = json.loads((directory / "config.json").read_text())["config"]
        for name in dict.fromkeys(names):
            self._open[name] = SERVICES[name](directory, ids[name], config)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        for name in list(self._open):
            self._try(name, lambda tracker: tracker.log(step, numbers))

    def close(self) -> None:
        for name in list(self._open):
            self._try(name, lambda tracker: tracker.close())

    def _try(self, name: str, do: Callable[[Tracker], None]) -> None:
        try:
            do(self._open[name])
        except Exception as error:  # whatever a client of a service raises
            del self._open[name]
            said = " ".join(str(error).split()) or type(error).__name__
            warnings.warn(f"{name} failed and is left out ({said}); metrics.jsonl has everything", stacklevel=2)
