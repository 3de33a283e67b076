"""A solve on a GPU: what it has on the device and what on the host never meet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch.utils._python_dispatch import _disable_current_modes

from maskgraph.theory import spectrum
from maskgraph.theory.certify import certify
from maskgraph.theory.solver import krylov, search
from maskgraph.theory.solver.torch_engine import KINDS, TorchEngine
from tests.empirical.emulated import GPU, OnGpu, emulated
from tests.theory.toys import joint_augmentation, random_joint


class Sparse:
    """A sparse matrix of the emulated GPU, which emulates dense tensors alone."""

    device = GPU

    def __init__(self, matrix: sp.csr_array, dtype: type) -> None:
        self.matrix, self.dtype = matrix.astype(dtype), KINDS[dtype]

    def __matmul__(self, x: Any) -> OnGpu:
        assert isinstance(x, OnGpu)
        with _disable_current_modes():
            return OnGpu(torch.as_tensor(self.matrix @ x.value.numpy()))


def test_a_solve_on_cuda_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "DENSE_SIDE", 16)
    monkeypatch.setattr(search, "ROOM", 100)
    monkeypatch.setattr(krylov, "DENSELY", 0)
    monkeypatch.setattr(TorchEngine, "_sparse", lambda _, matrix, dtype: Sparse(matrix, dtype))
    graph = joint_augmentation(random_joint(np.random.default_rng(3), 160, 170, 0.1))
    here = spectrum.spectrum(graph, 6)
    with emulated():
        there = spectrum.spectrum(graph, 6, engine=TorchEngine("cuda:0"))
    # Both are values of one matrix, each to the error that its vectors have squared.
    np.testing.assert_allclose(there.values, here.values, rtol=0, atol=1e-9)


def test_vectors_are_certified_on_cuda_as_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TorchEngine, "_sparse", lambda _, matrix, dtype: Sparse(matrix, dtype))
    graph = joint_augmentation(random_joint(np.random.default_rng(3), 60, 70, 0.1))
    vectors = spectrum.spectrum(graph, 8).vectors.toarray()
    here = certify(graph, vectors, 6)
    with emulated():
        there = certify(graph, vectors, 6, engine=TorchEngine("cuda:0"))
    # One test of one block, but for the order of its sums.
    assert there.nu == pytest.approx(here.nu, rel=1e-6)
    assert there.head_sq_interval == pytest.approx(here.head_sq_interval, abs=1e-9)
