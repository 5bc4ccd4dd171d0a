"""Texts over OpenAI's API, asked for by its own client: whole, streamed, several, with pictures, and refused."""

import base64
import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("uvicorn")
pytest.importorskip("openai")
import openai
from serving import infer, serving
from small_writer import AGENT, writer
from tiny import trained

from generalist.agent.sampling import SamplingConfig
from generalist.play.agent import Agent
from generalist.play.dialogue import prompt_of
from generalist.play.server.completions import Model
from generalist.play.writer import Writer
from generalist.tokenizers.parts import Document, Picture, Speaker, Words

HELLO = [{"role": "user", "content": "hello"}]
PIXELS = np.random.default_rng(0).integers(0, 256, (8, 16, 3)).astype(np.uint8)


WRITERS = {"talk": (1, "dialogue"), "books": (2, "text"), "photos": (0, "caption")}


@pytest.fixture(scope="module")
def server():
    models = {name: Model(writer(source), measure) for name, (source, measure) in WRITERS.items()}
    with serving(Agent.load(trained()), ("CartPole-v1",), models=models, body=10_000) as made:
        yield made


@pytest.fixture(scope="module")
def client(server):
    with client_of(server) as made:
        yield made


def client_of(server):
    return openai.OpenAI(base_url=f"http://{server.host}:{server.port}/v1", api_key="none", max_retries=0)


def written(name: str, document: Document, sampling: SamplingConfig, seed: int = 0, stop: tuple[str, ...] = ()) -> str:
    return writer(WRITERS[name][0]).write([document], sampling, seeds=[seed], stop=stop)[0]


def data_url(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def test_models_are_listed(client):
    assert [model.id for model in client.models.list()] == ["talk", "books", "photos"]
    assert client.models.retrieve("books").owned_by == "generalist"
    with pytest.raises(openai.NotFoundError, match="books"):
        client.models.retrieve("book")


def test_an_answer_is_what_the_writer_writes(client):
    sampling = SamplingConfig(temperature=2.0, top_p=0.9, max_tokens=9, seed=4)

    found = client.chat.completions.create(
        model="talk", messages=HELLO, temperature=2.0, top_p=0.9, max_tokens=9, seed=4
    )

    document = (Speaker("user"), Words("hello"), Speaker("assistant"))
    assert found.choices[0].message.content == written("talk", document, sampling)
    assert found.choices[0].message.role == "assistant"
    assert found.choices[0].finish_reason in ("stop", "length")
    assert found.model == "talk"
    assert found.usage.completion_tokens <= 9
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens


def test_what_was_said_before_is_read(client):
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]

    found = client.chat.completions.create(model="talk", messages=messages, temperature=0, max_tokens=9)

    said = (Speaker("user"), Words("a"), Speaker("assistant"), Words("b"))
    document = (*said, Speaker("user"), Words("c"), Speaker("assistant"))
    assert found.choices[0].message.content == written("talk", document, SamplingConfig(max_tokens=9))


def test_a_long_dialogue_forgets_its_oldest_turns(client):
    turns = [{"role": role, "content": "word " * 5} for _ in range(10) for role in ("user", "assistant")]

    found = client.chat.completions.create(model="talk", messages=[*turns, *HELLO], max_tokens=4)

    assert found.usage.prompt_tokens <= AGENT.window


