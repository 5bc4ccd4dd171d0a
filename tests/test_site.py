"""The documentation is built as a site without a warning, is whole, and asks no server, not even to search."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import generalist
from generalist.agent.config import AgentConfig
from generalist.eval.config import EvaluationConfig
from generalist.tokenizers.options import LayoutOptions
from generalist.train.adaptation import AdaptConfig
from generalist.train.config import OptimizerConfig, SourceConfig, TrainConfig

ROOT = Path(__file__).resolve().parent.parent
ASKED = re.compile(
    r"""<(?:script|img|iframe)[^>]+src=["'](?:https?:)?//|<link[^>]+stylesheet[^>]+href=["'](?:https?:)?//"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Of a copy of what it is made of, so that nothing is written here."""
    copy = tmp_path_factory.mktemp("site")
    folders = ("agent", "benchmarks", "configs", "corpora", "demonstrations", "docs", "envs", "eval", "generalist")
    folders += ("notebooks", "play", "studies", "tokenizers", "train")
    for name in folders:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"):
        shutil.copyfile(ROOT / name, copy / name)
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet"]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return copy / "build" / "site"


def words_of(path: Path) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", path.read_text()).split())


def test_every_page_of_the_documentation_is_there(site):
    there = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= there
    assert {f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")} <= there
    assert {"index", "changelog", "contributing", "benchmarks", "design"} <= there


def test_every_public_name_has_its_reference(site):
    page = words_of(site / "reference" / "front_door.html")
    assert [name for name in generalist.__all__ if name != "__version__" and f"generalist.{name}" not in page] == []
    for folder in ("agent", "tokenizers", "envs", "demonstrations", "train", "play", "eval", "studies", "configs"):
        page = (site / "reference" / f"{folder}.html").read_text()
        for path in (ROOT / folder).rglob("*.py"):
            module = ".".join(("generalist", *path.relative_to(ROOT).with_suffix("").parts))
            kinds = ast.FunctionDef | ast.ClassDef
            named = [node for node in ast.parse(path.read_text()).body if isinstance(node, kinds)]
            public = [node.name for node in named if not node.name.startswith("_") and ast.get_docstring(node)]
            assert [name for name in public if f'id="{module}.{name}"' not in page] == []


@pytest.mark.parametrize(
    "config", [TrainConfig, SourceConfig, OptimizerConfig, AgentConfig, LayoutOptions, AdaptConfig, EvaluationConfig]
)
def test_every_field_of_a_config_has_its_reference(site, config):
    page = words_of(site / "reference" / "configuration.html")
    _, _, part = page.partition(f" {config.__name__} dataclass ")
    part = part.partition(" dataclass ")[0]
    assert [each.name for each in fields(config) if f" {each.name} :" not in part] == []


def test_no_page_asks_a_server(site):
    assert [path.name for path in site.rglob("*.html") if ASKED.search(path.read_text())] == []


def test_the_picture_of_the_floors_is_that_of_the_imports(site):
    words = words_of(site / "design.html").partition("imports as they are")[2]
    above = [words.index(f" {folder} ") for folder in ("configs", "studies", "eval", "play", "train", "agent", "envs")]
    assert above == sorted(above)


def test_a_page_that_is_opened_as_a_file_is_searched_without_a_network(site):
    if (browser := shutil.which("chromium")) is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("needs Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser)
        page, wrong = started.new_context(offline=True).new_page(), []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.append(request.url))
        page.goto((site / "reference" / "play.html").as_uri())
        page.locator(".md-search__input").click()
        page.keyboard.type("StandalonePolicy")
        page.locator(".md-search-result__link", has_text="StandalonePolicy").first.wait_for(timeout=15_000)
        started.close()
    assert wrong == []
