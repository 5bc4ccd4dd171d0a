"""The rules that hold for the whole repository: floors, names, sizes, versions, and what the wheel contains."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FLOORS = (
    ("envs", "tokenizers"),
    ("demonstrations", "agent"),
    ("corpora",),
    ("train",),
    ("play",),
    ("eval",),
    ("studies",),
    ("configs",),
)
"""From the ground up; a file imports only from floors below its own, and from its own folder."""
BELOW = {
    folder: tuple(below for floor in FLOORS[:height] for below in floor)
    for height, floor in enumerate(FLOORS)
    for folder in floor
} | {"corpora": ("envs", "tokenizers", "demonstrations")}
"""Some corpora are made of demonstrations; none knows the agent."""
SOURCES = sorted(path.relative_to(ROOT) for folder in BELOW for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Names of all modules that a file imports, also inside functions; relative ones begin with a dot."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found |= {f"{module}.{alias.name}" for alias in node.names} if module == "generalist" else {module}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_imports_point_down_the_floors(path):
    floor = path.parts[0]
    names = [name.split(".") for name in imported(path) if name.split(".")[0] == "generalist"]
    assert ["generalist"] not in names, "the front door is for those outside"
    assert {parts[1] for parts in names} <= {floor, *BELOW[floor]}


def module_name(path: Path) -> str:
    return ".".join(("generalist", *path.with_suffix("").parts))


def imports_among(files: Mapping[str, str]) -> dict[str, set[str]]:
    """Which of these modules each imports, also inside functions and under TYPE_CHECKING; by name: the source."""
    found = {}
    for name, text in files.items():
        nodes = list(ast.walk(ast.parse(text)))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        found[name] = names & set(files)
    return found


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; empty if there is no circle."""
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return error.args[1]
    return []


def test_no_two_files_import_each_other_in_a_circle():
    assert circle(imports_among({module_name(path): (ROOT / path).read_text() for path in SOURCES})) == []


@pytest.mark.parametrize("late", ["    from generalist.one import g", "if TYPE_CHECKING:\n    import generalist.one"])
def test_a_circle_is_seen_also_inside_functions_and_for_type_checkers(late):
    before = "def f():\n" if late.startswith(" ") else ""
    files = {"generalist.one": "from generalist import two", "generalist.two": before + late}
    assert set(circle(imports_among(files))) == {"generalist.one", "generalist.two"}


def test_experts_do_not_know_the_families_that_name_them():
    graph = imports_among({module_name(path): (ROOT / path).read_text() for path in SOURCES})
    experts = {name: used for name, used in graph.items() if name.startswith("generalist.envs.experts.")}
    assert experts
    assert {used for names in experts.values() for used in names if ".families." in used} == set()


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=str)
def test_our_folders_are_never_imported_by_their_bare_names(path):
    # HuggingFace's package: a folder without __init__.py never stands before an installed one.
    allowed = {"tokenizers"} if path.parts[0] == "tests" or path.name == "json_text.py" else set()
    assert not {name.split(".")[0] for name in imported(path)} & ({*BELOW, "tests", ""} - allowed)


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_files_and_functions_stay_short_and_modules_say_what_they_are(path):
    text = (ROOT / path).read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module needs a docstring"
    assert len(text.splitlines()) <= 400
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert {node.name: lines for node in functions if (lines := code_lines(node)) > 60} == {}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, its docstring not counted."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_every_source_folder_is_packaged_and_none_is_importable_from_the_checkout():
    mapped = PROJECT["tool"]["setuptools"]["package-dir"]
    data = {"generalist.pretrained": "pretrained"}  # weights, no source
    assert mapped == {"generalist": "generalist"} | {f"generalist.{folder}": folder for folder in BELOW} | data
    folders = {"generalist", *data} | {".".join(("generalist", *path.parts[:-1])) for path in SOURCES}
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(folders)
    assert [path for path in SOURCES if path.name == "__init__.py"] == []


def test_a_library_called_tokenizers_wins_over_our_folder(tmp_path):
    library = tmp_path / "tokenizers" / "__init__.py"
    library.parent.mkdir()
    library.write_text("")
    command = [sys.executable, "-c", "import tokenizers; print(tokenizers.__file__)"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == library


def test_the_changelog_knows_this_version():
    released = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert released[0] == PROJECT["project"]["version"]


def test_the_license_is_whole():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def requirements(python: str) -> list[Requirement]:
    """Everything that pyproject.toml asks for on that Python, extras included, our own name left out."""
    project = PROJECT["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    asked = [Requirement(text) for text in texts]
    marks = {"python_version": python, "python_full_version": f"{python}.0"}
    return [one for one in asked if one.name != project["name"] and (not one.marker or one.marker.evaluate(marks))]


@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_constraints_pin_everything_that_is_required(python):
    lines = (ROOT / f"constraints-{python}.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    wrong = {
        one.name: pinned.get(one.name.lower().replace("_", "-"), "not pinned")
        for one in requirements(python)
        if not one.specifier.contains(pinned.get(one.name.lower().replace("_", "-"), "0"))
    }
    assert wrong == {}


@pytest.mark.slow
def test_the_wheel_holds_our_files_and_only_those(tmp_path):
    pytest.importorskip("setuptools", minversion="77", reason="the wheel is built without a network")
    checkout = tmp_path / "checkout"
    for name in (*BELOW, "generalist", "pretrained", "tests"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout / name)
    shipped = checkout / "pretrained" / "tiny"
    shipped.mkdir()
    (shipped / "model.safetensors").write_bytes(b"weights")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "."]
    subprocess.run(command, cwd=checkout, check=True)
    (wheel,) = checkout.glob("generalist-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    ours = {f"generalist/{path.relative_to(ROOT)}" for folder in BELOW for path in (ROOT / folder).rglob("*.*")}
    ours |= {str(path.relative_to(ROOT)) for path in (ROOT / "generalist").glob("*.*")}
    ours |= {f"generalist/{path.relative_to(checkout)}" for path in (checkout / "pretrained").rglob("*.*")}
    expected = {name for name in ours if not name.endswith(".pyc")}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
