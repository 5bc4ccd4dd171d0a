"""The section "Language and vision" of report.html: a table of scores, and the first documents of every corpus.

This file turns entries of `corpora` (see `corpus_record.py`) into texts; how they look is in language.html.jinja.
"""

from collections.abc import Mapping
from typing import Any

from generalist.eval.language.corpus_record import AGENT, normal_form

NAMES = {
    AGENT: "agent",
    "unigram": "1-gram of bytes",
    "five_gram": "5-gram of bytes",
    "majority_class": "commonest label",
    "pixels": "regression on pixels",
    "bands_regression": "regression on bands",
    "bands_neighbours": "5 nearest neighbours in bands",
    "bands_forest": "random forest on bands",
    "commonest_answer": "commonest answer to the question",
    "guess": "a guess",
    "commonest_place": "commonest place of the right choice",
    "commonest_caption": "commonest caption",
    "nearest_picture": "caption of the nearest picture",
    "unigram_ids": "how often each id occurs",
    "retrieval": "training picture of the nearest words",
    "naive": "the last number",
    "seasonal_naive": "the last season",
    "smoothing": "exponential smoothing",
    "autoregression": "linear autoregression",
    "unchanged": "the frame as it was",
    "nearest_frame": "what followed the nearest frame",
    "clusters": "mean of pictures like that one (k-means)",
    "rebuilt": "the real picture through the tokenizer",
}
ALT = {
    "drawing": "The picture that the agent drew",
    "series": "What was known, what came, and the agent's draws",
    "world": "The frame as it was, the next one, and the agent's",
}
CEILING = "rebuilt"
"""No rival: it is given the real picture."""
SPLITS = {"test": "test", "heldout": "held out"}


def language_section(payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the section shows of a report's payload; None if no corpus was measured."""
    corpora = payload.get("corpora") or []
    if not corpora:
        return None
    return {
        "rows": [row for entry in corpora for row in score_rows(entry)],
        "shown": [_shown(entry) for entry in corpora if entry["examples"]],
        "empty": [entry for entry in corpora if not entry["documents"]],
        "too_long": [entry for entry in corpora if entry["too_long"]],
        # Splits of a corpus share their training documents, so a message may be there twice.
        "damaged": list(dict.fromkeys(message for entry in corpora for message in entry["damaged"])),
        "splits": SPLITS,
        "control": [each for each in payload.get("alone", ()) if each["overall"]["mean"] is not None],
        "overall": payload.get("overall"),
    }


def score_rows(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per score of a corpus: its name, the agent's value and interval, and those of the baselines.

    A number without a baseline is not shown: then `agent` is None. `verdict` is "better" or "worse" where the agent's
    interval and that of the best baseline do not touch, otherwise "level", and None without a number.
    """
    rows = []
    for score in entry["scores"]:
        baselines = [{"name": NAMES[name], **found} for name, found in score["baselines"].items()]
        agent = score["agent"] if baselines else None
        rows.append(
            {
                "corpus": entry["corpus"],
                "split": SPLITS[entry["split"]],
                "documents": entry["documents"],
                "score": score["name"],
                "better": score["better"],
                "agent": agent,
                "baselines": baselines,
                "alone": score.get("alone"),
                "verdict": _verdict(agent, baselines, score["better"]) if agent else None,
            }
        )
    return rows


def _verdict(agent: Mapping[str, Any], baselines: list[dict[str, Any]], better: str) -> str:
    sign = 1 if better == "higher" else -1
    rivals = [one for one in baselines if one["name"] != NAMES[CEILING]] or baselines
    best = max(rivals, key=lambda one: sign * one["value"])
    (low, high), (least, most) = (sorted(sign * end for end in one["ci95"]) for one in (agent, best))
    return "better" if low > most else "worse" if high < least else "level"


def _shown(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The first documents of one split of a corpus."""
    return {
        "corpus": entry["corpus"],
        "split": SPLITS[entry["split"]],
        "pictures": any(example["png"] for example in entry["examples"]),
        "alt": ALT.get(entry["measure"], "The picture that it is shown"),
        "examples": [_example(example, entry["measure"]) for example in entry["examples"]],
    }


def _example(example: Mapping[str, Any], measure: str) -> dict[str, Any]:
    return {
        "prompt": example["prompt"],
        "truth": example["truth"],
        "picture": f"data:image/png;base64,{example['png']}" if example["png"] else None,
        "said": [
            {"who": NAMES[who], "text": text, "right": _right(text, example["truth"], measure)}
            for who, text in example["said"].items()
        ],
    }


def _right(text: str, truth: str, measure: str) -> bool | None:
    """Whether a text is right; None for running text, and for a caption in other words, which need not be wrong."""
    same = normal_form(text) == normal_form(truth)
    if measure in ("text", "series", "world") or (measure == "caption" and not same):
        return None
    return same
