"""The folder `tokenizers/` must not hide the library of that name."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_folder_is_no_package_of_its_own():
    assert not (ROOT / "tokenizers" / "__init__.py").exists()


@pytest.mark.parametrize("name", ["tokenizers", "transformers"])
def test_the_library_is_imported_from_the_repository_root(name):
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"the library {name} is not installed")
    code = f"import {name}; print({name}.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).resolve() == Path(spec.origin).resolve()
    assert ROOT not in Path(done.stdout.strip()).resolve().parents
