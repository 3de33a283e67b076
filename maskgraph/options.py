"""Options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from maskgraph.graphs.errors import did_you_mean

BAD_INPUT = 2
"""Exit code of bad input."""

DATASETS = (
    "digits, fashion-mnist, cifar10, cifar100, mixture[:n=8,eta=0.3,classes=2], or the path of a .npz file or of a "
    "folder that holds train/CLASS/ with images"
)


class Parser(argparse.ArgumentParser):
    """Bad input is one line and an exit code."""

    # argparse's is overloaded by the kind of its namespace; this one is only ever given the plain one.
    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does, but that the command itself, which knows its options, says that one is none."""
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            given = next((one for one in unknown if one.startswith("-")), "").partition("=")[0]
            names = {name[2:] for name in self._option_string_actions if name.startswith("--")}
            meant = did_you_mean(given.lstrip("-"), names, "--").rstrip()
            self.error(f"unrecognized arguments: {' '.join(unknown)}" + (f"; {meant}" if meant else ""))
        return options, unknown

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end."""
        self.exit(BAD_INPUT, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def path(text: str) -> str:
    """A type of options: a path, which is not empty."""
    if not text:
        raise argparse.ArgumentTypeError("'' is no path; expected that of a directory or of a file")
    return text


def command(commands: argparse._SubParsersAction[Parser], module: str, name: str, summary: str, text: str) -> Parser:
    """A parser of a command that the function `name` of `module` runs."""
    parser = commands.add_parser(
        name, help=summary, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(module=module)
    return parser


def add_data(parser: argparse.ArgumentParser) -> None:
    """The dataset, and how it is coded."""
    parser.add_argument("dataset", metavar="DATASET", help=DATASETS)
    add_data_options(parser)


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """How a dataset is coded."""
    group = parser.add_argument_group(
        "data",
        """\
A .npz holds labels (N,), integers from 0, optional weights (N,), and either pixels (N, H, W[, C]), numbers from 0 to 1
or bytes, the largest of which stands for 1, or codes (N, n), integers, with an optional codebook (V, s) of patch values
and an optional grid (2,), their rows and columns, which block and grid masks need.
Images of a folder that are S x S pixels are read as they are; of others the shorter side is resized to S*256/224 and
the middle cut out. Where no image has colour one channel is left; transparency is dropped. What is read how:
docs/data.md.""",
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
        "--image-size", type=int, metavar="S", help="side in pixels that the images of a folder are read at"
    )
    group.add_argument(
        "--data-dir", type=path, metavar="DIR", help="where Fashion-MNIST's IDX files or CIFAR's binary version lie"
    )
    group.add_argument("--seed", type=int, default=0, metavar="S", help="of every draw: images, k-means, masks (0)")


def add_graph(parser: argparse.ArgumentParser, max_masks: int = 2000) -> None:
    """The graph: views and masks."""
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
        "--mask-unit",
        type=int,
        default=1,
        metavar="U",
        help="squares of U x U patches are kept or dropped as one (1)",
    )
    group.add_argument(
        "--max-masks",
        "--masks",
        type=int,
        default=max_masks,
        metavar="N",
        help=f"all masks if there are at most N, else N drawn ({max_masks})",
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """Where a run is written, and how it is worked on."""
    parser.add_argument("--out", type=path, metavar="DIR", help="where the run is written (runs/NAME)")
    parser.add_argument(
        "--resume", action="store_true", help="finish the run that is in --out, or add seeds and methods to it"
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes of one thread each (one a core)",
    )
