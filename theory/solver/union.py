"""Connected components of a bipartite graph by union-find, without a copy of its edges."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.compiled import compiled

Array = NDArray[Any]


def component_labels(indptr: Array, indices: Array, rows: int, columns: int) -> tuple[int, Array, Array]:
    """Number the components of a CSR matrix without empty rows in the order of their first rows.

    Args:
        indptr: of the matrix.
        indices: of the matrix.
        rows: how many it has.
        columns: how many it has, none of them empty.

    Returns:
        the number of components, and the component of each row (rows,) and of each column (columns,), of 32 bits where
        these hold the numbers.
    """
    index = np.int32 if max(rows, columns) < 2**31 else np.int64
    parent = np.arange(rows, dtype=index)
    first = np.full(columns, -1, dtype=index)
    of_row, of_column = np.empty(rows, dtype=index), np.empty(columns, dtype=index)
    return unite(indptr, indices, parent, first, of_row, of_column), of_row, of_column


@compiled
def unite(indptr: Array, indices: Array, parent: Array, first: Array, of_row: Array, of_column: Array) -> int:
    """Join the rows that share a column; the smallest row of a component is its root."""
    for row in range(len(parent)):
        for e in range(indptr[row], indptr[row + 1]):
            column = indices[e]
            if first[column] < 0:
                first[column] = row
                continue
            a, b = row, first[column]
            while parent[a] != a:
                parent[a] = parent[parent[a]]
                a = parent[a]
            while parent[b] != b:
                parent[b] = parent[parent[b]]
                b = parent[b]
            if a < b:
                parent[b] = a
            elif b < a:
                parent[a] = b
            # The column now points to the root, which later rows reach sooner.
            first[column] = min(a, b)
    count = 0
    for row in range(len(parent)):
        root = row
        while parent[root] != root:
            root = parent[root]
        parent[row] = root
        if root == row:
            of_row[row] = count
            count += 1
        else:
            of_row[row] = of_row[root]
    for column in range(len(first)):
        of_column[column] = of_row[first[column]]
    return count
