import errno

import pytest

from generalist.configs.commands.errors import BAD_INPUT, INTERRUPTED, explain, run
from generalist.demonstrations.collect import CollectionError
from generalist.envs.task import MissingExtra
from generalist.train.checkpoint import CheckpointError
from generalist.train.makers import WorkerDied
from generalist.train.metrics import DivergedError
from generalist.train.preemption import Stopped


def raising(error):
    def main(argv):
        raise error

    return main


def test_success_is_zero_and_arguments_are_passed_on():
    seen = []
    assert run(seen.extend, ["train", "smoke"]) == 0
    assert seen == ["train", "smoke"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("unknown task 'x'"), "error: unknown task 'x'"),
        (ValueError("two\n  lines"), "error: two lines"),
        (ValueError(), "error: ValueError"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "runs/a"), "No such file or directory: runs/a"),
        (FileExistsError("runs/a exists; give --resume or --overwrite"), "runs/a exists; give --resume or --overwrite"),
        (OSError(errno.ENOSPC, "No space left on device", "data/x"), "no space left on the disk while writing data/x"),
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on the disk; free some"),
        (OSError(errno.ENOSPC, "cannot write a.columns: the disk is full"), "error: cannot write a.columns: the disk"),
        (WorkerDied("input worker 1 of 2 died, signal SIGKILL"), "error: input worker 1 of 2 died, signal SIGKILL"),
        (DivergedError("step 7: loss nan, gradient norm 1.0"), "error: step 7: loss nan"),
        (CheckpointError("runs/a has no checkpoint yet"), "error: runs/a has no checkpoint yet"),
        (CollectionError(["collecting push failed: no space left"]), "collecting push failed: no space left"),
        (MissingExtra("metaworld", ImportError("no metaworld")), "pip install 'generalist[metaworld]'"),
    ],
)
def test_bad_input_is_one_line_and_code_2(error, line, capsys):
    assert run(raising(error), []) == BAD_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert line in err
    assert err.count("\n") == 1


def test_every_part_that_failed_has_its_line(capsys):
    assert (
        run(raising(CollectionError(["reach failed: the arm\n is stuck", "push failed: [Errno 5]"])), []) == BAD_INPUT
    )
    assert capsys.readouterr().err == "error: reach failed: the arm is stuck\nerror: push failed: [Errno 5]\n"


def test_stopped_work_is_no_failure(capsys):
    assert run(raising(Stopped("stopped after update 3", "go on with [--resume]")), []) == 0
    assert capsys.readouterr() == ("", "stopped after update 3; go on with [--resume]\n")


def test_brackets_in_a_message_are_not_markup(capsys):
    run(raising(ValueError("shape [3] is not [/b] [red]")), [])
    assert "shape [3] is not [/b] [red]" in capsys.readouterr().err


def test_a_long_line_is_not_wrapped(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    run(raising(ValueError("word " * 50)), [])
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), OSError("x")])
def test_debug_lets_the_exception_through(error):
    with pytest.raises(type(error)):
        run(raising(error), ["--debug"])


def test_debug_is_taken_out_of_the_arguments():
    seen = []
    run(seen.extend, ["tasks", "--debug", "--json"])
    assert seen == ["tasks", "--json"]


@pytest.mark.parametrize(
    "error", [TypeError("x"), KeyError("x"), RuntimeError("x"), FloatingPointError("x"), ImportError("no jax")]
)
def test_faults_of_the_package_keep_their_traceback(error):
    with pytest.raises(type(error)):
        run(raising(error), [])


def test_ctrl_c_is_130_without_a_traceback(capsys):
    assert run(raising(KeyboardInterrupt()), []) == INTERRUPTED
    assert capsys.readouterr().err == "error: interrupted\n"


@pytest.mark.parametrize(("code", "expected"), [(None, 0), (0, 0), (3, 3), ("text", 2)])
def test_exit_codes_of_system_exit(code, expected):
    assert run(raising(SystemExit(code)), []) == expected


def test_explain_leaves_messages_without_a_file_alone():
    assert explain(OSError("disk on fire")) == "disk on fire"


def test_control_characters_of_others_never_reach_the_terminal(capsys):
    run(raising(ValueError("a\x1b[2Jb\u202ec\x9bd :car: [red]x[/]")), [])
    err = capsys.readouterr().err
    assert not set(err) & set("\x1b\u202e\x9b")
    assert ":car: [red]x[/]" in err
