"""Findings against closed forms, dense eigenvalues and plain loops."""

from __future__ import annotations

import itertools
import re
import statistics
from dataclasses import replace
from functools import cache
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.datasets import load_digits

from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.datasets import make_coded_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import MaskSet, mask_distribution, mask_set
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.graphs.views import View
from maskgraph.theory import labels
from maskgraph.theory.closed_form import binary_alpha, binary_lambda_2
from maskgraph.theory.findings import features as findings_features
from maskgraph.theory.findings import labels as findings_labels
from maskgraph.theory.findings import samples
from maskgraph.theory.findings import spectrum as findings_spectrum
from maskgraph.theory.findings.bootstrap import Cover, _lost
from maskgraph.theory.findings.features import Batch, Uniformity, batches, features
from maskgraph.theory.findings.finding import (
    DRAWS,
    EQUAL,
    Finding,
    digits,
    rank_correlation,
    span,
    trend,
    trends,
    world_graph,
)
from maskgraph.theory.findings.image_hop import Connectivity
from maskgraph.theory.findings.image_hop import _sentence as image_hop_sentence
from maskgraph.theory.findings.labels import Errors, Mixing
from maskgraph.theory.findings.register import FINDINGS, check_findings, compute
from maskgraph.theory.findings.sample_errors import Errors as SampleErrors
from maskgraph.theory.findings.sample_errors import Sampled, rate
from maskgraph.theory.findings.samples import ways
from maskgraph.theory.findings.spectrum import Mirror, Moves, Parts, _differs, _verdict, spectral_gap
from maskgraph.theory.findings.views import Plateau, Readout, readouts
from maskgraph.theory.findings.views import _sentence as plateau_sentence
from tests import oracle
from tests.strategies import FIXED_WORLDS
from tests.theory.toys import dense

PAGES = Path(__file__).resolve().parents[3] / "docs" / "findings"

DRAWN = 1052411418
"""Sum of squares of a draw of counts, of numpy's until 2.4: since 2.5 one of some hundred is another."""

ROUNDING = 1e-9
"""Graphs of at most 10⁴ entries of size 1."""


@cache
def found(name: str) -> Finding:
    return compute(name)


def column(finding: Finding, header: str, world: str | None = None) -> list[float]:
    place = finding.headers.index(header)
    return [float(str(row[place])) for row in finding.rows if world is None or row[0] == world]


def assert_of_all_masks(finding: Finding) -> None:
    """F2, to which no draw of masks would keep: what stands at ρ and at 1 − ρ changes sides."""
    if finding.name == "head-not-tail":
        for world in ("digits, 4 codes, bag", "digits, 8 codes, bag"):
            heads = column(finding, "head", world)
            assert heads == pytest.approx(heads[::-1], abs=ROUNDING)
    elif finding.name == "target-side-label-error":
        for world in ("digits, 4 codes, positional", "digits, 4 codes, bag"):
            alpha, alpha2 = (column(finding, name, world) for name in ("α", "α₂"))
            assert alpha == pytest.approx(alpha2[::-1], abs=ROUNDING)
    elif finding.name == "image-hop":
        for world in ("digits, 2 codes", "digits, 8 codes"):
            blocks = column(finding, "components, target hop", world)
            assert blocks == blocks[::-1]
    elif finding.name == "inter-class-mass":
        graph = world_graph(digits(4, 300), 0.125, "positional")
        assert len(graph.masks.kept) == 120
        inter = labels.edge_mass(augmentation_graph(graph)).inter
        assert column(finding, "inter, target", "digits, 4 codes")[0] == pytest.approx(inter, abs=ROUNDING)


