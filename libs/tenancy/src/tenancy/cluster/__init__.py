"""The platform on a cluster: launcher, queue, daemon, webserver and database of an instance that teams share."""