@pytest.mark.parametrize("model", ["talk", "books"])
def test_pieces_together_are_the_whole(client, model):
    asked = {"model": model, "messages": HELLO, "temperature": 3.0, "seed": 1, "max_tokens": 20}
    whole = client.chat.completions.create(**asked)

    events = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))

    text = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
    assert text == whole.choices[0].message.content
    assert len(events) > 3
    assert events[-1].usage == whole.usage
    assert events[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert len({event.id for event in events}) == 1


def test_several_choices_are_drawn_apart_whole_and_streamed(client):
    asked = {"model": "books", "messages": HELLO, "temperature": 3.0, "n": 3, "max_tokens": 9, "seed": 2}
    sampling = SamplingConfig(temperature=3.0, max_tokens=9, seed=2)
    expected = [written("books", prompt_of("hello", "text"), sampling, seed=seed) for seed in range(3)]

    whole = client.chat.completions.create(**asked)
    pieces: dict[int, str] = {}
    for event in client.chat.completions.create(**asked, stream=True):
        choice = event.choices[0]
        pieces[choice.index] = pieces.get(choice.index, "") + (choice.delta.content or "")

    assert [choice.message.content for choice in whole.choices] == expected
    assert list(pieces.values()) == expected
    assert len(set(expected)) == 3


def test_a_text_stops_before_a_stop_string(client):
    asked = {"model": "books", "messages": HELLO, "temperature": 3.0, "seed": 2, "max_tokens": 20}
    whole = client.chat.completions.create(**asked)
    text = whole.choices[0].message.content
    stop = text[3]

    found = client.chat.completions.create(**asked, stop=stop)
    events = list(client.chat.completions.create(**asked, stop=[stop, "never"], stream=True))

    assert found.choices[0].message.content == text[: text.index(stop)]
    assert found.choices[0].finish_reason == "stop"
    assert "".join(event.choices[0].delta.content or "" for event in events) == text[: text.index(stop)]


def test_a_picture_is_captioned(client):
    content = [{"type": "image_url", "image_url": {"url": data_url(PIXELS)}}, {"type": "text", "text": "what is it?"}]

    found = client.chat.completions.create(
        model="photos", messages=[{"role": "user", "content": content}], temperature=0, max_tokens=9
    )

    assert found.choices[0].message.content == written("photos", (Picture(PIXELS),), SamplingConfig(max_tokens=9))


BAD = [
    ({"model": "tolk"}, openai.NotFoundError, "talk"),
    ({"messages": []}, openai.BadRequestError, "messages"),
    ({"messages": [{"role": "judge", "content": "x"}]}, openai.BadRequestError, "role"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, openai.BadRequestError, "last message"),
    ({"messages": [{"role": "user", "content": "word " * 400}]}, openai.BadRequestError, "the agent sees"),
    ({"temperature": -1}, openai.BadRequestError, "temperature"),
    ({"top_p": 7}, openai.BadRequestError, "top_p"),
    ({"n": 99}, openai.BadRequestError, "n: "),
    ({"max_tokens": 0}, openai.BadRequestError, "max_tokens"),
    ({"stop": ["a"] * 5}, openai.BadRequestError, "stop"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, "tools"),
    ({"logprobs": True}, openai.BadRequestError, "logprobs"),
    ({"response_format": {"type": "json_object"}}, openai.BadRequestError, "response_format"),
    ({"presence_penalty": 1.0}, openai.BadRequestError, "presence_penalty"),
    ({"messages": [{"role": "user", "content": "x" * 20_000}]}, openai.APIStatusError, "larger than 10000 bytes"),
]


@pytest.mark.parametrize(("changed", "error", "said"), BAD, ids=[said for _, _, said in BAD])
def test_what_cannot_be_answered_is_an_error_of_their_form(client, changed, error, said):
    with pytest.raises(error, match=said) as refused:
        client.chat.completions.create(**{"model": "talk", "messages": HELLO, "max_tokens": 4} | changed)
    assert refused.value.body["type"] == "invalid_request_error"


URLS = {
    "http://example.com/a.png": "nothing is fetched",
    "file:///etc/passwd": "nothing is fetched",
    "data:image/png;base64,????": "cannot be read",
    "data:image/png;base64,aGVsbG8=": "cannot be read",
    "data:": "nothing is fetched",
}


@pytest.mark.parametrize(("url", "said"), URLS.items(), ids=URLS.keys())
def test_a_picture_that_is_none_is_refused(client, url, said):
    content = [{"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(openai.BadRequestError, match=said):
        client.chat.completions.create(model="photos", messages=[{"role": "user", "content": content}])


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": 1}', b"\xff" * 10], ids=repr)
def test_a_body_that_is_no_request_is_refused(server, body):
    import urllib.error
    import urllib.request

    request = urllib.request.Request(f"http://{server.host}:{server.port}/v1/chat/completions", data=body)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 400


def test_who_goes_away_stops_the_writing(client, monkeypatch):
    """A text of ten seconds whose reader leaves at once; the one thread that writes is then free for others."""
    given = []

    def slow(self, prompt, sampling, *, stop, seed):
        for number in range(200):
            given.append(number)
            time.sleep(0.05)
            yield "x"

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "stream", slow)
        stream = client.chat.completions.create(model="books", messages=HELLO, stream=True)
        while not next(stream).choices[0].delta.content:
            pass
        stream.close()
        answer = client.chat.completions.create(model="books", messages=HELLO, max_tokens=1)

    assert answer.choices
    assert 0 < len(given) < 100


def test_an_agent_without_documents_says_so():
    with serving(Agent.load(trained()), ("CartPole-v1",)) as server, client_of(server) as client:
        assert list(client.models.list()) == []
        with pytest.raises(openai.NotFoundError, match="without documents"):
            client.chat.completions.create(model="talk", messages=HELLO)


def test_a_policy_is_served_while_a_text_is_written(server, client):
    done = threading.Event()

    def write() -> None:
        client.chat.completions.create(model="books", messages=HELLO, n=8, max_tokens=AGENT.window)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    with server.connect() as policy:
        policy.recv(timeout=60)
        for _ in range(3):
            assert infer(policy, observation=np.zeros(4))["actions"][0] in (0, 1)
    thread.join(60)
    assert done.is_set()
