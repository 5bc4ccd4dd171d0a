"""The server as its clients meet it: what is served, what is refused, and what one client can do to others: nothing."""

import json
import socket
import threading
import time

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("uvicorn")
from serving import DRAWN, MESSAGE, alone, infer, serving
from tiny import trained
from websockets.exceptions import ConnectionClosed, InvalidStatus

import generalist.play.server.running as running
from generalist.play.agent import Agent
from generalist.play.server.wire import pack, unpack

TASKS = ("CartPole-v1", "FrozenLake8x8-v1")
ZEROS = np.zeros(4, np.float32)


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent.load(trained()).with_decode(DRAWN)


@pytest.fixture(scope="module")
def server(agent):
    with serving(agent, TASKS) as made:
        yield made


@pytest.fixture
def client(server):
    with server.connect() as made:
        made.recv(timeout=60)
        yield made


def settled(server, clients: int = 0) -> bool:
    """Whether so many clients are connected, after a while."""
    until = time.monotonic() + 20
    while server.engine.clients != clients and time.monotonic() < until:
        time.sleep(0.02)
    return server.engine.clients == clients


def test_the_first_message_says_what_is_served(server):
    with server.connect() as client:
        greeting = unpack(client.recv(timeout=60))

    assert (greeting["server"], greeting["task"], greeting["chunk"]) == ("test", "CartPole-v1", 1)
    assert greeting["observation_space"]["shape"] == [4]
    assert greeting["action_space"]["n"] == 2


@pytest.mark.parametrize("task", TASKS)
def test_an_episode_by_messages_is_that_of_this_process(server, agent, task):
    with server.connect(task) as client, gym.make(task) as env:
        client.recv(timeout=60)
        seen, _ = env.reset(seed=4)
        actions = [int(infer(client, observation=seen, reset=True, seed=4)["actions"][0])]
        while len(actions) < 8:
            seen, _, ended, _, _ = env.step(actions[-1])
            if ended:
                break
            actions.append(int(infer(client, observation=seen)["actions"][0]))

    assert actions == alone(agent, task, 4, 8)


def test_an_answer_says_how_long_it_took(client):
    timing = infer(client, observation=ZEROS)["server_timing"]

    assert timing["infer_ms"] > 0
    assert timing["queue_ms"] >= 0
    assert timing["together"] == 1


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"observation": np.zeros(3)}, "shape"),
        ({"observation": ZEROS, "seed": 0.5}, "`seed` must be a whole number"),
        ({"observation": ZEROS, "seed": "7"}, "`seed` must be a whole number"),
        ({"observation": ZEROS, "reset": 3}, "`reset` must be true or false"),
        ({"observation": ZEROS, "reward": [1.0, 2.0]}, "`reward` must be a number"),
        ({"observation": ZEROS, "rewart": 1.0}, "reward"),
        ({"observations": ZEROS}, "needs `observation`"),
        ({}, "nothing"),
        ({"observation": ZEROS, "played": 9}, "played must be whole numbers from 0 to 1"),
    ],
    ids=str,
)
def test_a_wrong_request_is_answered_by_a_text_and_the_next_is_served(client, request_, said):
    infer(client, observation=ZEROS)

    answer = infer(client, **request_)

    assert isinstance(answer, str)
    assert said in answer
    assert infer(client, observation=ZEROS)["actions"][0] in (0, 1)


@pytest.mark.parametrize("message", [b"\xc1", b"", b"\x91" * 10_000, "text", pack([1]), pack(3)], ids=repr)
def test_garbage_is_answered_by_a_text_and_the_next_is_served(client, message):
    client.send(message)

    assert isinstance(client.recv(timeout=60), str)
    assert infer(client, observation=ZEROS)["actions"][0] in (0, 1)


def test_a_message_beyond_the_limit_ends_its_connection_alone(server, client):
    with server.connect() as large:
        large.recv(timeout=60)
        large.send(b"\0" * (MESSAGE + 1))
        with pytest.raises(ConnectionClosed):
            large.recv(timeout=60)

    assert infer(client, observation=ZEROS)["actions"][0] in (0, 1)


def test_clients_that_vanish_give_their_slots_back(server, client):
    for _ in range(12):  # more than are taken at a time
        gone = server.connect()
        gone.recv(timeout=60)
        gone.send(pack({"observation": ZEROS}))
        gone.socket.shutdown(socket.SHUT_RDWR)  # without a word
        assert settled(server, 1)

    assert infer(client, observation=ZEROS)["actions"][0] in (0, 1)


def test_more_clients_than_are_taken_are_told_to_come_again(server):
    clients = [server.connect() for _ in range(8)]
    for each in clients:
        each.recv(timeout=60)
    with server.connect() as late:
        said = late.recv(timeout=60)
    for each in clients:
        each.close()

    assert "8 clients" in said
    assert settled(server)


@pytest.mark.parametrize(("task", "status"), [("CartPole-v0", 404), ("", 404)])
def test_a_task_that_is_not_served_or_not_named_is_refused(server, task, status):
    with pytest.raises(InvalidStatus) as refused:
        server.connect(task)

    assert refused.value.response.status_code == status
    assert "CartPole-v1" in refused.value.response.body.decode()


