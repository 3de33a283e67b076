"""A study from end to end: what it leaves, that every number is the one made by hand, and that it resumes."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import pickle
import re
import shutil
import statistics
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import maskgraph
from maskgraph.empirical import explain, footprint, schedule, study
from maskgraph.empirical.claim import check_free
from maskgraph.empirical.explain import bound, judge, study_graph
from maskgraph.empirical.measure import evaluate
from maskgraph.empirical.model import FeatureKind
from maskgraph.empirical.plan import Plan, plan_from, plan_table
from maskgraph.empirical.probes import Labelled, full_features, pixel_features, probe
from maskgraph.empirical.records import gaussian_nulls, read_bounds, read_study, to_json
from maskgraph.empirical.study import run_study
from maskgraph.empirical.train import load_model, train, untrained
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.datasets import split_rows
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.graphs.source import Source, Split, load_split
from maskgraph.theory.answer import answer
from maskgraph.theory.bootstrap import statistics as theory_numbers
from maskgraph.theory.statements import STATEMENTS
from tests.empirical.test_group import DRIFT
from tests.empirical.toys import assert_same_bits, with_

TABLE: dict[str, dict[str, Any]] = {
    "data": {"dataset": "digits", "images": 100, "codes": 3, "held_out": 0.25, "seed": 1},
    "graph": {
        "mask_ratios": [0.75],
        "max_masks": 3,
        "draws": 2,
        "views": ["positional", "bag"],
        "hops": ["target", "image"],
    },
    "train": {"methods": ["mae", "u-mae"], "seeds": 1, "epochs": 2, "batch": 16, "lam": 0.5, "device": "cpu"},
}
BOUNDS = {f"{view}-{hop}-r0.75" for view in ("positional", "bag") for hop in ("target", "image")}
MODELS = {"mae-r0.75-s0", "u-mae-r0.75-s0"}
BASELINES = {"majority-class", "raw-pixels", "coded-pixels", "random-network-s0"}
KINDS: tuple[FeatureKind, ...] = ("cls", "mean")


def plan(**changes: Mapping[str, Any]) -> Plan:
    """The plan of this file, with some keys of some tables changed."""
    return plan_from({name: {**part, **changes.get(name, {})} for name, part in TABLE.items()})


class Told:
    """What a study reported."""

    def __init__(self) -> None:
        self.news: list[tuple[int, int, str, float]] = []

    def __call__(self, *news: Any) -> None:
        self.news.append(news)

    @property
    def labels(self) -> set[str]:
        """The pieces that were done."""
        return {label for _, _, label, _ in self.news}


def contents(run: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file of a run: when and where it was written, and what it holds."""
    files = [path for path in run.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(run)): (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes()) for path in files
    }


def record(run: Path, name: str) -> dict[str, Any]:
    """A record as it was written, refusing what JSON does not have."""

    def refuse(token: str) -> None:
        raise AssertionError(f"{name} holds {token}")

    return dict(json.loads((run / "records" / f"{name}.json").read_text(), parse_constant=refuse))


@pytest.fixture(scope="module")
def told() -> Told:
    """What the finished study reported."""
    return Told()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, told: Told) -> Path:
    """A study that two processes did; no test changes it."""
    run = tmp_path_factory.mktemp("study") / "deep" / "run"
    run_study(plan(), run, resume=False, workers=2, report=told)
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished study, with the times of its files."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture(scope="module")
def split() -> Split:
    """The images of the study."""
    return load_split(plan().source, plan().held_out)


def test_every_piece_leaves_its_files_and_nothing_else(finished: Path) -> None:
    wanted = {"study.json"}
    wanted |= {f"bounds/{name}.json" for name in BOUNDS}
    wanted |= {f"records/{name}.json" for name in MODELS | BASELINES}
    wanted |= {f"models/{name}.safetensors" for name in MODELS}
    assert set(contents(finished)) == wanted


def test_every_piece_is_reported_once(finished: Path, told: Told) -> None:
    count = len(BOUNDS | MODELS | BASELINES)
    assert told.labels == BOUNDS | MODELS | BASELINES
    assert [(done, total) for done, total, _, _ in told.news] == [(done, count) for done in range(1, count + 1)]
    shares = [share for _, _, _, share in told.news]
    assert shares[0] > 0
    assert all(one < other for one, other in itertools.pairwise(shares))
    assert shares[-1] == pytest.approx(1)


def test_what_is_written_is_json_without_nan_or_infinity(finished: Path) -> None:
    for name in MODELS | BASELINES:
        record(finished, name)
    for path in [finished / "study.json", *finished.glob("bounds/*.json")]:
        # Every number of strict JSON survives the strict writer.
        assert to_json(json.loads(path.read_text())) + "\n" == path.read_text()
        assert not {"NaN", "Infinity"} & set(path.read_text().replace(",", " ").split())


