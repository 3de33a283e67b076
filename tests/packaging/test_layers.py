"""Imports run one way only, and the heavy packages load only where they are needed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ["graphs", "theory", "empirical", "figures"]
HEAVY = {"torch": {"empirical"}, "matplotlib": {"figures"}}
WITH_TORCH = {"falsify.py", "traced.py", "torch_engine.py", "torch_ranks.py", "torch_group.py", "torch_heartbeat.py"}
"""The search for counterexamples needs gradients, a GPU its tensors, several processes their sums: no other part of
the theory may load torch."""


PACKAGES = [path.parent for room in ROOMS for path in sorted((ROOT / room).rglob("__init__.py"))]


def imported(path: Path, whole: bool = False) -> set[str]:
    """Absolute names of the modules that a file imports, wherever in it; whole: and of what it imports from them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names if whole}
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_what_comes_before_them(room: str) -> None:
    allowed = {f"maskgraph.{name}" for name in ROOMS[: ROOMS.index(room) + 1]} | {"maskgraph", "maskgraph.__version__"}
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        own = {".".join(name.split(".")[:2]) for name in imported(path, whole=True) if name.startswith("maskgraph")}
        assert own <= allowed, f"{path.name} reaches past its room: {own - allowed}"


def test_no_module_needs_itself() -> None:
    sources = {
        ".".join(["maskgraph", *path.relative_to(ROOT).with_suffix("").parts]): path
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
    }
    needs = {name: imported(path, whole=True) & sources.keys() for name, path in sources.items()}
    assert sum(map(len, needs.values())) > len(sources), "imports are not found"
    # Raises CycleError with the modules of a circle.
    list(TopologicalSorter(needs).static_order())


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_the_map_of_a_package_names_every_module(package: Path) -> None:
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text()))
    assert text is not None
    named = re.findall(r"^([a-z_]+)  +\S", text, re.MULTILINE)
    modules = [path.stem for path in package.glob("*.py") if path.stem != "__init__"]
    inner = [path.parent.name for path in package.glob("*/__init__.py")]
    assert sorted(named) == sorted(modules + inner)


@pytest.mark.parametrize("package", HEAVY)
def test_heavy_packages_stay_in_their_room(package: str) -> None:
    for room in ROOMS:
        users = [
            path.name for path in (ROOT / room).rglob("*.py") if package in {n.split(".")[0] for n in imported(path)}
        ]
        allowed = WITH_TORCH if (room, package) == ("theory", "torch") else set()
        assert room in HEAVY[package] or set(users) <= allowed, f"{room} imports {package} in {users}"


def test_a_bound_needs_neither_torch_nor_matplotlib_and_leaves_no_bare_names() -> None:
    code = (
        "import sys; from maskgraph.cli import main; "
        "assert main(['bound', 'mixture:n=4', '--mask-ratio', '0.5', '--dim', '2', '--json']) == 0; "
        f"loaded = {{'torch', 'matplotlib', 'pandas', 'sklearn', 'networkx', *{ROOMS}}} & set(sys.modules); "
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
