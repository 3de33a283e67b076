"""The command line: parse, run one command, turn bad input into one sentence and an exit code.

Exit codes: 0 done; 1 a theorem was found violated (`verify`); 2 bad input; 3 training diverged
or the system refused to write; 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from maskgraph import __version__
from maskgraph.graphs.errors import InputError
from maskgraph.theory.ranks import processes, rank

OK, VIOLATED, BAD_INPUT, FAILED, INTERRUPTED = 0, 1, 2, 3, 130

DATASETS = "digits, fashion-mnist, cifar10, cifar100, mixture[:n=8,eta=0.3,classes=2], or the path of a .npz file"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: of the command; those of the process when None.
    """
    options = _parse(arguments)
    # Slow to import, and only when there is something to do: --help answers at once.
    from maskgraph import commands

    try:
        code = int(getattr(commands, options.command)(options))
        sys.stdout.flush()
        return code
    except InputError as error:
        print(f"maskgraph: error: {error}", file=sys.stderr)
        return BAD_INPUT
    except ArithmeticError as failure:
        print(f"maskgraph: {failure}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt as interruption:
        print(f"\nmaskgraph: interrupted. {interruption}".rstrip(), file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing is wrong, and nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as failure:
        print(f"maskgraph: {failure}; free some space or write elsewhere, then repeat", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    # All processes that torchrun started parse the same, and the first one speaks.
    with contextlib.ExitStack() as silence:
        if rank() > 0:
            silence.enter_context(contextlib.redirect_stdout(io.StringIO()))
            silence.enter_context(contextlib.redirect_stderr(io.StringIO()))
        parser = _parser()
        options = parser.parse_args(arguments)
        if processes() > 1 and options.command != "bound":
            parser.error(
                f"torchrun started {processes()} processes and {options.command} runs in one; start it without torchrun"
            )
    return options


def _parser() -> _Parser:
    parser = _Parser(
        prog="maskgraph",
        description="The theory of masked autoencoders, computed and put to the test.",
        epilog="Start with:  maskgraph bound digits --mask-ratio 0.25 0.5 0.75 --view bag",
    )
    parser.add_argument("--version", action="version", version=f"maskgraph {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _bound(commands)
    _verify(commands)
    _falsify(commands)
    _findings(commands)
    _train(commands)
    _study(commands)
    _report(commands)
    return parser


def _command(commands: argparse._SubParsersAction[_Parser], name: str, summary: str, text: str) -> _Parser:
    return commands.add_parser(
        name, help=summary, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _bound(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
        commands,
        "bound",
        "spectrum, label error and bounds of the augmentation graph at each mask ratio",
        """\
Build the augmentation graph that masking induces on a dataset and compute, at each mask ratio, its spectrum, its
label error and the lower bounds of the U-MAE loss (Thm 4.2 and sharper). Nothing is trained.

  maskgraph bound digits --mask-ratio 0.25 0.5 0.75 --view bag
  maskgraph bound digits --mask-ratio 0.75 --hop image --json
  maskgraph bound mixture:n=8,eta=0.3 --mask-ratio 0.5 --view sequence --dim 2
  maskgraph bound digits --mask-ratio 0.75 --view bag --max-masks 64 --bootstrap 200

The columns:
  N1, N2, comps     visible views, target views, connected components (= eigenvalues 1) of the hop's graph A
  head, tail        sum of the dim largest squared eigenvalues of A, and of all others
  thm_4_2           (1/4L)(2 - head) - epsilon: negative, and so vacuous, once the head exceeds 2
  S2                the sharper bound by water-filling over the eigenvalues: never negative, needs no epsilon
  alpha, alpha2     Bayes error of reading the class off the visible view, off the target view
  phi               probability that the majority classes of a positive pair differ
  inter             probability that the images behind a positive pair have different classes
  unseen1, unseen2  Good-Turing estimate: the share of what a fresh image shows that is no visible, no target view
                    here. Above 0.1 the graph tells of the sample; a dash where weights state a distribution, no sample
  bayes, Var(x2)    what no model goes below in L_MAE; what a constant encoder cannot go below
  floor             the least L_MAE of a linear decoder from dim dimensions
Patches kept: n(1 - rho) rounded half up. With positional views every mask is at least one component, so that the first
eigenvalues are all 1 and the head is dim: try --view sequence or --view bag beside it.""",
    )
    _add_data(parser)
    _add_graph(parser)
    parser.add_argument(
        "--mask-ratio", type=float, nargs="+", required=True, metavar="R", help="share of patches masked"
    )
    parser.add_argument(
        "--dim",
        type=int,
        metavar="K",
        help="dimension of the encoder's feature (64, or the graph's smaller side if less)",
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
        type=int,
        metavar="B",
        help="95%% basic bootstrap intervals over images, from B resamples: B times the work (none)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def _verify(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
        commands,
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
    parser.add_argument("target", metavar="DATASET|RUN", help=f"a run's directory, or a dataset: {DATASETS}")
    _add_data_options(parser)
    _add_graph(parser, max_masks=64)
    parser.add_argument(
        "--mask-ratio", type=float, default=0.75, metavar="R", help="for a dataset: share of patches masked (0.75)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def _falsify(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
        commands,
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
    parser.add_argument("--dim", type=int, default=2, metavar="K", help="dimension of the feature (2)")
    parser.add_argument(
        "--lipschitz", type=float, default=1.0, metavar="L", help="the models' least L, on squared distances (1)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the starts (0)")
    parser.add_argument("--counterexamples", metavar="FILE", help="write a counterexample for each dropped assumption")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def _findings(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
        commands,
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
    parser.add_argument("--out", default="findings", metavar="DIR", help="where the pages are written (findings)")


def _number_or_auto(text: str) -> float | str:
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number or auto") from None


def _train(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
        commands,
        "train",
        "train MAE, U-MAE, SimMIM or U-SimMIM, measure it on its graph, probe it",
        """\
Train a ViT masked autoencoder, measure every loss on the graph of its mask ratio, probe its features on held-out
images, and hold the theorems to it. Killed or interrupted, it goes on where it was with --resume.

  maskgraph train digits --method u-mae --mask-ratio 0.75
  maskgraph train fashion-mnist --method mae --mask-ratio 0.75 --size tiny --patch 4 --epochs 20 --device auto

Then:  maskgraph verify RUN   and   maskgraph report RUN""",
    )
    _add_data(parser)
    _add_graph(parser, max_masks=64)
    parser.add_argument("--method", default="mae", metavar="METHOD", help="mae (default), u-mae, simmim or u-simmim")
    parser.add_argument(
        "--mask-ratio",
        type=float,
        nargs="+",
        required=True,
        metavar="R",
        help="share of patches masked; one model for each",
    )
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="models for each ratio, seeds 0 to N-1 (1)")
    parser.add_argument("--size", default="micro", metavar="SIZE", help="micro (default), tiny, base or large")
    parser.add_argument("--epochs", type=int, default=50, metavar="N", help="passes over the training images (50)")
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="images a step (32)")
    parser.add_argument("--lr", type=float, default=1e-3, metavar="LR", help="peak learning rate of AdamW (1e-3)")
    parser.add_argument(
        "--accumulate", type=int, default=1, metavar="N", help="parts that a step's images are run in, for memory (1)"
    )
    parser.add_argument("--decoder-dim", type=int, metavar="D", help="width of MAE's decoder (the size's own)")
    parser.add_argument("--decoder-depth", type=int, metavar="N", help="blocks of MAE's decoder (the size's own)")
    parser.add_argument(
        "--bottleneck",
        type=int,
        metavar="K",
        help="let the decoder see one unit vector of dimension K and no token, as the theorems have it (none)",
    )
    parser.add_argument(
        "--target", default="pixels", metavar="T", help="pixels (default), or normalised: patch by patch"
    )
    parser.add_argument(
        "--distance", default="auto", metavar="E", help="squared, absolute, or auto (default): the method's own"
    )
    parser.add_argument(
        "--lambda",
        dest="lam",
        type=_number_or_auto,
        default=0.01,
        metavar="LAMBDA",
        help="weight of the uniformity loss (0.01, the paper's); auto: 1/(4L), L measured as training goes on",
    )
    parser.add_argument(
        "--feature",
        default="cls",
        metavar="F",
        help="feature that is made uniform: cls (default), mean, tokens (all that the decoder reads) or bottleneck",
    )
    parser.add_argument(
        "--final-norm", default="once", metavar="N", help="once (default), or twice as the reference code of U-MAE does"
    )
    parser.add_argument(
        "--no-diagonal",
        dest="diagonal",
        action="store_false",
        help="do not pair an image with itself in the uniformity loss, as the reference code does",
    )
    parser.add_argument(
        "--queue", type=int, default=0, metavar="N", help="features of earlier batches as further negatives (0)"
    )
    parser.add_argument("--device", default="auto", metavar="D", help="auto (default), cpu or cuda")
    parser.add_argument("--precision", default="auto", metavar="P", help="auto (default: bf16 on CUDA), fp32 or bf16")
    _add_run(parser)


def _study(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
        commands,
        "study",
        "a whole sweep: bounds, training, measurement, figures, report",
        """\
Run a study described in TOML: bound every graph, train every method at every mask ratio and seed, measure and probe
each model, draw the figures, write report.html. Interrupted, it goes on where it was with --resume.

  maskgraph study studies/digits.toml

A study holds [data] (dataset, patch, codebook, codes, held_out, ...), [graph] (mask_ratios, views, hops, max_masks,
mask) and [train] (methods, seeds, epochs, size, lam, feature, ...).""",
    )
    parser.add_argument("study", metavar="STUDY.toml", help="the study")
    _add_run(parser)


def _report(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
        commands,
        "report",
        "figures and report.html from a run's records",
        "Draw the figures of a run and write its report.html; nothing is computed anew.\n\n"
        "  maskgraph report runs/digits",
    )
    parser.add_argument("run", metavar="RUN_DIR", help="directory of a train or study")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help=DATASETS)
    _add_data_options(parser)


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "data",
        "A .npz holds labels (N,) integers, optional weights (N,), and either pixels (N, H, W[, C]), taken as they "
        "are, or codes (N, n) integers with an optional codebook (V, s) of patch values.",
    )
    group.add_argument(
        "--patch", type=int, metavar="P", help="side of a patch in pixels (digits 2, fashion-mnist 7, cifar 4)"
    )
    group.add_argument(
        "--codebook", metavar="KIND", help="how patches become codes: kmeans (default), threshold, exact"
    )
    group.add_argument(
        "--codes", type=int, metavar="V", help="number of codes (4); few codes: views repeat; many: images stay sharp"
    )
    group.add_argument("--images", type=int, metavar="N", help="draw N of the images (all)")
    group.add_argument(
        "--data-dir", metavar="DIR", help="where Fashion-MNIST's IDX files or CIFAR's binary version lie"
    )
    group.add_argument("--seed", type=int, default=0, metavar="S", help="of every draw: images, k-means, masks (0)")


def _add_graph(parser: argparse.ArgumentParser, max_masks: int = 2000) -> None:
    group = parser.add_argument_group("graph")
    group.add_argument(
        "--view",
        default="positional",
        metavar="VIEW",
        help="when two views are one vertex: positional (default, what a ViT sees), sequence, bag",
    )
    group.add_argument(
        "--mask", default="uniform", metavar="KIND", help="distribution of masks: uniform (default), block, grid"
    )
    group.add_argument(
        "--max-masks",
        "--masks",
        type=int,
        default=max_masks,
        metavar="N",
        help=f"all masks if there are at most N, else N drawn ({max_masks})",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="DIR", help="where the run is written (runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="finish the run that is in --out")
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes of one thread each (one a core)",
    )
