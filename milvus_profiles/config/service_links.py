"""Variables that Kubernetes sets in every container for each service of its namespace, whatever they are called.

A service ``milvus-profiles`` gives ``MILVUS_PROFILES_PORT=tcp://10.0.0.1:80``, one of the name ``milvus`` gives
``MILVUS_PORT`` and ``MILVUS_SERVICE_HOST``: nobody meant them for us.  They are known by name and value together
(https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).  It imports nothing of this
package, since completion asks here.
"""

from __future__ import annotations

import re

__all__ = ["is_service_link"]

_ADDRESS = r"[0-9]+(?:\.[0-9]+){3}|[0-9a-f]*:[0-9a-f:.]+"
_URL = rf"(?:tcp|udp|sctp)://(?:{_ADDRESS}|\[[0-9a-f:.]+\]):[0-9]+"
_LINK = re.compile(
    # The name of a service ends with a letter or a digit.
    r"[A-Z][A-Z0-9_]*(?<!_)_(?:"
    rf"SERVICE_HOST=(?:{_ADDRESS})|SERVICE_PORT(?:_[A-Z0-9_]+)?=[0-9]+|PORT={_URL}|"
    rf"PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:={_URL}|_PROTO=(?:tcp|udp|sctp)|_PORT=[0-9]+|_ADDR=(?:{_ADDRESS}))"
    r")"
)


def is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes set a variable for a service.

    Args:
        name: of the variable.
        value: of the variable.
    """
    return ("_PORT" in name or name.endswith("_HOST")) and _LINK.fullmatch(f"{name}={value[:300]}") is not None
