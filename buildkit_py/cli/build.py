"""`pybuild build`."""

from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from buildkit_py.cli.arguments import prepare
from buildkit_py.cli.parser import Command, Namespace
from buildkit_py.cli.shell import Shell
from buildkit_py.cli.words import plain
from buildkit_py.errors import PybuildError, UsageError

if TYPE_CHECKING:
    from buildkit_py.cli.again import Ear
    from buildkit_py.engine import BuildOptions, BuildResult, Engine
    from buildkit_py.events import Emit
    from buildkit_py.progress import Mode, View


def run(args: Namespace, shell: Shell) -> int:
    """Build, show how it goes, and write down what was made; or tell about the build file."""
    from buildkit_py.cli.call import call_of
    from buildkit_py.cli.request import options_of

    call = call_of(args)
    options = options_of(args, shell)
    if args.iidfile and len(args.target) > 1:
        raise UsageError("--iidfile takes the digest of one image", hint="use --metadata-file for several")
    shell.folders.append(args.context)
    if call is not None:
        from buildkit_py.cli.call import answer
        from buildkit_py.cli.request import opened

        with shell.engine(args.store) as engine, opened(args, options, engine, shell) as found:
            return answer(call, found, engine, shell)
    return _Build(args, options, shell).run()


class _Build:
    """One build as a person sees it."""

    def __init__(self, args: Namespace, options: BuildOptions, shell: Shell) -> None:
        from buildkit_py.cli.request import progress_of

        self._args = args
        self._options = options
        self._shell = shell
        self._mode = cast("Mode", progress_of(args, shell.environ))
        self._streams = any(output.value == "-" for output in options.outputs)
        self._check_stream()
        if args.timings:
            from buildkit_py.cli.timings import drawer, keep_others

            keep_others(args.timings, drawer(args.timings))

    def run(self) -> int:
        from buildkit_py.cli.again import Ear
        from buildkit_py.events import Note
        from buildkit_py.progress import open_view

        shell = self._shell
        if self._args.iidfile:
            _forget(Path(self._args.iidfile))
        view = open_view(self._mode, out=shell.out, err=shell.err, environ=shell.environ)
        ear = Ear(view)
        with shell.engine(self._args.store) as engine:
            engine.on_quota(lambda text: view(Note(at=0, text=text)))
            try:
                result = self._build(engine, ear)
                shell.sources.update(engine.texts.files)
                self._keep(engine, ear, view, result)
            except PybuildError as error:
                view.close()
                _explain(error, view, engine, shell)
                self._warn(view)
                if view.model.images:
                    # What was made before the failure, or in spite of it.
                    self._tell([image.digest for image in view.model.images], view)
                self._show_times(engine, view)
                raise
            finally:
                view.close()
            self._write_down(result)
            self._warn(view)
            self._tell(list(result.digests.values()), view)
            self._show_times(engine, view)
        return 0

    def _keep(self, engine: Engine, ear: Ear, view: View, result: BuildResult) -> None:
        """Leave a receipt, where the same command would do nothing but look at the same things again."""
        from buildkit_py.cli.again import keep

        warned = self._mode == "json" and bool(view.model.warnings)
        asked = self._args.timings is not None or self._args.timestamp == "now"
        if warned or asked or self._args.iidfile or self._args.metadata_file:
            return
        digests = list(result.digests.values())
        told = {"mode": self._mode, "events": ear.heard, "digests": digests, "warnings": self._warnings(view)}
        keep(self._shell, engine, told)

    def _build(self, engine: Engine, view: Emit) -> BuildResult:
        from buildkit_py.cli.request import opened
        from buildkit_py.events import Note

        for text in self._notes():
            view(Note(at=0, text=text))
        with opened(self._args, self._options, engine, self._shell) as found:
            return engine.build(found, view)

    def _notes(self) -> list[str]:
        from buildkit_py.cli.foreign import notes

        return notes(self._args)

    def _check_stream(self) -> None:
        """Refuse to mix an image with text."""
        if self._streams and self._mode == "json":
            raise UsageError("--progress json and an output share standard output", hint="write the output to a file")
        if self._streams and self._shell.out.isatty():
            raise UsageError("an output is not written to a terminal", hint="redirect it: > FILE")

    def _warn(self, view: View) -> None:
        """Show what is probably not meant in the build file, at the end, where it is read."""
        if text := self._warnings(view):
            self._shell.complain(text)

    def _warnings(self, view: View) -> str:
        found = view.model.warnings
        if not found or self._mode in ("quiet", "json"):
            return ""
        from buildkit_py.cli.faults import render_diagnostics
        from buildkit_py.progress.text import count

        return f"\n{render_diagnostics(found, self._shell)}\n{count(len(found), 'warning')}\n"

    def _tell(self, digests: list[str], view: View) -> None:
        from buildkit_py.cli.again import conclude

        conclude(self._mode, digests, view, self._shell.complain if self._streams else self._shell.write)

    def _show_times(self, engine: Engine, view: View) -> None:
        """Show where the time went, if that is asked for and the build got so far that there is a record."""
        if self._args.timings is not None and view.model.build:
            from buildkit_py.cli.timings import show

            quiet = self._streams or self._mode in ("quiet", "json")
            say = self._shell.complain if quiet else self._shell.write
            show(engine.store, view.model.build, say, self._args.timings)

    def _write_down(self, result: BuildResult) -> None:
        if self._args.metadata_file or self._args.iidfile:
            from buildkit_py.cli.metadata import write_down

            write_down(result, self._options, metadata=self._args.metadata_file, iid=self._args.iidfile)


