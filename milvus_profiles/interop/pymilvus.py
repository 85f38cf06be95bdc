"""The arguments of pymilvus's client, for libraries that open it themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..channel.pymilvus_client import ClientArguments, authentication, client_arguments
from ..config.loading import load
from ..config.plaintext import check_plaintext
from ..live.api import connect
from ..live.opening import secret_context
from ..secrets import resolve

if TYPE_CHECKING:
    from ..config.profiles import Profiles

__all__ = ["connection_args"]


def connection_args(alias: str | None = None, *, profiles: Profiles | None = None) -> dict[str, Any]:
    """The keyword arguments of ``MilvusClient`` for a profile: for LangChain, LlamaIndex, Haystack and their kin.

    The dictionary holds the token in the clear, since that is what those libraries take; only its repr hides it.

    For Milvus Lite this opens the profile's shared connection, as :func:`milvus_profiles.connect` does, and gives the
    address of its server in this process, so that what is made of it and connections of the profile use the database
    side by side.  The address is good until ``disconnect(alias)``, ``disconnect_all()`` or the end of the process.

    Args:
        alias: the profile; None takes the selected one.
        profiles: where profiles come from; None reads the files and the environment.

    Raises:
        MilvusProfilesError: the profile or its secret cannot be had, or Milvus Lite not be started, as for ``connect``.
        ConfigError: pymilvus cannot express the profile: an IPv6 address, a client certificate without a CA.
    """
    known = profiles if profiles is not None else load()
    resolved = known.use(known.select(alias).alias)
    check_plaintext(resolved)
    profile, endpoint = resolved.profile, resolved.profile.endpoint
    if endpoint.kind == "lite":
        with connect(profile.alias, profiles=known) as connection:
            return client_arguments(profile, connection._live.reach)
    token = resolve(profile.credential, endpoint, secret_context(known, profile.alias))
    return ClientArguments(**client_arguments(profile, endpoint), **authentication(token))
