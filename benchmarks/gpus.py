"""What is known of a GPU: the rate that its maker states, and what nvidia-smi says of it."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import torch

STATED = {
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200 NVL": 835e12,
    "H200": 989e12,
    "A100": 312e12,
}
"""Dense bfloat16 operations a second by a part of the name, the first that fits, as their maker states them."""

ASKED = ("driver_version", "clocks.sm", "clocks.max.sm", "power.draw", "power.limit", "temperature.gpu")
"""What nvidia-smi is asked for: a GPU that is hot, or held to less power, is a slower one."""


def stated(name: str) -> float | None:
    """The bfloat16 rate of a device of this name, where it is known."""
    return next((rate for part, rate in STATED.items() if part in name), None)


def asked(device: torch.device) -> dict[str, str]:
    """What nvidia-smi says of a GPU at this moment; nothing of a CPU, or where it is not there."""
    if device.type != "cuda" or shutil.which("nvidia-smi") is None:
        return {}
    own = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    command = ["nvidia-smi", f"--query-gpu={','.join(ASKED)}", "--format=csv,noheader", "-i", own]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return {} if done.returncode else dict(zip(ASKED, done.stdout.strip().split(", "), strict=True))


def described(device: torch.device) -> dict[str, Any]:
    """The device and the versions that its kernels hang on."""
    if device.type != "cuda":
        return {"device": "cpu"}
    return {
        "device": torch.cuda.get_device_name(device),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "driver": asked(device).get("driver_version"),
    }
