import subprocess
import sys

import pytest

from lddu import cli


def test_unknown_verbs_are_refused_with_those_that_come_close(capsys):
    for word, close in (("exprt", "export"), ("data", "data card"), ("compute", "usage")):
        with pytest.raises(SystemExit) as stopped:
            cli.main([word])
        assert stopped.value.code == 2
        assert close in capsys.readouterr().err


def test_mistakes_end_with_a_message_and_no_traceback(run):
    with pytest.raises(SystemExit, match=r"lddu: .*at least two"):
        cli.main(["compare", run])


def test_an_interrupted_command_ends_with_its_code(monkeypatch, capsys):
    def interrupt(verb, words):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupt)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["demo"])
    assert stopped.value.code == 130
    assert "stopped" in capsys.readouterr().err


def test_the_overview_lists_every_verb(capsys):
    cli.main(["--help"])
    text = capsys.readouterr().out
    assert all(f"  {verb} " in text for verb in cli.VERBS)
    cli.main(["--version"])
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help_with_an_example(verb, example, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*verb.split(), "--help"])
    assert stopped.value.code == 0
    assert f"lddu {verb}" in capsys.readouterr().out
    assert example(verb)[: len(verb.split())] == verb.split()


def test_the_package_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "lddu.cli", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "compare" in done.stdout
    assert "export" in done.stdout
