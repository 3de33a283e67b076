"""Findings against closed forms, dense eigenvalues and plain loops."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.theory.closed_form import binary_alpha, binary_lambda_2
from maskgraph.theory.finding import EQUAL, Finding, trend, world_graph
from maskgraph.theory.findings import FINDINGS, check_findings, compute
from maskgraph.theory.findings_spectrum import readout_accuracy
from tests.strategies import FIXED_WORLDS
from tests.theory.toys import dense

PAGES = Path(__file__).resolve().parents[2] / "docs" / "findings"

ROUNDING = 1e-9
"""Graphs of at most 10⁴ entries of size 1."""


@cache
def found(name: str) -> Finding:
    return compute(name)


def column(finding: Finding, header: str, world: str | None = None) -> list[float]:
    place = finding.headers.index(header)
    return [float(str(row[place])) for row in finding.rows if world is None or row[0] == world]


@pytest.mark.parametrize("name", FINDINGS)
def test_pages_are_what_is_computed(name: str) -> None:
    """The committed table, number by number, to the four digits that it shows."""
    finding = found(name)
    text = (PAGES / f"{name}.md").read_text()
    table = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(table) == len(finding.rows)
    for shown, row in zip(table, finding.rows, strict=True):
        for cell, value in zip(shown, row, strict=True):
            if isinstance(value, float):
                assert float(cell) == pytest.approx(value, rel=1e-3, abs=1e-9)
            else:
                assert cell == str(value)
    assert finding.claim in text
    assert (PAGES / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert f"({name}.md)" in (PAGES / "README.md").read_text()


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
    for _, _, masks, components, k, accuracy in mixture:
        assert masks == components == 15
        assert isinstance(k, int)
        assert isinstance(accuracy, float)
        assert accuracy == pytest.approx(0.5, abs=ROUNDING) if k <= 15 else accuracy > 0.5 + 1e-3
        assert accuracy <= 1 - alpha + ROUNDING
    assert mixture[-1][-1] == pytest.approx(1 - alpha, abs=ROUNDING)
    sequence = [row for row in finding.rows if row[:2] == ("mixture", "sequence")]
    assert [row[-1] for row in sequence if row[4] == 2] == [pytest.approx(1 - alpha, abs=ROUNDING)]


@pytest.mark.parametrize("k", [1, 2])
def test_readout_against_least_squares(k: int) -> None:
    graph = FIXED_WORLDS["four classes"].graph(2, "bag")
    A = augmentation_graph(graph)
    values, vectors = np.linalg.eigh(dense(A))
    assert values[-k] - values[-k - 1] > 1e-6, "the top k are a space of their own"
    root = np.sqrt(graph.p1)[:, None]
    Y = np.eye(graph.class_mass1.shape[1])[np.argmax(graph.class_mass1, axis=1)] * root
    U = vectors[:, ::-1][:, :k]
    scores = U @ np.linalg.lstsq(U, Y, rcond=None)[0] / root
    answer = np.argmax(np.round(scores, 9), axis=1)
    wanted = sum(float(graph.class_mass1[i, c]) for i, c in enumerate(answer))
    assert readout_accuracy(A, [k]) == [pytest.approx(wanted, abs=ROUNDING)]


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
    world = "mixture, 3 classes, sequence, k = 2"
    graph = world_graph(class_mixture(8, 0.3, 3), 0.75, "sequence")
    values = np.linalg.eigvalsh(dense(augmentation_graph(graph)))[::-1]
    at = column(finding, "ρ", world).index(0.75)
    assert column(finding, "head", world)[at] == pytest.approx(float((values[:2] ** 2).sum()), abs=ROUNDING)
    assert column(finding, "tail / 4L", world)[at] == pytest.approx(float((values[2:] ** 2).sum()) / 4, abs=ROUNDING)


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
    label = np.argmax(np.round(graph.class_mass1, 12), axis=1)
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
    assert column(finding, "components, image hop", "images (0,0) and (1,1) alone") == [2.0]


def test_uniformity_is_an_inverse_participation_ratio() -> None:
    finding = found("uniformity-is-rank")
    unif, inverse, floor = (column(finding, name) for name in ("L_unif", "1 / participation ratio", "1/k"))
    assert unif == pytest.approx(inverse, rel=ROUNDING)
    assert all(value >= least - ROUNDING for value, least in zip(unif, floor, strict=True))
    ones = [row for row in finding.rows if row[0] == "one-hot"]
    # 8 patches, half kept: 1,120 views in turn over k codes, in masses that all codes share alike but for parity.
    assert all(float(str(row[2])) < 1.2 / int(str(row[1])) for row in ones)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((1.0, 2.0, 2.0), "up"),
        ((2.0, 1.0), "down"),
        ((1.0, 1.0), "nowhere"),
        ((2.0, 1.0, 2.0), "down and then up"),
        ((1.0, 2.0, 2.0, 1.0), "up and then down"),
        ((1.0, 2.0, 1.0, 2.0), "up and down"),
    ],
)
def test_trends(values: tuple[float, ...], words: str) -> None:
    assert trend(values) == words


def test_a_name_that_is_no_finding() -> None:
    with pytest.raises(InputError, match="unknown finding 'nonsense'; expected some of positional-views, rho-symmetry"):
        check_findings(["image-hop", "nonsense"])
