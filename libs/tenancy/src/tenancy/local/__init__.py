"""The local platform: every process of the product on one machine, from a clone, without containers."""
