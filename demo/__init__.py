"""Feeds that play the year 2013 at New York's airports into outside systems, and the comparison of what arrived."""
