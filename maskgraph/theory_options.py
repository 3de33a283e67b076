"""The command line of the theory: bound, verify, falsify, findings."""

from __future__ import annotations

import argparse

from maskgraph.options import DATASETS, Parser, add_data, add_data_options, add_graph, command, path, ratio, whole

MODULE = "maskgraph.commands"


def bound(commands: argparse._SubParsersAction[Parser]) -> None:
    """`maskgraph bound`."""
    parser = command(
        commands,
        "maskgraph.bound_command",
        "bound",
        "spectrum, label error and bounds of the augmentation graph at each mask ratio",
        """\
Build the augmentation graph that masking induces on a dataset and compute, at each mask ratio, its spectrum, its
label error and the lower bounds of the U-MAE loss (Thm 4.2 and sharper). Nothing is trained.

  maskgraph bound digits --mask-ratio 0.25 0.5 0.75 --view bag --figure bound.png
  maskgraph bound digits --mask-ratio 0.75 --hop image --json
  maskgraph bound mixture:n=8,eta=0.3 --mask-ratio 0.5 --view sequence --dim 2
  maskgraph bound digits --mask-ratio 0.75 --view bag --max-masks 64 --bootstrap 200
  maskgraph bound digits --mask-ratio 0.25 0.75 --view bag --max-masks 64 --seeds 20

The columns:
  N1, N2, comps     visible views, target views, connected components (= eigenvalues 1) of the hop's graph A
  head, tail        sum of the dim largest squared eigenvalues of A, and of all others
  thm_4_2           (1/4L)(2 - head) - epsilon: below 0 once the head exceeds 2, and vacuous up to lambda/dim, which
                    lambda L_unif alone is never below: unless the head is less than 2 - 1/dim
  S2                the sharper bound by water-filling over the eigenvalues: never negative, needs no epsilon
  alpha, alpha2     Bayes error of reading the class off the visible view, off the target view
  phi               probability that the majority classes of a positive pair differ
  inter             probability that the images behind a positive pair have different classes
  unseen1, unseen2  Good-Turing estimate: the share of what a fresh image shows that is no visible, no target view
                    here. Above 0.1 the graph tells of the sample; a dash where weights state a distribution, no sample
  bayes, Var(x2)    what no model goes below in L_MAE; what a constant encoder cannot go below, unless its decoder knows
                    the mask, as with positional views
  floor             the least L_MAE of a linear decoder from dim dimensions
Patches kept: n(1 - rho) rounded half up, at least 1 and at most n - 1. With positional views every mask is at least one
component, so that as many eigenvalues are 1, and with dim masks the head is dim: try --view sequence or --view bag.""",
    )
    add_data(parser)
    add_graph(parser)
    parser.add_argument(
        "--mask-ratio", type=ratio, nargs="+", required=True, metavar="R", help="share of patches masked"
    )
    parser.add_argument(
        "--dim",
        type=whole,
        metavar="K",
        help="dimension of the encoder's feature (at each ratio 64, or its number of visible views if less)",
    )
    parser.add_argument(
        "--figure",
        type=path,
        metavar="FILE.png",
        help="draw bounds, label errors and spectrum over the mask ratios there as well",
    )
    parser.add_argument(
        "--hop",
        default="target",
        metavar="HOP",
        help="positive pairs share a target view or an image: target (default, the paper's), image",
    )
    parser.add_argument(
        "--lipschitz", type=float, default=1.0, metavar="L", help="L of the decoder, on squared distances (1)"
    )
    parser.add_argument(
        "--lambda", dest="lam", type=float, metavar="LAMBDA", help="weight of the uniformity loss (1/(4L), Thm 4.2's)"
    )
    parser.add_argument(
        "--epsilon",
        type=float,
        default=0.0,
        metavar="EPS",
        help="error of the pseudo-inverse encoder, Assumption 3.1 (0)",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="dask scheduler whose workers count the graph, such as tcp://HOST:8786 (this machine)",
    )
    parser.add_argument(
        "--device", default="cpu", metavar="D", help="where large components are solved: cpu (default) or cuda"
    )
    parser.add_argument(
        "--bootstrap",
        type=whole,
        metavar="B",
        help="95%% basic bootstrap intervals over images, from B >= 39 resamples: B times the work (none)",
    )
    parser.add_argument(
        "--seeds",
        type=whole,
        default=1,
        metavar="D",
        help="mean and SD over D seeds from --seed on, each of its own masks, codebook, --images: D times the work (1)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def verify(commands: argparse._SubParsersAction[Parser]) -> None:
    """`maskgraph verify`."""
    parser = command(
        commands,
        MODULE,
        "verify",
        "the theorem ledger: every statement held to both of its sides",
        """\
Measure both sides of every theorem, identity and sharper bound, and every step of the proof between them.

  maskgraph verify runs/digits            the models of a finished train or study, as recorded
  maskgraph verify digits                 an untrained network on the graph of a dataset: are the theorems even true?
  maskgraph verify runs/digits --json     all of it: sides, steps, assumptions, tolerances

The verdicts:
  holds                with slack, and says more than is known without the theorem
  tight                both sides agree to rounding
  vacuous              true, and says nothing: an error above 1, a loss below 0 or below lambda/k
  assumption not met   the text below the table says which, by how much, and how to mend it
  violated             one side, or one step between them, stands the wrong way round: exit code 1

"most slack lost to" names the step of the proof that gives most away.""",
    )
    parser.add_argument("target", type=path, metavar="DATASET|RUN", help=f"a run's directory, or a dataset: {DATASETS}")
    add_data_options(parser)
    add_graph(parser, max_masks=64)
    parser.add_argument(
        "--mask-ratio", type=ratio, default=0.75, metavar="R", help="for a dataset: share of patches masked (0.75)"
    )
    # A run has its own: what nobody gave is None until the target is known to be a dataset.
    defaults = {
        name: value for name, value in vars(parser.parse_args(["digits"])).items() if name not in ("target", "module")
    }
    parser.set_defaults(of_a_dataset=defaults, **dict.fromkeys(defaults))
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def falsify(commands: argparse._SubParsersAction[Parser]) -> None:
    """`maskgraph falsify`."""
    parser = command(
        commands,
        "maskgraph.falsify_command",
        "falsify",
        "search small graphs for a model that breaks a statement",
        """\
Gradient search, from several starts, for the model that leaves a statement the least slack on graphs of a few views.
How near it comes is the statement's achieved tightness; a model that breaks one would be printed, with exit code 1.

  maskgraph falsify                                every inequality
  maskgraph falsify "Thm 4.2" "S2"                 the paper's bound beside the sharper one
  maskgraph falsify --counterexamples found.json   drop each assumption in turn, and write what then breaks""",
    )
    parser.add_argument("statement", nargs="*", metavar="STATEMENT", help="such as 'Thm 4.2' or S2 (every inequality)")
    parser.add_argument("--dim", type=whole, metavar="K", help="dimension of the feature, at most 3 (2)")
    parser.add_argument("--lipschitz", type=float, metavar="L", help="the models' least L, on squared distances (1)")
    parser.add_argument("--seed", type=whole, default=0, metavar="S", help="of the starts (0)")
    parser.add_argument(
        "--counterexamples", type=path, metavar="FILE", help="write a counterexample for each dropped assumption"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def findings(commands: argparse._SubParsersAction[Parser]) -> None:
    """`maskgraph findings`."""
    parser = command(
        commands,
        MODULE,
        "findings",
        "what graphs are found to be like: a page with numbers and a figure each",
        """\
Compute, draw and write the structural findings: what positions do to the spectrum, why the spectrum cannot prefer one
mask ratio to its mirror image, which part of the bound moves, how far a sample can be believed, and what is not shown
by any of it.

  maskgraph findings                              all of them, into findings/
  maskgraph findings head-not-tail --out pages    one""",
    )
    parser.add_argument(
        "name",
        nargs="*",
        metavar="NAME",
        help="positional-views, rho-symmetry, head-not-tail, target-side-label-error, inter-class-mass, image-hop, "
        "uniformity-is-rank, finite-samples, bootstrap-coverage (all)",
    )
    parser.add_argument(
        "--out", type=path, default="findings", metavar="DIR", help="where the pages are written (findings)"
    )
