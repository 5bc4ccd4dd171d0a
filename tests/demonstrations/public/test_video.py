"""Films whose frames are, and are not, those of the steps."""

import numpy as np
import pytest
from lerobot_sets import grey_frames, shown, write_film

from generalist.demonstrations.public.video import read_frames

pytest.importorskip("av")
FRAMES = grey_frames(24)
SHAPE = (48, 64, 3)
FPS = 10
TIMES = np.arange(24) / FPS


def film(path, times=TIMES, frames=FRAMES, **options):
    write_film(path, frames, times, **options)
    return path


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("group", [1, 5, 250])
@pytest.mark.parametrize("base", [1000, 15360])
def test_any_stretch_is_found_exactly(tmp_path, codec, group, base):
    path = film(tmp_path / "a.mp4", codec=codec, group=group, base=base)
    for begin, count in ((0, 24), (23, 1), (7, 9), (5, 1), (18, 6), (1, 3)):
        found = read_frames(path, TIMES[begin : begin + count], FPS, SHAPE)
        assert shown(found) == list(range(begin, begin + count))


def test_frames_at_uneven_times_belong_to_steps_at_those_times(tmp_path):
    times = np.cumsum(np.random.default_rng(0).uniform(0.05, 0.3, 24))
    path = film(tmp_path / "a.mp4", times)
    assert shown(read_frames(path, times.astype(np.float32)[6:15], FPS, SHAPE)) == list(range(6, 15))
    with pytest.raises(ValueError, match=r"a\.mp4, episode 3 "):
        read_frames(path, TIMES, FPS, SHAPE, "episode 3")


@pytest.mark.parametrize(
    ("dropped", "said"), [(0, r"0\.0000 s \(step 0\)"), (5, r"0\.5000 s \(step 5\)"), (23, "step 23")]
)
def test_a_frame_that_is_missing_is_named(tmp_path, dropped, said):
    kept = [number for number in range(24) if number != dropped]
    path = film(tmp_path / "a.mp4", TIMES[kept], [FRAMES[number] for number in kept])
    with pytest.raises(ValueError, match=rf"a\.mp4.*there is no frame at .*{said}"):
        read_frames(path, TIMES, FPS, SHAPE)
    if dropped == 5:
        assert shown(read_frames(path, TIMES[6:], FPS, SHAPE)) == list(range(6, 24))


@pytest.mark.parametrize("late", [0.05, 0.1, 0.7, 3.0])
def test_a_film_that_begins_late_is_refused(tmp_path, late):
    path = film(tmp_path / "a.mp4", TIMES + late)
    with pytest.raises(ValueError, match=r"a\.mp4.*there is no frame at 0\.0000 s .*nearest are at none"):
        read_frames(path, TIMES[:6], FPS, SHAPE)
    assert shown(read_frames(path, TIMES[:6] + late, FPS, SHAPE)) == list(range(6))


@pytest.mark.parametrize("fps", [5, 9.7, 10.3, 20, 30])
def test_a_film_of_another_speed_is_refused(tmp_path, fps):
    path = film(tmp_path / "a.mp4", np.arange(24) / fps)
    with pytest.raises(ValueError, match=r"a\.mp4.*(is of no step|there is no frame)"):
        read_frames(path, TIMES[:12], FPS, SHAPE)


def test_a_film_of_another_size_is_refused_before_it_is_decoded(tmp_path):
    path = film(tmp_path / "a.mp4")
    data = path.read_bytes()
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    path.write_bytes(data[:begin] + bytes(end - begin) + data[end:])  # no frame of it can be decoded
    with pytest.raises(ValueError, match=r"a\.mp4.*its frames are 48x64, info\.json says 24x32"):
        read_frames(path, TIMES, FPS, (24, 32, 3))
    path.write_bytes(data)
    assert read_frames(path, TIMES, FPS, (48, 64, 1)).shape == (24, 48, 64, 1)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        read_frames(path, TIMES, FPS, (48, 64, 4))
    path.write_bytes(b"not a film" * 100)
    with pytest.raises(ValueError, match=r"a\.mp4"):
        read_frames(path, TIMES, FPS, SHAPE)
    path.write_bytes(data[:-900])
    with pytest.raises(ValueError, match=r"a\.mp4"):
        read_frames(path, TIMES, FPS, SHAPE)
    with pytest.raises(ValueError, match=r"b\.mp4 is missing"):
        read_frames(tmp_path / "b.mp4", TIMES, FPS, SHAPE)


@pytest.mark.parametrize("times", [[0, np.nan, 0.2], [0, 0.1, np.inf], [0, 0, 0.1], [0.2, 0.1, 0]])
def test_times_that_are_none_are_refused(tmp_path, times):
    with pytest.raises(ValueError, match=r"a\.mp4.*do not increase"):
        read_frames(film(tmp_path / "a.mp4"), np.array(times), FPS, SHAPE)
