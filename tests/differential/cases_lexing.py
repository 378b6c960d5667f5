"""Lines: continuations, comments, the escape directive, white space, quotes, case of words."""

from __future__ import annotations

from tests.differential.case import DOCKER, case

CASES = [
    case(
        "lexing-continuation",
        "a backslash at the end of a line joins it with the next",
        r"""
        FROM busybox
        ENV A=1 \
            B=2 \
            C=3
        RUN echo one \
            two   three > /out
        """,
    ),
    case(
        "lexing-comment-in-continuation",
        "comment lines inside a continued instruction vanish",
        """
        FROM busybox
        RUN echo a \\
        # a comment
            # an indented one
            b > /out
        """,
    ),
    case(
        "lexing-blank-line-in-continuation",
        "empty lines inside a continued instruction vanish",
        """
        FROM busybox
        RUN echo a \\

            b > /out
        """,
    ),
    case(
        "lexing-space-after-backslash",
        "white space after the backslash does not undo the continuation",
        "FROM busybox\nRUN echo a \\  \n  b > /out\n",
    ),
    case(
        "lexing-hash-inside-a-line",
        "a # that does not begin the line is no comment",
        """
        FROM busybox
        RUN echo a # b > /lost
        LABEL x=a#b
        ENV COLOUR=#fff
        """,
    ),
    case(
        "lexing-comment-before-from",
        "comments and empty lines may stand first",
        """
        # one

          # two
        FROM busybox
        LABEL a=1
        """,
    ),
    case(
        "lexing-indented-instructions",
        "leading white space of an instruction is dropped",
        "   FROM busybox\n\t LABEL a=1\n  RUN echo x > /out\n",
    ),
    case(
        "lexing-lower-case",
        "instructions may be written in any case",
        """
        from busybox
        env A=1
        Run echo $A > /out
        wOrKdIr /w
        """,
    ),
    case(
        "lexing-crlf",
        "lines may end with CR LF",
        "FROM busybox\r\nENV A=1 \\\r\n  B=2\r\nRUN echo $A$B > /out\r\nLABEL x=y\r\n",
    ),
    case("lexing-no-final-newline", "the last line needs no line end", "FROM busybox\nLABEL a=1"),
    case(
        "lexing-backslash-at-the-end-of-file",
        "a continuation that the end of the file cuts off is what was there",
        "FROM busybox\nLABEL a=1 \\\n",
    ),
    case(
        "lexing-escape-backtick",
        "`# escape=` makes the backtick continue lines, and the backslash an ordinary character",
        """
        # escape=`
        FROM busybox
        ENV A=1 `
            B=2
        LABEL path=C:\\dir
        RUN echo a `
            b > /out
        """,
    ),
    case(
        "lexing-escape-directive-spaces",
        "a directive may have spaces around its parts, and capitals in its key",
        """
        #   ESCAPE = `
        FROM busybox
        LABEL a=1 `
              b=2
        """,
    ),
    case(
        "lexing-escape-after-comment",
        "a directive after a comment is a comment",
        """
        # a comment
        # escape=`
        FROM busybox
        LABEL a=1 \\
              b=2
        """,
    ),
    case(
        "lexing-escape-after-blank",
        "a directive after an empty line is a comment",
        """

        # escape=`
        FROM busybox
        LABEL a=1 \\
              b=2
        """,
    ),
    case("lexing-escape-bad", "the escape is a backslash or a backtick", "# escape=x\nFROM busybox\n", fails=True),
    case(
        "lexing-escape-twice",
        "a directive given twice is an error",
        "# escape=`\n# escape=`\nFROM busybox\n",
        fails=True,
        on=(DOCKER,),
    ),
    case(
        "lexing-unknown-directive",
        "an unknown directive is a comment, which ends the directives",
        """
        # unknown=1
        # escape=`
        FROM busybox
        LABEL a=1 \\
              b=2
        """,
    ),
    case(
        "lexing-quotes-in-label",
        "single and double quotes group, and vanish; the backslash escapes inside double quotes",
        r"""
        FROM busybox
        LABEL a="x y" b='p q' c="say \"hi\"" d='it'"s" e=one\ two
        """,
    ),
    case(
        "lexing-quoted-keys",
        "the key of a label may be quoted, the name of a variable too",
        """
        FROM busybox
        LABEL "the key"="the value" 'other'=x
        """,
    ),
    case(
        "lexing-quoted-newline",
        "a continuation inside quotes joins the lines as they are",
        """
        FROM busybox
        LABEL a="one \\
          two"
        """,
    ),
    case(
        "lexing-legacy-env",
        "`ENV name text` takes the rest of the line, quotes included in the text as it is read",
        """
        FROM busybox
        ENV A  one two   three
        ENV B "quoted text"
        ENV C its = not
        RUN echo "$A|$B|$C" > /out
        """,
    ),
    case(
        "lexing-open-quote",
        "a quote that nobody closes is an error",
        "FROM busybox\nENV C it's\n",
        fails=True,
    ),
    case(
        "lexing-legacy-label",
        "`LABEL name text` takes the rest of the line",
        """
        FROM busybox
        LABEL note some words  here
        """,
    ),
    case(
        "lexing-env-then-words",
        "once a name has its `=`, every word needs one",
        "FROM busybox\nENV A=b # c\n",
        fails=True,
    ),
    case("lexing-env-without-value", "ENV needs a value", "FROM busybox\nENV A\n", fails=True),
    case("lexing-empty-value", "a value may be empty", 'FROM busybox\nENV A= B=""\nLABEL c= d=""\n'),
    case("lexing-unknown-instruction", "an unknown instruction is an error", "FROM busybox\nCOPPY a b\n", fails=True),
    case("lexing-empty-file", "a Dockerfile without instructions is an error", "# nothing\n", fails=True),
    case("lexing-no-from", "something has to stand before the first step: FROM", "RUN true\n", fails=True),
    case(
        "lexing-run-json",
        "a list in JSON is run without a shell",
        """
        FROM busybox
        RUN ["touch", "/a b", "/$HOME"]
        """,
    ),
    case(
        "lexing-run-single-quoted-list",
        "a list in single quotes is no JSON: the shell gets it",
        """
        FROM busybox
        RUN ['touch', '/out'] || echo "$?" > /code
        """,
    ),
    case(
        "lexing-json-over-lines",
        "a list in JSON may be continued",
        """
        FROM busybox
        CMD ["a", \\
             "b"]
        ENTRYPOINT [ "x" , "y" ]
        """,
    ),
    case(
        "lexing-cmd-bad-json",
        "what looks like a list but is no JSON is a command for the shell",
        """
        FROM busybox
        CMD ["a", "b"
        ENTRYPOINT [x]
        """,
    ),
    case(
        "lexing-bom",
        "a byte order mark at the beginning is dropped",
        "\ufeffFROM busybox\nLABEL a=1\n",
        on=(DOCKER,),
    ),
    case(
        "lexing-unicode",
        "texts may hold any character",
        "FROM busybox\nLABEL name=grüße\nRUN echo 日本 > /ü\nENV X='→'\n",
    ),
    case(
        "lexing-tab-separated",
        "tabs separate as spaces do",
        "FROM\tbusybox\nENV\tA=1\tB=2\nCOPY\ta\t/b\n",
        {"a": "a"},
    ),
    case(
        "lexing-backslash-in-shell-text",
        "a backslash inside a command belongs to the shell",
        r"""
        FROM busybox
        RUN printf 'a\tb\n' > /out; echo \$HOME >> /out; echo "a\\b" >> /out
        """,
    ),
    case(
        "lexing-entrypoint-empty",
        "an empty list clears",
        """
        FROM rich
        ENTRYPOINT []
        CMD []
        """,
    ),
]
