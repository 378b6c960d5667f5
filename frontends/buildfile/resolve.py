"""Syntax to model: files and their imports, the names they declare, and every semantic error of all of them."""

from __future__ import annotations

import posixpath
from collections.abc import Callable

from buildkit_py.errors import PybuildError, SourceError
from buildkit_py.source import Diagnostic, Span
from frontends.buildfile import syntax
from frontends.buildfile.checking import check_module
from frontends.buildfile.claims import check_claims
from frontends.buildfile.cycles import check_cycles
from frontends.buildfile.model import TYPES, UNKNOWN, Def, Module, Parameter, Program, Recipe, Secret, Type
from frontends.buildfile.parser import parse
from frontends.buildfile.text import SourceText
from frontends.buildfile.unused import warn
from frontends.buildfile.words import FORMS, RESERVED, SHELL_NAMES, did_you_mean

Read = Callable[[str], str]
_ALLOWED = (syntax.Header, syntax.Param, syntax.Secret, syntax.Def, syntax.Import, syntax.Recipe, syntax.Broken)
_KINDS = {"params": "a param", "secrets": "a secret", "defs": "a def", "recipes": "a stage or an image"}


def resolve(text: str, file: str, read: Read | None) -> tuple[Program, list[Diagnostic]]:
    """The program that a text and its imports make, and everything that is wrong with it.

    `read` gives the text of a context-relative path; without it, nothing is said about imported names.
    """
    loader = _Loader(read)
    main = loader.load(text, file, main=True)
    program = Program(main=main, modules=loader.modules)
    for module in loader.modules.values():
        check_module(module, loader.report)
        check_claims(module, loader.report)
    check_cycles(program, loader.report)
    if not loader.diagnostics:
        for module in loader.modules.values():
            warn(module, loader.report)
    order = {name: index for index, name in enumerate(loader.modules)}
    found = list(dict.fromkeys(loader.diagnostics))
    found.sort(key=lambda item: (order.get(item.span.file, 0), item.span) if item.span else (-1, Span("", 0, 0, 0, 0)))
    return program, found


