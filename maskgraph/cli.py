"""The command line: parse, run one command, turn bad input into one sentence and an exit code.

Exit codes: 0 done; 1 a theorem was found violated (`verify`, `falsify`); 2 bad input, too little memory, or nowhere to
write; 3 training diverged, a solve did not converge or another process was lost; 130 interrupted, by SIGTERM too where
a run can be gone on with.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TextIO

from maskgraph import __version__, theory_options, training_options
from maskgraph.graphs.errors import InputError
from maskgraph.options import BAD_INPUT, Parser
from maskgraph.theory.solver.ranks import local_rank, processes, rank

OK, VIOLATED, FAILED, INTERRUPTED = 0, 1, 3, 130

STDOUT, STDERR = 1, 2
"""Numbers of the streams."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: of the command; those of the process when None.
    """
    _reopen()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal or a pipe that knows no dash, and a name of a file that is no text, cost that letter alone.
        sys.stdout.reconfigure(errors="replace")
    options = _parse(arguments)
    try:
        # Slow to import, and only when there is something to do: --help answers at once.
        code = int(getattr(import_module(options.module), options.command)(options))
        sys.stdout.flush()
        return code
    except InputError as error:
        # The processes that torchrun started on one machine all meet the same.
        if local_rank() == 0:
            _say(f"maskgraph: error: {error}")
        return BAD_INPUT
    except ArithmeticError as failure:
        _say(f"maskgraph: {failure}")
        return FAILED
    except KeyboardInterrupt as interruption:
        _say(f"\nmaskgraph: interrupted. {interruption}".rstrip())
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing is wrong, and nothing more can be said to it.
        _hush(sys.stdout)
        return OK
    except OSError as failure:
        mend = "give a shorter one" if failure.errno == errno.ENAMETOOLONG else "free some space or write elsewhere"
        _say(f"maskgraph: error: {failure}; {mend}, then repeat")
        _hush(sys.stdout)
        return BAD_INPUT
    except (MemoryError, RuntimeError) as failure:
        if (reason := _without_memory(failure)) is None:
            raise
        _say(
            f"maskgraph: error: out of memory: {reason}; free some, or make it smaller: a graph by --images, "
            "--max-masks, --codes or --view, a training by --images or --batch"
        )
        return BAD_INPUT


def _without_memory(failure: Exception) -> str | None:
    """What is said of a want of memory, or None where the failure is of something else."""
    if isinstance(failure, MemoryError):
        return str(failure) or "no more can be had"
    # Of PyTorch it is a RuntimeError; where that is not loaded there is none.
    if "torch" not in sys.modules:
        return None
    from maskgraph.empirical.footprint import ran_out

    return ran_out(failure)


def _say(text: str) -> None:
    """One line on stderr; where that cannot be written either, the exit code says it alone."""
    try:
        print(text, file=sys.stderr)
    except OSError:
        _hush(sys.stderr)


def _hush(stream: TextIO) -> None:
    """Let what a stream still holds, and is written when the interpreter ends, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _reopen() -> None:
    """Give a process that was started with closed streams some that swallow what it says."""
    # The next file that is opened would get the number of what is closed, and hear what is written there.
    while (handle := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(handle)
    for number, name in ((STDOUT, "stdout"), (STDERR, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w"))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    # All processes that torchrun started parse the same, and the first one speaks.
    with contextlib.ExitStack() as silence:
        if rank() > 0:
            silence.enter_context(contextlib.redirect_stdout(io.StringIO()))
            silence.enter_context(contextlib.redirect_stderr(io.StringIO()))
        parser = _parser()
        options = parser.parse_args(arguments)
        if processes() > 1 and options.command not in ("bound", "recipe"):
            parser.error(
                f"torchrun started {processes()} processes and {options.command} runs in one; start it without torchrun"
            )
    return options


def _parser() -> Parser:
    parser = Parser(
        prog="maskgraph",
        description="The theory of masked autoencoders, computed and put to the test.",
        epilog="Start with:  maskgraph bound digits --mask-ratio 0.25 0.5 0.75 --view bag",
    )
    parser.add_argument("--version", action="version", version=f"maskgraph {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    theory_options.bound(commands)
    theory_options.verify(commands)
    theory_options.falsify(commands)
    theory_options.findings(commands)
    training_options.train(commands)
    training_options.study(commands)
    training_options.recipe(commands)
    training_options.report(commands)
    return parser
