"""Pictures over OpenAI's API: `/v1/images/generations`, as bytes in the answer; nothing is kept, so there is no URL."""

import base64
import time
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from generalist.agent.sampling import DRAWN_AT, GUIDANCE, SamplingConfig
from generalist.play.painter import Painter, grid_png
from generalist.play.server.asked import ApiError
from generalist.play.server.completions import Completions

MOST_PICTURES = 10
"""Of one request, as OpenAI has it."""
LARGEST = 2048
"""Pixels along a side of a picture that is enlarged."""


class ImageRequest(BaseModel):
    """The fields that are understood; others do not change what an agent of this kind draws."""

    prompt: Annotated[str, Field(min_length=1)]
    model: str | None = None
    n: Annotated[int, Field(ge=1, le=MOST_PICTURES)] = 1
    size: str = "auto"
    response_format: Literal["b64_json"] | None = None
    output_format: Literal["png"] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    temperature: float = DRAWN_AT
    top_k: int = 0
    top_p: float = 1.0
    guidance: float = GUIDANCE


@dataclass(frozen=True)
class Images:
    """The route, beside that of texts: one thread writes both."""

    texts: Completions

    @property
    def routes(self) -> list[Route]:
        return [Route("/v1/images/generations", self._draw, methods=["POST"])]

    async def _draw(self, request: Request) -> Response:
        try:
            asked = _parsed(await self.texts.body_of(request))
            painter = self._painter(asked.model)
            scale = _scale(asked.size, painter)
            self.texts.check_room()
            drawn = await self.texts.in_thread(lambda: _drawn(painter, asked))
            self.texts.metrics.requests.labels("answered").inc()
            files = [base64.b64encode(grid_png(picture[None], 1, scale)).decode() for picture in drawn]
            return JSONResponse({"created": int(time.time()), "data": [{"b64_json": file} for file in files]})
        except ApiError as error:
            self.texts.metrics.requests.labels("refused").inc()
            return JSONResponse(error.body(), status_code=error.status)

    def _painter(self, name: str | None) -> Painter:
        if not self.texts.painters:
            raise ApiError(404, "this agent was trained to write no pictures", code="model_not_found")
        chosen = name or next(iter(self.texts.painters))
        model = self.texts.model_of(chosen)
        if model.measure != "drawing":
            known = ", ".join(self.texts.painters)
            raise ApiError(400, f"{chosen!r:.200} draws no pictures; these do: {known}", param="model")
        return Painter.of(model.writer)


def _parsed(data: bytes) -> ImageRequest:
    try:
        return ImageRequest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ApiError(400, f"{where or 'the body'}: {first['msg']}", param=where or None) from None


def _drawn(painter: Painter, asked: ImageRequest) -> np.ndarray:
    try:
        sampling = SamplingConfig(temperature=asked.temperature, top_k=asked.top_k, top_p=asked.top_p, seed=asked.seed)
        return painter.draw([asked.prompt] * asked.n, sampling, guidance=asked.guidance)
    except ValueError as error:
        raise ApiError(400, str(error)) from None


def _scale(size: str, painter: Painter) -> int:
    """How many pixels of the answer each pixel of a picture has along a side. Raises ApiError."""
    height, width, _ = painter.visual.config.shape
    if size == "auto":
        return 1
    for scale in range(1, LARGEST // max(height, width) + 1):
        if size == f"{scale * width}x{scale * height}":
            return scale
    said = f"size {size!r:.40} is not supported: pictures are {width}x{height}, or so many times as large"
    raise ApiError(400, said, param="size")
