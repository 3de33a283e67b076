"""Options that several commands share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from maskgraph.graphs.errors import LARGEST, did_you_mean, unknown

BAD_INPUT = 2
"""Exit code of bad input."""

REQUIRED = "the following arguments are required"
"""How argparse begins to say that something is missing."""

DATASETS = (
    "digits, fashion-mnist, cifar10, cifar100, mixture[:n=8,eta=0.3,classes=2], or the path of a .npz file or of a "
    "folder that holds train/CLASS/ with images"
)


class Parser(argparse.ArgumentParser):
    """Bad input is one line and an exit code."""

    _given: Sequence[str] = ()

    # argparse's is overloaded by the kind of its namespace; this one is only ever given the plain one.
    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does, but that the command itself, which knows its options, says that one is none."""
        self._given = sys.argv[1:] if args is None else list(args)
        options, others = super().parse_known_args(args, namespace)
        if others:
            self.error(self._unrecognised(others))
        return options, others

    def _unrecognised(self, others: Sequence[str]) -> str:
        given = next((one for one in others if one.startswith("-")), "").partition("=")[0]
        names = {name[2:] for name in self._option_string_actions if name.startswith("--")}
        meant = did_you_mean(given.lstrip("-"), names, "--").rstrip()
        return f"unrecognized arguments: {' '.join(others)}" + (f"; {meant}" if meant else "")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """As argparse does, in the words of all other unknown names; only the command is one of a list."""
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(None, str(unknown("command", value, action.choices)))

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end: what is required may be there under another name."""
        given = [one.partition("=")[0] for one in self._given if one.startswith("--")]
        others = [one for one in given if not any(name.startswith(one) for name in self._option_string_actions)]
        if others and message.startswith(REQUIRED):
            message = self._unrecognised(others)
        self.exit(BAD_INPUT, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def ratio(text: str) -> float:
    """A type of options: a mask ratio."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number; expected such as 0.75, several with spaces between them, and DATASET before all"
        ) from None


def whole(text: str) -> int:
    """A type of options: an integer, of no more digits than arrays have."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no integer; expected such as 64") from None
    if abs(value) > LARGEST:
        raise argparse.ArgumentTypeError(f"{text} is beyond the 64-bit integers; expected at most {LARGEST}")
    return value


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
Images of a folder that are S x S pixels are read as they are; of others the shorter side is resized to S*256/224
(S beyond 224) and the middle cut out. Where no image has colour one channel is left; transparency is dropped. What is
read how: docs/data.md.""",
    )
    group.add_argument(
        "--patch", type=whole, metavar="P", help="side of a patch in pixels (digits 2, fashion-mnist 7, cifar 4)"
    )
    group.add_argument(
        "--codebook", metavar="KIND", help="how patches become codes: kmeans (default), threshold, exact"
    )
    group.add_argument(
        "--codes", type=whole, metavar="V", help="number of codes (4); few codes: views repeat; many: images stay sharp"
    )
    group.add_argument("--images", type=whole, metavar="N", help="draw N of the images (all)")
    group.add_argument(
        "--image-size", type=whole, metavar="S", help="side in pixels that the images of a folder are read at"
    )
    group.add_argument(
        "--data-dir", type=path, metavar="DIR", help="where Fashion-MNIST's IDX files or CIFAR's binary version lie"
    )
    group.add_argument("--seed", type=whole, default=0, metavar="S", help="of every draw: images, k-means, masks (0)")


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
        type=whole,
        default=1,
        metavar="U",
        help="squares of U x U patches are kept or dropped as one (1)",
    )
    group.add_argument(
        "--max-masks",
        "--masks",
        type=whole,
        default=max_masks,
        metavar="N",
        help=f"all masks if there are at most N, else N drawn ({max_masks})",
    )


def add_run(parser: argparse.ArgumentParser, out: str, more: str) -> None:
    """Where a run is written, and how it is worked on.

    Args:
        parser: of the command.
        out: what stands in for --out.
        more: what a run may be resumed with more of.
    """
    parser.add_argument("--out", type=path, metavar="DIR", help=f"where the run is written ({out})")
    parser.add_argument("--resume", action="store_true", help=f"finish the run that is in --out, or add {more} to it")
    parser.add_argument(
        "--workers",
        type=whole,
        metavar="N",
        help="processes of one thread each; on a GPU one trains at a time (one a core)",
    )