def test_the_study_says_which_plan_it_is(finished: Path) -> None:
    found = read_study(finished)
    assert plan_from(found["plan"]) == plan()
    versions = found["machine"]["versions"]
    assert set(versions) == {"maskgraph", "numpy", "scipy", "numba", "torch", "scikit-learn"}
    assert versions["maskgraph"] == maskgraph.__version__


def names(value: object) -> set[str]:
    """The keys of all objects in a value, less the feature before the dot; those of plans and terms are others'."""
    if isinstance(value, list):
        return set().union(*map(names, value))
    if not isinstance(value, dict):
        return set()
    inside = (names(item) for key, item in value.items() if key not in ("plan", "versions", "digests", "terms"))
    return {key.rpartition(".")[2] for key in value}.union(*inside)


def test_every_name_that_is_written_is_on_the_page_and_the_other_way_round(finished: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "records.md").read_text()
    text = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    told = set(re.findall(r"`(\w+)`", text))
    made = set().union(*(names(json.loads(path.read_text())) for path in finished.rglob("*.json")))
    assert made <= told
    # What the tables of a record and the list of a graph explain, all there for this study.
    tables = text[text.index("## A record") :]
    explained = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?`) \|", tables, re.MULTILINE))))
    explained |= set(re.findall(r"`(\w+)`", text.split("Of one graph: ")[1].partition("\n\n")[0]))
    assert len(explained) > 60
    assert explained <= made


@pytest.mark.parametrize("view", ["positional", "bag"])
@pytest.mark.parametrize("hop", ["target", "image"])
def test_bounds_are_the_answer_on_the_training_images(view: Any, hop: Any, finished: Path, split: Split) -> None:
    found = json.loads((finished / "bounds" / f"{view}-{hop}-r0.75.json").read_text())
    graph = study_graph(split.train, plan(), 0.75, view)
    assert (found["view"], found["hop"], found["dataset"], found["seed"]) == (view, hop, "digits", 1)
    assert found["dim"] == min(64, len(graph.p1))
    wanted = answer(graph, 0.75, found["dim"], hop, seed=1)
    # The second draw is that of the next seed, under which no model is measured.
    masks = mask_set(mask_distribution("uniform", split.train.grid, 0.75), 3, seed=2)
    other = mask_graph(split.train, masks, view)
    assert graph.masks.kept.tolist() != masks.kept.tolist()
    second = answer(other, 0.75, min(found["dim"], len(other.p1)), hop)
    numbers = found["draws"]["numbers"]
    assert (found["draws"]["seeds"], found["draws"]["drawn"]) == ([1, 2], ["masks"])
    both = [theory_numbers(wanted), theory_numbers(second)]
    assert numbers.keys() == both[0].keys()
    for number, values in numbers.items():
        assert values == pytest.approx([told[number] for told in both], rel=1e-6, abs=1e-9)
    assert set(wanted) <= set(found)
    assert found["kept"] == 4
    assert found["masks"] == 3
    for name in ("head_sq", "tail_sq", "alpha", "phi", "bayes_risk"):
        assert found[name] == pytest.approx(wanted[name], rel=1e-6, abs=1e-9)


def test_all_masks_are_one_draw(split: Split) -> None:
    """Of 0.9375 there are 16 masks of one patch, more than are taken, and all where as many are."""
    some, every = (
        bound(plan(graph={"mask_ratios": [0.9375], "max_masks": masks}), split.train, "bag", "target", 0.9375)
        for masks in (15, 16)
    )
    assert len(some["draws"]["numbers"]["alpha"]) == 2
    assert "draws" not in every
    assert "draws" not in bound(plan(graph={"draws": 1}), split.train, "bag", "target", 0.75)


def test_the_majority_is_scored_on_images_that_are_held_out(finished: Path, split: Split) -> None:
    counts = np.bincount(split.train.labels)
    assert (counts == counts.max()).sum() == 1, "one class is the largest"
    wanted = float((split.test.labels == counts.argmax()).mean())
    assert record(finished, "majority-class")["accuracy"] == pytest.approx(wanted)


def test_copies_of_training_images_among_those_held_out_are_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.random((40, 4, 4))
    pixels[20:] = pixels[rng.integers(10, size=20)]
    path = tmp_path / "copies.npz"
    np.savez(path, pixels=pixels, labels=np.arange(40) % 2)
    one = plan(data={"dataset": str(path), "patch": 2, "images": 40})
    parts = load_split(one.source, one.held_out)
    assert parts.test_pixels is not None
    same = (parts.test_pixels[:, None] == parts.train_pixels).all(axis=2).any(axis=1)
    found = explain.raw_pixels(parts)
    assert 0 < found["copies"] == same.sum() < found["scored_images"] == len(same)
    assert "copies" not in explain.raw_pixels(load_split(Source("mixture:n=4"), 0.3))


def forms(split: Split) -> dict[str, NDArray[np.float64]]:
    """(N1, N1) symmetric K for each of Σ K(x, x') u_x·u_x' of unit features u, on the graph of the models.

    That is −E u·u⁺, and the variances of u, of its means over masks and of those over images.
    """
    graph = study_graph(split.train, plan(), 0.75, "positional")
    M, p = graph.M.toarray(), graph.p1
    shown = np.eye(len(p))[graph.ids1]  # (N, S, N1)
    by_image, by_mask = shown.mean(axis=1), np.tensordot(split.train.weights, shown, 1)
    both = np.outer(p, p)
    return {
        "L_align": -M @ np.diag(1 / M.sum(axis=0)) @ M.T,
        "variance": np.diag(p) - both,
        "image": by_image.T @ np.diag(split.train.weights) @ by_image - both,
        "mask": by_mask.T @ by_mask / len(by_mask) - both,
    }


def test_gaussian_features_are_what_independent_directions_are(finished: Path, split: Split) -> None:
    """Means and spreads follow from E u·u' = 0, E (u·u')² = 1/D and E (u·u')⁴ = 3/(D(D + 2)) of different views.

    No two pairs of views are correlated, so that Σ K u·u' has the mean tr K and the variance 2/D Σ_{x≠x'} K²; five
    deviations of the mean of three draws are allowed for.
    """
    found = json.loads((finished / "bounds" / "positional-target-r0.75.json").read_text())["gaussian"]
    D, p = 64, study_graph(split.train, plan(), 0.75, "positional").p1
    assert (found["draws"], found["dim"]) == (3, D)
    expected = {name: float(np.trace(K)) for name, K in forms(split).items()}
    spread = {name: math.sqrt(2 / D * ((K**2).sum() - (np.diag(K) ** 2).sum())) for name, K in forms(split).items()}
    q = float((p**2).sum())
    expected["L_unif"] = 1 / D + (1 - 1 / D) * q
    spread["L_unif"] = math.sqrt(4 * (D - 1) / (D**2 * (D + 2)) * (q**2 - (p**4).sum()))
    for name in ("L_align", "L_unif", "variance"):
        assert abs(found[name]["mean"] - expected[name]) < 5 * spread[name] / math.sqrt(3), name
        # A χ² of two degrees of freedom is below 1e-4 once in 20,000 times, above 32 once in nine million.
        assert 0.005 * spread[name] < found[name]["sd"] < 4 * spread[name], name
    for part in ("image", "mask"):
        share = expected[part] / expected["variance"]
        room = 5 * (spread[part] + share * spread["variance"]) / math.sqrt(3) / expected["variance"]
        # Of a ratio to first order: the whole varies by little.
        assert abs(found[f"share_{part}"]["mean"] - share) < 1.01 * room, part
    # The page's own words: of S masks with positions.
    S = 3
    assert expected["image"] / expected["variance"] == pytest.approx((1 / S - q) / (1 - q), rel=1e-9)
    assert expected["mask"] / expected["variance"] == pytest.approx((S - 1) * q / (1 - q), rel=1e-9)
    parts = [found[f"share_{name}"]["mean"] for name in ("image", "mask", "interaction")]
    assert sum(parts) == pytest.approx(1)
    assert "singular_values" not in found


def test_gaussian_features_are_of_their_own_stream(finished: Path, split: Split) -> None:
    found = json.loads((finished / "bounds" / "positional-target-r0.75.json").read_text())["gaussian"]
    graph, measured = study_graph(split.train, plan(), 0.75, "positional"), []
    for draw in range(3):
        f = np.random.default_rng([1, 16, draw]).standard_normal((len(graph.p1), 64))
        u = f / np.linalg.norm(f, axis=1, keepdims=True)
        s = np.linalg.svd(u * np.sqrt(graph.p1)[:, None], compute_uv=False)
        share = s / s.sum()
        measured.append((float(np.exp(-(share * np.log(share)).sum())), float((s**4).sum())))
    for name, values in zip(("rankme", "L_unif"), zip(*measured, strict=True), strict=True):
        assert found[name]["mean"] == pytest.approx(statistics.mean(values), rel=1e-12)
        assert found[name]["sd"] == pytest.approx(statistics.stdev(values), rel=1e-6)


def test_gaussian_features_stand_beside_models_alone(finished: Path) -> None:
    """Whose graph is of their own view, on the target hop; in the dimension of the feature whose probes speak."""
    known = {path.stem for path in finished.glob("bounds/*.json") if "gaussian" in json.loads(path.read_text())}
    assert known == {"positional-target-r0.75"}
    bounds = read_bounds(finished)
    assert gaussian_nulls(bounds) == {0.75: bounds["gaussian"].dropna().item()}
    assert gaussian_nulls(bounds.drop(columns="gaussian")) == {}
    assert gaussian_nulls(bounds[bounds["view"] == "bag"]) == {}


@pytest.mark.parametrize(("feature", "dim"), [("cls", 64), ("mean", 64), ("tokens", 64), ("bottleneck", 5)])
def test_gaussian_features_have_the_dimension_of_the_feature_that_is_told_of(
    feature: str, dim: int, split: Split
) -> None:
    own = plan(train={"feature": feature, **({"bottleneck": 5} if feature == "bottleneck" else {})})
    graph = study_graph(split.train, own, 0.75, "positional")
    assert explain._null_dim(own, graph) == dim


def assert_probed(found: dict[str, Any], prefix: str, features: list[NDArray[np.float64]], split: Split) -> None:
    """The probes of a record were fitted on the training images and scored on the held-out ones."""
    known = Labelled(features[0], split.train.labels, split.train.weights)
    asked = Labelled(features[1], split.test.labels, split.test.weights)
    # Neighbours among coded images tie, so sums have to run in the order in which they did.
    with threadpool_limits(1):
        wanted = probe(known, asked, 0)
    for name, value in asdict(wanted).items():
        assert found[f"{prefix}.{name}"] == pytest.approx(value, rel=1e-12), (prefix, name)
    assert (found["fitted_images"], found["scored_images"]) == tuple(len(side) for side in features)


@pytest.mark.parametrize("method", ["mae", "u-mae"])
def test_a_record_is_its_model_measured_by_hand(method: str, finished: Path, split: Split) -> None:
    name = f"{method}-r0.75-s0"
    found, trained = record(finished, name), load_model(finished / "models" / f"{name}.safetensors")
    assert (found["method"], found["mask_ratio"], found["seed"], found["dataset"]) == (method, 0.75, 0, "digits")
    assert found["lam"] == (0.5 if method == "u-mae" else 0.0)
    assert found["feature"] == "cls"
    assert found["steps"] == 2 * math.ceil(len(split.train.codes) / 16) == len(trained.losses)
    assert found["final_reconstruction"] == pytest.approx(float(trained.losses[:, 0].mean()), rel=1e-6)
    assert found["train_cpu_seconds"] > 0
    with threadpool_limits(1):
        measured = judge(trained, study_graph(split.train, plan(), 0.75, "positional"))
    L = measured["cls.lipschitz"]
    d = trained.model.config.patch_dim * 12
    assert measured["four_L_lambda"] == pytest.approx(4 * L * d * found["lam"], rel=1e-12)
    assert {key: found[key] for key in measured} == json.loads(to_json(measured))
    assert [check["statement"] for check in found["checks"]] == [known.number for known in STATEMENTS]
    for kind in KINDS:
        features = [
            full_features(trained.model, side, "positional", [kind])[kind] for side in (split.train, split.test)
        ]
        assert_probed(found, kind, features, split)


def test_a_model_is_what_training_gives(finished: Path, split: Split) -> None:
    config = next(config for config in plan().runs() if config.method == "u-mae")
    assert_same_bits(load_model(finished / "models" / "u-mae-r0.75-s0.safetensors"), train(split.train, config))


def test_baselines_are_probed_by_hand(finished: Path, split: Split) -> None:
    assert split.train_pixels is not None
    assert split.test_pixels is not None
    raw, coded = record(finished, "raw-pixels"), record(finished, "coded-pixels")
    assert_probed(raw, "pixels", [split.train_pixels, split.test_pixels], split)
    assert_probed(coded, "pixels", [pixel_features(split.train), pixel_features(split.test)], split)
    network = untrained(split.train, plan().runs()[0])
    found = record(finished, "random-network-s0")
    for kind in KINDS:
        features = [
            full_features(network.model, side, "positional", [kind])[kind] for side in (split.train, split.test)
        ]
        assert_probed(found, kind, features, split)
    for baseline in (raw, coded, found):
        assert baseline["checks"] == []
        assert baseline["mask_ratio"] is None


def test_a_study_of_simmim_is_bounded_and_compared_as_simmim(tmp_path: Path) -> None:
    """By its own dimension of all tokens, beyond MAE's, and beside a random network of its own architecture."""
    simmim = plan(
        data={"images": 60, "codebook": "exact"},
        graph={"max_masks": 20, "views": ["positional"], "hops": ["target"]},
        train={"methods": ["simmim"], "feature": "tokens", "epochs": 1},
    )
    run_study(simmim, tmp_path, False, 1, Told())
    split = load_split(simmim.source, simmim.held_out)
    graph, network = study_graph(split.train, simmim, 0.75, "positional"), untrained(split.train, simmim.runs()[0])
    tokens = evaluate(network.model, graph, ["tokens"]).features["tokens"]
    found = json.loads((tmp_path / "bounds" / "positional-target-r0.75.json").read_text())
    assert found["dim"] == min(len(graph.p1), tokens.shape[1])
    assert found["dim"] > (1 + 4) * 64
    for kind in KINDS:
        features = [
            full_features(network.model, side, "positional", [kind])[kind] for side in (split.train, split.test)
        ]
        assert_probed(record(tmp_path, "random-network-s0"), kind, features, split)
    # Beside MAE it is MAE's, and one bound is for both.
    both = dataclasses.replace(simmim, methods=("simmim", "mae"))
    assert explain.random_config(both, 3).family == "mae"
    assert explain._dim(both, graph) == explain._dim(simmim, graph) == tokens.shape[1]
    assert explain._dim(dataclasses.replace(simmim, methods=("u-mae",)), graph) == (1 + 4) * 64
    with pytest.raises(InputError, match="is a study of simmim; bounds and random networks of simmim, mae are of"):
        run_study(both, tmp_path, True, 1, Told())


def test_a_study_is_not_begun_twice(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is refused before images are coded."""
    before = contents(run)
    monkeypatch.delattr(study, "load_split")
    with pytest.raises(InputError, match=r"run holds a study already; add --resume to finish it, or choose another"):
        run_study(plan(), run, resume=False, workers=1, report=Told())
    assert contents(run) == before


def test_a_study_is_not_begun_among_other_files(tmp_path: Path) -> None:
    """Nor is what cannot be seen in its way: a study that is killed before its first file leaves that alone."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / ".study.json.abcdefgh").write_text("{")
    with pytest.raises(InputError, match=r"holds thesis and no study, whose files would be mixed with others; choose"):
        run_study(plan(), tmp_path, resume=False, workers=1, report=Told())
    assert sorted(path.name for path in tmp_path.iterdir()) == [".study.json.abcdefgh", "thesis"]
    (tmp_path / "thesis").rmdir()
    check_free(tmp_path / "study.json", resume=False)


def test_what_does_not_fit_is_refused_before_anything_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not even one would fit: choose a smaller size"):
        run_study(plan(train={"decoder_depth": 10**9}), tmp_path / "run", resume=False, workers=1, report=Told())
    assert not (tmp_path / "run" / "bounds").exists()


def test_more_workers_than_there_is_work_for_are_taken(run: Path) -> None:
    path = run / "records" / "raw-pixels.json"
    before = path.read_bytes()
    path.unlink()
    run_study(plan(), run, resume=True, workers=2**40, report=Told())
    assert path.read_bytes() == before


def test_a_finished_study_resumes_to_nothing(run: Path) -> None:
    before, told = contents(run), Told()
    run_study(plan(), run, resume=True, workers=2, report=told)
    assert told.news == []
    assert contents(run) == before


@pytest.mark.parametrize(
    ("table", "key", "value", "message"),
    [
        ("train", "lam", 0.25, r"train\.lam is 0\.5 there and 0\.25 here"),
        ("train", "methods", ["mae"], r"train\.methods is \['mae', 'u-mae'\] there and \['mae'\] here"),
        ("graph", "max_masks", 4, r"graph\.max_masks is 3 there and 4 here"),
        ("data", "held_out", 0.3, r"data\.held_out is 0\.25 there and 0\.3 here"),
        ("data", "codebook", "threshold", r"data\.codebook is None there and 'threshold' here"),
    ],
)
def test_another_study_is_refused_by_the_field(table: str, key: str, value: object, message: str, run: Path) -> None:
    before = contents(run)
    with pytest.raises(InputError, match=rf"holds another study \({message}\); choose another --out"):
        run_study(plan(**{table: {key: value}}), run, resume=True, workers=1, report=Told())
    assert contents(run) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"study\.json is not JSON"),
        ("[]", r"study\.json holds \[\], which no run"),
        ("{}", r"study\.json lacks plan"),
    ],
)
def test_a_damaged_study_is_refused(text: str, message: str, run: Path) -> None:
    (run / "study.json").write_text(text)
    with pytest.raises(InputError, match=message):
        run_study(plan(), run, resume=True, workers=1, report=Told())


def test_a_resume_does_what_is_missing_and_nothing_else(run: Path) -> None:
    """Bounds, a baseline, a model's record, and a checkpoint whose record is still there."""
    gone = {
        "bounds/positional-target-r0.75.json": "positional-target-r0.75",
        "bounds/bag-image-r0.75.json": "bag-image-r0.75",
        "records/coded-pixels.json": "coded-pixels",
        "records/mae-r0.75-s0.json": "mae-r0.75-s0",
        "models/u-mae-r0.75-s0.safetensors": "u-mae-r0.75-s0",
    }
    before, told = contents(run), Told()
    redone_model = load_model(run / "models" / "u-mae-r0.75-s0.safetensors")
    for name in gone:
        (run / name).unlink()
    run_study(plan(), run, resume=True, workers=1, report=told)
    after = contents(run)
    assert told.labels == set(gone.values())
    assert after.keys() == before.keys()
    redone = {*gone, "records/u-mae-r0.75-s0.json"}
    assert {name for name in after if after[name][:2] != before[name][:2]} == redone
    # Not the bytes of the file: safetensors writes the metadata of its header in any order.
    assert_same_bits(load_model(run / "models" / "u-mae-r0.75-s0.safetensors"), redone_model)
    for name in (name for name in after if name.endswith(".json")):
        new, old = (json.loads(files[name][2]) for files in (after, before))
        for value in (new, old):
            value.pop("train_cpu_seconds", None)
        assert new == old, name


def test_a_study_may_grow_where_it_is_and_not_shrink(run: Path) -> None:
    before, told = contents(run), Told()
    more = plan(graph={"mask_ratios": [0.5, 0.75], "hops": ["image", "target"]}, train={"seeds": 2})
    run_study(more, run, resume=True, workers=2, report=told)
    grown = contents(run)
    bounds = {name.replace("0.75", "0.5") for name in BOUNDS}
    models = {f"{method}-r{ratio}-s{seed}" for method in ("mae", "u-mae") for ratio in (0.5, 0.75) for seed in (0, 1)}
    assert told.labels == bounds | (models - MODELS) | {"random-network-s1"}
    finished_plan = before.pop("study.json")[2]
    assert before.items() < grown.items()
    stored = json.loads((run / "study.json").read_text())
    assert stored["plan"] == plan_table(more)
    assert stored["machine"] == json.loads(finished_plan)["machine"]
    message = r"graph\.mask_ratios is \[0\.5, 0\.75\] there and \[0\.75\] here; train\.seeds is 2 there and 1 here"
    with pytest.raises(InputError, match=rf"holds another study \({message}\)"):
        run_study(plan(), run, resume=True, workers=1, report=told)
    assert contents(run) == grown


def test_models_that_are_trained_at_once_are_judged_as_those_alone(finished: Path, tmp_path: Path) -> None:
    """After 10 steps rounding has moved losses as little as tests/empirical/test_group.py derives."""
    run, told = tmp_path / "run", Told()
    stacked = plan(train={"stack": 2})
    run_study(stacked, run, resume=False, workers=1, report=told)
    assert told.labels == BOUNDS | MODELS | BASELINES | {"0"}
    assert set(contents(run)) == set(contents(finished))
    for name in MODELS:
        found, wanted = record(run, name), record(finished, name)
        assert found["train_cpu_seconds"] > 0
        for key in ("final_reconstruction", "L_MAE", "cls.L_unif"):
            assert found[key] == pytest.approx(wanted[key], rel=DRIFT)
    before = contents(run)
    run_study(stacked, run, resume=True, workers=1, report=told)
    assert contents(run) == before
    with pytest.raises(InputError, match=r"holds another study \(train.stack is 2 there and 1 here\)"):
        run_study(plan(), run, resume=True, workers=1, report=told)
    with pytest.raises(InputError, match=r"holds another study \(train.seeds is 1 there and 2 here\)"):
        run_study(plan(train={"stack": 2, "seeds": 2}), run, resume=True, workers=1, report=told)
    with pytest.raises(InputError, match=r"stack 0; expected at least 1 model"):
        plan(train={"stack": 0})
    with pytest.raises(InputError, match=r"queue 8 in a stack; models with it are trained alone: stack 1"):
        plan(train={"stack": 2, "queue": 8})


IN_ORDER = ["mae-r0.75-s0", "u-mae-r0.75-s0"]


@pytest.mark.parametrize(
    ("device", "processes", "stack", "order"),
    [
        ("cpu", 4, 1, ["others", *IN_ORDER]),
        ("cpu", 4, 2, [*IN_ORDER, "others", "0"]),
        ("cuda", 1, 1, ["others", *IN_ORDER]),
        ("cuda", 1, 2, [*IN_ORDER, "others", "0"]),
        ("cuda", 4, 1, ["others", *IN_ORDER]),
        ("cuda", 4, 2, ["0", *IN_ORDER, "others"]),
    ],
)
def test_a_gpu_waits_for_nothing_and_trains_for_one_process_at_a_time(
    device: str, processes: int, stack: int, order: list[str], split: Split, tmp_path: Path
) -> None:
    """Where there is another process to judge in; models of a stack are judged when it has left them."""
    one = plan(train={"stack": stack})
    found = study._pieces(one, split, tmp_path, torch.device(device), processes)
    names = [name for name, _ in itertools.groupby("others" if p.name in BOUNDS | BASELINES else p.name for p in found)]
    assert names == order
    trained = {"0"} if stack > 1 else MODELS
    assert {p.name for p in found if p.alone} == (trained if device == "cuda" else set())
    paths = {p.name: (tmp_path / "models" / f"{p.name}.safetensors",) for p in found}
    assert {p.name: p.after for p in found if p.after} == ({name: paths[name] for name in MODELS} if stack > 1 else {})


def test_a_stack_that_has_lost_a_model_comes_last_on_a_gpu(split: Split, tmp_path: Path) -> None:
    """It has left the others, and ends the run each time."""
    one = plan(graph={"mask_ratios": [0.5, 0.75]}, train={"stack": 2})
    checkpoint = study._checkpoint(tmp_path, one.runs()[0])
    checkpoint.parent.mkdir()
    checkpoint.touch()
    names = [piece.name for piece in study._pieces(one, split, tmp_path, torch.device("cuda"), 4)]
    assert (names[0], names[-1]) == ("1", "0")


def test_no_process_is_sent_pixels_that_it_does_not_need(split: Split, tmp_path: Path) -> None:
    """They are many times the codes."""
    assert split.train_pixels is not None
    least = split.train_pixels.nbytes
    found = study._pieces(plan(), split, tmp_path, torch.device("cpu"), 1)
    assert {piece.name for piece in found if len(pickle.dumps(piece.work)) > least} == {"raw-pixels"}


@pytest.mark.parametrize(("free", "workers", "wanted"), [(64, 4, 4), (2, 4, 1), (7, 16, 3), (64, 1, 1)])
def test_on_a_gpu_as_many_processes_judge_as_have_room(
    free: int, workers: int, wanted: int, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two GiB each, beside the training of a small model; on a CPU they are as many as asked for."""
    for module in (study, footprint):
        monkeypatch.setattr(module, "free_bytes", lambda device: free * 2**30)
    rooms = {
        device: study._check_room(plan(), tmp_path, split.train, torch.device(device), workers)
        for device in ("cpu", "cuda")
    }
    assert rooms == {"cpu": workers, "cuda": wanted}


@pytest.mark.parametrize("resume", [False, True])
def test_a_place_that_cannot_be_written_is_refused_before_any_work(
    resume: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(schedule, "in_processes", lambda *_: pytest.fail("work was begun"))
    with pytest.raises(InputError, match=r"file/run cannot be written \(.*choose another directory with --out"):
        run_study(plan(), tmp_path / "file" / "run", resume=resume, workers=1, report=Told())


def test_two_ratios_that_keep_as_many_patches_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before images are coded."""
    monkeypatch.delattr("maskgraph.graphs.source.encode_split")
    with pytest.raises(InputError, match=r"mask ratios 0\.75 and 0\.76 both keep 4 of 16 patches; drop one"):
        run_study(plan(graph={"mask_ratios": [0.5, 0.75, 0.76]}), tmp_path / "run", False, 1, Told())
    assert not (tmp_path / "run").exists()


def test_codes_without_values_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", codes=np.arange(24).reshape(6, 4) % 3, labels=np.arange(6) % 2)
    bare = plan_from({"data": {"dataset": str(tmp_path / "bare.npz")}, "train": {"device": "cpu"}})
    with pytest.raises(InputError, match=r"bare\.npz has codes but no patch values to show a network; add a codebook"):
        run_study(bare, tmp_path / "run", False, 1, Told())
    assert not (tmp_path / "run").exists()


def test_a_study_does_not_go_on_with_other_data(tmp_path: Path) -> None:
    """Killed before its first model it has no checkpoint that would tell, and bounds of the data before."""
    path, rng = tmp_path / "toy.npz", np.random.default_rng(0)
    pixels, labels = rng.random((24, 4, 4)), np.arange(24) % 2
    kept, held = split_rows(labels, 0.25, 0)
    table = {**TABLE, "data": {"dataset": str(path), "patch": 2, "codes": 3, "held_out": 0.25}}
    np.savez(path, pixels=pixels, labels=labels)
    run_study(plan_from(table), tmp_path / "run", False, 1, Told())
    shutil.rmtree(tmp_path / "run" / "models")
    for rows, named in ((kept, "train"), (held, "test")):
        other = pixels.copy()
        other[rows] = other[rows, ::-1]
        np.savez(path, pixels=other, labels=labels)
        with pytest.raises(InputError, match=rf"was begun with other data \(images or labels of its {named} "):
            run_study(plan_from(table), tmp_path / "run", True, 1, Told())
    np.savez(path, pixels=pixels, labels=labels)
    told = Told()
    run_study(plan_from(table), tmp_path / "run", True, 1, told)
    assert told.labels == MODELS


def numbered(path: Path, scale: float = 1.0, where: Any = ()) -> Source:
    """A data set whose pixels, from 0 to 1, tell the image, those of the images `where` multiplied by `scale`."""
    pixels = (np.arange(40.0)[:, None, None] + np.array([[0, 0.25], [0.5, 0.75]])) / 64
    pixels[np.asarray(where, dtype=np.int64)] *= scale
    np.savez(path, pixels=pixels, labels=np.arange(40) % 3, weights=np.arange(1.0, 41.0))
    return Source(str(path), patch=1, codes=4, seed=3)


def ids(split: Split) -> tuple[list[int], list[int]]:
    """Which images of `numbered` are on either side."""
    assert split.train_pixels is not None
    assert split.test_pixels is not None
    known, held = ((64 * pixels[:, 0]).astype(int).tolist() for pixels in (split.train_pixels, split.test_pixels))
    return known, held


def test_no_image_is_on_both_sides_of_a_split(tmp_path: Path) -> None:
    found = load_split(numbered(tmp_path / "data.npz"), 0.3)
    known, held = ids(found)
    assert sorted(known + held) == list(range(40))
    for rows, side in ((known, found.train), (held, found.test)):
        np.testing.assert_array_equal(side.labels, np.array(rows) % 3)
        weights = np.array(rows) + 1.0
        np.testing.assert_allclose(side.weights, weights / weights.sum(), rtol=1e-12)


@pytest.mark.parametrize("kind", ["kmeans", "threshold"])
def test_a_codebook_learns_nothing_from_held_out_images(kind: Any, tmp_path: Path) -> None:
    source = numbered(tmp_path / "data.npz")
    plain = load_split(Source(**{**asdict(source), "codebook": kind}), 0.3)
    held = ids(plain)[1]
    numbered(tmp_path / "data.npz", 0.001, held)
    wild = load_split(Source(**{**asdict(source), "codebook": kind}), 0.3)
    assert plain.train.codebook is not None
    assert wild.train.codebook is not None
    np.testing.assert_array_equal(plain.train.codebook, wild.train.codebook)
    np.testing.assert_array_equal(plain.train.codes, wild.train.codes)
    assert not np.array_equal(plain.test.codes, wild.test.codes), "held-out images did change"
    assert wild.test.codebook is not None
    np.testing.assert_array_equal(wild.test.codebook, wild.train.codebook)


def test_coded_data_is_split_without_pixels() -> None:
    found = load_split(Source("mixture:n=4,eta=0.2", images=60, seed=2), 0.25)
    assert found.train_pixels is None
    assert found.test_pixels is None
    assert len(found.train.codes) + len(found.test.codes) == 60
    assert found.train.weights.sum() == pytest.approx(1)
    assert found.test.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("share", [0.0, 1.0, math.nan])
def test_a_share_that_holds_out_nothing_or_all_is_refused(share: float) -> None:
    with pytest.raises(InputError, match=rf"held_out {share}; expected a share of the images in \(0, 1\)"):
        load_split(Source("digits"), share)


def test_names_of_models_are_told_apart() -> None:
    runs = plan(train={"seeds": 2}, graph={"mask_ratios": [0.25, 0.5]}).runs()
    assert len({study.run_name(config) for config in runs}) == len(runs) == 8
    assert study.run_name(with_(runs[0], method="mae", mask_ratio=0.25, seed=1)) == "mae-r0.25-s1"


def test_the_table_of_a_plan_survives_json() -> None:
    assert plan_from(json.loads(to_json(plan_table(plan())))) == plan()
