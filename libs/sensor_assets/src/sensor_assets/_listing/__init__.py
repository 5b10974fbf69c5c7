"""Listings of object stores: what a store is asked, how its answers are compared with the page map, and when."""
