"""One transformer over many domains: collect demonstrations, train on them, play, measure.

find_task, all_tasks, task_set   what there is to play
collect, Demonstrations          experts' episodes, recorded and read
fit                              train: a run directory
load, Agent, Writer              what was trained, at play and at writing
export                           what was trained, as a folder to give away
evaluate                         its scores beside plain baselines, as a report
compare                          are two runs different, on the same episodes

Each is imported when it is first used, so that `import generalist` takes no time. Everything else is imported from
where it stands: `from generalist.train.config import TrainConfig`.

Example:
    >>> import generalist
    >>> summaries = generalist.collect(["CartPole-v1", "FrozenLake8x8-v1"], out="data", episodes=8)
    >>> run = generalist.fit("smoke", data="data", out="runs/smoke")
    >>> agent = generalist.load(run)
    >>> report = generalist.evaluate(run)
"""

from pathlib import Path as _Path
from typing import TYPE_CHECKING

__all__ = [
    "Agent",
    "Demonstrations",
    "Writer",
    "__version__",
    "all_tasks",
    "collect",
    "compare",
    "evaluate",
    "export",
    "find_task",
    "fit",
    "load",
    "task_set",
]

# The sources of `generalist.agent`, `generalist.envs` and so on stand in folders at the top of the repository, beside
# this one. When the package is installed from a wheel they lie inside this folder. In a checkout, installed as editable
# or only on PYTHONPATH, the package looks for its parts in the top folder too. The folders have no `__init__.py`, so
# that none is a package by its bare name; `tokenizers` would shadow the well-known library.
_top = _Path(__file__).resolve().parent.parent
if (_top / "pyproject.toml").is_file():
    __path__.append(str(_top))

if TYPE_CHECKING:  # the same names for type checkers and editors, which do not see what is imported when it is used
    from generalist.configs.export import export
    from generalist.configs.fit import fit
    from generalist.demonstrations.collect import collect
    from generalist.demonstrations.storage import Demonstrations
    from generalist.envs.sets import task_set
    from generalist.envs.table import all_tasks, find_task
    from generalist.eval.evaluate import evaluate
    from generalist.play.agent import Agent
    from generalist.play.writer import Writer
    from generalist.studies.compare import compare

    load = Agent.load
    __version__: str

_NAMES = {
    "Agent": "generalist.play.agent:Agent",
    "Demonstrations": "generalist.demonstrations.storage:Demonstrations",
    "Writer": "generalist.play.writer:Writer",
    "all_tasks": "generalist.envs.table:all_tasks",
    "collect": "generalist.demonstrations.collect:collect",
    "compare": "generalist.studies.compare:compare",
    "evaluate": "generalist.eval.evaluate:evaluate",
    "export": "generalist.configs.export:export",
    "find_task": "generalist.envs.table:find_task",
    "fit": "generalist.configs.fit:fit",
    "load": "generalist.play.agent:Agent.load",
    "task_set": "generalist.envs.sets:task_set",
}
_PARTS = (
    *("agent", "configs", "corpora", "demonstrations", "envs", "eval", "play", "pretrained", "studies", "tokenizers"),
    "train",
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PARTS})


if not TYPE_CHECKING:  # else every name would be right

    def __getattr__(name: str):
        """Import what is used for the first time (PEP 562)."""
        if name in _NAMES:
            from pkgutil import resolve_name

            found = resolve_name(_NAMES[name])
        elif name in _PARTS:
            from importlib import import_module

            found = import_module(f"{__name__}.{name}")
        elif name == "__version__":
            from importlib.metadata import version

            found = version(__name__)
        else:
            message = f"module {__name__!r} has no attribute {name!r}"
            if not name.startswith("_"):
                from generalist.envs.names import nearest

                message += f": {nearest(name, [*__all__, *_PARTS])}"
            raise AttributeError(message, name=name, obj=None)  # no object, or Python adds a guess of its own
        globals()[name] = found
        return found
