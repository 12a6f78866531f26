"""Lets another command work on the stack that runs in this folder, as if `novahouse up` had started it."""

import os
from pathlib import Path

from app.devstack.home import Home
from app.devstack.process import DevstackError
from app.devstack.settings import StackSettings, environment_with


def adopt(root: Path) -> bool:
    """Give this process the settings of the running stack's processes, where its own environment says nothing.

    False, with nothing changed, when DATABASE_URL is set or nothing runs in the home of the project at `root`.
    """
    try:
        settings = StackSettings.read()
    except DevstackError:
        return False
    if settings.database_url is not None:
        return False
    published = Home(settings.novahouse_home or root / ".novahouse").published()
    os.environ.update(environment_with(published))
    return bool(published)
