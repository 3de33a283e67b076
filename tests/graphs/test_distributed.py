"""Counting on two local workers, one of which is killed: the same graph as without them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from maskgraph import progress
from maskgraph.cli import main
from maskgraph.graphs import distributed
from maskgraph.graphs.bipartite import from_counts, mask_graph
from maskgraph.graphs.counting import count
from maskgraph.graphs.edges import Edges, edges
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.graphs.merging import Counts
from maskgraph.graphs.views import View
from tests.cli.refusal import assert_refused
from tests.graphs.test_counting import clustered, same
from tests.strategies import VIEWS

# Dask's own threads are torn down while the interpreter goes on.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

PATIENCE = 60
"""Seconds that processes have to start on a busy machine."""


@dataclass
class Cluster:
    """A scheduler and its workers, processes of their own."""

    scheduler: subprocess.Popen[bytes]
    address: str
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def add_worker(self) -> None:
        self.workers.append(run("dask_worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard"))

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def run(command: str, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{command}", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Two workers."""
    file = tmp_path / "scheduler.json"
    arguments = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file), "--no-dashboard")
    scheduler = run("dask_scheduler", *arguments, "--dashboard-address", "127.0.0.1:0")
    end = time.monotonic() + PATIENCE
    while not file.exists() or not file.read_text().strip():
        assert time.monotonic() < end
        assert scheduler.poll() is None
        time.sleep(0.05)
    import json

    made = Cluster(scheduler, json.loads(file.read_text())["address"])
    try:
        for _ in range(2):
            made.add_worker()
        from distributed import Client

        connect: Any = Client
        with connect(made.address, timeout=PATIENCE, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=PATIENCE)
        yield made
    finally:
        made.close()


def note(told: list[int], done: int, total: int) -> None:
    assert 0 <= done <= total
    told.append(done)


def test_two_workers_give_the_graph_of_one_process(cluster: Cluster) -> None:
    images = clustered(300, 9, 4, weighted=False)
    masks = mask_set(mask_distribution("uniform", (3, 3), 0.5), 40)
    views: tuple[View, ...] = VIEWS
    for view in views:
        graph = mask_graph(images, masks, view)
        same(mask_graph(images, masks, view, scheduler=cluster.address), graph)
        found = edges(images, masks, view)
        told: list[int] = []
        counts = distributed.count_on(cluster.address, found, 700, partial(note, told))
        assert told
        assert told == sorted(told)
        same(from_counts(images, masks, view, counts, found.unit), graph)


def test_a_killed_worker_changes_nothing_and_none_left_is_an_error(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = clustered(400, 12, 4, weighted=False)
    masks = mask_set(mask_distribution("uniform", (3, 4), 0.5), 60)
    found = edges(images, masks, "sequence")
    killed: list[int] = []

    def kill_one(done: int, total: int) -> None:
        if done and not killed:
            assert done < total
            killed.append(done)
            cluster.workers[0].kill()
            cluster.workers[0].wait()

    counts = distributed.count_on(cluster.address, found, 200, kill_one)
    assert killed
    same(from_counts(images, masks, "sequence", counts, found.unit), mask_graph(images, masks, "sequence"))

    def kill_all(done: int, total: int) -> None:
        cluster.workers[1].kill()

    monkeypatch.setattr(distributed, "TIMEOUT", 3.0)
    with pytest.raises(distributed.WorkersLostError, match=r"lost all its workers"):
        distributed.count_on(cluster.address, found, 200, kill_all)
    with pytest.raises(InputError, match="has no worker; start some with"):
        distributed.count_on(cluster.address, found)


def test_the_command_line_tells_of_blocks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def count_here(address: str, found: Edges, done: Callable[[int, int], None]) -> Counts:
        done(0, 4)
        done(3, 4)
        return count(found, 1)

    monkeypatch.setattr(distributed, "count_on", count_here)
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    options = ("bound", "mixture:n=4", "--mask-ratio", "0.5", "--dim", "2", "--json")
    assert main([*options, "--scheduler", "127.0.0.1:8786"]) == 0
    out, told = capsys.readouterr()
    lines = [line for line in told.splitlines() if "blocks of the graph at mask ratio 0.5" in line]
    assert [line.split()[-9] for line in lines] == ["0/4", "3/4"]
    assert main([*options]) == 0
    assert capsys.readouterr().out == out


@pytest.mark.parametrize("address", ["foo", "nowhere:1:2", "foo://a:1", "tcp://a", "tcp://:9", "tcp://a:x", "a:65536"])
def test_what_is_no_address_is_refused_before_anything_is_loaded(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(*_: object) -> None:
        raise AssertionError("images were loaded")

    monkeypatch.setattr("maskgraph.commands.load_coded", load)
    message = f"scheduler '{address}'; expected its address, tcp://HOST:PORT"
    assert_refused(capsys, message, "bound", "mixture:n=4", "--mask-ratio", "0.5", "--scheduler", address)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1:9", "tcp://[::1]:9"])
def test_a_scheduler_that_does_not_answer(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(distributed, "TIMEOUT", 1.0)
    command = ["bound", "mixture:n=4", "--mask-ratio", "0.5", "--dim", "2", "--scheduler", address]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert f"no dask scheduler answers at '{address}'" in error
    assert "Traceback" not in error
