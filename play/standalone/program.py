"""A task's policy as one file: the acting step as StableHLO for CPU, CUDA and TPU and any number of environments.

`generalist.play.standalone.policy` plays it and needs neither the network's code nor this one. How observations become
the step's inputs stands in a recipe (`generalist.play.standalone.recipe`); where they stand in the sequence is part of
the program.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from flax import nnx

from generalist.agent.acting import act
from generalist.agent.cache import Cache
from generalist.agent.config import InputSizes
from generalist.play.policy import AgentPolicy
from generalist.play.standalone.policy import PARAMETERS, PIECES, PROGRAM, RECIPE
from generalist.play.standalone.recipe import observed_tokens, recipe_of, text_tokens
from generalist.tokenizers.continuous import VectorField
from generalist.tokenizers.image import GREY, PatchField, WholeImageField
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.sequence import NO_LOCAL, UNLIMITED, Kind, TokenBatch
from generalist.tokenizers.text import SentencePieceTokenizer

PLATFORMS = ("cpu", "cuda", "tpu")
Inputs = dict[str, Any]


def packed(policy: AgentPolicy, graphdef: nnx.GraphDef, task: str) -> bytes:
    """The file's content.

    Args:
        policy: of the task; what stands in its slots does not matter.
        graphdef: the network's structure.

    Raises:
        ValueError: the policy cannot stand alone, see `generalist.play.standalone.recipe.check_exportable`.
    """
    recipe = recipe_of(task, policy.layout, policy.player.decode)
    memory = jax.tree.leaves(policy.cache)
    recipe["memory"] = [[list(each.shape[1:]), str(each.dtype)] for each in memory]
    parameters: dict[str, Any] = {
        str(at): np.asarray(each) for at, each in enumerate(jax.tree.leaves(policy.player.state))
    }
    stored = io.BytesIO()
    np.savez(stored, allow_pickle=False, **parameters)
    parts = {
        RECIPE: json.dumps(recipe).encode(),
        PROGRAM: bytes(exported_step(policy, graphdef).serialize()),
        PARAMETERS: stored.getvalue(),
    }
    if policy.layout.text_leaves and isinstance(policy.layout.text, SentencePieceTokenizer):
        parts[PIECES] = policy.layout.text.model
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def exported_step(policy: AgentPolicy, graphdef: nnx.GraphDef) -> jax.export.Exported:
    """`step(parameters, memory, inputs) -> (ids [B, A], values [B, A], memory)` for any B, see `inputs_of`."""
    layout, state = policy.layout, policy.player.state
    parameters, structure = jax.tree.flatten(state)
    remembered, form = jax.tree.flatten(policy.cache)
    decode = partial(act, graphdef, layout.vocabulary, policy.player.decode)

    def step(parameters: list[jax.Array], memory: list[jax.Array], inputs: Inputs) -> tuple:
        batch = batch_of(layout, policy.player.sizes, policy.source, inputs)
        last = jnp.full(batch.ids.shape[0], batch.ids.shape[1] - 1)
        cache: Cache = jax.tree.unflatten(form, memory)
        ids, values, cache = decode(
            jax.tree.unflatten(structure, parameters),
            *(cache, batch, last, inputs["fresh"], policy.spec, inputs["seed"], inputs["timestep"]),
        )
        return ids, values, jax.tree.leaves(cache)

    (B,) = jax.export.symbolic_shape("b")
    shapes = [jax.ShapeDtypeStruct(each.shape, each.dtype) for each in parameters]
    memory = [jax.ShapeDtypeStruct((B, *each.shape[1:]), each.dtype) for each in remembered]
    return jax.export.export(jax.jit(step), platforms=PLATFORMS)(shapes, memory, inputs_of(layout, B))


def inputs_of(layout: Layout, B: Any) -> Inputs:
    """Shapes of what is read at a step: of each observation leaf what it was encoded to, and where episodes are.

    text [B, L] and text_length [B]: ids of the texts that are shown now; active: who acts; fresh: whose episode begins;
    position, timestep: of the first token read now; last_action: id of the last action's last token where past actions
    are shown, -1 of none; seed: what drawn actions depend on.
    """
    int32 = partial(jax.ShapeDtypeStruct, dtype=jnp.int32)
    flags = {name: jax.ShapeDtypeStruct((B,), jnp.bool_) for name in ("active", "fresh")}
    whole = {name: int32((B,)) for name in ("text_length", "position", "timestep", "last_action")}
    return {
        "observed": [_input_of(part, stop - start, B) for part, start, stop in layout.observation_spans],
        "text": int32((B, text_tokens(layout))),
        "seed": jax.ShapeDtypeStruct((B,), jnp.uint32),
        **flags,
        **whole,
    }


def _input_of(part: Any, tokens: int, B: Any) -> jax.ShapeDtypeStruct:
    if isinstance(part, VectorField):
        return jax.ShapeDtypeStruct((B, part.count), jnp.float32)
    if isinstance(part, PatchField | WholeImageField):
        return jax.ShapeDtypeStruct((B, *part.leaf.space.shape), jnp.uint8)
    return jax.ShapeDtypeStruct((B, tokens), jnp.int32)


@dataclass(frozen=True)
class _Columns:
    """Where the parts of a timestep stand: the last action's token, the texts, the rest."""

    before: int
    texts: int
    rest: int

    @property
    def body(self) -> int:
        return self.before + self.texts


