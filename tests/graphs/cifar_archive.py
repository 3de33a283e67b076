"""Small archives in CIFAR's official binary formats, planted in the place of the releases."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from maskgraph.graphs.cifar import RELEASES, Release

NAMES = {"cifar10": [f"kind {i}" for i in range(10)], "cifar100": [f"fine {i}" for i in range(100)]}


@dataclass(frozen=True)
class Planted:
    """What was planted: (N, 32, 32, 3) uint8 pixels and (N,) labels of both parts, and the archive's files."""

    release: Release
    pixels: dict[bool, NDArray[np.uint8]]
    labels: dict[bool, NDArray[np.int64]]
    files: dict[str, bytes]

    def extract(self, folder: Path) -> Path:
        """Write the files into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return folder

    def pack(self, monkeypatch: pytest.MonkeyPatch, folder: Path, extra: list[tarfile.TarInfo] | None = None) -> Path:
        """Write the archive into `folder`, members of no content `extra` first, and expect its checksum."""
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder / self.release.archive
        with tarfile.open(archive, "w:gz") as tar:
            inside = tarfile.TarInfo(self.release.folder)
            inside.type = tarfile.DIRTYPE
            for member in [inside, *(extra or [])]:
                tar.addfile(member)
            for name, content in self.files.items():
                member = tarfile.TarInfo(f"{self.release.folder}/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        expect(monkeypatch, self.release, archive)
        return archive


def expect(monkeypatch: pytest.MonkeyPatch, release: Release, archive: Path) -> None:
    """Make the checksum of `archive` the published one."""
    name = next(name for name, known in RELEASES.items() if known.folder == release.folder)
    md5 = hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setitem(RELEASES, name, replace(RELEASES[name], md5=md5))


def plant(monkeypatch: pytest.MonkeyPatch, name: str, images: int = 3, seed: int = 0) -> Planted:
    """Make up `images` images for each file of a release, and let the release promise that many."""
    release = RELEASES[name]
    small = replace(release, train=dict.fromkeys(release.train, images), test=dict.fromkeys(release.test, images))
    monkeypatch.setitem(RELEASES, name, small)
    rng = np.random.default_rng(seed)
    text = "\n".join(NAMES[name]) + "\n\n"
    files, pixels, labels = {release.names: text.encode()}, {}, {}
    for held_out, part in ((False, small.train), (True, small.test)):
        shape = (images * len(part), 32, 32, 3)
        pixels[held_out] = rng.integers(0, 256, shape, dtype=np.uint8)
        labels[held_out] = rng.integers(0, len(NAMES[name]), shape[0])
        files |= _records(part, pixels[held_out], labels[held_out], release.label_bytes)
    return Planted(small, pixels, labels, files)


def _records(
    part: Mapping[str, int], pixels: NDArray[np.uint8], labels: NDArray[np.int64], label_bytes: int
) -> dict[str, bytes]:
    """The files of a part, byte by byte as the format is described: labels, then the red, green and blue planes."""
    files, start = {}, 0
    for file, count in part.items():
        content = b""
        for image, label in zip(pixels[start : start + count], labels[start : start + count], strict=True):
            content += bytes([int(label) // 5] * (label_bytes - 1) + [int(label)])
            for channel in range(3):
                content += b"".join(bytes(row) for row in image[:, :, channel].tolist())
        files[file] = content
        start += count
    return files