@pytest.mark.parametrize("name", FINDINGS)
def test_pages_are_what_is_computed(name: str) -> None:
    """The committed table, number by number, to the four digits that it shows."""
    if name in ("finite-samples", "bootstrap-coverage"):
        times = np.random.default_rng(0).multinomial(4096, np.full(16, 1 / 16), size=1000)
        if int((times**2).sum()) != DRAWN:
            pytest.skip("numpy draws other counts here, and the page is of the samples that it drew")
    text = (PAGES / f"{name}.md").read_text()
    finding = found(name)
    table = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(table) == len(finding.rows)
    for shown, row in zip(table, finding.rows, strict=True):
        for cell, value in zip(shown, row, strict=True):
            if isinstance(value, float):
                assert float(cell) == pytest.approx(value, rel=1e-3, abs=1e-9)
            else:
                assert cell == str(value)
    # Rounding errors, the only numbers written with an exponent, are another machine's own.
    for sentence in (finding.title, finding.claim, finding.setting, *finding.shown, *finding.not_shown):
        assert sentence in text or re.search(r"\de-\d", sentence), sentence
    assert (PAGES / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert f"({name}.md)" in (PAGES / "README.md").read_text()
    assert_of_all_masks(finding)


@pytest.mark.parametrize("name", FINDINGS)
def test_a_finding_names_itself_and_its_limits(name: str) -> None:
    finding = found(name)
    assert finding.name == name
    assert finding.shown
    assert finding.not_shown
    assert all(len(row) == len(finding.headers) for row in finding.rows)
    assert "paper's constant" not in f"{finding}"


def test_readouts_leave_chance_once_k_passes_the_masks() -> None:
    finding = found("positional-views")
    mixture = [row for row in finding.rows if row[:2] == ("mixture", "positional")]
    # Two of six patches that agree with the class in four of five cases: no readout errs less than α = 0.2.
    alpha = binary_alpha(2, 0.2)
    for _, _, masks, components, k, error, vote, _, chance in mixture:
        assert masks == components == 15
        assert isinstance(k, int)
        assert isinstance(error, float)
        assert chance == pytest.approx(0.5, abs=ROUNDING)
        assert error == pytest.approx(0.5, abs=ROUNDING) if k <= 15 else error < 0.5 - 1e-3
        assert vote == pytest.approx(0.5, abs=ROUNDING) or k > 15
        assert error >= alpha - ROUNDING
    assert mixture[-1][5] == pytest.approx(alpha, abs=ROUNDING)
    # A pair of patches votes for class 1 where both show it, as ties go to class 0: C(s, 2) of 15 votes.
    images = class_mixture(6, 0.2)
    s = images.codes.sum(axis=1)
    votes = (s * (s - 1) / 2 > 7.5).astype(int)
    assert mixture[-1][6] == pytest.approx(float(images.weights[votes != images.labels].sum()), abs=ROUNDING)
    sequence = [row for row in finding.rows if row[:2] == ("mixture", "sequence")]
    assert [row[5] for row in sequence if row[4] == 2] == [pytest.approx(alpha, abs=ROUNDING)]


@pytest.mark.parametrize("codes", [2, 4])
def test_digits_are_read_at_chance_where_blocks_are_connected(codes: int) -> None:
    rows = [row for row in found("positional-views").rows if row[:2] == (f"digits, {codes} codes", "positional")]
    labels = load_digits().target
    chance = 1 - np.bincount(labels).max() / len(labels)
    A = augmentation_graph(world_graph(digits(codes), 0.75, "positional", 16))
    assert {row[3] for row in rows} == {nx.number_connected_components(A.to_networkx())}
    assert {row[3] == 16 for row in rows} == {codes == 2}
    for _, _, _, _, k, error, vote, _, told in rows:
        assert told == pytest.approx(chance, abs=ROUNDING)
        if codes == 2 and int(str(k)) <= 16:
            assert min(float(str(error)), float(str(vote))) >= chance - ROUNDING


@pytest.mark.parametrize("k", [1, 2])
def test_readout_against_least_squares(k: int) -> None:
    graph = FIXED_WORLDS["four classes"].graph(2, "bag")
    A = augmentation_graph(graph)
    values, vectors = np.linalg.eigh(dense(A))
    assert values[-k] - values[-k - 1] > 1e-6, "the top k are a space of their own"
    root = np.sqrt(graph.p1)[:, None]
    Y = np.eye(graph.class_mass1.shape[1])[np.argmax(np.round(graph.class_mass1.toarray(), 12), axis=1)] * root
    U = vectors[:, ::-1][:, :k]
    fit = U @ np.linalg.lstsq(U, Y, rcond=None)[0]
    answer = np.argmax(np.round(fit / root, 9), axis=1)
    right = sum(float(graph.class_mass1[i, c]) for i, c in enumerate(answer))
    (readout,) = readouts(A, [k])
    assert readout.error == pytest.approx(1 - right, abs=ROUNDING)
    assert readout.square == pytest.approx(float(((Y - fit) ** 2).sum()), abs=ROUNDING)


@pytest.mark.parametrize("seed", range(6))
def test_votes_against_plain_loops(seed: int) -> None:
    """The best linear readout, by least squares in plain coordinates, votes over the masks of each image."""
    rng = np.random.default_rng(seed)
    images = make_coded_images("w", rng.integers(0, 3, (8, 3)), rng.integers(0, 3, 8), rng.dirichlet(np.full(8, 0.4)))
    graph = world_graph(images, 1 / 3, "sequence")
    A = augmentation_graph(graph)
    values, vectors = np.linalg.eigh(dense(A))
    root = np.sqrt(graph.p1)[:, None]
    Y = np.eye(3)[np.argmax(np.round(graph.class_mass1.toarray(), 12), axis=1)]
    ks = [k for k in range(1, 6) if values[-k] - values[-k - 1] > 1e-6]
    assert ks, "some top k is a space of its own"
    for k, readout in zip(ks, readouts(A, ks), strict=True):
        U = vectors[:, ::-1][:, :k]
        answer = np.argmax(np.round(U @ np.linalg.lstsq(U, Y * root, rcond=None)[0] / root, 9), axis=1)
        wrong = 0.0
        for weight, label, views in zip(images.weights, images.labels, graph.ids1, strict=True):
            wrong += weight * (np.argmax(np.bincount(answer[views], minlength=3)) != label)
        assert readout.vote == pytest.approx(wrong, abs=ROUNDING)


def test_a_plateau_ends_at_the_first_readout_that_beats_chance() -> None:
    def plateau(*errors: float) -> Plateau:
        return Plateau("w", "positional", 2, 2, 0.5, [Readout(k, e, 0.1, e) for k, e in enumerate(errors, start=1)])

    assert plateau(0.5, 0.6, 0.4, 0.5).at_chance == 2
    assert plateau(0.4, 0.5).at_chance == 0
    assert plateau(0.5, 0.5).at_chance == 2
    # Below chance by rounding is at chance.
    assert plateau(0.5 - 1e-13, 0.5 - 1e-11).at_chance == 1
    # Either answer that beats chance ends it.
    for error, vote, at in ((0.5, 0.5, 3), (0.4, 0.5, 0), (0.5, 0.4, 0)):
        one = Plateau("w", "positional", 2, 3, 0.5, [Readout(k, error, 0.1, vote) for k in (1, 2, 3)])
        assert one.at_chance == at


def test_mirrored_spectra_against_the_closed_form() -> None:
    finding = found("rho-symmetry")
    assert max(column(finding, "largest difference")) < EQUAL
    panel = finding.panels[0]
    ratios, second = panel.lines["λ₂ off the components"]
    _, alphas = panel.lines["α"]
    for ratio, value, alpha in zip(ratios, second, alphas, strict=True):
        kept = round(8 * (1 - ratio))
        assert value == pytest.approx(binary_lambda_2(kept, 8 - kept, 0.3), abs=ROUNDING)
        assert alpha == pytest.approx(binary_alpha(kept, 0.3), abs=ROUNDING)


def test_tail_and_const_make_the_bound() -> None:
    finding = found("head-not-tail")
    names = ("head", "tail / 4L", "const", "bound")
    for head, tail, const, bound in zip(*(column(finding, name) for name in names), strict=True):
        assert tail + const == pytest.approx(bound, abs=ROUNDING)
        assert bound == pytest.approx((2 - head) / 4, abs=ROUNDING)
    world = "mixture, 3 classes, sequence"
    graph = world_graph(class_mixture(8, 0.3, 3), 0.75, "sequence")
    values = np.linalg.eigvalsh(dense(augmentation_graph(graph)))[::-1]
    at = column(finding, "ρ", world).index(0.75)
    assert column(finding, "head", world)[at] == pytest.approx(float((values[:2] ** 2).sum()), abs=ROUNDING)
    assert column(finding, "tail / 4L", world)[at] == pytest.approx(float((values[2:] ** 2).sum()) / 4, abs=ROUNDING)
    place = {header: at for at, header in enumerate(finding.headers)}
    for panel in finding.panels:
        rows = [row for row in finding.rows if panel.title == f"{row[0]}, k = {row[1]}"]
        assert len(rows) == 7
        for line, header in (("tail term", "tail / 4L"), ("const", "const"), ("bound", "bound")):
            drawn = [list(values) for values in panel.lines[line]]
            assert drawn == [[row[place["ρ"]] for row in rows], [row[place[header]] for row in rows]]
        # Bars where masks were drawn, of the spread that the table shows.
        assert panel.errors == ({"bound": [row[-1] for row in rows]} if "positional" in panel.title else {})


def test_both_label_errors_against_the_closed_form() -> None:
    finding = found("target-side-label-error")
    world = "mixture, sequence"
    columns = (column(finding, name, world) for name in ("ρ", "α", "α₂", "φ", "2(α + α₂)"))
    for ratio, alpha, alpha2, phi, bound in zip(*columns, strict=True):
        kept = round(8 * (1 - ratio))
        assert alpha == pytest.approx(binary_alpha(kept, 0.3), abs=ROUNDING)
        assert alpha2 == pytest.approx(binary_alpha(8 - kept, 0.3), abs=ROUNDING)
        assert phi <= bound + ROUNDING
    assert any(phi > 2 * alpha for phi, alpha in zip(column(finding, "φ"), column(finding, "α"), strict=True))


def test_masses_against_plain_loops() -> None:
    finding = found("inter-class-mass")
    world = "30 images of it"
    graph = world_graph(class_mixture(8, 0.3, images=30), 0.75, "positional")
    label = np.argmax(np.round(graph.class_mass1.toarray(), 12), axis=1)
    at = column(finding, "ρ", world).index(0.75)
    for hop, header in (("target", "φ, target"), ("image", "φ, image")):
        pairs = augmentation_graph(graph, "target" if hop == "target" else "image").positive_pairs().tocoo()
        phi = sum(m for i, j, m in zip(pairs.row, pairs.col, pairs.data, strict=True) if label[i] != label[j])
        assert column(finding, header, world)[at] == pytest.approx(float(phi), abs=ROUNDING)
    inter = 0.0
    events = [(i, int(x2)) for i, row in enumerate(graph.ids2) for x2 in row]
    for x2 in range(len(graph.p2)):
        own = [i for i, c in events if c == x2]
        differ = sum(graph.images.labels[a] != graph.images.labels[b] for a in own for b in own)
        inter += graph.p2[x2] * differ / len(own) ** 2
    assert column(finding, "inter, target", world)[at] == pytest.approx(float(inter), abs=ROUNDING)


def test_image_hop_against_networkx() -> None:
    finding = found("image-hop")
    graph = world_graph(class_mixture(8, 0.3), 0.75, "positional")
    at = column(finding, "ρ", "mixture").index(0.75)
    for hop, header in (("image", "components, image hop"), ("target", "components, target hop")):
        A = augmentation_graph(graph, "image" if hop == "image" else "target")
        assert column(finding, header, "mixture")[at] == nx.number_connected_components(A.to_networkx())
    values = np.linalg.eigvalsh(dense(augmentation_graph(graph, "image")))[::-1]
    assert column(finding, "λ₂, image hop", "mixture")[at] == pytest.approx(float(values[1]), abs=ROUNDING)
    assert column(finding, "components, image hop", "images 0000 and 1111 alone") == [2.0] * 3


def test_what_is_told_of_the_image_hop_turns_with_the_numbers() -> None:
    def told(components: list[int], *heads: list[float]) -> str:
        one = Connectivity("w", [0.25, 0.5], components, list(heads), [0.1, 0.2], [1, 1])
        return image_hop_sentence(one)

    # The third eigenvalue rises by a tenth; the fourth is known at one ratio only.
    rising = [1.0, 0.75, 0.5, 0.1], [1.0, 0.5, 0.6]
    text = "w: 1 component on the image hop, 1 component on the target hop; over ρ λ₂ goes down (0.750 to 0.500), α up "
    assert told([1, 1], *rising) == text + (
        "(0.100 to 0.200); one of the leading eigenvalues rises by 0.1 from one ρ to the next."
    )
    # Equal but for rounding, and the first eigenvalue is 1 at every ratio: none rises.
    assert "; no leading eigenvalue rises from" in told([2, 1], [1.0, 0.5], [1.0, 0.5 + 1e-13])
    assert "w: 1 to 2 components on the image hop" in told([2, 1], [1.0, 0.5], [1.0, 0.5])
    assert "never connect, at any ρ tried." in told([2, 2], [1.0, 1.0], [1.0, 1.0])
    falling = Connectivity("w", [0.25, 0.5], [1, 1], [[1.0, 0.75, 0.5], [1.0, 0.5, 0.375]], [0.1, 0.2], [1, 1])
    assert falling.rise == -0.125


@pytest.mark.parametrize("view", ["positional", "sequence", "bag"])
@pytest.mark.parametrize("name", ["rows of weight zero", "four classes", "two patches", "a tie in every view"])
def test_what_is_proved_over_the_ratio_by_enumeration(name: str, view: View) -> None:
    """Under all uniform masks, from the definitions alone: the proofs on three of the pages."""
    world = FIXED_WORLDS[name]
    n = world.patches
    events = {kept: world.events(kept, view) for kept in range(1, n)}

    def spectrum(kept: int, hop: str) -> np.ndarray:
        values = np.sort(oracle.eigenvalues(oracle.augmentation(events[kept], hop)))[::-1]
        return np.pad(values, (0, 200 - len(values)))

    def inter(kept: int) -> float:
        return sum(m for m, a, b in oracle.event_pairs(events[kept], "target") if a.label != b.label)

    def alpha(kept: int, side: int) -> float:
        return sum(sum(m.values()) - max(m.values()) for m in oracle.class_masses(events[kept], side).values())

    for kept in range(1, n):
        assert np.abs(spectrum(kept, "target") - spectrum(n - kept, "target")).max() < ROUNDING
        if kept + 1 < n:
            assert (spectrum(kept, "image") <= spectrum(kept + 1, "image") + ROUNDING).all()
            assert inter(kept) <= inter(kept + 1) + ROUNDING
            assert alpha(kept, 1) >= alpha(kept + 1, 1) - ROUNDING
            assert alpha(kept, 2) <= alpha(kept + 1, 2) + ROUNDING


@pytest.mark.parametrize(
    ("tails", "heads", "components", "told"),
    [
        # (2 − head)/4 is 1/4 at every ratio: as k is at most the components, or for no such reason at one of them.
        (
            [0.1, 0.3],
            [1.0, 1.0],
            [2, 3],
            "the bound is 0.25 at every ρ, as k is at most the number of components, wh",
        ),
        ([0.1, 0.3], [1.0, 1.0], [2, 1], "the bound is 0.25 at every ρ, while the tail moves by 0.2"),
        ([0.1, 0.1], [1.0, 1.5], [1, 1], "the tail is the same at every ρ and the bound is not"),
        (
            [0.1, 0.2],
            [1.5, 1.0],
            [1, 1],
            "the tail orders the ratios as the bound does (rank correlation +1.00): it",
        ),
        ([0.1, 0.2], [1.5, 1.0], [1, 1], "it is largest at ρ = 0.75, the bound at 0.75"),
        (
            [0.2, 0.1],
            [1.5, 1.0],
            [1, 1],
            "orders the ratios otherwise than the bound (rank correlation -1.00): it",
        ),
        ([0.2, 0.1], [1.5, 1.0], [1, 1], "it is largest at ρ = 0.25, the bound at 0.75"),
    ],
)
def test_the_verdict_on_the_tail(tails: list[float], heads: list[float], components: list[int], told: str) -> None:
    rows = zip(components, heads, tails, strict=True)
    assert told in _verdict(Moves("w", 2, (0.25, 0.75), [[parts(*row) for row in rows]]))


def parts(components: int, head: float, tail: float) -> Parts:
    return Parts(components, head, tail, 0.5 - head / 4 - tail, 0.5 - head / 4)


def test_the_verdict_over_draws_of_the_masks() -> None:
    """Tails of 0.1, 0.2 and 0.3 against bounds in the same, the opposite and another order."""
    tails, ratios = (0.1, 0.2, 0.3), (0.25, 0.5, 0.75)
    drawn = [
        [parts(1, head, tail) for head, tail in zip(heads, tails, strict=True)]
        for heads in ((1.5, 1.25, 1.0), (1.0, 1.25, 1.5), (1.0, 1.5, 1.25))
    ]
    one = Moves("w", 2, ratios, drawn)
    assert one.orders == pytest.approx([1, -1, -0.5])
    assert one.means("head") == pytest.approx([3.5 / 3, 4 / 3, 3.75 / 3])
    # Bounds are 0.5 − head/4.
    spreads = [statistics.stdev(heads) / 4 for heads in ((1.5, 1, 1), (1.25, 1.25, 1.5), (1, 1.5, 1.25))]
    assert one.spread == pytest.approx(spreads)
    assert Moves("w", 2, ratios, drawn[:1]).spread == [0, 0, 0]
    told = f"(rank correlation -0.17 ± {statistics.stdev([1, -1, -0.5]):.2f} over 3 draws, -1.00 to +1.00)"
    assert _verdict(one) == (
        f"the tail orders the ratios otherwise than the bound {told}: of the means at ρ and 1 − ρ together it is "
        "largest at ρ = 0.25 and 0.5 and 0.75, the bound at 0.25 and 0.75"
    )
    assert "as the bound does (rank correlation +1.00 ± 0.00 over 2 draws" in _verdict(
        Moves("w", 2, ratios, [drawn[0]] * 2)
    )
    # A single draw that differs is enough for the bound not to be the same at every ρ.
    flat = [parts(2, 1.0, tail) for tail in tails]
    assert "the bound is 0.25 at every ρ, as k" in _verdict(Moves("w", 2, ratios, [flat, flat]))
    assert "the bound is 0.25" not in _verdict(Moves("w", 2, ratios, [flat, drawn[0]]))


def test_drawn_masks_are_of_one_law_at_both_ends() -> None:
    """Kept patches under the one are the dropped ones under the other: every set of masks has its mirror image."""
    images = class_mixture(4, 0.3, images=12)
    for masks in itertools.combinations(itertools.combinations(range(4), 3), 2):
        kept = np.array(masks)
        dropped = np.array([sorted(set(range(4)) - set(mask)) for mask in masks])
        pair = MaskSet(kept, dropped, 4), MaskSet(dropped, kept, 4)
        spectra = [findings_spectrum.nonzero_spectrum(mask_graph(images, some, "sequence")) for some in pair]
        assert spectral_gap(*spectra) < ROUNDING


def test_draws_of_masks_are_drawn_and_all_masks_are_not() -> None:
    images = class_mixture(4, 0.3, images=20)
    some = findings_spectrum.bound_parts("w", images, "sequence", 1, 2, 3)
    assert len(some.draws) == 3
    assert len({row[3].tail for row in some.draws}) > 1
    for seed, row in enumerate(some.draws):
        graph = mask_graph(images, mask_set(mask_distribution("uniform", images.grid, 0.5), 2, seed), "sequence")
        values = np.linalg.eigvalsh(dense(augmentation_graph(graph)))[::-1]
        assert row[3].tail == pytest.approx(float((values[1:] ** 2).sum()) / 4, abs=ROUNDING)
    assert len(findings_spectrum.bound_parts("w", images, "sequence", 1).draws) == 1


def test_ratios_whose_numbers_differ_are_counted_beyond_rounding() -> None:
    pairs = [(0.1, 0.2), (0.2, 0.1), (0.3, 0.1), (0.1, 0.1 + 1e-13)]
    assert _differs("α", pairs) == "α differs between ρ < ½ and 1 − ρ in 3 of 4 rows, larger at 1 − ρ in 1."


def test_spectra_that_differ_are_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings_spectrum, "digits", lambda *_: None)
    monkeypatch.setattr(findings_spectrum, "world_graph", lambda *_: None)
    for gap, second, told in (
        (1e-12, 0.5, ("within rounding in", "beyond")),
        (1e-3, 1.0, ("BEYOND ROUNDING", "no more")),
    ):
        pair = (0.1, 0.1)
        mirror = Mirror("w", 0.25, gap, 1e-12, pair, pair, pair, pair)
        spectra = itertools.cycle([np.array([1.0, 1.0]), np.array([1.0, second])])
        monkeypatch.setattr(findings_spectrum, "mirrors", lambda *_, mirror=mirror: [mirror])
        monkeypatch.setattr(findings_spectrum, "nonzero_spectrum", lambda _, spectra=spectra: next(spectra))
        finding = findings_spectrum.rho_symmetry()
        assert told[0] in finding.shown[0]
        assert re.search(rf"differ by [\d.]+ over {DRAWS} draws, {told[1]}", finding.not_shown[0])


