"""`python -m tests.infra.completed_moto`: moto's server with the few operations that the estate needs and moto lacks."""

import sys
from typing import Any

from moto.athena.responses import AthenaResponse
from moto.glue.models import FakeConnection
from moto.server import main

NETWORK = "PhysicalConnectionRequirements"


def delete_named_query(self: AthenaResponse) -> str:
    """Athena's DeleteNamedQuery."""
    self.athena_backend.named_queries.pop(self._get_param("NamedQueryId"), None)
    return "{}"


def with_network(self: FakeConnection, hide_password: bool = False) -> dict[str, Any]:
    """A Glue connection with the network that it was made with."""
    told = _as_dict(self, hide_password)
    return told | {NETWORK: self.connection_input[NETWORK]} if NETWORK in self.connection_input else told


_as_dict = FakeConnection.as_dict
AthenaResponse.delete_named_query = delete_named_query  # type: ignore[attr-defined]
FakeConnection.as_dict = with_network  # type: ignore[method-assign]

if __name__ == "__main__":
    main(sys.argv[1:])
