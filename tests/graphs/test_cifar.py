"""CIFAR's binary versions: planted pixels come back, and nothing that is not what its authors publish is believed."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from maskgraph.graphs.cifar import RELEASES, read_cifar
from maskgraph.graphs.errors import InputError
from tests.graphs.cifar_archive import NAMES, Planted, expect, plant

BOTH = pytest.mark.parametrize("name", ["cifar10", "cifar100"])
PARTS = pytest.mark.parametrize("held_out", [False, True])


def check(planted: Planted, name: str, place: Path | None, held_out: bool) -> None:
    """What is read is what was planted."""
    pixels, labels, classes = read_cifar(name, place, held_out)
    assert pixels.dtype == labels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert np.array_equal(pixels, planted.pixels[held_out])
    assert np.array_equal(labels, planted.labels[held_out])
    assert list(classes) == NAMES[name]


@PARTS
@BOTH
def test_archive_and_extracted_folder_give_what_was_planted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, held_out: bool
) -> None:
    planted = plant(monkeypatch, name)
    archive = planted.pack(monkeypatch, tmp_path / "packed")
    folder = planted.extract(tmp_path / "extracted" / planted.release.folder)
    for place in (archive, archive.parent, folder, folder.parent):
        check(planted, name, place, held_out)
    assert list(archive.parent.iterdir()) == [archive]


def test_bytes_of_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = plant(monkeypatch, "cifar100", images=1)
    record = bytearray(2 + 3 * 1024)
    record[0], record[1] = 7, 42
    record[2], record[3], record[2 + 32], record[2 + 1024], record[2 + 2048] = 10, 11, 12, 20, 30
    planted.files["train.bin"] = bytes(record)
    pixels, labels, _ = read_cifar("cifar100", planted.extract(tmp_path), held_out=False)
    assert labels.tolist() == [42]
    assert pixels[0, 0, 0].tolist() == [10, 20, 30]
    assert pixels[0, 0, 1].tolist() == [11, 0, 0]
    assert pixels[0, 1, 0].tolist() == [12, 0, 0]
    assert int(pixels.sum()) == 10 + 11 + 12 + 20 + 30


def test_releases_are_the_published_ones() -> None:
    assert RELEASES["cifar10"].md5 == "c32a1d4ab5d03f1284b67883e8d87530"
    assert RELEASES["cifar100"].md5 == "03b5dce01913d631647c71ecec9e9cb8"
    assert [release.archive for release in RELEASES.values()] == ["cifar-10-binary.tar.gz", "cifar-100-binary.tar.gz"]
    assert sorted(RELEASES["cifar10"].train) == [f"data_batch_{i}.bin" for i in (1, 2, 3, 4, 5)]
    for release in RELEASES.values():
        assert (sum(release.train.values()), sum(release.test.values())) == (50_000, 10_000)


@BOTH
def test_wrong_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    archive = plant(monkeypatch, name).pack(monkeypatch, tmp_path)
    content = archive.read_bytes()
    for altered in (content[:-1], content + b"\0", bytes([*content[:9], content[9] ^ 1, *content[10:]])):
        archive.write_bytes(altered)
        with pytest.raises(InputError, match=f"{archive.name} has the MD5 checksum .* is published: .*remove it and"):
            read_cifar(name, tmp_path, held_out=False)


@pytest.mark.parametrize("stray", ["../evil.bin", "cifar-10-batches-bin/../../evil.bin", "/tmp/evil.bin", ".."])
def test_member_whose_path_leads_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stray: str) -> None:
    plant(monkeypatch, "cifar10").pack(monkeypatch, tmp_path, [tarfile.TarInfo(stray)])
    with pytest.raises(InputError, match=f"holds '{stray}', a path that leads out of it"):
        read_cifar("cifar10", tmp_path, held_out=False)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("file", ["data_batch_1.bin", "readme.html"])
def test_member_that_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: bytes, file: str) -> None:
    member = tarfile.TarInfo(f"cifar-10-batches-bin/{file}")
    member.type, member.linkname = kind, "test_batch.bin"
    plant(monkeypatch, "cifar10").pack(monkeypatch, tmp_path, [member])
    with pytest.raises(InputError, match=f"holds 'cifar-10-batches-bin/{file}', a link or device"):
        read_cifar("cifar10", tmp_path, held_out=False)


@pytest.mark.parametrize("packed", [False, True])
@BOTH
def test_file_of_an_odd_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, packed: bool) -> None:
    planted = plant(monkeypatch, name, images=2)
    file = next(iter(planted.release.train))
    whole = planted.files[file]
    for content in (b"", whole[:-1], whole[: len(whole) // 2], whole + b"\0", whole + whole):
        planted.files[file] = content
        place = planted.pack(monkeypatch, tmp_path) if packed else planted.extract(tmp_path)
        with pytest.raises(InputError, match=f"{file} holds {len(content)} bytes where 2 images .* are {len(whole)}"):
            read_cifar(name, place, held_out=False)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_archive_that_is_no_archive_for_all_its_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    planted = plant(monkeypatch, "cifar10")
    archive = planted.pack(monkeypatch, tmp_path)
    archive.write_bytes(archive.read_bytes()[: int(share * archive.stat().st_size)])
    expect(monkeypatch, planted.release, archive)
    with pytest.raises(InputError, match=r"cifar-10-binary.tar.gz cannot be read as a .tar.gz \(.*fetch https"):
        read_cifar("cifar10", archive, held_out=True)


def test_folder_in_the_place_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = plant(monkeypatch, "cifar10")
    (tmp_path / planted.release.archive).mkdir()
    with pytest.raises(InputError, match=r"cifar-10-binary.tar.gz cannot be read as a .tar.gz \(.*Is a directory"):
        read_cifar("cifar10", tmp_path, held_out=False)
    (planted.extract(tmp_path / "out") / "data_batch_2.bin").unlink()
    (tmp_path / "out/data_batch_2.bin").mkdir()
    with pytest.raises(InputError, match=r"data_batch_2.bin cannot be read \(Is a directory\); extract"):
        read_cifar("cifar10", tmp_path / "out", held_out=False)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("file", ["data_batch_3.bin", "batches.meta.txt"])
def test_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, packed: bool) -> None:
    planted = plant(monkeypatch, "cifar10")
    del planted.files[file]
    place = planted.pack(monkeypatch, tmp_path) if packed else planted.extract(tmp_path)
    with pytest.raises(InputError, match=f"lacks {file} in cifar-10-batches-bin" if packed else f"{file} cannot be"):
        read_cifar("cifar10", place, held_out=False)


def test_label_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = plant(monkeypatch, "cifar10")
    planted.files["test_batch.bin"] = b"\x0a" + planted.files["test_batch.bin"][1:]
    with pytest.raises(InputError, match=r"label 10 of cifar10 has no name among the 10 in batches.meta.txt"):
        read_cifar("cifar10", planted.extract(tmp_path), held_out=True)


def test_directory_that_holds_neither_is_not_fetched_into(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match=rf"neither .* is in {place} \(see --data-dir\); put https://www.cs.tor"):
            read_cifar("cifar10", place, held_out=False)
    assert not list(tmp_path.iterdir())


class Server(HTTPServer):
    """Answers every request with `content`, after `status` and a promise of `promised` bytes."""

    content = b""
    promised = 0
    status = 200
    asked = 0


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.server.status == 0:
            self.wfile.write(b"no status at all\r\n\r\n")
            return
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(self.server.promised))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answer) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def planted(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planted:
    """A release that `server` hands out whole, in an empty working directory."""
    made = plant(monkeypatch, "cifar10")
    server.content = made.pack(monkeypatch, tmp_path / "published").read_bytes()
    server.promised = len(server.content)
    url = f"http://127.0.0.1:{server.server_port}/{made.release.archive}"
    monkeypatch.setitem(RELEASES, "cifar10", replace(RELEASES["cifar10"], url=url))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return made


def test_fetched_once_and_into_its_folder(planted: Planted, server: Server) -> None:
    check(planted, "cifar10", None, held_out=False)
    check(planted, "cifar10", None, held_out=True)
    assert server.asked == 1
    assert [path.name for path in Path("data/cifar10").iterdir()] == ["cifar-10-binary.tar.gz"]
    assert Path("data/cifar10/cifar-10-binary.tar.gz").read_bytes() == server.content


def test_nothing_is_fetched_where_the_files_lie(planted: Planted, server: Server) -> None:
    planted.extract(Path("data/cifar10/cifar-10-batches-bin"))
    check(planted, "cifar10", None, held_out=False)
    assert server.asked == 0


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("promised", [False, True])
def test_short_download_leaves_nothing_behind(planted: Planted, server: Server, share: float, promised: bool) -> None:
    whole = server.content
    server.content = whole[: int(share * len(whole))]
    server.promised = len(whole) if promised else len(server.content)
    with pytest.raises(InputError, match=r"http://127.*(cannot be fetched|has the MD5 checksum)"):
        read_cifar("cifar10", None, held_out=False)
    assert not list(Path("data/cifar10").iterdir())
    server.content, server.promised = whole, len(whole)
    check(planted, "cifar10", None, held_out=False)


@pytest.mark.parametrize(("status", "message"), [(404, "HTTP Error 404"), (503, "HTTP Error 503"), (0, "no status")])
def test_server_that_refuses(planted: Planted, server: Server, status: int, message: str) -> None:
    server.status = status
    with pytest.raises(InputError, match=rf"http://127.* cannot be fetched into data/cifar10 \({message}"):
        read_cifar("cifar10", None, held_out=False)
    assert not Path("data").exists()


def test_interrupted_download_leaves_nothing_behind(
    planted: Planted, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(source: object, target: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfileobj", interrupted)
        with pytest.raises(KeyboardInterrupt):
            read_cifar("cifar10", None, held_out=False)
    assert not list(Path("data/cifar10").iterdir())
    check(planted, "cifar10", None, held_out=False)


def test_what_a_killed_download_leaves_is_not_trusted(planted: Planted, server: Server) -> None:
    folder = Path("data/cifar10")
    folder.mkdir(parents=True)
    (folder / "cifar-10-binary.tar.gz.0a1b2c3d.part").write_bytes(server.content[:99])
    check(planted, "cifar10", None, held_out=False)
    assert server.asked == 1


def test_download_is_verified_before_it_gets_its_name(
    planted: Planted, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    md5 = hashlib.md5(b"something else", usedforsecurity=False).hexdigest()
    monkeypatch.setitem(RELEASES, "cifar10", replace(RELEASES["cifar10"], md5=md5))
    with pytest.raises(InputError, match=f"what came from http://127.* where {md5} is published.*try again"):
        read_cifar("cifar10", None, held_out=False)
    assert not list(Path("data/cifar10").iterdir())


def test_no_network(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:9/cifar-10-binary.tar.gz"
    monkeypatch.setitem(RELEASES, "cifar10", replace(RELEASES["cifar10"], url=url))
    with pytest.raises(InputError, match=rf"{url} cannot be fetched into data/cifar10 \(.*--data-dir") as caught:
        read_cifar("cifar10", None, held_out=False)
    assert "\n" not in str(caught.value)
    assert not Path("data").exists()


def test_no_place_to_fetch_into(planted: Planted, server: Server) -> None:
    Path("data").write_text("a file in the place of the folder")
    with pytest.raises(InputError, match="cannot be fetched into data/cifar10"):
        read_cifar("cifar10", None, held_out=False)
