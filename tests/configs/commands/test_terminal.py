from generalist.configs.commands.terminal import console, print_error, table

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
