import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from visual import visual_tokenizer

from generalist.tokenizers.document import DocumentLayout, PictureOptions
from generalist.tokenizers.parts import Picture, Speaker, Words, prompt_and_answer
from generalist.tokenizers.sequence import NO_LOCAL, TOKEN_FIELDS, UNLIMITED, Kind
from generalist.tokenizers.text import ByteTokenizer
from generalist.tokenizers.visual import VisualTokenizer
from generalist.tokenizers.vocabulary import Vocabulary

V = Vocabulary()
SEP, END, FEATURE = V.separator, V.end, V.feature


def layout(images="patches", shape=(32, 32, 3), patch=16):
    return DocumentLayout(V, ByteTokenizer(), PictureOptions(images=images, shape=shape, patch_size=patch))


def picture(*shape, seed=0):
    return Picture(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def ids(text):
    return list(text.encode())


def encode(*documents, source=3, limit=None, **options):
    return layout(**options).encode(documents, source=source, limit=limit)


def test_golden_ids_of_a_text():
    sequence = encode((Words("hi"),))
    assert sequence.ids.tolist() == [SEP, 104, 105, END]
    assert sequence.loss_mask.tolist() == [True, True, True, False]
    assert sequence.targets.tolist()[:3] == [104, 105, END]
    assert sequence.kind.tolist() == [Kind.SEPARATOR, Kind.TEXT, Kind.TEXT, Kind.TEXT]
    assert sequence.position.tolist() == [0, 1, 2, 3]
    assert sequence.segment.tolist() == [1] * 4
    assert sequence.source.tolist() == [3] * 4
    assert sequence.timestep.tolist() == [0] * 4
    assert sequence.local.tolist() == [NO_LOCAL] * 4
    assert sequence.context.tolist() == [UNLIMITED] * 4
    assert sequence.visible.all()
    assert {name: getattr(sequence, name).dtype.type for name in TOKEN_FIELDS} == TOKEN_FIELDS


def test_a_text_that_goes_on_has_no_end():
    sequence = encode((Words("hi", whole=False),), (Words("!"),))
    assert sequence.ids.tolist() == [SEP, 104, 105, SEP, 33, END]
    assert sequence.segment.tolist() == [1, 1, 1, 2, 2, 2]
    assert sequence.position.tolist() == [0, 1, 2, 0, 1, 2]
    assert sequence.loss_mask.tolist() == [True, True, False, True, True, False]


def test_a_dialogue_has_speakers_and_a_loss_on_what_is_wanted():
    sequence = encode((Speaker("user"), Words("a", target=False), Speaker("assistant"), Words("b")))
    user, assistant = V.speaker("user"), V.speaker("assistant")
    assert sequence.ids.tolist() == [SEP, user, 97, END, assistant, 98, END]
    assert sequence.loss_mask.tolist() == [False, False, False, False, True, True, False]
    assert sequence.targets[sequence.loss_mask].tolist() == [98, END]
    assert sequence.kind[[1, 4]].tolist() == [Kind.SEPARATOR] * 2


WORDS = st.builds(Words, st.text(max_size=6), st.booleans(), st.booleans())
SPEAKERS = st.sampled_from(["system", "user", "assistant"]).map(Speaker)
PICTURES = st.builds(picture, st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 4]))
DOCUMENTS = st.lists(st.lists(st.one_of(WORDS, SPEAKERS, PICTURES), max_size=4).map(tuple), min_size=1, max_size=3)


def expected(document, picture_tokens):
    """(id, is it a target) of every token, one by one."""
    rows = [(SEP, False)]
    for part in document:
        if isinstance(part, Words):
            raw = ByteTokenizer().encode(part.text).tolist()
            rows += [(each, part.target) for each in raw + [END] * part.whole]
        elif isinstance(part, Speaker):
            rows.append((V.speaker(part.name), False))
        else:
            rows += [(FEATURE, False)] * picture_tokens
    return rows


