"""Against Debian's `docker-registry`, with `skopeo` as the referee."""

from __future__ import annotations

import base64
import datetime
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, RegistryError
from buildkit_py.oci.media_types import DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST
from buildkit_py.platform import Platform
from buildkit_py.reference import Reference
from buildkit_py.registry.client import RegistryClient
from buildkit_py.registry.config import HostSettings, RegistryConfig, load
from buildkit_py.registry.pull import fetch_layers, fetch_metadata, stored_image
from buildkit_py.registry.retry import Retry
from buildkit_py.registry.source import open_reader
from buildkit_py.store import Store
from tests.support.clients import make_client
from tests.support.faulty_registry import FaultyRegistry, Handler, faulty_registry, on, times
from tests.support.images import MadeImage, digest_of, make_image, make_index
from tests.support.registry import RegistryServer, available, serve_registry, write_config

pytestmark = pytest.mark.skipif(not available(), reason="docker-registry is not installed")
AMD64 = Platform.parse("linux/amd64")
BCRYPT_OF_PASSWORD = "$2y$05$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu"
DOCKER_TYPES = (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with serve_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def skopeo(*arguments: str) -> bytes:
    done = subprocess.run(["skopeo", *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def image(**options: Any) -> MadeImage:
    """An image whose layers are real tars, large enough for an upload in pieces."""
    import io
    import tarfile

    layers = []
    for name, size in (("small", 10), ("large", 3_000_000)):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            member = tarfile.TarInfo(name)
            member.size = size
            archive.addfile(member, io.BytesIO(b"x" * size))
        layers.append(buffer.getvalue())
    return make_image(*layers, **options)


def pushed(server: RegistryServer, store: Store, name: str, made: MadeImage) -> None:
    made.store(store.blobs)
    make_client(server.name).push(Reference.parse(f"{server.name}/{name}"), made.descriptor, store.blobs)


@pytest.mark.parametrize("options", [{}, {"types": DOCKER_TYPES}], ids=["oci", "docker"])
def test_what_we_push_skopeo_reads(
    registry: RegistryServer, store: Store, tmp_path: Path, options: dict[str, Any]
) -> None:
    made = image(config={"User": "app"}, **options)
    pushed(registry, store, "ours/app:v1", made)
    where = f"docker://{registry.name}/ours/app:v1"
    assert skopeo("inspect", "--raw", "--tls-verify=false", where) == made.manifest
    skopeo("copy", "--src-tls-verify=false", where, f"dir:{tmp_path}/copy")
    for data in (*made.layers, made.config):
        assert (tmp_path / "copy" / digest_of(data).removeprefix("sha256:")).read_bytes() == data


@pytest.mark.parametrize("kind", ["v2s2", "oci"])
def test_what_skopeo_pushes_we_pull(registry: RegistryServer, store: Store, tmp_path: Path, kind: str) -> None:
    made, name = image(), f"theirs/{kind}"
    layout = Store.open(tmp_path / "layout")
    made.store(layout.blobs)
    layout.images.put("v1", {**made.descriptor.to_plain(), "annotations": {"org.opencontainers.image.ref.name": "v1"}})
    skopeo(
        "copy",
        "--dest-tls-verify=false",
        "--format",
        kind,
        f"oci:{layout.root}:v1",
        f"docker://{registry.name}/{name}:1",
    )
    reader = open_reader(f"{registry.name}/{name}:1", make_client(registry.name), directory=tmp_path)
    pulled = fetch_metadata(reader, AMD64, store)
    assert not any(store.blobs.has(str(layer.digest)) for layer in pulled.layers)
    fetch_layers(pulled, store)
    fetch_layers(pulled, store)
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{registry.name}/{name}:1")
    assert pulled.manifest.raw == raw
    assert [str(item) for item in pulled.diff_ids] == [digest_of(layer) for layer in made.layers]
    assert all(store.blobs.size(str(layer.digest)) == layer.size for layer in pulled.layers)
    assert stored_image(reader, str(pulled.digest), store) == pulled


def test_index_by_platform(registry: RegistryServer, store: Store, tmp_path: Path) -> None:
    amd, arm = image(), image(platform="linux/arm64")
    raw, descriptor = make_index(amd, arm)
    for made in (amd, arm):
        made.store(store.blobs)
    store.blobs.put(raw)
    client = make_client(registry.name)
    ref = Reference.parse(f"{registry.name}/multi:1")
    report = client.push(ref, descriptor, store.blobs)
    assert len(report.manifests) == 3
    assert client.resolve(ref) == client.reader(ref).root()[1]
    assert client.resolve(ref).digest == descriptor.digest
    fresh = Store.open(tmp_path / "fresh")
    pulled = fetch_metadata(client.reader(ref), Platform.parse("linux/arm64"), fresh)
    assert (pulled.digest, pulled.root.digest) == (arm.descriptor.digest, descriptor.digest)
    with pytest.raises(RegistryError, match="does not exist for linux/riscv64") as caught:
        fetch_metadata(client.reader(ref), Platform.parse("linux/riscv64"), fresh)
    assert caught.value.hint == "it exists for linux/amd64, linux/arm64"


def test_mount_between_repositories(registry: RegistryServer, store: Store) -> None:
    made = image(config={"Labels": {"mount": "1"}})
    pushed(registry, store, "mount/base:1", made)
    derived = make_image(*made.layers, b"own", config={"Labels": {"mount": "2"}})
    derived.store(store.blobs)
    origin = Reference.parse(f"{registry.name}/mount/base")
    report = make_client(registry.name).push(
        Reference.parse(f"{registry.name}/mount/derived:1"),
        derived.descriptor,
        store.blobs,
        origins={digest_of(layer): origin for layer in made.layers},
    )
    assert set(report.mounted) == {digest_of(layer) for layer in made.layers}
    assert len(report.uploaded) == 2


def test_by_digest_and_from_the_store(registry: RegistryServer, store: Store) -> None:
    made = image(config={"Labels": {"pinned": "1"}})
    pushed(registry, store, "pinned:1", made)
    ref = Reference.parse(f"{registry.name}/pinned@{made.descriptor.digest}")
    assert fetch_metadata(make_client(registry.name).reader(ref), AMD64, store).digest == made.descriptor.digest
    nobody = RegistryClient(RegistryConfig(), environ={}, retry=Retry(attempts=1))
    assert fetch_metadata(nobody.reader(ref), AMD64, store).digest == made.descriptor.digest
    absent = Digest.of(b"absent")
    with pytest.raises(RegistryError, match="404"):
        make_client(registry.name).manifest(ref.with_digest(absent))


def test_mirror_serves_names_of_docker_hub(registry: RegistryServer, store: Store, tmp_path: Path) -> None:
    made = image()
    pushed(registry, store, "library/python:3.12", made)
    file = write_config(tmp_path / "registries.toml", registry.name, mirrors={"docker.io": [registry.name]})
    client = RegistryClient(load(file), environ={}, retry=Retry(attempts=1))
    pulled = fetch_metadata(open_reader("python:3.12", client, directory=tmp_path), AMD64, store)
    assert pulled.name == "docker.io/library/python:3.12"
    assert pulled.digest == made.descriptor.digest


def test_plain_http_needs_its_setting(registry: RegistryServer) -> None:
    client = RegistryClient(RegistryConfig(), environ={}, retry=Retry(attempts=1))
    with pytest.raises(RegistryError, match="does not speak TLS") as caught:
        client.manifest(Reference.parse(f"{registry.name}/a"))
    assert f'plain_http = true under [registry."{registry.name}"]' in (caught.value.hint or "")


def test_nearest_tag(registry: RegistryServer, store: Store) -> None:
    pushed(registry, store, "tags:3.12-slim", image())
    with pytest.raises(RegistryError, match="manifest unknown") as caught:
        make_client(registry.name).manifest(Reference.parse(f"{registry.name}/tags:3.12-slm"))
    assert caught.value.hint == f"did you mean {registry.name}/tags:3.12-slim?"


def credentials(tmp_path: Path, server: RegistryServer, password: str) -> dict[str, str]:
    auth = base64.b64encode(f"me:{password}".encode()).decode()
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {server.name: {"auth": auth}}}))
    return {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}


