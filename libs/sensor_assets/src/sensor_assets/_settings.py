"""What differs between environments, read once from environment variables into typed fields."""

import re
from typing import Any, Literal, Self
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from sensor_assets.errors import DefinitionError, SettingsError


class Settings(BaseSettings):
    """Settings that every location has; a location adds its own fields in a subclass.

    Each field is read from the environment variable of the same name in upper case. `Settings.load()` is called when
    definitions load, so that a location with a missing or wrong variable fails at start-up, by name.

    Example:
        >>> class MySettings(Settings):
        ...     landing_url: str
        ...     interval_seconds: float = 30
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    environment: Literal["local", "dev", "staging", "prod"]
    team: str = Field(min_length=1)
    location: str = Field(min_length=1)
    ledger_url: SecretStr
    ledger_schema: str = Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")

    @classmethod
    def load(cls) -> Self:
        """Read the settings from the environment.

        Raises:
            SettingsError: Names every variable that is missing or wrong, and where to set it.
        """
        try:
            return cls()  # type: ignore[call-arg]  # fields come from the environment
        except ValidationError as error:
            lines = [_explain(detail) for detail in error.errors(include_url=False, include_input=False)]
        raise SettingsError(
            f"{cls.__module__}.{cls.__qualname__}: {len(lines)} environment variable(s) missing or wrong\n  "
            + "\n  ".join(lines)
            + "\nSet them in environments/<environment>/values.yaml, under variables or locations.<location>.variables."
        )

    def fill(self, text: str, where: str) -> str:
        """Replace each ``{field}`` in a text by the value of that setting.

        Raises:
            DefinitionError: The settings have no such field.
        """

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name not in type(self).model_fields:
                known = ", ".join(sorted(type(self).model_fields))
                raise DefinitionError(f"{where}: no setting '{name}' for '{text}'; the settings are {known}")
            content: Any = getattr(self, name)
            return str(content.get_secret_value() if isinstance(content, SecretStr) else content)

        return re.sub(r"\{([a-z_][a-z0-9_]*)\}", value, text)

    def mask(self, text: str) -> str:
        """Replace the value of each secret field in a text by ``***``, for messages and the UI."""
        for name in type(self).model_fields:
            content: Any = getattr(self, name)
            if isinstance(content, SecretStr) and (secret := content.get_secret_value()):
                text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
        return text


def _explain(detail: Any) -> str:
    name = ".".join(str(part) for part in detail["loc"]).upper()
    return f"{name}: " + ("is missing" if detail["type"] == "missing" else str(detail["msg"]))
