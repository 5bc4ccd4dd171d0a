"""LeRobot data sets of own numbers, in the files that versions 2.1 and 3.0 have, written by pyarrow and PyAV."""

import fractions
import io
import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

COUNTERS = {name: {"dtype": "int64", "shape": [1], "names": None} for name in ("episode_index", "frame_index", "index")}
PATHS = {
    "v3.0": {
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    },
    "v2.1": {
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        "chunks_size": 2,
    },
}


def box(*shape, dtype="float32", names=None):
    """A feature as info.json describes it."""
    return {"dtype": dtype, "shape": list(shape), "names": names}


def rows(values, kind=None):
    """An array [N, K] as lists of K."""
    values = np.asarray(values)
    kind = kind or pa.from_numpy_dtype(values.dtype)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1), kind), values.shape[1])


def pictures(frames, form="PNG"):
    """uint8[N, height, width, channels] as LeRobot's struct of bytes and path."""
    found = []
    for number, frame in enumerate(frames):
        file = io.BytesIO()
        Image.fromarray(frame.squeeze()).save(file, form)
        found.append({"bytes": file.getvalue(), "path": f"frame-{number:06d}.png"})
    return pa.array(found, pa.struct({"bytes": pa.binary(), "path": pa.string()}))


def write_film(path, frames, times, *, codec="libx264", group=12, base=90000):
    """An MP4 with these frames at these seconds; H.264 has frames that depend on later ones."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=30)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        stream.codec_context.time_base = fractions.Fraction(1, base)
        stream.codec_context.gop_size, stream.codec_context.bit_rate = group, 4_000_000
        for pixels, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = round(time * base), fractions.Fraction(1, base)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def grey_frames(count, height=48, width=64):
    """Frames of one grey each, told apart after compression by `shown`."""
    return [np.full((height, width, 3), 20 + 7 * number, np.uint8) for number in range(count)]


def shown(frames):
    """Which of `grey_frames` each is."""
    return np.rint((frames.reshape(len(frames), -1).astype(float).mean(1) - 20) / 7).astype(int).tolist()


def write_set(
    folder,
    features,
    columns,
    lengths,
    *,
    version="v3.0",
    fps=10,
    texts=("push the block",),
    told=None,
    films=None,
    times=None,
    info=(),
):
    """The whole data set; gives its folder.

    Args:
        features: by name, as info.json has them; those of counters are added.
        columns: by name, arrow arrays of all steps.
        lengths: of the episodes.
        texts, told: instructions, and which of them each step has.
        films: by camera the frames of all steps.
        times: [N] column `timestamp`; without one there is none.
        info: what else info.json says.
    """
    folder, total = Path(folder), sum(lengths)
    begins = np.cumsum([0, *lengths])
    counters = {
        "episode_index": np.repeat(np.arange(len(lengths)), lengths),
        "frame_index": np.concatenate([np.arange(length) for length in lengths]),
        "index": np.arange(total),
    }
    features = COUNTERS | dict(features)
    if texts:
        features |= {"task_index": box(1, dtype="int64")}
        counters["task_index"] = np.zeros(total, int) if told is None else np.asarray(told)
    if times is not None:
        features |= {"timestamp": box(1)}
        columns = columns | {"timestamp": pa.array(np.asarray(times, np.float32))}
    about = {"codebase_version": version, "fps": fps, "total_episodes": len(lengths), "features": features}
    about |= PATHS[version] | dict(info)
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps(about))
    table = pa.table({name: pa.array(values) for name, values in counters.items()} | columns)
    write = _write_3 if version == "v3.0" else _write_2
    of_steps = counters.get("task_index", np.zeros(total, int))
    said = [sorted(set(of_steps[begin:end].tolist())) for begin, end in itertools.pairwise(begins)]
    tasks = [[texts[number] for number in numbers if number < len(texts)] for numbers in said]
    write(folder, table, lengths, begins, texts, tasks, films or {}, fps)
    return folder


def _write_3(folder, table, lengths, begins, texts, tasks, films, fps):
    (folder / "meta" / "episodes" / "chunk-000").mkdir(parents=True)
    (folder / "data" / "chunk-000").mkdir(parents=True)
    pq.write_table(table, folder / "data" / "chunk-000" / "file-000.parquet", row_group_size=7)
    zeros = [0] * len(lengths)
    places = {
        "episode_index": list(range(len(lengths))),
        "length": list(lengths),
        "data/chunk_index": zeros,
        "data/file_index": zeros,
        "dataset_from_index": begins[:-1].tolist(),
        "dataset_to_index": begins[1:].tolist(),
        "tasks": pa.array(tasks, pa.list_(pa.string())),
    }
    for name, frames in films.items():
        places |= {f"videos/{name}/{kind}_index": zeros for kind in ("chunk", "file")}
        places[f"videos/{name}/from_timestamp"] = (begins[:-1] / fps).tolist()
        write_film(folder / f"videos/{name}/chunk-000/file-000.mp4", frames, np.arange(len(frames)) / fps)
    pq.write_table(pa.table(places), folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    if texts:
        told = pa.table({"task_index": list(range(len(texts))), "__index_level_0__": list(texts)})
        pq.write_table(told, folder / "meta" / "tasks.parquet")


def _write_2(folder, table, lengths, begins, texts, tasks, films, fps):
    for number, length in enumerate(lengths):
        part, chunk = table.slice(begins[number], length), f"chunk-{number // PATHS['v2.1']['chunks_size']:03d}"
        path = folder / "data" / chunk / f"episode_{number:06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(part, path)
        for name, frames in films.items():
            if length:
                path = folder / "videos" / chunk / name / f"episode_{number:06d}.mp4"
                write_film(path, frames[begins[number] : begins[number + 1]], np.arange(length) / fps)
    lines = [{"episode_index": i, "tasks": tasks[i], "length": length} for i, length in enumerate(lengths)]
    _write_lines(folder / "meta" / "episodes.jsonl", lines)
    if texts:
        _write_lines(folder / "meta" / "tasks.jsonl", [{"task_index": i, "task": text} for i, text in enumerate(texts)])


def _write_lines(path, values):
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
