"""One build, from a pinned definition to stored images and written outputs."""

from __future__ import annotations

import os
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from buildkit_py import events
from buildkit_py.engine.buildfile import project_of
from buildkit_py.engine.check import (
    check_grants,
    check_limits,
    check_secrets,
    check_sources,
    check_ssh,
    check_tools,
    mounted_secrets,
    runnable,
)
from buildkit_py.engine.options import BuildOptions, BuildResult
from buildkit_py.engine.outputs import check_outputs
from buildkit_py.engine.record import Recorder, Solved
from buildkit_py.errors import Cancelled, PybuildError
from buildkit_py.executor.local import LocalExecutor
from buildkit_py.executor.secrets import SecretSpec, SecretStore, SshSpec, logins_of
from buildkit_py.executor.tools import MachineTools
from buildkit_py.executor.workshop import Workshop
from buildkit_py.layer.contexts import Contexts
from buildkit_py.layer.stored import StoredTrees
from buildkit_py.solver.build import ids_of, nodes_of
from buildkit_py.solver.nodes import Node
from buildkit_py.solver.scheduler import Scheduler
from buildkit_py.solver.session import Session, SolveOptions
from buildkit_py.store.builds import new_id

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from buildkit_py.engine.publish import Published
    from buildkit_py.events import Emit
    from buildkit_py.executor.source.image import Images
    from buildkit_py.graph.definition import Definition
    from buildkit_py.sharing.lookup import SharedCache
    from buildkit_py.store import Store


