import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tfds_files import prepare

from generalist.corpora import open as opening
from generalist.corpora.corpus import BadExampleError
from generalist.corpora.tfds import SETS, fields_of, open_corpus
from generalist.tokenizers.parts import Words

F = tfds.features
LABELLED = {"image": F.Image(shape=(None, None, None)), "label": F.ClassLabel(names=["zero", "one", "two"])}


def png(value: int, channels=1) -> io.BytesIO:
    pixels = np.full((4, 5, 3) if channels == 3 else (4, 5), value, np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    file.seek(0)
    return file


def digits(count=5):
    return [{"image": png(n), "label": n % 3} for n in range(count)]


def test_images_and_labels(tmp_path):
    prepare(tmp_path, "mnist", LABELLED, digits(), splits=("train", "test"))
    corpus = open_corpus(f"mnist@{tmp_path}")
    assert (len(corpus), corpus.measure, corpus.labels) == (5, "label", ("zero", "one", "two"))
    picture, words = corpus[4]
    assert words == Words("one")
    assert picture.pixels.shape == (4, 5, 1)
    assert (picture.pixels == 4).all()
    assert len(open_corpus(f"mnist@{tmp_path}", split="train[:3]")) == 3


@pytest.mark.parametrize("own", ["test", "validation", None])
def test_a_split_that_the_data_set_has_is_the_test_split(tmp_path, own):
    prepare(tmp_path, "mnist", LABELLED, digits(60), splits=("train", own) if own else ("train",), shard=100)
    found = {split: opening.open_corpus(f"tfds:mnist@{tmp_path}", split) for split in ("train", "test")}
    assert {split: len(corpus) for split, corpus in found.items()} == (
        {"train": 60, "test": 60} if own else {"train": 59, "test": 1}
    )
    if own:
        assert found["test"].where.endswith(own)
    with pytest.raises(ValueError, match="has the splits train and test, not heldout"):
        opening.open_corpus(f"tfds:mnist@{tmp_path}", "heldout")


def test_the_folder_of_tfds_is_the_default(tmp_path, monkeypatch):
    prepare(tmp_path, "cifar10", LABELLED, digits(2))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert len(open_corpus("cifar10")) == 2


def test_of_several_captions_one_is_taken_by_number(tmp_path):
    features = {"image": F.Image(), "captions": F.Sequence({"id": np.int64, "text": F.Text()})}
    examples = [
        {"image": png(n, 3), "captions": [{"id": k, "text": f"é {n}.{k}"} for k in range(count)]}
        for n, count in enumerate([2, 2, 1, 3, 0])
    ]
    prepare(tmp_path, "coco_captions", features, examples)
    corpus = open_corpus(f"coco_captions@{tmp_path}")
    assert corpus.measure == "caption"
    assert [corpus[index][1].text for index in range(4)] == ["é 0.0", "é 1.1", "é 2.0", "é 3.0"]
    assert [int(corpus[index][0].pixels[0, 0, 0]) for index in range(4)] == [0, 1, 2, 3]
    with pytest.raises(BadExampleError, match=r"train\[4\]: captions/text is empty"):
        corpus[4]


def test_thirteen_bands_stay_bands(tmp_path):
    features = {"sentinel2": F.Tensor(shape=(4, 4, 13), dtype=np.float32), "label": F.ClassLabel(names=["a", "b"])}
    bands = np.zeros((4, 4, 13), np.float32)
    bands[..., 9:] = 3000
    broken = np.full_like(bands, np.nan)
    prepare(tmp_path, "eurosat/all", features, [{"sentinel2": each, "label": 1} for each in (bands, broken)])
    corpus = open_corpus(f"eurosat/all@{tmp_path}")
    assert corpus[0][0].values[0, 0].tolist() == [0] * 9 + [3000] * 4
    assert corpus[0][0].names[3] == "B04 665 nm red"
    assert corpus[0][1] == Words("b")
    with pytest.raises(BadExampleError, match=r"train\[1\]\.sentinel2: .*nodata"):
        corpus[1]
    with pytest.raises(ValueError, match=r"eurosat in .* has configs; give one of eurosat/all"):
        open_corpus(f"eurosat@{tmp_path}")


def test_texts_with_any_config(tmp_path):
    prepare(tmp_path, "c4/de", {"text": F.Text(), "url": F.Text()}, [{"text": "Grüße", "url": "x"}])
    corpus = open_corpus(f"c4/de@{tmp_path}")
    assert (corpus.measure, corpus[0]) == ("text", (Words("Grüße"),))


def test_the_newest_version_is_read(tmp_path):
    for version, text in (("2.0.0", "old"), ("10.0.0", "new")):
        prepare(tmp_path, "lm1b", {"text": F.Text()}, [{"text": text}], version)
    assert open_corpus(f"lm1b@{tmp_path}")[0] == (Words("new"),)
    assert open_corpus(f"lm1b/2.0.0@{tmp_path}")[0] == (Words("old"),)


@pytest.mark.parametrize(
    ("features", "measure"),
    [
        ({"text": F.Text(), "n": F.Scalar(np.int64)}, "text"),
        ({"photo": F.Image(), "said": F.Text()}, "caption"),
        ({"photo": F.Image(), "name": F.Text(), "kind": F.ClassLabel(num_classes=2)}, "label"),
    ],
)
def test_the_rule_for_unknown_names(features, measure):
    assert fields_of(F.FeaturesDict(features), "mine").measure == measure


@pytest.mark.parametrize(
    "features",
    [{"a": F.Text(), "b": F.Text()}, {"a": F.Image(), "b": F.Image(), "c": F.Text()}, {"n": F.Scalar(np.int64)}],
)
def test_features_that_no_rule_maps_are_named(features):
    name, kind = next((name, type(each).__name__) for name, each in features.items())
    with pytest.raises(ValueError, match=f"no rule makes documents of mine.*{name}: {kind}"):
        fields_of(F.FeaturesDict(features), "mine")


def test_an_unknown_set_is_read_by_the_rule(tmp_path):
    prepare(
        tmp_path,
        "my_set",
        {"pic": F.Image(shape=(None, None, 1)), "what": F.Text()},
        [{"pic": png(7), "what": "Seven."}],
    )
    corpus = open_corpus(f"my_set@{tmp_path}")
    assert (corpus.measure, corpus[0][1]) == ("caption", Words("Seven."))


def test_a_set_that_is_not_prepared_says_how(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"coco_captions is not prepared in .*`tfds build coco_captions .*array_record`"
    ):
        open_corpus(f"coco_captions@{tmp_path}")


def test_a_split_that_is_not_there(tmp_path):
    prepare(tmp_path, "mnist", LABELLED, digits(1))
    with pytest.raises(ValueError, match="has the splits train, not test"):
        open_corpus(f"mnist@{tmp_path}", split="test")


def test_another_file_format_says_how_to_convert(tmp_path):
    place = prepare(tmp_path, "mnist", LABELLED, digits(1))
    text = (place / "dataset_info.json").read_text()
    (place / "dataset_info.json").write_text(text.replace('"array_record"', '"tfrecord"'))
    with pytest.raises(ValueError, match=r"has the format tfrecord, .*convert_format"):
        open_corpus(f"mnist@{tmp_path}")


@pytest.mark.parametrize("damage", ["cut", "gone", "swapped"])
def test_a_damaged_shard_is_named(tmp_path, damage):
    place = prepare(tmp_path, "mnist", LABELLED, digits(5))
    shard = sorted(place.glob("*array_record*"))[-1]
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-5000])
    elif damage == "gone":
        shard.unlink()
    else:
        shutil.copy(sorted(place.glob("*array_record*"))[0], shard)
    with pytest.raises(
        ValueError, match=rf"{shard.name} (is damaged|is missing|has 2 records), it should hold 1 records"
    ):
        open_corpus(f"mnist@{tmp_path}")


