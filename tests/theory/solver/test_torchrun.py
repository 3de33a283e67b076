"""Two processes that share a solve: the answer of one, also where one of them is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.distributed as dist

from maskgraph.cli import main
from maskgraph.theory.solver.torch_group import IDLE, join_group, meet
from tests.together import start

PATIENCE = 60
"""Seconds that processes have on a busy machine."""

VALUE = 1e-12
"""Of Ritz values from bases that rounding made differ: 2 · 4,096 · 2⁻⁵², their vectors' difference counts squared."""

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy prototypes whose graph is one component of 4,096 views a side and enough entries to be shared."""
    rng = np.random.default_rng(0)
    labels = rng.integers(8, size=8000)
    noise = rng.random((8000, 12)) < 0.4
    codes = np.where(noise, rng.integers(4, size=(8000, 12)), rng.integers(4, size=(8, 12))[labels])
    path = tmp_path_factory.mktemp("world") / "world.npz"
    np.savez(path, codes=codes, labels=labels)
    return path


def bound(world: Path) -> list[str]:
    graph = ["--mask-ratio", "0.5", "--view", "sequence", "--max-masks", "100"]
    return ["bound", str(world), *graph, "--dim", "32", "--json"]


@pytest.fixture(scope="module")
def single(world: Path) -> Any:
    """The answer of one process."""
    found = subprocess.run(
        [sys.executable, "-m", "maskgraph", *bound(world)], cwd=ROOT, capture_output=True, timeout=PATIENCE, check=True
    )
    return json.loads(found.stdout)["ratios"][0]


def same(output: bytes, single: Any) -> None:
    found = json.loads(output)["ratios"][0]
    assert found["eigenvalues"] == pytest.approx(single["eigenvalues"], abs=VALUE)
    assert found["eigenvalues"] != single["eigenvalues"]
    for low, high in (found["tail_sq_interval"], single["tail_sq_interval"]):
        assert low <= found["tail_sq"] <= high
        assert low <= single["tail_sq"] <= high
        assert high - low <= 1e-8 * low
    for key in ("vertices", "edges", "components", "alpha", "phi"):
        assert found[key] == single[key]


def torchrun(*arguments: str, restarts: int = 0) -> subprocess.CompletedProcess[bytes]:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", str(restarts)]
    return subprocess.run(
        [sys.executable, *launch, "-m", *arguments], cwd=ROOT, capture_output=True, timeout=PATIENCE, check=False
    )


def test_two_processes_give_the_answer_of_one(world: Path, single: Any) -> None:
    found = torchrun("maskgraph", *bound(world))
    assert found.returncode == 0, found.stderr.decode()
    same(found.stdout, single)


@pytest.mark.parametrize("engine", ["host", "torch"])
def test_three_processes_compute_what_one_does(engine: str) -> None:
    first, *others = start("tests.theory.solver.in_step", engine, count=3)
    out, error = first.communicate(timeout=PATIENCE)
    assert first.returncode == 0, error
    assert [other.communicate(timeout=PATIENCE) for other in others] == [("", "")] * 2
    answers = [json.loads(line) for line in out.splitlines()]
    assert len(answers) == 2
    for found in answers:
        assert found["values"] == pytest.approx(found["alone"], abs=1e-9)
        assert found["values"] == pytest.approx(found["exact"], abs=1e-9)
        for low, exact, high in zip(found["lower"], found["exact"], found["upper"], strict=True):
            assert low - VALUE <= exact <= high + VALUE
        assert found["residuals"] == pytest.approx(found["measured"], abs=1e-12)
        assert found["defect"] <= 1e-10


def test_components_are_dealt_out() -> None:
    first, *others = start("tests.theory.solver.dealt", count=3)
    out, error = first.communicate(timeout=PATIENCE)
    assert first.returncode == 0, error
    found, *counts = [json.loads(line) for line in out.splitlines()]
    for other in others:
        told, error = other.communicate(timeout=PATIENCE)
        assert (other.returncode, error) == (0, "")
        counts.append(json.loads(told))
    # Five large components, some of them asked twice, and stacks of small ones.
    assert sorted(count["top_eigenpairs"] for count in counts) in ([1, 2, 2], [2, 2, 2], [2, 2, 3])
    # Nobody has more than a share and one matrix, the largest of order 12.
    work = [count["work"] for count in counts]
    assert max(work) <= sum(work) / 3 + 12**3
    for answer in (found["dealt"], found["alone"]):
        assert answer["values"] == pytest.approx(found["exact"], abs=1e-9)
        assert answer["interval"][0] <= found["tail"] <= answer["interval"][1]
        assert answer["residual"] <= 1e-4
    assert found["dealt"]["tail"] == pytest.approx(found["alone"]["tail"], rel=1e-8)


def test_a_process_that_is_killed_with_a_component_is_a_clear_error() -> None:
    first, *others = start("tests.theory.solver.dealt", "doomed", count=5)
    # The fifth is not told of it by the first: it learns it when it answers.
    out, _ = first.communicate(timeout=PATIENCE)
    for other in others:
        other.communicate(timeout=PATIENCE)
    assert others[2].returncode == -9
    assert json.loads(out.splitlines()[0])["error"].startswith("another process of this run has ended (")


def test_a_killed_process_is_started_again(world: Path, single: Any, tmp_path: Path) -> None:
    flag = tmp_path / "killed"
    found = torchrun("tests.theory.solver.doomed", str(flag), *bound(world), restarts=1)
    assert found.returncode == 0, found.stderr.decode()
    assert flag.exists()
    same(found.stdout, single)


def test_a_killed_process_is_a_clear_error(world: Path, tmp_path: Path) -> None:
    first, second = start("tests.theory.solver.doomed", str(tmp_path / "killed"), *bound(world), count=2)
    out, error = first.communicate(timeout=PATIENCE)
    second.communicate(timeout=PATIENCE)
    assert second.returncode == -9
    assert (first.returncode, out) == (3, "")
    last = error.splitlines()[-1]
    assert last.startswith("maskgraph: another process of this run has ended (")
    assert last.endswith("run it again, or let torchrun do so: --max-restarts 1")
    assert "Traceback" not in error


@pytest.fixture
def store() -> Any:
    """As torchrun keeps one, beside the processes."""
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]


def test_who_is_late_for_the_first_sum_is_waited_for(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """NCCL meets there, over the store, and not when the group is joined."""
    here = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
    for name, value in {**here, "TORCHELASTIC_USE_AGENT_STORE": "True"}.items():
        monkeypatch.setenv(name, value)
    member = join_group("cpu", "")
    try:
        assert dist.distributed_c10d._get_default_store().timeout == IDLE  # type: ignore[attr-defined]
    finally:
        member.leave()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_falls_silent_is_a_clear_error(rank: int, store: Any) -> None:
    """Stopped, it closes no connection, as a machine without power does not, and others would wait for days."""
    both = start("tests.theory.solver.silent", "stopped", str(rank), count=2, port=store.port)
    out, error = both[1 - rank].communicate(timeout=PATIENCE)
    with pytest.raises(TimeoutError, match="still there"):
        both[rank].communicate(timeout=0)
    assert (both[1 - rank].returncode, out) == (3, "")
    assert error.startswith(
        f"maskgraph: process {rank} of this run was not heard of for 1 s: its machine or the network"
    )


def test_a_process_that_falls_silent_with_the_store_is_a_clear_error() -> None:
    """As a machine that lost its power does, which then closes the connections of those who ask it."""
    command = [sys.executable, "-c", KEEPER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as store:
        assert store.stdout is not None
        first, second = start("tests.theory.solver.silent", "stopped", "0", count=2, port=int(store.stdout.readline()))
        while not first.stopped():
            time.sleep(0.05)
        store.kill()
    out, error = second.communicate(timeout=PATIENCE)
    with pytest.raises(TimeoutError, match="still there"):
        first.communicate(timeout=0)
    assert (second.returncode, out) == (3, "")
    assert "maskgraph: process 0 of this run was not heard of for 1 s" in error


KEEPER = """
import torch.distributed as dist
store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
print(store.port, flush=True)
input()
"""


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(("what", "total"), [("busy", "4.0\n"), ("gone", "2.0\n")])
def test_one_that_is_busy_or_has_left_is_not_silent(what: str, total: str, rank: int, store: Any) -> None:
    for one in start("tests.theory.solver.silent", what, str(rank), count=2, port=store.port):
        out, error = one.communicate(timeout=PATIENCE)
        assert (one.returncode, out, error) == (0, total, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bound", "nowhere.npz", "--mask-ratio", "0.5"], "maskgraph: error: nowhere.npz does not exist"),
        (["bound", "digits", "--mask-ratio", "0.5", "--view", "heap"], "maskgraph: error: unknown view 'heap'"),
        (
            ["report", "nowhere"],
            "maskgraph: error: torchrun started 2 processes and report runs in one",
        ),
        (["bound", "digits"], "maskgraph bound: error: the following arguments are required: --mask-ratio"),
    ],
)
def test_bad_input_ends_all_with_one_error(arguments: list[str], message: str) -> None:
    first, second = start("maskgraph", *arguments, count=2)
    out, error = first.communicate(timeout=PATIENCE)
    silent = second.communicate(timeout=PATIENCE)
    assert (first.returncode, out) == (2, "")
    assert error.splitlines()[-1].startswith(message)
    assert silent == ("", "")


@pytest.mark.parametrize("late", [0, 2])
def test_processes_meet_in_a_store_that_others_have_used(late: int) -> None:
    """What those before a restart left there is no greeting of theirs, whoever comes last."""
    store = dist.HashStore()  # type: ignore[attr-defined]
    names: list[str] = []
    for _ in range(2):
        with ThreadPoolExecutor(3) as pool:
            early = [pool.submit(meet, store, rank, 3) for rank in range(3) if rank != late]
            time.sleep(0.2)
            assert not any(one.done() for one in early)
            found = {one.result() for one in [*early, pool.submit(meet, store, late, 3)]}
        assert len(found) == 1
        names += found
    assert len(set(names)) == 2


def test_a_process_that_finds_no_others(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("MASTER_PORT", "none")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    assert main(["bound", "digits", "--mask-ratio", "0.5"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("maskgraph: error: the processes of this run did not come together")
    assert "torchrun --nproc-per-node P -m maskgraph bound" in error
