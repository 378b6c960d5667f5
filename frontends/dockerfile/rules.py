"""The build checks by name: what each asks for, and where it is documented."""

from __future__ import annotations

import re
from collections.abc import Mapping

from buildkit_py.dataclass import dataclass

_DOCUMENTS = "https://docs.docker.com/go/dockerfile/rule"
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One check. An `experimental` one runs only where `# check=experimental=` asks for it."""

    name: str
    description: str
    experimental: bool = False

    @property
    def url(self) -> str:
        """The page that explains it."""
        return f"{_DOCUMENTS}/{'-'.join(_WORDS.findall(self.name)).lower()}/"


RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(name="StageNameCasing", description="The name of a stage is written in lower case"),
        Rule(name="FromAsCasing", description="AS is written in the case of its FROM"),
        Rule(name="NoEmptyContinuation", description="No empty line stands inside an instruction"),
        Rule(name="ConsistentInstructionCasing", description="All instructions of a file are written in one case"),
        Rule(name="DuplicateStageName", description="No two stages have the same name"),
        Rule(name="ReservedStageName", description="No stage is called by a word that means something else"),
        Rule(
            name="JSONArgsRecommended",
            description="CMD and ENTRYPOINT are written as JSON, so that signals reach the program and not a shell",
        ),
        Rule(name="MaintainerDeprecated", description="The author of an image is a label, MAINTAINER is deprecated"),
        Rule(name="UndefinedArgInFrom", description="FROM uses arguments that are declared above the first FROM"),
        Rule(
            name="WorkdirRelativePath",
            description="The first WORKDIR is absolute: a relative one depends on what the base image says",
        ),
        Rule(name="UndefinedVar", description="A variable is defined above its use"),
        Rule(
            name="MultipleInstructionsDisallowed",
            description="A stage has one CMD, one ENTRYPOINT and one HEALTHCHECK: only the last would count",
        ),
        Rule(name="LegacyKeyValueFormat", description="ENV and LABEL are written with an equals sign"),
        Rule(name="InvalidBaseImagePlatform", description="A base image is made for the platform that is built for"),
        Rule(
            name="RedundantTargetPlatform",
            description="--platform=$TARGETPLATFORM says what holds anyway",
        ),
        Rule(name="SecretsUsedInArgOrEnv", description="ARG and ENV hold no secrets: they are kept in the image"),
        Rule(
            name="InvalidDefaultArgInFrom",
            description="The defaults of the arguments make a valid name of a base image",
        ),
        Rule(name="FromPlatformFlagConstDisallowed", description="--platform of FROM is no constant"),
        Rule(name="CopyIgnoredFile", description="COPY and ADD name nothing that the ignore file leaves out"),
        Rule(
            name="InvalidDefinitionDescription",
            description="A comment right above ARG or a named FROM begins with the name that it describes",
            experimental=True,
        ),
        Rule(name="ExposeProtoCasing", description="The protocol of EXPOSE is written in lower case"),
        Rule(name="ExposeInvalidFormat", description="EXPOSE names a port alone, no address and no host port"),
    )
}
