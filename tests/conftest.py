"""Tests run on the CPU, where bits can be compared, even beside a GPU; whoever wants those that need one names it.

CUDA_VISIBLE_DEVICES=0 python -m pytest tests -k cuda
"""

from __future__ import annotations

import os

# CUDA reads it when something first asks for a GPU, which is after this and before the first test.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
