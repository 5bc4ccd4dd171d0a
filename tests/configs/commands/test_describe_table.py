"""What `generalist describe` prints, as tables and as JSON."""

import json

import pytest

from generalist.configs.commands import cli
from generalist.configs.commands.describe_table import count_words, size_words


def test_tables_of_a_preset_fit_a_hundred_columns(capsys):
    assert cli.main(["describe", "smoke"]) == 0
    out, err = capsys.readouterr()
    for words in ("smoke: 110k parameters", "token table", "CartPole-v1", "padding", "optimizer", "no remat"):
        assert words in out
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 110
    assert err == ""


def test_json_of_an_overridden_preset_on_devices_that_are_not_here(capsys):
    args = ["describe", "smoke", "--json", "--mesh", "2", "4", "1", "--train.batch-size", "16"]
    assert cli.main(args) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["config"] == "smoke"
    assert found["mesh"] == {"data": 2, "fsdp": 4, "tensor": 1}
    assert found["batch_size"] == 16
    assert found["parameter_count"] == sum(found["parameters"].values())


def test_the_papers_size_stands_beside_ours(capsys):
    assert cli.main(["describe", "gato_79m", "--mesh", "1", "8", "1"]) == 0
    out = capsys.readouterr().out
    assert "the paper's size is 79M" in out
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 110


LORA = ("--train.trainable.how", "lora", "--train.trainable.rank", "4", "--train.trainable.also", "vector")


def test_what_is_trained_and_what_that_saves(capsys):
    assert cli.main(["describe", "smoke", *LORA]) == 0
    out = capsys.readouterr().out
    for words in ("LoRA of rank 4, scaled by 8 / 4, on query, key, value, out, gate, up, down", "the rest is frozen"):
        assert words in out
    assert "trained whole: vector/hidden, vector/out" in out
    [row] = [line.split() for line in out.splitlines() if line.startswith("gradients + optimizer")]
    assert cli.main(["describe", "smoke", *LORA, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    trained = found["trained"]
    assert f"{trained['share_of_full_memory']:.2%}" == row[-1]
    assert trained["gradients"] == 4 * trained["parameters"]
    assert 0 <= trained["optimizer"] - 8 * trained["parameters"] <= 16
    assert found["memory"]["without_remat"]["gradients"] == trained["gradients"]
    assert trained["parameters"] == found["parameters"]["LoRA"] + found["parameters"]["vector embedder"]
    assert trained["full_parameters"] == found["parameter_count"] - found["parameters"]["LoRA"]
    assert cli.main(["describe", "smoke"]) == 0
    assert "what is trained" not in capsys.readouterr().out


def test_lora_on_gato_364m_keeps_a_tenth_of_the_memory_at_most(capsys):
    """Of gradients and optimizer; two of its tasks suffice to know the network's size."""
    some = ("--task", "CartPole-v1", "--task", "FrozenLake8x8-v1")
    assert cli.main(["describe", "gato_364m", *some, "--train.trainable.how", "lora", "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)["trained"]
    assert 0.001 < trained["share_of_full_memory"] < 0.1


@pytest.mark.slow
def test_the_compiler_is_asked_and_the_layout_explained(capsys):
    assert cli.main(["describe", "smoke", "--mesh", "2", "2", "2", "--compile"]) == 0
    out = capsys.readouterr().out
    for words in (
        "parameters on data 2 x fsdp 2 x tensor 2",
        "2 layers x 32 feedforward x 32",
        "fsdp+tensor",
        "embed over fsdp: nearly every matrix",
        "the compiler for cpu",
    ):
        assert words in out
    [stored] = [line.split() for line in out.splitlines() if line.startswith("state and batch")]
    assert stored[-1] == "1.00"
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 110


def test_a_mesh_that_does_not_divide_is_one_line(capsys):
    assert cli.main(["describe", "smoke", "--mesh", "3", "1", "1"]) == 2
    assert "do not divide over 3 devices" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (200 << 20, "200 MiB"), (3 << 40, "3.0 TiB")]
)
def test_sizes_read_well(size, words):
    assert size_words(size) == words


@pytest.mark.parametrize(("count", "words"), [(12, "12"), (110_000, "110k"), (364e6, "364M"), (1.18e9, "1.18B")])
def test_counts_read_as_in_papers(count, words):
    assert count_words(count) == words
