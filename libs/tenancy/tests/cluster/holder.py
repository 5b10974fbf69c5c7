"""A process that takes the daemon's lock, says so, and holds it: `python holder.py PORT`."""

import logging
import sys
import time

from tenancy.cluster.environment import Login, Server
from tenancy.cluster.sole import sole


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    server = Server("127.0.0.1", int(sys.argv[1]), "disable")
    print("waiting", flush=True)
    with sole(server, "postgres", Login("postgres", sys.argv[2]), key="database.passwords"):
        print("holding", flush=True)
        while True:
            time.sleep(1)


if __name__ == "__main__":
    main()
