"""Alerts by condition: each hour of weather goes to the severe or to the routine log."""
