"""The published API document says what the service does."""

import json

from benefits import app
from tests.tidy.sources import ROOT


def test_the_committed_document_is_the_one_the_code_makes() -> None:
    """`benefits openapi > openapi/benefits.json` would change nothing."""
    assert (ROOT / "openapi" / "benefits.json").read_bytes() == app.document()


def test_every_operation_tells_its_problems_and_writes_their_key() -> None:
    """Problems are documented for every operation, and the key is required where one writes."""
    document = json.loads(app.document())
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            named = {p["name"] for p in operation.get("parameters", ()) if p["required"]}
            if path.startswith("/v1/"):
                assert {"400", "401", "403"} <= operation["responses"].keys(), path
                writes = method == "post" and operation["operationId"] not in {
                    "lookup",
                    "read_code",
                }
                assert writes == ("Idempotency-Key" in named), path
