"""A `Description` as the tables that `generalist describe` prints; 100 columns are enough."""

from math import prod
from typing import Any

from rich.console import Console

from generalist.agent.sharding import REASONS, RULES
from generalist.configs.commands.terminal import table
from generalist.train.describe import Description, TaskTokens
from generalist.train.input_rate import InputRate

PAPER_SIZES = {"gato_79m": "79M", "gato_364m": "364M", "gato_1_2b": "1.18B"}
"""Parameters that Reed et al. 2022 give for the configs of that size."""

NAMED = 2
"""Tasks of those that cannot be made for the same reason which are named."""

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def print_description(description: Description, name: str, out: Console) -> None:
    """Print everything, section by section."""
    sections = (_parameters, _trained, _tasks, _batch, _placements, _memory, _compiled, _exchanged, _bound)
    for section in sections:
        section(description, name, out)
        out.print()


def _parameters(description: Description, name: str, out: Console) -> None:
    total = description.parameter_count
    rows = [
        {"parameters": part, "number": f"{count:,}", "share": f"{count / total:.1%}"}
        for part, count in description.parameters.items()
    ]
    per_layer = description.parameters["blocks"] // description.layers
    rows.append({"parameters": "total", "number": f"{total:,}", "share": "100.0%"})
    out.print(_table(rows, title=f"{name}: {count_words(total)} parameters", right=("number", "share")))
    out.print(f"{description.layers} blocks of {per_layer:,} each")
    if name in PAPER_SIZES:
        out.print(
            f"the paper's size is {PAPER_SIZES[name]}: it does not state the widths of the patch embedder, and rotary\n"
            "positions need one D x D matrix per block less than the relative ones that fit its sizes"
        )


def _trained(description: Description, name: str, out: Console) -> None:
    """What is trained, and what that saves; of a job that trains everything there is nothing to say."""
    found = description.trained
    if found.how == "full":
        return
    values = {
        "parameters trained": (found.parameters, found.full_parameters, "{:,}".format),
        "gradients": (found.gradients, found.full_gradients, size_words),
        "optimizer": (found.optimizer, found.full_optimizer, size_words),
        "gradients + optimizer": (found.memory, found.full_memory, size_words),
    }
    rows = [
        {"trained": words, found.how: form(mine), "full": form(whole), "share": f"{mine / whole:.2%}"}
        for words, (mine, whole, form) in values.items()
    ]
    out.print(_table(rows, title=f"what is trained, on one device of {_mesh(description)}", right=tuple(rows[0])[1:]))
    if found.matrices:
        scaled = f"scaled by {found.alpha:g} / {found.rank}"
        out.print(f"LoRA of rank {found.rank}, {scaled}, on {', '.join(found.matrices)}", markup=False)
    out.print(f"trained whole: {', '.join(found.whole) or 'nothing'}; the rest is frozen", markup=False)


def _tasks(description: Description, name: str, out: Console) -> None:
    if rows := [_task_row(task) for task in description.tasks]:
        out.print(_table(rows, title="tokens per timestep", right=tuple(rows[0])[1:]))
        out.print(
            "max = text + obs + sep + act; loss: most targets; fit: timesteps of that size in a sequence; "
            "tok/s: of play",
            markup=False,
        )
        out.print("demos: episodes to train on, without those held out or below the return filter", markup=False)
    for notice in (each for task in description.tasks for each in task.notices):
        out.print(notice, markup=False, soft_wrap=True)
    reasons: dict[str, list[str]] = {}
    for task, why in description.missing:
        reasons.setdefault(why, []).append(task)
    for why, tasks in reasons.items():
        more = f" and {len(tasks) - NAMED} more" * (len(tasks) > NAMED)
        out.print(f"not counted: {', '.join(tasks[:NAMED])}{more}:\n  {why}", markup=False)


def _task_row(task: TaskTokens) -> dict[str, str]:
    rate = task.tokens_per_second
    return {
        "task": task.task,
        "share": f"{task.weight:.1%}",
        "max": str(task.tokens),
        "mean": f"{task.mean_tokens:.1f}",
        "text": str(task.text),
        "obs": str(task.observation),
        "sep": str(task.separator),
        "act": str(task.action),
        "loss": str(task.targets),
        "fit": str(task.timesteps),
        "fps": "-" if task.frames_per_second is None else f"{task.frames_per_second:g}",
        "tok/s": "-" if rate is None else f"{rate:,.0f}",
        "demos": "-" if task.episodes is None else f"{task.episodes:,}",
    }


def _batch(description: Description, name: str, out: Console) -> None:
    capacity = description.capacity
    features = {
        "patches": capacity.patches,
        "vectors": capacity.vectors,
        "images": capacity.images,
        "answers": capacity.answers,
    }
    held = ", ".join(f"{count} {what}" for what, count in features.items() if count)
    parts = f" in {description.accumulation} parts" if description.accumulation > 1 else ""
    values = {
        "rows": f"{description.batch_size} of {description.sequence_length} tokens{parts}",
        "a row holds": f"{capacity.targets} targets" + (f", {held}" if held else ""),
        "padding": f"{description.padding:.1%} (from {description.padding_from})",
        "tokens": f"{description.tokens_per_update:,.0f}",
        "model FLOPs": f"{description.update_flops:.3g}, {description.flops_per_token:.3g} per token",
    }
    if description.input is not None:
        values["input"] = input_words(description.input)
    out.print(_table([{"update": key, "value": value} for key, value in values.items()], title="one update"))


def input_words(rate: InputRate) -> str:
    """How many tokens are made and needed."""
    made = f"one worker makes {rate.made:,.0f} tokens/s"
    if rate.needed is None:
        return made
    return f"{made}, updates at this machine's peak take {rate.needed:,.0f}; workers that suffice: {rate.workers}"


