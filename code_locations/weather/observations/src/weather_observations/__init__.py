"""Hourly weather at New York's airports by day, from an HTTP service."""
