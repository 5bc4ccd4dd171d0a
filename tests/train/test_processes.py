"""What is a set of processes, and where the environment says so. That they train together: test_multihost.py."""

import jax
import pytest

from generalist.train.processes import Processes, detected_count, join_processes, leads

CLUSTERS = {
    "slurm": {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NODELIST": "n[1-2]",
        "SLURM_NTASKS": "6",
        "SLURM_PROCID": "1",
        "SLURM_LOCALID": "0",
    },
    "open mpi": {"OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:1", "OMPI_COMM_WORLD_SIZE": "6"},
    "tpu": {"TPU_WORKER_HOSTNAMES": "a,b,c", "MEGASCALE_NUM_SLICES": "2"},
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    for names in (*CLUSTERS.values(), {"TPU_PROCESS_ADDRESSES": ""}):
        for name in names:
            monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_the_environment_of_a_cluster_says_how_many(monkeypatch, cluster):
    assert detected_count() == 1
    for name, value in CLUSTERS[cluster].items():
        monkeypatch.setenv(name, value)
    assert detected_count() == 6


def test_a_slurm_script_outside_srun_is_one_process(monkeypatch):
    """The batch script itself sees the number of tasks, but is none of them."""
    for name, value in CLUSTERS["slurm"].items():
        if name != "SLURM_STEP_NODELIST":
            monkeypatch.setenv(name, value)
    assert detected_count() == 1


@pytest.mark.parametrize("given", [Processes(), Processes(count=1)])
def test_alone_nothing_is_joined(given):
    join_processes(given)
    assert not jax.distributed.is_initialized()
    assert leads()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"coordinator": "here:1"}, "belong together"),
        ({"coordinator": "here:1", "index": 0}, "belong together"),
        ({"index": 0, "count": 2}, "belong together"),
        ({"count": 0}, "must be positive, got 0"),
        ({"coordinator": "here:1", "count": 2, "index": 2}, "counts from 0 to 1, got 2"),
        ({"coordinator": "here", "count": 2, "index": 1}, "is HOST:PORT, got here"),
    ],
)
def test_what_does_not_make_a_set_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Processes(**given)