def test_a_damaged_image_and_a_missing_label_are_named(tmp_path):
    examples = [{"image": io.BytesIO(b"\x89PNG no"), "label": 0}, {"image": png(1), "label": -1}, *digits(1)]
    prepare(tmp_path, "mnist", LABELLED, examples)
    corpus = open_corpus(f"mnist@{tmp_path}")
    with pytest.raises(BadExampleError, match=r"mnist.1\.0\.0 train\[0\]\.image: no readable image"):
        corpus[0]
    with pytest.raises(BadExampleError, match=r"train\[1\]: label -1 is none of the 3 labels"):
        corpus[1]
    assert corpus[2][1] == Words("zero")
    with pytest.raises(IndexError):
        corpus[3]


def test_the_table_names_one_measure_each():
    assert {name: fields.measure for name, fields in SETS.items()} == {
        "coco_captions": "caption",
        **dict.fromkeys(["eurosat/rgb", "eurosat/all", "resisc45", "cifar10", "mnist"], "label"),
        **dict.fromkeys(["wiki40b", "lm1b", "c4"], "text"),
    }


@pytest.mark.parametrize("name", ["eurosat/rgb", "eurosat/all", "resisc45", "cifar10", "mnist", "lm1b"])
def test_the_table_agrees_with_the_builders_of_tfds(tmp_path, name):
    features, fields = tfds.builder(name, data_dir=str(tmp_path), try_gcs=False).info.features, SETS[name]
    kinds = {fields.image: F.Image if "all" not in name else F.Tensor, fields.text: F.Text, fields.label: F.ClassLabel}
    assert all(isinstance(features[key], kind) for key, kind in kinds.items() if key)


def test_tensorflow_is_not_imported(tmp_path):
    prepare(tmp_path, "mnist", LABELLED, digits(1))
    code = f"""
import sys
from generalist.corpora.tfds import open_corpus
assert 'tensorflow_datasets' not in sys.modules
open_corpus('mnist@{tmp_path}')[0]
assert not {{'tensorflow', 'jax', 'torch'}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("field", ["pythonClassName", "python_class_name", "type"])
def test_a_class_that_features_json_names_is_not_imported(tmp_path, monkeypatch, field):
    (tmp_path / "planted.py").write_text("raise SystemExit('code of a data set ran')")
    monkeypatch.syspath_prepend(tmp_path)
    place = prepare(tmp_path, "mnist", LABELLED, digits())
    file = place / "features.json"
    features = json.loads(file.read_text())
    features["featuresDict"]["features"]["image"][field] = "planted.Image"
    file.write_text(json.dumps(features))
    with pytest.raises(ValueError, match=r"features\.json needs planted\.Image"):
        open_corpus(f"mnist@{tmp_path}")
    assert "planted" not in sys.modules