def test_basic_authentication(tmp_path: Path, store: Store) -> None:
    (tmp_path / "htpasswd").write_text(f"me:{BCRYPT_OF_PASSWORD}\n")
    auth = {"htpasswd": {"realm": "tests", "path": str(tmp_path / "htpasswd")}}
    with serve_registry(tmp_path / "registry", auth=auth) as server:
        made, ref = image(), Reference.parse(f"{server.name}/private:1")
        made.store(store.blobs)
        with pytest.raises(RegistryError, match="refused access"):
            make_client(server.name).push(ref, made.descriptor, store.blobs)
        with pytest.raises(RegistryError, match="refused access"):
            make_client(server.name, environ=credentials(tmp_path, server, "wrong")).manifest(ref)
        client = make_client(server.name, environ=credentials(tmp_path, server, "password"))
        client.push(ref, made.descriptor, store.blobs)
        assert client.manifest(ref)[0] == made.manifest


def test_bearer_authentication(tmp_path: Path, store: Store) -> None:
    with token_service(tmp_path) as (auth, asked), serve_registry(tmp_path / "registry", auth=auth) as server:
        made, base = image(), Reference.parse(f"{server.name}/base:1")
        made.store(store.blobs)
        client = make_client(server.name, environ=credentials(tmp_path, server, "password"))
        client.push(base, made.descriptor, store.blobs)
        report = client.push(
            Reference.parse(f"{server.name}/app:1"),
            made.descriptor,
            store.blobs,
            origins={digest_of(layer): base for layer in made.layers},
        )
        assert set(report.mounted) == {digest_of(layer) for layer in made.layers}
        assert ["repository:app:pull,push", "repository:base:pull"] in asked
        assert client.manifest(base)[0] == made.manifest
        with pytest.raises(RegistryError, match="refused access"):
            make_client(server.name, environ=credentials(tmp_path, server, "wrong")).manifest(base)


