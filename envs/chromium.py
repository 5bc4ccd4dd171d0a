"""The system's Chromium without a window, spoken to in the DevTools protocol through a pipe.

The pipe is its lifeline: it ends when the pipe is closed, which the operating system does even when this process is
killed with SIGKILL. No port is opened, and no driver is needed beside the browser. It reaches no network: pages are
files. https://chromedevtools.github.io/devtools-protocol/ has the methods and events.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BINARY = "MINIWOB_CHROME_BINARY"
"""Environment variable with the path of another one; miniwob itself reads it too."""
PATIENCE = 90.0
"""Seconds until a page that does not answer is given up; a machine that has much else to do takes several for one."""
LAST_SECONDS = 5.0
"""That it has to end by itself, before it is killed."""

FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",  # containers and root have none; the pages are a package's own files, and there is no network
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers give /dev/shm 64 MB
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-breakpad",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--allow-file-access-from-files",  # a page's script may read its style sheets
    "--allow-pre-commit-input",  # otherwise clicks are dropped until a page was first drawn
    "--mute-audio",
    "--hide-scrollbars",  # they fade in real time
    "--disable-smooth-scrolling",
    "--lang=en-US",
    # Pictures that do not depend on the screen's settings.
    "--force-color-profile=srgb",
    "--force-device-scale-factor=1",
    "--disable-lcd-text",
    "--disable-checker-imaging",  # a large picture would be drawn a frame later
    "--disable-partial-raster",  # a corner that is drawn over a part of itself differs by one
    "--font-render-hinting=none",
    "about:blank",
)
LAUNCH = """\
import fcntl, os, sys
pipes = [fcntl.fcntl(int(each), fcntl.F_DUPFD_CLOEXEC, 10) for each in sys.argv[1:3]]
for each in sys.argv[1:3]:
    os.close(int(each))
