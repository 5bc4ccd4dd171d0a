"""Films: short, evenly spread, and never a reason to fail."""

import io

import pytest
from PIL import Image

from generalist.eval.baselines.constant import ConstantPolicy, RandomPolicy
from generalist.play import films
from generalist.play.films import film
from generalist.play.rollout import rollout


def opened(one):
    return Image.open(io.BytesIO(one.animation))


def test_a_film_shows_the_episode_of_its_seed(corridor):
    one = film(corridor, RandomPolicy(), 5, width=32)
    assert one.reason is None
    picture = opened(one)
    assert (picture.format, picture.size, picture.is_animated) == ("WEBP", (32, 16), True)
    assert (one.width, one.height) == (32, 16)
    [result] = rollout(corridor, RandomPolicy(), [5], slots=1)
    assert (one.result.episode_return, one.result.length) == (result.episode_return, result.length)
    assert one.frames == result.length + 1
    still = Image.open(io.BytesIO(one.still))
    assert (still.size, getattr(still, "n_frames", 1)) == ((32, 16), 1)


def test_long_episodes_are_thinned_evenly_and_keep_the_end(corridor):
    pictures, result = films._play(corridor, ConstantPolicy("left", 0), 3, most=8, width=80, seconds=100)
    assert result.length == 30
    assert 4 <= len(pictures) <= 8
    ended, _ = films._play(corridor, ConstantPolicy("left", 0), 3, most=100, width=80, seconds=100)
    assert len(ended) == 31
    assert pictures[-1].tobytes() == ended[-1].tobytes()
    assert [one.tobytes() for one in pictures[:-1]] == [one.tobytes() for one in ended[:-1:8]]


@pytest.mark.parametrize("most", range(2, 12))
def test_the_last_picture_is_always_there(corridor, most):
    pictures, result = films._play(corridor, ConstantPolicy("right", 1), 3, most=most, width=80, seconds=100)
    assert result.success
    assert pictures[-1].getpixel((75, 5)) == (255, 255, 255)
    assert pictures[0].getpixel((75, 5)) == (0, 0, 0)


def test_slow_drawing_means_fewer_frames(corridor):
    quick, _ = films._play(corridor, ConstantPolicy("left", 0), 3, most=100, width=80, seconds=100)
    slow, _ = films._play(corridor, ConstantPolicy("left", 0), 3, most=100, width=80, seconds=0)
    assert len(slow) < len(quick) / 4


def test_a_film_is_kept_small(corridor):
    large = film(corridor, ConstantPolicy("left", 0), 3, width=200)
    small = film(corridor, ConstantPolicy("left", 0), 3, width=200, max_bytes=len(large.animation) - 1)
    assert len(small.animation) < len(large.animation)
    assert small.frames < large.frames


def test_what_cannot_be_drawn_is_a_reason(broken_corridor, monkeypatch):
    one = film(broken_corridor, RandomPolicy(), 5)
    assert one.animation is None
    assert "no OpenGL here" in one.reason
    monkeypatch.setattr(films, "_problem", lambda task: "no film: OpenGL is not available")
    assert film(broken_corridor, RandomPolicy(), 5).reason == "no film: OpenGL is not available"


def test_a_broken_opengl_is_found_out_in_another_process(monkeypatch):
    monkeypatch.setattr(films.sys, "executable", "/bin/false")
    films._opengl_problem.cache_clear()
    assert "exit code 1" in films._opengl_problem()
    films._opengl_problem.cache_clear()


def test_senseless_sizes_are_refused(corridor):
    with pytest.raises(ValueError, match="at least 2 frames"):
        film(corridor, RandomPolicy(), 5, frames=1)
