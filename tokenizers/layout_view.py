"""What stands in a timestep of a layout, as a table for a notebook: one row for each leaf of the spaces."""

from collections.abc import Iterator
from html import escape
from typing import Any

from generalist.tokenizers.continuous import ContinuousField, VectorField
from generalist.tokenizers.discrete import DiscreteField
from generalist.tokenizers.encoding import spans_of
from generalist.tokenizers.image import PatchField, WholeImageField
from generalist.tokenizers.layout_sizes import TimestepSizes

HEADS = ("leaf", "space", "tokens", "shown as")


def layout_html(layout: TimestepSizes) -> str:
    """Leaves in the order of their tokens, and below them the choices that are not the defaults'."""
    cell = '<td style="text-align: left; vertical-align: top">'
    body = "".join(f"<tr>{''.join(f'{cell}{escape(word)}</td>' for word in row)}</tr>" for row in _rows(layout))
    head = "".join(f'<th style="text-align: left">{head}</th>' for head in HEADS)
    title = f"A timestep: at most {layout.max_tokens} tokens, {layout.action_tokens} predicted as its action"
    chosen = escape(str(layout.options))
    return f"<div><strong>{title}</strong><table><thead><tr>{head}</tr></thead>{body}</table><p>{chosen}</p></div>"


def _rows(layout: TimestepSizes) -> Iterator[tuple[str, str, str, str]]:
    for leaf, limit in zip(layout.text_leaves, layout.text_limits, strict=True):
        yield leaf.path, str(leaf.space), f"up to {limit}", f"text by {layout.text.version}"
    for part, start, stop in layout.observation_spans:
        yield part.leaf.path, str(part.leaf.space), str(stop - start), _form(part)
    if layout.options.separator:
        yield "", "", "1", "separator"
    where = "answered by the last position" if layout.direct else "one after the other"
    for part, start, stop in spans_of(layout.action_fields):
        yield part.leaf.path, str(part.leaf.space), str(stop - start), f"{_form(part)}, {where}"


def _form(part: Any) -> str:
    if isinstance(part, VectorField):
        return f"one vector of {part.count} normalised values"
    if isinstance(part, PatchField):
        return f"patches of {part.patch_size} x {part.patch_size} pixels"
    if isinstance(part, WholeImageField):
        return f"whole images of {' x '.join(map(str, part.image_shape))}"
    if isinstance(part, ContinuousField):
        forms = sorted({str(form) or "to be found in the data" for form in part.forms})
        return f"{part.tokenizer.bins} bins each, by {', '.join(forms)}"
    return "digits" if isinstance(part, DiscreteField) else "text"