def batch_of(layout: Layout, sizes: InputSizes, source: int, inputs: Inputs) -> TokenBatch:
    """The new positions of every environment; a place that is not used, a text's or the last action's, is padding."""
    options = layout.options
    columns = _Columns(int(options.past_actions == "shown"), text_tokens(layout), observed_tokens(layout))
    B = inputs["active"].shape[0]
    length, position = inputs["text_length"][:, None], inputs["position"][:, None]
    text, rest = jnp.arange(columns.texts)[None], jnp.arange(columns.rest)[None]
    kinds = layout.body_kinds[: columns.rest]
    ids, features = _body(layout, sizes, columns, inputs)
    there = [inputs["last_action"][:, None] >= 0] * columns.before + [text < length, jnp.ones((B, columns.rest), bool)]
    used = jnp.concatenate(there, axis=1) & inputs["active"][:, None]
    earlier = jnp.concatenate([jnp.full((B, columns.before), -1), jnp.zeros((B, columns.texts + columns.rest), int)], 1)
    tokens = {
        "ids": [inputs["last_action"][:, None]] * columns.before + [inputs["text"], ids],
        "kind": [[Kind.ACTION] * columns.before + [Kind.TEXT] * columns.texts + kinds.tolist()],
        "local": [
            jnp.full((B, columns.before), NO_LOCAL),
            jnp.broadcast_to(text, (B, columns.texts)),
            jnp.where(kinds == Kind.SEPARATOR, NO_LOCAL, length + rest),
        ],
        "position": [
            jnp.broadcast_to(position - 1, (B, columns.before)),
            position + text,
            position + length + rest,
        ],
    }
    shape = (B, columns.body + columns.rest)

    def whole(value: Any) -> jax.Array:
        return jnp.broadcast_to(jnp.asarray(value, jnp.int32), shape)

    joined = {
        name: whole(parts[0] if name == "kind" else jnp.concatenate(parts, axis=1)) for name, parts in tokens.items()
    }
    return TokenBatch(
        **{name: jnp.where(used, value, 0) for name, value in joined.items()},
        **features,
        targets=jnp.zeros(shape, jnp.int32),
        loss_mask=jnp.zeros(shape, bool),
        timestep=jnp.where(used, inputs["timestep"][:, None] + earlier, 0).astype(jnp.int32),
        segment=used.astype(jnp.int32),
        source=jnp.where(used, source, 0).astype(jnp.int32),
        context=whole(options.context or UNLIMITED),
        visible=used,
    )


