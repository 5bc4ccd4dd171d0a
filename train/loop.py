"""The training loop: batches in, updates, metrics and checkpoints out; a resumed run equals an uninterrupted one."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from generalist.agent.sharding import make_mesh, split_cpu
from generalist.train.bands import with_band_statistics
from generalist.train.config import TrainConfig
from generalist.train.display import TrainingDisplay
from generalist.train.documents import keep_damaged
from generalist.train.flops import update_flops
from generalist.train.foundation import check_weights, known_layouts
from generalist.train.interval import Interval
from generalist.train.log import MetricsLog, compared_loss, ends_in_checkpoint, ends_in_evaluation, ends_interval
from generalist.train.memory import keep_freed_memory
from generalist.train.metrics import MetricsWriter
from generalist.train.notices import in_short
from generalist.train.preemption import Stopped, stop_request
from generalist.train.processes import leads, wait_for_all
from generalist.train.profiling import Profile, check_profile
from generalist.train.run import Run
from generalist.train.sources import Mixture, input_sizes, open_mixture
from generalist.train.start import Start, check_trains, first_state, go_on, one_writer, open_run
from generalist.train.step import check_batch, loss_config, make_step
from generalist.train.streams import open_stream
from generalist.train.tracking import Trackers, check_services
from generalist.train.validation import make_evaluation


def train(
    config: TrainConfig,
    data: Path,
    directory: Path,
    *,
    start: Start | None = None,
    quiet: bool = False,
    profile: int = 0,
    workers: int | None = None,
    track: Sequence[str] = (),
    on_start: Callable[[Run], None] | None = None,
    on_checkpoint: Callable[[int, Any], None] | None = None,
) -> Run:
    """Train an agent on the demonstrations under `data` and leave a run directory.

    All processes of a run call this alike; the run directory must be one that all of them see.

    Args:
        profile: trace this many updates, after some to warm up, into `profile/` of the run directory.
        workers: processes that make batches, of each process of the run; what is made does not depend on it. None
            chooses by the machine, see `generalist.train.streams.usual_workers`.
        track: services that get the numbers too, of `generalist.train.tracking.SERVICES`.
        on_start: called in the first process once the run directory is there, before the first update.
        on_checkpoint: called with (step, state) after each regular checkpoint is started; evaluation during training
            goes here.

    Raises:
        FileExistsError: the directory holds a run, and neither resume nor overwrite was asked for; or an export.
        ValueError: the run to go on with has another configuration, `steps` and mesh aside, or is beyond `steps`; or
            another process trains in the directory.
        DivergedError: loss or gradient is not finite.
        Stopped: SIGTERM came; the update that was running is finished and its checkpoint saved.
    """
    check_trains(directory)
    check_profile(profile, config.steps)
    check_services(track)
    keep_freed_memory()
    split_cpu(config.mesh.cpu_devices)
    with one_writer(directory):
        return _train(
            config, data, directory, start or Start(), quiet, profile, workers, track, on_start, on_checkpoint
        )


def _train(config, data, directory, start, quiet, profile, workers, track, on_start, on_checkpoint) -> Run:
    if not leads():
        wait_for_all("what is made of the data once is there")  # by the first process, where all see the same folder
    config = with_band_statistics(config)
    mixture = open_mixture(config, data, known_layouts(directory, start.weights, resume=start.resume))
    if leads():
        wait_for_all("what is made of the data once is there")
    sizes = input_sizes(config, list(mixture.layouts.values()))
    mesh = make_mesh(config.mesh.data, config.mesh.fsdp, config.mesh.tensor)
    check_batch(config, mesh)
    check_weights(config, sizes, mesh, start.weights, directory if start.resume else None)
    run = open_run(config, mixture, data, directory, start)
    if on_start and leads():
        on_start(run)
    with (
        open_stream(config, mixture, mesh, workers=workers) as stream,
        stop_request() as stop,
        run.open_checkpoints(writes=True) as checkpoints,
    ):
        done = (checkpoints.latest or 0) if start.resume else 0
        run, said = go_on(run, config, done)
        check_profile(profile, config.steps - done)
        graphdef, state, taken = first_state(config, sizes, mesh, checkpoints, stream, done, start.weights)
        interval = Interval(checkpoints.note(done).get("interval") if done else None)
        step = make_step(config, graphdef, state, loss_config(config, mixture.capacity), mesh)
        evaluation = make_evaluation(config, mixture, graphdef, mesh)
        trackers = Trackers(track if leads() else (), run.directory)
        writer = MetricsWriter(run.directory if leads() else None, resume=done, trackers=trackers)
        flops = update_flops(config.agent, sizes, mixture.capacity, config.batch_size)
        try:
            with (
                TrainingDisplay(config.steps, done, quiet=quiet or not leads()) as display,
                Profile(run.directory / "profile", profile, done) as tracer,
            ):
                log = MetricsLog(config, config.names, flops, writer, display, interval, made=stream.tokens_per_second)
                for line in (*in_short(mixture.notices, run.directory / "config.json"), *taken, said):
                    display.say(line)
                number = _updates(
                    config, state, stream, step, evaluation, checkpoints, log, tracer, stop, done, on_checkpoint
                )
        finally:
            writer.close()
    _tell_damaged(run, mixture, display)
    if stop.received:
        raise _stopped(number, config.steps)
    return run


def _stopped(number: int, steps: int) -> Stopped:
    said = f"stopped on SIGTERM after update {number} of {steps}, whose checkpoint is saved"
    return Stopped(said, "the same command with --resume goes on")


def _tell_damaged(run: Run, mixture: Mixture, display: TrainingDisplay) -> None:
    path = run.directory / "damaged.json"
    if leads() and (count := keep_damaged(path, mixture.sources)):
        display.say(f"{count} damaged documents were passed over; {path} names them")


def _updates(config, state, stream, step, evaluation, checkpoints, log, profile, stop, first, on_checkpoint) -> int:
    """Updates `first + 1` to `config.steps`, or to where a stop was asked for; gives the number of the last."""
    number = first
    for number in range(first + 1, config.steps + 1):
        with log.waiting():
            batch = next(stream)
        with profile.update(number):
            state, metrics = step(state, batch)
        profile.done(number, metrics)
        log.add(number, metrics)
        stopping, regular = stop.reached(number), ends_in_checkpoint(config, number)
        measured = evaluation and ends_in_evaluation(config, number)
        if ends_interval(config, number) or stopping:  # it ends when its last update does, not when the next is read
            log.finish(partial(evaluation, state) if measured else None)
        if regular or stopping:
            loss = compared_loss(log.newest) if regular else None  # a stop inside an interval is not measured
            checkpoints.save(number, state, stream, loss=loss, note={"interval": log.to_json()})
        if regular and on_checkpoint:
            on_checkpoint(number, state)
        if stopping:
            break
    return number
