"""`make licences`: the licence of every package that the image carries, in docs/licences.md."""

import sys
from collections.abc import Iterable
from importlib.metadata import PackageMetadata, metadata
from typing import Final

from packaging.requirements import Requirement

from tests.processes import ROOT
from tests.supply.lock import exported

DOCUMENT = ROOT / "docs/licences.md"
_HEAD = """# Licences

Every package that the image carries, from uv.lock; `make licences` writes this page and a test checks it. None of them
asks that our own code be published: packages under MPL-2.0 are used as they are, unchanged.

| package | licence |
|---|---|
"""
_IMAGE: Final = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
}
_CLASSIFIERS: Final = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "zlib/libpng License": "Zlib",
}


def packages() -> list[str]:
    """The names of what the image carries."""
    lines = exported("requirements.txt", "--no-hashes", "--no-annotate", "--no-header").splitlines()
    pinned = [Requirement(line) for line in lines]
    return sorted(each.name for each in pinned if each.marker is None or each.marker.evaluate({**_IMAGE}))


def licence(package: PackageMetadata) -> str:
    """The licence that a package declares: its SPDX expression, else its classifiers, else its own words."""
    if "License-Expression" in package:
        return package["License-Expression"]
    classifiers: Iterable[str] = package.get_all("Classifier") or ()
    named = [c.rsplit(" :: ", 1)[-1] for c in classifiers if c.startswith("License :: OSI Approved :: ")]
    if named:
        return " or ".join(sorted(_CLASSIFIERS.get(name, name) for name in named))
    return package["License"].strip().splitlines()[0] if "License" in package else "unknown"


def page() -> str:
    """docs/licences.md as it should be."""
    return _HEAD + "".join(f"| {name} | {licence(metadata(name))} |\n" for name in packages())


if __name__ == "__main__":
    DOCUMENT.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{DOCUMENT.relative_to(ROOT)}: {len(packages())} packages\n")
