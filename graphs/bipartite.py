"""The mask graph: the joint distribution of the visible and the target view of one image under one mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from maskgraph.graphs.classes import Classes, canonical, classes_of
from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.errors import InputError, check_type, is_whole
from maskgraph.graphs.machine import cores
from maskgraph.graphs.masks import MaskSet
from maskgraph.graphs.memory import check_share
from maskgraph.graphs.views import View, arrange, check_view, known_positions, view_ids

if TYPE_CHECKING:
    from maskgraph.graphs.merging import Counts


Counted = Callable[[int, int], None]
"""Told how many pieces of how many are counted."""

SMALL = 2**19
"""Edges up to which a graph is counted by numpy alone, sooner than the compiled loops are loaded."""

SHORT = 2**24
"""And codes of all of these: numpy takes as long for each as for a short view."""

NUMBERED = 80
"""Bytes of an edge while its views are numbered, beside its codes: both numbers, and what sorting one side takes."""


@dataclass(frozen=True)
class Views:
    """What a mask graph knows of the N_i views of one side.

    Attributes:
        place: (N_i,) unsigned, image · S + mask of the first place where each occurs.
        alone: (N_i,) bool, whether it is seen from one image (one row of the dataset) only.
        one_mask: (N_i,) bool, whether it is seen under one mask only.
        classes: the classes of its images.
    """

    place: NDArray[Any]
    alone: NDArray[np.bool_]
    one_mask: NDArray[np.bool_]
    classes: Classes

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return sum(a.nbytes for a in (self.place, self.alone, self.one_mask, self.classes))


@dataclass(frozen=True)
class MaskGraph:
    """M(x1, x2) = E_x̄ E_m 1[x̄ under m shows x1 and hides x2] (How Mask Matters, section 3.1).

    Vertices stand in the lexical order of their codes; positional ones first in that of their masks. Printed it is
    what it was made of: a failing test shows that, and all else follows.

    Attributes:
        images: the N images that were masked.
        masks: the S masks.
        view: when two views are the same vertex.
        M: (N1, N2) float64 CSR, sums to 1.
        visible: the views x1.
        target: the views x2.
        targets: (V, s) float64, what each code is as a part of a target; None: its patch value.
    """

    images: CodedImages
    masks: MaskSet
    view: View
    M: sp.csr_array = field(repr=False)
    visible: Views = field(repr=False)
    target: Views = field(repr=False)
    targets: NDArray[np.float64] | None = None

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """The same where hypothesis or IPython print it, which look at every field of a dataclass otherwise."""
        with printer.group(1, f"{type(self).__name__}(", ")"):
            for number, one in enumerate(each for each in fields(self) if each.repr):
                if number:
                    printer.text(",")
                    printer.breakable()
                printer.text(f"{one.name}=")
                value = getattr(self, one.name)
                # Masks as they print themselves: both of their sides would say the same twice.
                if one.name == "masks":
                    printer.text(repr(value))
                else:
                    printer.pretty(value)

    @property
    def nbytes(self) -> int:
        """Bytes of M and of what is known of its views."""
        return sum(a.nbytes for a in (self.visible, self.target, self.M.data, self.M.indices, self.M.indptr))

    @cached_property
    def p1(self) -> NDArray[np.float64]:
        """(N1,) marginal of the visible view, positive."""
        return np.asarray(self.M.sum(axis=1), dtype=np.float64).ravel()

    @cached_property
    def p2(self) -> NDArray[np.float64]:
        """(N2,) marginal of the target view, positive."""
        return np.asarray(self.M.sum(axis=0), dtype=np.float64).ravel()

    @cached_property
    def R1(self) -> sp.csr_array:
        """(N1, N) CSR, the joint distribution of visible view and image."""
        return _joint_with_images(self.ids1, len(self.p1), self.images)

    @cached_property
    def R2(self) -> sp.csr_array:
        """(N2, N) CSR, the joint distribution of target view and image."""
        return _joint_with_images(self.ids2, len(self.p2), self.images)

    @cached_property
    def class_mass1(self) -> sp.csr_array:
        """(N1, C) CSR, joint distribution of the visible view and the image's class."""
        return self.visible.classes.joint(self.p1)

    @cached_property
    def class_mass2(self) -> sp.csr_array:
        """(N2, C) CSR, joint distribution of the target view and the image's class."""
        return self.target.classes.joint(self.p2)

    @property
    def ids1(self) -> NDArray[np.int64]:
        """(N, S) int64, the vertex x1 of each image under each mask.

        Raises:
            InputError: numbers of all edges beyond memory; they are what the image hop is made of.
        """
        return self._ids[0]

    @property
    def ids2(self) -> NDArray[np.int64]:
        """(N, S) int64, the vertex x2 of each image under each mask."""
        return self._ids[1]

    @cached_property
    def _ids(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        edges = len(self.images.codes) * len(self.masks.kept)
        check_share((NUMBERED + self.images.patches) * edges, f"numbering the views of {edges:.2g} edges")
        return view_ids(self.images.codes, self.masks, self.view)

    @property
    def representatives1(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(image, mask) indices, each (N1,): one place where each visible view occurs."""
        return self._image_and_mask(self.visible.place)

    @cached_property
    def codes1(self) -> NDArray[np.int64]:
        """(N1, n1) int64 codes of each visible view, in the order of its vertex."""
        image, mask = self.representatives1
        return arrange(self.view, self.images.codes[image[:, None], self.masks.kept[mask]])

    @cached_property
    def codes2(self) -> NDArray[np.int64]:
        """(N2, n2) int64 codes of each target view, in the order of its vertex."""
        return self.target_codes(slice(None))

    def target_codes(self, vertices: NDArray[np.int64] | slice) -> NDArray[np.int64]:
        """(·, n2) int64 codes of some target views, in the order of their vertices."""
        image, mask = self._image_and_mask(self.target.place[vertices])
        return arrange(self.view, self.images.codes[image[:, None], self.masks.dropped[mask]])

    @cached_property
    def X2(self) -> NDArray[np.float64]:
        """(N2, d) float64, the target vectors, d = n2·s.

        Raises:
            InputError: codes without a codebook have no patch values.
        """
        return self.target_values[self.codes2].reshape(len(self.p2), -1)

    @property
    def target_values(self) -> NDArray[np.float64]:
        """(V, s) float64, what each code is as a part of a target: `targets`, or else its patch value.

        Raises:
            InputError: codes without a codebook have no patch values.
        """
        if self.targets is not None:
            return self.targets
        if self.images.codebook is None:
            raise InputError(
                f"{self.images.name} has codes but no patch values, and this quantity is about values; "
                "add a codebook (V, s) to the .npz"
            )
        return self.images.codebook

    def _image_and_mask(self, place: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return np.divmod(place.astype(np.int64), len(self.masks.kept))


def check_mask_graph(graph: object) -> None:
    """Raise InputError for anything that is no mask graph."""
    check_type(
        graph,
        MaskGraph,
        "make one with mask_graph(images, masks), or of any joint distribution of views with joint_graph(M) of "
        "maskgraph.graphs.synthetic",
    )


def visible_views(
    graph: MaskGraph, rows: NDArray[np.int64] | slice | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """What a masked autoencoder is given at each visible view: its patches, where they are, and what is asked for.

    Args:
        graph: the mask graph, with patch values.
        rows: (B,) numbers of views, or a slice of them; None: all N1.

    Returns:
        patches: (B, n1, s) float64, in the order of the vertex.
        positions: (B, n1) int64 in 0..n, where those patches are as far as the view identity lets a model know it (see
            `known_positions`).
        slots: (B, n2) int64 below n, likewise for the patches that are to be predicted, in the order of `graph.X2`.

    Raises:
        InputError: no mask graph, one without patch values, or views that it has not.
    """
    check_mask_graph(graph)
    if graph.images.codebook is None:
        raise InputError(
            f"{graph.images.name} has codes but no patch values to show an encoder; add a codebook (V, s), or give "
            "Outputs(f=...), one row a view of the graph"
        )
    which = slice(None) if rows is None else rows
    try:
        mask, codes = graph.representatives1[1][which], graph.codes1[which]
    except IndexError as error:
        raise InputError(f"rows {rows} ({error}); expected numbers of views, 0 to {len(graph.p1) - 1}") from error
    positions, slots = known_positions(graph.view, graph.masks.kept[mask], graph.masks.dropped[mask])
    # Copies: positions that all views share are a read-only broadcast, which a tensor cannot stand on.
    return np.asarray(graph.images.codebook[codes], dtype=np.float64), positions.copy(), slots.copy()


def mask_graph(
    images: CodedImages,
    masks: MaskSet,
    view: View = "positional",
    threads: int | None = None,
    scheduler: str | None = None,
    counted: Counted | None = None,
) -> MaskGraph:
    """Build the mask graph of images under masks.

        >>> from maskgraph.graphs.masks import make_mask_set
        >>> from maskgraph.graphs.synthetic import class_mixture
        >>> graph = mask_graph(class_mixture(2, 0.2), make_mask_set([[0], [1]], 2), view="sequence")
        >>> graph.M.toarray().round(2).tolist()
        [[0.34, 0.16], [0.16, 0.34]]

    Args:
        images: N images of n patches with weights.
        masks: S equiprobable masks of n patches.
        view: when two views are the same vertex.
        threads: that count; None: one a core. The graph does not depend on them.
        scheduler: address of a dask scheduler whose workers count instead; the graph does not depend on them either.
        counted: told how many blocks of edges of how many the scheduler's workers have counted.

    Raises:
        InputError: images without codes, no masks, or masks of another number of patches, an unknown view identity,
            or a graph beyond memory.
    """
    check_view(view)
    check_type(images, CodedImages, "encode(images, patch) of maskgraph.graphs.patches makes them of Images")
    check_type(
        masks,
        MaskSet,
        "draw masks with mask_set(mask_distribution(...)), or list them with make_mask_set(kept, patches), both of "
        "maskgraph.graphs.masks",
    )
    if threads is not None and (not is_whole(threads) or threads < 1):
        raise InputError(f"threads {threads!r}; expected at least 1, an integer, or none for one a core")
    n = masks.kept.shape[1] + masks.dropped.shape[1]
    if n != images.patches:
        raise InputError(f"the masks are over {n} patches and the images have {images.patches}")
    edge_count = len(images.codes) * len(masks.kept)
    if scheduler is None and edge_count <= SMALL and edge_count * n <= SHORT:
        return _by_ids(images, masks, view)
    from maskgraph.graphs.edges import edges

    found = edges(images, masks, view)
    if scheduler is None:
        from maskgraph.graphs.counting import count

        counts = count(found, threads or cores())
    else:
        from maskgraph.graphs.distributed import count_on

        counts = count_on(scheduler, found, done=counted)
    return from_counts(images, masks, view, counts, found.unit)


def from_counts(images: CodedImages, masks: MaskSet, view: View, counts: Counts, unit: float) -> MaskGraph:
    """The mask graph that was counted, masses in units; the counts become its own and are not to be used again."""
    shape = (len(counts.sides[0].place), len(counts.sides[1].place))
    np.multiply(counts.masses, unit, out=counts.masses)
    M = canonical(counts.masses, counts.indices, counts.indptr, shape)
    sides = []
    for side in counts.sides:
        np.multiply(side.classes.several.data, unit, out=side.classes.several.data)
        sides.append(Views(side.place, side.alone, side.one_mask, side.classes))
    return MaskGraph(images, masks, view, M, sides[0], sides[1])


def _by_ids(images: CodedImages, masks: MaskSet, view: View) -> MaskGraph:
    ids = view_ids(images.codes, masks, view)
    vertices = (int(ids[0].max()) + 1, int(ids[1].max()) + 1)
    M = _joint(*ids, images, vertices)
    sides = []
    for own, count in zip(ids, vertices, strict=True):
        R = _joint_with_images(own, count, images)
        of_image = np.broadcast_to(images.labels[:, None], own.shape)
        class_mass = _joint(own, of_image, images, (count, len(images.classes)))
        place = np.empty(count, dtype=np.int64)
        # Written back to front, so that the first occurrence is the one that stays.
        place[own.ravel()[::-1]] = np.arange(own.size)[::-1]
        last = np.empty(count, dtype=np.int64)
        # Of several values written to one place the last one stays.
        last[own.T.ravel()] = np.repeat(np.arange(own.shape[1]), own.shape[0])
        by_mask = last.copy()
        by_mask[own.T.ravel()[::-1]] = np.repeat(np.arange(own.shape[1]), own.shape[0])[::-1]
        sides.append(Views(place, np.diff(R.indptr) == 1, by_mask == last, classes_of(class_mass)))
    return MaskGraph(images, masks, view, M, sides[0], sides[1])


def _joint(
    ids1: NDArray[np.int64], ids2: NDArray[np.int64], images: CodedImages, vertices: tuple[int, int]
) -> sp.csr_array:
    """The joint distribution of two things of all edges, numbers (N, S): M of both vertices.

    Every entry is good to a few ulp however many edges are behind it.
    """
    masks = ids1.shape[1]
    pairs = (ids1 * vertices[1] + ids2).ravel()
    order = np.argsort(pairs, kind="stable")
    starts = np.flatnonzero(np.diff(pairs[order], prepend=-1))
    mass, unit = images.in_units(masks)
    # In pairs of pairs: one after the other, as a sparse matrix adds them, equal masses lose the same each time.
    summed = np.add.reduceat(mass[order // masks], starts) * unit
    rows, columns = np.divmod(pairs[order[starts]], vertices[1])
    return canonical(summed, columns, np.searchsorted(rows, np.arange(vertices[0] + 1)), vertices)


def _joint_with_images(ids: NDArray[np.int64], vertices: int, images: CodedImages) -> sp.csr_array:
    count, masks = ids.shape
    shape = (vertices, count)
    times = sp.csr_array((np.ones(ids.size), (ids.ravel(), np.repeat(np.arange(count), masks))), shape=shape)
    mass, unit = images.in_units(masks)
    times.data *= mass[times.indices] * unit
    return times
