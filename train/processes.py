"""One program on several processes: joining them, and what only the first of them does.

Every process runs the same command and the same updates. The first writes `config.json`, metrics and what is shown;
checkpoints are written by all. With one process nothing here does anything.
"""

import os
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import multihost_utils


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Who takes part, where the cluster does not say it.

    Args:
        coordinator: HOST:PORT of the first process, reachable from all others.
        count: number of processes; alone, it asks JAX to find the rest (Kubernetes, Cloud TPU).
        index: number of this process, from 0.
    """

    coordinator: str | None = None
    count: int | None = None
    index: int | None = None

    def __post_init__(self):
        if (self.coordinator is None) != (self.index is None) or (self.coordinator and self.count is None):
            raise ValueError(
                "--coordinator HOST:PORT, --processes N and --process I belong together; give all three, or "
                f"--processes alone where JAX knows the cluster; got {self.coordinator}, {self.count} and {self.index}"
            )
        if self.count is not None and self.count < 1:
            raise ValueError(f"--processes must be positive, got {self.count}")
        if self.index is not None and self.count is not None and not 0 <= self.index < self.count:
            raise ValueError(f"--process counts from 0 to {self.count - 1}, got {self.index}")
        if self.coordinator is not None and not self.coordinator.rpartition(":")[2].isdigit():
            raise ValueError(f"--coordinator is HOST:PORT, got {self.coordinator}")


def detected_count() -> int:
    """Number of processes that the environment states in a way that JAX understands; 1 without any.

    Of Slurm (`srun`), Open MPI (`mpirun`) and TPU slices on GKE. An indexed job of Kubernetes may as well be so many
    independent runs, and a Cloud TPU pod says nothing in the environment: both need `--processes`.
    """
    seen = os.environ
    if all(f"SLURM_{name}" in seen for name in ("JOB_ID", "STEP_NODELIST", "NTASKS", "PROCID", "LOCALID")):
        return int(seen["SLURM_NTASKS"])
    if "OMPI_MCA_orte_hnp_uri" in seen:
        return int(seen["OMPI_COMM_WORLD_SIZE"])
    hosts = seen.get("TPU_PROCESS_ADDRESSES", seen.get("TPU_WORKER_HOSTNAMES", ""))
    return len(hosts.split(",")) * int(seen.get("MEGASCALE_NUM_SLICES") or 1)


def join_processes(given: Processes) -> None:
    """Connect to the other processes, if there are any. To be called before JAX is used for the first time.

    Raises:
        ValueError: the processes that came together are not as many as were asked for.
    """
    if given.count is None and detected_count() == 1:
        return
    if given.count == 1:
        return
    jax.distributed.initialize(given.coordinator, given.count, given.index)
    if given.count is not None and jax.process_count() != given.count:
        raise ValueError(f"--processes {given.count} was asked for, and {jax.process_count()} came together")


def leads() -> bool:
    """Whether this is the first process, the one that writes what only one may write."""
    return jax.process_index() == 0


def wait_for_all(what: str) -> None:
    """Returns when every process has come here; `what` names the place and must be the same in all."""
    multihost_utils.sync_global_devices(what)


def true_anywhere(here: bool) -> bool:
    """Whether `here` is true in any process; all must ask at the same place."""
    return here if jax.process_count() == 1 else bool(multihost_utils.process_allgather(np.asarray(here)).any())