def _forget(file: Path) -> None:
    """Remove the file of an earlier build, which must not pass for this one's; what is no plain file stays."""
    with suppress(OSError):
        if stat.S_ISREG(file.lstat().st_mode):
            file.unlink()


def _explain(error: PybuildError, view: View, engine: Engine, shell: Shell) -> None:
    """Tell of every step that failed; what was told of `error` there is not repeated by the caller."""
    from buildkit_py.cli.faults import excerpts
    from buildkit_py.progress.failure import explains, render

    shell.sources.update(engine.texts.files)
    spans = [step.span for step in view.model.steps.values() if step.span]
    if error.span:
        spans.append(error.span)
    text = render(view.model, error, excerpts(spans, shell))
    if text:
        shell.complain(f"\n{text}")
    if explains(view.model, error):
        shell.told.add(id(error))


BUILD = Command(
    "build",
    usage="[options] [DIR | URL | -]",
    about=(
        "Build the images that a Buildfile or a Dockerfile describes. What is in the store already is not done\n"
        "again; a build of the same inputs gives the same digests, on any machine. Command lines of `docker build`\n"
        "work as they are."
    ),
    examples=(
        ("pybuild build", "build ./Buildfile, else ./Dockerfile"),
        ("pybuild build -f web.build --target web -t web:dev", "one image, named in the store"),
        ("pybuild build --param variant=debug -o debug.tar", "another variant, as an OCI archive"),
        ("pybuild build -f Dockerfile --build-arg V=2 -t app .", "a Dockerfile, as docker is told to"),
        ("pybuild build --target bin -f Dockerfile -o out .", "the files of a stage, into a directory"),
        ("pybuild build --secret id=token,src=token.txt", "give a secret to the steps that ask for it"),
        ("pybuild build --platform linux/amd64,linux/arm64 --push", "two platforms, to the registry"),
        ("pybuild build https://example.org/app.git#main:web", "a directory of a git repository"),
        ("pybuild build --check", "look for mistakes, build nothing"),
        ("pybuild build --locked --progress plain", "in CI"),
        ("pybuild build --cache-from r.example/app/cache", "what other machines did is not done again"),
    ),
    prepare=prepare,
    run=run,
    words=plain,
)
