"""What three processes run in the test that they compute what one does: `-m tests.theory.solver.in_step ENGINE`."""

from __future__ import annotations

import json
import sys
from functools import partial

import numpy as np

from maskgraph.theory.solver import krylov
from maskgraph.theory.solver.engine import Engine
from maskgraph.theory.solver.goal import Goal
from maskgraph.theory.solver.host import HOST, Host
from maskgraph.theory.solver.pair import Pair
from maskgraph.theory.solver.torch_engine import TorchEngine
from maskgraph.theory.solver.torch_ranks import TorchRanks
from tests.theory.toys import joint_augmentation, random_joint

WANT = 5

if __name__ == "__main__":
    # Toys are otherwise left to the first process, or to a dense factorisation.
    vars(krylov).update(SHARED=0)
    ranks = TorchRanks()
    engine: Engine = Host(1, ranks) if sys.argv[1] == "host" else TorchEngine("cpu", ranks)
    try:
        if not ranks.first:
            ranks.serve(engine)
            sys.exit()
        for rows, columns in ((1100, 1300), (320, 300)):
            graph = joint_augmentation(random_joint(np.random.default_rng(1), rows, columns, 0.05))
            exact = np.linalg.eigvalsh((graph.B @ graph.B.T).toarray())[::-1]
            goal = Goal(WANT, float((exact**2).sum()), 2e-9, 1e-10, 7)
            pair, known = Pair(graph.B), np.sqrt(graph.p1)
            found, alone = (
                other.ranks.deal([(pair, known, goal)], partial(krylov.top_eigenpairs, engine=other))[0]
                for other in (engine, HOST)
            )
            answer = {
                "exact": exact[1 : WANT + 1].tolist(),
                "values": found.values.tolist(),
                "alone": alone.values.tolist(),
                "lower": found.bracket.lower[:WANT].tolist(),
                "upper": found.bracket.upper[:WANT].tolist(),
                "residuals": found.residuals.tolist(),
                "measured": np.linalg.norm(
                    graph.B @ (graph.B.T @ found.vectors) - found.vectors * found.values, axis=0
                ).tolist(),
                "defect": float(np.abs(found.vectors.T @ found.vectors - np.eye(WANT)).max()),
            }
            print(json.dumps(answer))
    finally:
        ranks.leave()
