"""The writer: batches equal single prompts, streams equal whole texts, likelihoods equal a slow loop."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from flax import nnx
from tiny import compilations, trained
from token_examples import CONFIG, VOCABULARY, hidden, network

from generalist.agent.config import AgentConfig
from generalist.agent.network import unstacked
from generalist.agent.sampling import SamplingConfig
from generalist.play.stopping import settled, until
from generalist.play.writer import Writer, choose_source, power_of_two
from generalist.tokenizers.document import DocumentLayout
from generalist.tokenizers.parts import Document, Picture, Speaker, Words
from generalist.tokenizers.pictures import PictureOptions
from generalist.tokenizers.sequence import stack
from generalist.tokenizers.text import ByteTokenizer
from generalist.tokenizers.vocabulary import Vocabulary

PATCHES = PictureOptions(shape=(8, 16, 3), patch_size=8)
WHOLE = PictureOptions(images="conv", shape=(8, 16, 3))
AGENT = AgentConfig(**{**vars(CONFIG), "attention_block": 64})
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 9, 20, 3)).astype(np.uint8)
PROMPTS: list[Document] = [
    (Words("once upon a time there was", whole=False),),
    (Picture(PIXELS[0]),),
    (Speaker("user"), Picture(PIXELS[1]), Words("and"), Picture(PIXELS[2]), Speaker("assistant")),
    (Words("x"),),
    (),
]
HOT = SamplingConfig(temperature=3.0, seed=3, max_tokens=37)


def writer(pictures: PictureOptions = PATCHES, config: AgentConfig = AGENT) -> Writer:
    model = network("patches" if pictures.images == "patches" else "conv", config)
    graphdef, state = nnx.split(unstacked(model))
    return Writer(config, model.sizes, graphdef, state, DocumentLayout(VOCABULARY, ByteTokenizer(), pictures), 1)


@pytest.mark.parametrize(
    ("pictures", "sampling"), [(PATCHES, SamplingConfig(max_tokens=20)), (PATCHES, HOT), (WHOLE, HOT)], ids=str
)
def test_prompts_together_are_written_as_alone_and_in_pieces(pictures, sampling):
    mine = writer(pictures)
    together = mine.write(PROMPTS, sampling)
    for seed, prompt in enumerate(PROMPTS):
        assert mine.write([prompt], sampling, seeds=[seed]) == [together[seed]]
        pieces = list(mine.stream(prompt, sampling, seed=seed))
        assert "".join(pieces) == together[seed]
        assert len(pieces) > 1
    assert len(set(together)) == len(PROMPTS)


def test_a_string_is_a_text_to_go_on_from():
    mine = writer()
    text, document = "once upon", (Words("once upon", target=False, whole=False),)
    assert mine.length(text) == mine.length(document)
    assert mine.write([text], HOT) == mine.write([document], HOT)
    assert list(mine.stream(text, HOT)) == list(mine.stream(document, HOT))
    assert mine.likelihoods([text], [" a time"]) == mine.likelihoods([document], [" a time"])
    with pytest.raises(ValueError, match="a list of texts or documents, got one text"):
        mine.write(text, HOT)


def test_the_same_seed_writes_the_same_and_another_another():
    mine = writer()
    first = mine.write(PROMPTS, HOT)
    assert mine.write(PROMPTS, HOT) == first
    assert all(one != other for one, other in zip(mine.write(PROMPTS, replace(HOT, seed=4)), first, strict=True))
    assert mine.write(PROMPTS, HOT, seeds=[5] * 5) != first


def test_more_prompts_than_a_batch_holds_come_back_in_their_order():
    mine = writer()
    prompts: list[Document] = [(Words("ab" * (40 - 2 * index), whole=False),) for index in range(20)]
    prompts = [prompt for prompt in prompts if mine.length(prompt) <= 64] + prompts[-5:]
    texts = mine.write(prompts, HOT)
    assert len(texts) == len(prompts) > 16
    for index in (0, 7, len(prompts) - 1):
        assert mine.write([prompts[index]], HOT, seeds=[index]) == [texts[index]]
    assert mine.write([]) == []


def test_a_text_may_grow_far_beyond_the_window():
    mine = writer(config=AgentConfig(**{**vars(AGENT), "window": 24}))
    [text] = mine.write([(Words("y", whole=False),)], SamplingConfig(max_tokens=70))
    ids = np.concatenate([*mine._tokens([mine.encoded((Words("y", whole=False),))], [0], SamplingConfig(), 8)], axis=1)
    assert ids.shape == (1, 128)
    assert ByteTokenizer().decode(ids[0, :70]) == text


def test_a_few_lengths_are_compiled():
    mine = writer()
    mine.write([(Words("a" * 18, whole=False),)] * 3, HOT)
    with compilations() as found:
        mine.write([(Words("b" * size, whole=False),) for size in (17, 25, 31)], replace(HOT, temperature=1.0))
        mine.write([(Words("b" * size, whole=False),) for size in (20, 21, 22, 23)], replace(HOT, max_tokens=30))
    assert found == []


class Scripted(Writer):
    """Writes a given text, one byte at a time, and then `end`."""

    script = b""

    def _tokens(self, sequences, seeds, sampling, chunk) -> Iterator[np.ndarray]:
        for one in self.script:
            yield np.asarray([[one]] * len(sequences), np.int32)
        yield np.full((len(sequences), 1), self.layout.vocabulary.end, np.int32)


def scripted(script: bytes) -> Scripted:
    made = Scripted(**{name: getattr(writer(), name) for name in vars(writer())})
    object.__setattr__(made, "script", script)
    return made


def test_no_character_is_cut():
    text = "naïve 日本語 🙂 end"
    pieces = list(scripted(text.encode()).stream(()))
    assert "".join(pieces) == text
    assert len(pieces) == len(text), "each character as soon as it is whole"
    broken = list(scripted("é".encode()[:1] + b"a" + "🙂".encode()[:3]).stream(()))
    assert "".join(broken) == "\ufffda\ufffd", "what stays no UTF-8 is given in the end"
    assert scripted("日".encode()[:2]).write([()]) == ["\ufffd"]


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (["\n\n"], "one\ntwo"),
        (["two"], "one\n"),
        (["three", "\nt"], "one"),
        (["ne\ntwo!", "e\ntwo"], "on"),
        (["o\n\n"], "one\ntw"),
        (["absent"], "one\ntwo\n\nthree"),
        ([""], "one\ntwo\n\nthree"),
        (["three"], "one\ntwo\n\n"),
        (["e\n", "ne"], "o"),
    ],
)
def test_stop_strings_end_a_text_however_it_comes(stop, expected):
    script = scripted(b"one\ntwo\n\nthree")
    assert "".join(script.stream((), stop=stop)) == expected
    assert script.write([()], stop=stop) == [expected]


def test_what_may_become_a_stop_string_is_held_back():
    assert settled("on", ["one"]) == ("", False)
    assert settled("o\ufffd", ["ox"]) == ("", False)
    assert settled("noon", ["one"]) == ("no", False)
    assert settled("tone", ["one"]) == ("t", True)
    assert until("abc", ["abc", "b"]) == "a", "b is complete before abc is"


def test_a_stop_string_ends_the_work():
    """A text that is stopped at its first character does not wait for the rest."""
    script = scripted(b"x" * 1000)
    seen = []
    tokens = script._tokens
    object.__setattr__(script, "_tokens", lambda *given: (seen.append(1) or one for one in tokens(*given)))
    assert script.write([()], stop=["xx"]) == [""]
    assert len(seen) == 2


def test_a_tokenizer_that_trims_the_first_word_keeps_its_space():
    class Trimming(ByteTokenizer):
        def decode(self, ids) -> str:
            return super().decode(ids).lstrip(" ")

    script = scripted(b" world")
    object.__setattr__(script, "layout", replace(script.layout, text=Trimming()))
    assert script.write([(Words("hello", whole=False),)]) == [" world"]
    assert script.write([(Words("hello"),)]) == ["world"]


def slow_likelihood(mine: Writer, prompt: Document, answer: str) -> float:
    """Token by token from the logits of the network itself, each a full pass of its own."""
    model = network("patches", AGENT)
    table = np.asarray(model.tokens.rows[...], np.float64)[: VOCABULARY.size]
    prompt = tuple(replace(part, target=False) if isinstance(part, Words) else part for part in prompt)
    sequence = mine.layout.encode([(*prompt, Words(answer))], source=1)
    total, begin = 0.0, mine.length(prompt)
    out = hidden(model, stack([sequence]))[0].astype(np.float64)
    for at in range(begin, len(sequence)):
        scores = table @ out[at - 1]
        total += scores[sequence.ids[at]] - np.log(np.exp(scores - scores.max()).sum()) - scores.max()
    assert sequence.ids[-1] == VOCABULARY.end
    return float(total)


def test_likelihoods_equal_a_slow_loop():
    mine = writer()
    cases = [(PROMPTS[0], "yes"), (PROMPTS[1], "a wall"), (PROMPTS[2], ""), (PROMPTS[3], "é")]
    found = mine.likelihoods([prompt for prompt, _ in cases], [answer for _, answer in cases])
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [slow_likelihood(mine, *case) for case in cases], rtol=1e-5)
    assert mine.likelihoods([], []).shape == (0,)


def test_likelihoods_do_not_depend_on_the_batch(monkeypatch):
    mine = writer()
    prompts = [PROMPTS[index % 5] for index in range(21)]
    answers = ["w" * (index % 7) for index in range(21)]
    together = mine.likelihoods(prompts, answers)
    for index in (0, 5, 20):
        np.testing.assert_allclose(mine.likelihoods([prompts[index]], [answers[index]])[0], together[index], rtol=1e-5)
    monkeypatch.setattr("generalist.play.writer.MOST_LOGITS", 16 * VOCABULARY.size)
    np.testing.assert_allclose(mine.likelihoods(prompts[:3], answers[:3]), together[:3], rtol=1e-5)


def test_what_cannot_be_read_is_refused():
    mine, long = writer(), (Words("z" * 80),)
    for ask in (lambda: mine.write([long]), lambda: mine.stream(long), lambda: mine.likelihoods([()], ["z" * 80])):
        with pytest.raises(ValueError, match=r"the prompt has 8\d tokens, the agent sees 64; shorten it"):
            ask()
    mine.write([(Words("z" * 62),)], SamplingConfig(max_tokens=1))
    blind = replace(mine, sizes=replace(mine.sizes, patch_size=0))
    with pytest.raises(ValueError, match=r"shown as patches of \(8, 3\), this agent reads \(0, 3\)"):
        blind.write([PROMPTS[1]])
    with pytest.raises(ValueError, match=r"conv of \(8, 16, 3\), this agent reads \(0, 0, 0\)"):
        replace(mine, layout=DocumentLayout(VOCABULARY, ByteTokenizer(), WHOLE)).write([PROMPTS[1]])
    with pytest.raises(ValueError, match="build the layout with the vocabulary of training"):
        replace(mine, layout=DocumentLayout(Vocabulary(), ByteTokenizer()))
    with pytest.raises(ValueError, match=r"is shorter than argument 1|is longer than argument 1"):
        mine.likelihoods([()], ["a", "b"])


def sources(*pairs: tuple[str, str | None]) -> SimpleNamespace:
    return SimpleNamespace(documents=tuple(SimpleNamespace(corpus=name, measure=measure) for name, measure in pairs))


def test_a_source_is_found_by_name_or_by_what_is_measured():
    config = sources(("photos", "caption"), ("books", "text"), ("talk", "dialogue"), ("more", "text"))
    assert choose_source(config, "talk", ("text",)) == 2
    assert choose_source(config, None, ("text",)) == 1
    assert choose_source(config, None, ("label", "dialogue", "text")) == 2
    with pytest.raises(ValueError, match="no document source 'bokks'; did you mean books"):
        choose_source(config, "bokks", ("text",))
    with pytest.raises(ValueError, match=r"is of label: photos \(caption\), books \(text\).*name one with --source"):
        choose_source(config, None, ("label",))
    with pytest.raises(ValueError, match="trained without documents"):
        choose_source(sources(), None, ("text",))


def test_without_a_measure_the_corpus_itself_says_it():
    config = sources(("text:/nowhere", None), ("digits", None))
    assert choose_source(config, None, ("caption", "label")) == 1
    with pytest.raises(ValueError, match=r"text:/nowhere \(cannot be opened\), digits \(label\)"):
        choose_source(config, None, ("text",))


def test_a_run_without_documents_cannot_write():
    with pytest.raises(ValueError, match="trained without documents"):
        Writer.load(trained())


def test_powers_of_two():
    found: Sequence[int] = [power_of_two(count) for count in (1, 2, 3, 4, 5, 64, 65)]
    assert found == [1, 2, 4, 4, 8, 64, 128]
    assert power_of_two(3, 16) == 16
