"""The graphs that the benchmarks measure on, made from seeds; nothing is downloaded or stored.

    python benchmarks/worlds.py             # the shape of every graph, small ones first
    python benchmarks/worlds.py few-keys    # of some

Synthetic images are drawn from prototypes: each class has one code a patch, and every patch of an image is replaced,
with the probability `noise`, by a code drawn uniformly. The noise sets how many views repeat, and with that everything.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.bipartite import MaskGraph, mask_graph
from maskgraph.graphs.datasets import CodedImages, make_coded_images
from maskgraph.graphs.masks import MaskSet, mask_distribution, mask_set
from maskgraph.graphs.source import Source, load_coded
from maskgraph.graphs.views import View
from maskgraph.theory.solver.components import components

MASKS = 100
"""Masks of every graph, unless its images have fewer."""


@dataclass(frozen=True)
class World:
    """Images and masks, and how a graph is made of them.

    Attributes:
        about: what the graph is like, in words.
        make: the images.
        view: when two views are the same vertex.
        k: how many eigenvalues are asked of it.
        large: whether solvers run under a time limit, each in a process of its own.
        beyond: whether k counts from the last eigenvalue 1 on, of which there are too many for a general solver.
    """

    about: str
    make: Callable[[], CodedImages]
    view: View
    k: int
    large: bool = False
    beyond: bool = False

    def graph(self) -> MaskGraph:
        """Its mask graph at ρ = ½."""
        images = self.make()
        return mask_graph(images, half_masks(images), self.view)


def half_masks(images: CodedImages) -> MaskSet:
    """The masks that every graph here uses: uniform, ρ = ½, at most `MASKS` of them."""
    return mask_set(mask_distribution("uniform", images.grid, 0.5), MASKS)


def prototypes(
    images: int, patches: int, codes: int, classes: int, noise: float, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Noisy copies of random prototypes.

    Args:
        images: N, how many to draw.
        patches: n patches an image.
        codes: V codes a patch.
        classes: how many prototypes, all equally likely.
        noise: the probability that a patch is replaced by a uniform draw, which may be the same code.
        seed: of everything.

    Returns:
        (N, n) int64 codes and (N,) int64 labels.
    """
    rng = np.random.default_rng(seed)
    pattern = rng.integers(codes, size=(classes, patches))
    labels = rng.integers(classes, size=images)
    drawn = rng.integers(codes, size=(images, patches))
    return np.where(rng.random((images, patches)) < noise, drawn, pattern[labels]), labels


def few_keys(images: int = 100_000) -> CodedImages:
    """All 4⁸ = 65,536 views occur on both sides: ten million edges, eight million of them distinct."""
    return make_coded_images("few-keys", *prototypes(images, 16, 4, 32, 0.3))


def many_keys(images: int = 100_000) -> CodedImages:
    """Nearly seven million views a side, most seen once: the other end of deduplication."""
    return make_coded_images("many-keys", *prototypes(images, 20, 16, 32, 0.22))


def clustered(images: int = 100_000) -> CodedImages:
    """A million views a side, connected, with hardly a gap in the eigenvalues after the first.

    Images with a view that is connected to nothing but itself are dropped until there are none: each brings
    an eigenvalue 1, and a hundred of them would make the head trivial.
    """
    codes, labels = prototypes(images, 20, 4, 32, 0.3)
    while True:
        coded = make_coded_images("clustered", codes, labels)
        graph = mask_graph(coded, half_masks(coded), "sequence")
        split = components(augmentation_graph(graph).B)
        if split.count == 1:
            return coded
        apart = split.of_row != split.sides[:, 0].argmax()
        kept = ~apart[graph.ids1].any(axis=1)
        codes, labels = codes[kept], labels[kept]


def many_components(images: int = 200_000) -> CodedImages:
    """Sixteen million views that carry their positions, so that each mask has components of its own, one giant."""
    return make_coded_images("many-components", *prototypes(images, 20, 4, 32, 0.3))


def disjoint_classes(classes: int = 10) -> CodedImages:
    """Classes that share no code: at least one component each."""
    parts = [prototypes(1500, 12, 4, 1, 0.2, seed) for seed in range(classes)]
    codes = np.concatenate([part + 4 * label for label, (part, _) in enumerate(parts)])
    return make_coded_images("disjoint-classes", codes, np.repeat(np.arange(classes), 1500))


def copies(count: int) -> CodedImages:
    """One connected graph of 4⁵ = 1,024 views a side, as many times: every eigenvalue is repeated as often."""
    codes, _ = prototypes(1000, 10, 4, 8, 0.5)
    every = np.concatenate([codes + 4 * copy for copy in range(count)])
    return make_coded_images(f"copies-{count}", every, np.repeat(np.arange(count), len(codes)))


def digits(codebook: str, codes: int) -> CodedImages:
    """Scikit-learn's 1,797 digits, 16 patches each."""
    return load_coded(Source("digits", codebook="threshold" if codebook == "threshold" else "kmeans", codes=codes))


WORLDS: dict[str, World] = {
    "one-copy": World("one connected graph of a thousand views", lambda: copies(1), "sequence", 64),
    "copies-16": World("sixteen copies of it", lambda: copies(16), "sequence", 64),
    "digits-positional": World("digits, 2 codes", lambda: digits("threshold", 2), "positional", 200),
    "digits-sequence": World("digits, 4 codes", lambda: digits("kmeans", 4), "sequence", 200, large=True),
    "disjoint-classes": World("ten classes that share no code", disjoint_classes, "sequence", 64),
    "few-keys": World("1e7 edges, one component", few_keys, "sequence", 64, large=True),
    "clustered": World("1e7 edges, a million views, one component", clustered, "sequence", 64, large=True),
    "many-components": World(
        "1.6e7 views in 1.9e6 components, a hundred of them giant", many_components, "positional", 64, True, beyond=True
    ),
}
"""The graphs of the spectrum benchmark, by name."""


def main() -> None:
    """Print the shape of the graphs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(WORLDS)} (all)")
    names = parser.parse_args().names or list(WORLDS)
    if unknown := sorted(set(names) - set(WORLDS)):
        parser.error(f"no graph {unknown[0]!r}; expected some of {', '.join(WORLDS)}")
    print(f"{'graph':18} {'N1':>9} {'N2':>9} {'edges':>9} {'components':>10} {'sides of the largest':>21}")
    for name in names:
        B = augmentation_graph(WORLDS[name].graph()).B
        split = components(B)
        rows, columns = split.sides[split.sides.min(axis=1).argmax()]
        print(f"{name:18} {B.shape[0]:9,} {B.shape[1]:9,} {B.nnz:9,} {split.count:10,} {rows:10,} {columns:10,}")


if __name__ == "__main__":
    # One thread: two would measure the scheduler.
    with threadpool_limits(1):
        main()
