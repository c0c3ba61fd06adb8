"""A version in a real registry, made once: what tests of serving, of proofs and of hostile files begin with."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import samples
from shelves import Shelf, asked

from pipeline.artifacts.lineage import DESCRIPTION, WEIGHTS
from pipeline.base import files
from pipeline.registry import answering, packaging, proof
from pipeline.registry.client import Registry
from pipeline.settings import Params


@pytest.fixture(scope="session")
def shelf(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, settings: Params, draw: Callable[..., bytes]
) -> Shelf:
    from pipeline.learning import model as networks

    root = tmp_path_factory.mktemp("shelf")
    shutil.copy(empty_database, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
        registry = Registry(settings.resolve)
    model = root / "model"
    description = samples.description("cat", "dog", image_shape=(16, 16, 3))
    description.write(model / "model.json")
    network = networks.build(description)
    network.get_layer("logits").bias.assign([0.0, 1.0])
    files.write_arrays(model / "weights.npz", networks.arrays(network.weights))
    served = packaging.pack(model, "key", root / "scratch")
    tags = {"run_key": "key", "sources": "s"}
    version = registry.register(registry.run("key", "cycle"), served, tags, ["keras"], "card", {"min_probability": 0.9})
    judged = {name: files.sha256_file(model / Path(name).name) for name in (DESCRIPTION, WEIGHTS)}
    lineage = samples.lineage(model=description, files=judged)
    (download := root / "download").mkdir()
    folder, _ = answering.fetch(registry.uri, registry.name, version.number, str(download))
    pictures = [draw("PNG"), draw("JPEG", size=(30, 20)), draw("PNG", mode="L", size=(9, 40))]
    return Shelf(registry, version, lineage, asked(model, pictures), model, folder)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions are asked by the same program, in this process: to load TensorFlow again takes seconds."""
    monkeypatch.setattr(proof, "in_fresh_process", answering.said)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """What code of a hostile file would make."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "code of a hostile file was run"
