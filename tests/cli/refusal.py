"""What every refusal of the command line has in common."""

from __future__ import annotations

import re

import pytest

from maskgraph.cli import main


def assert_refused(capsys: pytest.CaptureFixture[str], message: str, *arguments: str) -> None:
    """Exit code 2, nothing on stdout, and one line on stderr that matches the message."""
    try:
        code: object = main(arguments)
    except SystemExit as exit:
        code = exit.code
    captured = capsys.readouterr()
    assert code == 2, captured.err
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert re.search(message, captured.err), captured.err
