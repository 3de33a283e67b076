"""Every statement held to one model on one graph."""

from __future__ import annotations

from collections.abc import Sequence

from maskgraph.graphs.bipartite import MaskGraph, check_mask_graph
from maskgraph.graphs.errors import check_type
from maskgraph.theory.check import Check
from maskgraph.theory.outputs import Outputs, with_unit_features
from maskgraph.theory.statement import Statement
from maskgraph.theory.statements import STATEMENTS
from maskgraph.theory.terms import Terms


def ledger(graph: MaskGraph, outputs: Outputs, statements: Sequence[Statement] = STATEMENTS) -> list[Check]:
    """Hold statements to a model, each with its sides, steps, assumptions and verdict.

    What is missing or wrong about the model or the graph (a shape, a NaN, a feature of norm zero, no patch values,
    a gap 1 − λ_{k+1} of zero) costs only the rows that need it: their verdict is "assumption not met", and their
    note says why and how to mend it.

    Args:
        graph: the mask graph; all statements are about its target hop.
        outputs: the model. Its feature is normalised first, as the theorems take it.
        statements: which.

    Raises:
        InputError: no mask graph, no outputs, or something else than statements.
    """
    check_mask_graph(graph)
    check_type(outputs, Outputs, "give Outputs(f=...), or an encoder to maskgraph.testing.assert_holds")
    for one in statements:
        check_type(one, Statement, "find it by its number: statement(number) of maskgraph.theory.statements")
    terms = Terms(graph, with_unit_features(outputs))
    return [statement.measure(terms) for statement in statements]
