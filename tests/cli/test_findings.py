"""`maskgraph findings`."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskgraph.cli import main
from tests.cli.refusal import assert_refused


def test_one_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pages"
    assert main(["findings", "rho-symmetry", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out / 'rho-symmetry.md'}\n"
    assert {path.name for path in out.iterdir()} == {"README.md", "rho-symmetry.md", "rho-symmetry.png"}


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(capsys, "unknown finding 'tail'; .*expected one of positional-views", "findings", "tail")
    (tmp_path / "file").write_text("")
    assert_refused(capsys, "cannot be written", "findings", "rho-symmetry", "--out", str(tmp_path / "file" / "out"))


def test_a_readme_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command may be pointed at any folder, a checkout's own among them."""
    (tmp_path / "README.md").write_text("# Mine\n")
    assert_refused(capsys, "README.md is no index of findings", "findings", "rho-symmetry", "--out", str(tmp_path))
    assert (tmp_path / "README.md").read_text() == "# Mine\n"
