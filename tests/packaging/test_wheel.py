"""The wheel holds everything and nothing lands in site-packages under a bare name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from email import message_from_bytes
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of what git would hand out, so that nothing untracked can help it."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            target.symlink_to((ROOT / name).readlink())
        elif (ROOT / name).exists():
            target.write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(built), str(source)]
    subprocess.run(command, check=True)
    return next(built.glob("*.whl"))


def test_wheel_holds_all_rooms_under_one_name(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"maskgraph", f"{'-'.join(wheel.stem.split('-')[:2])}.dist-info"}
    for room in ("graphs", "theory", "empirical", "figures"):
        sources = {f"maskgraph/{room}/{path.name}" for path in (ROOT / room).glob("*.py")}
        assert sources <= set(names)
    assert "maskgraph/py.typed" in names
    recipes = {f"maskgraph/empirical/recipes/{path.name}" for path in (ROOT / "empirical" / "recipes").glob("*.toml")}
    assert len(recipes) >= 9
    assert recipes <= set(names)


@pytest.mark.parametrize(
    ("extra", "brought"), [("distributed", {"dask", "distributed"}), ("testing", {"hypothesis", "pytest"})]
)
def test_an_extra_brings_what_its_name_is_told_for(wheel: Path, extra: str, brought: set[str]) -> None:
    """What messages and pages say to install: the packages that the extra names, and what these need."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        told = message_from_bytes(archive.read(name))
    assert extra in told.get_all("Provides-Extra", [])
    asked = [Requirement(line) for line in told.get_all("Requires-Dist", [])]
    plain = {one.name for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})}
    named = {one.name for one in asked if one.marker and one.marker.evaluate({"extra": extra})} - plain
    needed = [Requirement(line) for one in named for line in requires(one) or []]
    found = named | {one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})}
    assert named <= brought
    assert brought <= found
    assert not brought & plain, "a bound needs none of them"


def test_a_command_runs_from_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    # The environment is new but for the dependencies, which are lent from the one that runs the tests.
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True)
    lent = [path for path in sys.path if path.endswith("site-packages")]
    site = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    Path(site.stdout.strip(), "zz_lent.pth").write_text("\n".join(lent))
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(environment / "bin" / "maskgraph"), "bound", "mixture:n=4", "--mask-ratio", "0.5", "--dim", "2", "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=clean,
        check=True,
    )
    where = subprocess.run(
        [str(python), "-c", "import maskgraph.graphs.masks as m; print(m.__file__)"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=clean,
        check=True,
    )
    assert json.loads(done.stdout)["ratios"][0]["kept"] == 2
    assert str(environment) in where.stdout