for number, each in enumerate(pipes, 3):
    os.dup2(each, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""A fresh interpreter puts the pipes at descriptors 3 and 4, where Chromium looks for them, and becomes Chromium."""


class NoChromium(RuntimeError):  # noqa: N818 (a name: the thing that is missing)
    """There is no browser on this machine."""


class ChromiumFailed(RuntimeError):  # noqa: N818
    """The browser ended, or a page does not answer. It is closed then."""


def find_chromium() -> str:
    """Path of the browser.

    Raises:
        NoChromium: there is none, or not where the environment variable says.
    """
    given = os.environ.get(BINARY)
    if given:
        if shutil.which(given) is None:
            raise NoChromium(f"{BINARY} is {given!r}, which is no program")
        return given
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise NoChromium(
            f"no Chromium on this machine ({', '.join(NAMES)}): install it with: apt install chromium; or give its "
            f"path in {BINARY}"
        )
    return found


class Chromium:
    """One browser with one page.

    Args:
        width, height: of the page, in pixels.
        script: JavaScript that runs in every page before its own.
        patience: seconds until a page that does not answer is given up.

    Raises:
        NoChromium: there is none on this machine.
        ChromiumFailed: (from here and every method) it ended or does not answer; its processes are gone then.
    """

    def __init__(self, width: int, height: int, script: str = "", *, patience: float = PATIENCE):
        binary = find_chromium()
        self.patience = patience
        self.loading: set[str] = set()
        """Files that the page has asked for and not got."""
        self.loaded = 0
        """Pages that were loaded."""
        self._profile = tempfile.mkdtemp(prefix="generalist-chromium-")
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `_end`)
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        try:
            self._process = _started(binary, self._profile, theirs_in, theirs_out, self._output)
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        left = (self._process, self._to, self._from, self._output, self._profile)
        self._close = weakref.finalize(self, _end, *left)
        self._buffer, self._number, self._session = b"", 0, ""
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next((one["targetId"] for one in targets if one["type"] == "page"), None)
        page = page or self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Inspector"):
            self.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._close.alive

    def close(self) -> None:
        """End it and wait until its processes are gone. Twice is once."""
        self._close()

    def open(self, url: str) -> None:
        """Load a page, with all that it asks for."""
        before = self.loaded
        failed = self.call("Page.navigate", url=url).get("errorText")
        if failed:
            self._fail(f"cannot open {url}: {failed}")
        self._listen(lambda: self.loaded > before, f"load {url}")
        self.settle()

    def settle(self) -> None:
        """Wait until the page has the files that it has asked for."""
        self._listen(lambda: not self.loading, f"have {', '.join(sorted(self.loading))}")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, as JSON gives it. Raises ValueError where it throws."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            thrown = answer["exceptionDetails"].get("exception", {})
            said = str(thrown.get("description", thrown.get("value")))
            raise ValueError(f"the page threw {said.splitlines()[0]}")
        return answer["result"].get("value")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One method, and what it answers."""
        return self.call_all([(method, parameters)])[0]

    def call_all(self, calls: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        """Methods sent together, answered in their order."""
        numbers = [self._send(method, parameters) for method, parameters in calls]
        answers: dict[int, dict[str, Any]] = {}
        names = ", ".join(dict.fromkeys(method for method, _ in calls))
        self._listen(lambda: len(answers) == len(numbers), f"answer {names}", answers)
        for (method, _), number in zip(calls, numbers, strict=True):
            if "error" in answers[number]:
                self._fail(f"refused {method}: {answers[number]['error'].get('message')}")
        return [answers[number]["result"] for number in numbers]

    def _send(self, method: str, parameters: dict[str, Any]) -> int:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        if not self.alive:
            raise ChromiumFailed("Chromium was closed")
        data = memoryview(json.dumps(message).encode() + b"\0")
        try:
            while data:
                data = data[os.write(self._to, data) :]
        except BrokenPipeError:
            self._died()
        return self._number

    def _listen(self, done: Callable[[], bool], wanted: str, answers: dict[int, dict[str, Any]] | None = None) -> None:
        """Take messages until it is done."""
        end = time.monotonic() + self.patience
        while not done():
            message = self._next_message(end, wanted)
            if "id" in message and answers is not None:
                answers[message["id"]] = message
            elif "method" in message:
                self._happened(message["method"], message.get("params", {}))

    def _next_message(self, end: float, wanted: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not self.alive:
                raise ChromiumFailed("Chromium was closed")
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._from], [], [], left)[0]:
                self._fail(f"did not {wanted} within {self.patience:g} s")
            data = os.read(self._from, 1 << 20)
            if not data:
                self._died()
            self._buffer += data
        first, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(first)

    def _happened(self, event: str, told: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.loading.add(told["requestId"])
        elif event in ("Network.loadingFinished", "Network.loadingFailed"):
            self.loading.discard(told["requestId"])
        elif event == "Page.loadEventFired":
            self.loaded += 1
        elif event == "Inspector.targetCrashed":
            self._fail("lost the page: its process crashed")

    def _fail(self, how: str) -> NoReturn:
        self.close()
        raise ChromiumFailed(f"Chromium {how}")

    def _died(self) -> NoReturn:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LAST_SECONDS)
        code = self._process.returncode
        how = f"was ended by {signal.Signals(-code).name}" if code and code < 0 else f"ended with {code}"
        self._output.seek(0)
        last = (self._output.read().decode(errors="replace").strip().splitlines() or [""])[-1]
        self._fail(f"{how}: {last}".rstrip(": "))


def _started(binary: str, profile: str, reads: int, writes: int, output: Any) -> subprocess.Popen:
    command = [sys.executable, "-I", "-S", "-c", LAUNCH, str(reads), str(writes), shutil.which(binary) or binary]
    return subprocess.Popen(
        [*command, f"--user-data-dir={profile}", *FLAGS],
        pass_fds=(reads, writes),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={**os.environ, "TZ": "UTC", "HOME": profile},
        start_new_session=True,  # Ctrl-C in a terminal is the parent's business
    )


def _end(process: subprocess.Popen, to: int, from_: int, output: Any, profile: str) -> None:
    """Close the pipes, on which it ends by itself; kill what has not ended then, and remove what it wrote."""
    os.close(to)
    os.close(from_)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(LAST_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    output.close()
    shutil.rmtree(profile, ignore_errors=True)
