"""What `maskgraph falsify` does once its options are parsed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from maskgraph.commands import OK, VIOLATED, print_json
from maskgraph.graphs.errors import InputError
from maskgraph.ledger_text import tightness_text
from maskgraph.progress import Progress


def falsify(options: argparse.Namespace) -> int:
    """`maskgraph falsify`: search small graphs for models that break a statement."""
    from maskgraph.theory.falsify import tightness
    from maskgraph.theory.statements import STATEMENTS, statement

    numbers = options.statement or [known.number for known in STATEMENTS if known.sense != "="]
    chosen = [statement(number) for number in numbers]
    progress = Progress("falsify")
    if options.counterexamples is not None:
        _check_of_counterexamples(options)
        return _counterexamples(numbers, Path(options.counterexamples), options.seed, progress)
    dim = 2 if options.dim is None else options.dim
    lipschitz = 1.0 if options.lipschitz is None else options.lipschitz
    rows = []
    for done, known in enumerate(chosen, start=1):
        rows.append(tightness(known, dim, lipschitz, options.seed))
        progress(done, len(chosen), known.number, done / len(chosen))
    if options.json:
        print_json({"dim": dim, "lipschitz": lipschitz, "seed": options.seed, "statements": rows})
    else:
        print(tightness_text(rows, dim, lipschitz))
    return VIOLATED if any(one["broken"] for row in rows for one in row["worlds"].values()) else OK


def _check_of_counterexamples(options: argparse.Namespace) -> None:
    """Raise InputError for an option of the search for tightness beside --counterexamples."""
    given = {"--dim": options.dim, "--lipschitz": options.lipschitz, "--json": options.json or None}
    for name, value in given.items():
        if value is not None:
            raise InputError(
                f"{name}{'' if value is True else f' {value}'} beside --counterexamples, which searches all models of "
                "dimension 1 and 2 and writes a file of JSON; leave it out"
            )


def _counterexamples(numbers: Sequence[str], path: Path, seed: int, progress: Progress) -> int:
    from maskgraph.empirical.records import check_writable, write_atomically
    from maskgraph.theory.counterexamples import find, needed_assumptions, to_json

    check_writable(path)
    wanted = [pair for pair in needed_assumptions() if pair[0] in numbers]
    found = []
    for done, (number, dropped) in enumerate(wanted, start=1):
        found.append(find(number, dropped, seed))
        progress(done, len(wanted), f"{number} without {dropped}", done / len(wanted))
    write_atomically(path, to_json(found).encode())
    print(path)
    return OK
