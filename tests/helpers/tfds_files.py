"""Data sets of TFDS on disk, as it writes them."""

import tensorflow_datasets as tfds


def prepare(folder, name, features, examples, version="1.0.0", splits=("train",), shard=2):
    """A data set on disk as TFDS itself writes it, in array_record format, without TensorFlow."""
    place = folder / name / version
    place.mkdir(parents=True)
    base = name.split("/")[0]
    identity = tfds.core.dataset_info.DatasetIdentity(
        name=base,
        config_name=name.partition("/")[2] or None,
        version=tfds.core.Version(version),
        data_dir=str(place),
        module_name="tests",
    )
    info = tfds.core.DatasetInfo(builder=identity, features=tfds.features.FeaturesDict(features))
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=shard, overwrite=False, file_format="array_record")
    writer.initialize_splits(list(splits), fail_if_exists=False)
    for split in splits:
        writer.add_examples({split: list(examples)})
    writer.close_all()
    return place
