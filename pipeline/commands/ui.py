"""Open the MLflow UI on the registry."""

import argparse
import os
import subprocess
import sys

from pipeline.registry import LOCAL_STORE, shown, tracking_uri

EXAMPLE = "python -m pipeline ui --port 5000"


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "--port",
        type=int,
        default=5000,
        choices=range(1, 65536),
        metavar="PORT",
        help="TCP port on 127.0.0.1 (default: 5000)",
    )


def run(port: int) -> int:
    """Open the MLflow UI on the registry."""
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        print(f"the registry is a server with a UI of its own: {shown(uri)}")
        return 0
    LOCAL_STORE.mkdir(exist_ok=True)
    print(f"MLflow UI on http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # workers that a review does not need
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    try:
        return subprocess.run([*command, "--port", str(port)], env=env, check=False).returncode
    except KeyboardInterrupt:
        return 0
