"""What three processes run in the test that components are dealt out: `python -m tests.theory.solver.dealt [doomed]`.

Doomed, the fourth process is killed at the first solve that it is handed, while the fifth is busy with its own.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from functools import partial
from typing import Any

import numpy as np

from maskgraph.theory.solver import krylov, search, torch_ranks
from maskgraph.theory.solver.host import Host
from maskgraph.theory.solver.torch_group import RankLostError
from maskgraph.theory.solver.torch_ranks import TorchRanks
from maskgraph.theory.spectrum import Spectrum, spectrum
from tests.theory.toys import joint_augmentation, random_joint, together

K = 30

BUSY = 3
"""Seconds; the others notice an end in much less."""


def told(found: Spectrum) -> dict[str, Any]:
    return {
        "values": found.values.tolist(),
        "tail": found.tail_sq,
        "interval": found.tail_sq_interval,
        "residual": float(found.residuals.max()),
    }


if __name__ == "__main__":
    doomed = sys.argv[1:] == ["doomed"]
    # Toys are otherwise solved at once, by the first process.
    vars(search).update(DENSE_SIDE=64, ROOM=40)
    vars(torch_ranks).update(DEALT=0)
    done: Counter[str] = Counter()
    real = {name: getattr(torch_ranks, name) for name in ("top_eigenpairs", "eigh")}

    def counted(name: str, *given: Any, **named: Any) -> Any:
        if doomed and os.environ["RANK"] == "3":
            os.kill(os.getpid(), signal.SIGKILL)
        if doomed and os.environ["RANK"] == "4":
            time.sleep(BUSY)
        done[name] += 1
        if name == "eigh":
            done["work"] += len(given[0]) * given[0].shape[1] ** 3
        return real[name](*given, **named)

    counting = {name: partial(counted, name) for name in real}
    vars(torch_ranks).update(counting)
    vars(krylov).update(top_eigenpairs=counting["top_eigenpairs"])
    ranks = TorchRanks()
    engine = Host(1, ranks)
    try:
        if not ranks.first:
            ranks.serve(engine)
        else:
            rng = np.random.default_rng(0)
            sides = [(420, 450), (450, 425), (470, 450), (441, 449), (460, 460), *[(12, 9), (7, 20), (12, 12)] * 4]
            graph = joint_augmentation(together(*[random_joint(rng, *side, 0.03) for side in sides]))
            exact = np.linalg.eigvalsh((graph.B @ graph.B.T).toarray())[::-1]
            answer = {"exact": exact[:K].tolist(), "tail": float((exact[K:] ** 2).sum())}
            answer |= {"dealt": told(spectrum(graph, K, engine=engine))}
            vars(krylov).update(top_eigenpairs=real["top_eigenpairs"])
            answer |= {"alone": told(spectrum(graph, K))}
            print(json.dumps(answer))
    except RankLostError as error:
        print(json.dumps({"error": str(error)}))
    finally:
        ranks.leave()
    print(json.dumps(done))
