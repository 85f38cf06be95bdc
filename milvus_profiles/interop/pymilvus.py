"""A profile as pymilvus wants it.

pymilvus takes one-way TLS as ``server_pem_path`` and mutual TLS as three paths, ignores incomplete sets in silence,
shares connections by address and token alone (so ``dedicated`` is always set), reads IPv6 addresses wrongly, and runs
``load_dotenv()`` when it is imported (pymilvus 3.0.2, ``settings.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..endpoint import Endpoint
from ..errors import ConfigError
from ..masked import SecretText
from ..profile import Profile

if TYPE_CHECKING:
    from ..config.profiles import Profiles

__all__ = ["client_arguments", "connection_args", "open_client"]


def connection_args(alias: str | None = None, *, profiles: Profiles | None = None) -> dict[str, Any]:
    """The keyword arguments of ``MilvusClient`` for a profile: for LangChain, LlamaIndex, Haystack and their kin.

    The dictionary holds the token in the clear, since that is what those libraries take; do not log it.

    Args:
        alias: the profile; None takes the selected one.
        profiles: where profiles come from; None reads the files and the environment.

    Raises:
        MilvusProfilesError: the profile or its secret cannot be had, as for ``connect``.
    """
    from ..config.plaintext import check_plaintext
    from ..config.profiles import load
    from ..connections.opening import secret_context
    from ..secrets import resolve

    known = profiles if profiles is not None else load()
    resolved = known.use(known.select(alias).alias)
    check_plaintext(resolved)
    profile, endpoint = resolved.profile, resolved.profile.endpoint
    token = resolve(profile.credential, endpoint, secret_context(known, profile.alias))
    return client_arguments(profile, endpoint, token)


def client_arguments(profile: Profile, endpoint: Endpoint, token: SecretText | None) -> dict[str, Any]:
    """Map a profile to keyword arguments of ``MilvusClient``.

    Args:
        profile: the profile.
        endpoint: where to connect; for Milvus Lite its server in this process.
        token: the whole token; None connects without.
    """
    arguments: dict[str, Any] = {"uri": endpoint.uri, "timeout": profile.timeout, "dedicated": True}
    if token is not None:
        arguments["token"] = token.reveal()
    if profile.db_name is not None:
        arguments["db_name"] = profile.db_name
    if (tls := profile.tls) is not None:
        arguments["secure"] = True
        if tls.cert is not None and tls.ca is not None:
            arguments |= {"ca_pem_path": tls.ca, "client_pem_path": tls.cert, "client_key_path": tls.key}
        elif tls.cert is not None:
            raise ConfigError(
                f"pymilvus takes a client certificate only together with a CA, and {profile.alias!r} names none",
                hint="set ssl.ca to the file with the certificates to trust",
            )
        elif tls.ca is not None:
            arguments["server_pem_path"] = tls.ca
        if tls.server_name is not None:
            arguments["server_name"] = tls.server_name
    return arguments


def open_client(profile: Profile, endpoint: Endpoint, token: SecretText | None, arguments: dict[str, Any]) -> Any:
    """A ``pymilvus.MilvusClient`` of a profile.

    Args:
        profile: the profile.
        endpoint: where to connect; for Milvus Lite its server in this process.
        token: the whole token; None connects without.
        arguments: keyword arguments that win over those of the profile.

    Raises:
        ConfigError: pymilvus is not installed, or cannot express the profile.
    """
    from ..transport.pymilvus_import import import_with_pymilvus

    try:
        pymilvus: Any = import_with_pymilvus("pymilvus")
    except ImportError:
        raise ConfigError(
            "pymilvus is not installed", hint="install it: pip install 'milvus-profiles[pymilvus]'"
        ) from None
    return pymilvus.MilvusClient(**client_arguments(profile, endpoint, token) | arguments)
