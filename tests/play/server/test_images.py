"""Pictures over OpenAI's API, asked for by its own client: as the painter draws them, of several sizes, and refused."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("uvicorn")
pytest.importorskip("openai")
import openai
from serving import serving
from small_painter import painter
from small_writer import writer
from tiny import trained

from generalist.agent.sampling import SamplingConfig
from generalist.play.agent import Agent
from generalist.play.server.completions import Model


def client_of(server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://{server.host}:{server.port}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def client():
    models = {"talk": Model(writer(1), "dialogue"), "rooms": Model(painter().writer, "drawing")}
    with (
        serving(Agent.load(trained()), ("CartPole-v1",), models=models, body=10_000) as server,
        client_of(server) as made,
    ):
        yield made


def pixels(found) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(base64.b64decode(each.b64_json)))) for each in found.data])


def test_pictures_are_those_of_the_painter(client):
    asked = {"seed": 5, "guidance": 2.0, "temperature": 1.0}
    found = client.images.generate(model="rooms", prompt="a red ball", n=3, extra_body=asked)
    expected = painter().draw(["a red ball"] * 3, SamplingConfig(temperature=1.0, seed=5), guidance=2.0)
    np.testing.assert_array_equal(pixels(found), expected)
    assert found.created > 0
    found = client.images.generate(model="rooms", prompt="a red ball", extra_body={"seed": 5})
    expected = painter().draw(["a red ball"], SamplingConfig(temperature=0.8, seed=5), guidance=1.5)
    np.testing.assert_array_equal(pixels(found), expected)


def test_without_a_name_the_first_that_draws_does_and_sizes_are_multiples(client):
    small, large = (client.images.generate(prompt="a key", size=size) for size in ("auto", "24x24"))
    np.testing.assert_array_equal(pixels(large), np.repeat(np.repeat(pixels(small), 3, axis=1), 3, axis=2))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"size": "9x9"}, "pictures are 8x8, or so many times as large"),
        ({"size": "8x16"}, "is not supported"),
        ({"model": "talk"}, "'talk' draws no pictures; these do: rooms"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x" * 60}, "a text and its picture have"),
        ({"n": 11}, "n: Input should be less than or equal to 10"),
        ({"response_format": "url"}, "response_format"),
        ({"extra_body": {"temperature": -1}}, "temperature must be"),
        ({"extra_body": {"guidance": 0.5}}, "guidance must be 1 or more"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_their_form(client, asked, said):
    with pytest.raises(openai.BadRequestError, match=said):
        client.images.generate(**{"model": "rooms", "prompt": "a ball"} | asked)


def test_an_unknown_model_is_not_found_and_one_that_draws_does_not_talk(client):
    with pytest.raises(openai.NotFoundError, match="no model 'room'"):
        client.images.generate(model="room", prompt="x")
    with pytest.raises(openai.BadRequestError, match="ask it at /v1/images/generations"):
        client.chat.completions.create(model="rooms", messages=[{"role": "user", "content": "hello"}])


def test_an_agent_that_writes_no_pictures_says_so():
    refused = pytest.raises(openai.NotFoundError, match="trained to write no pictures")
    with serving(Agent.load(trained()), ("CartPole-v1",)) as server, client_of(server) as made, refused:
        made.images.generate(prompt="x")
