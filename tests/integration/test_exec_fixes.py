"""What a person with bad intentions, or bad luck, can put in the way of a build."""

from __future__ import annotations

import hashlib
import http.server
import json
import shutil
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import layouts
from tests.support.layouts import Entry
from tests.support.project import Project

VALUE = "correct-horse-battery-staple-%7"


# --- images


def test_false_diff_ids_do_not_name_the_tree_of_another_image(project: Project) -> None:
    layouts.write_layout(project.directory / "good", [layouts.layer([Entry(name="good")])], {})
    evil = project.directory / "evil"
    layouts.write_layout(evil, [layouts.layer([Entry(name="evil")])], {})
    body = 'copy / to /seen/ from "oci:good"'
    assert "/seen/good" in project.files(body, start="scratch")
    claim(evil, project.directory / "good")
    built = project.build(body.replace("good", "evil"), start="scratch")
    assert built.code == 11, built.result.output
    assert "configuration says" in built.message


def claim(layout: Path, other: Path) -> None:
    """Write the diff ids of `other` into the configuration of `layout`."""
    manifest, config = documents(layout)
    config["rootfs"] = documents(other)[1]["rootfs"]
    manifest["config"] = {**manifest["config"], **layouts.put_document(layout, config)}
    index = json.loads((layout / "index.json").read_bytes())
    index["manifests"][0] |= layouts.put_document(layout, manifest)
    (layout / "index.json").write_text(json.dumps(index))


def documents(layout: Path) -> tuple[dict, dict]:  # type: ignore[type-arg]
    digest = json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"]
    manifest = json.loads(layouts.blob(layout, digest).read_bytes())
    return manifest, json.loads(layouts.blob(layout, manifest["config"]["digest"]).read_bytes())


def test_a_layer_is_looked_for_where_this_build_says(project: Project, tmp_path: Path) -> None:
    layouts.write_layout(project.directory / "first", [layouts.layer([Entry(name="x", data=b"x" * 99)])], {})
    shutil.copytree(project.directory / "first", project.directory / "second")
    project.ok("mkdir /y", start='"oci:first"')
    shutil.rmtree(project.directory / "first")
    assert "/x" in project.files("mkdir /y", start='"oci:second"')


@pytest.mark.parametrize("start", ["oci:{outside}", "oci:../outside", "oci:link", "oci:sub/link", "oci-archive:link/x"])
def test_an_image_outside_the_directory(project: Project, tmp_path: Path, start: str) -> None:
    outside = tmp_path / "outside"
    layouts.write_layout(outside, [layouts.layer([Entry(name="x")])], {})
    (outside / "x").touch()
    (project.directory / "sub").mkdir()
    (project.directory / "link").symlink_to(outside)
    (project.directory / "sub/link").symlink_to("../../outside")
    built = project.build("mkdir /y", start=f'"{start.format(outside=outside)}"')
    assert built.code in (3, 14), built.result.output
    (project.directory / "inside").symlink_to("base")
    assert project.ok("mkdir /y", start='"oci:inside"').code == 0


# --- secrets


@pytest.mark.parametrize(
    ("where", "said"), [("env=NOPE", "NOPE, which is not set"), ("src=/nope", "/nope"), ("cmd=echo x", "fewer than")]
)
def test_a_secret_that_can_not_be_had_fails_before_the_step(project: Project, where: str, said: str) -> None:
    body = "run touch /first\nwith secret(tok)\nrun true"
    built = project.build(body, "--secret", f"id=tok,{where}", head="secret tok")
    assert built.code != 0
    assert said in built.message
    started = {event["id"] for event in built.events if event["event"] == "Started" and event["kind"] == "run"}
    ended = [event["outcome"] for event in built.events if event["event"] == "Finished" and event["id"] in started]
    # A command may ask somebody, so it is run by need; what can be looked at is looked at before anything runs.
    assert ended == (["failed"] if where.startswith("cmd") else [])


# --- locks


