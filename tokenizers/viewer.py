"""Looking at a token sequence: what stands at every position, its indices, whether it counts in the loss and for what.

`SequenceView(sequence, vocabulary, layouts=layout)` prints as a table and renders in a notebook; `table` and `html`
give the same as strings. With the layout, values are in the units of the space and named by their path.
"""

import base64
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from html import escape

import numpy as np
from PIL import Image
from rich.table import Table
from rich.text import Text

from generalist.tokenizers.continuous import ContinuousField, ContinuousTokenizer
from generalist.tokenizers.discrete import DiscreteField
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.printable import SafeConsole, printable
from generalist.tokenizers.ranges import range_rows
from generalist.tokenizers.sequence import UNLIMITED, Kind, TokenSequence
from generalist.tokenizers.text import ByteTokenizer, TextTokenizer
from generalist.tokenizers.vocabulary import SPECIALS, Vocabulary

Layouts = Layout | Mapping[int, Layout] | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One position, every cell readable."""

    index: int
    kind: str
    id: int
    value: str
    local: str
    timestep: int
    position: int
    segment: int
    source: int
    context: str
    visible: str
    loss: str
    target: str


@dataclass(frozen=True, repr=False)
class SequenceView:
    """A sequence with what is needed to read it.

    Args:
        sequence: without a batch axis.
        layouts: the layout, or one per source index; without it, ids are explained by the vocabulary alone.
        text: decodes text ids; taken from the layout, else bytes.
        limit: the most positions shown.
    """

    sequence: TokenSequence
    vocabulary: Vocabulary
    layouts: Layouts = None
    text: TextTokenizer | None = None
    limit: int = 500

    def __post_init__(self):
        if np.ndim(self.sequence.ids) != 1:
            raise ValueError(
                f"one sequence is required, got ids of shape {np.shape(self.sequence.ids)}; take one row of it"
            )

    def __repr__(self) -> str:
        return f"SequenceView({_title(self)})"

    def __str__(self) -> str:
        return table(self)

    def _repr_html_(self) -> str:
        return html(self)


def rows(view: SequenceView) -> Iterator[Row]:
    """The first `limit` positions."""
    sequence = view.sequence
    features = _features(sequence)
    named, answers = _named(view), _answers(sequence)
    for i in range(min(len(sequence), view.limit)):
        value, target = named.get(i, (None, None))
        kind = Kind(int(sequence.kind[i]))
        if i in features:
            value = f"{value}: {features[i]}" if value else features[i]
        value = value or _plain(view, int(sequence.ids[i]), kind)
        predicts = bool(sequence.loss_mask[i]) or i in answers
        if sequence.loss_mask[i]:
            what = target or _plain(view, int(sequence.targets[i]), kind)
            target = f"{int(sequence.targets[i])} {what}"
        elif i in answers:
            target = target or ", ".join(f"{each} {_plain(view, each, kind)}" for each in answers[i])
        yield Row(
            index=i,
            kind=kind.name.lower(),
            id=int(sequence.ids[i]),
            value=value,
            local="" if sequence.local[i] < 0 else str(sequence.local[i]),
            timestep=int(sequence.timestep[i]),
            position=int(sequence.position[i]),
            segment=int(sequence.segment[i]),
            source=int(sequence.source[i]),
            context="all" if sequence.context[i] == UNLIMITED else str(sequence.context[i]),
            visible="yes" if sequence.visible[i] else "own step",
            loss="yes" if predicts else "",
            target=(target or "") if predicts else "",
        )


def _answers(sequence: TokenSequence) -> dict[int, list[int]]:
    """Position -> ids that it answers with, those of actions that are predicted directly."""
    found: dict[int, list[int]] = {}
    for at, answer in zip(sequence.answer_at.tolist(), sequence.answers.tolist(), strict=True):
        if at < len(sequence):
            found.setdefault(at, []).append(answer)
    return found


def _plain(view: SequenceView, token: int, kind: Kind) -> str:
    """An id explained by the vocabulary."""
    vocabulary = view.vocabulary
    if kind is Kind.PAD:
        return ""
    if token < vocabulary.text[1]:
        word = _text(view).decode([token])
        return repr(word) if "\ufffd" not in word else f"0x{token:02X}"
    if token < vocabulary.continuous[1]:
        return f"{ContinuousTokenizer(vocabulary.continuous[0], vocabulary.bins).decode(np.asarray(token)):+.4f} (bin)"
    if token < vocabulary.discrete[1]:
        return str(token - vocabulary.discrete[0])
    if vocabulary.visual[0] <= token < vocabulary.visual[1]:
        return f"{token - vocabulary.visual[0]} (picture)"
    names = {vocabulary.specials[0] + index: name for index, name in enumerate(SPECIALS)} | {vocabulary.separator: "|"}
    return names.get(token, "outside the vocabulary")


def _ranges(view: SequenceView) -> list[str]:
    """The ends that were found in the data, one line for each."""
    layouts = {0: view.layouts} if isinstance(view.layouts, Layout) else view.layouts or {}
    return [f"range of {row}" for layout in layouts.values() for row in range_rows(layout.continuous_fields, ("data",))]


def _text(view: SequenceView) -> TextTokenizer:
    if view.text is not None:
        return view.text
    layouts = [view.layouts] if isinstance(view.layouts, Layout) else list((view.layouts or {}).values())
    return layouts[0].text if layouts else ByteTokenizer()


def _features(sequence: TokenSequence) -> dict[int, str]:
    """Position -> a summary of its patch, vector or image."""
    found = {}
    for at, patch, row, col in zip(
        sequence.patch_at, sequence.patches, sequence.patch_rows, sequence.patch_cols, strict=True
    ):
        found[int(at)] = f"rows {row[0]}-{row[1]}, cols {col[0]}-{col[1]}, mean {np.mean(patch):.0f}"
    for at, vector in zip(sequence.vector_at, sequence.vectors, strict=True):
        head = " ".join(f"{x:+.2f}" for x in vector[:6])
        found[int(at)] = f"{len(vector)} values: {head}{' ...' if len(vector) > 6 else ''}"
    for at, image in zip(sequence.image_at, sequence.images, strict=True):
        found[int(at)] = f"{'x'.join(map(str, image.shape))}, mean {np.mean(image):.0f}"
    return found


def _named(view: SequenceView) -> dict[int, tuple[str | None, str | None]]:
    """Position -> (value, target) named by path, for whole timesteps of a known layout."""
    sequence, found = view.sequence, {}
    keys = np.stack([sequence.segment, sequence.timestep, sequence.source], axis=-1)
    cuts = np.flatnonzero((keys[1:] != keys[:-1]).any(-1)) + 1
    for run in np.split(np.arange(len(sequence)), cuts):
        layout = view.layouts if isinstance(view.layouts, Layout) else (view.layouts or {}).get(int(keys[run[0], 2]))
        if layout is None or sequence.segment[run[0]] == 0:
            continue
        body = run[np.cumsum(sequence.kind[run] != Kind.TEXT) > 0]
        if np.array_equal(sequence.kind[body], layout.body_kinds[: len(body)]):
            found |= _name_timestep(layout, sequence, body)
    return found


def _name_timestep(layout: Layout, sequence: TokenSequence, body: np.ndarray) -> dict:
    """The same for the body of one timestep."""
    values: dict[int, str] = {}
    targets: dict[int, str] = {}
    for part, start, stop in layout.observation_spans:
        if stop <= len(body):
            is_value = isinstance(part, ContinuousField | DiscreteField)
            words = _words(part, sequence.ids[body[start:stop]]) if is_value else [part.leaf.path] * (stop - start)
            values |= dict(zip(body[start:stop].tolist(), words, strict=True))
    first = len(layout.body_kinds) - layout.written_tokens
    if layout.direct and first and first == len(body):
        targets |= _name_answers(layout, sequence, int(body[-1]))
    predicting = body[first - 1 : first - 1 + layout.written_tokens]
    if layout.direct or not first or len(predicting) < layout.written_tokens:
        predicting = body[:0]
    for later, start in enumerate(range(0, len(predicting), max(layout.tokens_of_action, 1))):
        at = slice(start, start + layout.tokens_of_action)
        if sequence.loss_mask[predicting[at]].all():
            given, shown = _name_action(layout, sequence, predicting[at], body[first:][at], later)
            targets |= given
            values |= shown
    return {i: (values.get(i), targets.get(i)) for i in values.keys() | targets.keys()}


def _name_answers(layout: Layout, sequence: TokenSequence, at: int) -> dict[int, str]:
    """What a position answers with as an action, or as a chunk of them, in units of the space."""
    ids, width = sequence.answers[sequence.answer_at == at], max(layout.tokens_of_action, 1)
    words = []
    for later, one in enumerate(ids[: len(ids) // width * width].reshape(-1, width)):
        spans = [span for span in layout.action_spans if isinstance(span[0], ContinuousField | DiscreteField)]
        each = [word for part, start, stop in spans for word in _words(part, one[start:stop])]
        words += [f"{word}{_when(later)}" for word in each]
    return {at: ", ".join(words)} if words else {}


def _when(later: int) -> str:
    return f", {later} step{'s' * (later > 1)} later" if later else ""


def _name_action(
    layout: Layout, sequence: TokenSequence, predicting: np.ndarray, shown: np.ndarray, later: int
) -> tuple[dict[int, str], dict[int, str]]:
    """Position -> target and position -> value of one action; in a chunk, of that so many steps later."""
    targets: dict[int, str] = {}
    values: dict[int, str] = {}
    for part, start, stop in layout.action_spans:
        if isinstance(part, ContinuousField | DiscreteField):
            words = [f"{word}{_when(later)}" for word in _words(part, sequence.targets[predicting[start:stop]])]
            targets |= dict(zip(predicting[start:stop].tolist(), words, strict=True))
            values |= dict(zip(shown[start:stop].tolist(), words, strict=False))
    return targets, values


def _words(part: ContinuousField | DiscreteField, ids: np.ndarray) -> list[str]:
    """One string per token: path, element and value in the units of the space."""
    decoded = part.decode(ids[None])[0]
    flat, shape = np.reshape(decoded, -1), np.shape(decoded)
    element = np.arange(len(ids)) if isinstance(part, ContinuousField) else part.element
    words = []
    for token, at in enumerate(element.tolist()):
        where = f"[{','.join(str(int(k)) for k in np.unravel_index(at, shape))}]" if shape else ""
        digits = int((element == at).sum())
        digit = f" digit {token - int(np.searchsorted(element, at)) + 1} of {digits}" if digits > 1 else ""
        number = f"{flat[at]:.4g}" if isinstance(part, ContinuousField) else str(flat[at])
        words.append(f"{part.leaf.path}{where} = {number}{digit}")
    return words


def table(view: SequenceView, *, width: int = 160) -> str:
    """Plain text, one line per position."""
    written = io.StringIO()
    SafeConsole(width=width, file=written, color_system=None).print(rich_table(view))
    return written.getvalue()


def rich_table(view: SequenceView) -> Table:
    """For a rich console, coloured by kind."""
    lines = printable("\n".join(_ranges(view)))
    shown = Table(
        title=Text(printable(_title(view))),
        caption=Text(lines) if lines else None,
        caption_justify="left",
        box=None,
        header_style="bold",
    )
    for column in fields(Row):
        numbers = column.name in ("index", "id", "local", "timestep", "position", "segment", "source", "context")
        shown.add_column(column.name, justify="right" if numbers else "left", overflow="fold")
    for row in rows(view):
        cells = [Text(printable(str(getattr(row, column.name)))) for column in fields(Row)]
        shown.add_row(*cells, style=_RICH.get(row.kind))
    return shown


def _title(view: SequenceView) -> str:
    sequence = view.sequence
    shown = min(len(sequence), view.limit)
    first = f"first {shown} of " if shown < len(sequence) else ""
    return f"{first}{len(sequence)} positions, {_predicted(sequence)} predicted"


def _predicted(sequence: TokenSequence) -> int:
    """How many ids carry a loss."""
    return int(np.sum(sequence.loss_mask)) + int(np.sum(sequence.answer_at < len(sequence)))


_RICH = {
    "pad": "dim",
    "text": "green",
    "patch": "magenta",
    "image": "magenta",
    "vector": "cyan",
    "continuous": "cyan",
    "discrete": "blue",
    "separator": "dim",
    "action": "bold red",
    "visual": "yellow",
}

_COLOURS = {
    "pad": "#9aa0a6",
    "text": "#2e9e5b",
    "patch": "#b03fc4",
    "image": "#b03fc4",
    "vector": "#1397a8",
    "continuous": "#1397a8",
    "discrete": "#3b78e0",
    "separator": "#9aa0a6",
    "action": "#d9483b",
    "visual": "#b07d12",
}

_STYLE = """
.tokens{font:13px/1.4 system-ui,sans-serif;overflow:auto;max-height:80vh;color-scheme:light dark;
background:Canvas;color:CanvasText}
.tokens table{border-collapse:collapse;font-variant-numeric:tabular-nums}
.tokens caption{text-align:left;font-weight:600;padding:6px 8px}
.tokens th,.tokens td{padding:2px 8px;text-align:left;white-space:nowrap;border-bottom:1px solid #8883}
.tokens th{position:sticky;top:0;background:Canvas}
.tokens td.n{text-align:right}
.tokens tr.step td{border-top:2px solid #8888}
.tokens .kind{color:#fff;border-radius:4px;padding:1px 6px}
.tokens img{height:28px;vertical-align:middle;margin-right:8px;image-rendering:pixelated}
"""


def html(view: SequenceView) -> str:
    """A self-contained fragment: a table with a coloured kind, thumbnails of pixels and a line above every timestep."""
    pictures = _pictures(view)
    head = "".join(f"<th>{column.name}</th>" for column in fields(Row))
    body, before = [], None
    for row in rows(view):
        step = (row.segment, row.timestep)
        mark = ' class="step"' if before not in (None, step) else ""
        before = step
        body.append(f"<tr{mark}>{''.join(_cell(row, column.name, pictures) for column in fields(Row))}</tr>")
    ranges = "".join(f"<div>{escape(printable(line))}</div>" for line in _ranges(view))
    return (
        f"<style>{_STYLE}</style><div class='tokens'><table>"
        f"<caption>{escape(printable(_title(view)))}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>{ranges}</div>"
    )


def page(view: SequenceView, *, title: str) -> str:
    """A whole HTML document of it, without scripts and network."""
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
    return f'{head}<meta name="viewport" content="width=device-width, initial-scale=1"><body>{html(view)}</body></html>'


def _cell(row: Row, name: str, pictures: dict[int, str]) -> str:
    value = getattr(row, name)
    if name == "kind":
        return f'<td><span class="kind" style="background:{_COLOURS[row.kind]}">{row.kind}</span></td>'
    if name == "value":
        return f"<td>{pictures.get(row.index, '')}{escape(printable(value))}</td>"
    number = ' class="n"' if name not in ("visible", "loss", "target") else ""
    return f"<td{number}>{escape(printable(str(value)))}</td>"


def _pictures(view: SequenceView) -> dict[int, str]:
    """Position -> an <img> of its patch or image."""
    sequence, found = view.sequence, {}
    for at, patch in zip(sequence.patch_at, sequence.patches, strict=True):
        for channels in (3, 1):
            size = math.isqrt(max(patch.size // channels, 0))
            if at < view.limit and at < len(sequence) and size and size * size * channels == patch.size:
                found[int(at)] = _img(np.asarray(patch).reshape(size, size, channels))
                break
    for at, image in zip(sequence.image_at, sequence.images, strict=True):
        if at < view.limit and at < len(sequence):
            found[int(at)] = _img(np.asarray(image))
    return found


def _img(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]).save(buffer, format="PNG")
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