@given(DOCUMENTS, st.sampled_from(["patches", "conv"]))
def test_tokens_are_those_of_each_part_and_targets_follow(documents, images):
    form = layout(images)
    sequence = form.encode(documents, source=0)
    rows = [expected(document, 4 if images == "patches" else 1) for document in documents]
    assert sequence.ids.tolist() == [token for row in rows for token, _ in row]
    follows = [wanted for row in rows for _, wanted in [*row[1:], (0, False)]]
    assert sequence.loss_mask.tolist() == follows
    at = np.flatnonzero(sequence.loss_mask)
    np.testing.assert_array_equal(sequence.targets[at], sequence.ids[at + 1])
    assert (sequence.segment[at] == sequence.segment[at + 1]).all()
    is_feature = np.isin(sequence.kind, [Kind.PATCH, Kind.IMAGE])
    np.testing.assert_array_equal(is_feature, sequence.ids == FEATURE)
    places = sequence.patch_at if images == "patches" else sequence.image_at
    np.testing.assert_array_equal(places, np.flatnonzero(is_feature))


@given(DOCUMENTS, st.sampled_from(["patches", "conv"]), st.integers(0, 60))
def test_a_limit_cuts_the_end_and_never_through_a_picture(documents, images, limit):
    form = layout(images)
    whole, cut = form.encode(documents, source=0), form.encode(documents, source=0, limit=limit)
    total = min(limit, len(whole))
    while total and total < len(whole) and whole.ids[total] == FEATURE == whole.ids[total - 1]:
        places = np.flatnonzero(whole.ids == FEATURE)
        first = int(places[places < total].size) // form.picture_tokens * form.picture_tokens
        if places[first] >= total:
            break  # between two pictures
        total = int(places[first])
    assert len(cut) == total
    np.testing.assert_array_equal(cut.ids, whole.ids[:total])
    np.testing.assert_array_equal(cut.loss_mask, np.append(whole.loss_mask[: max(total - 1, 0)], [False] * (total > 0)))
    for values, at in (("patches", "patch_at"), ("images", "image_at")):
        kept = getattr(whole, at) < total
        np.testing.assert_array_equal(getattr(cut, at), getattr(whole, at)[kept])
        if kept.size:
            np.testing.assert_array_equal(getattr(cut, values), getattr(whole, values)[kept])


def test_a_batch_is_its_documents_one_by_one():
    documents = [(Words("a"),), (picture(9, 9, 3), Words("b")), (Speaker("user"), picture(40, 20, 1), Words("c"))]
    together = encode(*documents)
    alone = [encode(document) for document in documents]
    for name in ("ids", "kind", "position", "loss_mask"):
        np.testing.assert_array_equal(getattr(together, name), np.concatenate([getattr(a, name) for a in alone]))
    np.testing.assert_array_equal(together.patches, np.concatenate([a.patches for a in alone]))
    assert together.segment.tolist() == [s for s, a in enumerate(alone, 1) for _ in a.ids]


def test_patches_hold_the_pixels_in_raster_order():
    shown = picture(32, 32, 3)
    sequence = encode((shown, Words("x")))
    assert sequence.ids.tolist() == [SEP, *[FEATURE] * 4, 120, END]
    assert sequence.patch_at.tolist() == [1, 2, 3, 4]
    assert sequence.patches.shape == (4, 16 * 16 * 3)
    pixels = sequence.patches.reshape(4, 16, 16, 3)
    np.testing.assert_array_equal(pixels[1], shown.pixels[:16, 16:])
    np.testing.assert_array_equal(pixels[2], shown.pixels[16:, :16])
    assert sequence.patch_rows.tolist() == [[0, 64], [0, 64], [64, 127], [64, 127]]
    assert sequence.patch_cols.tolist() == [[0, 64], [64, 127], [0, 64], [64, 127]]
    assert sequence.images.shape[0] == 0


def test_whole_pictures_are_one_token_each():
    first, second = picture(32, 32, 3), picture(32, 32, 3, seed=1)
    sequence = encode((first, second, Words("x")), images="conv")
    assert sequence.ids.tolist() == [SEP, FEATURE, FEATURE, 120, END]
    assert sequence.kind[1:3].tolist() == [Kind.IMAGE] * 2
    assert sequence.image_at.tolist() == [1, 2]
    np.testing.assert_array_equal(sequence.images, np.stack([first.pixels, second.pixels]))
    assert sequence.patches.shape == (0, 0)


