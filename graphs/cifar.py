"""CIFAR-10 and CIFAR-100 in their official binary versions, read from the archive or from what was extracted of it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import secrets
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.errors import InputError

SIDE, CHANNELS = 32, 3
SILENCE = 60.0
"""Seconds without a byte after which a download is given up."""


@dataclass(frozen=True)
class Release:
    """An archive as its authors publish it.

    Attributes:
        url: where it is fetched from; the last part is the archive's name.
        md5: hexadecimal digest that its authors publish.
        folder: the folder inside it that holds everything.
        train: the files of the training part, each with its number of images.
        test: the files of the test part, likewise.
        names: the file that names the classes, one a line.
        label_bytes: labels before the pixels of an image, of which the last one counts.
    """

    url: str
    md5: str
    folder: str
    train: Mapping[str, int]
    test: Mapping[str, int]
    names: str
    label_bytes: int

    @property
    def archive(self) -> str:
        """The archive's file name."""
        return self.url.rpartition("/")[2]


RELEASES = {
    "cifar10": Release(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        folder="cifar-10-batches-bin",
        train={f"data_batch_{batch}.bin": 10_000 for batch in range(1, 6)},
        test={"test_batch.bin": 10_000},
        names="batches.meta.txt",
        label_bytes=1,
    ),
    "cifar100": Release(
        url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        md5="03b5dce01913d631647c71ecec9e9cb8",
        folder="cifar-100-binary",
        train={"train.bin": 50_000},
        test={"test.bin": 10_000},
        names="fine_label_names.txt",
        label_bytes=2,
    ),
}

FOLDERS = {name: Path("data") / name for name in RELEASES}
"""Where the archive is looked for, and fetched into, when no directory is given."""


def read_cifar(
    name: str, data_dir: Path | None, held_out: bool
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[str, ...]]:
    """Read a part of `cifar10` or `cifar100`.

    Args:
        name: a key of `RELEASES`.
        data_dir: the archive, the extracted folder, or the directory that either lies in; `FOLDERS[name]` when None,
            and then the archive is fetched if neither is there.
        held_out: the test part instead of the training part.

    Returns:
        (N, 32, 32, 3) uint8 pixels, (N,) uint8 labels (CIFAR-100's fine ones) and the name of each class.

    Raises:
        InputError: no such files and no way to fetch them, a wrong checksum, an archive with paths or members that
            have no place in it, or files that are missing, truncated or malformed.
    """
    release = RELEASES[name]
    images = release.test if held_out else release.train
    files = _files(release, FOLDERS[name] if data_dir is None else data_dir, {*images, release.names}, data_dir is None)
    parts = [_images(file, files[file], count, release.label_bytes) for file, count in images.items()]
    pixels = np.concatenate([pixels for pixels, _ in parts])
    labels = np.concatenate([labels for _, labels in parts])
    classes = tuple(line.strip() for line in files[release.names].decode("latin-1").splitlines() if line.strip())
    if labels.max() >= len(classes):
        raise InputError(
            f"label {labels.max()} of {name} has no name among the {len(classes)} in {release.names}; fetch it again"
        )
    return pixels, labels, classes


def _files(release: Release, place: Path, wanted: set[str], may_fetch: bool) -> dict[str, bytes]:
    """The content of the files `wanted`, from wherever under `place` they lie."""
    for folder in (place / release.folder, place):
        if any((folder / file).exists() for file in wanted):
            return {file: _read(folder / file) for file in wanted}
    archive = place if place.is_file() else place / release.archive
    if not archive.exists():
        if not may_fetch:
            raise InputError(
                f"neither {release.archive} nor {release.folder} is in {place} (see --data-dir); "
                f"put {release.url} there, or leave out --data-dir to fetch it"
            )
        _fetch(release, archive)
    return _unpack(release, archive, wanted)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); extract the archive again") from error


def _images(file: str, content: bytes, count: int, label_bytes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    record = label_bytes + CHANNELS * SIDE * SIDE
    if len(content) != count * record:
        raise InputError(
            f"{file} holds {len(content)} bytes where {count} images of {record} bytes are {count * record}: "
            "it is truncated or of another release; fetch it again"
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(count, record)
    planes = records[:, label_bytes:].reshape(count, CHANNELS, SIDE, SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), records[:, label_bytes - 1]


def _unpack(release: Release, archive: Path, wanted: set[str]) -> dict[str, bytes]:
    """Read `wanted` from a verified archive in one pass; nothing is written to disk."""
    paths = {PurePosixPath(release.folder) / file: file for file in wanted}
    files: dict[str, bytes] = {}
    try:
        with archive.open("rb") as stream:
            _verify(release, stream, str(archive), f"remove it and fetch {release.url} again")
            with tarfile.open(fileobj=stream, mode="r|gz") as members:
                for member in members:
                    _refuse_stray(archive, member)
                    content = members.extractfile(member)
                    if content is not None and (path := PurePosixPath(member.name)) in paths:
                        files[paths[path]] = content.read()
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{archive} cannot be read as a .tar.gz ({error}); fetch {release.url} again") from error
    if missing := sorted(wanted - set(files)):
        raise InputError(f"{archive} lacks {missing[0]} in {release.folder}; fetch {release.url} again")
    return files


def _verify(release: Release, stream: io.BufferedIOBase, source: str, mend: str) -> None:
    digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if digest != release.md5:
        raise InputError(
            f"{source} has the MD5 checksum {digest} where {release.md5} is published: it is truncated or altered; "
            f"{mend}"
        )
    stream.seek(0)


def _refuse_stray(archive: Path, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"{archive} holds {member.name!r}, a path that leads out of it; fetch the official archive")
    if not (member.isreg() or member.isdir()):
        raise InputError(
            f"{archive} holds {member.name!r}, a link or device; fetch the official archive, of files only"
        )


def _fetch(release: Release, archive: Path) -> None:
    """Download to a name that nothing looks for, verify, and only then give it its own."""
    import http.client
    import urllib.request  # slow to import, and wanted here only

    part = archive.with_name(f"{archive.name}.{secrets.token_hex(4)}.part")
    try:
        with urllib.request.urlopen(release.url, timeout=SILENCE) as answer:
            archive.parent.mkdir(parents=True, exist_ok=True)
            with part.open("x+b") as file:
                shutil.copyfileobj(answer, file)
                file.seek(0)
                _verify(release, file, f"what came from {release.url}", "try again")
        part.replace(archive)
    except (OSError, http.client.HTTPException) as error:
        raise InputError(
            f"{release.url} cannot be fetched into {archive.parent} ({error}); put the file there yourself, or name "
            "the folder that holds it with --data-dir"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
