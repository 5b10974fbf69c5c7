"""`python -m tenancy.cluster`."""

from tenancy.cluster.cli import main

if __name__ == "__main__":
    main(prog_name="python -m tenancy.cluster")