def test_a_step_that_fails_is_said_and_the_next_is_served(server, client, monkeypatch):
    def fail(*_):
        raise RuntimeError("a fault of ours")

    for table in server.engine._tables:
        monkeypatch.setattr(table.policy, "act", fail)
    said = infer(client, observation=ZEROS)
    monkeypatch.undo()

    assert said == "the server failed: RuntimeError"
    assert infer(client, observation=ZEROS)["actions"][0] in (0, 1)


def test_while_one_task_is_compiled_another_is_served(agent):
    """Many wait for the first, more than there are threads."""
    with serving(agent, TASKS, most=20) as server, server.connect("FrozenLake8x8-v1") as quick:
        quick.recv(timeout=60)
        compiled, going = server.engine._compiled, threading.Event()
        server.engine._compiled = lambda task: (going.wait(60), compiled(task))[1]
        waiting = [server.connect("CartPole-v1") for _ in range(12)]
        with server.connect("FrozenLake8x8-v1") as other:
            other.recv(timeout=10)
            assert infer(other, observation=0)["actions"][0] in range(4)
        going.set()
        assert all(unpack(each.recv(timeout=60))["task"] == "CartPole-v1" for each in waiting)
        for each in waiting:
            each.close()


def test_health_and_what_is_counted(server, client):
    infer(client, observation=ZEROS)

    status, health = server.get("/health")
    counted = server.get("/metrics")[1]

    assert (status, json.loads(health)["status"]) == (200, "ok")
    assert "generalist_clients 1.0" in counted
    assert 'generalist_requests_total{outcome="answered"}' in counted
    assert server.get("/nothing")[0] == 404


def test_a_page_of_another_place_cannot_speak_to_it(agent):
    with serving(agent, TASKS, hosts=("127.0.0.1",)) as server:
        assert server.get("/health", "Host: evil.example")[0] == 421
        assert server.get("/health", "Origin: http://evil.example")[0] == 403
        assert server.get("/health", f"Origin: http://127.0.0.1:{server.port}")[0] == 200
        with pytest.raises(InvalidStatus) as refused:
            server.connect(origin="http://evil.example")
        assert refused.value.response.status_code == 403


def test_with_a_token_nobody_else_is_served(agent):
    with serving(agent, TASKS, token="secret") as server:
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Basic secret"}):
            with pytest.raises(InvalidStatus) as refused:
                server.connect(additional_headers=headers)
            assert refused.value.response.status_code == 401
        assert server.get("/metrics")[0] == 401
        assert server.get("/health")[0] == 200
        assert server.get("/metrics", "Authorization: Bearer secret")[0] == 200
        for kind in ("Bearer", "Api-Key"):
            with server.connect(additional_headers={"Authorization": f"{kind} secret"}) as client:
                client.recv(timeout=60)
                assert infer(client, observation=ZEROS)["actions"][0] in (0, 1)


def test_who_is_silent_for_long_is_let_go(agent):
    with serving(agent, TASKS, idle=0.3) as server, server.connect() as client:
        client.recv(timeout=60)
        assert "no request" in client.recv(timeout=20)
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=20)
        assert settled(server)


def test_a_connection_that_does_not_say_what_it_wants_is_let_go(agent, monkeypatch):
    monkeypatch.setattr(running, "HEADERS_WITHIN", 0.5)
    with serving(agent, TASKS) as server, socket.create_connection((server.host, server.port)) as slow:
        slow.settimeout(20)
        for byte in b"GET /health HT":
            slow.sendall(bytes([byte]))
        assert slow.recv(100) == b""
        assert server.get("/health")[0] == 200
        with server.connect() as client:  # a WebSocket is no such connection
            client.recv(timeout=60)
            time.sleep(1.0)
            assert infer(client, observation=ZEROS)["actions"][0] in (0, 1)


def test_at_the_end_who_has_asked_is_answered_and_nobody_is_taken(agent):
    with serving(agent, TASKS) as server:
        with server.connect() as asking, server.connect() as idle:
            asking.recv(timeout=60), idle.recv(timeout=60)
            policy = server.engine._tables[0].policy
            act = policy.act
            policy.act = lambda *given: (time.sleep(1.0), act(*given))[1]
            asking.send(pack({"observation": ZEROS}))
            time.sleep(0.3)
            server.leave()
            assert "the server ends" in idle.recv(timeout=20)
            assert unpack(asking.recv(timeout=20))["actions"][0] in (0, 1)
            assert "the server ends" in asking.recv(timeout=20)
        server.thread.join(20)
        assert not server.thread.is_alive()


def test_it_ends_though_a_client_is_never_answered(agent):
    with serving(agent, TASKS, grace=0.3) as server, server.connect() as asking:
        asking.recv(timeout=60)
        policy = server.engine._tables[0].policy
        act = policy.act
        policy.act = lambda *given: (time.sleep(4.0), act(*given))[1]
        asking.send(pack({"observation": ZEROS}))
        time.sleep(0.2)
        begun = time.monotonic()
        server.leave()
        server.thread.join(20)
        assert not server.thread.is_alive()
        assert time.monotonic() - begun < 3.5
