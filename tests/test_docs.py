"""The page of tasks is the one that the task table gives, and every family of it has its picture."""

import importlib.util
from pathlib import Path

import pytest
from PIL import Image

DOCS = Path(__file__).resolve().parent.parent / "docs"
spec = importlib.util.spec_from_file_location("make_tasks", DOCS / "make_tasks.py")
assert spec is not None
assert spec.loader is not None
make_tasks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_tasks)


def test_the_page_is_up_to_date():
    assert (DOCS / "tasks.md").read_text() == make_tasks.page(), "run: python docs/make_tasks.py"


@pytest.mark.parametrize("family", list(make_tasks.families()))
def test_a_family_has_a_picture(family):
    with Image.open(DOCS / "families" / f"{family}.png") as picture:
        assert picture.height == make_tasks.HEIGHT
        assert picture.convert("L").getextrema()[1] > picture.convert("L").getextrema()[0]
    assert f"](families/{family}.png)" in (DOCS / "tasks.md").read_text()
