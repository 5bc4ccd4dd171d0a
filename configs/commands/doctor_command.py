"""The command `generalist doctor`: what of this machine works, a line each, with what to do about what does not."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from generalist.configs.commands.task_commands import Flag
from generalist.configs.commands.terminal import console, print_notice, table

if TYPE_CHECKING:
    from generalist.envs.health import Health

NAMES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "gymnasium", "numpy", "tensorflow-datasets")
GROUPS = ("all", "dev")
"""Extras that are only others together."""
DEVICES = "import jax, json; print(json.dumps([(d.platform, d.device_kind) for d in jax.local_devices()]))"
PATIENCE = 120.0
GIGABYTE = 2**30
LITTLE = 5 * GIGABYTE
"""Free bytes below which a disk is called full: demonstrations and checkpoints of a small run."""
GOOD, LEFT_OUT, BAD = "ok", "-", "fails"


@dataclass(frozen=True)
class Line:
    """What was looked at, how it is ("ok", "-" for what is not installed, "fails"), what was found, and what to do."""

    what: str
    state: str
    found: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Say what works here: versions, devices, extras, an environment of every family, drawing, disk and caches.

    Exit code 1 if something that is installed does not work.
    """

    json: Flag = False
    """Print JSON instead of a table."""
    quick: Flag = False
    """Make no environments."""

    def __call__(self) -> None:
        print_notice("looking at this machine; environments are tried in processes of their own")
        lines = [*versions(), devices(), *extras(), *places()]
        if not self.quick:
            from generalist.envs.health import examined

            lines += [of_family(found) for found in examined()]
        if self.json:
            print(json.dumps([asdict(line) for line in lines], indent=2))
        else:
            console().print(table([asdict(line) for line in lines]))
        if bad := [line.what for line in lines if line.state == BAD]:
            print_notice(f"{len(bad)} of {len(lines)} do not work: {', '.join(bad)}")
            raise SystemExit(1)


def versions() -> Iterator[Line]:
    """Python and the packages that everything stands on."""
    yield Line("python", GOOD, f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    for name in NAMES:
        try:
            yield Line(name, GOOD, version(name))
        except PackageNotFoundError:
            yield Line(name, BAD, "not installed", "pip install generalist")


def devices() -> Line:
    """What JAX computes on, asked in a process of its own: a driver may hang or crash."""
    try:
        asked = subprocess.run(
            [sys.executable, "-c", DEVICES], capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        found = json.loads(asked.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return Line("devices", BAD, f"JAX gave no answer within {PATIENCE:g} s", "JAX_PLATFORMS=cpu leaves them out")
    except (subprocess.CalledProcessError, ValueError, IndexError) as error:
        last = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1:]
        return Line("devices", BAD, "".join(last), "JAX_PLATFORMS=cpu leaves them out")
    kinds = ", ".join(f"{sum(each == kind for each in found)} {kind[1]}" for kind in _different(found))
    unused = {kind[0] for kind in found} == {"cpu"} and shutil.which("nvidia-smi")
    remedy = 'a GPU is here and JAX does not see it: pip install "jax[cuda13]"' if unused else ""
    return Line("devices", GOOD, f"{kinds}, {os.cpu_count()} cores", remedy)


def _different(found: list[list[str]]) -> list[list[str]]:
    return [kind for at, kind in enumerate(found) if kind not in found[:at]]


def extras() -> Iterator[Line]:
    """Which optional parts are installed, each in the version that is needed."""
    wanted: dict[str, list[Requirement]] = {}
    for text in requires("generalist") or ():
        one = Requirement(text)
        for name in _extras_of(text):
            if name not in GROUPS and one.marker is not None and one.marker.evaluate({"extra": name}):
                wanted.setdefault(name, []).append(one)
    for name, several in sorted(wanted.items()):
        missing = [each for each in map(_missing, several) if each]
        remedy = f'pip install "generalist[{name}]"' if missing else ""
        yield Line(f"extra {name}", LEFT_OUT if missing else GOOD, ", ".join(missing) or "installed", remedy)


def _extras_of(requirement: str) -> set[str]:
    """Names of extras that a requirement's marker asks for."""
    parts = requirement.replace('"', "'").split("extra == '")[1:]
    return {part.partition("'")[0] for part in parts}


def _missing(one: Requirement) -> str:
    try:
        there = version(one.name)
    except PackageNotFoundError:
        return f"no {one.name}"
    return "" if one.specifier.contains(there, prereleases=True) else f"{one.name} {there} is not {one.specifier}"


def places() -> Iterator[Line]:
    """Where things are written, and how much room is there."""
    from generalist.agent.compilation import cache_folder

    for what, folder in (("disk", Path.cwd()), ("compiled steps", cache_folder())):
        there = next(each for each in (folder, *folder.parents) if each.exists())
        free, writable = shutil.disk_usage(there).free, os.access(there, os.W_OK)
        found = f"{free / GIGABYTE:,.0f} GiB free at {folder}"
        if not writable:
            yield Line(what, BAD, f"{folder} cannot be written", "make it writable, or work in another folder")
        elif free < LITTLE:
            yield Line(what, BAD, found, "free some: demonstrations and checkpoints need room")
        else:
            yield Line(what, GOOD, found)


def of_family(found: "Health") -> Line:
    """What a family's trial comes to."""
    what = f"family {found.family}"
    if found.extra:
        return Line(what, LEFT_OUT, f"needs the extra {found.extra}", found.said.partition(". ")[2])
    if not found.works:
        return Line(what, BAD, f"{found.task}: {found.said}", "see docs/tasks.md, or leave this family out")
    if not found.drawn:
        backend = os.environ.get("MUJOCO_GL", "unset")
        said = f"{found.task} plays, and cannot be drawn: {found.said}".rstrip(": ")
        return Line(what, BAD, said, f"MUJOCO_GL is {backend}: try egl, osmesa or glfw")
    return Line(what, GOOD, f"{found.task}, {found.seconds:.1f} s")
