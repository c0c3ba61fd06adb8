"""What a real cycle registered answers, fetched from the registry, as evaluate heard it."""

import contextlib
import os
from pathlib import Path
from unittest import mock

import pytest
from project import Project

from pipeline.base import params
from pipeline.data.store import Store
from pipeline.registry import answering, proof
from pipeline.registry.client import Registry
from pipeline.settings import Params

pytestmark = pytest.mark.project


def test_a_version_is_proven_by_the_images_that_its_cycle_judged_by(trained: Project, tmp_path: Path) -> None:
    """By the same program that a fresh process runs, which `registry/test_proof.py` starts."""
    with contextlib.chdir(trained.root), mock.patch.dict(os.environ, trained.space.env):
        registry = Registry(params.load(Path("params.yaml"), Params).resolve)
        version = registry.version(1)
        lineage = registry.lineage(version, tmp_path)
        with mock.patch.object(proof, "in_fresh_process", answering.said):
            made = proof.of_version(registry, version, lineage, tmp_path, Store(Path()))
        assert made.num_images == min(proof.IMAGES, trained.table("evaluation/predictions.parquet").height) > 0
        assert made.largest_difference < 1e-5
        assert made.files["artifacts/served/weights.npz"] == lineage.files["model/weights.npz"]
