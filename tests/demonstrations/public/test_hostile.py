"""Files made to run something, or to fill the memory, are refused with a line before anything is unpacked."""

import io
import resource
import sys
import zlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image
from tfds_sets import FLAGS, PUSHES, SCALARS, ending, prepare, pushes

from generalist.configs.commands.cli import main
from generalist.demonstrations.public.chunks import LARGE, check_chunks
from generalist.demonstrations.public.pictures import decode_picture
from generalist.demonstrations.public.rlds import open_rlds
from generalist.demonstrations.public.tfrecord import read_records

F = tfds.features


@pytest.fixture
def place(tmp_path):
    return prepare(tmp_path, "pushing", PUSHES, pushes())


def change(file, *edits):
    text = file.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


def memory():
    """The most bytes that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


TENSOR = '"pythonClassName": "tensorflow_datasets.core.features.tensor_feature.Tensor"'


@pytest.mark.parametrize(
    "named",
    [
        '"pythonClassName": "planted.Tensor"',
        '"python_class_name": "planted.Tensor"',
        f'{TENSOR}, "type": "planted.Tensor", "content": {{}}',
        '"pythonClassName": "planted.Tensor", "type": "tensorflow_datasets.core.features.tensor_feature.Tensor"',
        '"pythonClassName": "tensorflow_datasets_planted.Tensor"',
        '"pythonClassName": "tensorflow_datasets.scripts.planted.Tensor"',
        '"pythonClassName": "os"',
    ],
)
def test_classes_of_features_are_those_of_tfds(place, named):
    change(place / "features.json", (TENSOR, named))
    with pytest.raises(ValueError, match=r"features\.json needs (planted|tensorflow_datasets|os).*is not imported"):
        open_rlds(place)
    assert "planted" not in sys.modules


@pytest.mark.parametrize("template", ["{DATASET.__class__}", "{DATASET:>9999999999}", "{SPLIT!r}", "{0}", "%s"])
def test_names_of_shards_follow_a_template_of_tfds(place, template):
    change(place / "dataset_info.json", ("{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}", template))
    with pytest.raises(ValueError, match=r"dataset_info\.json has .* which is no template of TFDS"):
        open_rlds(place)


def test_shards_lie_in_the_folder(place):
    change(place / "dataset_info.json", ("{DATASET}-{SPLIT}", "../../{DATASET}-{SPLIT}"))
    with pytest.raises(ValueError, match="outside of the data set"):
        open_rlds(place)


@pytest.mark.parametrize("count", ["1000000000000", "9223372036854775807", "-4", "1e99"])
def test_a_shard_has_no_more_records_than_bytes(place, count):
    change(place / "dataset_info.json", ('"3"\n', f'"{count}"\n'))
    with pytest.raises(ValueError, match=r"which its \d+ bytes cannot hold|cannot be read"):
        open_rlds(place)


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
def test_json_of_great_depth_is_a_line(place, name, capsys):
    (place / name).write_text('{"a":' * 200_000 + "1" + "}" * 200_000)
    assert main(["import", f"rlds:{place}", "--out", str(place / "out")]) == 2
    assert f"{name} is damaged (nested too deeply" in " ".join(capsys.readouterr().err.split())
    (place / name).write_text('{"a":' * 600 + "1" + "}" * 600)
    assert main(["import", f"rlds:{place}", "--out", str(place / "out")]) == 2


def test_a_shape_that_is_not_to_be_believed_is_left_out_or_refused(place):
    before = memory()
    change(place / "features.json", ('"12"', '"100000"'), ('"10"', '"100000"'))
    source = open_rlds(place)
    assert set(source.observation_space) == {"state"}
    assert "steps/observation/image (of shape (100000, 100000, 3), larger than" in " ".join(source.notices)
    change(place / "features.json", ('"2"', '"999999999"'))
    with pytest.raises(ValueError, match=r"larger than 67,108,864 values, and cannot be read"):
        open_rlds(place)
    assert memory() - before < 1 << 28


def test_compressed_arrays_are_unpacked_as_far_as_they_are_believed(tmp_path):
    features = {
        "steps": F.Dataset(
            {
                "observation": F.Tensor(shape=(4,), dtype=np.float64, encoding="zlib"),
                "action": F.Tensor(shape=(2,), dtype=np.float32),
                **SCALARS,
                **FLAGS,
            }
        )
    }
    steps = [{"observation": np.arange(4.0), "action": np.ones(2, np.float32), **ending(step, 3)} for step in range(3)]
    place = prepare(tmp_path, "packed", features, [{"steps": steps}])
    np.testing.assert_array_equal(next(open_rlds(place).episodes()).observations[0], np.arange(4))
    file = next(place.glob("*.array_record*"))
    (record,) = read_records(file, "array_record", 1)
    from generalist.demonstrations.rlds import Example

    example = Example.FromString(record)
    example.features.feature["steps/observation"].bytes_list.value[1] = zlib.compress(bytes(1 << 28))
    writer = ArrayRecordWriter(str(file), "group_size:1")
    writer.write(example.SerializeToString())
    writer.close()
    before = memory()
    with pytest.raises(ValueError, match=r"record 0 cannot be read: steps/observation: has 33 bytes, need 32"):
        next(open_rlds(place).episodes())
    assert memory() - before < 1 << 28


def test_a_record_that_fills_the_memory_is_not_read(tmp_path):
    file = tmp_path / "bomb.array_record"
    writer = ArrayRecordWriter(str(file), "group_size:1")
    writer.write(b"small")
    writer.write(bytes(LARGE + 1))
    writer.close()
    assert file.stat().st_size < 1 << 20
    with pytest.raises(ValueError, match=r"bomb\.array_record has [\d,]+ bytes that become 268,435,"):
        next(read_records(file, "array_record", 2))


def test_chunks_are_found_wherever_blocks_begin(tmp_path):
    """What cannot be compressed is read, whatever its size; headers may lie across the border of a block."""
    rng = np.random.default_rng(0)
    for size in (1, 20, 65_490, 65_500, 65_530, 200_000):
        file = tmp_path / f"{size}.array_record"
        writer = ArrayRecordWriter(str(file), "group_size:1")
        records = [rng.bytes(size) for _ in range(20)]
        for record in records:
            writer.write(record)
        writer.close()
        check_chunks(file)
        assert list(read_records(file, "array_record", 20)) == records
        from generalist.demonstrations.public.chunks import _chunks

        with file.open("rb") as opened:
            assert [unpacked for _, unpacked in _chunks(opened)].count(size) >= 20


def test_a_picture_is_measured_before_it_is_decoded():
    file = io.BytesIO()
    Image.new("L", (9_000, 9_000)).save(file, "PNG")
    before = memory()
    with pytest.raises(ValueError, match=r"a picture of 9000 x 9000 x 1 is larger than"):
        decode_picture(file.getvalue())
    with pytest.raises(ValueError, match=r"shape \(9000, 9000\), need \(8, 6\)"):
        decode_picture(file.getvalue(), (8, 6, 1))
    assert memory() - before < 1 << 27
