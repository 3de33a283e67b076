"""Arrays of the host on the device that trains."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def placed(array: NDArray[Any], device: torch.device) -> Tensor:
    """An array as a tensor of its type on a device.

    To a GPU the copy is only queued. From memory that the system may move, it would first wait until the GPU has done
    all that it was asked for, a step before with its backward pass, and the GPU would then wait for the host.

    Args:
        array: any.
        device: where; on a CPU the tensor shares the array's memory, on a GPU the array may be changed at once.
    """
    tensor = torch.as_tensor(array)
    if device.type == "cpu":
        return tensor
    # Numbers with gaps between them would be pinned with these, and for the copy laid out anew in memory that is not.
    # The pinned copy is kept by its allocator until the GPU has read it.
    return tensor.contiguous().pin_memory().to(device, non_blocking=True)
