import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.workspace import CHECKOUT
from pipeline.base import code
from pipeline.base.errors import ModelError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of a few modules in the place of ours."""
    root = tmp_path / "pipeline"
    contents = {
        "a.py": "import os\nfrom pipeline import b\n",
        "b.py": "def late():\n    from pipeline.c import thing\n    import pipeline.d\n",
        "c.py": "from pipeline import a  # a circle\n",
        "d.py": "thing = 1\n",
        "other.py": "from pipeline import a\n",
        "stages/go.py": "from pipeline import b as renamed\nfrom other import x\n",
    }
    for name, content in contents.items():
        write(root / name, content)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    return root


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def names(*modules: str) -> list[str]:
    return [path.relative_to(code.ROOT).as_posix().removeprefix("pipeline/") for path in code.modules(*modules)]


@pytest.mark.usefixtures("package")
def test_modules_are_the_module_itself_and_all_it_imports_even_inside_functions():
    assert names("pipeline.stages.go") == ["a.py", "b.py", "c.py", "d.py", "stages/go.py"]


@pytest.mark.parametrize(
    "inside",
    [
        "if x:\n    {}\n",
        "if x:\n    pass\nelif y:\n    {}\n",
        "if x:\n    pass\nelse:\n    {}\n",
        "for x in y:\n    pass\nelse:\n    {}\n",
        "while x:\n    {}\n",
        "with x:\n    {}\n",
        "try:\n    {}\nexcept E:\n    pass\n",
        "try:\n    pass\nexcept E:\n    {}\n",
        "try:\n    pass\nexcept E:\n    pass\nelse:\n    {}\n",
        "try:\n    pass\nfinally:\n    {}\n",
        "try:\n    pass\nexcept* E:\n    {}\n",
        "match x:\n    case 1:\n        {}\n",
        "class C:\n    def f(self):\n        {}\n",
        "async def f():\n    async with x:\n        {}\n",
    ],
)
def test_modules_are_seen_wherever_an_import_can_stand(package, inside):
    (package / "other.py").write_text(inside.format("import pipeline.d"))
    assert names("pipeline.other") == ["d.py", "other.py"]


@pytest.mark.usefixtures("package")
def test_a_module_that_imports_nothing_of_ours_is_alone():
    assert names("pipeline.d") == ["d.py"]


@pytest.mark.usefixtures("package")
def test_modules_that_import_each_other_end():
    assert names("pipeline.a") == ["a.py", "b.py", "c.py", "d.py"]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("name", ["os.path", "pipeline.nothing", "pipeline"])
def test_a_name_that_is_no_module_of_ours_is_refused(name):
    with pytest.raises(ValueError, match=name):
        code.modules(name)


@pytest.mark.parametrize("changed", ["a.py", "b.py", "c.py", "d.py", "stages/go.py"])
def test_the_digest_changes_with_every_module_that_a_stage_runs_through(package, changed):
    before = code.digest("pipeline.stages.go")
    (package / changed).write_bytes((package / changed).read_bytes() + b"changed = True\n")
    assert code.digest("pipeline.stages.go") != before


def test_the_digest_stays_when_another_module_changes(package):
    before = code.digest("pipeline.stages.go")
    (package / "other.py").write_text("changed = True\n")
    assert code.digest("pipeline.stages.go") == before


def test_the_digest_changes_when_a_module_changes_its_name(package):
    before = code.digest("pipeline.stages.go")
    (package / "d.py").rename(package / "e.py")
    (package / "b.py").write_text((package / "b.py").read_text().replace("pipeline.d", "pipeline.e"))
    renamed = code.digest("pipeline.stages.go")
    (package / "e.py").rename(package / "d.py")
    assert len({before, renamed, code.digest("pipeline.stages.go")}) == 3


@pytest.mark.parametrize(
    ("written", "reworded"),
    [
        ("x = 1  # one\n", "x = 1  # uno\n\n\n"),
        ('"""A module."""\nx = 1\n', "x = 1\n"),
        (
            'def f():\n    """Old."""\n    return 1\n',
            'def f():\n    """New,\n\n    of two lines."""\n    return 1\n',
        ),
        (
            'class C:\n    """Old."""\n\n    x: int\n    """Old."""\n',
            'class C:\n    x: int  # new\n    """New."""\n',
        ),
        ('X = 2\n"""Of what?"""\n', "X = 2\n"),
        ("x = (1 +\n     2)\n", "x = 1 + 2\n"),
        ("x = 'a'\n", 'x = "a"\n'),
        ("x = 1_000\n", "x = 1000\n"),
    ],
    ids=["comment", "of a module", "of a function", "of a class", "of a constant", "brackets", "quotes", "underscore"],
)
def test_what_is_only_said_is_not_in_the_digest(package, written, reworded):
    (package / "d.py").write_text(written)
    before = code.digest("pipeline.stages.go")
    (package / "d.py").write_text(reworded)
    assert code.digest("pipeline.stages.go") == before


@pytest.mark.parametrize(
    ("written", "changed"),
    [
        ("x = 1\n", "x = 2\n"),
        ("x = 1\n", "x = 1.0\n"),
        ("x = 'a'\n", "x = b'a'\n"),
        ("x = ''\n", "x = None\n"),
        ("x = 0\n", "x = False\n"),
        ("def f(a, b):\n    return a\n", "def f(b, a):\n    return a\n"),
        ("def f(a, *, b=1): ...\n", "def f(a, b=1): ...\n"),
        ("f(1, 2)\n", "f(2, 1)\n"),
        ("a < b\n", "a <= b\n"),
        ("del a\n", "a\n"),
        ("raise E('what was expected')\n", "raise E('what to do')\n"),
        ("print('said')\n", "print()\n"),
        ("x = f'{a!r}'\n", "x = f'{a}'\n"),
        ("from pipeline import a\n", "import pipeline.a\n"),
    ],
    ids=repr,
)
def test_whatever_runs_is_in_the_digest(package, written, changed):
    (package / "d.py").write_text(written)
    before = code.digest("pipeline.stages.go")
    (package / "d.py").write_text(changed)
    assert code.digest("pipeline.stages.go") != before


@pytest.mark.usefixtures("package")
def test_the_digest_does_not_depend_on_where_the_project_lies(tmp_path, monkeypatch):
    here = code.digest("pipeline.stages.go")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "pipeline").rename(tmp_path / "elsewhere/pipeline")
    monkeypatch.setattr(code, "ROOT", tmp_path / "elsewhere")
    assert code.digest("pipeline.stages.go") == here


FORMS = {
    "CRLF": lambda content: content.replace(b"\n", b"\r\n"),
    "CR": lambda content: content.replace(b"\n", b"\r"),
    "BOM": lambda content: b"\xef\xbb\xbf" + content,
}


@pytest.mark.parametrize("form", FORMS)
def test_line_ends_and_a_byte_order_mark_change_no_digest(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As Git writes the files of a clone with `core.autocrlf=true`; also in strings of several lines."""
    own = b'TEXT = """a\nb"""\nRAW = rb"""a\nb\\\n"""\ndef net():\n    return f"""{TEXT}\n{RAW\n}"""\n'
    write(tmp_path / "one/net.py", own.decode())
    shutil.copytree(CHECKOUT / "pipeline", tmp_path / "one/pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    for path in (tmp_path / "two").rglob("*.py"):
        path.write_bytes(FORMS[form](path.read_bytes()))
    digests = []
    for root in ("one", "two"):
        monkeypatch.setattr(code, "ROOT", tmp_path / root)
        digests.append(code.of_stages(("train", "evaluate"), "net:net", tmp_path / root / "code.json"))
    assert digests[0] == digests[1]


def test_training_runs_through_the_model_but_not_through_the_card():
    listed = names("pipeline.stages.train")
    assert {"stages/train.py", "base/errors.py", "learning/model.py", "learning/checkpoint.py"} <= set(listed)
    assert "showing/card.py" not in listed


PYTHONS = sorted({path.resolve() for path in Path(sys.base_prefix).parent.glob("3.1[1-3].*/bin/python3")})
"""Other Pythons beside this one, as pyenv puts them; often none."""


@pytest.mark.parametrize("python", PYTHONS, ids=str)
def test_another_python_reads_the_same_digest(python: Path):
    """So a laptop and a runner with different Pythons train the same model once."""
    script = (
        "import sys, types; sys.path.insert(0, '.');"
        "files, errors = types.ModuleType('pipeline.base.files'), types.ModuleType('pipeline.base.errors');"
        "import hashlib, json; files.sha256 = lambda content: hashlib.sha256(content).hexdigest();"
        "files.sha256_json = lambda v: files.sha256(json.dumps(v, sort_keys=True, separators=(',', ':')).encode());"
        "errors.ModelError = Exception; import pipeline.base; pipeline.base.files = files;"
        "sys.modules |= {'pipeline.base.files': files, 'pipeline.base.errors': errors};"
        "from pipeline.base import code; print(code.digest('pipeline.stages.train'))"
    )
    done = subprocess.run([python, "-I", "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == code.digest("pipeline.stages.train")


@pytest.fixture
def own(package: Path) -> Path:
    """A user's own architecture in a package beside ours, with a helper and a base."""
    write(package / "stages/train.py", "from pipeline import d\n")
    write(package / "stages/evaluate.py", "from pipeline import d\n")
    write(package.parent / "nets/__init__.py", "")
    write(package.parent / "nets/small.py", "from . import blocks\nfrom .deep.base import Base\nimport keras\n")
    write(package.parent / "nets/blocks.py", "WIDTH = 8\n")
    write(package.parent / "nets/deep/__init__.py", "DEPTH = 3\n")
    write(package.parent / "nets/deep/base.py", "from .. import blocks as again\n")
    return package.parent / "nets"


def test_a_users_own_module_and_what_it_imports_of_the_project_is_code_too(own: Path):
    assert code.of_architecture("nets.small:build") == ("nets.small",)
    listed = names("pipeline.stages.train", *code.of_architecture("nets.small:build"))
    nets = ["nets/blocks.py", "nets/deep/__init__.py", "nets/deep/base.py", "nets/small.py"]
    assert listed == [*nets, "d.py", "stages/train.py"]
    assert own.is_dir()


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("architecture", ["small_cnn", "MobileNetV3Small", "torchvision.models:resnet"])
def test_an_architecture_from_elsewhere_is_no_file_of_the_project(architecture):
    assert code.of_architecture(architecture) == ()


@pytest.mark.parametrize("file", ["small.py", "blocks.py", "deep/__init__.py", "deep/base.py"])
def test_a_users_own_code_belongs_to_the_stages_that_build_models(own: Path, tmp_path: Path, file: str):
    stages, memory = ("train", "evaluate", "go"), tmp_path / "code.json"
    before = code.of_stages(stages, "nets.small:build", memory)
    (own / file).write_text((own / file).read_text() + "# more words\n")
    assert code.of_stages(stages, "nets.small:build", memory) == before
    (own / file).write_text((own / file).read_text() + "more = 1\n")
    after = code.of_stages(stages, "nets.small:build", memory)
    assert {stage for stage in stages if before[stage] != after[stage]} == {"train", "evaluate"}


@pytest.mark.parametrize(
    "content", ["def f(:\n", "x = 1\0\n", "x = '\udc80'\n"], ids=["syntax", "zero byte", "no UTF-8"]
)
def test_a_users_file_that_is_not_python_is_an_error_of_one_line(own: Path, tmp_path: Path, content: str):
    (own / "blocks.py").write_bytes(content.encode(errors="surrogateescape"))
    expected = r"^nets/blocks.py.*: not Python \(.*\); mend it, or give another train.architecture$"
    with pytest.raises(ModelError, match=expected):
        code.of_stages(("train",), "nets.small:build", tmp_path / "code.json")


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[]", b'{"modules": {}}', b'{"reader": "x", "modules": {"a": 1}}']
)
def test_what_is_remembered_changes_no_digest(package: Path, tmp_path: Path, content: bytes | None):
    memory = tmp_path / "code.json"
    fresh = code.of_stages(("go",), "small_cnn", tmp_path / "none.json")
    if content is not None:
        memory.write_bytes(content)
    for _ in range(2):
        assert code.of_stages(("go",), "small_cnn", memory) == fresh
    (package / "d.py").write_text("thing = 2\n")
    assert code.of_stages(("go",), "small_cnn", memory) != fresh


@pytest.mark.usefixtures("package")
def test_a_file_that_did_not_change_is_not_parsed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    memory = tmp_path / "code.json"
    fresh = code.of_stages(("go",), "small_cnn", memory)
    monkeypatch.setattr(code, "parse", lambda _: pytest.fail("parsed"))
    assert code.of_stages(("go",), "small_cnn", memory) == fresh
