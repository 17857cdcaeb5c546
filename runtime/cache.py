"""Where downloaded jars and the Java wrapper are kept, independent of the folder a command is started in."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def cache_directory() -> Path:
    """The folder for things that can be fetched or made again; it may not exist yet.

    `LAKEHOUSE_CACHE_DIRECTORY` if set; in a checkout `.lakehouse/cache` (which `make clean` removes); for an
    installed package `shopware-lakehouse` in the user's cache folder. State of a run does not belong here: tests
    and demos with their own state directory share this one.
    """
    chosen = os.environ.get("LAKEHOUSE_CACHE_DIRECTORY", "")
    if chosen:
        return Path(chosen).expanduser().resolve()
    if (CHECKOUT / "pyproject.toml").is_file():
        return CHECKOUT / ".lakehouse" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shopware-lakehouse"
