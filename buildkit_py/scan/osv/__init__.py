"""Known vulnerabilities, from a local directory of advisories in the OSV format. Nobody is asked over the network."""
