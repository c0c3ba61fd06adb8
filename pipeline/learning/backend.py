"""Keras on TensorFlow, with Keras' own defaults, whatever the account says. Home of Keras."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from pipeline.base.errors import ModelError

ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # oneDNN's sums depend on the machine
    "TF_XLA_FLAGS": "",  # may compile all functions, which changes the last bits
    "TF_FUNCTION_JIT_COMPILE_DEFAULT": "",  # the same
}
"""What must be so when the libraries load, whatever the user's account says."""


def keras() -> Any:
    """Keras on TensorFlow; its import takes seconds, so it is done only where a model is needed.

    Raises:
        ModelError: the program that this runs in has Keras on something else already.
    """
    if "keras" not in sys.modules:
        os.environ.update(ENVIRONMENT)
        with contextlib.nullcontext() if "TF_CPP_MIN_LOG_LEVEL" in os.environ else _quiet():
            import keras
        _standardise(keras)
    if (backend := sys.modules["keras"].config.backend()) != "tensorflow":
        raise ModelError(
            f"Keras runs on {backend} in this process; expected tensorflow; set KERAS_BACKEND=tensorflow before "
            "anything imports Keras"
        )
    return sys.modules["keras"]


def _standardise(library: Any) -> None:
    """Keras' own defaults, whatever `~/.keras/keras.json` says: another project may need that."""
    library.config.set_floatx("float32")
    library.config.set_epsilon(1e-7)
    library.config.set_image_data_format("channels_last")
    library.config.set_dtype_policy("float32")


@contextlib.contextmanager
def standard() -> Iterator[None]:
    """Keras' own defaults for a while: to build a model in a program that may have set others."""
    config = keras().config
    before = config.floatx(), config.epsilon(), config.image_data_format(), config.dtype_policy()
    _standardise(keras())
    try:
        yield
    finally:
        config.set_floatx(before[0])
        config.set_epsilon(before[1])
        config.set_image_data_format(before[2])
        config.set_dtype_policy(before[3])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop what TensorFlow's C++ prints before its log level can be set; errors of Python are still raised."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def use(precision: str) -> None:
    """Let models that are built from now on compute in this precision; their weights stay float32."""
    keras().config.set_dtype_policy(precision)
