"""Hooks of `mkdocs build`: pages that stand elsewhere in the repository, the reference, the floors, and their links."""

import ast
import posixpath
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("agent", "tokenizers", "envs", "demonstrations", "corpora", "train", "play", "eval", "studies", "configs")
ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""Pages that do not stand in docs/, with what they are called on the site."""
CONFIGS = (
    ("generalist.configs.experiment", ("Experiment",)),
    ("generalist.train.config", None),
    ("generalist.agent.config", None),
    ("generalist.agent.trunk_config", None),
    ("generalist.tokenizers.options", ("LayoutOptions",)),
    ("generalist.tokenizers.pictures", ("PictureOptions",)),
    ("generalist.train.adaptation", ("AdaptConfig",)),
    ("generalist.eval.config", ("EvaluationConfig",)),
    ("generalist.agent.sampling", ("SamplingConfig",)),
)
"""Where the fields of a configuration are, and which classes of it; None is every public class."""
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
SHIM = "https://unpkg.com/iframe-worker/shim"
"""Where the theme would fetch what docs/assets/worker.js does."""
BOX, GAP = (150, 44), 16


@event_priority(100)
def on_config(config: Any) -> None:
    """The package as one folder, as a wheel has it, for who reads docstrings and imports nothing."""
    source = ROOT / "build" / "site-source" / "generalist"
    shutil.rmtree(source, ignore_errors=True)
    for path in _sources():
        to = source / path
        to.parent.mkdir(parents=True, exist_ok=True)
        # Their parser knows the section by its plural.
        to.write_text(re.sub(r"^( +)Example:$", r"\1Examples:", (ROOT / path).read_text(), flags=re.MULTILINE))
    for folder in (source, *(path for path in source.rglob("*") if path.is_dir())):
        (folder / "__init__.py").touch()
    shutil.copyfile(ROOT / "generalist" / "__init__.py", source / "__init__.py")


@event_priority(100)
def on_files(files: Files, config: Any) -> Files:
    """Pages that no file of docs/ is: those of elsewhere, the notebooks, the reference, the design."""
    made = {name: (ROOT / path).read_text() for path, name in ELSEWHERE.items()}
    made |= {f"reference/{folder}.md": _reference(folder) for folder in FOLDERS}
    made |= {
        "reference/front_door.md": _front_door(),
        "reference/configuration.md": _configuration(),
        "design.md": _design(),
    }
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        where = str(path.relative_to(ROOT))
        files.append(File(where, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links as the repository has them become those of the site; what has no page keeps its words."""
    here = page.file.src_uri
    if here not in ELSEWHERE.values() and page.file.generated_by is not None:
        return markdown
    stands = next((path for path, name in ELSEWHERE.items() if name == here), f"docs/{here}")
    stands = here if here.startswith("notebooks/") else stands

    def moved(found: re.Match[str]) -> str:
        target, hash, anchor = found[2].partition("#")
        if "://" in target or not target:
            return found[0]
        name = _page_of(posixpath.normpath(posixpath.join(posixpath.dirname(stands), target)))
        if name is None:
            return found[1]
        return f"[{found[1]}]({posixpath.relpath(name, posixpath.dirname(here) or '.')}{hash}{anchor})"

    return LINK.sub(moved, markdown)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """What lets a page that is opened as a file search is asked of no server."""
    return output.replace(SHIM, posixpath.relpath("assets/worker.js", posixpath.dirname(page.url) or "."))


def on_post_template(output: str, template_name: str, config: Any) -> str:
    """The same of pages that are none of the documentation's, such as 404.html."""
    return output.replace(SHIM, "assets/worker.js")


def _page_of(path: str) -> str | None:
    """The page of the site that a path of the repository is, None for what has none."""
    if path in ELSEWHERE:
        return ELSEWHERE[path]
    if (ROOT / path).is_dir():
        return ELSEWHERE.get(f"{path}/README.md")
    if path.startswith("docs/") and (ROOT / path).exists() and not path.endswith((".py", ".json")):
        return path.removeprefix("docs/")
    folder = path.split("/")[0]
    if folder in FOLDERS and path.endswith(".py"):
        return f"reference/{folder}.md"
    return path if path.startswith("notebooks/") else None


def _sources(folder: str = "") -> Iterator[Path]:
    for each in [folder] if folder else FOLDERS:
        yield from sorted(path.relative_to(ROOT) for path in (ROOT / each).rglob("*.py"))


def _module(path: Path) -> str:
    return ".".join(("generalist", *path.with_suffix("").parts))


def _reference(folder: str) -> str:
    """Every module of a folder with its public names."""
    lines = [f"# generalist.{folder}", ""]
    for path in _sources(folder):
        if path.name != "__init__.py" and _has_public(path):
            lines += [f"## {_module(path).removeprefix('generalist.')}", "", f"::: {_module(path)}", ""]
            lines += ["    options:", "      show_root_heading: false", ""]
    return "\n".join(lines)


