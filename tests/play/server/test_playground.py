"""The playground in a browser: an episode is watched, taken over and handed back; a picture is captioned; no errors."""

import shutil

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("uvicorn")
pytest.importorskip("playwright")
from playwright import sync_api
from serving import serving
from small_painter import painter
from small_writer import writer
from tiny import trained

from generalist.configs.commands.served import stage_of
from generalist.play.agent import Agent
from generalist.play.server.completions import Model
from generalist.play.server.playground import PAGE, policy_of

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no browser of the system: apt install chromium")
TASKS = ("CartPole-v1", "FrozenLake8x8-v1")
PATIENCE = 120_000


@pytest.fixture(scope="module")
def server():
    agent = Agent.load(trained())
    models = {"photos": Model(writer(0), "caption"), "rooms": Model(painter().writer, "drawing")}
    with serving(
        agent, TASKS, models=models, stage=lambda leaving: stage_of(agent, TASKS, 600.0, leaving), token="secret"
    ) as made:
        yield made


@pytest.fixture
def page(server):
    """A page that has the token, and lets nothing pass that a browser calls an error."""
    errors = []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        made = browser.new_page(viewport={"width": 1100, "height": 900})
        made.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        made.on("pageerror", lambda error: errors.append(str(error)))
        made.on("request", lambda asked: errors.append(asked.url) if server.host not in asked.url[:40] else None)
        made.goto(f"http://{server.host}:{server.port}/?token=secret")
        yield made
        browser.close()
    assert [error for error in errors if not error.startswith("data:")] == []


def begin(page, task: str = "CartPole-v1") -> None:
    page.wait_for_selector("#tasks option", state="attached")
    page.fill("#task", task)
    page.click("text=begin")
    page.wait_for_selector("figure img[src^='data:']", timeout=PATIENCE)


def until(page, condition) -> None:
    """The page's policy forbids the evaluating that Playwright's own waiting does."""
    for _ in range(PATIENCE // 50):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not come to that")


def shows(page, text: str) -> None:
    """Wait until it stands below one of the pictures."""
    until(page, lambda: text in page.inner_text("#sides"))


def steps(page, side: int = 0) -> int:
    return int(page.inner_text(f"figure >> nth={side} >> figcaption").split(" steps")[0].split()[-1])


@needs_browser
def test_an_episode_is_watched_stepped_and_begun_again(page):
    begin(page)
    shows(page, "steps")
    assert "2 tasks" in page.inner_text("#about")
    assert [each.inner_text() for each in page.query_selector_all("figcaption strong")] == ["agent", "expert", "random"]
    page.click("#go")
    page.wait_for_timeout(500)
    before = steps(page, 1)
    page.click("#one")
    shows(page, f"{before + 1} steps")
    assert page.query_selector_all("#thought .rows i")
    page.click("#again")
    shows(page, "\n0 steps")
    assert page.input_value("#seed") == "1"


@needs_browser
def test_keys_play_in_the_agents_place_until_it_is_handed_back(page):
    begin(page, "FrozenLake8x8-v1")
    page.click("#take")
    page.wait_for_timeout(500)
    assert page.is_visible("#controls button >> nth=3")
    before = steps(page)
    page.keyboard.press("2")
    shows(page, f"{before + 1} steps")
    page.wait_for_timeout(500)
    assert steps(page) == before + 1  # it waits for the next key
    page.click("#take")
    until(page, lambda: "your turn" not in page.inner_text("#status"))
    assert page.is_hidden("#controls")


@needs_browser
def test_a_picture_is_captioned(page, tmp_path):
    Image.fromarray(np.full((8, 16, 3), 90, np.uint8)).save(tmp_path / "grey.png")
    page.wait_for_selector("#model option", state="attached")
    page.set_input_files("#picture", tmp_path / "grey.png")
    page.click("text=write")
    until(page, lambda: page.is_disabled("#halt"))

    assert "cannot" not in page.inner_text("#answer")


@needs_browser
def test_a_task_that_there_is_not_is_said(page):
    page.wait_for_selector("#tasks option", state="attached")
    page.fill("#task", "Nope-v1")
    page.click("text=begin")

    until(page, lambda: "no such task" in page.inner_text("#status"))


def test_without_the_token_there_is_no_page(server):
    assert server.get("/")[0] == 401
    assert server.get("/?token=wrong")[0] == 401
    assert server.get("/?token=secret")[0] == 303
    assert server.get("/playground", "Cookie: generalist_token=wrong")[0] == 401
    assert server.get("/playground", "Cookie: generalist_token=secret")[0] == 200


def test_the_page_asks_nobody_else():
    """Not a letter of it is from elsewhere, and its policy would not let it be."""
    page = PAGE.read_text()

    assert "http://" not in page
    assert "https://" not in page
    assert "'unsafe" not in policy_of(page)
    assert "default-src 'none'" in policy_of(page)


@needs_browser
def test_pictures_are_drawn(page):
    page.wait_for_selector("#painter option", state="attached")
    assert page.locator("#model option").all_inner_texts() == ["photos"]
    page.fill("#prompt", "a red ball")
    page.fill("#many", "3")
    page.click("#sketch button")
    page.wait_for_selector("#drawn img", timeout=60_000)
    assert page.locator("#drawn img").count() == 3
    assert page.locator("#drawn img").first.get_attribute("alt") == "drawn: a red ball"
