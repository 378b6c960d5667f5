"""RUN: its forms, its environment, its user and directory, what a step leaves in the image."""

from __future__ import annotations

from tests.differential.case import DOCKER, case

CASES = [
    case("run-shell", "text is run by `/bin/sh -c`", "FROM busybox\nRUN echo a > /a && echo b > /b\n"),
    case("run-exec", "a list is run as it is", 'FROM busybox\nRUN ["sh", "-c", "echo $0 $1 > /out", "x", "y z"]\n'),
    case("run-failing", "a step that fails ends the build", "FROM busybox\nRUN exit 3\n", fails=True),
    case("run-not-found", "a program that is not there ends the build", 'FROM busybox\nRUN ["nope"]\n', fails=True),
    case("run-no-shell", "without a shell the text form fails", "FROM scratch\nRUN echo\n", fails=True),
    case(
        "run-shell-instruction",
        "SHELL changes what runs the text form, and how CMD is stored",
        """
        FROM busybox
        SHELL ["/bin/sh", "-e", "-c"]
        RUN echo a > /out
        CMD echo x
        """,
    ),
    case(
        "run-workdir",
        "a step begins in WORKDIR, which is made",
        """
        FROM busybox
        WORKDIR /a/b
        RUN pwd > out
        WORKDIR c
        RUN pwd > out
        WORKDIR ../d
        RUN pwd > out
        WORKDIR /
        RUN pwd > out
        """,
    ),
    case(
        "run-user-name",
        "USER by name: its ids and its supplementary groups, HOME from passwd",
        """
        FROM busybox
        USER app
        RUN id > /tmp/id; echo $HOME > /tmp/home; touch /tmp/mine
        """,
    ),
    case(
        "run-user-number",
        "USER by a number that passwd has: its group is passwd's",
        """
        FROM busybox
        USER 1000
        RUN id > /tmp/id; echo $HOME > /tmp/home; touch /tmp/mine
        """,
    ),
    case(
        "run-user-unknown-number",
        "USER by a number that passwd lacks: group 0, HOME is /",
        """
        FROM busybox
        USER 4321
        RUN id > /tmp/id; echo $HOME > /tmp/home; touch /tmp/mine
        """,
    ),
    case(
        "run-user-group",
        "USER with a group: that one alone",
        """
        FROM busybox
        USER app:staff
        RUN id > /tmp/id; touch /tmp/mine
        USER 7:8
        RUN id >> /tmp/id2; touch /tmp/mine2
        """,
    ),
    case("run-user-unknown", "a name that passwd lacks ends the build", "FROM busybox\nUSER x\nRUN id\n", fails=True),
    case(
        "run-user-back",
        "USER may go back to root",
        """
        FROM busybox
        USER app
        RUN id -u > /tmp/a
        USER root
        RUN id -u > /tmp/b
        USER 0:0
        """,
    ),
    case(
        "run-home-from-env",
        "HOME that ENV sets is kept",
        """
        FROM busybox
        ENV HOME=/mine
        USER app
        RUN echo $HOME > /tmp/home
        """,
    ),
    case(
        "run-env-expansion",
        "the shell sees ENV and ARG",
        """
        FROM busybox
        ARG A=arg
        ENV E=env
        RUN echo "$A ${E} ${U-unset}" > /out
        """,
    ),
    case(
        "run-leaves-deletions",
        "what a step removes from the base is gone",
        """
        FROM busybox
        RUN rm /srv/kept && rm -r /home/app
        """,
    ),
    case(
        "run-replaces-file-by-directory",
        "a step may put a directory where a file was, and a file where a directory was",
        """
        FROM busybox
        RUN rm /srv/kept && mkdir /srv/kept && echo x > /srv/kept/x
        RUN rm -r /home/app && echo file > /home/app
        """,
    ),
    case(
        "run-recreates-directory",
        "a directory that is removed and made again is empty",
        """
        FROM busybox
        RUN mkdir /d && touch /d/a /d/b
        RUN rm -r /d && mkdir /d && touch /d/c
        """,
    ),
    case(
        "run-modes-and-owners",
        "modes and owners that a step sets are kept",
        """
        FROM busybox
        RUN touch /a /b /c && chmod 4755 /a && chmod 2750 /b && chmod 000 /c && mkdir -m 1777 /t && chown 5:6 /a /t
        RUN chmod 600 /srv/kept && chown 9:9 /srv
        """,
    ),
    case(
        "run-chmod-only",
        "a step that changes nothing but a mode is a layer of that",
        """
        FROM busybox
        RUN chmod 0700 /opt
        """,
    ),
    case("run-nothing", "a step that changes nothing is a layer all the same", "FROM busybox\nRUN true\n"),
    case(
        "run-links",
        "links of both kinds are kept",
        """
        FROM busybox
        RUN echo x > /a && ln /a /b && ln -s a /c && ln -s /nowhere /d
        RUN mkdir /h && ln /a /h/more
        """,
    ),
    case("run-pipe", "a named pipe is kept", "FROM busybox\nRUN mkfifo -m 640 /pipe && chown 1:1 /pipe\n"),
    case(
        "run-umask",
        "files are made with umask 022",
        "FROM busybox\nRUN umask > /umask; mkdir /d; touch /f\n",
    ),
    case(
        "run-writes-mounted-files",
        "in an image without them, the places of /dev, /proc and /sys stay, and nothing else",
        """
        FROM bare
        RUN echo x > /out
        """,
    ),
    case(
        "run-stdin",
        "a step reads nothing",
        "FROM busybox\nRUN cat > /in; wc -c < /in > /size\n",
    ),
    case(
        "run-directory-mode",
        "WORKDIR that is there keeps its mode and its owner",
        """
        FROM busybox
        WORKDIR /home/app
        WORKDIR /tmp
        RUN pwd > /out
        """,
    ),
    case(
        "run-workdir-owner",
        "a directory that WORKDIR makes belongs to USER",
        """
        FROM busybox
        USER app
        WORKDIR /home/app/x/y
        """,
        on=(DOCKER,),
    ),
    case(
        "run-workdir-link",
        "WORKDIR through a symbolic link stays as it is written",
        """
        FROM links
        WORKDIR /absolute/sub
        RUN pwd > out
        """,
    ),
    case(
        "run-workdir-from-env",
        "WORKDIR is expanded",
        """
        FROM busybox
        ENV D=/x/y
        WORKDIR $D/z
        WORKDIR ${E:-fall}
        """,
    ),
    case(
        "run-workdir-relative-first",
        "a relative WORKDIR in an image without one is below the root",
        """
        FROM bare
        WORKDIR a
        WORKDIR b/../c/./d
        """,
    ),
    case(
        "run-workdir-of-base",
        "a relative WORKDIR continues the base's",
        """
        FROM rich
        USER root
        WORKDIR sub
        """,
    ),
    case(
        "run-many-steps",
        "every step is a layer",
        """
        FROM busybox
        RUN echo 1 > /n
        RUN echo 2 > /n
        RUN rm /n
        RUN echo 3 > /n
        """,
    ),
    case(
        "run-bind-mount",
        "a bind mount of the context is there for one step, read-only",
        """
        FROM busybox
        RUN --mount=type=bind,target=/m cat /m/a > /out; touch /m/x || echo read-only >> /out
        """,
        {"a": "a\n"},
        on=(DOCKER,),
    ),
    case(
        "run-bind-mount-from",
        "a bind mount takes a directory of another stage",
        """
        FROM busybox AS s
        RUN mkdir /d && echo x > /d/x
        FROM busybox
        RUN --mount=type=bind,from=s,source=/d,target=/m cp /m/x /got
        """,
    ),
    case(
        "run-bind-mount-rw",
        "what is written to a bind mount is discarded",
        """
        FROM busybox
        RUN --mount=type=bind,target=/m,rw echo new > /m/a && cat /m/a > /out
        RUN --mount=type=bind,target=/m cat /m/a >> /out
        """,
        {"a": "old\n"},
        on=(DOCKER,),
    ),
    case(
        "run-cache-mount",
        "a cache is there for later steps, and not in the image",
        """
        FROM busybox
        RUN --mount=type=cache,target=/c echo kept > /c/f
        RUN --mount=type=cache,target=/c cp /c/f /out
        """,
    ),
    case(
        "run-cache-mount-owner",
        "a cache's directory has the mode and owner that it was asked for",
        """
        FROM busybox
        RUN --mount=type=cache,id=owned,target=/c,uid=1000,gid=50,mode=0770 stat -c '%a %u:%g' /c > /out
        """,
    ),
    case(
        "run-tmpfs-mount",
        "a tmpfs leaves nothing",
        """
        FROM busybox
        RUN --mount=type=tmpfs,target=/t touch /t/x && ls /t > /out
        """,
    ),
    case(
        "run-secret-mount",
        "a secret is a file for one step",
        """
        FROM busybox
        RUN --mount=type=secret,id=s wc -c < /run/secrets/s > /out; stat -c '%a %u:%g' /run/secrets/s >> /out
        RUN ls /run/secrets > /after 2>&1 || true
        """,
        {"secret.txt": "not so secret\n"},
        "--secret",
        "id=s,src=secret.txt",
    ),
    case(
        "run-secret-mount-options",
        "a secret may have another place, mode and owner",
        """
        FROM busybox
        RUN --mount=type=secret,id=s,target=/s/t,mode=0444,uid=5,gid=6 stat -c '%a %u:%g' /s/t > /out
        """,
        {"secret.txt": "not so secret\n"},
        "--secret",
        "id=s,src=secret.txt",
    ),
    case(
        "run-secret-missing",
        "a secret that nobody gives is no error unless it is required",
        """
        FROM busybox
        RUN --mount=type=secret,id=s ls /run/secrets > /out 2>&1 || true
        """,
        on=(DOCKER,),
    ),
    case(
        "run-secret-required",
        "a required secret that nobody gives is an error",
        "FROM busybox\nRUN --mount=type=secret,id=s,required=true true\n",
        fails=True,
    ),
]