class _Loader:
    def __init__(self, read: Read | None) -> None:
        self.read = read
        self.diagnostics: list[Diagnostic] = []
        self.modules: dict[str, Module] = {}
        self.path: list[str] = []

    def report(self, diagnostic: Diagnostic) -> None:
        self.diagnostics.append(diagnostic)

    def fault(self, message: str, span: Span, hint: str | None = None, first: Span | None = None) -> None:
        notes = (("it is declared here first", first),) if first else ()
        self.report(Diagnostic(message=message, span=span, hint=hint, notes=notes))

    def load(self, text: str, file: str, *, main: bool) -> Module:
        source = SourceText.of(text, file)
        module = Module(source=source, main=main)
        self.modules[file] = module
        try:
            parsed, diagnostics = parse(source)
        except SourceError as error:
            self.diagnostics += error.diagnostics
            return module
        self.diagnostics += diagnostics
        self.path.append(file)
        self.header(parsed, module)
        for statement in parsed.body:
            self.declare(module, statement)
        self.path.pop()
        return module

    def header(self, parsed: syntax.File, module: Module) -> None:
        headers = [item for item in parsed.body if isinstance(item, syntax.Header)]
        first = parsed.body[0] if parsed.body else None
        if not headers and not isinstance(first, syntax.Broken):
            span = module.source.span(0, 0) if first is None else first.span
            self.fault("the file does not say which version of the language it is written in", span, _HEADER)
        for header in headers:
            if header is not first and not isinstance(first, syntax.Broken):
                self.fault("`buildfile` is the first statement of a file", header.span, "move it to the first line")
            if header.version != 1:
                message = f"this is version {header.version} of the language, pybuild knows version 1"
                self.fault(message, header.span, "write `buildfile 1`, or use a newer pybuild")

    def declare(self, module: Module, statement: syntax.Statement) -> None:
        if not isinstance(statement, _ALLOWED):
            word = _first_word(statement)
            self.fault(f"`{word}` can't stand outside a block", statement.span, _where(word))
        elif isinstance(statement, syntax.Broken):
            if statement.declares:
                module.broken.add(statement.declares)
        elif isinstance(statement, syntax.Import):
            self.load_import(module, statement)
        elif not isinstance(statement, syntax.Header):
            self.declare_name(module, statement)

    def declare_name(self, module: Module, node: syntax.Param | syntax.Secret | syntax.Def | syntax.Recipe) -> None:
        if not module.main and (isinstance(node, syntax.Param) or getattr(node, "kind", "") == "image"):
            kind = "a param" if isinstance(node, syntax.Param) else "an image"
            hint = "give what it is needed for to a `def` as an argument" if kind == "a param" else "make it a stage"
            self.fault(f"a file that is imported can't have {kind}", node.span, hint)
            module.broken.add(node.name.text)
            return
        if isinstance(node, syntax.Param):
            self.add(module, "params", node.name, self.parameter(node))
        elif isinstance(node, syntax.Secret):
            text = (node.help.constant or "") if node.help else ""
            self.add(module, "secrets", node.name, _secret(node, text))
        elif isinstance(node, syntax.Def):
            self.add(module, "defs", node.name, self.definition(module, node))
        else:
            made = Recipe(
                kind=node.kind,
                name=node.name.text,
                module=module,
                body=node.body,
                help=node.help,
                span=node.span,
                order=len(module.recipes),
            )
            self.add(module, "recipes", node.name, made)

    def add(self, module: Module, table: str, name: syntax.Word, value: object) -> None:
        known = getattr(module, table)
        self.check_name(name, shell=table == "params")
        if name.text in known:
            self.fault(f"there is already {_KINDS[table]} `{name.text}`", name.span, None, known[name.text].span)
        else:
            known[name.text] = value

    def check_name(self, name: syntax.Word, *, shell: bool) -> None:
        if name.text in RESERVED:
            self.fault(f"`{name.text}` is a word of the language", name.span, "choose another name")
        elif shell and name.text in SHELL_NAMES:
            hint = "choose another name: a step that mentions it would see it instead"
            self.fault(f"`{name.text}` has a meaning of its own in every step", name.span, hint)

    def parameter(self, node: syntax.Param) -> Parameter:
        return Parameter(
            name=node.name.text,
            type=self.type(node.type),
            default=node.default,
            help=node.help,
            span=node.name.span,
        )

    def type(self, node: syntax.TypeName) -> Type:
        if node.name is None:
            choices = tuple(choice.constant or "" for choice in node.choices)
            for choice in node.choices:
                if choice.constant is None:
                    self.fault("a value of an enumeration is written as it is, without `${…}`", choice.span)
                elif choices.count(choice.constant) > 1:
                    self.fault(f'the value "{choice.constant}" stands here twice', choice.span)
                    break
            return Type(kind="string", choices=choices)
        if node.name.text not in TYPES:
            hint = did_you_mean(node.name.text, set(TYPES)) or 'a type is string, int, bool, list, or "a" | "b"'
            self.fault(f"there is no type `{node.name.text}`", node.span, hint)
            return UNKNOWN
        return TYPES[node.name.text]

    def definition(self, module: Module, node: syntax.Def) -> Def:
        parameters: dict[str, Parameter] = {}
        optional = False
        for item in node.parameters:
            self.check_name(item.name, shell=True)
            if item.name.text in parameters:
                self.fault(f"there is already an argument `{item.name.text}`", item.name.span)
            if optional and item.default is None:
                hint = "put it before those that have a default, or give it one"
                self.fault(f"`{item.name.text}` needs a default, as the one before it has one", item.name.span, hint)
            optional = optional or item.default is not None
            parameters[item.name.text] = self.parameter(item)
        return Def(
            name=node.name.text,
            module=module,
            parameters=tuple(parameters.values()),
            body=node.body,
            span=node.name.span,
        )

    # --- imports

    def load_import(self, module: Module, node: syntax.Import) -> None:
        name = node.name
        self.check_name(name, shell=False)
        if name.text in module.imports:
            self.fault(f"there is already an import `{name.text}`", name.span)
            return
        module.imports[name.text] = None
        path = self.import_path(module, node)
        if path is None or self.read is None:
            return
        if path in self.path:
            drawing = " → ".join([*self.path[self.path.index(path) :], path])
            self.fault("this import closes a circle", node.path.span, f"it is {drawing}: take one of them away")
        elif path in self.modules:
            module.imports[name.text] = self.modules[path]
        else:
            module.imports[name.text] = self.read_import(path, node)

    def import_path(self, module: Module, node: syntax.Import) -> str | None:
        written = node.path.constant
        if written is None:
            self.fault("the path of an import is written as it is, without `${…}`", node.path.span)
            return None
        path = import_path(module.source.file, written)
        if path is None:
            hint = "copy the file into it, or build in the directory above with `-f`"
            self.fault(f"`{written}` leaves the directory of the build", node.path.span, hint)
        return path

    def read_import(self, path: str, node: syntax.Import) -> Module | None:
        assert self.read is not None
        if len(self.path) > 20:
            self.fault("imports are nested more than 20 deep", node.path.span)
            return None
        try:
            text = self.read(path)
        except PybuildError as error:
            self.report(
                Diagnostic(message=f"can't import `{path}`", span=node.path.span, label=error.message, hint=error.hint)
            )
            return None
        return self.load(text, path, main=False)


def import_path(file: str, written: str) -> str | None:
    """Where an import leads, relative to the context; None where it leaves it."""
    if "\0" in written or not written or written.startswith("/"):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(file), written))
    return None if path.startswith(("../", "/")) or path in ("..", ".") else path


_HEADER = "begin it with `buildfile 1`"


def _secret(node: syntax.Secret, text: str) -> Secret:
    return Secret(name=node.name.text, text=text, help=text or node.comment, span=node.name.span)


def _first_word(statement: syntax.Statement) -> str:
    if isinstance(statement, syntax.Call):
        return str(statement.target)
    if isinstance(statement, syntax.With):
        return "with"
    keyword = getattr(statement, "keyword", None)
    return keyword.text if isinstance(keyword, syntax.Word) else "this"


def _where(word: str) -> str:
    if word in ("file", "absent", "owner", "mode", "text"):
        return f'put it into a test: `test "name" {{ {FORMS[word]} }}`'
    if word in ("if", "for"):
        return "put it into an image, a stage, a layer or a def"
    return f"put it into an image or a stage: `image web {{ … {word} … }}`"
