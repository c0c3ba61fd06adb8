"""Malicious and broken records of a registry: descriptions, lineages, arrays, tables, tags; see `test_hostile.py`."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples
from canaries import Sings
from shelves import Shelf

from pipeline.artifacts.evaluation import Judgement
from pipeline.artifacts.lineage import LEDGER, Lineage
from pipeline.artifacts.model import Description
from pipeline.artifacts.proof import Proof
from pipeline.base import files
from pipeline.base.errors import LostError, ModelError, UnreadableError
from pipeline.learning import architecture, model
from pipeline.learning.settings import Network, OwnNetworks
from pipeline.registry.client import LINEAGE
from pipeline.registry.version import DECIDED, MADE, Version, created

pytestmark = pytest.mark.project  # loads MLflow and TensorFlow


# 1. JSON of the registry.

DESCRIBED = {"architecture": "small_cnn", "image_shape": [16, 16, 3], "labels": ["cat", "dog"], "temperature": 1.5}
WHOLE = json.dumps(DESCRIBED).encode()

DESCRIPTIONS: dict[str, Any] = {
    "nesting without end": b"[" * 1_000_000,
    "an object in itself, deep": b'{"architecture":' * 100_000,
    "another encoding": json.dumps(DESCRIBED).encode("utf-16"),
    "bytes that are no text": b'{"architecture": "\xff\xfe"}',
    "half a character": b'{"architecture": "\\ud800", "image_shape": [8, 8, 3], "labels": ["a"]}',
    "a key twice": WHOLE.replace(b"{", b'{"architecture": "os:system", '),
    "no JSON": b"architecture: small_cnn",
    "nothing": b"",
    "a list": b"[]",
    "a number of 5,000 digits": WHOLE.replace(b"16", b"1" + b"0" * 5000),
    "a network that is an expression": {"architecture": "__import__('os').system('x'):f"},
    "a network by a path": {"architecture": "../evil:net"},
    "a network in a package that goes up": {"architecture": "..evil:net"},
    "two functions": {"architecture": "a:b:c"},
    "a line break in a name": {"architecture": "small_cnn\nx"},
    "a name without end": {"architecture": "a" * 10_000},
    "a network that is a number": {"architecture": 7},
    "huge images": {"image_shape": [10**9, 10**9, 3]},
    "images of no pixels": {"image_shape": [0, 0, 3]},
    "other channels": {"image_shape": [16, 16, 4]},
    "no squares": {"image_shape": [16, 8, 3]},
    "a side that is a truth": {"image_shape": [True, True, 3]},
    "a side that is a fraction": {"image_shape": [16.0, 16.0, 3]},
    "a side more": {"image_shape": [16, 16, 3, 3]},
    "no labels": {"labels": []},
    "a label twice": {"labels": ["cat", "cat"]},
    "an empty label": {"labels": ["", "cat"]},
    "a label of control characters": {"labels": ["cat\u001b[2J", "dog"]},
    "a label without end": {"labels": ["c" * 10_000, "dog"]},
    "labels that are a text": {"labels": "cat"},
    "no temperature that is": {"temperature": float("nan")},
    "an infinite temperature": WHOLE.replace(b"1.5", b"1e999"),
    "a temperature below zero": {"temperature": -1.0},
    "a temperature as text": {"temperature": "1"},
    "another fit": {"fit": "zoom"},
    "a cut that is code": {"frozen": {"cut": "last 1 blocks; x", "weights": "f" * 32}},
    "weights by a path": {"frozen": {"cut": "head", "weights": "../../../x"}},
    "an unknown key": {"code": "x"},
}


@pytest.mark.parametrize("content", DESCRIPTIONS.values(), ids=DESCRIPTIONS.keys())
def test_a_description_that_is_none_is_refused(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps({**DESCRIBED, **content}).encode())
    with pytest.raises(
        UnreadableError, match=r"^\S+model.json: (not valid JSON|of another version of Evergreen, or)"
    ) as told:
        Description.read(path)
    assert "\n" not in str(told.value)


LINEAGES: dict[str, dict[str, Any]] = {
    "a file above its run": {"files": {"../../x": "a" * 64}},
    "a file of the machine": {"files": {"/etc/passwd": "a" * 64}},
    "a file by a Windows path": {"files": {"model\\..\\x": "a" * 64}},
    "a digest by a path": {"files": {"model/weights.npz": "../../../etc/passwd"}},
    "a digest in capitals": {"files": {"model/weights.npz": "A" * 64}},
    "a batch above the project": {"sources": [{"path": "data/../../x", "digest": "0" * 32, "num_files": 1}]},
    "a batch of the machine": {"sources": [{"path": "/etc", "digest": "0" * 32, "num_files": 1}]},
    "less than no files": {"sources": [{"path": "data/images/x", "digest": "0" * 32, "num_files": -1}]},
    "an image above the project": {"quarantine": [["0" * 32, "cat", "../x.png"]]},
    "version 0": {"parent": 0},
    "a version of many digits": {"champion": 10**30, "rival": 10**30},
    "a version as text": {"parent": "1"},
    "a network by a path": {"model": {**DESCRIBED, "architecture": "a/b:c"}},
    "counts below nothing": {"label_counts": {"cat": -5}},
    "counts that are no numbers": {"reference": {"layout": 1, "facts": {"aspect": [0.5]}, "labels": {}}},
    "numbers that are none": {"params": {"train": {"seed": float("nan")}}},
    "infinite numbers": {"params": {"train": {"seed": [float("inf")]}}},
    "cycles below the ladder": {"ladder": {"before": {"rung": -1, "cycles": 0}, "after": {"rung": 0, "cycles": 0}}},
}


@pytest.mark.parametrize("change", LINEAGES.values(), ids=LINEAGES.keys())
def test_a_lineage_that_is_none_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    whole = samples.lineage().to_json()
    assert Lineage.from_json(json.dumps(whole).encode(), "lineage.json")
    (tmp_path / "lineage.json").write_text(json.dumps({**whole, **change}))
    with pytest.raises(UnreadableError, match=r"lineage.json: of another version of Evergreen, or damaged: "):
        Lineage.read(tmp_path / "lineage.json")


@pytest.mark.parametrize(
    ("kind", "whole", "change"),
    [
        (Judgement, samples.judgement(), {"decision": "Promote"}),
        (Judgement, samples.judgement(), {"difference": float("inf")}),
        (Judgement, samples.judgement(), {"rival": -4}),
        (Judgement, samples.judgement(), {"is_best": "yes"}),
        (Judgement, samples.judgement(), {"reasons": [["nested"]]}),
        (Proof, None, {"num_images": -1}),
        (Proof, None, {"largest_difference": 7.0}),
        (Proof, None, {"served": "x"}),
        (Proof, None, {"files": {"../x": "a" * 64}}),
    ],
)
def test_a_verdict_or_a_proof_that_is_none_is_refused(kind: Any, whole: Any, change: dict[str, Any]) -> None:
    whole = whole or Proof(
        version=1, served=None, num_images=0, largest_difference=0.0, tolerance=0.1, libraries={}, files={}
    )
    assert kind.from_json(json.dumps(whole.to_json()).encode(), "x.json")
    with pytest.raises(UnreadableError, match=r"^x.json: of another version of Evergreen, or damaged: "):
        kind.from_json(json.dumps({**whole.to_json(), **change}).encode(), "x.json")


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Description, "LARGEST", 1 << 20)
    (tmp_path / "model.json").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(UnreadableError, match=r"model.json: more than 1 MiB, so damaged; delete it"):
        Description.read(tmp_path / "model.json")


# 2. Arrays and tables.


def npz(**members: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return sink.getvalue()


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=allow_pickle)
    return sink.getvalue()


def claims(shape: str) -> bytes:
    """A header without its numbers."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()