def test_spectra_of_two_lengths_are_compared_with_zeros() -> None:
    assert spectral_gap(np.array([1.0, 0.5, 0.25]), np.array([1.0, 0.6])) == pytest.approx(0.25)


def test_rank_correlation_against_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, size=(2, 12)).astype(float).tolist()
    assert rank_correlation(a, b) == pytest.approx(float(spearmanr(a, b).statistic))
    assert np.isnan(rank_correlation(a, [0.0] * 12))
    assert np.isnan(rank_correlation([0.0] * 12, a))
    # What differs in the tenth digit is a tie: ranks 1, 2.5, 2.5, 4 against 1 to 4.
    tied = rank_correlation([0.1, 0.2 + 1e-10, 0.2, 0.3], [1.0, 2.0, 3.0, 4.0])
    assert tied == pytest.approx(float(spearmanr([1, 2, 2, 3], [1, 2, 3, 4]).statistic))


def test_phi_is_above_twice_alpha_by_more_than_rounding() -> None:
    errors = Errors("w", [0.1] * 7, [0.05] * 7, [0.2, 0.2 + 1e-13, 0.2 + 1e-11, 0.1, 0.3 + 1e-13, 0.3, 0.0])
    assert errors.broken == [2, 4, 5]
    assert "holds at every ρ" in findings_labels._errors_told(errors)[0]
    errors.phi[0] = 0.3 + 1e-11
    assert "FAILS" in findings_labels._errors_told(errors)[0]


