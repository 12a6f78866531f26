"""`python -m app.cli`: the same as `novahouse`."""

from app.cli.commands import main

if __name__ == "__main__":
    main()
