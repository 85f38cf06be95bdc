"""The root settings, validated by pydantic-settings through sources of our own.

The built-in sources are not used: the environment source makes phantom profiles, the dotenv source lets a repository's
``.env`` in, and merging files field by field would send one file's secret to another file's address.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, GetPydanticSchema
from pydantic.fields import FieldInfo
from pydantic_core import core_schema
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from .environment import EnvironmentLayer
from .fields import MAX_CONNECTIONS

__all__ = ["validated"]


class _Model(BaseSettings):
    """The fields of :class:`.settings.Settings`, with what each may be."""

    model_config = SettingsConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    default_profile: str | None = None
    max_connections: Annotated[int, Field(ge=1, le=MAX_CONNECTIONS)] = MAX_CONNECTIONS
    keyring_backends: list[str] = []
    profile: str | None = None
    # Made by our own source, so there is nothing to validate, nor to describe to pydantic at every start.
    environment: Annotated[EnvironmentLayer, GetPydanticSchema(lambda *_: core_schema.any_schema())] = (
        EnvironmentLayer()
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then the files; see the module's text for what is left out."""
        given: Any = init_settings
        return tuple(_Source(settings_cls, found) for found in given.init_kwargs["read_from"])


class _Source(PydanticBaseSettingsSource):
    def __init__(self, settings_cls: type[BaseSettings], found: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._found = found

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        raise AssertionError("the sources answer for all fields at once")

    def __call__(self) -> dict[str, Any]:
        return self._found


def validated(*found: dict[str, Any]) -> dict[str, Any]:
    """What was found, strongest first, each value checked to be what it may be."""
    model = _Model(read_from=found)  # type: ignore[call-arg]  # for the sources
    return {name: getattr(model, name) for name in _Model.model_fields}
