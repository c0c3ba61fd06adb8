"""Legacy PyTorch files: their arrays, read without unpickling anything.

Such a file (`torch.save` before PyTorch 1.6) is five pickles: a number by which it is told, the version, the sizes of
types, the table of tensors, and the names of storages. Then comes each storage: its length in 8 bytes, and its numbers.
A pickle is a program. Python's `pickletools` lists its operations and runs none; the few that such a table needs are
done here, and none is a call.
"""

import pickletools
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from pipeline.base.errors import DataError, one_line

if TYPE_CHECKING:
    import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
"""The number that such a file begins with."""

KINDS = {"torch FloatStorage": "<f4", "torch LongStorage": "<i8"}
"""Storages, by the kinds of NumPy that they are read as."""

TENSOR, DICT = "torch._utils _rebuild_tensor_v2", "collections OrderedDict"
"""The only things that a table calls."""

PLAIN = {"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "GLOBAL"}
"""Operations that give their argument; of a global, its name."""

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": ...}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read(file: IO[bytes], name: str) -> "dict[str, np.ndarray]":
    """The arrays of a legacy PyTorch file.

    Args:
        file: open for reading, at its beginning.
        name: of it, for errors.

    Raises:
        DataError: it is no such file, is damaged, or its table is made of more than names and numbers.
    """
    try:
        if _value(file) != MAGIC:
            raise ValueError("no such file")
        _value(file), _value(file)
        tensors: dict[str, Any] = _value(file)
        storages = _storages(file, {tensor[0][2]: tensor[0][1] for tensor in tensors.values()})
        return {key: _array(tensor, storages) for key, tensor in tensors.items()}
    except Exception as error:  # noqa: BLE001 - a damaged file may look like anything
        raise DataError(
            f"{name}: not a legacy PyTorch file of plain tensors ({one_line(error)}); expected one as torch.save wrote "
            "it before PyTorch 1.6; get it anew"
        ) from None


def _value(file: IO[bytes]) -> Any:
    """What one pickle is the program of. A tensor is what it would be made from."""
    stack: list[Any] = []
    memory: dict[int, Any] = {}
    for operation, argument, _ in pickletools.genops(file):
        name = operation.name
        if name in PLAIN:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name in ("BINPUT", "LONG_BINPUT"):
            memory[int(argument)] = stack[-1]  # type: ignore[arg-type]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memory[int(argument)])  # type: ignore[arg-type]
        elif name in TUPLES:
            stack[-TUPLES[name] :] = [tuple(stack[-TUPLES[name] :])]
        elif name == "TUPLE":
            stack.append(tuple(_since_mark(stack)))
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else _since_mark(stack)
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else _since_mark(stack)
            stack[-1].extend(items)
        elif name == "REDUCE":
            called, given = stack.pop(-2), stack.pop()
            if called not in (TENSOR, DICT):
                raise ValueError(f"its table calls {called}")
            stack.append({} if called == DICT else given)
        elif name == "BUILD":  # sets attributes of a dict, which say nothing about the tensors
            stack.pop()
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "BINPERSID"):  # of a storage only its name is noted
            raise ValueError(f"its table has the operation {name}")
    return None


def _since_mark(stack: list[Any]) -> list[Any]:
    """Take what came after the last mark, and the mark."""
    place = len(stack) - 1 - next(number for number, value in enumerate(reversed(stack)) if value is ...)
    items = stack[place + 1 :]
    del stack[place:]
    return items


def _storages(file: IO[bytes], kinds: Mapping[str, str]) -> "dict[str, np.ndarray]":
    """The numbers of each storage, by its name.

    Args:
        file: where the list of names begins.
        kinds: of storages, by name.
    """
    import numpy as np

    storages = {}
    for name in _value(file):
        kind, count = np.dtype(KINDS[kinds[name]]), int.from_bytes(file.read(8), "little")
        storages[name] = np.frombuffer(file.read(count * kind.itemsize), kind, count)
    return storages


def _array(tensor: Any, storages: "Mapping[str, np.ndarray]") -> "np.ndarray":
    """A tensor: a view of a storage, by its offset, its shape and its strides, as a copy."""
    import numpy as np

    (_, _, storage, *_), offset, shape, strides, *_ = tensor
    numbers = storages[storage]
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if min(offset, last, *shape, *strides, 0) < 0 or last >= len(numbers):
        raise ValueError("a tensor is larger than its storage")
    steps = [stride * numbers.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps).copy()
