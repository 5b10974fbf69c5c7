"""The aircraft and airports of the fleet, from a table and a file that change."""
