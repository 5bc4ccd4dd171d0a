"""The section "Language and vision" of report.html: every number with its baselines, and pictures inside the page."""

import re
from dataclasses import replace

import pytest
from page_words import Words

from generalist.eval.language.corpus_record import CorpusRecord, Example, Outcome, corpus_to_json
from generalist.eval.report.language_page import language_section, score_rows
from generalist.eval.report.page import render_page
from generalist.eval.report.record import to_json

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="

RIVALS = ("agent", "majority_class", "pixels", "bands_forest"), ("agent", "majority_class")


def labelled(right: int, total: int = 100, split="test", **changes) -> CorpusRecord:
    """The agent is right on the first so many, the commonest label on 30, a regression on 60."""
    said = {"agent": right, "majority_class": 30, "pixels": 60}
    record = CorpusRecord(
        corpus="shapes",
        split=split,
        measure="label",
        labels=("box", "ball"),
        numbers=tuple(range(total)),
        truths=(("box",),) * total,
        outcomes={
            name: Outcome(texts=tuple("box" if i < count else "ball" for i in range(total)))
            for name, count in said.items()
        },
        examples=(Example(prompt="what is it?", truth="box", said={"agent": "Box", "pixels": "ball"}, png=PNG),),
        learnt_from=10,
        seconds=1.0,
    )
    return replace(record, **changes)


def page(report, *records: CorpusRecord) -> str:
    return render_page(to_json(report) | {"corpora": [corpus_to_json(record) for record in records]})


def test_both_splits_stand_in_the_table_with_their_baselines_and_intervals(report):
    found = Words(page(report, labelled(80), labelled(50, split="heldout")))
    assert not found.open
    for split, numbers in (("test", "0.80 [0.71, 0.87]"), ("held out", "0.50 [0.40, 0.60]")):
        assert f"shapes {split}, 100 documents accuracy higher is better {numbers}" in found.text
    assert found.text.count("0.30 [0.22, 0.40] commonest label 0.60 [0.50, 0.69] regression on pixels") == 2


def test_rows_are_as_wide_as_the_table_however_many_baselines_they_have(report):
    many, one = (labelled(80, outcomes=dict.fromkeys(names, labelled(80).outcomes["agent"])) for names in RIVALS)
    [table] = re.findall(r'<table class="spoken">.*?</table>', page(report, labelled(80), many, one), re.DOTALL)
    widths = [
        sum(int(span or 1) for span in re.findall(r'<t[dh]\b(?:[^>]*colspan="(\d+)")?', row))
        for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
    ]
    assert widths == [6, 6, 6, 6]


def test_the_verdict_heeds_the_intervals_and_which_way_is_better():
    verdicts = [score_rows(corpus_to_json(labelled(right)))[0]["verdict"] for right in (85, 65, 20)]
    assert verdicts == ["better", "level", "worse"]
    text = CorpusRecord(
        corpus="books",
        split="test",
        measure="text",
        numbers=(0, 1),
        sizes=(100, 100),
        outcomes={name: Outcome(nats=(nats, nats + 1)) for name, nats in (("agent", 50.0), ("five_gram", 90.0))},
        learnt_from=10,
        seconds=1.0,
    )
    assert score_rows(corpus_to_json(text))[0]["verdict"] == "better"


def test_a_number_without_a_baseline_is_not_shown(report):
    alone = labelled(80)
    alone = replace(alone, outcomes={"agent": alone.outcomes["agent"]})
    assert score_rows(corpus_to_json(alone))[0]["agent"] is None
    text = Words(page(report, alone)).text
    assert "not shown: it has no baseline" in text
    assert "0.80 [0.71" not in text


def test_pictures_and_what_was_said_about_them_are_inside_the_page(report):
    hostile = Example(prompt="<b>what</b>?", truth="box", said={"agent": "<script>"}, png=None)
    html = page(report, labelled(80, examples=(*labelled(80).examples, hostile)))
    assert html.count(f'src="data:image/png;base64,{PNG}"') == 1
    assert not re.search(r"https?://|url\(", html)
    assert '<dt>agent</dt><dd class="better">Box</dd>' in html
    assert '<dt>regression on pixels</dt><dd class="worse">ball</dd>' in html
    assert "&lt;b&gt;what&lt;/b&gt;?" in html
    assert "&lt;script&gt;" in html


def test_a_caption_in_other_words_is_not_called_wrong():
    example = Example(prompt="", truth="a red box", said={"agent": "a crimson box", "nearest_picture": "A red box"})
    entry = corpus_to_json(labelled(80, examples=(example,))) | {"measure": "caption"}
    [shown] = language_section({"corpora": [entry]})["shown"]
    assert [said["right"] for said in shown["examples"][0]["said"]] == [None, True]


def test_what_was_left_out_is_named_once(report):
    broken = "shelf-0.tar: member 7.png is no picture"
    records = [labelled(80, split=split, damaged=(broken,), too_long=3) for split in ("test", "heldout")]
    nothing = labelled(0, 0, corpus="blanks", truths=(), outcomes={}, examples=(), damaged=("x.png: empty",))
    text = Words(page(report, *records, nothing)).text
    assert text.count(broken) == 1
    assert "2 damaged documents" in text
    assert text.count("3 documents are longer than the agent's window") == 2
    assert "blanks, test: no document could be measured" in text


def test_a_report_without_corpora_has_no_such_section_and_one_without_tasks_has_nothing_else(report):
    plain, only = render_page(to_json(report)), page(replace(report, tasks=()), labelled(80))
    for html, there in ((plain, False), (only, True)):
        assert ("Language and vision" in html) == there
        assert ("Bits per byte" in html) == there
        assert (".spoken" in html) == there
        assert ("Scores by family and task" in html) != there
        assert ("<script>" in html) != there
    assert not Words(only).open
    assert render_page(to_json(report) | {"corpora": []}) == plain


@pytest.mark.parametrize("count", [1, 3])
def test_records_refuse_columns_of_another_length(count):
    with pytest.raises(ValueError, match=f"{count} truths for 2 documents"):
        labelled(1, 2, truths=(("box",),) * count)
