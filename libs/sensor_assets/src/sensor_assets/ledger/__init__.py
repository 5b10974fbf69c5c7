"""The ledger: Postgres tables in which every item is recorded once, in order of arrival."""

from sensor_assets.ledger._api import Emission, Following, Ledger, Scan, ScanSupersededError
from sensor_assets.ledger._migrate import head, migrate
from sensor_assets.ledger._postgres import PostgresLedger

__all__ = ["Emission", "Following", "Ledger", "PostgresLedger", "Scan", "ScanSupersededError", "head", "migrate"]