ARRAYS: dict[str, Callable[[Path], bytes]] = {
    "a pickle in an array": lambda canary: npz(a=npy(np.array([Sings(canary)], object), allow_pickle=True)),
    "a pickle in its place": lambda canary: pickle.dumps(Sings(canary)),
    "a pickle in a member": lambda canary: npz(a=pickle.dumps(Sings(canary))),
    "a bomb": lambda _: npz(a=claims("(25000000,)") + bytes(100_000_000)),
    "an array of a petabyte": lambda _: npz(a=claims("(250000000000000,)")),
    "an array of more than there are addresses": lambda _: npz(a=claims("(9223372036854775807, 9)")),
    "a shape below zero": lambda _: npz(a=claims("(-1,)")),
    "a header that is code": lambda canary: npz(a=claims(f"__import__('os').system('touch {canary}')"[:60])),
    "half a file": lambda _: npz(a=npy(np.zeros(9)))[:-30],
    "damaged compression": lambda _: damaged(npz(a=npy(np.arange(999.0)))),
    "no archive": lambda _: b"weights",
    "nothing": lambda _: b"",
}


def damaged(content: bytes) -> bytes:
    return content[:60] + bytes(byte ^ 0xFF for byte in content[60:90]) + content[90:]


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS.keys())
def test_arrays_that_are_none_are_refused(make: Callable[[Path], bytes], tmp_path: Path, canary: Path) -> None:
    (tmp_path / "weights.npz").write_bytes(make(canary))
    with pytest.raises(
        UnreadableError, match=r"weights.npz: not a whole .npz of plain arrays \(.+\); delete it"
    ) as told:
        files.read_arrays(tmp_path / "weights.npz")
    assert "\n" not in str(told.value)