def test_own_certificate_authority(tmp_path: Path, store: Store) -> None:
    key, certificate = make_certificate(tmp_path)
    with serve_registry(tmp_path / "registry", tls={"certificate": str(certificate), "key": str(key)}) as server:
        made, ref = image(), Reference.parse(f"{server.name}/a:1")
        made.store(store.blobs)
        with pytest.raises(RegistryError, match="is not trusted") as caught:
            make_client().push(ref, made.descriptor, store.blobs)
        assert "ca =" in (caught.value.hint or "")
        client = make_client(hosts={server.name: HostSettings(ca=certificate)})
        client.push(ref, made.descriptor, store.blobs)
        assert client.manifest(ref)[0] == made.manifest
        with pytest.raises(RegistryError, match="HTTPS server") as caught:
            make_client(server.name).manifest(ref)
        assert "take plain_http = true out" in (caught.value.hint or "")


def test_registry_whose_disk_rots(registry: RegistryServer, store: Store, tmp_path: Path) -> None:
    made = image(config={"Labels": {"rot": "1"}})
    pushed(registry, store, "rot:1", made)
    digest = digest_of(made.config).removeprefix("sha256:")
    file = registry.root / "data/docker/registry/v2/blobs/sha256" / digest[:2] / digest / "data"
    file.write_bytes(made.config.replace(b"rot", b"rat"))
    ref = Reference.parse(f"{registry.name}/rot:1")
    with pytest.raises(IntegrityError, match="does not match its digest"):
        fetch_metadata(make_client(registry.name).reader(ref), AMD64, Store.open(tmp_path / "fresh"))


PULL = """
import sys
from pathlib import Path
from buildkit_py.platform import Platform
from buildkit_py.reference import Reference
from buildkit_py.registry.pull import fetch_layers, fetch_metadata
from buildkit_py.store import Store
from tests.support.clients import make_client
name, root = sys.argv[1:]
store = Store.open(Path(root))
reader = make_client(name).reader(Reference.parse(f"{name}/a:1"))
fetch_layers(fetch_metadata(reader, Platform.parse("linux/amd64"), store), store)
"""


