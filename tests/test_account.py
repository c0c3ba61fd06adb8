"""What a user's account says of other programs reaches neither training nor the model that is served."""

import subprocess
import sys
from pathlib import Path

import pytest
from project import Project, picture, pictures

pytestmark = pytest.mark.project

FILES = {
    ".keras/keras.json": (
        '{"floatx": "float16", "epsilon": 0.01, "backend": "jax", "image_data_format": "channels_first"}'
    ),
    ".config/matplotlib/matplotlibrc": "text.usetex: True\naxes.prop_cycle: nonsense\n",
    ".config/dvc/config": "[core]\n    autostage = true\n",
    ".gitconfig": (
        "[color]\n ui = always\n[core]\n quotepath = true\n[diff]\n noprefix = true\n external = false\n"
        "[log]\n showSignature = true\n[status]\n short = true\n[format]\n pretty = fuller\n"
    ),
}
"""Settings of other programs, by their path in the home folder."""

VARIABLES = {
    "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error", "PYTHONSAFEPATH": "1", "MPLBACKEND": "nonsense", "KERAS_BACKEND": "jax",
    "TF_ENABLE_ONEDNN_OPTS": "1", "TF_XLA_FLAGS": "--tf_xla_auto_jit=2", "TF_FUNCTION_JIT_COMPILE_DEFAULT": "1",
    "TF_USE_LEGACY_KERAS": "1", "MLFLOW_REGISTRY_URI": "http://127.0.0.1:9", "MLFLOW_EXPERIMENT_NAME": "other",
    "MLFLOW_RUN_ID": "0" * 32, "TZ": "Asia/Kolkata",
}  # fmt: skip

SERVE = """
import sys, keras, mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
champion = mlflow.pyfunc.load_model("models:/evergreen@champion")
print(champion.predict(pandas.DataFrame({"image": [open(sys.argv[2], "rb").read()]})).to_json())
print(keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon())
"""


def test_a_hostile_account_changes_no_byte_of_a_model(project: Project, tmp_path: Path) -> None:
    project.add("first", pictures(range(30), "café", "dog"))
    other = project.copy(tmp_path / "other")
    home = tmp_path / "home"
    for name, content in FILES.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
    project.cycle()
    hostile = dict(other.space.env) | VARIABLES | {"HOME": str(home), "MPLCONFIGDIR": str(home / ".config/matplotlib")}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run"], cwd=other.root, env=hostile, capture_output=True, check=False,
        encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    for name in ("model/weights.npz", "model/model.json", "evaluation/verdict.json"):
        assert (other.root / "data/cycle" / name).read_bytes() == (project.root / "data/cycle" / name).read_bytes()

    photo = tmp_path / "photo.png"
    photo.write_bytes(picture(999, "dog"))
    answers = [
        subprocess.run(
            [sys.executable, "-c", SERVE, one.space.env["MLFLOW_TRACKING_URI"], str(photo)], cwd=tmp_path,
            env={**one.space.env, "HOME": folder, "KERAS_BACKEND": "tensorflow"}, capture_output=True, encoding="utf-8",
            check=True,
        ).stdout.splitlines()
        for one, folder in ((project, str(tmp_path)), (other, str(home)))
    ]  # fmt: skip
    assert answers[0][0] == answers[1][0]
    assert '"label":{"0":"dog"}' in answers[0][0]
    assert answers[1][1] == "float16 channels_first 0.01"  # the program that serves has its own still


def test_keras_on_another_backend_is_refused_by_name() -> None:
    script = (
        "import os, types, sys; sys.modules['keras'] = types.SimpleNamespace("
        "config=types.SimpleNamespace(backend=lambda: 'torch'))\n"
        "from pipeline.learning import model\n"
        "try: model.keras()\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "Keras runs on torch in this process; expected tensorflow; set KERAS_BACKEND=tensorflow before anything "
        "imports Keras"
    )
