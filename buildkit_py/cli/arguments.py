"""The arguments of `pybuild build`: pybuild's own, and every one that `docker build` and `docker buildx build` have."""

from __future__ import annotations

from argparse import SUPPRESS

from buildkit_py.cli.parser import Group, Parser, add_definition, add_store, at_least, repeatable

PROGRESS = ("auto", "tty", "plain", "json", "rawjson", "quiet")
CALLS = ("build", "check", "outline", "targets")
CLASSIC_SWITCHES = ("--rm", "--force-rm", "--compress", "--disable-content-trust", "--stream")
CLASSIC_VALUES = (*("--isolation", "--cpuset-mems", "--cgroup-parent", "--security-opt"),)
"""What belongs to a daemon, its containers and its way to a client: accepted, without effect."""
ELSEWHERE = ("--attest", "--provenance", "--sbom", "--builder")
"""What asks for things that this version does not make, or that need no asking."""


def prepare(parser: Parser) -> None:
    """Add the arguments."""
    add_definition(parser)
    _where(parser.add_argument_group("where it goes"))
    _image(parser.add_argument_group("what the image says"))
    _how(parser.add_argument_group("what runs"))
    _grants(parser.add_argument_group("what steps are given"))
    _limits(parser.add_argument_group("what each step may use at most"))
    _told(parser.add_argument_group("instead of building"))
    _classic(parser)
    _shown(parser.add_argument_group("what is shown"))


def _where(group: Group) -> None:
    repeatable(group, "-t --tag", "NAME", "name the image in the store, and where --push sends it; repeatable")
    repeatable(
        group, "-o --output", "SPEC",
        "also write it: KIND:PLACE, or type=KIND,dest=PLACE, or a path (of a Dockerfile: a directory for its files); "
        "kinds: archive, layout, docker, rootfs, registry, store, local, tar, oci, image, cacheonly",
    )  # fmt: skip
    group.add_argument("--push", action="store_true", help="write registry outputs too; without any, push the tags")
    group.add_argument("--load", action="store_true", help="keep it in the store, as every build does")
    group.add_argument("--fsync-output", action="store_true", help="end only when archives are on the disk for certain")
    group.add_argument("--iidfile", metavar="FILE", help="write the image's digest to a file")
    group.add_argument("--metadata-file", metavar="FILE", help="write what was made as JSON")
    repeatable(
        group, "--cache-to", "SPEC",
        "keep results where other machines find them: REPOSITORY, ./DIR, or type=registry,ref=REPOSITORY,mode=max; "
        "repeatable",
    )  # fmt: skip


def _image(group: Group) -> None:
    repeatable(group, "--label", "KEY=VALUE", "a label; repeatable")
    repeatable(group, "--annotation", "KEY=VALUE", "an annotation of the manifest, or index:KEY=VALUE; repeatable")
    group.add_argument(
        "--layers",
        metavar="HOW",
        help="stage: one layer a stage; PLAN.toml: as a plan says (default: as the file says)",
    )
    group.add_argument("--squash", action="store_true", help="one layer above the base")
    group.add_argument(
        "--timestamp", metavar="SECONDS", help="the time that files and the image get, or now (default: 0)"
    )


def _how(group: Group) -> None:
    group.add_argument("--no-cache", action="store_true", help="run every step again")
    repeatable(group, "--no-cache-filter", "STAGE", "run the steps of a stage again; repeatable")
    repeatable(
        group,
        "--cache-from",
        "SPEC",
        "take known results from there: REPOSITORY, ./DIR, type=local,src=DIR; repeatable",
    )
    group.add_argument("--refresh", action="store_true", help="run again the steps that use the network")
    group.add_argument(
        "--keep-going", action="store_true", help="after a failure, finish and publish what does not depend on it"
    )
    group.add_argument("-j", "--jobs", type=at_least(1), metavar="N", help="work on at most N steps at once")
    group.add_argument(
        "--runtime",
        choices=("auto", "runc", "crun", "bwrap"),
        default="auto",
        metavar="NAME",
        help="what steps run in: runc, crun, bwrap (default: the first of them that is here)",
    )
    group.add_argument(
        "--snapshotter",
        choices=("auto", "overlay", "reflink", "copy"),
        default="auto",
        metavar="NAME",
        help="how file trees are put together: overlay, reflink, copy (default: the first that works here)",
    )
    add_store(group)


def _grants(group: Group) -> None:
    repeatable(group, "--secret", "SPEC", "id=NAME and src=FILE, env=VARIABLE or cmd=COMMAND; repeatable")
    repeatable(group, "--ssh", "SPEC", "an ssh agent: default, or NAME=SOCKET, or NAME=KEYFILE; repeatable")
    group.add_argument(
        "--allow-short-secret", action="store_true", help="take secrets under 8 bytes, for which no search is made"
    )
    repeatable(group, "--allow", "GRANT", "network.host or security.insecure, for steps that ask for it; repeatable")
    group.add_argument("--network", metavar="KIND", help="of steps that name none: default, none or host")
    repeatable(group, "--add-host", "NAME:IP", "a line of /etc/hosts; repeatable")
    repeatable(group, "--ulimit", "NAME=SOFT[:HARD]", "a resource limit, as nofile=1024; repeatable")
    group.add_argument("--shm-size", metavar="SIZE", help="the size of /dev/shm, as 64m")


def _limits(group: Group) -> None:
    for names, metavar, text in (
        ("--step-timeout", "TIME", "how long it may run, as 10m or 1h30m"),
        ("-m --memory", "SIZE", "its memory, as 512m or 2g"),
        ("--memory-swap", "SIZE", "its memory and swap together; -1: any swap (default: as --memory, so no swap)"),
        ("--pids-limit", "N", "its processes and threads"),
        ("--cpus", "N", "processors' worth of time, as 1.5"),
        ("--cpuset-cpus", "LIST", "the processors that it may run on, as 0-2,4"),
        ("-c --cpu-shares", "N", "its weight where processors are short (default: 1024)"),
        ("--cpu-quota", "N", "microseconds of processor time in each period"),
        ("--cpu-period", "N", "the period of --cpu-quota, in microseconds (default: 100000)"),
    ):
        group.add_argument(*names.split(), metavar=metavar, help=text)


def _told(group: Group) -> None:
    group.add_argument("--check", action="store_true", help="look for mistakes, as --call=check does")
    group.add_argument(
        "--call",
        metavar="WHAT",
        help="check; outline: arguments, secrets and agents; targets; add ,format=json for JSON",
    )
    group.add_argument("--print", dest="call", metavar="WHAT", help=SUPPRESS)
    group.add_argument("--format", choices=("text", "json"), metavar="KIND", help="text or json, of --check and --call")


def _shown(group: Group) -> None:
    group.add_argument(
        "--progress",
        choices=PROGRESS,
        metavar="KIND",
        help="tty, plain, json or quiet (default: tty on a terminal, else plain)",
    )
    group.add_argument("-q", "--quiet", action="store_true", help="print only the digest")
    group.add_argument(
        "--timings",
        nargs="?",
        const="",
        metavar="FILE",
        help="print where the time went; --timings=FILE also draws it: .svg, or .json for a Chrome trace",
    )
    group.add_argument("-D", "--debug", action="store_true", help=SUPPRESS)


def _classic(parser: Parser) -> None:
    """What is taken so that a script for another builder runs: help does not offer it."""
    for name in CLASSIC_SWITCHES:
        parser.add_argument(name, action="store_true", help=SUPPRESS)
    for names in (*CLASSIC_VALUES, *ELSEWHERE):
        repeatable(parser, names, "VALUE", SUPPRESS)
