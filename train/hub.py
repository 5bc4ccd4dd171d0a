"""Exported folders and public language models on the Hugging Face Hub: fetched into the cache of its library; uploaded.

Only the files that they need are fetched. The extra `hub` has the library.
"""

from contextlib import suppress
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from generalist.train.exported_files import FILES, LARGEST, LARGEST_WEIGHTS

SCHEME = "hf"
PUBLIC = (
    *("model-*.safetensors", "model.safetensors.index.json", "generation_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
)
FETCHED = (*FILES, *PUBLIC)
"""What an export has, and what a public language model has."""
MISSING = "the Hugging Face Hub needs the package huggingface_hub: pip install 'generalist[hub]'"


def repository_of(name: str) -> tuple[str, str | None]:
    """ "USER/NAME@REVISION" -> ("USER/NAME", "REVISION"); None without one.

    Raises:
        ValueError: it is no such name.
    """
    repository, _, revision = name.partition("@")
    user, _, rest = repository.partition("/")
    if not user or not rest or "/" in rest or name.endswith("@"):
        raise ValueError(f"{SCHEME}:{name} is no place on the Hugging Face Hub: give {SCHEME}:USER/NAME[@REVISION]")
    return repository, revision or None


@cache
def fetched(name: str) -> Path:
    """The folder in the library's cache that holds USER/NAME[@REVISION], fetched where it is not there.

    Without a network (or with HF_HUB_OFFLINE=1) what is in the cache counts. Once for each process, so that a command
    reads one revision throughout.

    Raises:
        ModuleNotFoundError: the library is not installed, with the command that does it.
        FileNotFoundError: no such repository or revision, or it cannot be reached.
        ValueError: no name of a repository; or a file there is larger than any of an export, and nothing is fetched.
    """
    repository, revision = repository_of(name)
    library = _library()
    for file, size in _sizes(library, repository, revision).items():
        if size > (most := LARGEST_WEIGHTS if file.endswith(".safetensors") else LARGEST):
            raise ValueError(f"{SCHEME}:{name} has a {file} of {size:,} bytes, more than the {most:,} of an export")
    try:
        found = library.snapshot_download(repository, revision=revision, allow_patterns=[*FETCHED])
    except _failures(library) as error:
        raise _told(f"{SCHEME}:{name} cannot be reached, or is neither there nor in the cache", error) from error
    return Path(found)


def _sizes(library: Any, repository: str, revision: str | None) -> dict[str, int]:
    """Bytes of the files that would be fetched; none where the Hub does not answer, and the cache is all there is."""
    with suppress(*_failures(library)):
        there = library.HfApi().list_repo_tree(repository, revision=revision)
        return {entry.path: entry.size for entry in there if any(fnmatch(entry.path, each) for each in FETCHED)}
    return {}


def push(folder: Path, name: str, *, private: bool = False) -> str:
    """Upload an exported folder to USER/NAME[@BRANCH], which is made where it is not there; gives its address.

    Raises:
        ModuleNotFoundError, ValueError: as `fetched`.
        FileNotFoundError: it cannot be reached, or one may not write there.
    """
    repository, revision = repository_of(name)
    library = _library()
    api = library.HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        if revision:
            api.create_branch(repository, branch=revision, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            revision=revision,
            allow_patterns=list(FILES),
            commit_message="Export of generalist",
        )
    except _failures(library) as error:
        said = f"{SCHEME}:{name} cannot be reached, or may not be written to by whoever is logged in (hf auth login)"
        raise _told(said, error) from error
    return f"https://huggingface.co/{repository}"


def _library() -> Any:
    try:
        import huggingface_hub.errors
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(MISSING) from error
    return huggingface_hub


def _failures(library: Any) -> tuple[type[Exception], ...]:
    """What a call of the library may raise. A connection that fails is an error of the client that it uses, which
    is another one from version to version, and no OSError.
    """
    return (OSError, ValueError, library.errors.HTTPError)


def _told(said: str, error: Exception) -> FileNotFoundError:
    why = " ".join(str(error).split())[:300] or type(error).__name__
    return FileNotFoundError(f"{said} ({type(error).__name__}: {why})")