def test_sequences_without_pictures_have_features_of_the_same_widths():
    for images in ("patches", "conv"):
        with_, without = encode((picture(8, 8, 1),), images=images), encode((Words("x"),), images=images)
        for name in ("patches", "patch_at", "patch_rows", "patch_cols", "vectors", "images", "image_at"):
            a, b = getattr(with_, name), getattr(without, name)
            assert a.shape[1:] == b.shape[1:]
            assert a.dtype == b.dtype
            assert len(b) == 0


@pytest.mark.parametrize("size", [(7, 50), (64, 64), (32, 32), (1, 1), (100, 8)])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("wanted", [1, 3])
def test_pictures_of_any_size_and_channels_are_brought_to_one(size, channels, wanted):
    even = Picture(np.full((*size, channels), 77, np.uint8))
    found = encode((even,), images="conv", shape=(32, 24, wanted)).images
    assert found.shape == (1, 32, 24, wanted)
    assert np.abs(found.astype(int) - 77).max() <= 1


def test_colour_grey_and_alpha():
    red = Picture(np.full((4, 4, 4), (255, 0, 0, 9), np.uint8))
    assert encode((red,), images="conv", shape=(4, 4, 1)).images[0, 0, 0].tolist() == [76]
    assert encode((red,), images="conv", shape=(4, 4, 3)).images[0, 0, 0].tolist() == [255, 0, 0]
    grey = picture(4, 4, 1)
    np.testing.assert_array_equal(
        encode((grey,), images="conv", shape=(4, 4, 3)).images[0], np.repeat(grey.pixels, 3, axis=2)
    )


def test_shrinking_averages():
    board = Picture((np.indices((64, 64)).sum(0) % 2 * 200).astype(np.uint8)[:, :, None])
    assert set(encode((board,), images="conv", shape=(32, 32, 1)).images.ravel().tolist()) == {100}


def test_a_prompt_ends_before_the_last_target():
    shown, ask = picture(4, 4, 3), Words("How many?", target=False)
    assert prompt_and_answer((shown, ask, Words("2"))) == ((shown, ask), "2")
    document = (
        Speaker("user"),
        Words("a"),
        Speaker("assistant"),
        Words("b"),
        Speaker("user"),
        Words("c", target=False),
    )
    assert prompt_and_answer(document) == (document[:3], "b")
    assert prompt_and_answer((Words("x"),)) == ((), "x")
    with pytest.raises(ValueError, match="a document without a target has no answer"):
        prompt_and_answer((shown, ask))


@given(st.lists(st.one_of(WORDS, SPEAKERS), max_size=4).map(tuple))
def test_prompt_and_answer_are_the_document_up_to_its_end(document):
    if not any(isinstance(part, Words) and part.target for part in document):
        return
    prompt, answer = prompt_and_answer(document)
    shown, whole = encode(prompt), encode(document)
    said = ByteTokenizer().encode(answer).tolist()
    assert whole.ids[: len(shown) + len(said)].tolist() == shown.ids.tolist() + said


def test_sizes():
    assert (layout().patches, layout().patch_values, layout().picture_tokens) == (4, 768, 4)
    assert (layout("conv").patches, layout("conv").patch_values, layout("conv").picture_tokens) == (0, 0, 1)
    odd = layout(shape=(20, 40, 1), patch=16)
    assert (odd.patches, odd.patch_values) == (6, 256)
    assert odd.encode([(picture(5, 5, 3),)], source=0).patches.shape == (6, 256)


