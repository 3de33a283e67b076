"""What graphs are found to be like: one function a finding, each computing what its page says.

A finding's sentences are put together from the numbers beside them, so that none can be true on one machine and
printed on another. What does not reproduce on a world is said there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from maskgraph.graphs.errors import unknown
from maskgraph.theory.findings.bootstrap import bootstrap_coverage
from maskgraph.theory.findings.features import uniformity_is_rank
from maskgraph.theory.findings.finding import Finding
from maskgraph.theory.findings.image_hop import image_hop
from maskgraph.theory.findings.labels import inter_class_mass, target_side
from maskgraph.theory.findings.samples import finite_samples
from maskgraph.theory.findings.spectrum import head_not_tail, rho_symmetry
from maskgraph.theory.findings.views import positional_views

FINDINGS: dict[str, Callable[[], Finding]] = {
    "positional-views": positional_views,
    "rho-symmetry": rho_symmetry,
    "head-not-tail": head_not_tail,
    "target-side-label-error": target_side,
    "inter-class-mass": inter_class_mass,
    "image-hop": image_hop,
    "uniformity-is-rank": uniformity_is_rank,
    "finite-samples": finite_samples,
    "bootstrap-coverage": bootstrap_coverage,
}


def compute(name: str) -> Finding:
    """The finding of that name, computed on one BLAS thread.

    The matrices are small: more threads change the last bits from machine to machine, and where the cores are busy they
    wait for each other ten times longer than the work takes.

    Args:
        name: a key of `FINDINGS`.

    Raises:
        InputError: no such finding.
    """
    from threadpoolctl import threadpool_limits  # only where something is computed

    check_findings([name])
    with threadpool_limits(1):
        return FINDINGS[name]()


def check_findings(names: Sequence[str]) -> None:
    """Raise InputError for a name that is no finding."""
    for name in names:
        if name not in FINDINGS:
            raise unknown("finding", name, FINDINGS)
