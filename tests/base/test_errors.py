"""The remedy of a damaged output, followed to the letter with DVC itself."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from benchmarks import workspace
from benchmarks.workspace import Workspace
from pipeline.base import files
from pipeline.base.errors import UnreadableError

STAGES = {
    "first": {
        "cmd": "mkdir -p 'a folder' && echo '{\"a\": 1}' > 'a folder/a.json'",
        "deps": ["source"],
        "outs": ["a folder"],
    },
    "second": {"cmd": "grep a 'a folder/a.json' > copy", "deps": ["a folder"], "outs": ["copy"]},
}


def damaged(cache: Path) -> list[str]:
    """Objects whose bytes do not have their hash."""
    objects = [path for path in cache.glob("files/md5/??/*") if path.is_file()]
    return [
        str(path)
        for path in objects
        if files.md5(path.read_bytes()) != (path.parent.name + path.name).removesuffix(".dir")
    ]


@pytest.mark.project  # it calls DVC
@pytest.mark.parametrize("tried", [False, True], ids=["at once", "after dvc repro"])
def test_a_damaged_output_is_made_anew_also_where_the_cache_has_the_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tried: bool
) -> None:
    """A file that DVC linked from its cache is the object there: written in place, both are damaged."""
    space = Workspace(tmp_path, workspace.environment(tmp_path))
    monkeypatch.chdir(tmp_path)
    space.git("init", "--quiet")
    space.dvc("init", "--quiet")
    space.dvc("config", "--local", "cache.type", "hardlink")
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
    (tmp_path / "source").write_text("source")
    assert space.repro(quiet=True).code == 0
    shutil.rmtree("a folder")
    space.dvc("checkout", "--quiet")
    path = Path("a folder/a.json")
    path.chmod(0o644)
    path.write_bytes(b"")
    path.chmod(0o444)  # as it was: DVC trusts what is protected
    assert damaged(tmp_path / ".dvc/cache")
    if tried:
        space.repro(quiet=True)
        assert path.read_bytes() == b""  # from the cache

    with pytest.raises(UnreadableError) as raised:
        files.read_json(path)
    command = re.search(r"`(find .*)`, then run `dvc repro`$", str(raised.value))
    assert command
    subprocess.run(["sh", "-c", command[1]], env=dict(space.env), check=True)
    assert space.repro(quiet=True).code == 0
    assert files.read_json(path) == {"a": 1}
    assert damaged(tmp_path / ".dvc/cache") == []
