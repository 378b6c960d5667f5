"""Plain statements to graph ops, one function a keyword; `from` and settings change the state alone."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from buildkit_py.errors import SourceError
from buildkit_py.graph import (
    Chmod,
    Chown,
    Copy,
    GitSource,
    HttpSource,
    Mkdir,
    Remove,
    Symlink,
    Unpack,
    Write,
)
from buildkit_py.source import Span
from frontends.buildfile import settings, syntax, values
from frontends.buildfile.evaluate import Evaluator
from frontends.buildfile.expand import Action, Scope
from frontends.buildfile.programs import lower_program
from frontends.buildfile.state import Config, State
from frontends.buildfile.text import fault

_ROOT = "0:0"


def perform(state: State, action: Action) -> None:
    """Do what one action says. Raises `SourceError`, and what the resolver raises."""
    node = action.node
    word = node.keyword.text
    if word == "from":
        _from(state, action)
        return
    if word in _UNORDERED:
        _UNORDERED[word](state, action)
        return
    if not state.tip:
        message = f"no `from` stands before this `{word}` for these params and {state.platform}"
        raise fault(message, node.keyword.span, hint="an `if` around `from` needs an `else` with another one")
    if isinstance(node, syntax.Exec):
        cwd = state.ensure_workdir(action) if word == "run" else "/"
        op, inputs = lower_program(state, action, cwd)
        state.step(action, op, **inputs)
    elif word in _STEPS:
        _STEPS[word](state, _Parts(state, action))
    else:
        settings.SETTINGS[word](state, action)


class _Parts:
    """The evaluated parts of one command."""

    def __init__(self, state: State, action: Action) -> None:
        assert isinstance(action.node, syntax.Command)
        self.action = action
        self.node = action.node
        self.evaluator: Evaluator = action.scope.evaluator(state.environment)

    def words(self, check: values.Check, first: int = 0) -> tuple[str, ...]:
        return tuple(self.evaluator.word(operand, check) for operand in self.node.operands[first:])

    def option(self, name: str, check: values.Check) -> str | None:
        option = self.node.option(name)
        return self.evaluator.word(option.values[0], check) if option else None

    def required(self, name: str, check: values.Check) -> str:
        found = self.option(name, check)
        assert found is not None
        return found

    def owner(self) -> str:
        return self.option("owner", values.owner) or _ROOT


def _test(state: State, action: Action) -> None:
    state.tests.append(action)


def _output(state: State, action: Action) -> None:
    from frontends.buildfile.lower import output_of

    state.outputs.append(output_of(action))


def _annotation(state: State, action: Action) -> None:
    node = action.node
    assert isinstance(node, syntax.Command)
    key, value = node.operands
    evaluator = action.scope.evaluator(state.environment)
    assert not isinstance(value, syntax.Reference)
    state.annotations[evaluator.word(key, values.filled)] = evaluator.string(value)


def _nothing(state: State, action: Action) -> None:
    pass


_UNORDERED: dict[str, Callable[[State, Action], None]] = {
    "test": _test,
    "output": _output,
    "annotation": _annotation,
    "platforms": _nothing,
}


def _from(state: State, action: Action) -> None:
    node = action.node
    assert isinstance(node, syntax.Command)
    if state.tip:
        raise fault(f"a {state.recipe.kind} has one `from`", node.span, hint="this is a second one for these params")
    base = node.operands[0]
    lowering = state.lowering
    if isinstance(base, syntax.Reference):
        recipe = action.scope.module.find_recipe(base)
        if recipe is None:
            state.base = state.tip = lowering.scratch()
            return
        plan = lowering.plan(recipe, state.platform)
        if plan is None:
            raise SourceError(lowering.diagnostics[-1:])
        state.base, state.tip, state.layers = plan.base, plan.tip, list(plan.layers)
        state.config = Config.of(plan.config)
        state.directories = set(plan.directories)
        return
    ref = action.scope.evaluator().word(base, values.image)
    vertex, config = lowering.image(ref, state.platform, base.span)
    state.base = state.tip = vertex
    state.config = Config.of(config)
    if config.workdir.startswith("/"):
        state.learn(config.workdir)


def origin(state: State, scope: Scope, value: syntax.Operand | None) -> str:
    """The vertex that `from` names: the context, a stage or image, or an image of a registry."""
    if value is None:
        return state.lowering.context()
    if isinstance(value, syntax.Reference):
        recipe = scope.module.find_recipe(value)
        assert recipe is not None
        plan = state.lowering.plan(recipe, state.platform)
        return plan.tip if plan else state.lowering.scratch()
    ref = scope.evaluator(state.environment).word(value, values.image)
    return state.lowering.image(ref, state.platform, value.span)[0]


def _origin(state: State, parts: _Parts) -> str:
    option = parts.node.option("from")
    return origin(state, parts.action.scope, option.values[0] if option else None)


def _copy(state: State, parts: _Parts) -> None:
    excluded = [value for option in parts.node.options if option.name.text == "exclude" for value in option.values]
    mode = _copied_mode(parts.option("mode", values.copied_mode))
    op = Copy(
        sources=parts.words(values.source),
        dest=parts.required("to", values.path),
        exclude=tuple(parts.evaluator.word(value, values.filled) for value in excluded),
        owner=parts.owner(),
        mode=mode,
        directory_mode=_directory_mode(mode),
    )
    _check_several(op.sources, op.dest, parts.node.span)
    state.step(parts.action, op, **{"from": _origin(state, parts)})
    state.learn_file(op.dest if not op.sources[0].endswith("/") else op.dest + "/")


def _copied_mode(written: str | None) -> str | None:
    if written is None:
        return "auto"
    return None if written == "keep" else written


def _directory_mode(mode: str | None) -> str | None:
    """The mode of directories where that of files is octal: who may read one can enter it."""
    if mode is None or not mode.isdigit():
        return None
    bits = int(mode, 8)
    return f"{bits | (bits & 0o444) >> 2:04o}"


def _check_several(sources: tuple[str, ...], dest: str, span: Span) -> None:
    if len(sources) > 1 and not dest.endswith("/"):
        raise fault("several sources need a directory to go into", span, hint=f"write `to {dest}/`")


def _mkdir(state: State, parts: _Parts) -> None:
    mode, owner = parts.option("mode", values.mode) or "0755", parts.owner()
    for path in parts.words(values.path):
        state.step(parts.action, Mkdir(path=posixpath.normpath(path), mode=mode, owner=owner))
        state.learn(path)


def _write(state: State, parts: _Parts) -> None:
    path, text = parts.node.operands
    assert not isinstance(text, syntax.Reference)
    name = parts.evaluator.word(path, values.path)
    if name.endswith("/"):
        raise fault("`write` makes a file, this is a directory", path.span, hint=f"write `{name}NAME`")
    op = Write(
        path=name,
        text=parts.evaluator.string(text),
        mode=parts.option("mode", values.mode) or "0644",
        owner=parts.owner(),
    )
    state.step(parts.action, op)
    state.learn_file(name)


def _symlink(state: State, parts: _Parts) -> None:
    (path,) = parts.words(values.path)
    target = parts.required("to", values.filled)
    state.step(parts.action, Symlink(path=posixpath.normpath(path), target=target, owner=parts.owner()))
    state.learn(posixpath.dirname(posixpath.normpath(path)))


def _remove(state: State, parts: _Parts) -> None:
    paths = tuple(_no_root(path, parts) for path in parts.words(values.path))
    state.step(parts.action, Remove(paths=paths, missing_ok=parts.node.option("optional") is not None))
    for path in paths:
        state.forget(path)


def _no_root(path: str, parts: _Parts) -> str:
    if posixpath.normpath(path) == "/":
        raise fault("the root of the image can't be removed", parts.node.span, hint="write `/*` for all that is in it")
    return posixpath.normpath(path)


def _chmod(state: State, parts: _Parts) -> None:
    mode = parts.evaluator.word(parts.node.operands[0], values.mode)
    paths = tuple(posixpath.normpath(path) for path in parts.words(values.path, 1))
    recursive = parts.node.option("recursive") is not None
    state.step(parts.action, Chmod(paths=paths, mode=mode, recursive=recursive))


def _chown(state: State, parts: _Parts) -> None:
    owner = parts.evaluator.word(parts.node.operands[0], values.owner)
    paths = tuple(posixpath.normpath(path) for path in parts.words(values.path, 1))
    recursive = parts.node.option("recursive") is not None
    state.step(parts.action, Chown(paths=paths, owner=owner, recursive=recursive))


def _unpack(state: State, parts: _Parts) -> None:
    texts = parts.words(values.filled)
    owner, strip = parts.option("owner", values.owner), int(parts.option("strip", values.count) or 0)
    dest = parts.required("to", values.path)
    if texts[0].startswith(("http://", "https://")):
        vertex, name = _download(state, parts)
        sources: tuple[str, ...] = (f"/{name}",)
    else:
        vertex, sources = _origin(state, parts), parts.words(values.source)
    op = Unpack(sources=sources, dest=dest, owner=owner, strip=strip)
    state.step(parts.action, op, **{"from": vertex})
    state.learn(dest)


def _fetch(state: State, parts: _Parts) -> None:
    vertex, name = _download(state, parts)
    dest = parts.required("to", values.path)
    mode = parts.option("mode", values.mode) or "0644"
    op = Copy(sources=(f"/{name}",), dest=dest, owner=parts.owner(), mode=mode)
    state.step(parts.action, op, **{"from": vertex})
    state.learn_file(dest)


def _download(state: State, parts: _Parts) -> tuple[str, str]:
    """The vertex of a URL, pinned, and the name of its file."""
    (url,) = parts.words(values.url)
    name = posixpath.basename(unquote(urlsplit(url).path)) or "download"
    name = "download" if name in (".", "..") or "\0" in name else name
    digest = parts.option("digest", values.digest) or state.lowering.resolver.http(url)
    source = HttpSource(url=url, filename=name, digest=digest)
    return state.lowering.graph.add(source, span=parts.node.span), name


def _git(state: State, parts: _Parts) -> None:
    (url,) = parts.words(values.repository)
    revision = parts.option("at", values.revision) or "HEAD"
    subdir = (parts.option("subdir", values.source) or "").strip("/")
    commit = state.lowering.resolver.git(url, revision)
    source = state.lowering.graph.add(GitSource(url=url, commit=commit, subdir=subdir), span=parts.node.span)
    dest = parts.required("to", values.path).rstrip("/") + "/"
    mode = parts.option("mode", values.mode) or "auto"
    op = Copy(sources=("/",), dest=dest, owner=parts.owner(), mode=mode, directory_mode=_directory_mode(mode))
    state.step(parts.action, op, **{"from": source})
    state.learn(dest)


_STEPS: dict[str, Callable[[State, _Parts], None]] = {
    "copy": _copy,
    "mkdir": _mkdir,
    "write": _write,
    "symlink": _symlink,
    "remove": _remove,
    "chmod": _chmod,
    "chown": _chown,
    "unpack": _unpack,
    "fetch": _fetch,
    "git": _git,
}