def test_a_long_text_takes_time_in_proportion():
    text = "word " * 200_000
    assert len(encode((Words(text),))) == 1_000_002
    many = tuple(Words("a", whole=False) for _ in range(30_000))
    assert len(encode(many)) == 30_001


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), r"got float32 of shape \(4, 4, 3\)"),
        (np.zeros((4, 4), np.uint8), r"got uint8 of shape \(4, 4\)"),
        (np.zeros((4, 4, 2), np.uint8), r"got uint8 of shape \(4, 4, 2\)"),
        (np.zeros((0, 4, 3), np.uint8), r"got uint8 of shape \(0, 4, 3\)"),
    ],
)
def test_what_is_no_picture_is_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        Picture(pixels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": "whole"}, "images must be patches, conv, bands or visual, got 'whole'"),
        ({"shape": (64, 64)}, r"must be \(height, width, channels\), got \(64, 64\)"),
        ({"shape": (64, 64, 4)}, "1 or 3"),
        ({"shape": (0, 64, 3)}, "height, width, channels"),
        ({"patch_size": 0}, "patch_size must be positive, got 0"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PictureOptions(**options)


def test_a_vocabulary_too_small_for_the_text_is_refused():
    with pytest.raises(ValueError, match=r"has 256 ids, the vocabulary holds 100; build it with .*text_size=256"):
        DocumentLayout(Vocabulary(text_size=100), ByteTokenizer())


def test_no_documents_and_negative_limits_are_refused():
    with pytest.raises(ValueError, match=r"at least one document .* got 0 and None"):
        encode()
    with pytest.raises(ValueError, match="got 1 and -1"):
        encode((Words("x"),), limit=-1)
    with pytest.raises(ValueError, match="a speaker is one of system, user, assistant, got 'bot'"):
        encode((Speaker("bot"),))


def drawing_layout() -> DocumentLayout:
    return DocumentLayout(
        Vocabulary(visual_size=25), ByteTokenizer(), PictureOptions(images="conv"), visual_tokenizer()
    )


def test_a_picture_that_is_written_stands_as_its_ids_and_carries_a_loss():
    made, tokenizer = drawing_layout(), visual_tokenizer()
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    document = (Words("a"), Picture(pixels, written=True))
    sequence = made.encode([document], source=3)
    ids = tokenizer.encode(pixels[None])[0] + made.vocabulary.visual[0]
    assert sequence.ids.tolist() == [made.vocabulary.separator, ord("a"), made.vocabulary.end, *ids]
    assert sequence.kind[3:].tolist() == [Kind.VISUAL] * 4
    assert sequence.local.tolist() == [-1, -1, -1, 0, 1, 2, 3]
    assert sequence.targets[2:6].tolist() == ids.tolist()
    assert sequence.loss_mask.tolist() == [True] * 6 + [False]
    assert made.length(document) == len(sequence) == 7
    assert made.vocabulary.visual == (made.vocabulary.specials[1], made.vocabulary.size)


def test_a_picture_may_be_read_and_written_in_one_document():
    made = drawing_layout()
    pixels = np.zeros((16, 16, 3), np.uint8)
    sequence = made.encode([(Picture(pixels), Words("b", target=False), Picture(pixels, written=True))], source=0)
    assert sequence.kind.tolist() == [7, 3, 1, 1, 9, 9, 9, 9]
    assert len(sequence.images) == 1
    assert sequence.loss_mask.tolist() == [False, False, False, True, True, True, True, False]


def test_a_picture_is_encoded_once(monkeypatch):
    made, asked = drawing_layout(), []
    encode = VisualTokenizer.encode
    monkeypatch.setattr(VisualTokenizer, "encode", lambda self, pictures: asked.append(1) or encode(self, pictures))
    pixels = np.full((8, 8, 3), 7, np.uint8)
    both = [made.encode([(Picture(pixels, written=True),)], source=0) for _ in range(2)]
    assert asked == [1]
    assert both[0].ids.tolist() == both[1].ids.tolist()


def test_writing_a_picture_needs_a_visual_tokenizer_of_the_vocabulary_s_size():
    pixels = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="generalist tokenizer train-images"):
        layout().encode([(Picture(pixels, written=True),)], source=0)
    with pytest.raises(
        ValueError, match=r"has 25 ids, the vocabulary holds 0; build it with Vocabulary\(visual_size=25\)"
    ):
        DocumentLayout(Vocabulary(), ByteTokenizer(), PictureOptions(), visual_tokenizer())