def test_caches_in_any_order_and_twice(project: Project) -> None:
    """Two steps that want the same two caches, each in another order; and one that mounts one cache twice."""
    stages = "\n".join(
        f"""
        stage {name} {{
            from "oci:base"
            with cache(/1, id: {one}, sharing: locked), cache(/2, id: {two}, sharing: locked)
            run sleep 0.3; echo {name}
        }}"""
        for name, one, two in (("x", "left", "right"), ("y", "right", "left"), ("z", "left", "left"))
    )
    body = "\n".join(f"copy /etc/passwd to /{name} from {name}" for name in "xyz")
    assert sorted(project.lines(body, head=stages)) == ["x", "y", "z"]


def test_waiting_for_a_cache_ends_with_an_interrupt(project: Project, store: Path) -> None:
    project.ok("with cache(/c, id: held)\nrun true")
    code = """
import sys, time
from pathlib import Path
from buildkit_py.store import Store
with Store.open(Path(sys.argv[1])) as store, store.caches.directory("held", sharing="locked"):
    print("held", flush=True)
    sys.stdin.read()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(store)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=project.pybuild.variables(),
    )
    with holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        body = 'from "oci:base"\nwith cache(/c, id: held, sharing: locked)\nrun echo'
        project.write({"Buildfile": f"buildfile 1\nimage a {{\n{body}\n}}\n"})
        build = subprocess.Popen(
            [sys.executable, "-m", "buildkit_py.cli", "build", ".", "--progress", "json"],
            cwd=project.directory,
            env=project.pybuild.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with build:
            assert build.stdout is not None
            next(line for line in build.stdout if b'"Started"' in line and b"run echo" in line)
            build.send_signal(signal.SIGINT)
            build.stdout.read()
            assert build.wait() == 130
        assert holder.stdin is not None
        holder.stdin.close()


# --- URLs


@contextmanager
def serving(handle: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), handle) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


DATA = bytes(range(256)) * 400


class Breaking(http.server.BaseHTTPRequestHandler):
    """Sends half of what is left, and goes on where it is asked to."""

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        rest = DATA[start:]
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest if wanted else rest[: len(rest) // 2])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def test_a_download_that_breaks_off_is_taken_up_again(project: Project) -> None:
    with serving(Breaking) as url:
        files = project.unpacked(f'fetch "{url}/tool" to /tool', start="scratch")
    assert (files.rootfs / "tool").read_bytes() == DATA
    assert hashlib.sha256(DATA).hexdigest() in (project.directory / "Buildfile.lock").read_text()


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """Sends everybody to a file of the machine."""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", "ftp://127.0.0.1/x" if self.path == "/ftp" else "file:///etc/passwd")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("name", ["file", "ftp"])
def test_a_redirection_to_anything_but_http(project: Project, name: str) -> None:
    with serving(Elsewhere) as url:
        built = project.build(f'fetch "{url}/{name}" to /x', start="scratch")
    assert built.code == 14, built.result.output


@pytest.mark.parametrize(
    "body", ['fetch "http://me:hunter22@127.0.0.1:1/x" to /x', 'git "https://hunter22@127.0.0.1:1/x" to /x']
)
def test_a_password_in_an_address(project: Project, body: str) -> None:
    built = project.build(body, start="scratch")
    assert built.code == 14, built.result.output
    assert "://***@127.0.0.1:1/x has a user or a password in it" in built.message
    assert not (project.directory / "Buildfile.lock").exists()


# --- modes of the build directory


def test_the_umask_of_a_checkout_changes_nothing(project: Project) -> None:
    project.write({"src/a": "a", "src/run": "x"})
    (project.directory / "src/run").chmod(0o755)
    body = "with mount(./src, at: /src)\nrun stat -c %a /src /src/a /src/run"
    first = project.ok(body)
    assert first.printed() == ["755", "644", "755"]
    for path, mode in (("src", 0o700), ("src/a", 0o600), ("src/run", 0o700)):
        (project.directory / path).chmod(mode)
    again = project.ok(body)
    assert (again.ran, again.digest) == (0, first.digest)
    assert project.ok(body, "--no-cache").printed() == ["755", "644", "755"]
