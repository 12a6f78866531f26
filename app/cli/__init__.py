"""The `novahouse` command: a few functions for each subcommand, and nothing that decides anything."""

from app.cli.commands import main

__all__ = ["main"]
