import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_files import legacy

from pipeline.base.errors import DataError
from pipeline.learning import torch_file


def test_tensors_are_read_by_their_strides_and_offsets_from_shared_storages() -> None:
    numbers = np.arange(24, dtype="float32")
    turned = numbers[4:].reshape(5, 4).T
    content = legacy(
        {"a.weight": numbers[:4], "a.turned": turned, "a.count": np.array(7, dtype="int64")}, shared=numbers
    )
    read = torch_file.read(io.BytesIO(content), "file.pth")
    assert list(read) == ["a.weight", "a.turned", "a.count"]
    np.testing.assert_array_equal(read["a.weight"], [0, 1, 2, 3])
    np.testing.assert_array_equal(read["a.turned"], turned)
    assert read["a.count"].dtype == "int64"
    assert read["a.count"] == 7


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


WHOLE = legacy({"weight": np.ones((2, 3), "float32")})
TABLE = WHOLE.index(b"collections") - 3


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "pickle exhausted"),
        (b"PK\x03\x04" + bytes(30), "no newline found"),
        (pickle.dumps({"weight": 1}, protocol=2), "no such file"),
        (pickle.dumps(Evil(), protocol=2), "its table calls __builtin__ getattr"),
        (WHOLE[:TABLE] + pickle.dumps({"weight": Evil()}, protocol=2), "its table calls __builtin__ getattr"),
        (WHOLE[:TABLE] + pickle.dumps({"weight": Evil()}, protocol=4), "its table has the operation"),
        (WHOLE[:-4], "buffer is smaller than requested"),
        (WHOLE.replace(b"FloatStorage", b"EvilsStorage"), "torch EvilsStorage"),
        (WHOLE.replace(b"_rebuild_tensor_v2", b"_rebuild_tensor_v9"), "calls torch._utils _rebuild_tensor_v9"),
        (WHOLE.replace(b"K\x02K\x03\x86", b"K\x09K\x03\x86"), "a tensor is larger than its storage"),
    ],
    ids=["empty", "ZIP", "dict", "code", "code in it", "newer", "cut off", "storage", "call", "bounds"],
)
def test_what_is_no_such_file_is_refused_and_runs_nothing(
    content: bytes, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DataError, match=rf"file.pth: not a legacy PyTorch file of plain tensors \(.*{why}.*get it anew"
    ):
        torch_file.read(io.BytesIO(content), "file.pth")
    assert not Path("ran").exists()
