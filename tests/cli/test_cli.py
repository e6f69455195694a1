import subprocess
import sys

import pytest

from lddu import cli


def test_unknown_commands_are_refused():
    with pytest.raises(SystemExit) as stopped:
        cli.main(["compute"])
    assert stopped.value.code == 2


def test_mistakes_end_with_a_message_and_no_traceback(run):
    with pytest.raises(SystemExit, match=r"lddu: .*at least two"):
        cli.main(["compare", run])


def test_the_package_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "lddu.cli", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "compare" in done.stdout
    assert "export" in done.stdout
