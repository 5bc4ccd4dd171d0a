"""Writes README.md beside the results: one table per JSON file, so that no figure there is typed by hand."""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HEAD = """# Benchmarks

Each file answers one question and measures its own ceiling in the same process; `python benchmarks/NAME.py` writes
`results/NAME.json`, `python benchmarks/table.py` this page from them. `--small` shows in seconds that one works. They
run where `pip install -e ".[all]"` was; `peers.py` also needs `pip install torch transformers`, `accelerators.py`
the extra `aot`, and `vector.py` the extra `envpool`.
"""
ORDER = (
    "training_step",
    "peers",
    "acting",
    "generation",
    "public_models",
    "rollout",
    "vector",
    "serving",
    "input",
    "columns",
    "beyond_memory",
    "pictures",
    "collection",
    "noise",
    "growth",
    "memory",
    "scale",
    "accelerators",
    "options",
)


def heading(path: Path) -> str:
    """The docstring of the benchmark."""
    source = (HERE / f"{path.stem}.py").read_text()
    return source.split('"""')[1].strip()


def shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def section(path: Path) -> str:
    """One result file as Markdown."""
    stored = json.loads(path.read_text())
    rows, machine = stored["rows"], stored["machine"]
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(shown(row[column]) for column in columns) + " |" for row in rows]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    where = f"{machine['processor']}, {machine['cores']} cores, device {machine['device']}, Python {machine['python']}"
    return f"## {path.stem}\n\n{heading(path)}\n\n" + "\n".join(lines) + f"\n\nMeasured on {where}, {versions}.\n"


def main() -> None:
    paths = sorted(HERE.glob("results/*.json"), key=lambda path: (*ORDER, path.stem).index(path.stem))
    (HERE / "README.md").write_text(HEAD + "\n" + "\n".join(section(path) for path in paths))
    print(HERE / "README.md")


if __name__ == "__main__":
    main()
