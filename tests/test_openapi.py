"""What the docs page of a server says of requests and answers."""

import base64
import copy
from typing import Any

from pipeline import openapi
from pipeline.images import decoding

MLFLOWS: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "FastAPI", "version": "0.1.0"},
    "paths": {"/ping": {"get": {"summary": "Ping"}}, "/invocations": {"post": {"operationId": "invocations"}}},
}


def test_request_and_answer_are_described_and_the_rest_stays() -> None:
    before = copy.deepcopy(MLFLOWS)
    found = openapi.described(MLFLOWS, ["cat", "dog"])
    assert before == MLFLOWS, "the server keeps its own"
    assert found["openapi"] == "3.1.0"
    assert found["info"] == {"title": "Image classifier", "version": "0.1.0", "description": "Labels: cat, dog."}
    assert found["paths"]["/ping"] == before["paths"]["/ping"]
    post = found["paths"]["/invocations"]["post"]
    assert post["operationId"] == "invocations"
    assert post["requestBody"]["required"]
    assert post["responses"].keys() == {"200", "400"}
    assert openapi.described(found, ["cat", "dog"]) == found, "however often it is asked"


def test_an_application_that_is_not_mlflows_stays_as_it_is() -> None:
    other = {"info": {"title": "Mine"}, "paths": {"/predict": {"post": {}}}}
    assert openapi.described(other, ["cat"]) == other
    assert openapi.described({}, ["cat"]) == {}


def test_the_example_is_an_image() -> None:
    facts = decoding.inspect(base64.b64decode(openapi.EXAMPLE))
    assert (facts.error, facts.format, facts.width, facts.height) == ("", "PNG", 8, 8)
