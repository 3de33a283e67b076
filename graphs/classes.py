"""Classes of views: most views are seen with one class only, and need no more than its number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


@dataclass(frozen=True)
class Classes:
    """The classes that N_i views of one side are seen with, of C.

    Attributes:
        label: (N_i,) unsigned, the class of a view that is seen with one, C where it is seen with several.
        several: (·, C) float64 CSR, the joint distribution with the class of those with several, in their order.
    """

    label: NDArray[Any]
    several: sp.csr_array

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.label.nbytes + sum(a.nbytes for a in (self.several.data, self.several.indices, self.several.indptr))

    def some(self, which: NDArray[np.bool_]) -> Classes:
        """The classes of those of the views, (N_i,) bool, in their order."""
        several = self.label == self.several.shape[1]
        return Classes(self.label[which], self.several[which[several]])

    def joint(self, mass: NDArray[np.float64]) -> sp.csr_array:
        """(N_i, C) CSR, joint distribution of view and class of views that have `mass` (N_i,)."""
        one = self.label < self.several.shape[1]
        sizes = np.ones(len(one), dtype=np.int64)
        sizes[~one] = np.diff(self.several.indptr)
        indptr = np.concatenate([[0], np.cumsum(sizes)])
        others = np.ones(indptr[-1], dtype=np.bool_)
        others[indptr[:-1][one]] = False
        data, indices = np.empty(len(others)), np.empty(len(others), dtype=_index(len(others)))
        data[~others], indices[~others] = mass[one], self.label[one]
        data[others], indices[others] = self.several.data, self.several.indices
        return canonical(data, indices, indptr, (len(one), self.several.shape[1]))


def classes_of(joint: sp.csr_array) -> Classes:
    """What `joint` gives back: (N_i, C) CSR, canonical, no row empty."""
    one = np.diff(joint.indptr) == 1
    label = np.full(len(one), joint.shape[1], dtype=np.min_scalar_type(joint.shape[1]))
    label[one] = joint.indices[joint.indptr[:-1][one]]
    entries = np.repeat(~one, np.diff(joint.indptr))
    indptr = np.concatenate([[0], np.cumsum(np.diff(joint.indptr)[~one])])
    shape = (len(indptr) - 1, joint.shape[1])
    return Classes(label, canonical(joint.data[entries], joint.indices[entries], indptr, shape))


def canonical(
    data: NDArray[np.float64], indices: NDArray[Any], indptr: NDArray[Any], shape: tuple[int, int]
) -> sp.csr_array:
    """The CSR matrix of these arrays, which are not copied where their integers fit; columns ascend in every row."""
    index = _index(len(indices))
    result = sp.csr_array((data, indices.astype(index, copy=False), indptr.astype(index, copy=False)), shape=shape)
    # Known, not to be found out by another pass.
    result.has_sorted_indices = result.has_canonical_format = True
    return result


def _index(entries: int) -> type[np.int32] | type[np.int64]:
    return np.int32 if entries < 2**31 else np.int64
