"""Departures of New York's airports by day, from the flight files that land in the object store."""
