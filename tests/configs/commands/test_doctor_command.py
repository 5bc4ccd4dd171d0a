"""`generalist doctor`: a line for each thing, with what to do, and an exit code that a script can ask."""

import json
import shutil
from collections import namedtuple
from importlib.metadata import PackageNotFoundError

import pytest

from generalist.configs.commands import doctor_command as doctor
from generalist.configs.commands.cli import main
from generalist.envs.health import Health

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """A child that does not start JAX anew."""
    monkeypatch.setattr(doctor, "DEVICES", 'print(\'[["cpu", "cpu"], ["cpu", "cpu"]]\')')


def lines(capsys) -> dict[str, dict]:
    return {each["what"]: each for each in json.loads(capsys.readouterr().out)}


def test_versions_devices_extras_and_places(capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)

    assert main(["doctor", "--quick", "--json"]) == 0

    found = lines(capsys)
    assert {each["state"] for each in found.values()} <= {"ok", "-"}
    assert found["jax"]["found"].count(".") == 2
    assert found["devices"]["found"].startswith("2 cpu, ")
    assert found["extra classic"] == {"what": "extra classic", "state": "ok", "found": "installed", "remedy": ""}
    assert "GiB free" in found["disk"]["found"]


def test_an_extra_that_is_not_there_says_how_it_is_installed(capsys, monkeypatch):
    there = doctor.version

    def version(name):
        if name == "uvicorn":
            raise PackageNotFoundError(name)
        return "3.2.0" if name == "mujoco" else there(name)

    monkeypatch.setattr(doctor, "version", version)

    assert main(["doctor", "--quick", "--json"]) == 0

    found = lines(capsys)
    assert found["extra serve"] == {
        "what": "extra serve",
        "state": "-",
        "found": "no uvicorn",
        "remedy": 'pip install "generalist[serve]"',
    }
    assert "mujoco 3.2.0 is not ==3.3.0" in found["extra mujoco"]["found"]


def test_what_does_not_work_ends_with_code_1(capsys, monkeypatch):
    found = [
        Health(family="good", task="a", works=True, drawn=True, seconds=1.0),
        Health(family="away", task="b", extra="box2d", said="No module. Install it with: pip install x"),
        Health(family="blind", task="c", works=True, drawn=False, said="no display"),
        Health(family="broken", task="d", said="an old driver"),
    ]
    monkeypatch.setattr("generalist.envs.health.examined", lambda: found)

    assert main(["doctor", "--json"]) == 1

    shown = capsys.readouterr()
    by_name = {each["what"]: each for each in json.loads(shown.out)}
    states = {name: by_name[f"family {name}"]["state"] for name in ("good", "away", "blind", "broken")}
    assert states == {"good": "ok", "away": "-", "blind": "fails", "broken": "fails"}
    assert by_name["family away"]["remedy"] == "Install it with: pip install x"
    assert "MUJOCO_GL" in by_name["family blind"]["remedy"]
    assert "family blind, family broken" in " ".join(shown.err.split())


def test_a_full_disk_is_said(capsys, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**12, 10**12, 10**9))

    assert main(["doctor", "--quick", "--json"]) == 1

    assert lines(capsys)["disk"]["state"] == "fails"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise SystemExit('no driver')", "no driver"),
        ("print('nonsense')", ""),
        ("import time; time.sleep(60)", "no answer"),
    ],
)
def test_devices_that_do_not_answer_are_said(capsys, monkeypatch, program, said):
    monkeypatch.setattr(doctor, "DEVICES", program)
    monkeypatch.setattr(doctor, "PATIENCE", 3.0)

    assert main(["doctor", "--quick", "--json"]) == 1

    found = lines(capsys)["devices"]
    assert found["state"] == "fails"
    assert said in found["found"]
    assert "JAX_PLATFORMS=cpu" in found["remedy"]


def test_a_gpu_that_jax_does_not_see_is_said(capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")

    assert main(["doctor", "--quick", "--json"]) == 0

    assert "jax[cuda13]" in lines(capsys)["devices"]["remedy"]


def test_the_table_is_for_people(capsys):
    assert main(["doctor", "--quick"]) == 0

    assert "extra babyai" in capsys.readouterr().out
