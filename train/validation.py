"""What is held out, measured while training goes on: always the same batches, without gradients.

The batches are those that training would make of the held-out episodes and documents, from the same seed and with the
same weights, so that their loss and that of training estimate the same thing on other data. With one held-out episode a
task is never prompted, because a prompt is of another one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh, PartitionSpec

from generalist.agent.batch import TokenBatch
from generalist.agent.loss import LossConfig, held_out_metrics
from generalist.agent.sharding import place_rows, use_mesh
from generalist.corpora.corpus import BadExampleError
from generalist.train.config import TrainConfig
from generalist.train.data import Source, packed_rows
from generalist.train.documents import DocumentSource
from generalist.train.packing import Packed, to_batch
from generalist.train.sources import Mixture
from generalist.train.step import State, accumulate, loss_config
from generalist.train.streams import rows_here, streams_of_processes

Evaluation = Callable[[State], dict[str, Any]]
"""From a training state to what `figures` gives; every process must call it alike."""


def make_evaluation(config: TrainConfig, mixture: Mixture, graphdef: nnx.GraphDef, mesh: Mesh) -> Evaluation | None:
    """The evaluation on what `mixture.held_out` has; None where there is nothing."""
    sample = sample_batches(config, mixture, mesh)
    if not sample:
        return None
    measure = jit_measure(config, graphdef, loss_config(config, mixture.capacity))
    here = rows_here(mesh, config.batch_size, config.streams)

    def evaluate(state: State) -> dict[str, Any]:
        with use_mesh(mesh):
            batches = (to_batch(parts, mixture.capacity) for parts in sample)
            # One after the other: with many under way the devices of a split CPU can wait for each other for ever.
            found = [
                jax.device_get(measure(state, place_rows(batch, mesh, config.batch_size, here))) for batch in batches
            ]
        sums = {name: np.sum([np.asarray(each[name], np.float64) for each in found], axis=0) for name in found[0]}
        return figures(sums, config.names)

    return evaluate


def sample_batches(config: TrainConfig, mixture: Mixture, mesh: Mesh) -> list[list[Packed]]:
    """This process's parts of the first `held_out_batches` batches of what is held out: a function of the seed."""
    held_out = mixture.held_out
    readable = [index for index, source in enumerate(held_out.sources) if _readable(source)] if held_out else []
    if held_out is None or not readable:
        return []
    made = [
        packed_rows(
            [held_out.sources[index] for index in readable],
            [held_out.weights[index] for index in readable],
            held_out.capacity,
            rows=config.batch_size // config.streams,
            stream=stream,
            of=config.streams,
        )
        for stream in streams_of_processes(mesh, config.batch_size, config.streams)[jax.process_index()]
    ]
    return [[next(stream) for stream in made] for _ in range(config.held_out_batches)]


def _readable(source: Source) -> bool:
    """Whether not every held-out document is damaged."""
    if isinstance(source, DocumentSource):
        try:
            source.document(0)
        except BadExampleError:
            return False
    return True


def jit_measure(config: TrainConfig, graphdef: nnx.GraphDef, loss: LossConfig) -> Callable[[State, TokenBatch], Any]:
    """The compiled `(state, batch) -> sums`, in as many parts as an update, to need no more memory than one."""

    def measure(state: State, batch: TokenBatch) -> dict[str, jax.Array]:
        network, parameters = nnx.split(nnx.merge(graphdef, state)[0])

        def sums(parameters: Any, part: TokenBatch, key: jax.Array) -> dict[str, jax.Array]:
            return held_out_metrics(nnx.merge(network, parameters), part, config.vocabulary, loss)

        return accumulate(sums, parameters, batch, jax.random.key(0), config.accumulation)

    return jax.jit(measure, out_shardings=PartitionSpec())


def figures(sums: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, Any]:
    """The means from sums per source [sources]: of all targets, and in `sources` of each source that has some.

    Returns:
        `loss` in nats and `accuracy` of `targets`; `action_accuracy` where some are actions; `error_in_bins` where some
        are bins of a continuous action: the mean distance of the expectation over the bins, which `decode.continuous`
        mean plays, from the demonstrated bin.
    """
    sources = {name: _means(sums, np.s_[i]) for i, name in enumerate(names) if sums["targets"][i]}
    return _means(sums, np.s_[:]) | {"sources": sources}


def _means(sums: Mapping[str, np.ndarray], which: Any) -> dict[str, Any]:
    total = {name: float(np.sum(values[which])) for name, values in sums.items() if np.ndim(values)}
    ratios = {
        "loss": ("loss", "targets"),
        "accuracy": ("correct", "targets"),
        "action_accuracy": ("correct_actions", "actions"),
        "error_in_bins": ("bin_error", "bins"),
    }
    means = {name: total[of] / total[by] for name, (of, by) in ratios.items() if total[by]}
    return means | {"targets": int(total["targets"])}
