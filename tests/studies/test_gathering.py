"""Parts are kept as they end, and those that fail cost themselves alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from generalist.envs.failures import PartsFailed
from generalist.envs.files import WritingError
from generalist.studies.gathering import gather


def made(part: str) -> str:
    if part.startswith("bad"):
        raise OSError(f"no {part}")
    return part.upper()


def test_what_ends_first_is_kept_first_and_all_that_failed_is_told():
    later, kept, done = threading.Event(), [], []
    with ThreadPoolExecutor(4) as pool:
        slow = pool.submit(lambda: later.wait(10) and "SLOW")
        waiting = {slow: "slow"} | {pool.submit(made, part): part for part in ("quick", "bad1", "bad2")}

        def keep(part: str, what: str) -> None:
            kept.append((part, what))
            later.set()

        with pytest.raises(PartsFailed) as failed:
            gather(waiting, keep, str.title, done.append)
    assert kept == [("quick", "QUICK"), ("slow", "SLOW")]
    assert sorted(done) == ["Bad1", "Bad2", "Quick", "Slow"]
    assert sorted(failed.value.failures) == ["Bad1 failed: OSError: no bad1", "Bad2 failed: OSError: no bad2"]


def test_what_cannot_be_written_ends_all():
    def keep(part: str, what: str) -> None:
        raise WritingError(28, "no space left on the disk", "part.json")

    with ThreadPoolExecutor(1) as pool, pytest.raises(WritingError):
        gather({pool.submit(made, "one"): "one"}, keep, str, print)
