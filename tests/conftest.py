"""Tests run on the CPU, where bits can be compared, even beside a GPU.

    MASKGRAPH_GPU=1 python -m pytest tests -k cuda

runs those that need one.
"""

from __future__ import annotations

import os

# CUDA looks at it when something first asks for a GPU: after this, and before the first test. A queue may have set it.
if "MASKGRAPH_GPU" not in os.environ:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
