"""The section "Measured offline" of report.html: errors of actions on demonstrations that no environment plays.

This file turns entries of `offline` (see `generalist.eval.offline`) into texts; how they look is in offline.html.jinja.
"""

import re
from collections.abc import Mapping
from typing import Any

PLAIN = ("nearest_neighbour", "linear", "constant")
MOST_DIMENSIONS = 200
"""Rows of one task in the page; report.json has all."""


def offline_section(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the section shows of a report's payload, task by task; empty where every task was played."""
    return [
        {
            **entry,
            "verdict": verdict(entry["relative"]),
            "dimensions": entry["dimensions"][:MOST_DIMENSIONS],
            "left_out": len(entry["dimensions"][MOST_DIMENSIONS:]),
        }
        for entry in payload.get("offline") or ()
    ]


def verdict(relative: Mapping[str, Any]) -> str | None:
    """The agent's relative error against the best plain prediction's: "better" or "worse" where their intervals do not
    touch, else "level"; None where there are none.
    """
    if not relative or relative["agent"]["ci95"] is None:
        return None
    best = min((relative[name] for name in PLAIN), key=lambda one: one["value"])
    low, high = relative["agent"]["ci95"]
    return "better" if high < best["ci95"][0] else "worse" if low > best["ci95"][1] else "level"


def significant(value: float | None) -> str:
    """Three significant digits: errors are in the units of the data, 1e-6 or 1e6."""
    if value is None:
        return ""
    if not value:
        return "0"
    text = f"{value:#.3g}".rstrip(".")
    return re.sub(r"e([+-])0*", r"e\1", text).replace("e+", "e").replace("-", "\N{MINUS SIGN}")


def significant_interval(ends: list[float] | None) -> str:
    return "" if ends is None else f"[{significant(ends[0])}, {significant(ends[1])}]"
