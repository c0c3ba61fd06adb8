"""What a request to a served model holds and what it answers, as its docs page shows them (OpenAPI 3.1). Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

PATH = "/invocations"
"""Where MLflow's server answers."""

EXAMPLE = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR42mNkEIAAJgGKGACOGAQAwSeVywAAAABJRU5ErkJggg=="
"""A PNG of 8 x 8 pixels, in base64."""


def described(schema: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """The OpenAPI description of MLflow's server, with what it does not say: the bodies of request and answer.

    Args:
        schema: of the server.
        labels: that the model gives.
    """
    paths: dict[str, Any] = dict(schema.get("paths", {}))
    if PATH not in paths:
        return dict(schema)
    asked = {
        **paths[PATH]["post"],
        "summary": "Classify images",
        "description": "One image or many. The answers come in the order of the images.",
        "requestBody": {"required": True, "content": {"application/json": _request()}},
        "responses": {
            "200": _json("A label and its calibrated probability for each image", _answer(labels)),
            "400": _json("The request cannot be answered; the message says why, and names the rows at fault", _error()),
        },
    }
    info = {**schema.get("info", {}), "title": "Image classifier", "description": f"Labels: {', '.join(labels)}."}
    return {**schema, "info": info, "paths": {**paths, PATH: {"post": asked}}}


def _request() -> dict[str, Any]:
    image = {"type": "string", "contentEncoding": "base64", "description": "A JPEG, PNG, WebP or BMP file in base64"}
    rows = {"type": "array", "items": {"type": "array", "prefixItems": [image], "items": False, "minItems": 1}}
    split = _object({"columns": {"type": "array", "const": ["image"]}, "data": rows})
    kinds = {
        "inputs": _object({"image": {"type": "array", "items": image}}),
        "dataframe_records": {"type": "array", "items": _object({"image": image})},
        "dataframe_split": split,
    }
    params = {"type": "object", "properties": {"min_probability": _probability(
        "An image whose label is less probable gets none; without this the threshold of the version counts"
    )}}  # fmt: skip
    shapes = [
        {"title": name, "type": "object", "required": [name], "properties": {name: kind, "params": params}}
        for name, kind in kinds.items()
    ]
    examples = {
        "one image": {"inputs": {"image": [EXAMPLE]}},
        "many images": {"inputs": {"image": [EXAMPLE, EXAMPLE]}},
        "with a threshold": {"inputs": {"image": [EXAMPLE]}, "params": {"min_probability": 0.9}},
        "as a table": {"dataframe_split": {"columns": ["image"], "data": [[EXAMPLE]]}},
    }
    return {"schema": {"oneOf": shapes}, "examples": {name: {"value": value} for name, value in examples.items()}}


def _answer(labels: Sequence[str]) -> dict[str, Any]:
    label = {
        "type": ["string", "null"],
        "enum": [*labels, None],
        "description": "null where its probability is below the threshold",
    }
    each = _object({"label": label, "probability": _probability("That the label is right, as the version was fitted")})
    return _object({"predictions": {"type": "array", "items": each}})


def _error() -> dict[str, Any]:
    return _object({"error_code": {"type": "string"}, "message": {"type": "string"}})


def _probability(words: str) -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "maximum": 1, "description": words}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """An object that has all these keys."""
    return {"type": "object", "required": list(properties), "properties": dict(properties)}


def _json(words: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": dict(schema)}}}
