"""A GPU where there is none: its tensors lie in the host's memory, and it refuses and waits where a GPU would.

Operations run on the host with the values that they have there, so that whole trainings can be compared. What mixes
devices is an error; what makes the host wait for the GPU is noted; a CUDA graph is a tape of operations, which replays
them on the memory that they were captured with. Kernels, autocast and the order of streams are not emulated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch

# Under a mode that sees every operation its import would be one of them.
import torch._dynamo
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

GPU = torch.device("cuda", 0)

ops = torch.ops.aten

WAITS = (ops._local_scalar_dense, ops.nonzero, ops.masked_select, ops._unique2, ops.equal)
"""Operations whose result the host needs before it goes on."""

INDEXED = (ops.index, ops.index_put, ops.index_put_, ops._index_put_impl_, ops._unsafe_index)
"""Operations whose indices may lie on the host."""


class OnGpu(Tensor):
    """A tensor of the emulated GPU.

    Attributes:
        value: what it holds, on the host.
    """

    value: Tensor
    is_cuda, is_cpu, is_meta = True, False, False
    # torch annotates these three as a method, a plain attribute and for a class that answers for itself; its own
    # subclasses set them so, too.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls: type[OnGpu], value: Tensor) -> OnGpu:
        shell = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
        made = torch.Tensor._make_subclass(cls, shell, False, device_for_backend_keys=GPU)
        made.value = value
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return GPU

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise AssertionError(f"{func} outside of the emulation")


class Emulation(TorchDispatchMode):
    """What runs the operations.

    Attributes:
        waits: what made the host wait, in order.
    """

    def __init__(self) -> None:
        # torch leaves its modes without annotations.
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits: list[str] = []
        self._tape: list[tuple[Any, Any, Any, Any]] | None = None
        self._before: dict[int, tuple[Tensor, Any]] = {}
        self._made: set[int] = set()

    @property
    def capturing(self) -> bool:
        """Whether operations go into a graph."""
        return self._tape is not None

    def capture(self) -> None:
        """Begin a graph."""
        self._tape, self._before, self._made = [], {}, set()

    def captured(self) -> list[tuple[Any, Any, Any, Any]]:
        """End it: what was in memory before is as it was, as nothing has run yet."""
        tape, self._tape = self._tape, None
        for tensor, storage in self._before.values():
            tensor.untyped_storage().copy_(storage)
        assert tape is not None
        return tape

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.ops.prim.device.default:
            return GPU
        # Which kernel of attention: the one that is written out.
        if func is ops._fused_sdp_choice.default:
            return 0
        if func is ops.is_pinned.default:
            return hasattr(args[0], "pinned")
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        here = any(isinstance(tensor, OnGpu) for tensor in tensors)
        asked = None if kwargs.get("device") is None else torch.device(kwargs["device"])
        if asked is not None and asked.type in ("cuda", "meta"):
            # What C++ makes beside a tensor of the emulation is where that pretends to be.
            asked, kwargs["device"] = GPU, torch.device("cpu")
        self._look(func, args, tensors, asked, bool(kwargs.get("non_blocking")))
        # All but what is made for the host alone; a copy is where it is copied to.
        gpu = asked == GPU or (asked is None and here and isinstance(args[0], OnGpu | list | tuple))
        if func is ops._pin_memory.default:
            pinned = torch.empty_strided(args[0].shape, args[0].stride(), dtype=args[0].dtype).copy_(args[0])
            # A mark of our own, which torch's annotations cannot know.
            pinned.pinned = True  # type: ignore[attr-defined]
            return pinned
        pinned = kwargs.pop("pin_memory", False)
        plain, named = tree_map(_value, (args, kwargs))
        self._keep(func, plain, named)
        out = func(*plain, **named)
        if torch.Tag.inplace_view in func.tags and isinstance(args[0], OnGpu):
            with torch._C._DisableTorchDispatch():
                func(*args, **kwargs)
        if self._tape is not None and (gpu or here):
            self._tape.append((func, plain, named, out))
            self._made |= {_place(tensor) for tensor in _fresh(out, plain, named)}
        if pinned:
            out.pinned = True
        known = {id(_value(tensor)): tensor for tensor in tensors}

        def wrapped(one: Any) -> Any:
            if not isinstance(one, Tensor) or id(one) in known:
                return known.get(id(one), one)
            return OnGpu(one) if gpu else one

        return tree_map(wrapped, out)

    def _look(self, func: Any, args: Any, tensors: list[Tensor], asked: torch.device | None, queued: bool) -> None:
        """Note what waits, and refuse what mixes devices."""
        packet = func.overloadpacket
        host = [tensor for tensor in tensors if not isinstance(tensor, OnGpu) and tensor.ndim]
        if asked != GPU and not any(isinstance(tensor, OnGpu) for tensor in tensors):
            return
        if func is ops._to_copy.default:
            down, up = isinstance(args[0], OnGpu) and asked not in (None, GPU), asked == GPU and bool(host)
            # What has gaps is laid out anew before it is copied, and that is pinned no more.
            if down or (up and not (queued and hasattr(args[0], "pinned") and args[0].is_contiguous())):
                self._wait("a copy " + ("to the host" if down else "to the GPU"))
        elif func is ops.copy_.default:
            if isinstance(args[0], OnGpu) != isinstance(args[1], OnGpu):
                self._wait("a copy between devices")
        elif packet in INDEXED:
            index = [tensor for tensor in args[1] if tensor is not None]
            if any(tensor.dtype == torch.bool or not isinstance(tensor, OnGpu) for tensor in index):
                self._wait("an index that is on the host, or of truths")
            assert isinstance(args[0], OnGpu), "an index that is on the GPU into a tensor that is not"
        elif packet in WAITS:
            self._wait(str(func))
        else:
            assert not host, f"{func} of tensors on two devices"

    def _wait(self, what: str) -> None:
        assert self._tape is None, f"{what} in a CUDA graph"
        self.waits.append(what)

    def _keep(self, func: Any, args: Any, kwargs: Any) -> None:
        """Keep what a captured operation is about to overwrite."""
        if self._tape is None:
            return
        for index, argument in enumerate(func._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                for tensor in tree_leaves(args[index] if index < len(args) else kwargs.get(argument.name)):
                    if isinstance(tensor, Tensor) and _place(tensor) not in self._made | self._before.keys():
                        self._before[_place(tensor)] = tensor, tensor.untyped_storage().clone()


class Graph:
    """A CUDA graph: the operations, with the memory that they are of."""

    tape: list[tuple[Any, Any, Any, Any]]

    def replay(self) -> None:
        """Run them again."""
        with _disable_current_modes():
            for func, args, kwargs, out in self.tape:
                again = tree_leaves(func(*args, **kwargs))
                fresh = {_place(tensor) for tensor in _fresh(out, args, kwargs)}
                for old, new in zip(tree_leaves(out), again, strict=True):
                    if isinstance(old, Tensor) and _place(old) in fresh:
                        old.copy_(new)


class Stream:
    """One stream, and all of them: operations run in the order in which they are asked for."""

    def __init__(self, emulation: Emulation) -> None:
        self._emulation = emulation

    def wait_stream(self, _: Stream) -> None:
        """Nothing."""

    def is_capturing(self) -> bool:
        """Whether operations go into a graph."""
        return self._emulation.capturing


def _value(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, OnGpu) else leaf


def _place(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _fresh(out: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """Results in memory of their own."""
    given = {_place(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
    return [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor) and _place(leaf) not in given]


@contextmanager
def emulated() -> Iterator[Emulation]:
    """Within it `GPU` is there."""
    emulation = Emulation()

    @contextmanager
    def graph(one: Graph) -> Iterator[None]:
        emulation.capture()
        try:
            yield
        finally:
            one.tape = emulation.captured()

    # A class, as annotations of what is imported meanwhile name it.
    generator: Any = torch.Generator
    host = type("Generator", (generator,), {"__new__": lambda cls, _=None: generator.__new__(cls, "cpu")})

    cuda: dict[str, Any] = {
        "is_available": lambda: True,
        "is_bf16_supported": lambda *_: True,
        "_lazy_init": lambda: None,
        "current_stream": lambda: Stream(emulation),
        "is_current_stream_capturing": lambda: emulation.capturing,
        "Stream": lambda: Stream(emulation),
        "stream": lambda _: nullcontext(),
        "CUDAGraph": Graph,
        "graph": graph,
        "mem_get_info": lambda _: (2**36, 2**36),
        "memory_reserved": lambda _: 0,
        "memory_allocated": lambda _: 0,
    }
    accelerator: dict[str, Any] = {
        "current_accelerator": lambda check_available=False: GPU,
        "current_stream": lambda: Stream(emulation),
    }
    convert, lifted = torch.__future__.set_overwrite_module_params_on_conversion, torch._C._only_lift_cpu_tensors()
    with ExitStack() as stack:
        for name, value in cuda.items():
            stack.enter_context(patch.object(torch.cuda, name, value))
        for name, value in accelerator.items():
            stack.enter_context(patch.object(torch.accelerator, name, value))
        stack.enter_context(patch.object(torch, "Generator", host))
        # A parameter of the host cannot be given what is on the GPU, but replaced.
        convert(True)
        stack.callback(convert, False)
        # What is made of arrays and lists is made on the host, and moved by operations that are seen.
        torch._C._set_only_lift_cpu_tensors(True)
        stack.callback(torch._C._set_only_lift_cpu_tensors, lifted)
        stack.enter_context(emulation)
        yield emulation