def _body(layout: Layout, sizes: InputSizes, columns: _Columns, inputs: Inputs) -> tuple[jax.Array, dict[str, Any]]:
    """Ids [B, rest] of what is neither text nor action, and the features with their places."""
    B, ids = inputs["active"].shape[0], []
    vectors, images, patches = [], [], []
    for (part, start, stop), given in zip(layout.observation_spans, inputs["observed"], strict=True):
        if isinstance(part, VectorField):
            if stop > start:
                vectors.append(jnp.pad(given, ((0, 0), (0, sizes.vector_values - part.count)))[:, None])
        elif isinstance(part, WholeImageField):
            images.append(_pictures(part, given, part.image_shape[2]))
        elif isinstance(part, PatchField):
            patches.append(_patches(part, given))
        is_feature = isinstance(part, VectorField | WholeImageField | PatchField)
        ids.append(jnp.full((B, stop - start), layout.vocabulary.feature) if is_feature else given)
    ids += [jnp.full((B, 1), layout.vocabulary.separator)] if layout.options.separator else []
    edges = [part.intervals for part in layout.image_fields if isinstance(part, PatchField)]
    no_edges = np.zeros((0, 2), np.int32)

    def joined(blocks: list[jax.Array], shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return jnp.concatenate([jnp.zeros((B, 0, *shape), dtype), *blocks], axis=1)

    def at(kind: Kind) -> jax.Array:
        places = np.flatnonzero(layout.body_kinds[: columns.rest] == kind) + columns.body
        return jnp.broadcast_to(jnp.asarray(places, jnp.int32), (B, len(places)))

    def interval(axis: int) -> jax.Array:
        one = np.concatenate([no_edges, *(pair[axis] for pair in edges)])
        return jnp.broadcast_to(jnp.asarray(one, jnp.int32), (B, *one.shape))

    nothing = jnp.zeros((B, 0), jnp.int32)
    return jnp.concatenate(ids, axis=1), {
        "patches": joined(patches, (layout.patch_values,), jnp.uint8),
        "patch_at": at(Kind.PATCH),
        "patch_rows": interval(0),
        "patch_cols": interval(1),
        "vectors": joined(vectors, (sizes.vector_values,), jnp.float32),
        "vector_at": at(Kind.VECTOR),
        "images": joined(images, layout.image_shape, jnp.uint8),
        "image_at": at(Kind.IMAGE),
        **dict.fromkeys(("answers", "answer_at", "answer_part"), nothing),
    }


def _pictures(part: PatchField | WholeImageField, pixels: jax.Array, channels: int) -> jax.Array:
    """`generalist.tokenizers.image.frames` within the program: uint8[B, frames, height, width, channels]."""
    form = part.form
    x = jnp.moveaxis(pixels, -3, -1) if form.channels_first else pixels
    x = x.reshape(x.shape[0], form.stack, form.height, form.width, form.channels)
    each = [_in_channels(x[..., list(picture)], channels) for picture in form.pictures]
    return jnp.stack(each, axis=2).reshape(x.shape[0], form.frames, form.height, form.width, channels)


def _in_channels(x: jax.Array, channels: int) -> jax.Array:
    if x.shape[-1] == channels:
        return x
    if channels == 3:
        return jnp.repeat(x, 3, axis=-1)
    grey = x.astype(jnp.float32) @ jnp.asarray([0.299, 0.587, 0.114], jnp.float32)
    return jnp.rint(grey).astype(jnp.uint8)[..., None]


def _patches(part: PatchField, pixels: jax.Array) -> jax.Array:
    """`PatchField.encode` within the program."""
    size, x = part.patch_size, _pictures(part, pixels, part.channels)
    more = [(0, 0), (0, 0), (0, -part.form.height % size), (0, -part.form.width % size), (0, 0)]
    padded = jnp.pad(x, more, constant_values=GREY)
    _, k, height, width, channels = padded.shape
    blocks = padded.reshape(x.shape[0], k, height // size, size, width // size, size, channels).swapaxes(3, 4)
    return blocks.reshape(x.shape[0], part.count, size * size * channels)
