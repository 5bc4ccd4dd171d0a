import os
import select
import subprocess
import sys
import warnings
from importlib.metadata import version

import pytest

from generalist.configs.commands.terminal import console, print_error, show_warnings_as_lines, table

ROWS = [{"task": "babyai/GoToObj", "mean": 1234.5, "note": None}, {"task": "a[b]", "mean": -0.25, "note": "x"}]


def test_a_table_has_every_value(capsys):
    console().print(table(ROWS))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["task", "mean", "note"]
    assert lines[1].split() == ["babyai/GoToObj", "1,234.50", "-"]
    assert lines[2].split() == ["a[b]", "-0.25", "x"]


def test_numbers_are_flush_right(capsys):
    console().print(table(ROWS))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].index("1,234.50") + len("1,234.50") == lines[2].index("-0.25") + len("-0.25")


def test_no_rows_are_no_error(capsys):
    console().print(table([]))
    assert capsys.readouterr().out.strip() == ""


def test_errors_go_to_stderr(capsys):
    print_error("no such thing")
    assert capsys.readouterr() == ("", "error: no such thing\n")


def test_a_line_in_a_pipe_is_there_at_once():
    """The process sleeps after it has printed; what it printed is read meanwhile."""
    code = "import time; from generalist.configs.commands.cli import main; main(['--version']); time.sleep(60)"
    own = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=own) as process:
        there, _, _ = select.select([process.stdout], [], [], 30)
        line = process.stdout.readline() if there else ""
        process.kill()
    assert line.strip() == version("generalist")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_closed_streams_lead_nowhere(closed):
    """The shell closes them before the command starts."""
    call = "from generalist.configs.commands.cli import main; import sys; sys.exit(main(['tasks']))"
    done = subprocess.run(["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, call], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_warning_is_one_line_without_a_place_in_the_code(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    show_warnings_as_lines()
    said = warnings.formatwarning("a text is\ncut \x1b[2J", UserWarning, "code.py", 7)
    assert said == "warning: a text is cut \N{REPLACEMENT CHARACTER}[2J\n"
