"""What pointers and dvc.lock name, whatever state they are in."""

from pathlib import Path

import pytest

from pipeline.data import references
from pipeline.data.references import IMAGES, OTHERS, OUTPUTS

A, B, C = "a" * 32, "b" * 32, "c" * 32


def pointer(digest: str, kind: str = "md5") -> bytes:
    return f"outs:\n- md5: {digest}\n  hash: {kind}\n  path: first\n".encode()


def test_a_conflict_and_a_pointer_of_dvc_2_mention_what_they_name() -> None:
    conflict = b"<<<<<<< ours\n" + pointer(f"{A}.dir") + b"=======\n" + pointer(B) + b">>>>>>> theirs\n\xff"
    assert references.mentioned(conflict) == {f"{A}.dir", B}
    assert references.mentioned(b"rev_lock: " + b"d" * 40) == set(), "a commit"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("data/images/first.dvc", IMAGES),
        ("data/images/2026/first.dvc", IMAGES),
        ("data/images.dvc", IMAGES),
        ("data/weights/net.npz.dvc", OTHERS),
        ("data/images2/first.dvc", OTHERS),
    ],
)
def test_where_a_pointer_lies_says_what_it_tracks(path: str, kind: str) -> None:
    assert references.tracked(path, pointer(f"{A}.dir"), Path("data/images")) == {f"{A}.dir": kind}


def test_a_lock_names_what_stages_wrote_and_not_what_they_read() -> None:
    lock = f"""stages:
  train:
    deps: [{{path: d, hash: md5, md5: {A}}}]
    outs: [{{path: o, hash: md5, md5: {B}}}, {{path: p, hash: md5, md5: {C}.dir}}]
  resolve: {{cmd: x}}
"""
    assert references.tracked("dvc.lock", lock.encode(), Path("data/images")) == {B: OUTPUTS, f"{C}.dir": OUTPUTS}


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"outs: 1", b"outs: [1]", b"stages: [1]", b"stages: {train: 1}", b"outs: [{md5: x, hash: md5}]",
     b"\xff", b"{", pointer(A, "md5-dos2unix")],
)  # fmt: skip
@pytest.mark.parametrize("path", ["data/images/first.dvc", "dvc.lock"])
def test_what_cannot_be_read_is_not_known_to_be_of_this_project(path: str, content: bytes) -> None:
    assert references.tracked(path, content, Path("data/images")) == {}
