"""generalist."""

from pathlib import Path as _Path

_checkout = _Path(__file__).resolve().parent.parent
if (_checkout / "pyproject.toml").is_file():
    # In a checkout the folders of the package stand beside this one, at the top of the repository.
    __path__.append(str(_checkout))