def test_weights_that_are_texts_are_refused() -> None:
    network = model.build(samples.description("cat", "dog"))
    weights = model.arrays(network.weights)
    texts = {name: np.full(array.shape, "x") for name, array in weights.items()}
    with pytest.raises(ModelError, match=r"^v1: \S+ has values of kind <U1, expected numbers; "):
        model.fill(network.weights, texts, "v1")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"digest,path\n"], ids=repr)
def test_a_ledger_that_is_no_table_is_refused(content: bytes, shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "ledger.parquet").write_bytes(content)
    run = shelf.registry.runs.of(shelf.version)
    run.upload(tmp_path / "ledger.parquet", LEDGER)
    pin = samples.pin(1, files={LEDGER: files.sha256(content)}).model_copy(update={"run_id": run.run_id})
    expected = (
        r"not a Parquet table \(.*so it was registered: use the version of Evergreen that did it, or move the alias"
    )
    with pytest.raises(UnreadableError, match=expected):
        shelf.registry.pinned_ledger(pin, tmp_path / "objects")


# 3. What the registry says of a version.


@pytest.mark.parametrize(
    ("tag", "value", "expected"),
    [
        ("parent", "x", "the number of a version"),
        ("parent", "-1", "the number of a version"),
        ("parent", "1e9", "the number of a version"),
        ("rival", "9" * 5000, "the number of a version"),
        ("min_probability", "nan", "0 to 1"),
        ("min_probability", "2", "0 to 1"),
        ("min_probability", "__import__('os')", "0 to 1"),
    ],
)
def test_a_tag_that_is_no_number_is_refused_by_name(tag: str, value: str, expected: str) -> None:
    version = Version(3, "run", {f"evergreen.{tag}": value})
    with pytest.raises(
        LostError, match=rf"^tag evergreen.{tag} of v3 is .*; expected {expected}; set it back in the MLflow"
    ):
        _ = {"parent": Version.parent, "rival": Version.champion, "min_probability": Version.min_probability}[tag].fget(
            version
        )


def test_a_foreign_value_of_a_tag_that_the_ui_hides_is_set_back_by_the_client() -> None:
    version = Version(3, "run", created({"rival": "x"}))
    expected = r"^rival in tag mlflow.evergreen.made of v3 is 'x'; .*; set it back by MLflow's client \(set_model_ver"
    with pytest.raises(LostError, match=expected):
        _ = version.champion


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sources": 1}', "null", "[" * 100_000], ids=range(6))
def test_a_tag_with_several_values_that_holds_something_else_says_nothing(text: str) -> None:
    version = Version(3, "run", {MADE: text, DECIDED: text, "evergreen.run_key": "k"})
    assert (version.is_whole, version.verdict_digest, version.run_key) == (False, "", "k")


def test_a_lineage_that_was_registered_hostile_is_refused_by_its_version(shelf: Shelf, tmp_path: Path) -> None:
    record = tmp_path / "lineage.json"
    record.write_text(json.dumps(samples.lineage().to_json() | {"files": {"../x": "a" * 64}}))
    run: Any = shelf.registry.runs.of(shelf.version)
    run.upload(record, LINEAGE)
    version = Version(1, shelf.version.run_id, {"evergreen.lineage": files.sha256_file(record)})
    expected = (
        r"^the lineage of evergreen v1 is of another version of Evergreen, or damaged: files.*; use the version of"
    )
    with pytest.raises(LostError, match=expected):
        shelf.registry.lineage(version, tmp_path / "objects")


def test_a_network_that_only_the_registry_names_is_never_built() -> None:
    train = Network(architecture="nets:build", pretrained=None)
    here = samples.pin(1, model=samples.description(architecture="nets:build"))
    foreign = samples.pin(2, model=samples.description(architecture="conftest:main"))
    usual = samples.pin(3)
    architecture.refuse_foreign([None, here, usual], train, OwnNetworks(networks=()))
    expected = (
        r"^the registry says that conftest:main builds v2, and params.yaml does not name that, so nothing of it was "
        r"run; if it is a network of your own, add it: resolve.networks: \[conftest:main\]; if it is not, look in the "
        r"MLflow UI who registered v2, and move the alias to another version$"
    )
    with pytest.raises(ModelError, match=expected):
        architecture.refuse_foreign([here, foreign], train, OwnNetworks(networks=()))
    architecture.refuse_foreign([here, foreign], train, OwnNetworks(networks=("conftest:main",)))
