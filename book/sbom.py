"""Write the bill of materials: every package of the lock, as CycloneDX reads it.

    python book/sbom.py OUT.json

It says what requirements.lock says and nothing else: no time, no random number, nothing of the
machine. Two runs give the same bytes.
"""

import json
import re
import sys
import tomllib
from pathlib import Path

from cyclonedx import model
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]


def packages(lock: str) -> list[tuple[Requirement, list[str]]]:
    """Return each package that a lock pins, with the sha256 of each of its files."""
    entries = re.findall(r"^(\w[^\\\n]*)((?: \\\n    --hash=\S+)+)", lock, re.M)
    return [(Requirement(pin), re.findall(r"sha256:(\w+)", hashes)) for pin, hashes in entries]


def component(pin: Requirement, hashes: list[str]) -> Component:
    """Return one package; a marker says on which Pythons and systems it is installed."""
    (exact,) = pin.specifier
    purl = PackageURL("pypi", name=pin.name, version=exact.version)
    # A package is several files, one of which is installed: hashes are of files, not of packages.
    files = model.ExternalReference(
        type=model.ExternalReferenceType.DISTRIBUTION,
        url=model.XsUri(str(purl)),
        hashes=[
            model.HashType(alg=model.HashAlgorithm.SHA_256, content=digest) for digest in hashes
        ],
    )
    return Component(
        name=pin.name,
        version=exact.version,
        bom_ref=str(purl),
        purl=purl,
        external_references=[files],
        properties=[model.Property(name="marker", value=str(pin.marker))] if pin.marker else [],
    )


def bill(root: Path) -> str:
    """Return the bill of materials as JSON."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    book = Component(
        name=project["name"],
        version=project["version"],
        type=ComponentType.APPLICATION,
        licenses=[LicenseExpression(project["license"])],
        bom_ref=project["name"],
    )
    pinned = packages((root / "requirements.lock").read_text())
    bom = Bom(components=[component(*package) for package in pinned])
    bom.metadata.component = book
    bom.register_dependency(book, bom.components)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["serialNumber"], document["metadata"]["timestamp"]  # they differ each time
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(bill(ROOT), encoding="utf-8")