@pytest.mark.parametrize(
    ("phi", "told"),
    [
        (
            [0.3, 0.2, 0.1, 0.2, 0.2, 0.2, 0.2],
            "0.300 and 0.200 at the ends and 0.100 at its least, ρ = 0.375: a vall",
        ),
        ([0.3, 0.3, 0.3, 0.3, 0.3, 0.2, 0.1], "0.300 and 0.100 at the ends and 0.100 at its least, ρ = 0.875: no vall"),
        ([0.1, 0.1 - 1e-13, 0.2, 0.2, 0.2, 0.2, 0.3], "0.100 at its least, ρ = 0.125: no valley"),
        ([0.1, 0.1 - 1e-8, 0.2, 0.2, 0.2, 0.2, 0.3], "ρ = 0.25: a valley"),
    ],
)
def test_a_valley_is_below_both_ends(phi: list[float], told: str) -> None:
    assert told in findings_labels._mixing_told(Mixing("w", [0.0] * 7, phi, [0.0] * 7, [0.0] * 7))[1]


def test_worlds_without_phi_above_twice_alpha_are_named() -> None:
    low, high = (Errors(name, [0.1] * 7, [0.1] * 7, [phi] * 7) for name, phi in (("low", 0.1), ("high", 0.3)))
    assert findings_labels._where_not([low, high]) == "it is seen at no ρ on “low”."
    assert findings_labels._where_not([high]) == "each world here has a ρ, others may have none."


