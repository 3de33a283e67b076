"""pytest plugin: `--maskgraph-ledger` prints what `maskgraph.testing.assert_holds` checked during a run.

pytest loads this module in every run of everybody who has maskgraph installed, so that it imports nothing but what is
loaded anyway; what the option needs is imported when the option is given.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from maskgraph.theory.check import Check

PROPERTY = "maskgraph_ledger"
"""Under this name a report's user_properties carry the checks of a test, as a JSON string: xdist's workers hand
reports to the controller that prints, and so does JUnit XML."""

_running: list[Ledger] = []
"""The ledgers of the pytest sessions of this process, innermost last: pytest can be run within a test of pytest."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("maskgraph").addoption(
        "--maskgraph-ledger",
        action="store_true",
        help="print the ledger of all theorems that assert_holds checked: verdicts, slack, and where it is lost",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start a ledger where the option is given."""
    if config.getoption("maskgraph_ledger"):
        ledger = Ledger()
        _running.append(ledger)
        config.pluginmanager.register(ledger, "maskgraph-ledger")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the ledger."""
    ledger = config.pluginmanager.unregister(name="maskgraph-ledger")
    if ledger in _running:
        _running.remove(ledger)


def record(checks: Iterable[Check]) -> None:
    """Note the checks of one call of `assert_holds`; nothing where no ledger was asked for or no test is running."""
    if _running and _running[-1].item is not None:
        _running[-1].note(checks)


class Ledger:
    """The checks of a run: noted where a test runs, gathered where its reports arrive."""

    def __init__(self) -> None:
        self.item: pytest.Item | None = None
        self._noted: list[list[dict[str, Any]]] = []
        self._gathered: dict[str, list[list[dict[str, Any]]]] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Know which test is running."""
        self.item, self._noted = item, []
        try:
            return (yield)
        finally:
            self.item = None

    def note(self, checks: Iterable[Check]) -> None:
        """Note one call's checks."""
        self._noted.append([_row(check) for check in checks])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Attach them to the test's last report, which is made after every fixture is torn down."""
        if call.when == "teardown" and self._noted:
            item.user_properties.append((PROPERTY, json.dumps(self._noted, allow_nan=False)))
            self._noted = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather them, from this process or from a worker of xdist."""
        for name, value in report.user_properties:
            if name == PROPERTY:
                # By test, so that one that is run again counts once.
                self._gathered[report.nodeid] = json.loads(str(value))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the ledger; a test that calls assert_holds several times is several models."""
        from maskgraph.ledger_text import ledger_text

        rows = [
            {"model": nodeid if number == 1 else f"{nodeid} #{number}", **row}
            for nodeid, calls in self._gathered.items()
            for number, call in enumerate(calls, 1)
            for row in call
        ]
        terminalreporter.write_sep("=", "maskgraph ledger")
        terminalreporter.write_line(ledger_text(rows) if rows else "no test called maskgraph.testing.assert_holds")


def _row(check: Check) -> dict[str, Any]:
    """What `ledger_text` reads of a check, in JSON's terms."""
    return {
        "statement": check.statement,
        "formula": check.formula,
        "sense": check.sense,
        "lhs": _finite(check.lhs),
        "rhs": _finite(check.rhs),
        "slack": _finite(check.slack),
        "verdict": check.verdict,
        "steps": [{"cause": s.cause, "value": _finite(s.value), "exact": s.exact} for s in check.steps],
        "note": check.note,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