class BuildRun:
    """The life of one build: check, solve, publish, record."""

    def __init__(
        self,
        store: Store,
        images: Images,
        options: BuildOptions,
        definition: Definition,
        emit: Emit,
        started: float,
    ) -> None:
        self._store = store
        self._images = images
        self._options = options
        self._started = started
        self._recorder = Recorder(emit)
        self.cache: SharedCache | None = None
        self._id = new_id()
        self._definition = runnable(definition, explicit=bool(options.platforms), note=self._note)
        self._secrets = SecretStore(
            map(SecretSpec.parse, options.secrets),
            allow_short=options.allow_short_secret,
            hidden=logins_of(options.proxies),
        )
        self._ssh = tuple(map(SshSpec.parse, options.ssh))

    def run(self) -> BuildResult:
        """Do it all; raises the first failure once everything that may go on has ended."""
        tools = MachineTools(self._store)
        check_grants(self._definition, self._options.allow)
        check_outputs(self._definition, self._options)
        check_tools(self._definition, tools)
        self._note_unused()
        check_secrets(self._definition, self._secrets)
        check_ssh(self._definition, {agent.id: agent for agent in self._ssh})
        shop = self._workshop(check_limits(self._definition, self._options.limits))
        self.contexts = shop.contexts
        self._open_caches(shop.trees)
        with (
            closing(shop.contexts),
            LocalExecutor(shop, runtime=self._options.runtime, snapshotter=self._options.snapshotter) as executor,
        ):
            check_sources(self._definition, shop.contexts)
            session = Session(
                definition=self._definition,
                store=self._store,
                trees=shop.trees,
                contexts=shop.contexts,
                executor=executor,
                tools=tools,
                emit=self._recorder,
                options=self._solve_options(),
                started=self._started,
                cache=self.cache,
            )
            return self._solve(session)

    def _open_caches(self, trees: StoredTrees) -> None:
        if self._options.cache_from and not self._options.no_cache:
            from buildkit_py.engine.sharing import open_caches

            self.cache = open_caches(self._store, trees, self._images, self._options, self._warn)

    @property
    def record(self) -> Mapping[str, Any]:
        """What the build left in the list of builds."""
        return self._recorder.kept

    def _workshop(self, controllers: frozenset[str]) -> Workshop:
        return Workshop(
            store=self._store,
            trees=StoredTrees(self._store),
            contexts=Contexts(
                {**self._options.contexts, "context": self._options.context}, self._store.root / "stat.db"
            ),
            images=self._images,
            secrets=self._secrets,
            ssh=self._ssh,
            note=self._note,
            secret_ids=mounted_secrets(self._definition),
            proxies=self._options.proxies,
            controllers=controllers,
        )

    def _solve(self, session: Session) -> BuildResult:
        nodes = nodes_of(session)
        told = [node for node in nodes if node.kind != "names"]
        self._recorder(events.BuildStarted(at=session.now(), build=self._id, total=len(told)))
        scheduler = Scheduler(session, nodes)
        outcome = "failed"
        try:
            scheduler.run()
            if scheduler.failures:
                if self._options.keep_going:
                    self._publish_whole(session, scheduler, nodes)
                self._write_caches(session, nodes, failed=True)
                raise scheduler.failures[0].error
            published = self._publish(session, nodes)
            self._write_caches(session, nodes)
            outcome = "done"
        except (KeyboardInterrupt, Cancelled):
            outcome = "cancelled"
            raise
        finally:
            self._end(session, nodes, scheduler, outcome)
        return BuildResult(
            build=self._id,
            images=published.images,
            digests=published.digests,
            descriptors=published.descriptors,
            ran=len(session.ran),
            cached=len(session.cached),
            seconds=session.now(),
            slowest=self._recorder.slowest(),
        )

    def _write_caches(self, session: Session, nodes: list[Node], *, failed: bool = False) -> None:
        """Tell what came from caches, and send results to those that are to have them; also those of a build that
        failed: the next one need not begin anew."""
        for name, count in sorted(self.cache.used.items()) if self.cache is not None else ():
            self._note(f"cache {name}: {count} records used")
        if self._options.cache_to:
            from buildkit_py.engine.sharing import CacheWriter

            writer = CacheWriter(session=session, images=self._images, nodes=nodes, cache=self.cache)
            writer.write(self._options.cache_to, failed=failed)

    def _publish(self, session: Session, nodes: list[Node], without: Collection[str] = ()) -> Published:
        from buildkit_py.engine.publish import Publisher

        return Publisher(session, self._images, self._options, nodes).publish(without)

    def _publish_whole(self, session: Session, scheduler: Scheduler, nodes: list[Node]) -> None:
        """Publish the images that no failure touches; why the build failed stays what it fails with."""
        broken = {failure.node.id for failure in scheduler.failures} | set(scheduler.skipped)
        hurt = {target.name for target in self._definition.targets if ids_of(session, target) & broken}
        try:
            self._publish(session, nodes, without=hurt)
        except PybuildError as error:
            self._recorder(events.Note(at=session.now(), text=error.message, level="warning"))

    def _end(self, session: Session, nodes: list[Node], scheduler: Scheduler, outcome: str) -> None:
        for name in self._secrets.unsearchable():
            self._warn(
                f"the secret {name!r} is too short to be searched for: nobody knows whether a step wrote it down"
            )
        self._recorder(
            events.BuildDone(
                at=session.now(),
                outcome="done" if outcome == "done" else "failed",
                ran=len(session.ran),
                cached=len(session.cached),
                skipped=len(scheduler.skipped),
            )
        )
        try:
            graph = self._store.blobs.put(self._definition.to_json())
            said = project_of(self._options)
            solved = Solved(nodes=nodes, spells=scheduler.spells, times=session.times, asked=scheduler.asked)
            self._recorder.save(self._store, solved, build=self._id, graph=graph, outcome=outcome, **said)
        except (PybuildError, OSError) as error:
            # What the build made is there, and why it failed is more important than its record.
            text = f"no record of this build was kept: {error}"
            self._recorder(events.Note(at=session.now(), text=text, level="warning"))

    def _solve_options(self) -> SolveOptions:
        return SolveOptions(
            build=self._id,
            epoch=self._options.epoch or 0,
            no_cache=self._options.no_cache,
            refresh=self._options.refresh,
            keep_going=self._options.keep_going,
            jobs=self._options.jobs or max(16, 4 * (os.cpu_count() or 1)),
            given=frozenset({*(f"secret.{name}" for name in self._secrets), *(f"ssh.{each.id}" for each in self._ssh)}),
            limits=self._options.limits,
        )

    def _note_unused(self) -> None:
        """Say which secrets were given that no step asks for."""
        wanted = mounted_secrets(self._definition)
        for name in self._secrets:
            if name not in wanted:
                from buildkit_py.suggest import suggest

                close = suggest(name, [each for each in wanted if each not in self._secrets])
                told = f"; did you mean {close!r}?" if close else ""
                self._note(f"no step asks for the secret {name!r}{told}")

    def _note(self, text: str) -> None:
        self._recorder(events.Note(at=time.monotonic() - self._started, text=text))

    def _warn(self, text: str) -> None:
        self._recorder(events.Note(at=time.monotonic() - self._started, text=text, level="warning"))
