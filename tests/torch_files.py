"""Legacy PyTorch files for tests, as torch.save wrote them before PyTorch 1.6; PyTorch itself is not needed."""

import io
import pickle
import sys
from collections import OrderedDict
from collections.abc import Mapping
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np


class FloatStorage:
    """Stands for PyTorch's."""


class LongStorage:
    """Stands for PyTorch's."""


def _rebuild_tensor_v2(*_: Any) -> None:
    """Stands for PyTorch's."""


for one, module in ((FloatStorage, "torch"), (LongStorage, "torch"), (_rebuild_tensor_v2, "torch._utils")):
    one.__module__ = module


class Storage:
    """The numbers of one tensor, or of several."""

    def __init__(self, numbers: np.ndarray) -> None:
        self.numbers = numbers


class Tensor:
    """A view of a storage."""

    def __init__(self, view: np.ndarray, storage: Storage) -> None:
        self.view, self.storage = view, storage

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        size = self.view.itemsize
        base = self.storage.numbers
        offset = (self.view.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // size
        strides = tuple(stride // size for stride in self.view.strides)
        return _rebuild_tensor_v2, (self.storage, offset, self.view.shape, strides, False, OrderedDict())


class Pickler(pickle.Pickler):
    """Of tables: storages are only named."""

    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, Storage):
            return None
        kind = FloatStorage if obj.numbers.dtype == "float32" else LongStorage
        return "storage", kind, str(id(obj)), "cpu", obj.numbers.size, None


def legacy(tensors: Mapping[str, np.ndarray], shared: np.ndarray | None = None) -> bytes:
    """A file of these tensors.

    Args:
        tensors: float32 or int64.
        shared: the array of which all tensors of its kind are views.
    """
    common = None if shared is None else Storage(shared)
    table = OrderedDict()
    for name, view in tensors.items():
        is_shared = common is not None and view.dtype == common.numbers.dtype
        table[name] = Tensor(view, common if common and is_shared else Storage(view.reshape(-1)))
        table[name].view = view if is_shared else table[name].storage.numbers.reshape(view.shape)
    table._metadata = OrderedDict(version=1)  # type: ignore[attr-defined]
    modules = {name: ModuleType(name) for name in ("torch", "torch._utils")}
    for one in (FloatStorage, LongStorage, _rebuild_tensor_v2):
        setattr(modules[one.__module__], one.__name__, one)
    sink = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}):
        pickle.dump(value, sink, protocol=2)
    with mock.patch.dict(sys.modules, modules):
        Pickler(sink, protocol=2).dump(table)
    storages = {str(id(tensor.storage)): tensor.storage for tensor in table.values()}
    pickle.dump(sorted(storages), sink, protocol=2)
    for name in sorted(storages):
        numbers = storages[name].numbers
        sink.write(numbers.size.to_bytes(8, "little") + numbers.tobytes())
    return sink.getvalue()
