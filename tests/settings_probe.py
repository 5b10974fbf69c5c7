"""Run in a location's own environment: build its settings from each environment's variables, then without each of them.

Arguments: the location's package, and JSON of the variables by environment. Prints one line for each thing that is
wrong.
"""

import importlib
import json
import os
import sys

from sensor_assets import Settings, SettingsError


def main() -> None:
    """Print what is wrong; nothing when all is well."""
    package, environments = sys.argv[1], json.loads(sys.argv[2])
    os.environ.update(next(iter(environments.values())))
    module = importlib.import_module(f"{package}.settings")
    kind = type(module.settings)
    if not isinstance(module.settings, Settings):
        print(f"{package}.settings.settings is no sensor_assets.Settings")
    for environment, variables in environments.items():
        os.environ.update(variables)
        if kind.load().environment != environment:
            print(f"{environment}: the settings are those of another environment")
        for name, field in kind.model_fields.items():
            if field.is_required():
                expect_missing(kind, name.upper(), environment)


def expect_missing(kind: type[Settings], variable: str, environment: str) -> None:
    """Take one variable away and expect an error that names it."""
    value = os.environ.pop(variable)
    try:
        kind.load()
        print(f"{environment}: nobody misses {variable}")
    except SettingsError as error:
        if f"{variable}: is missing" not in str(error):
            print(f"{environment}: without {variable} the message is {error}")
    os.environ[variable] = value


if __name__ == "__main__":
    main()
