"""Everything here that reads foreign bytes, by name: what hypothesis and atheris feed, and where they begin."""

from __future__ import annotations

from tests.fuzz import answers, archives, documents, packages, settings, signatures, stores, texts
from tests.fuzz.contract import Target

TARGETS: dict[str, Target] = {
    **texts.TARGETS,
    **documents.TARGETS,
    **settings.TARGETS,
    **signatures.TARGETS,
    **archives.TARGETS,
    **answers.TARGETS,
    **packages.TARGETS,
    **stores.TARGETS,
}
