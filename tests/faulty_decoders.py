"""Decoders that do on request what a broken one does; worker processes import them by name."""

import hashlib
import os
import signal
import time

from pipeline.images import decoding as images
from pipeline.images.decoding import Facts, Seen, View


def crash(content: bytes, view: View, max_pixels: int) -> Seen:
    if content.endswith(b"faulty"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return images.see(content, view, max_pixels)


def leave(content: bytes, view: View, max_pixels: int) -> Seen:
    if content.endswith(b"faulty"):
        os._exit(3)
    return images.see(content, view, max_pixels)


def hang(content: bytes, view: View, max_pixels: int) -> Seen:
    if content.endswith(b"faulty"):
        time.sleep(600)
    return images.see(content, view, max_pixels)


def burn(content: bytes, view: View, max_pixels: int) -> Seen:
    while content.endswith(b"faulty"):
        pass
    return images.see(content, view, max_pixels)


def eat(content: bytes, view: View, max_pixels: int) -> Seen:
    if content.endswith(b"faulty"):
        bytearray(2**40)
    return images.see(content, view, max_pixels)


def toil(content: bytes, view: View, max_pixels: int) -> Seen:
    """Half a second, and a mark in the file that the environment names."""
    with open(os.environ["TOIL"], "a") as file:
        file.write(".")
    until = time.process_time() + 0.5
    while time.process_time() < until:
        pass
    return images.see(content, view, max_pixels)


def drudge(*_: object) -> Seen:
    """Minutes in C, where Python does not get to handle a signal."""
    raise ValueError(hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9))


def tell(*_: object) -> Seen:
    """Which process this is and what it may use, as the error."""
    import resource
    import sys

    heavy = {"polars", "pandas", "mlflow", "tensorflow", "great_expectations", "dvc"} & sys.modules.keys()
    limits = resource.getrlimit(resource.RLIMIT_CORE)[0], os.environ.get("OPENBLAS_NUM_THREADS")
    return Seen(Facts(os.getpid(), error=f"{sorted(heavy)} {limits}"))
