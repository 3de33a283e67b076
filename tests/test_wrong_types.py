"""What is given in the place of something else is refused in one sentence, by the function that a user called."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from maskgraph.empirical.augment import Augmentation
from maskgraph.empirical.collapse import rankme
from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.experiment import run_recipe
from maskgraph.empirical.finetune import fine_tune
from maskgraph.empirical.linear_probe import SgdProbe, sgd_probe
from maskgraph.empirical.measure import measure_features
from maskgraph.empirical.model import build_model, model_config
from maskgraph.empirical.on_graph import on_graph
from maskgraph.empirical.parts import DataPlan, load_parts
from maskgraph.empirical.pixels import Pixels, channel_statistics
from maskgraph.empirical.plan import GraphPlan, Plan, plan_from, read_plan
from maskgraph.empirical.probes import Labelled
from maskgraph.empirical.published import from_published, load_published, published_tensors, save_published
from maskgraph.empirical.readers import DatasetReader
from maskgraph.empirical.readout import view_features, whole_features
from maskgraph.empirical.recipe import JudgePlan, Recipe, read_recipe, recipe_from
from maskgraph.empirical.records import read_bounds, read_records
from maskgraph.empirical.regularise import Regularise
from maskgraph.empirical.stream import Stream
from maskgraph.empirical.study import run_study
from maskgraph.empirical.summary import read_judged
from maskgraph.empirical.train import load_model, train
from maskgraph.empirical.train_stack import train_stack
from maskgraph.empirical.tuning import FineTune
from maskgraph.figures.recipe_report import write_recipe_report
from maskgraph.figures.report import write_report
from maskgraph.graphs.augmentation import augmentation_graph, majority_class
from maskgraph.graphs.bipartite import mask_graph, visible_views
from maskgraph.graphs.datasets import load, make_coded_images, make_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import kept_patches, make_mask_set, mask_distribution, mask_set
from maskgraph.graphs.patches import assign_codes, encode, fit_codebook, patchify
from maskgraph.graphs.source import Source, load_coded, load_split
from maskgraph.graphs.stored import load_stored
from maskgraph.graphs.synthetic import class_mixture, joint_graph, load_mixture
from maskgraph.testing import assert_holds, mask_sets, models, outputs_of, worlds
from maskgraph.theory import bounds, labels, losses
from maskgraph.theory.answer import Constants, answer
from maskgraph.theory.bootstrap import bootstrap, check_resamples, resampled
from maskgraph.theory.bounds import water_filling
from maskgraph.theory.certify import certify
from maskgraph.theory.closed_form import binary_alpha, mixture_eigenvalues
from maskgraph.theory.falsify import falsify, tightness
from maskgraph.theory.ledger import ledger
from maskgraph.theory.lipschitz import one_sided_lipschitz, two_sided_lipschitz
from maskgraph.theory.outputs import Outputs, nearest_views
from maskgraph.theory.risk import Floors, conditional_mean
from maskgraph.theory.spectrum import spectrum
from maskgraph.theory.statements import statement
from maskgraph.theory.unseen import single_mask_mass, singleton_mass, unseen

M = joint_graph([[3, 1], [1, 3]], X2=[[1.0], [-1.0]])
A = augmentation_graph(M)
F = Outputs(f=np.eye(2))
MASKS = mask_distribution("uniform", (2, 2), 0.5)
IMAGES = make_images("toy", np.zeros((4, 4, 4)) + np.arange(4)[:, None, None] / 4, [0, 1, 0, 1])
CODES = make_coded_images("bare", [[0, 1]], [0])
SAMPLE = mask_graph(encode(IMAGES, 2), mask_set(MASKS))
DIGITS = load_stored("digits")
NOWHERE = Path("nowhere")
NETWORK = build_model(model_config("micro", (4, 4), 4), 0)
NO_AUGMENTATION = "is no AugmentationGraph; make one with augmentation_graph(graph) of a MaskGraph"
NO_MASK_GRAPH = "is no MaskGraph; make one with mask_graph(images, masks)"


def pixels(**changes: Any) -> Pixels:
    """Digits, but for what a test changes."""
    given: dict[str, Any] = {"name": "digits", "pixels": DIGITS.pixels, "full": 16, "labels": DIGITS.labels}
    return Pixels(**(given | {"patch": 2, "mean": np.zeros(1), "std": np.ones(1)} | changes))


def stream(**changes: Any) -> Stream:
    """The same, to be read, but for what a test changes."""
    given: dict[str, Any] = {"reader": DatasetReader(DIGITS.pixels), "labels": DIGITS.labels, "size": 8, "channels": 1}
    return Stream("digits", **(given | {"patch": 2, "mean": (0.5,), "std": (1.0,)} | changes))


def labelled(**changes: Any) -> Labelled:
    """Features of two images, but for what a test changes."""
    return Labelled(**({"x": np.eye(2), "y": np.arange(2), "weights": np.full(2, 0.5)} | changes))


def trained(**changes: Any) -> object:
    """A training that should not begin."""
    return train(pixels(), TrainConfig(**changes))


def stack_of(configs: Any, paths: Any = (NOWHERE,), checkpoint: Any = NOWHERE, every: Any = 500) -> None:
    """A stack that should not begin."""
    train_stack(pixels(), configs, paths, checkpoint, every)


def recipe_of(report: Any = print, group: Any = None, **changes: Any) -> None:
    """A recipe that should not begin."""
    run_recipe(Recipe(DataPlan("digits", 2), **changes), NOWHERE, None, False, 1, report, group)


def study_of(report: Any = print, **changes: Any) -> None:
    """A study that should not begin."""
    run_study(Plan(Source("digits"), **changes), NOWHERE, False, 1, report)


CALLS: list[tuple[Callable[[Any], object], Any, str]] = [
    (lambda x: spectrum(x, 2), M, f"a MaskGraph {NO_AUGMENTATION}"),
    (lambda x: spectrum(x, 2), A.matrix(), f"a csr_array {NO_AUGMENTATION}"),
    (lambda x: spectrum(A, x), 2.0, "dimension 2.0 for a graph of 2 visible views; expected an integer from 1 to 2"),
    (lambda x: spectrum(A, 2, seed=x), "a", "seed a; expected an integer from 0 to"),
    (lambda x: spectrum(A, 2, engine=x), "cuda", "engine 'cuda'; expected an Engine, such as TorchEngine('cuda')"),
    (lambda x: certify(x, np.eye(2), 1), M, f"a MaskGraph {NO_AUGMENTATION}"),
    (lambda x: certify(A, x, 1), None, "the vectors are None; expected one array (2, p)"),
    (lambda x: certify(A, x, 1), [1.0, 1.0], "vectors of shape (2,) for a graph of 2 views; expected (2, p)"),
    (lambda x: certify(A, x, 1), 1j * np.eye(2), "dtype complex128; expected one array (2, p) of real numbers"),
    (lambda x: answer(x, 0.5, 2), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: answer(M, x, 2), "0.5", "mask ratio '0.5'"),
    (lambda x: answer(M, x, 2), 50, "mask ratio 50 is outside (0, 1)"),
    (lambda x: answer(M, 0.5, 2, constants=x), 1.0, "a float is no Constants; give Constants(lipschitz, lam, epsilon)"),
    (lambda x: answer(M, 0.5, 2, constants=x), {}, "a dict is no Constants"),
    (lambda x: conditional_mean(x), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: outputs_of(x, lambda p: p[:, 0]), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: ledger(x, F), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: ledger(M, x), np.eye(2), "a ndarray is no Outputs; give Outputs(f=...), or an encoder"),
    (lambda x: ledger(M, F, x), ["S2"], "a str is no Statement; find it by its number: statement(number)"),
    (lambda x: assert_holds(M, F, x), 4.2, "unknown statement 4.2; expected one of I1"),
    (lambda x: falsify(x, M), "S2", "a str is no Statement; find it by its number"),
    (lambda x: falsify(statement("S2"), x), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: falsify(statement("S2"), M, x), 3, "dimension 3 for a graph of 2 visible views; expected an integer"),
    (lambda x: tightness(statement("S2"), 2, x), 1e300, "Lipschitz constant 1e+300; expected a number from 1e-60"),
    (lambda x: models(x), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: models(M, x), 2.0, "k is 2.0; expected at least 1 dimension"),
    (lambda x: mask_sets(x), "4", "patches is 4; expected at least 2"),
    (lambda x: worlds(views=x), 3, "views is 3; expected a list of view identities"),
    (lambda x: water_filling(x, 1, 0.25), spectrum(A, 2), "values of shape () and dtype object; expected eigenvalues"),
    (lambda x: water_filling(x, 1, 0.25), [], "values of shape (0,)"),
    (lambda x: water_filling(np.ones(2), x, 0.25), "1", "Lipschitz constant '1'; expected a number"),
    (lambda x: water_filling(np.ones(2), 1, x), 0, "lambda 0; expected a positive number"),
    (
        lambda x: water_filling(np.array([1.0, x]), 1, 0.25),
        np.nan,
        "values [ 1. nan]; expected finite eigenvalues, descending",
    ),
    (lambda x: water_filling(x, 1, 0.25), [0.5, 1.0], "expected finite eigenvalues, descending: np.sort(values)[::-1]"),
    (lambda x: water_filling(np.ones(2), 1, x), None, "lam is None; expected a real number"),
    (lambda x: bounds.thm_3_2(x, 1, 1, 0), None, "asym is None; expected a real number"),
    (lambda x: bounds.thm_3_4(0, x, 0), -1, "energy_h is -1; expected a number of at least 0"),
    (lambda x: bounds.thm_3_6(x), "1", "variance is '1'; expected a real number"),
    (lambda x: bounds.thm_4_1(0.1, x, 0.5, -1, 1), 0.1j, "phi is 0.1j; expected a real number"),
    (lambda x: bounds.thm_4_1_mean_square(0.1, x, -1, 1), -0.5, "p_max is -0.5; expected a number of at least 0"),
    (lambda x: bounds.thm_4_1_from_loss(0.1, 0.1, 0.5, 1, 1, x, 0), [1], "lipschitz is [1]; expected a real number"),
    (lambda x: bounds.phi_from_alpha(0.1, x), {}, "alpha_target is {}; expected a real number"),
    (lambda x: bounds.thm_4_2(1, x, 0), 0, "lipschitz is 0; expected a positive number"),
    (lambda x: bounds.thm_4_2_any_lambda(1, 1, x, 0), 0.0, "lam is 0.0; expected a positive number"),
    (lambda x: bounds.is_printed_lambda(x, 1), None, "lam is None; expected a real number"),
    (lambda x: bounds.s1(x), None, "pair_distance is None; expected a real number"),
    (lambda x: bounds.uniformity_floor(x), 0, "dimension 0; expected at least 1, an integer"),
    (lambda x: bounds.trivial(0.25, x), 2.0, "dimension 2.0; expected at least 1, an integer"),
    (lambda x: bounds.spectral_embedding_error(0.1, x), "1", "next_value is '1'; expected a real number"),
    (lambda x: answer(M, 0.5, x), True, "dimension True for a graph of 2 visible views; expected an integer"),
    (lambda x: Constants(lam=x), 1e-300, "lambda 1e-300; expected a number from 1e-60 to 1e+60"),
    (lambda x: Constants(x), 1.7e308, "Lipschitz constant 1.7e+308; expected a number from 1e-60 to 1e+60"),
    (lambda x: Constants(epsilon=x), 1e308, "epsilon 1e+308; expected a number of at most 1e+60"),
    (lambda x: labels.alpha(x), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: labels.phi(x), M, f"a MaskGraph {NO_AUGMENTATION}"),
    (lambda x: labels.edge_mass(x), M, f"a MaskGraph {NO_AUGMENTATION}"),
    (
        lambda x: labels.misread(x, np.zeros(2, np.int64)),
        [[1]],
        "a list is no csr_array; give graph.class_mass1",
    ),
    (lambda x: labels.vote_error(M, x), [0.0, 0.0], "answer has shape (2,) and dtype float64; expected (2,) integers"),
    (lambda x: labels.vote_error(M, x), [0, 1], "a class below 1 for each view"),
    (lambda x: labels.mean_classifier(M, x), np.full((2, 1), np.nan), "f has [nan] at view 0; expected finite numbers"),
    (lambda x: Floors(x), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: Floors(M).rank_floor(x), 1.5, "dimension 1.5; expected at least 1, an integer"),
    (lambda x: unseen(x), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: singleton_mass(M, x), "targets", "unknown side 'targets'; did you mean target? expected one of visible"),
    (lambda x: singleton_mass(x, "visible"), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: single_mask_mass(x, "target"), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: single_mask_mass(M, x), "hidden", "unknown side 'hidden'; expected one of visible"),
    (lambda x: visible_views(x), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (
        lambda x: visible_views(mask_graph(x, make_mask_set([[0]], 2))),
        CODES,
        "bare has codes but no patch values to sh",
    ),
    (lambda x: visible_views(SAMPLE, x), np.array([99]), "is out of bounds for axis 0"),
    (lambda x: visible_views(SAMPLE, x), np.array([0.5]), "rows [0.5] (arrays used as indices must be of integer"),
    (lambda x: measure_features(x, {"cls": np.eye(2)}), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: measure_features(M, x), F, "the features are an Outputs; expected a dict of them by name, such as"),
    (lambda x: measure_features(M, x), np.eye(2), "the features are a ndarray; expected a dict of them by name"),
    (lambda x: measure_features(M, {"cls": x}), np.eye(2)[:1], "cls has shape (1, 2) and dtype float64; expected real"),
    (lambda x: measure_features(M, {"cls": x}), [1.0, 2.0], "numbers, one row for each of 2 views"),
    (lambda x: measure_features(M, {"cls": x}), None, "cls is None; give one array, one row a view"),
    (lambda x: measure_features(M, {"own": x}), F, "own is an Outputs of dtype object; give one array, one row a view"),
    (lambda x: measure_features(M, {"cls": x}), 1j * np.eye(2), "cls is a ndarray of dtype complex128; give one array"),
    (lambda x: measure_features(M, {"cls": x}), [[1.0], [0.0]], "the feature of view 1 has norm 0 and cannot be norm"),
    (lambda x: measure_features(M, {"cls": x}), [[1.0], [np.nan]], "the feature of view 1 has norm nan and cannot be"),
    (lambda x: losses.energy(M, x), [1.0, 2.0], "h has shape (2,) and dtype float64; expected real numbers, one row"),
    (lambda x: losses.mae_loss(M, x), np.eye(2), "h has shape (2, 2); expected 1 values a view, as targets have"),
    (lambda x: losses.target_gap(M, x), np.eye(2), "h has shape (2, 2); expected 1 values a view, as targets have"),
    (lambda x: losses.align_loss(A, x), np.eye(3), "h has shape (3, 3) and dtype float64; expected real numbers"),
    (
        lambda x: losses.unif_loss(M, x),
        1j * np.eye(2),
        "f has shape (2, 2) and dtype complex128; expected real",
    ),
    (lambda x: losses.normalise(x), [1.0, 2.0], "f has shape (2,) and dtype float64; expected real numbers"),
    (lambda x: losses.normalise(x), 1.0, "f has shape () and dtype float64; expected real numbers"),
    (lambda x: losses.normalise(x), [[1], [0], [np.inf], [0]], "the feature of view 1 has norm 0 and cannot be norm"),
    (lambda x: losses.normalise(x), [[1], [np.inf], [0]], "the feature of view 1 has norm inf and cannot be normal"),
    (lambda x: losses.normalise(x), [[1], [2], [np.nan]], "the feature of view 2 has norm nan and cannot be normal"),
    (lambda x: losses.cross_distance(M, np.eye(2), x), np.eye(3), "at_target has shape (3, 3) and dtype float64; exp"),
    (lambda x: losses.mae_loss(M, x), np.ones((3, 1)), "h has shape (3, 1) and dtype float64; expected real numbers"),
    (lambda x: losses.target_gap(M, x), np.ones((3, 1)), "h has shape (3, 1) and dtype float64; expected real numb"),
    (lambda x: losses.pair_distance(A, x), np.eye(3), "h has shape (3, 3) and dtype float64; expected real numbers"),
    (lambda x: losses.variance(M, x), [1.0, 2.0], "h has shape (2,) and dtype float64; expected real numbers"),
    (lambda x: losses.approximation_excess(A, x), np.eye(3), "F has shape (3, 3) and dtype float64; expected real"),
    (lambda x: losses.energy(x, np.eye(2)), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: losses.mae_loss(x, np.eye(2)), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: losses.cross_distance(x, np.eye(2), np.eye(2)), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: losses.unif_loss(x, np.eye(2)), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: losses.target_gap(x, np.eye(2)), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: losses.variance(x, np.eye(2)), A, f"an AugmentationGraph {NO_MASK_GRAPH}"),
    (lambda x: losses.align_loss(x, np.eye(2)), M, f"a MaskGraph {NO_AUGMENTATION}"),
    (lambda x: losses.pair_distance(x, np.eye(2)), M, f"a MaskGraph {NO_AUGMENTATION}"),
    (lambda x: losses.approximation_excess(x, np.eye(2)), M, f"a MaskGraph {NO_AUGMENTATION}"),
    (lambda x: losses.spectral_contrastive_loss(x, np.eye(2)), M, f"a MaskGraph {NO_AUGMENTATION}"),
    (lambda x: one_sided_lipschitz(A, x, np.eye(2)), np.full((2, 2), np.nan), "f has [nan nan] at view 0; expected"),
    (lambda x: two_sided_lipschitz(np.eye(2), x, M.p1), [["a"], ["b"]], "h has shape (2, 1) and dtype <U1; expected"),
    (lambda x: nearest_views(M, x), np.full((2, 1), np.inf), "h has [inf] at view 0; expected finite numbers"),
    (lambda x: nearest_views(M, x), [[1.0], [np.nan]], "h has [nan] at view 1; expected finite numbers"),
    (lambda x: binary_alpha(x, 0.2), 2.5, "2.5 patches with flip 0.2; expected at least 1 patch"),
    (lambda x: binary_alpha(3, x), "0.2", "3 patches with flip '0.2'; expected at least 1 patch"),
    (
        lambda x: mixture_eigenvalues(x, np.eye(2), 1, 1),
        [0.5, 0.6],
        "prior [0.5, 0.6]; expected probabilities",
    ),
    (lambda x: mixture_eigenvalues(np.ones(2) / 2, x, 1, 1), np.eye(3), "expected (C,) and (C, V)"),
    (lambda x: mixture_eigenvalues(np.ones(2) / 2, np.eye(2), 1, x), 0, "target is 0; expected a number of patches"),
    (lambda x: class_mixture(x, 0.2), 4.0, "a class mixture with n=4.0, classes=2, eta=0.2; expected n >= 2, classes"),
    (lambda x: class_mixture(4, 0.2, images=x), 5.0, "images=5.0; expected at least 1, an integer"),
    (lambda x: class_mixture(4, 0.2, images=5, seed=x), -1, "seed -1; expected an integer from 0 to"),
    (lambda x: load_mixture(x), None, "None is no str; give mixture:n=8,eta=0.3,classes=2"),
    (lambda x: mask_set(mask_distribution("uniform", (2, 2), 0.5), x), True, "max_masks True; expected an integer"),
    (lambda x: kept_patches(x, 0.5), 4.5, "4.5 patches; expected an integer of at least 2"),
    (lambda x: make_mask_set([[0]], 2, x), np.nan, "total nan for 1 masks; expected at least as many"),
    (lambda x: majority_class(x), None, "None is no csr_array; give graph.class_mass1 or class_mass2"),
    (lambda x: check_resamples(x), 40.0, "bootstrap 40.0; expected at least 39 resamples"),
    (
        lambda x: bootstrap(SAMPLE, x, "target", Constants(), 40, 0),
        {"dim": 2},
        "the answer lacks alpha; give what answer",
    ),
    (
        lambda x: bootstrap(SAMPLE, x, "target", Constants(), 40, 0),
        None,
        "None is no dict; give what answer(graph, mask_",
    ),
    (lambda x: resampled(SAMPLE, 2, "target", Constants(), 40, 0, x), 3, "tick is an int; expected a function of not"),
    (lambda x: resampled(SAMPLE, x, "target", Constants(), 40, 0), "2", "dimension 2 for a graph of"),
    (
        lambda x: outputs_of(SAMPLE, x),
        lambda p, q: p[:, 0],
        "the encoder takes (p, q) and is given 1 array; expected a",
    ),
    (
        lambda x: outputs_of(SAMPLE, x, positions=True),
        torch.nn.Linear(4, 2),
        "the encoder takes (input: torch.Tensor) -> torch.Tensor and is given 2 arrays; expected a function of patches",
    ),
    (lambda x: outputs_of(SAMPLE, lambda p: p[:, 0] + 1, x), lambda: 0, "the decoder takes () and is given 1 array"),
    (
        lambda x: outputs_of(SAMPLE, lambda p: p[:, 0] + 1, x),
        lambda tokens, positions, slots: tokens,
        "a function of the encoder's vectors; of one that reads more, as a masked autoencoder's, give Outputs(f=..., "
        "h=...), as docs/tutorial.md does under Your own masked autoencoder",
    ),
    (lambda x: train(pixels(), TrainConfig(), watch=x), 3, "watch is an int; expected a function of a TrainedModel"),
    (lambda x: train(pixels(), TrainConfig(), group=x), 3, "an int is no Group or NoneType; give TorchGroup(device)"),
    (lambda x: patchify(x, 2), np.zeros((4, 4)), "pixels has shape (4, 4); expected (N, H, W, C)"),
    (lambda x: fit_codebook(x, np.ones(2)), np.zeros((2, 4)), "patches has shape (2, 4) and dtype float64; expected"),
    (lambda x: fit_codebook(np.zeros((2, 4, 1)), x), np.ones(3), "weights has shape (3,) for 2 images; expected (2,)"),
    (lambda x: assign_codes(np.zeros((2, 4, 1)), x), None, "None is no Codebook; fit_codebook(patches, weights) makes"),
    (
        lambda x: load_split(Source("digits"), x),
        "a third",
        "held_out 'a third'; expected a share of the images",
    ),
    (lambda x: load_coded(x), "digits", "'digits' in the place of a Source, which says how data is coded too"),
    (lambda x: load_coded(Source("digits", images=x)), "100", "images '100'; expected at least 1, an integer"),
    (lambda x: load_coded(Source("digits", images=x)), 100.0, "images 100.0; expected at least 1, an integer"),
    (
        lambda x: Source("fashion-mnist", data_dir=x),
        "",
        "an empty string in the place of the path of the dataset's files",
    ),
    (lambda x: Source("fashion-mnist", data_dir=x), 3, "an int in the place of the path of the dataset's files"),
    (lambda x: read_records(x), "", "an empty string in the place of the path of a run; expected a path"),
    (lambda x: write_report(x), None, "None in the place of the path of a run; expected a string or a Path"),
    (lambda x: write_recipe_report(x), None, "None in the place of the path of a run; expected a string or a Path"),
    (lambda x: read_judged(x), "nowhere", "nowhere holds no records; expected the directory of a finished or"),
    (lambda x: whole_features(NETWORK, pixels(), ["cls"], x), 3, "an int is no Group or NoneType; give TorchGroup("),
    (lambda x: fine_tune(NETWORK, pixels(), 10, FineTune(), watch=x), 3, "watch is an int; expected a function of not"),
    (lambda x: fine_tune(NETWORK, pixels(), 10, FineTune(), group=x), 3, "an int is no Group or NoneType; give Torch"),
    (lambda x: fine_tune(NETWORK, pixels(), x, FineTune()), "10", "classes '10'; expected how many there are"),
    (lambda x: fine_tune(NETWORK, pixels(), 10, FineTune(), x), 3, "an int in the place of the path of a checkpoint"),
    (lambda x: plan_from(x), [], "a list is no dict; give the tables of a study, by name"),
    (lambda x: recipe_from(x), None, "None is no dict; give the tables of a recipe, by name"),
    (lambda x: load_coded(Source("digits", seed=x)), None, "seed None; expected an integer from 0 to"),
    (lambda x: mask_distribution("uniform", x, 0.5), IMAGES, "the grid is an Images; expected (rows, columns)"),
    (lambda x: mask_distribution("uniform", x, 0.5), 16, "the grid is an int; expected (rows, columns) of the patches"),
    (lambda x: mask_distribution("uniform", x, 0.5), (4,), "grid (4,); expected (rows, columns) of the patches"),
    (lambda x: mask_distribution("uniform", (2, 2), 0.5, x), "1", "mask unit '1'; expected the side of a square"),
    (lambda x: mask_set(x), 0.5, "a float is no MaskDistribution; make one with mask_distribution(kind, images.grid"),
    (lambda x: mask_set(MASKS, seed=x), None, "seed None; expected an integer from 0 to"),
    (lambda x: mask_graph(x, mask_set(MASKS)), IMAGES, "an Images is no CodedImages; encode(images, patch) of"),
    (lambda x: mask_graph(encode(IMAGES, 2), x), MASKS, "a MaskDistribution is no MaskSet; draw masks with mask_set("),
    (lambda x: mask_graph(encode(IMAGES, 2), mask_set(MASKS), scheduler=x), 8786, "scheduler 8786; expected its addr"),
    (lambda x: mask_graph(encode(IMAGES, 2), mask_set(MASKS), threads=x), 0, "threads 0; expected at least 1, an"),
    (lambda x: mask_graph(encode(IMAGES, 2), mask_set(MASKS), threads=x), "2", "threads '2'; expected at least 1, an"),
    (lambda x: encode(x, 2), IMAGES.pixels, "a ndarray is no Images; make_images(name, pixels, labels) of"),
    (lambda x: load_stored(x), None, "unknown dataset None; expected one of digits"),
    (
        lambda x: channel_statistics(x, 16),
        DIGITS,
        "pixels is a Stored; expected an array (N, H, W, C), as load_stored(",
    ),
    (lambda x: channel_statistics(DIGITS.pixels, x), 15, "full 15 of pixels; expected the byte that stands for 1, 16"),
    (lambda x: channel_statistics(DIGITS.pixels, x), "16", "full '16' of pixels; expected the byte that stands for 1"),
    (lambda x: channel_statistics(x, 16), DIGITS.pixels[:0], "have no mean; expected at least one image"),
    (lambda x: pixels(full=x), "16", "full '16' of digits; expected the byte that stands for 1, 16 to 255"),
    (lambda x: pixels(augmentation=x), None, "None is no Augmentation; give Augmentation(crop, flip=...)"),
    (lambda x: pixels(mean=x), [4.9], "mean [4.9] of digits; expected numbers from 0 to 1, the unit of pixels over"),
    (lambda x: stream(mean=x), (124.0,), "mean [124.0] of digits; expected numbers from 0 to 1, the unit of pixels"),
    (lambda x: stream(mean=x), 0.5, "mean 0.5 and std (1.0,) of 1 channels; expected one each, std above 0"),
    (lambda x: stream(size=x), "8", "size '8' of digits; expected an integer of at least 1"),
    (lambda x: stream(size=x), (8, 8), "size (8, 8) of digits; expected an integer of at least 1"),
    (lambda x: stream(channels=x), "1", "channels '1' of digits; expected an integer of at least 1"),
    (lambda x: stream(workers=x), "4", "workers '4' of digits; expected an integer of at least 1"),
    (lambda x: stream(labels=x), None, "labels has shape () for the 1797 images of digits; expected (1797,)"),
    (lambda x: stream(reader=x), DIGITS.pixels, "is a ndarray; expected one, such as DatasetReader(dataset)"),
    (
        lambda x: DatasetReader(x),
        DataLoader(TensorDataset(torch.eye(2))),
        "the dataset is a DataLoader, which is not indexed; expected one wi",
    ),
    (lambda x: DatasetReader(x).whole(0), {"image": 1}, "the dataset, a dict, has no item 0 (KeyError: 0); expected 1"),
    (lambda x: DatasetReader(x).whole(0), [{"image": 1, "label": 2}], "an item of the dataset holds image, label by n"),
    (lambda x: stream(augmentation=x), None, "None is no Augmentation; give Augmentation(crop, flip=...)"),
    (lambda x: channel_statistics(x, 1), IMAGES.pixels, "and dtype float64; expected (N, H, W, C) of uint8"),
    (lambda x: pixels(labels=x), [0, 1], "digits has 1797 images and 2 labels; expected one an image"),
    (lambda x: pixels(mean=x), np.array([np.nan]), "mean contains nan at (0,); every value must be finite"),
    (lambda x: pixels(mean=x), np.array(["0.5"]), "mean has dtype <U3; expected real numbers"),
    (lambda x: pixels(std=x), np.array([np.inf]), "std contains inf at (0,); every value must be finite"),
    (lambda x: pixels(name=x), 3, "an int is no str; name the images in a string"),
    (lambda x: pixels(full=x), "16", "full '16' of digits; expected the byte that stands for 1"),
    (lambda x: pixels(augmentation=x), "flip", "a str is no Augmentation; give Augmentation(crop, flip=...)"),
    (
        lambda x: channel_statistics(DIGITS.pixels, x),
        0,
        "full 0 of pixels; expected the byte that stands for 1, 16 to 255",
    ),
    (lambda x: make_images(x, IMAGES.pixels, IMAGES.labels), 3, "an int is no str; name the images in a string"),
    (lambda x: make_coded_images(x, [[0, 1]], [0]), None, "None is no str; name the images in a string"),
    (lambda x: pixels(std=x), 1.0, "std of shape (); expected (1,), a number a channel"),
    (lambda x: save_published(x, "x.safetensors", 2), torch.nn.Linear(1, 1), "a Linear is no MaskedAutoencoder; give"),
    (lambda x: train(x, TrainConfig()), DIGITS, "a Stored is no CodedImages or Pixels or Stream; load_coded(Source("),
    (lambda x: train(pixels(), x), "mae", "a str is no TrainConfig; give TrainConfig(method=..., epochs=...)"),
    (lambda x: trained(epochs=x), "1", "epochs '1'; expected an integer"),
    (lambda x: trained(batch=x), 32.0, "batch 32.0; expected an integer"),
    (lambda x: trained(decoder_dim=x), "x", "decoder_dim 'x'; expected an integer"),
    (lambda x: trained(lr=x), "1e-3", "lr '1e-3'; expected a number"),
    (lambda x: trained(lam=x), None, 'lam None; expected a number or "auto"'),
    (lambda x: trained(diagonal=x), "no", "diagonal 'no'; expected true or false"),
    (lambda x: trained(size=x), ["tiny"], "size ['tiny']; expected a string"),
    (lambda x: trained(method=x), "umae", "unknown method 'umae'; did you mean u-mae?"),
    (
        lambda x: fine_tune(x, pixels(), 10, FineTune()),
        None,
        "None is no MaskedModel; give the network itself, such as",
    ),
    (lambda x: fine_tune(NETWORK, x, 10, FineTune()), DIGITS, "a Stored is no Pixels or Stream; load_parts(data, data"),
    (lambda x: fine_tune(NETWORK, pixels(), 10, x), {"epochs": 1}, "a dict is no FineTune; give FineTune(epochs=..., "),
    (lambda x: whole_features(x, pixels(), ["cls"]), torch.nn.Linear(1, 1), "a Linear is no MaskedModel; give the net"),
    (lambda x: Augmentation(crop=x), 0.2, "crop 0.2; expected a list of numbers"),
    (lambda x: Augmentation(flip=x), "yes", "flip 'yes'; expected true or false"),
    (lambda x: Regularise(mixup=x), "0.8", "mixup '0.8'; expected a number"),
    (lambda x: FineTune(epochs=x), 2.5, "epochs 2.5; expected an integer"),
    (lambda x: FineTune(regularise=x), {"mixup": 0.8}, "a dict is no Regularise; give Regularise(mixup=..., erase="),
    (lambda x: DataPlan(x, 2), None, "dataset None; expected a string"),
    (lambda x: DataPlan("digits", x), "2", "patch '2'; expected an integer"),
    (lambda x: JudgePlan(x), "ridge", "probes 'ridge'; expected a list of strings"),
    (lambda x: JudgePlan((x,)), 5, "probes (5,); expected a list of strings"),
    (lambda x: JudgePlan(fine_tune_crop=x), [0.2, "1"], "fine_tune_crop [0.2, '1']; expected a list of numbers"),
    (lambda x: recipe_of(seeds=x), True, "seeds True; expected an integer"),
    (lambda x: recipe_of(expected=x), 0.9, "expected 0.9; expected a list of Expected"),
    (lambda x: recipe_of(judge=x), {"views": 8}, "a dict is no JudgePlan; give JudgePlan(...) in its place in the Rec"),
    (lambda x: recipe_of(judge=JudgePlan(views=x)), 1, "views 1; expected at least 2"),
    (lambda x: recipe_of(judge=JudgePlan(probes=(x,))), "rigde", "unknown probe 'rigde'; did you mean ridge?"),
    (lambda x: study_of(seeds=x), 0, "seeds 0; expected at least 1"),
    (lambda x: study_of(stack=x), "2", "stack '2'; expected an integer"),
    (lambda x: study_of(train=x), "mae", "a str is no TrainConfig; give TrainConfig(...) in its place in the Plan"),
    (lambda x: study_of(seeds=x), 10**18, "seeds 1000000000000000000; expected at most 10000"),
    (lambda x: run_study(x, NOWHERE, False, 1, lambda *_: None), "x", "a str is no Plan; give Plan(Source(dataset))"),
    (
        lambda x: run_study(Plan(Source("digits")), x, False, 1, lambda *_: None),
        3,
        "an int in the place of the path of",
    ),
    (
        lambda x: run_study(Plan(Source("digits")), NOWHERE, False, x, lambda *_: None),
        "2",
        "workers '2'; expected at l",
    ),
    (
        lambda x: run_recipe(x, NOWHERE, None, False, 1, lambda *_: None),
        "digits",
        "a str is no Recipe; give Recipe(Dat",
    ),
    (lambda x: recipe_of(seeds=x), 10**18, "seeds 1000000000000000000; expected at most 10000"),
    (lambda x: recipe_of(report=x), None, "report is None; expected a function of pieces done, pieces in all"),
    (lambda x: recipe_of(group=x), 3, "an int is no Group or NoneType; give TorchGroup(device)"),
    (lambda x: study_of(report=x), None, "report is None; expected a function of pieces done, pieces in all"),
    (lambda x: read_plan(x), 3, "an int in the place of the path of a study; expected a string or a Path"),
    (lambda x: read_recipe(x), 3, "unknown recipe 3; expected one of"),
    (lambda x: read_recipe(x), Path("nowhere"), "unknown recipe 'nowhere'; expected one of"),
    (lambda x: read_recipe(x), Path("nowhere.toml"), "nowhere.toml cannot be read (No such file or directory); exp"),
    (lambda x: read_records(x), 3, "an int in the place of the path of a run; expected a string or a Path"),
    (lambda x: read_bounds(x), None, "None in the place of the path of a run; expected a string or a Path"),
    (lambda x: load(x), 3, "unknown dataset 3; expected one of digits"),
    (lambda x: train(pixels(), TrainConfig(), x), 3, "an int in the place of the path of a checkpoint; expected a str"),
    (
        lambda x: train(pixels(), TrainConfig(), checkpoint_every=x),
        "5",
        "checkpoint_every '5'; expected at least 1 step",
    ),
    (
        lambda x: train(pixels(), TrainConfig(), checkpoint_every=x),
        2.5,
        "checkpoint_every 2.5; expected at least 1 step",
    ),
    (lambda x: trained(epochs=x), 10**18, "epochs 1000000000000000000; expected at most 1000000"),
    (lambda x: trained(epochs=x), 10**400, "expected a number of at most 9223372036854775807"),
    (lambda x: trained(lr=x), 10**400, "expected a number of at most 9223372036854775807"),
    (lambda x: load_model(x), 3, "an int in the place of the path of a checkpoint; expected a string or a Path"),
    (lambda x: load_published(x), None, "None in the place of the path of a checkpoint; expected a string or a Path"),
    (lambda x: save_published(NETWORK, x, 2), 3, "an int in the place of the path of a checkpoint; expected a string"),  # type: ignore[arg-type]
    (lambda x: stack_of(x), [], "a stack of no models; expected the TrainConfig of at least one"),
    (lambda x: stack_of(x), TrainConfig(), "a TrainConfig is no list or tuple; give the TrainConfig of each model"),
    (lambda x: stack_of([TrainConfig()], x), [], "0 paths for 1 models; expected one for the checkpoint of each"),
    (lambda x: stack_of([TrainConfig()], x), [3], "an int in the place of the path of a checkpoint"),
    (lambda x: stack_of([TrainConfig()], checkpoint=x), 3, "an int in the place of the path of a checkpoint"),
    (lambda x: stack_of([TrainConfig()], every=x), "5", "checkpoint_every '5'; expected at least 1 step, an integer"),
    (lambda x: load_parts(x, None), "digits", "a str is no DataPlan; give DataPlan(dataset, patch)"),
    (lambda x: load_parts(DataPlan("digits", 2, validation=x), None), 3.0, "validation 3; expected a share of the ima"),
    (lambda x: load_parts(DataPlan("digits", 2), x), 3, "an int in the place of the path of the folder of the data"),
    (lambda x: load_parts(DataPlan("digits", 2), None, x), "0", "seed 0; expected an integer from 0 to"),
    (lambda x: labelled(x=x), torch.eye(2), "features are a Tensor; expected an array (N, D) of finite floats"),
    (lambda x: labelled(x=x), np.arange(2), "features have shape (2,) and dtype int64; expected an array (N, D) of"),
    (lambda x: labelled(x=x), np.eye(2) * np.nan, "features contain nan; expected an array (N, D) of finite floats"),
    (lambda x: labelled(y=x), np.arange(2) - 1, "labels of features contain -1; expected an array (N,) of integers"),
    (lambda x: labelled(y=x), np.array(["a", "b"]), "labels of features have dtype <U1; expected an array (N,) of i"),
    (lambda x: labelled(y=x), np.eye(2, dtype=int), "labels of features have shape (2, 2); expected an array (N,)"),
    (lambda x: labelled(y=x), np.arange(3), "labels of shape (3,) for 2 features; expected one each"),
    (lambda x: labelled(weights=x), None, "weights of shape () for 2 features; expected one each"),
    (lambda x: labelled(weights=x), np.ones(2), "weights sum to 2; expected masses from 0 that sum to 1"),
    (lambda x: rankme(x), np.eye(3), "rankme of an array of shape (3, 3); expected singular values (K,), none below 0"),
    (lambda x: whole_features(NETWORK, x, ["cls"]), DIGITS.pixels, "a ndarray is no Pixels or Stream; load_parts("),
    (lambda x: view_features(NETWORK, x, MASKS, 2, 0, ["cls"]), NETWORK, "a MaskedAutoencoder is no Pixels or Stream"),
    (lambda x: fine_tune(NETWORK, pixels(), x, FineTune()), [0, 1], "classes [0, 1]; expected how many there are"),
    (lambda x: published_tensors(NETWORK, x), "2", "patch '2'; expected an integer, the side of a patch in pixels"),  # type: ignore[arg-type]
    (lambda x: from_published(x), NETWORK, "a MaskedAutoencoder is no Mapping; give tensors by their names"),
    (lambda x: from_published({"cls_token": x}), np.zeros(3), "a ndarray is no Tensor; cls_token of a checkpoint is a"),
    (lambda x: from_published({}, heads=x), "4", "heads '4'; expected an integer from 1, or None"),
    (lambda x: from_published({}, decoder_heads=x), 0, "decoder_heads 0; expected an integer from 1, or None"),
    (lambda x: on_graph(NETWORK, M, refined=x), 8.0, "refined 8.0; expected a number of targets, an integer from 0"),
    (lambda x: on_graph(NETWORK, M, refined=x), -1, "refined -1; expected a number of targets, an integer from 0"),
    (lambda x: SgdProbe(epochs=x), "90", "epochs '90'; expected an integer"),
    (lambda x: SgdProbe(batch=x), 1, "batch 1 of a probe; expected at least 2"),
    (lambda x: SgdProbe(batch=x), 8, "batch 8 of a probe whose batches are of 16 or more; expected a larger batch"),
    (lambda x: SgdProbe(lr=x), np.nan, "lr nan of a probe; expected a number of at least 0"),
    (lambda x: SgdProbe(seed=x), -1, "seed -1; expected an integer from 0 to"),
    (
        lambda x: sgd_probe(labelled(), np.eye(2), x),
        {"epochs": 1},
        "a dict is no SgdProbe; give SgdProbe(epochs=..., batch=...)",
    ),
    (lambda x: answer(M, x, 2), 10**400, "expected a number, the share of patches that is masked, such as 0.75"),
    (lambda x: Outputs(lam=x), 10**400, "expected a number"),
    (lambda x: Constants(x), 10**400, "expected a number"),
    (lambda x: Constants(epsilon=x), 10**400, "expected a number"),
    (lambda x: bounds.thm_4_2(1, x, 0), 10**400, "expected a real number"),
    (lambda x: GraphPlan(x), 0.5, "mask_ratios 0.5; expected a list of numbers"),
    (lambda x: GraphPlan((x,)), 10**400, "expected a list of numbers"),
]


@pytest.mark.parametrize(("call", "value", "said"), CALLS, ids=[said[:40] for _, _, said in CALLS])
def test_what_is_no_such_thing_is_refused(call: Callable[[Any], object], value: Any, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        call(value)


def test_numbers_of_numpy_train_what_pythons_train(tmp_path: Path) -> None:
    """A checkpoint says how it was trained in JSON, which has no word for them."""
    images = pixels(pixels=DIGITS.pixels[:8], labels=DIGITS.labels[:8])
    plain = TrainConfig(epochs=2, lr=0.5**10, mask_ratio=0.5, diagonal=False, seed=3)
    ours: dict[str, Any] = {"epochs": np.int64(2), "lr": np.float32(0.5**10), "mask_ratio": np.float64(0.5)}
    others = TrainConfig(**ours, diagonal=np.bool_(False), seed=np.int32(3))  # type: ignore[arg-type]
    assert others == plain
    train(images, others, tmp_path / "a.safetensors")
    train(images, plain, tmp_path / "b.safetensors")
    one, other = ((tmp_path / f"{name}.safetensors") for name in "ab")
    assert load_model(one).config == load_model(other).config == plain
    assert JudgePlan(["knn"], fine_tune_crop=[np.float32(0.5), 1]).fine_tune_crop == (0.5, 1)  # type: ignore[arg-type]


def test_what_is_as_good_is_taken() -> None:
    tensor = certify(A, torch.eye(2), 2)  # type: ignore[arg-type]
    assert tensor.tail_sq_interval == certify(A, np.eye(2), 2).tail_sq_interval
    assert certify(A, [[1, 0], [0, 1]], 2).nu == certify(A, np.eye(2), 2).nu  # type: ignore[arg-type]
    assert water_filling([1.0, 0.5], 1, 0.25) == water_filling(np.array([1.0, 0.5]), 1, 0.25)  # type: ignore[arg-type]
    assert mask_set(MASKS, seed=np.int64(3)).kept.shape == (6, 2)  # type: ignore[arg-type]


def test_a_probability_of_0_may_have_been_rounded() -> None:
    assert bounds.phi_from_alpha(0.25, 1 - sum([0.1] * 3 + [0.7]) - 2**-53) == pytest.approx(0.5)
    with pytest.raises(InputError, match="alpha_target is -1e-08; expected a number of at least 0"):
        bounds.phi_from_alpha(0.25, -1e-8)


def test_constants_of_any_precision_are_doubles() -> None:
    """0.1 in single precision is 0.100000001490116…: that very number, and what is computed of it in double."""
    single = np.float32(0.1)
    found = answer(M, np.float32(0.5), 2, constants=Constants(single, single, single))  # type: ignore[arg-type]
    exact = Fraction(float(single))
    # The eigenvalues of M are 1 and 1/4.
    bound = 1 / (2 * exact) - Fraction(17, 16) / (16 * exact**3) - exact
    assert found["bounds"]["thm_4_2_any_lambda"] == pytest.approx(float(bound), rel=1e-14)
    assert json.loads(json.dumps(found)) == found
    assert type(Outputs(lipschitz=Fraction(1, 4)).lipschitz) is float  # type: ignore[arg-type]