def _placements(description: Description, name: str, out: Console) -> None:
    rows = []
    for each in description.placements:
        axes = zip(each.shape, each.axes, each.mesh_axes, strict=True)
        rows.append(
            {
                "array": each.name.replace(",", ", "),
                "dimensions": " x ".join(f"{size} {axis}" if axis else str(size) for size, axis, _ in axes),
                "on one device": " x ".join(map(str, each.per_device)),
                "bytes": size_words(each.bytes_per_device),
                "split by": ", ".join(names for names in each.mesh_axes if names) or "-",
            }
        )
    made = _table(rows, title=f"parameters on {_mesh(description)}", right=("bytes",))
    made.columns[0].max_width = made.columns[1].max_width = 30
    out.print(made)
    seen = {axis for each in description.placements for axis in each.axes}
    for axis in (axis for axis in REASONS if axis in seen):
        over = RULES[axis] or "nothing"
        out.print(f"{axis} over {over if isinstance(over, str) else '+'.join(over)}: {REASONS[axis]}", markup=False)
    out.print("other dimensions are whole on every device; the optimizer's moments lie as the parameters", markup=False)


def _mesh(description: Description) -> str:
    return " x ".join(f"{axis} {size}" for axis, size in description.mesh.items())


MEMORY = {
    "parameters": "parameters",
    "optimizer": "optimizer",
    "gradients": "gradients",
    "batch": "batch",
    "embedders": "activations: embedders *",
    "blocks": "activations: blocks *",
    "workspace": "workspace *",
    "total": "total",
}


def _memory(description: Description, name: str, out: Console) -> None:
    configured = {remat: " (configured)" if remat == description.remat else "" for remat in (True, False)}
    heads = {True: f"remat{configured[True]}", False: f"no remat{configured[False]}"}
    rows = [
        {"memory": words}
        | {heads[remat]: size_words(getattr(description.memory[remat], field)) for remat in (True, False)}
        for field, words in MEMORY.items()
    ]
    out.print(_table(rows, title=f"one device of {_mesh(description)}", right=tuple(heads.values())))
    out.print(
        "* estimated; --compile asks the compiler. A block keeps T (2 D (8 + c) + 7 A c + 8 F c) bytes of a row,\n"
        "with remat T D c (with products T (3 D + 3 A + 2 F) c): c bytes of compute dtype, A heads x head_size,\n"
        "F half the feedforward width.",
        markup=False,
    )


def _compiled(description: Description, name: str, out: Console) -> None:
    mine, its = description.comparable, description.compiled
    if mine is None or its is None:
        return
    rows = [
        {
            "compiled": words,
            "predicted": size_words(getattr(mine, field)),
            "compiler": size_words(getattr(its.memory, field)),
            "ratio": f"{getattr(mine, field) / getattr(its.memory, field):.2f}",
        }
        for field, words in (("arguments", "state and batch"), ("temporary", "during the update"), ("total", "total"))
    ]
    out.print(_table(rows, title=f"the compiler for {its.compiler}", right=tuple(rows[0])[1:]))
    if its.chip:
        fits = "of" if its.memory.total <= its.chip.memory else "which is more than"
        out.print(f"{size_words(its.memory.total)} {fits} the {size_words(its.chip.memory)} of a {its.chip.name}")
    if mine != description.memory[description.remat]:
        out.print("This compiler computes bfloat16 in float32, which is what is predicted beside it.", markup=False)


def _exchanged(description: Description, name: str, out: Console) -> None:
    """What devices exchange in an update, as compiled."""
    found = description.compiled
    if found is None or not found.exchanged:
        return
    rows = [
        {"exchanged": kind, "times": f"{times:,}", "bytes": size_words(size), "largest array": size_words(largest)}
        for kind, (times, size, largest) in found.exchanged.items()
    ]
    out.print(_table(rows, title="one device, in an update", right=("times", "bytes", "largest array")))


def _bound(description: Description, name: str, out: Console) -> None:
    """How fast an update can be at most on a chip that was compiled for."""
    found = description.compiled
    if found is None or found.bound is None or found.chip is None:
        return
    bound, chip = found.bound, found.chip
    rows = [
        {"an update, at least": words, "ms": f"{1e3 * seconds:.3g}"}
        for words, seconds in (
            (f"products, at {chip.flops / 1e12:.0f} TFLOP/s", bound.compute),
            (f"memory, at {chip.bandwidth / 1e9:,.0f} GB/s", bound.memory),
            (f"network, at {chip.network / 1e9:,.0f} GB/s", bound.network),
            ("of the network, what nothing covers", bound.exposed),
            ("one instruction after the other", bound.bound),
        )
    ]
    out.print(_table(rows, title=f"{chip.name}, from the compiled program", right=("ms",)))
    devices = prod(description.mesh.values())
    share = description.update_flops / devices / chip.flops / bound.bound
    out.print(
        f"at most {description.tokens_per_update / bound.bound:,.0f} tokens/s, {share:.0%} of peak in model FLOPs. A "
        "lower bound of time: starting kernels and the inside of library calls are not in it, and nothing ran.",
        markup=False,
        soft_wrap=True,
    )
    if found.advice:
        out.print(found.advice, markup=False, soft_wrap=True)


def _table(rows: list[dict[str, Any]], *, title: str, right: tuple[str, ...] = ()) -> Any:
    made = table(rows, title=title)
    for column in made.columns:
        if column.header in right:
            column.justify = "right"
            column.no_wrap = True
    return made


def size_words(size: int) -> str:
    """Bytes with a binary unit, three digits or more."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.{0 if unit == 0 or value >= 100 else 1}f} {UNITS[unit]}"


def count_words(count: int) -> str:
    """A number of parameters as papers write it: 364M, 1.18B."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)
