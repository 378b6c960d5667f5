"""Here-documents."""

import pytest

from frontends.dockerfile import syntax
from frontends.dockerfile.heredoc import openings
from tests.support.dockerfile_parse import body, complaint, faults, line, one


@pytest.mark.parametrize(
    ("rule", "text", "names"),
    [
        ("a word", "RUN <<EOF", ["EOF"]),
        ("with tabs taken away", "RUN <<-EOF", ["EOF"]),
        ("of a file descriptor", "RUN 3<<EOF", ["EOF"]),
        ("quoted", "RUN <<'EOF' <<\"E2\"", ["EOF", "E2"]),
        ("quoted in part", "RUN <<eo'f'", ["eof"]),
        ("quoted with white space", "RUN <<'one two'", ["one two"]),
        ("an escaped quote", "RUN <<eo\\'f", ["eo'f"]),
        ("escaped white space", "RUN <<a\\ b", ["a b"]),
        ("a variable is none", "RUN <<$EOF <<${E}", ["$EOF", "${E}"]),
        ("several", "RUN cat <<A <<B >x", ["A", "B"]),
        ("white space behind <<", "RUN cat <<   EOF > x", ["EOF"]),
        ("a dash behind white space is of the name", "RUN << -EOF", ["-EOF"]),
        ("a dash and white space open nothing", "RUN <<- EOF", []),
        ("a here-string", "RUN cat <<<EOF", []),
        ("in the middle of a word", "RUN cat<<EOF", []),
        ("a redirection in front", "RUN cat 1>x<<EOF", []),
        ("in quotes", "RUN '<<EOF' \"<<E2\"", []),
        ("without a name", "RUN a <<", []),
        ("an empty name", 'RUN a <<""', []),
        ("two in one word", "RUN <<A<<B", []),
        ("in a flag", "RUN --mount=<<A <<B", ["B"]),
        ("a quote that is not closed: nothing at all", "RUN echo it's <<EOF", []),
        ("a double quote that is not closed", 'RUN <<EOF "x', []),
        ("a variable that can't be read", "RUN echo ${x,,} <<EOF", []),
        ("a variable that is not closed", "RUN echo ${x <<EOF", []),
        ("a variable with a default", "RUN echo ${x:-a b} <<EOF", ["EOF"]),
        ("an operator behind a colon may be any", "RUN echo ${x:1} <<EOF", ["EOF"]),
        ("a variable with patterns", "RUN echo ${x#a} ${x%%b} ${x/a/b} ${x//a/b} <<EOF", ["EOF"]),
        ("a command in the shell's way", "RUN echo $(date) <<EOF", ["EOF"]),
        ("a name may hold almost anything", "COPY <<file.txt,v1 /x", ["file.txt,v1"]),
    ],
)
def test_openings(rule: str, text: str, names: list[str]) -> None:
    assert [each.name for each, _ in openings(line(text))] == names, rule


@pytest.mark.parametrize(
    ("word", "expand"),
    [
        ("<<EOF", True),
        ("<<'EOF'", False),
        ('<<"EOF"', False),
        ("<<E'O'F", False),
        ("<<E\\'F", True),
        ("<<'e'o\\'f", False),
        ("<<E\\OF", True),
    ],
)
def test_a_quoted_name_expands_nothing(word: str, expand: bool) -> None:
    ((found, _),) = openings(line(f"RUN {word}"))
    assert found.expand is expand


def documents(text: str) -> list[tuple[str, str, str]]:
    node = one(text)
    assert isinstance(node, syntax.Run | syntax.Copy)
    return [(each.name, each.text, each.raw) for each in node.heredocs]


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("a body", "RUN <<E\na\n b\nE", [("E", "a\n b\n", "a\n b\n")]),
        ("no body", "RUN <<E\nE\n", [("E", "", "")]),
        ("comments and blank lines are text", "RUN <<E\n# a\n\nb\nE", [("E", "# a\n\nb\n", "# a\n\nb\n")]),
        ("a continuation is text", "RUN <<E\na \\\nb\nE", [("E", "a \\\nb\n", "a \\\nb\n")]),
        ("tabs are taken away", "RUN <<-E\n\t\ta\n\t b\n\tE", [("E", "a\n b\n", "\t\ta\n\t b\n")]),
        ("without a dash they are not", "RUN <<E\n\ta\nE", [("E", "\ta\n", "\ta\n")]),
        ("white space does not end it", "RUN <<E\nE \n E\n\tE\nE", [("E", "E \n E\n\tE\n", "E \n E\n\tE\n")]),
        ("one after the other", "RUN <<A <<B\nB\nA\nA\nB", [("A", "B\n", "B\n"), ("B", "A\n", "A\n")]),
        ("CRLF is kept", "RUN <<E\r\na\r\nE\r\n", [("E", "a\r\n", "a\r\n")]),
        ("opened in a continuation", "RUN a \\\n <<E\nx\nE", [("E", "x\n", "x\n")]),
        ("a source of COPY", "COPY <<E b /c\nx\nE", [("E", "x\n", "x\n")]),
        ("a source of ADD", "ADD <<'E' /c\nx\nE", [("E", "x\n", "x\n")]),
        ("two of one name: the last text counts", "COPY <<A <<A /x\n1\nA\n2\nA", [("A", "2\n", "2\n")] * 2),
    ],
)
def test_bodies(rule: str, text: str, expected: list[tuple[str, str, str]]) -> None:
    assert documents(text) == expected, rule


def test_a_here_document_is_no_source() -> None:
    node = one("COPY a <<E b /c\nx\nE")
    assert isinstance(node, syntax.Copy)
    assert [word.text for word in node.sources] == ["a", "b"]


def test_what_follows_is_an_instruction_again() -> None:
    assert [each.name for each in body("RUN <<E\nRUN x\nE\nENV a=b\n")] == ["RUN", "ENV"]


@pytest.mark.parametrize("text", ['RUN ["<<E"]', "CMD <<E", "ENTRYPOINT cat <<E", "USER <<E", "HEALTHCHECK CMD <<E"])
def test_others_open_none(text: str) -> None:
    assert len(body(f"{text}\nENV a=b\n")) == 2


def test_under_onbuild() -> None:
    node = one("ONBUILD RUN cat <<A <<-'B'  \na\nA\n\tb\n\tB\n")
    assert isinstance(node, syntax.OnBuild) and isinstance(node.trigger, syntax.Run)
    assert node.expression == "RUN cat <<A <<-'B'  \na\nA\n\tb\nB"
    assert [each.text for each in node.trigger.heredocs] == ["a\n", "b\n"]


def test_one_without_an_end() -> None:
    (found,) = faults("FROM a\nRUN <<EOF\nx\n  EOF\nRUN y\n")
    assert found.message == "the here-document EOF does not end"
    assert found.span is not None and (found.span.line, found.span.column) == (2, 5)
    ((_, near),) = found.notes
    assert near.line == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("COPY a <<E\nE", "COPY can't write to a here-document"),
        ("COPY << E /x\nE", "a here-document of COPY is none of its sources"),
        ("COPY <<'a b' /x\na b", "a here-document of COPY is none of its sources"),
        ('COPY ["<<E", "/x"]', "a here-document of COPY has no text below"),
    ],
)
def test_what_copy_refuses(text: str, message: str) -> None:
    assert complaint(text) == message
