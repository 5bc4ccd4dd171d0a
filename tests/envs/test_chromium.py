"""The browser comes to an end in every way that there is, and says in one line which it was."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from browser import needs_chromium, processes
from leftovers import descriptors, until

from generalist.envs import chromium
from generalist.envs.chromium import BINARY, Chromium, ChromiumFailed, NoChromium

SIZE = (200, 100)


@pytest.fixture
def page(tmp_path) -> str:
    path = tmp_path / "page.html"
    path.write_text("<title>told</title><p>Words</p>")
    return path.as_uri()


@needs_chromium
def test_a_page_is_opened_and_asked_without_a_display_and_nothing_is_left(page, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    before, profiles = descriptors(), sorted(Path(tempfile.gettempdir()).glob("generalist-chromium-*"))
    browser = Chromium(*SIZE, "window.first = 7")
    browser.open(page)
    assert browser.evaluate("[document.title, window.first, innerWidth, innerHeight]") == ["told", 7, *SIZE]
    with pytest.raises(ValueError, match=r"the page threw ReferenceError: nothing is not defined"):
        browser.evaluate("nothing")
    assert browser.evaluate("1 + 1") == 2, "an error of the page is not the browser's"
    pid = browser.pid
    assert len(processes(pid)) > 2
    browser.close()
    browser.close()
    assert processes(pid) == {}
    assert descriptors() == before
    assert sorted(Path(tempfile.gettempdir()).glob("generalist-chromium-*")) == profiles
    with pytest.raises(ChromiumFailed, match=r"was closed"):
        browser.evaluate("1")


@needs_chromium
def test_a_page_that_never_ends_is_given_up(page):
    with closing(Chromium(*SIZE, patience=20)) as browser:
        browser.open(page)
        browser.patience, pid = 1.0, browser.pid
        with pytest.raises(ChromiumFailed, match=r"^Chromium did not answer Runtime.evaluate within 1 s$"):
            browser.evaluate("while (true) {}")
        assert processes(pid) == {}


@needs_chromium
@pytest.mark.parametrize(
    ("kind", "said"), [("", "^Chromium was ended by SIGKILL"), ("renderer", "^Chromium lost the page: its process cra")]
)
def test_a_browser_that_is_killed_is_one_line(page, kind, said):
    with closing(Chromium(*SIZE, patience=20)) as browser:
        browser.open(page)
        victims = [pid for pid, line in processes(browser.pid).items() if f"--type={kind}" in line]
        for victim in victims if kind else [browser.pid]:
            os.kill(victim, signal.SIGKILL)
        with pytest.raises(ChromiumFailed, match=said):
            browser.evaluate("1")
        assert "\n" not in said
        assert processes(browser.pid) == {}


PARENT = f"""\
import time
from generalist.envs.chromium import Chromium
browser = Chromium(*{SIZE})
print(browser.pid, flush=True)
time.sleep(600)
"""


@needs_chromium
def test_it_ends_with_a_parent_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert len(processes(pid)) > 2
        parent.kill()
    until(lambda: processes(pid) == {})


def test_without_a_browser_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv(BINARY, raising=False)
    with pytest.raises(NoChromium, match=f"apt install chromium; or give its path in {BINARY}$"):
        chromium.find_chromium()
    monkeypatch.setenv(BINARY, "/nowhere/browser")
    with pytest.raises(NoChromium, match=f"{BINARY} is '/nowhere/browser', which is no program"):
        chromium.find_chromium()


def test_what_is_no_browser_is_told_by_how_it_ended(monkeypatch):
    before = descriptors()
    monkeypatch.setenv(BINARY, "false")
    with pytest.raises(ChromiumFailed, match=r"^Chromium ended with 1$"):
        Chromium(*SIZE)
    assert descriptors() == before
