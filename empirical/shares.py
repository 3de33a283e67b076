"""How the images of a batch are dealt to the processes of a group, and to the parts that each of them runs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import nn

from maskgraph.empirical.group import Group


@dataclass(frozen=True)
class Part:
    """Some images of a batch, or none: then the batch's first stands there without weight.

    The last batch of an epoch may have fewer images than there are processes, each of which has to run something that
    gradients are shared after, and not all kernels take no image at all.

    Attributes:
        rows: which.
    """

    rows: slice

    @property
    def count(self) -> int:
        """How many images count."""
        return int(self.rows.stop - self.rows.start)

    @property
    def shown(self) -> slice:
        """The images that are run."""
        return self.rows if self.count else slice(0, 1)


def cuts(size: int, parts: int) -> list[int]:
    """Ends of `parts` parts of nearly one size; none is empty where there is enough for all."""
    return [size * part // parts for part in range(parts + 1)]


def own_parts(size: int, group: Group, accumulate: int = 1, pairs: bool = False) -> list[Part]:
    """The parts of a batch that this process runs, one after the other; at least one, as many in every process.

    What processes do in common, they do once or twice a part.

    Args:
        size: images of the batch.
        group: who shares it.
        accumulate: parts that each process cuts its images into, where there are enough.
        pairs: whether the first and the second image, the third and the fourth, and so on have to stay together.
    """
    if pairs:
        dealt = own_parts(-(-size // 2), group, accumulate)
        return [Part(slice(2 * part.rows.start, min(2 * part.rows.stop, size))) for part in dealt]
    first, last = cuts(size, group.count)[group.rank :][:2]
    parts = max(min(accumulate, size // group.count), 1)
    return [Part(slice(first + low, first + high)) for low, high in pairwise(cuts(last - first, parts))]


def synchronised(network: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Within it, a backward pass shares gradients if it is the last of a step: those of several are summed up first."""
    if isinstance(network, nn.parallel.DistributedDataParallel) and not last:
        return network.no_sync()
    return nullcontext()
