"""What `generalist describe` prints, as tables and as JSON."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from generalist.configs.commands import cli
from generalist.configs.commands.describe_table import count_words, size_words
from generalist.envs import table
from generalist.envs.task import MissingExtra
from generalist.train import describe

RUN = "import sys; from generalist.configs.commands.cli import main; sys.exit(main())"


def is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


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


def test_a_mixture_of_texts_alone_has_no_table_of_tasks(capsys):
    assert cli.main(["describe", "multimodal_ablation/text", "--mesh", *"111"]) == 0
    out = capsys.readouterr().out
    assert "tokens per timestep" not in out
    assert "rows" in out


def test_tasks_that_lack_the_same_extra_are_one_line(capsys, monkeypatch):
    def missing(render_mode=None):
        raise MissingExtra("babyai", ModuleNotFoundError("No module named 'minigrid'"))

    def find(id):
        task = table.task_in_file(id)
        return replace(task, make=missing) if task.family == "babyai" else task

    monkeypatch.setattr(describe, "task_in_file", find)
    assert cli.main(["describe", "quickstart", "--mesh", *"111"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("not counted: ") == 1
    assert "and 2 more: No module named 'minigrid'. Install it with: pip install 'generalist[babyai]'" in said


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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--topology", "v5x:2x2"), "no topology 'v5x:2x2': its chip is one of v5p, v5e"),
        (("--topology", "h100:8"), "must be sizes with x between them, as in v5e:4x4"),
    ],
)
def test_a_topology_that_there_is_none_of_is_one_line(capsys, options, said):
    assert cli.main(["describe", "smoke", *options]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("name", "module"), [("v5e:2x2", "libtpu"), ("h100:1x1x1", "jax_plugins.xla_cuda12")])
def test_a_compiler_that_is_not_installed_is_one_line(capsys, name, module):
    if is_there(module):
        pytest.skip("it is installed")
    assert cli.main(["describe", "smoke", "--topology", name]) == 2
    assert "pip install 'generalist[aot]'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "module", "mesh"),
    [("v5e:2x2", "libtpu", (1, 4, 1)), ("h100:1x1x2", "jax_plugins.xla_cuda12", (1, 2, 1))],
)
def test_the_compiler_of_an_accelerator_is_asked(capfd, name, module, mesh):
    if not is_there(module):
        pytest.skip("needs the extra aot")
    asked = ["describe", "smoke", "--topology", name, "--json", "--mesh", *map(str, mesh)]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *asked], capture_output=True, text=True, env=os.environ | {"JAX_PLATFORMS": "cpu"}
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["compiled"]
    assert found["compiler"] == name
    assert found["memory"]["arguments"] > 0
    assert 0 < found["bound"]["memory"] <= found["bound"]["bound"]
    assert "all-gather" in found["exchanged"]


@pytest.mark.slow
@pytest.mark.skipif(not is_there("libtpu"), reason="needs the extra aot")
def test_a_mesh_that_does_not_fill_a_topology_is_one_line(capsys):
    assert cli.main(["describe", "smoke", "--topology", "v5e:2x2", "--mesh", "1", "2", "1"]) == 2
    assert "a mesh of 1 x 2 x 1 has 2 devices and v5e:2x2 4" in capsys.readouterr().err


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
