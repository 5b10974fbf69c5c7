"""Deploy releases with Helm, and say why one does not come up: `tenancy deploy`."""
