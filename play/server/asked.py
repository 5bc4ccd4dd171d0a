"""A request to `/v1/chat/completions`, as OpenAI's API has it: its fields, and what of them this server understands."""

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from generalist.agent.sampling import SamplingConfig
from generalist.corpora.pictures import decode_image
from generalist.tokenizers.parts import Picture

MOST_CHOICES, MOST_STOPS = 16, 4
DEFAULT_TOKENS = 128
NOT_UNDERSTOOD = (
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "audio",
)
"""Fields that would change the answer, and are refused rather than passed over."""


class ApiError(ValueError):
    """What is answered instead: OpenAI's form of an error."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None):
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    def body(self) -> dict[str, Any]:
        kind = "server_error" if self.status >= 500 else "rate_limit_error" if self.status == 429 else None
        kind = kind or "invalid_request_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


class Address(BaseModel):
    url: str


class Part(BaseModel):
    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: Address | None = None


class Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]


class StreamOptions(BaseModel):
    include_usage: bool = False


class ResponseFormat(BaseModel):
    type: str = "text"


class ChatRequest(BaseModel):
    """The fields that are understood; others do not change what an agent of this kind says."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] = 1
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: str | Annotated[list[str], Field(max_length=MOST_STOPS)] | None = None
    seed: int | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_format: ResponseFormat | None = None

    def sampling(self, most: int) -> SamplingConfig:
        """How texts are drawn, of at most `most` tokens. Raises ApiError."""
        tokens = self.max_completion_tokens or self.max_tokens or DEFAULT_TOKENS
        try:
            return SamplingConfig(
                temperature=self.temperature,
                top_p=self.top_p,
                top_k=self.top_k,
                max_tokens=min(tokens, most),
                seed=0 if self.seed is None else self.seed % 2**32,
            )
        except ValueError as error:
            raise ApiError(400, str(error), param=str(error).split()[0]) from None

    @property
    def stops(self) -> tuple[str, ...]:
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(each for each in given if each)


@dataclass(frozen=True)
class Said:
    """One message: who, the text, and the pictures with it."""

    role: str
    text: str
    pictures: tuple[Picture, ...]


def parsed(data: bytes) -> ChatRequest:
    """The request in the body. Raises ApiError."""
    try:
        asked = ChatRequest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ApiError(400, f"{where or 'the body'}: {first['msg']}", param=where or None) from None
    for name in NOT_UNDERSTOOD:
        if (asked.model_extra or {}).get(name):
            raise ApiError(400, f"{name} is not supported by this agent", param=name, code="unsupported_parameter")
    for name in ("presence_penalty", "frequency_penalty"):
        if getattr(asked, name):
            raise ApiError(400, f"{name} is not supported by this agent", param=name, code="unsupported_parameter")
    if asked.response_format is not None and asked.response_format.type != "text":
        said = f"response_format {asked.response_format.type!r:.40} is not supported: this agent writes text"
        raise ApiError(400, said, param="response_format", code="unsupported_parameter")
    return asked


def said_of(message: Message) -> Said:
    """A message's text and pictures. Raises ApiError where a picture is none, or stands elsewhere."""
    if isinstance(message.content, str):
        return Said(message.role, message.content, ())
    texts, pictures = [], []
    for part in message.content:
        if part.type == "text":
            texts.append(part.text or "")
        elif part.image_url is None:
            raise ApiError(400, "a part of type image_url needs image_url: {url: ...}", param="messages")
        else:
            pictures.append(_picture(part.image_url.url))
    return Said(message.role, " ".join(text for text in texts if text), tuple(pictures))


def _picture(url: str) -> Picture:
    head, comma, data = url.partition(",")
    if not url.startswith("data:") or not comma:
        raise ApiError(400, "a picture must be a data: URL with its bytes; nothing is fetched", param="messages")
    try:
        file = base64.b64decode(data, validate=True) if head.endswith(";base64") else unquote_to_bytes(data)
        return decode_image(file, "the picture")
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, f"the picture cannot be read: {error}", param="messages") from None