def _has_public(path: Path) -> bool:
    kinds = ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef
    tree = ast.parse((ROOT / path).read_text())
    return bool(ast.get_docstring(tree)) and any(
        isinstance(node, kinds) and not node.name.startswith("_") for node in tree.body
    )


def _front_door() -> str:
    """The names of `generalist` itself, from where they stand."""
    tree = ast.parse((ROOT / "generalist" / "__init__.py").read_text())
    values = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    names: dict[str, str] = ast.literal_eval(values["_NAMES"])
    lines = [
        "# The front door",
        "",
        "What `import generalist` has. Everything else is imported from where it stands.",
        "",
    ]
    for name, where in sorted(names.items(), key=lambda pair: pair[0].lower()):
        lines += _object(where.replace(":", "."), f"generalist.{name}")
    return "\n".join(lines)


def _object(path: str, heading: str) -> list[str]:
    """One object that stands in the reference of its folder too, which is where links to it lead."""
    lines = [f"::: {path}", "    options:", f"      heading: {heading}", f"      toc_label: {heading}"]
    return [*lines, "      heading_level: 2", "      skip_local_inventory: true", ""]


def _configuration() -> str:
    """Every dataclass whose fields a config or a command line sets."""
    lines = [
        "# Config fields",
        "",
        "Every field is set by `--train.FIELD`, `--evaluation.FIELD` or `--layout FIELD=VALUE`,",
    ]
    lines += ["and from Python by `dataclasses.replace` or by name: `generalist.fit(..., steps=400)`.", ""]
    for module, names in CONFIGS:
        path = ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")
        classes = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
        for name in names or [each for each in classes if not each.startswith("_")]:
            lines += [*_object(f"{module}.{name}", name)[:-1], "      members: false", ""]
    return "\n".join(lines)


def _imports() -> Counter[tuple[str, str]]:
    """How many files of one folder import from another."""
    found: Counter[tuple[str, str]] = Counter()
    for path in _sources():
        modules = {
            (node.module or "").split(".")[1]
            for node in ast.walk(ast.parse((ROOT / path).read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("generalist.")
        }
        found.update((path.parts[0], module) for module in modules - {path.parts[0]})
    return found


def _design() -> str:
    found = _imports()
    heights: dict[str, int] = {}
    while len(heights) < len(FOLDERS):
        for folder in FOLDERS:
            below = [to for start, to in found if start == folder and to in FOLDERS]
            if folder not in heights and all(each in heights for each in below):
                heights[folder] = 1 + max((heights[each] for each in below), default=0)
    head = "| files that import from | " + " | ".join(FOLDERS) + " |"
    rows = [f"| **{one}** | " + " | ".join(str(found[one, each] or "") for each in FOLDERS) + " |" for one in FOLDERS]
    words = (
        "Each folder imports only from those below it; a test holds it to that, and this picture is drawn from the "
        "imports as they are. What stands where is said at the end of the [start page](index.md#layout), how code "
        "should read on [contributing](contributing.md)."
    )
    table = "\n".join([head, "| --- " * (len(FOLDERS) + 1) + "|", *rows])
    return f"# Design\n\n{words}\n\n{_floors(heights)}\n\n## Who imports whom\n\n{table}\n"


def _floors(heights: dict[str, int]) -> str:
    """An SVG of the folders, one floor above the other, each with its files and lines."""
    width, height = BOX
    top = max(heights.values())
    widest = max(Counter(heights.values()).values())
    boxes = []
    for floor in range(top, 0, -1):
        row = [folder for folder in FOLDERS if heights[folder] == floor]
        left = (widest - len(row)) * (width + GAP) / 2
        for number, folder in enumerate(row):
            x, y = left + number * (width + GAP), (top - floor) * (height + GAP)
            files = list(_sources(folder))
            lines = sum(len((ROOT / path).read_text().splitlines()) for path in files)
            said = f"{len(files)} files, {lines:,} lines"
            boxes.append(
                f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="none" stroke="currentColor"/>'
                f'<text x="{x + width / 2}" y="{y + 19}" text-anchor="middle" font-weight="600">{escape(folder)}</text>'
                f'<text x="{x + width / 2}" y="{y + 35}" text-anchor="middle" font-size="11">{said}</text>'
            )
    box = f"-1 -1 {widest * (width + GAP) - GAP + 2} {top * (height + GAP) - GAP + 2}"
    style = 'fill="currentColor" font-size="14" style="width: 100%; max-width: 34rem; height: auto"'
    return f'<svg role="img" aria-label="The folders in floors" viewBox="{box}" {style}>{"".join(boxes)}</svg>'