def test_phi_above_twice_alpha_is_told_where_it_is() -> None:
    finding = found("target-side-label-error")
    for world in ("mixture, sequence", "digits, 4 codes, positional", "digits, 4 codes, bag"):
        columns = (column(finding, name, world) for name in ("ρ", "φ", "2α"))
        above = [f"{ratio:g}" for ratio, phi, twice in zip(*columns, strict=True) if phi > twice]
        (told,) = [text for text in finding.shown if text.startswith(f"{world}: φ ≤")]
        assert f"ρ = {', '.join(above)}:" in told if above else "at no ρ" in told
        assert (f"{world}, ρ" in finding.claim) == bool(above)


def test_a_claim_turns_with_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sentence survives numbers that say otherwise."""
    monkeypatch.setattr(findings_labels, "digits", lambda *_: None)
    up, down = [0.1 * i for i in range(7)], [0.6 - 0.1 * i for i in range(7)]
    monkeypatch.setattr(findings_labels, "label_errors", lambda name, *_: Errors(name, up, down, [0.0] * 7))
    assert "seen on no world" in findings_labels.target_side().claim
    monkeypatch.setattr(findings_labels, "label_errors", lambda name, *_: Errors(name, up, down, [9.0] * 7))
    assert "FAILS" in "".join(findings_labels.target_side().shown)
    monkeypatch.setattr(findings_labels, "mixing", lambda name, *_: Mixing(name, up, up, down, up))
    assert "images, goes up on every world" in findings_labels.inter_class_mass().claim
    assert "image hop goes down on every world" in findings_labels.inter_class_mass().claim


def test_uniformity_is_an_inverse_participation_ratio() -> None:
    finding = found("uniformity-is-rank")
    unif, inverse, floor = (column(finding, name) for name in ("L_unif", "1 / participation ratio", "1/k"))
    assert unif == pytest.approx(inverse, rel=ROUNDING)
    assert all(value >= least - ROUNDING for value, least in zip(unif, floor, strict=True))
    ones = [row for row in finding.rows if row[0] == "one-hot"]
    # 8 patches, half kept: 1,120 views in turn over k codes, in masses that all codes share alike but for parity.
    assert all(float(str(row[2])) < 1.2 / int(str(row[1])) for row in ones)
    assert [row[2] for row in finding.rows if row[0] == "collapsed"] == pytest.approx([1.0] * 6)


def test_what_is_told_of_uniformity_turns_with_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    # At k = 32 the floor of all views is 1/32, and that of a batch of four 1/4.
    monkeypatch.setattr(findings_features, "uniformities", lambda _: [Uniformity("random", 32, 0.03, 0.05)])
    monkeypatch.setattr(findings_features, "batches", lambda *_: [Batch(4, 0.2, 0.03), Batch(8, 0.2, 0.04)])
    agree, floor, batch = findings_features.uniformity_is_rank().shown
    assert "agree to 4e-01 of their size" in agree
    assert floor == "L_unif FALLS BELOW 1/k in every row; at k = 32 random 0.0300."
    assert "FALLS BELOW max(1/k, 1/N)" in batch
    assert "it falls below 1/k in 100 % of batches of 4: that is" in batch
    monkeypatch.setattr(findings_features, "uniformities", lambda _: [Uniformity("random", 32, 1 / 32, 1 / 32)])
    monkeypatch.setattr(findings_features, "batches", lambda *_: [Batch(4, 0.25, 1 / 32), Batch(64, 1 / 32, 0.5)])
    _, floor, batch = findings_features.uniformity_is_rank().shown
    assert "L_unif stays at or above 1/k" in floor
    assert "includes i = j stays at or above" in batch
    assert batch.endswith("it falls below 1/k in none.")


def test_batches_below_the_floor_are_counted_over_all_of_them() -> None:
    """One-hot features of 32 codes: (f_i·f_j)² of a pair is 0 or 1, so that a mean below 1/32 is few equal pairs."""
    finding = found("uniformity-is-rank")
    A = augmentation_graph(world_graph(class_mixture(8, 0.3), 0.5, "positional"))
    drawn = [batches(A, 32, seed) for seed in range(findings_features.REPEATS)]
    for at in zip(*drawn, strict=True):
        size, pairs = at[0].size, at[0].size * (at[0].size - 1) / 2
        few = sum(round(batch.distinct_pairs * pairs) < pairs / 32 for batch in at)
        assert f"{100 * few / len(at):.0f} % of batches of {size}" in finding.shown[2]
    means = finding.panels[1]
    assert means.lines["without i = j"][1][0] == pytest.approx(np.mean([row[0].distinct_pairs for row in drawn]))


def test_batches_against_their_code_counts() -> None:
    """One-hot features: a pair counts where both show one code, so that only the counts n_c of codes matter."""
    A = augmentation_graph(world_graph(class_mixture(6, 0.3), 0.5, "positional"))
    f = features("one-hot", A, 4, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    for batch in batches(A, 4, seed=3):
        counts = f[rng.choice(len(A.p1), size=batch.size, p=A.p1)].sum(axis=0)
        assert batch.all_pairs == pytest.approx(float((counts**2).sum()) / batch.size**2)
        apart = float((counts * (counts - 1)).sum()) / (batch.size * (batch.size - 1))
        assert batch.distinct_pairs == pytest.approx(apart)
        assert batch.all_pairs >= max(1 / 4, 1 / batch.size) - ROUNDING


def test_samples_against_the_closed_form_and_each_other() -> None:
    finding = found("finite-samples")
    pairs = zip(column(finding, "head, mean error"), column(finding, "Thm 4.2, mean error"), strict=True)
    assert all(bound == pytest.approx(-head / 4, abs=ROUNDING) for head, bound in pairs)
    # One sample of the largest size, through the graph itself: within six of the root mean square errors.
    world = "sequence, ρ = 0.5"
    at = column(finding, "N", world).index(4096)
    graph = world_graph(class_mixture(8, 0.3, images=4096, seed=5), 0.5, "sequence")
    second = float(np.linalg.eigvalsh(dense(augmentation_graph(graph)))[-2])
    assert abs(second - binary_lambda_2(4, 4, 0.3)) < 6 * column(finding, "λ₂, rms", world)[at]
    assert abs(binary_alpha(4, 0.3) - labels.alpha(graph)) < 6 * column(finding, "α, rms", world)[at]
    for side in ("1", "2"):
        names = ("N", f"unseen{side}", f"missing{side}")
        for count, single, missing in zip(*(column(finding, name) for name in names), strict=True):
            # GT2, and six standard errors of a mean over at least 150 samples by GT3.
            assert abs(single - missing) <= 1 / count + 6 * (3 / count / 150) ** 0.5


def test_what_is_told_of_the_intervals_is_in_the_table() -> None:
    finding = found("bootstrap-coverage")
    basic, percentile = column(finding, "basic"), column(finding, "percentile")
    counts = [sum(share >= 0.9 for share in shares) for shares in (basic, percentile)]
    assert (
        f"of nominal 95 % holds the truth in at least 90 % of samples in {counts[0]}, the percentile" in finding.claim
    )
    assert f"interval in {counts[1]}." in finding.claim
    lost = [row for row in finding.rows if float(str(row[8])) < 0.8]
    assert lost, "the printed interval is known to fail somewhere"
    (told,) = [text for text in finding.shown if text.startswith("The basic interval, which")]
    for world, images, _, name, *_ in lost:
        assert re.search(rf"{re.escape(f'{world}, N = {images}')}: [^;]*{name}", told)
    for panel in finding.panels:
        assert panel.level == ("0.95", 0.95)
        for name in ("head and Thm 4.2", "α"):
            rows = [row for row in finding.rows if (row[0], row[3]) == (panel.title, name)]
            assert panel.lines[f"{name}, percentile"] == ([row[1] for row in rows], [row[7] for row in rows])
            assert panel.lines[f"{name}, basic"] == ([row[1] for row in rows], [row[8] for row in rows])


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("target-side-label-error", {"φ": "φ", "α": "α", "α₂": "α₂"}),
        ("inter-class-mass", {"inter, target hop": "inter, target", "φ, target hop": "φ, target"}),
        ("inter-class-mass", {"φ, image hop": "φ, image"}),
        ("image-hop", {"λ₂, image hop": "λ₂, image hop", "α": "α"}),
    ],
)
def test_a_figure_over_the_ratio_draws_the_columns_of_its_table(name: str, lines: dict[str, str]) -> None:
    finding = found(name)
    assert [panel.title for panel in finding.panels] == list(dict.fromkeys(row[0] for row in finding.rows))
    for panel in finding.panels:
        for line, header in lines.items():
            x, y = panel.lines[line]
            assert list(x) == column(finding, "ρ", panel.title)
            assert list(y) == column(finding, header, panel.title)
        if name == "target-side-label-error":
            # A probability is at most 1, whatever its bound.
            twice = [min(value, 1.0) for value in column(finding, "2α", panel.title)]
            assert panel.lines["2α (or 1, where above)"][1] == twice


def test_the_figure_of_the_readouts_draws_each_error_beside_its_chance() -> None:
    finding = found("positional-views")
    for panel in finding.panels:
        for view in ("positional", "sequence"):
            rows = [row for row in finding.rows if row[:2] == (panel.title, view)]
            assert panel.lines[f"{view}, view"] == ([row[4] for row in rows], [row[5] for row in rows])
            assert panel.lines[f"{view}, vote"] == ([row[4] for row in rows], [row[6] for row in rows])
            assert {panel.level} == {("chance", row[8]) for row in rows}


def test_the_figure_of_the_mirror_goes_on_where_it_turns() -> None:
    """What stands at ρ < ½ in a row and what stands at 1 − ρ are one line over all ratios."""
    finding = found("rho-symmetry")
    for panel in finding.panels:
        low = column(finding, "ρ", panel.title)
        for line, name in (("α", "α"), ("φ", "φ"), ("Bayes risk / E|x2|²", "Bayes")):
            wanted = dict(zip(low, column(finding, f"{name}(ρ)", panel.title), strict=True))
            wanted |= {1 - x: y for x, y in zip(low, column(finding, f"{name}(1 − ρ)", panel.title), strict=True)}
            x, y = panel.lines[line]
            assert list(x) == sorted(wanted)
            assert dict(zip(x, y, strict=True)) == wanted


def test_the_figure_of_uniformity_draws_both_means_over_their_floors() -> None:
    finding = found("uniformity-is-rank")
    whole, batch = finding.panels
    for kind in ("random", "one-hot", "collapsed", "nearly constant", "spectral"):
        rows = [row for row in finding.rows if row[0] == kind]
        assert whole.lines[kind] == ((1, 2, 4, 8, 16, 32), [row[2] for row in rows])
    assert list(whole.lines["floor 1/k"][1]) == [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32]
    floor = [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 32, 1 / 32]
    assert batch.lines["floor max(1/k, 1/N)"] == ((2, 4, 8, 16, 32, 64, 128), floor)
    sizes, within = batch.lines["with i = j"]
    # Of unit features the N pairs i = j are 1 each: the mean with them is (1 + (N − 1)·without)/N.
    for size, mean, apart in zip(sizes, within, batch.lines["without i = j"][1], strict=True):
        assert mean == pytest.approx((1 + (size - 1) * apart) / size)


def test_an_error_on_both_sides_is_told_as_such() -> None:
    high, low, noise = (
        SampleErrors(0.5, 0.01, 0.5, 0.1),
        SampleErrors(-0.5, 0.01, 0.5, 0.1),
        SampleErrors(-0.5, 1.0, 0.5, 0.1),
    )

    def row(errors: SampleErrors) -> Sampled:
        return Sampled("w", 128, 1, {"λ₂": 0.1}, {"λ₂": errors}, (0.0, 0.0), (0.0, 0.0), (0.0, 0.0))

    assert ways([[row(high), row(noise)]], "λ₂") == "too high"
    assert ways([[row(low)]], "λ₂") == "too low"
    assert ways([[row(high)], [row(low)]], "λ₂") == ways([[row(noise)]], "λ₂") == "wrong either way"


def test_a_rate_is_the_power_and_none_where_nothing_but_the_first_is_told_from_noise() -> None:
    images, error = [128, 256, 512, 1024], [0.1] * 4
    found = rate(images, [1.0, 0.5, 0.25, 0.125], error)
    assert found is not None
    assert found.power == pytest.approx(-1)
    assert rate(images, [1.0, 0.0, 0.0, 0.0], error) is None


def test_what_is_told_of_samples_turns_with_the_numbers() -> None:
    def row(images: int, mean: float, rms: float = 1.0, masks: int = 1, **changes: tuple[float, float]) -> Sampled:
        one = SampleErrors(mean, 0.25, rms, 0.1)
        given = {"single": (0.0, 0.0), "missing": (0.0, 0.0), "miss": (0.0, 0.0)} | changes
        return Sampled("w", images, masks, {"λ₂": 0.5}, {"λ₂": one, "α": one}, **given)

    # At N = 1024 alone, whose error of three standard errors is no clear one.
    even = [row(512, -9.0), row(1024, -0.5)]
    text = "is too low by 0.5 ± 0.2 at N = 1024, as a sample breaks each tie its own way and calls that right; of 5 "
    assert text + "patches, which cannot tie, by 1 ± 0.2." in samples._alpha_told(
        even, [row(512, 0.0), row(1024, -1.0)]
    )
    assert "tie, no error is clear there: -0.75 ± 0.2." in samples._alpha_told(even, [row(512, 9.0), row(1024, 0.75)])

    # Three standard errors of a difference of two that each have 0.1 are 0.42.
    falls = [row(64, 0.0, rms, masks) for rms, masks in ((2.0, 1), (1.43, 2), (1.42, 4), (1.0, 8))]
    told = samples._masks_told(1e-13, falls, falls[3:])
    assert (
        "right from the first mask on; on 64 images the rms error of λ₂ falls from 2.0000 ± 0.1000 under 1 mask to "
        "1.0000 ± 0.1000 under all 8, and is told from that up to 2 (by 3 standard errors); on 64"
    ) in told
    assert "under all 8, and is not told from that under any. What is left" in told
    assert "all these numbers are off by up to 0.001;" in samples._masks_told(1e-3, falls, falls)

    # 100·0.02 too low and 150·0.01 too high; 10·0.3 and 12·0.1.
    apart = row(100, 0.0, single=(0.03, 0.0), missing=(0.05, 0.0), miss=(0.1, 0.3))
    further = row(150, 0.0, single=(0.0, 0.02), missing=(0.0, 0.01), miss=(0.1, 0.0))
    told = samples._good_turing_told([[apart], [further]])
    assert "is within 2/N of the mean mass" in told
    assert "off by at most 3/√N in root mean square" in told

    # A tenth is not more than a tenth, and an error of λ₂ itself does not exceed it.
    sizes = [row(16, 0.6, single=(0.2, 0.0)), row(32, 0.5, single=(0.0, 0.3)), row(64, 0.7, single=(0.1, 0.1))]
    assert "(2 sizes), the mean error of λ₂ exceeds λ₂ itself in 1:" in samples._rule_told([sizes[:1], sizes[1:]])

    # The first of which less than a hundredth is unseen on both sides.
    rows = [row(16, 0.6, single=(0.01, 0.0)), row(32, 0.5, single=(0.001, 0.005)), row(64, 0.4)]
    assert samples._not_enough(rows).startswith("w, N = 32: 0.5 % of the target mass is unseen, and λ₂ is still too hi")


def test_a_figure_of_samples_leaves_out_what_has_no_logarithm() -> None:
    def row(mean: float, masks: int, single: float, missing: float) -> Sampled:
        errors = {"λ₂": SampleErrors(mean, 0.25, 0.75, 0.125)}
        return Sampled("w, ρ", 64, masks, {}, errors, (0.5, single), (0.25, missing), (0.0, 0.0))

    # An error that noise has put on the other side of the first, and masses that no sample or hardly any lacks.
    rows = [row(-0.5, 1, 0.4, 0.3), row(0.1, 2, 0.2, 5e-5), row(-0.2, 4, 0.0, 0.1), row(-0.1, 8, 0.1, 0.2)]
    panel = samples._masks_panel(rows, [replace(one, images=32) for one in reversed(rows)])
    assert panel.lines["λ₂, mean, 64 images"] == ([1, 4, 8], [0.5, 0.2, 0.1])
    assert panel.errors["λ₂, mean, 64 images"] == [0.25, 0.25, 0.25]
    assert panel.lines["λ₂, rms, 32 images"] == ([1, 2, 4, 8], [0.75] * 4)
    assert panel.errors["λ₂, rms, 32 images"] == [0.125] * 4
    panel = samples._unseen_panel(rows)
    assert panel.lines["w: Good–Turing"] == ([64, 64], [0.4, 0.1])
    assert panel.lines["w: truly missing"] == ([64, 64], [0.3, 0.2])


def test_what_the_printed_interval_loses_is_told_where_it_does() -> None:
    def case(name: str, percentile: float, basic: float) -> Cover:
        return Cover("w", 16, 0.1, name, 1.0, 1.5, 0.25, percentile, basic, 40)

    kept, poor, both = case("α", 0.5, 0.8), case("φ", 0.8, 0.79), case("S2", 0.79, 0.7)
    more = replace(both, images=32)
    assert _lost([kept]).endswith("holds the truth in 80 % of all samples.")
    assert _lost([kept, poor, both, more]).endswith(
        "fewer than 80 % of samples here: w, N = 16: φ, S2; w, N = 32: S2. So does the percentile interval in 2 of "
        "these 3."
    )


def test_what_is_told_of_a_plateau_turns_with_the_numbers() -> None:
    def told(components: int, *errors: float) -> str:
        found = [Readout(k, error, 0.1, 0.5) for k, error in enumerate(errors, start=1)]
        return plateau_sentence(Plateau("w", "positional", 2, components, 0.5, found))

    assert told(1, 0.4, 0.3) == (
        "w, positional views (2 masks, 1 component): better from k = 1; error 0.4000 by view and 0.5000 by vote at k = "
        "1, 0.3000 by view and 0.5000 by vote at k = 2."
    )
    # The first k off the plateau, the components and the last that was tried.
    text = "w, positional views (2 masks, 3 components): no better than chance (0.5000) up to k = 1; error 0.4000 by "
    assert told(3, 0.5, 0.4, 0.3, 0.2, 0.1).startswith(text + "view and 0.5000 by vote at k = 2, 0.3000 by view")
    assert told(3, 0.5, 0.4, 0.3, 0.2, 0.1).endswith("at k = 3, 0.1000 by view and 0.5000 by vote at k = 5.")


def test_a_plateau_is_told_of_all_draws_of_the_masks() -> None:
    """Two masks: components 2, 3 and 2, of which chance (0.5) lasts to k = 3, 1 and 2."""

    def drawn(components: int, *errors: float) -> Plateau:
        found = [Readout(k, error, 0.1, 0.5) for k, error in enumerate(errors, start=1)]
        return Plateau("w", "positional", 2, components, 0.5, found)

    first, *others = drawn(2, 0.5, 0.5, 0.5), drawn(3, 0.5, 0.25, 0.2), drawn(2, 0.6, 0.5, 0.375)
    assert plateau_sentence(replace(first, others=others)) == plateau_sentence(first) + (
        " Over 3 draws of the masks 2 to 3 components, and no better than chance up to k = 1 to 3 (2 at least in the 2 "
        "where each block is connected); the better of both errors at k = 3 is 0.2000 to 0.5000."
    )
    sequence = replace(drawn(1, 0.5, 0.4), view="sequence", others=[drawn(1, 0.5, 0.4)])
    assert plateau_sentence(sequence).endswith(
        " Over 2 draws of the masks 1 component, and no better than chance up to k = 1; the better of both errors at "
        "k = 2 is 0.4000."
    )


def test_digits_are_at_chance_up_to_the_masks_under_every_draw_with_connected_blocks() -> None:
    """F1, from components by networkx and the eigenvectors √p1 of each alone."""
    (told,) = [text for text in found("positional-views").shown if text.startswith("digits, 2 codes, positional")]
    connected = 0
    for seed in range(DRAWS):
        A = augmentation_graph(world_graph(digits(2), 0.75, "positional", 16, seed))
        connected += nx.number_connected_components(A.to_networkx()) == 16
    assert f"(16 at least in the {connected} where each block is connected)" in told


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((1.0, 2.0, 2.0), "up"),
        ((2.0, 1.0), "down"),
        ((1.0, 1.0), "nowhere"),
        ((2.0, 1.0, 2.0), "down and then up"),
        ((1.0, 2.0, 2.0, 1.0), "up and then down"),
        ((1.0, 2.0, 1.0, 2.0), "both ways"),
        # To 1e-12 values are equal, whichever way rounding has put them.
        ((0.0, 1e-13, 0.0), "nowhere"),
        ((0.0, 1e-11), "up"),
        ((1e-11, 0.0), "down"),
        ((0.0, 1.0, 1.0 - 1e-13), "up"),
        ((1.0, 0.0, 1e-13), "down"),
        ((0.0, 1.0, 1.0 - 1e-13, 1.0, 0.0), "up and then down"),
    ],
)
def test_trends(values: tuple[float, ...], words: str) -> None:
    assert trend(values) == words


def test_a_span_names_both_ends_or_one() -> None:
    assert (span([3, 1, 2]), span([2, 2])) == ("1 to 3", "2")
    # Equal as written is equal.
    assert span([0.201, 0.204], ".2f") == "0.20"


def test_samples_of_images_are_counted_by_the_way_that_phi_goes() -> None:
    down, up = [0.7 - 0.1 * i for i in range(7)], [0.1 * i for i in range(7)]
    samples_of = [Mixing("w", up, phi, up, up) for phi in (down, up, down)]
    assert findings_labels._samples_told(samples_of).endswith("target hop goes down in 2, up in 1.")


def test_worlds_that_agree_are_told_together() -> None:
    assert trends({"a": [1.0, 2.0], "b": [0.0, 3.0]}) == "up on every world"
    assert trends({"a": [1.0, 2.0], "b": [3.0, 0.0], "c": [0.0, 1.0]}) == "up on “a” and “c”, down on “b”"
    assert trends({"a": [1.0], "b": [1.0], "c": [1.0], "d": [3.0, 0.0]}) == "nowhere on “a”, “b” and “c”, down on “d”"
    assert trends({"a, b": [1.0, 2.0], "c and d": [3.0, 0.0]}) == "up on “a, b”, down on “c and d”"


def test_a_name_that_is_no_finding() -> None:
    with pytest.raises(InputError, match="unknown finding 'nonsense'; expected one of positional-views, rho-symmetry"):
        check_findings(["image-hop", "nonsense"])