def start_pull(name: str, root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PULL, name, str(root)])


@pytest.fixture
def held() -> Iterator[tuple[FaultyRegistry, MadeImage]]:
    """A registry in this process that can be told to misbehave, and the image that it holds."""
    with faulty_registry() as server:
        made = image()
        server.add_manifest("a", "1", made.manifest, made.descriptor.media_type)
        for data in (*made.layers, made.config):
            server.put(data)
        yield server, made


def test_processes_that_pull_the_same_fetch_it_once(held: tuple[FaultyRegistry, MadeImage], store: Store) -> None:
    server, made = held
    processes = [start_pull(server.name, store.root) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    for layer in made.layers:
        assert len(server.asked("GET", f"/blobs/{digest_of(layer)}")) == 1
        assert store.blobs.read(digest_of(layer)) == layer


def test_killed_pull_is_resumed(held: tuple[FaultyRegistry, MadeImage], store: Store) -> None:
    server, made = held
    large, stalled, over = made.layers[1], Event(), Event()

    def stall(handler: Handler) -> None:
        handler.reply(200, large[:1_000_000], Content_Length=len(large))
        handler.wfile.flush()
        stalled.set()
        over.wait()

    server.faults.append(times(1, on("GET", f"/blobs/{digest_of(large)}", stall)))
    process = start_pull(server.name, store.root)
    assert stalled.wait(60)
    partial, name = store.root / "partial", digest_of(large).replace(":", "-")
    while not any(file.stat().st_size >= 500_000 for file in partial.glob(f"{name}*")):
        assert process.poll() is None
    process.kill()
    process.wait()
    over.set()
    assert start_pull(server.name, store.root).wait() == 0
    first, second = server.asked("GET", f"/blobs/{digest_of(large)}")
    assert "Range" not in first.headers
    assert int(second.headers["Range"].removeprefix("bytes=").removesuffix("-")) >= 500_000
    assert store.blobs.read(digest_of(large)) == large


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1 that signs itself."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (directory / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (directory / "cert.pem").write_bytes(certificate.public_bytes(pem))
    return directory / "key.pem", directory / "cert.pem"


@contextmanager
def token_service(directory: Path) -> Iterator[tuple[dict[str, Any], list[list[str]]]]:
    """A token server that `docker-registry` trusts: its `auth` section, and the scopes that were asked for."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    key_file, certificate = make_certificate(directory)
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    chain = [base64.b64encode(ssl.PEM_cert_to_DER_cert(certificate.read_text())).decode()]
    asked: list[list[str]] = []

    def signed(scopes: list[str]) -> str:
        now = int(datetime.datetime.now(datetime.UTC).timestamp())
        access = [
            {"type": kind, "name": name, "actions": actions.split(",")}
            for kind, name, actions in (scope.split(":") for scope in scopes)
        ]
        claims = {"iss": "tests", "aud": "registry", "sub": "me", "exp": now + 300, "nbf": now - 10, "iat": now}
        parts = [{"typ": "JWT", "alg": "ES256", "x5c": chain}, {**claims, "jti": "1", "access": access}]
        payload = b".".join(encoded(json.dumps(part).encode()) for part in parts)
        r, s = utils.decode_dss_signature(key.sign(payload, ec.ECDSA(hashes.SHA256())))
        return (payload + b"." + encoded(r.to_bytes(32, "big") + s.to_bytes(32, "big"))).decode()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            good = self.headers.get("Authorization") == "Basic " + base64.b64encode(b"me:password").decode()
            scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
            asked.append(scopes)
            body = json.dumps({"token": signed(scopes)}).encode() if good else b""
            self.send_response(200 if good else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    realm = f"http://127.0.0.1:{server.server_address[1]}/token"
    section = {"realm": realm, "service": "registry", "issuer": "tests", "rootcertbundle": str(certificate)}
    try:
        yield {"token": section}, asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
