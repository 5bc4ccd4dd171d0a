"""Type-check the package under its import name; arguments go to pyright.

The folders stand at the top of the repository and are mapped into `generalist` by setuptools. Pyright follows neither
that map nor links, so it is given a copy in which they stand where they are imported from.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    with tempfile.TemporaryDirectory() as made:
        top = Path(made).resolve()
        for package, folder in tool["setuptools"]["package-dir"].items():
            shutil.copytree(
                ROOT / folder, top.joinpath(*package.split(".")), ignore=shutil.ignore_patterns("__pycache__")
            )
        config = top / "pyrightconfig.json"
        config.write_text(json.dumps(tool["pyright"] | {"include": ["generalist"]}))
        command = [sys.executable, "-m", "pyright", "--project", config, "--pythonpath", sys.executable, *sys.argv[1:]]
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE)
        print(done.stdout.replace(f"{top}/generalist", str(ROOT)), end="")
    return done.returncode


sys.exit(main())
