"""F1: with positions the leading eigenvectors tell masks apart, not classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from maskgraph.graphs.augmentation import AugmentationGraph, augmentation_graph, majority_class
from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.graphs.views import View
from maskgraph.theory import labels
from maskgraph.theory.findings.finding import DRAWS, EQUAL, Finding, Line, Panel, digits, span, world_graph
from maskgraph.theory.spectrum import spectrum

VIEWS: tuple[View, ...] = ("positional", "sequence")


@dataclass(frozen=True)
class Readout:
    """What the top k eigenvectors tell of the class.

    Attributes:
        k: how many.
        error: Pr[argmax ≠ y(x̄)] over (image, view) of the best linear readout. With orthonormal eigenvectors that is
            the mean classifier of Thm 4.1 too.
        square: E‖onehot(y(x1)) − best linear‖² of the majority class of a view.
        vote: `labels.vote_error`, the error of the majority vote of these answers over the views of an image.
    """

    k: int
    error: float
    square: float
    vote: float


@dataclass(frozen=True)
class Plateau:
    """The readouts of one graph.

    Attributes:
        world: its name.
        view: when two views are one vertex.
        masks: how many.
        components: multiplicity of eigenvalue 1.
        chance: 1 − the largest class mass, the least error of an answer that does not see the image.
        readouts: by ascending k.
        others: the same under other draws of as many masks, none where all are there.
    """

    world: str
    view: View
    masks: int
    components: int
    chance: float
    readouts: list[Readout]
    others: Sequence[Plateau] = ()

    @property
    def draws(self) -> list[Plateau]:
        """Under every draw of the masks."""
        return [self, *self.others]

    @property
    def at_chance(self) -> int:
        """The largest k up to which no readout is better than chance."""
        better = [r.k for r in self.readouts if min(r.error, r.vote) < self.chance - EQUAL]
        return max((r.k for r in self.readouts if not better or r.k < better[0]), default=0)


def readouts(A: AugmentationGraph, ks: Sequence[int]) -> list[Readout]:
    """The best linear readout of the class from the top k eigenvectors, for each k.

    Args:
        A: the augmentation graph.
        ks: dimensions, each at most N1.

    Raises:
        InputError: k out of range.
    """
    graph = A.graph
    vectors = spectrum(A, max(ks)).vectors.toarray()
    root = np.sqrt(graph.p1)[:, None]
    Y = root * np.eye(graph.class_mass1.shape[1])[majority_class(graph.class_mass1)]
    found = []
    for k in ks:
        U = vectors[:, :k]
        W = U.T @ Y
        # Scores that differ by rounding alone are a tie, and a tie goes to the lowest class as everywhere.
        answer = np.argmax(np.round(U @ W / root, 9), axis=1)
        error = labels.misread(graph.class_mass1, answer)
        # A 0 that rounding left below 0 has no sign.
        square = round(1 - float((W**2).sum()), 12) + 0.0
        found.append(Readout(k, error, square, labels.vote_error(graph, answer)))
    return found


def plateaus() -> list[Plateau]:
    """The readouts of three worlds with positional and with sequence views, target hop."""
    worlds = {
        "mixture": (class_mixture(6, 0.2), 0.66, 2000, 1),
        "digits, 2 codes": (digits(2), 0.75, 16, DRAWS),
        "digits, 4 codes": (digits(4), 0.75, 16, DRAWS),
    }
    found = []
    for name, (images, ratio, masks, draws) in worlds.items():
        for view in VIEWS:
            first, *others = (plateau(name, world_graph(images, ratio, view, masks, seed)) for seed in range(draws))
            found.append(replace(first, others=others))
    return found


def plateau(name: str, graph: MaskGraph) -> Plateau:
    """The readouts of one graph, target hop."""
    A = augmentation_graph(graph)
    chance = 1 - float(np.bincount(graph.images.labels, graph.images.weights).max())
    count, components = len(graph.masks.kept), spectrum(A, 1).components
    tried = {*(2**i for i in range(8)), count, count + 1, components, components + 1}
    ks = sorted(k for k in tried if k <= min(A.B.shape))
    return Plateau(name, graph.view, count, components, chance, readouts(A, ks))


def positional_views() -> Finding:
    """F1 as a page."""
    found = plateaus()
    seen = "; ".join(
        f"{p.world}: {span([one.at_chance for one in p.draws])} of {p.masks} masks"
        for p in found
        if p.view == "positional"
    )
    return Finding(
        "positional-views",
        "With positions the top eigenvectors are masks",
        "Positional target-hop graphs are block-diagonal over masks. Where each mask's block is connected, the top "
        "eigenvectors are functions of the mask and no readout of them is better than chance until k passes the number "
        f"of masks. Largest k up to which no readout tried beats chance: {seen}. Where blocks fall apart it may be "
        "fewer than the masks: indicators of components can tell classes.",
        "Class mixture of 6 patches, η = 0.2, all masks of ρ = 0.66; scikit-learn's digits, 16 masks of ρ = 0.75, "
        f"{DRAWS} draws of them, of which table and figure show the first. The "
        "readout is least squares from the top k eigenvectors onto the majority class of a view, which is the mean "
        "classifier as well; its error is against the class of the image, by view and by majority vote. Chance is "
        "1 − the largest class mass.",
        ("world", "views", "masks", "components", "k", "error", "vote error", "square error", "chance"),
        [
            (p.world, p.view, p.masks, p.components, r.k, r.error, r.vote, r.square, p.chance)
            for p in found
            for r in p.readouts
        ],
        _panels(found),
        [*(_sentence(p) for p in found), _squares(found), PROVED],
        [
            "Which eigenvectors a k below the number of components takes: eigenvalue 1 is repeated, so that any basis "
            "of its space would do (here one indicator a component, the heaviest first). Where each block is connected "
            "the plateau is the same for every basis; where blocks fall apart another order reads otherwise.",
            "Sequence views without a plateau in general: nothing forces them to mix the masks.",
            "Anything about trained networks: these are the eigenvectors that the bound's head counts.",
        ],
    )


PROVED = (
    "Proved (F1 in docs/theory.md): neighbours share their mask, so that every eigenvector of eigenvalue 1, over √p1, "
    "is constant on a connected block. An answer that knows only the mask is no better than chance, by view or by "
    "vote, as every image is seen under every mask alike."
)


def _sentence(p: Plateau) -> str:
    text = f"{p.world}, {p.view} views ({p.masks} masks, {p.components} component{'s' * (p.components != 1)}): "
    text += f"no better than chance ({p.chance:.4f}) up to k = {p.at_chance}" if p.at_chance else "better from k = 1"
    after = next((r.k for r in p.readouts if r.k > p.at_chance), p.at_chance)
    ks = sorted({after, p.components, p.readouts[-1].k})
    told = [f"{r.error:.4f} by view and {r.vote:.4f} by vote at k = {r.k}" for r in p.readouts if r.k in ks]
    return f"{text}; error {', '.join(told)}.{_others_told(p)}"


def _others_told(p: Plateau) -> str:
    """How much of it is the draw of the masks."""
    if not p.others:
        return ""
    components, ends = (span([getattr(one, key) for one in p.draws]) for key in ("components", "at_chance"))
    whole = [one for one in p.draws if one.components == p.masks]
    last = span([min(one.readouts[-1].error, one.readouts[-1].vote) for one in p.draws], ".4f")
    noun = "component" if components == "1" else "components"
    text = f" Over {len(p.draws)} draws of the masks {components} {noun}, and no better than chance up to k = {ends}"
    if p.view == "positional" and whole:
        least = min(one.at_chance for one in whole)
        text += f" ({least} at least in the {len(whole)} where each block is connected)"
    return f"{text}; the better of both errors at k = {p.readouts[-1].k} is {last}."


def _squares(found: Sequence[Plateau]) -> str:
    ends = []
    for p in found:
        on = [r for r in p.readouts if r.k <= p.at_chance]
        if p.view == "positional" and len(on) > 1:
            ends.append(f"{p.world} {on[0].square:.3f} to {on[-1].square:.3f}")
    return (
        f"On the plateau the square error moves all the same ({'; '.join(ends)}): indicators of all masks add up to "
        "the constant, which the square error rewards and which tells no class."
    )


def _panels(found: Sequence[Plateau]) -> list[Panel]:
    panels = []
    for name in dict.fromkeys(p.world for p in found):
        own = [p for p in found if p.world == name]
        lines: dict[str, Line] = {f"{p.view}, {kind}": _line(p, kind) for p in own for kind in ("view", "vote")}
        panels.append(Panel(name, "k", "error of the best linear readout", lines, ("chance", own[0].chance)))
    return panels


def _line(p: Plateau, kind: str) -> Line:
    return [r.k for r in p.readouts], [r.error if kind == "view" else r.vote for r in p.readouts]
