"""Make `docs/tasks.md` from the task table, and with --pictures a picture of every family under `docs/families/`.

python docs/make_tasks.py [--pictures]
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from generalist.configs.commands import task_list
from generalist.envs.sets import has_good_expert
from generalist.envs.table import all_tasks
from generalist.envs.task import MissingExtra, Task

HERE = Path(__file__).parent
PAGE, PICTURES = HERE / "tasks.md", HERE / "families"
HEIGHT, ACROSS = 120, 5
"""Pixels of a picture, and pictures of a family."""

INTRO = """# Tasks

*Made by `python docs/make_tasks.py` from the task table; `generalist tasks --json` has every field.*

{total} tasks, {measured} with an expert whose scores are measured, {good} of them good: better than random play and,
where success is defined, successful in nine of ten episodes. Scores are mean returns over the evaluation seeds (100
episodes unless the JSON says why fewer); `generalist reference TASK` measures them again. `CPU s` is the time of an
episode of the expert on one core of an AMD EPYC, `method` how it acts. Tokens are the most of a timestep, in the
paper's layout / in the shortest (one token per array and image).
"""


def main(pictures: bool) -> None:
    if pictures:
        PICTURES.mkdir(exist_ok=True)
        for family, tasks in families().items():
            draw(family, tasks)
    PAGE.write_text(page())


def families() -> dict[str, list[Task]]:
    found: dict[str, list[Task]] = {}
    for task in all_tasks():
        found.setdefault(task.family, []).append(task)
    return found


def page() -> str:
    """The whole page as Markdown."""
    tasks = all_tasks()
    measured = sum(task.expert is not None and task.expert_reference is not None for task in tasks)
    parts = [
        INTRO.format(total=len(tasks), measured=measured, good=sum(map(has_good_expert, tasks))),
        "## Families\n\n" + markdown(task_list.family_rows()),
        "## Named sets\n\n`--set NAME` of `tasks`, `collect`, `train`, `eval` and `reference`.\n\n"
        + markdown(task_list.set_rows()),
        "## Gato's control data sets\n\nTable 1 of the paper, and what stands for each here.\n\n"
        + markdown(task_list.gato_rows()),
        *(section(family, rows) for family, rows in families().items()),
    ]
    return "\n".join(parts)


def section(family: str, tasks: list[Task]) -> str:
    picture = PICTURES / f"{family}.png"
    shown = f"![Tasks of {family}]({picture.relative_to(HERE)})\n\n" if picture.exists() else ""
    sources = "; ".join(dict.fromkeys(task.provenance.partition("; ")[0] for task in tasks))
    table = markdown([row(task) for task in tasks])
    return (
        f"## {family}\n\n{shown}{sources}.\n\n<details><summary>{len(tasks)} tasks</summary>\n\n{table}\n</details>\n"
    )


def row(task: Task) -> dict[str, Any]:
    shown = task_list.row(task)
    expert = task.expert_reference
    return {
        "task": f"`{task.id}`",
        "horizon": task.horizon,
        "tokens": shown["tokens"],
        "random": shown["random"],
        "expert": shown["expert"],
        "success": shown["success"],
        "CPU s": expert and expert.seconds,
        "method": (task.provenance.partition("; ")[2] or "see above") if task.expert else None,
        "note": task.note,
    }


def markdown(rows: Iterable[Mapping[str, Any]]) -> str:
    rows = list(rows)
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(map(text, row.values())) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value).replace("|", "\\|")


def draw(family: str, tasks: list[Task]) -> None:
    """Frames of a few tasks side by side, some way into an episode."""
    chosen = [tasks[index] for index in np.linspace(0, len(tasks) - 1, min(ACROSS, len(tasks))).astype(int)]
    try:
        frames = [frame(task) for task in chosen]
    except MissingExtra as missing:
        print(f"{family}: {missing}", file=sys.stderr)
        return
    scaled = [Image.fromarray(one).resize((one.shape[1] * HEIGHT // one.shape[0], HEIGHT)) for one in frames]
    strip = Image.new("RGB", (sum(one.width + 4 for one in scaled) - 4, HEIGHT), "white")
    at = 0
    for one in scaled:
        strip.paste(one, (at, 0))
        at += one.width + 4
    strip.quantize(128).save(PICTURES / f"{family}.png", optimize=True)


def frame(task: Task, steps: int = 12) -> np.ndarray:
    """The picture after a few of the expert's steps, or of random ones."""
    env = task.make(render_mode="rgb_array")
    observation, _ = env.reset(seed=3)
    env.action_space.seed(3)
    act = task.expert(env) if task.expert else lambda observation: env.action_space.sample()
    for _ in range(steps):
        observation, _, terminated, truncated, _ = env.step(act(observation))
        if terminated or truncated:
            break
    shown: Any = env.render()
    env.close()
    return np.asarray(shown)[..., :3]


if __name__ == "__main__":
    main("--pictures" in sys.argv[1:])
