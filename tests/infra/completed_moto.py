"""`python -m tests.infra.completed_moto`: moto's server with the few operations that the estate needs beyond moto's."""

import sys
from typing import Any

from moto.athena.responses import AthenaResponse
from moto.glue.models import FakeConnection
from moto.glue.responses import GlueResponse
from moto.server import main


def delete_named_query(self: AthenaResponse) -> str:
    """Athena's DeleteNamedQuery."""
    self.athena_backend.named_queries.pop(self._get_param("NamedQueryId"), None)
    return "{}"


def delete_connection(self: GlueResponse) -> str:
    """Glue's DeleteConnection."""
    self.glue_backend.connections.pop(self._get_param("ConnectionName"), None)
    return "{}"


def whole_connection(self: FakeConnection, hide_password: bool = False) -> dict[str, Any]:
    """A Glue connection with all that it was made with: its type and network too."""
    return self.connection_input | _as_dict(self, hide_password)


_as_dict = FakeConnection.as_dict
AthenaResponse.delete_named_query = delete_named_query  # type: ignore[attr-defined]
GlueResponse.delete_connection = delete_connection  # type: ignore[attr-defined]
FakeConnection.as_dict = whole_connection  # type: ignore[method-assign]

if __name__ == "__main__":
    main(sys.argv[1:])
