"""A trace of exactly the updates that were asked for, with the scopes that the documentation names."""

import gzip
import json
import re
from pathlib import Path

import jax
import pytest
from tiny import CONFIG, demonstrations

from generalist.train.loop import train
from generalist.train.profiling import WARM_UP, Profile, check_profile

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "profiling.md").read_text()


def test_a_trace_has_the_updates_and_scopes(tmp_path):
    train(CONFIG, demonstrations(), tmp_path / "run", quiet=True, profile=2)
    [folder] = (tmp_path / "run" / "profile" / "plugins" / "profile").iterdir()
    [content] = [path.read_bytes() for path in folder.glob("*.xplane.pb")]
    scopes = re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE)
    assert scopes == ["embed", "attention", "feedforward", "loss", "optimizer"]
    assert [name for name in scopes if not re.search(rb"[/(]%s[/)]" % name.encode(), content)] == []
    [trace] = [json.loads(gzip.decompress(path.read_bytes())) for path in folder.glob("*.trace.json.gz")]
    numbers = {event["args"]["step_num"] for event in trace["traceEvents"] if event.get("name") == "update"}
    assert numbers == {str(WARM_UP + 1), str(WARM_UP + 2)}


def test_a_run_that_ends_early_ends_its_trace(tmp_path):
    def run():
        with Profile(tmp_path, 5, first=10) as profile:
            for number in range(11, 20):
                with profile.update(number):
                    pass
                profile.done(number, ())
                if number == 15:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert list(tmp_path.rglob("*.xplane.pb"))
    jax.profiler.start_trace(tmp_path / "again")  # raises if the first one still ran
    jax.profiler.stop_trace()


def test_what_cannot_be_traced_is_refused_before_anything_is_touched(tmp_path):
    with pytest.raises(ValueError, match="--profile 4 needs 7 updates, 3 of them to warm up, and only 6"):
        train(CONFIG, demonstrations(), tmp_path / "run", quiet=True, profile=4)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="must not be negative"):
        check_profile(-1, 100)
    check_profile(0, 0)
    check_profile(3, 6)
