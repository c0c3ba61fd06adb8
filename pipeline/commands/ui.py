"""Open the MLflow UI on the registry."""

import argparse
import os
import signal
import subprocess
import sys
from contextlib import suppress

from pipeline.registry.connection import environment, link_local, shown, tracking_uri

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
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        link_local()
    print(f"MLflow UI on http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    env = {**environment(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # workers that a review does not need
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    # In a group of its own: MLflow starts processes that outlive it if it alone is told to end.
    server = subprocess.Popen([*command, "--port", str(port)], env=env, start_new_session=True)

    def end(*_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    code = server.wait()
    return 0 if code == -signal.SIGTERM else code
