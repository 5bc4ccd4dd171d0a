"""Texts over OpenAI's API: `/v1/models` and `/v1/chat/completions`, whole or as they are written.

A model is one document source of the agent, as which it writes. Texts are written one request after another, by one
thread beside that of the policies.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from generalist.agent.sampling import SamplingConfig
from generalist.corpora.corpus import Measure
from generalist.envs.names import nearest
from generalist.play.dialogue import fitting, joined, prompt_of, room_for, turn
from generalist.play.server.asked import ApiError, ChatRequest, Said, parsed, said_of
from generalist.play.server.metrics import Metrics
from generalist.play.writer import Writer, Written
from generalist.tokenizers.parts import Document, Words

BODY_WITHIN = 30.0
"""Seconds in which the body of a request must have come."""
WAITING = 32
"""Requests that may wait to be written; more are told to come again."""
DONE = "data: [DONE]\n\n"


@dataclass(frozen=True)
class Model:
    """A writer by the name that clients ask for.

    Args:
        measure: what its source is: dialogues, questions, texts or captions; None is not known.
        picture_first: of a dialogue, whether pictures stand before the user's mark.
    """

    writer: Writer
    measure: Measure | None
    picture_first: bool = False

    def prompt(self, messages: Sequence[Said], max_tokens: int) -> Document:
        """The messages as a document that fits the window, its oldest turns forgotten. Raises ApiError."""
        if messages[-1].role != "user":
            raise ApiError(400, "the last message must be the user's: it is what is answered", param="messages")
        last = messages[-1]
        if self.measure != "dialogue":
            return prompt_of(last.text, self.measure, last.pictures)
        turns: list[Document] = []
        for before, after in pairwise(messages):
            if (before.role, after.role) == ("user", "assistant"):
                heard = turn(before.text, before.pictures, picture_first=self.picture_first)
                turns.append((*heard, Words(after.text, target=False)))
        asked = turn(last.text, last.pictures, picture_first=self.picture_first)
        room = room_for(self.writer.config.window, max_tokens)
        return joined(fitting(turns, asked, self.writer.length, room), asked)


@dataclass
class Completions:
    """The routes, and the thread that writes.

    Args:
        models: by name; the first is the agent's main one.
        body: bytes of the largest body of a request.
        leaving: set once the server ends.
    """

    models: Mapping[str, Model]
    metrics: Metrics
    body: int
    leaving: asyncio.Event
    waiting: int = 0
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "writer"))
    _made: int = field(default_factory=lambda: int(time.time()))

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/v1/models", self._list),
            Route("/v1/models/{name:path}", self._one),
            Route("/v1/chat/completions", self._complete, methods=["POST"]),
        ]

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)

    async def _list(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._described(name) for name in self.models]})

    async def _one(self, request: Request) -> Response:
        try:
            self.model_of(request.path_params["name"])
        except ApiError as error:
            return JSONResponse(error.body(), status_code=error.status)
        return JSONResponse(self._described(request.path_params["name"]))

    def _described(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._made, "owned_by": "generalist"}

    def model_of(self, name: str) -> Model:
        """The model of a name. Raises ApiError."""
        if not self.models:
            raise ApiError(404, "this agent was trained without documents: it has no text to go on from")
        if name not in self.models:
            said = f"there is no model {name!r:.200}; {nearest(name[:200], list(self.models))}"
            raise ApiError(404, said, param="model", code="model_not_found")
        return self.models[name]

    async def _complete(self, request: Request) -> Response:
        try:
            asked = parsed(await self.body_of(request))
            model = self.model_of(asked.model)
            if model.measure == "drawing":
                raise ApiError(400, "this model draws: ask it at /v1/images/generations", param="model")
            sampling = asked.sampling(model.writer.config.window)
            document = model.prompt([said_of(message) for message in asked.messages], sampling.max_tokens)
            length = await asyncio.to_thread(_length, model.writer, document)
            self.check_room()
            writing = _Writing(self, model, document, sampling, asked, length)
            if asked.stream:
                return StreamingResponse(writing.events(), media_type="text/event-stream")
            return JSONResponse(await writing.whole())
        except ApiError as error:
            self.metrics.requests.labels("refused").inc()
            return JSONResponse(error.body(), status_code=error.status)

    def check_room(self) -> None:
        """Raises ApiError where no request is taken now."""
        if self.leaving.is_set():
            raise ApiError(503, "the server ends")
        if self.waiting >= WAITING:
            raise ApiError(429, f"{WAITING} requests wait already; try again later", code="rate_limit_exceeded")

    async def in_thread(self, job: Callable[[], Any]) -> Any:
        """What a job gives on the one thread that writes."""
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, job)
        finally:
            self.waiting -= 1

    @property
    def painters(self) -> list[str]:
        """Names of the models that write pictures."""
        return [name for name, model in self.models.items() if model.measure == "drawing"]

    async def body_of(self, request: Request) -> bytes:
        """The body, of bounded size and in bounded time. Raises ApiError."""
        data = bytearray()
        try:
            async with asyncio.timeout(BODY_WITHIN):
                async for chunk in request.stream():
                    data += chunk
                    if len(data) > self.body:
                        raise ApiError(413, f"the request is larger than {self.body} bytes")
        except TimeoutError:
            raise ApiError(408, f"the request did not come within {BODY_WITHIN:g} s") from None
        return bytes(data)


def _length(writer: Writer, document: Document) -> int:
    """Tokens of a prompt. Raises ApiError where the network cannot read it."""
    try:
        return writer.check(document)
    except ValueError as error:
        raise ApiError(400, str(error), param="messages", code="context_length_exceeded") from None


@dataclass
class _Writing:
    """One request as it is answered."""

    completions: Completions
    model: Model
    document: Document
    sampling: SamplingConfig
    asked: ChatRequest
    length: int
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    async def whole(self) -> dict[str, Any]:
        """The answer with all its choices."""
        n = self.asked.n
        texts = await self.completions.in_thread(
            lambda: self.model.writer.written(
                [self.document] * n, self.sampling, stop=self.asked.stops, seeds=list(range(n))
            )
        )
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": text.text, "refusal": None},
                "finish_reason": _reason(text),
                "logprobs": None,
            }
            for index, text in enumerate(texts)
        ]
        self.completions.metrics.requests.labels("answered").inc()
        return {**self._head("chat.completion"), "choices": choices, "usage": self._usage(texts)}

    async def events(self) -> AsyncIterator[str]:
        """The answer as it is written: every choice in turn, each piece an event."""
        texts: list[Written] = []
        for index in range(self.asked.n):
            yield self._event(index, {"role": "assistant", "content": ""})
            async for piece in self._pieces(index, texts.append):
                yield self._event(index, {"content": piece})
            yield self._event(index, {}, _reason(texts[-1]))
        if self.asked.stream_options is not None and self.asked.stream_options.include_usage:
            last = {**self._head("chat.completion.chunk"), "choices": [], "usage": self._usage(texts)}
            yield f"data: {json.dumps(last)}\n\n"
        self.completions.metrics.requests.labels("answered").inc()
        yield DONE

    async def _pieces(self, seed: int, end: Callable[[Written], None]) -> AsyncIterator[str]:
        """What one text is written in; who goes away in the middle stops it."""
        loop, queue, gone = asyncio.get_running_loop(), asyncio.Queue[str | None](), False

        def write() -> None:
            pieces = self.model.writer.stream(self.document, self.sampling, stop=self.asked.stops, seed=seed)
            try:
                while not gone:
                    loop.call_soon_threadsafe(queue.put_nowait, next(pieces))
            except StopIteration as done:
                end(done.value)
            finally:
                loop.call_soon_threadsafe(queue.put_nowait, None)

        written = asyncio.ensure_future(self.completions.in_thread(write))
        try:
            while (piece := await queue.get()) is not None:
                yield piece
            await written
        finally:
            gone = True

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.asked.model}

    def _usage(self, texts: Sequence[Written]) -> dict[str, int]:
        given, written = self.length, sum(text.tokens for text in texts)
        return {"prompt_tokens": given, "completion_tokens": written, "total_tokens": given + written}

    def _event(self, index: int, delta: dict[str, Any], reason: str | None = None) -> str:
        choice = {"index": index, "delta": delta, "finish_reason": reason, "logprobs": None}
        return f"data: {json.dumps({**self._head('chat.completion.chunk'), 'choices': [choice]})}\n\n"


def _reason(text: Written) -> str:
    return "stop" if text.ended else "length"
