"""Punctuality by day from departures and weather, two assets of other locations."""
