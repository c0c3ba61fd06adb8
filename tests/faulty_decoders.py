"""Decoders that do on request what a broken one does; worker processes import them by name."""

import hashlib
import os
import signal
import time
from collections.abc import Sequence

from pipeline.images import decoding
from pipeline.images.decoding import Decoded, Facts, View


def crash(content: bytes, views: Sequence[View], max_pixels: int) -> Decoded:
    if content.endswith(b"faulty"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return decoding.see(content, views, max_pixels)


def leave(content: bytes, views: Sequence[View], max_pixels: int) -> Decoded:
    if content.endswith(b"faulty"):
        os._exit(3)
    return decoding.see(content, views, max_pixels)


def hang(content: bytes, views: Sequence[View], max_pixels: int) -> Decoded:
    if content.endswith(b"faulty"):
        time.sleep(600)
    return decoding.see(content, views, max_pixels)


def burn(content: bytes, views: Sequence[View], max_pixels: int) -> Decoded:
    while content.endswith(b"faulty"):
        pass
    return decoding.see(content, views, max_pixels)


def eat(content: bytes, views: Sequence[View], max_pixels: int) -> Decoded:
    if content.endswith(b"faulty"):
        bytearray(2**40)
    return decoding.see(content, views, max_pixels)


def toil(content: bytes, views: Sequence[View], max_pixels: int) -> Decoded:
    """Half a second, and a mark in the file that the environment names."""
    with open(os.environ["TOIL"], "a") as file:
        file.write(".")
    until = time.process_time() + 0.5
    while time.process_time() < until:
        pass
    return decoding.see(content, views, max_pixels)


def drudge(*_: object) -> Decoded:
    """Minutes in C, where Python does not get to handle a signal."""
    raise ValueError(hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9))


def tell(*_: object) -> Decoded:
    """Which process this is and what it may use, as the error."""
    import resource
    import sys

    heavy = {"polars", "pandas", "mlflow", "tensorflow", "great_expectations", "dvc"} & sys.modules.keys()
    limits = resource.getrlimit(resource.RLIMIT_CORE)[0], os.environ.get("OPENBLAS_NUM_THREADS")
    return Decoded(Facts(os.getpid(), error=f"{sorted(heavy)} {limits}"))


def trust(content: bytes, views: Sequence[View], max_pixels: int) -> Decoded:
    """As an earlier one, which did not look for damage that leaves a file decodable."""
    from pipeline.images import damage

    damage.refuse = lambda *_: None
    return decoding.see(content, views, max_pixels)
