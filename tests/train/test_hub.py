"""The Hub's own library against a server on this machine that answers as the Hub's pages say; not the Hub itself."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from generalist.train import hub
from generalist.train.exported_files import CARD, CONFIG, WEIGHTS

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MISSING = {"error": "Repository not found"}
library = pytest.importorskip("huggingface_hub")


class Hub(BaseHTTPRequestHandler):
    """One repository, me/rooms, in memory."""

    files: ClassVar[dict[str, bytes]] = {}
    sizes: ClassVar[dict[str, int]] = {}
    """Of files whose size is said to be another."""
    asked: ClassVar[list[str]] = []
    branches: ClassVar[set[str]] = set()

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, body: Any, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(404 if body == MISSING else 200)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        if path == "/api/models/me/rooms/revision/main" or path == "/api/models/me/rooms":
            self.answer({"id": "me/rooms", "sha": COMMIT, "siblings": []})
        elif path.startswith("/api/models/me/rooms/tree/"):
            sizes = {name: len(content) for name, content in self.files.items()} | self.sizes
            self.answer([{"type": "file", "path": k, "size": size, "oid": k} for k, size in sizes.items()])
        elif path.startswith("/me/rooms/resolve/"):
            name = path.rpartition("/")[2]
            self.answer(self.files[name], ETag=f'"{name}"', X_Repo_Commit=COMMIT)
        else:
            self.answer(MISSING)

    do_HEAD = do_GET  # noqa: N815 (as the standard library calls it)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append(self.path)
        *_, what, revision = self.path.split("/")
        if what == "branch":
            self.branches.add(revision)
            self.answer({})
        elif what in ("preupload", "commit") and revision not in self.branches:
            self.answer(MISSING)
        elif self.path.startswith("/api/models/me/rooms/preupload/"):
            files = [{**each, "uploadMode": "regular", "shouldIgnore": False} for each in json.loads(body)["files"]]
            self.answer({"files": files})
        elif self.path.startswith("/api/models/me/rooms/commit/"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.answer({"commitUrl": f"https://huggingface.co/me/rooms/commit/{COMMIT}", "commitOid": COMMIT})
        elif self.path == "/api/repos/create":
            self.answer({"url": "https://huggingface.co/me/rooms", "id": "me/rooms"})
        else:
            self.answer({"errors": [], "warnings": []})


@pytest.fixture
def server(tmp_path, monkeypatch):
    """What the server was asked, and its files."""
    served = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    constants = pytest.importorskip("huggingface_hub.constants")
    address = f"http://127.0.0.1:{served.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    Hub.files, Hub.sizes, Hub.asked, Hub.branches = {}, {}, [], {"main"}
    hub.fetched.cache_clear()
    yield Hub
    hub.fetched.cache_clear()
    served.shutdown()
    served.server_close()


def test_only_what_an_export_has_is_fetched_and_once_in_a_process(server):
    server.files |= {CONFIG: b"{}", WEIGHTS: b"weights", "setup.py": b"raise SystemExit", "extra.bin": b"much"}
    folder = hub.fetched("me/rooms")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {CONFIG: b"{}", WEIGHTS: b"weights"}
    assert not [path for path in server.asked if path.endswith(("setup.py", "extra.bin"))]
    count = len(server.asked)
    assert hub.fetched("me/rooms") == folder
    assert len(server.asked) == count


@pytest.mark.parametrize(("name", "size"), [(CONFIG, 1 << 30), (WEIGHTS, 1 << 40)])
def test_a_file_larger_than_any_of_an_export_is_refused_before_anything_is_fetched(server, name, size):
    server.files |= {CONFIG: b"{}", WEIGHTS: b"weights"}
    server.sizes |= {name: size}
    with pytest.raises(ValueError, match=f"hf:me/rooms has a {name} of {size:,} bytes, more than"):
        hub.fetched("me/rooms")
    assert not [path for path in server.asked if "/resolve/" in path]


def test_what_was_fetched_is_there_without_a_network(server, monkeypatch):
    server.files |= {CONFIG: b"{}", WEIGHTS: b"weights"}
    folder = hub.fetched("me/rooms")
    monkeypatch.setattr(pytest.importorskip("huggingface_hub.constants"), "HF_HUB_OFFLINE", True)
    hub.fetched.cache_clear()
    assert hub.fetched("me/rooms") == folder
    assert hub.fetched("me/rooms@main") == folder


def test_a_repository_that_is_not_there_is_one_clear_error(server):
    with pytest.raises(FileNotFoundError, match="hf:me/others cannot be reached, or is neither there"):
        hub.fetched("me/others")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An export, as far as the Hub is concerned, and something else in it."""
    monkeypatch.setenv("HF_TOKEN", "hf_of_this_test")
    folder = tmp_path / "rooms"
    folder.mkdir()
    for name, content in {CONFIG: b"{}", WEIGHTS: b"weights", CARD: b"# A card", "notes.txt": b"mine"}.items():
        Path(folder, name).write_bytes(content)
    return folder


def test_a_branch_that_is_not_there_is_made(server, folder):
    hub.push(folder, "me/rooms@early")
    assert server.branches == {"main", "early"}
    assert [path for path in server.asked if "/commit/" in path] == ["/api/models/me/rooms/commit/early"]
    hub.push(folder, "me/rooms")
    assert server.branches == {"main", "early"}


def test_without_a_network_pushing_and_fetching_are_one_clear_error(server, folder, monkeypatch):
    monkeypatch.setattr(pytest.importorskip("huggingface_hub.constants"), "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FileNotFoundError, match=r"hf:me/rooms cannot be reached, or may not be .*ConnectError"):
        hub.push(folder, "me/rooms")
    with pytest.raises(FileNotFoundError, match="hf:me/rooms cannot be reached, or is neither there nor in the cache"):
        hub.fetched("me/rooms")


def test_what_is_pushed_is_what_is_fetched_and_nothing_else(server, folder):
    assert hub.push(folder, "me/rooms") == "https://huggingface.co/me/rooms"
    assert server.files == {CONFIG: b"{}", WEIGHTS: b"weights", CARD: b"# A card"}
    assert {path.name for path in hub.fetched("me/rooms").iterdir()} == {CONFIG, WEIGHTS, CARD}
