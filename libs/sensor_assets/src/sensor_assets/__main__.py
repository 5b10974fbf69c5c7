"""`sensor-assets`: work with a team's ledger from the command line."""

import os
import sys

from sensor_assets.errors import SensorAssetsError
from sensor_assets.ledger import PostgresLedger, migrate

_USAGE = "usage: sensor-assets migrate | status    (LEDGER_URL and LEDGER_SCHEMA name the ledger)"


def main() -> int:
    """Run one command; returns the exit code."""
    url, schema = os.environ.get("LEDGER_URL"), os.environ.get("LEDGER_SCHEMA")
    if sys.argv[1:] not in (["migrate"], ["status"]) or not url or not schema:
        print(_USAGE, file=sys.stderr)
        return 2
    try:
        if sys.argv[1] == "migrate":
            migrate(url, schema)
        else:
            _status(PostgresLedger(url, schema))
    except SensorAssetsError as error:
        print(f"sensor-assets: {error}", file=sys.stderr)
        return 1
    return 0


def _status(ledger: PostgresLedger) -> None:
    for row in ledger.status():
        print("  ".join(f"{name}={value}" for name, value in row.items()))


if __name__ == "__main__":
    sys.exit(main())
