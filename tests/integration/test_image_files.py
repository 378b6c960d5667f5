"""Root file systems as tars become images, and images such tars; umoci, skopeo, tar and runc are the referees."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support import cache, layouts
from tests.support.command import Pybuild
from tests.support.layouts import Entry, folder, link
from tests.support.stored import LOWER, UPPER, described, document, names, put
from tests.support.trees import unpack


class TestFilesInAndOut:
    MEMBERS = (
        folder("bin"),
        Entry(name="bin/busybox", data=Path("/bin/busybox").read_bytes(), mode=0o755),
        link("bin/sh", "busybox"),
        Entry(name="bin/cat", kind=tarfile.LNKTYPE, target="bin/busybox", mode=0o755),
        Entry(name="bin/ash", kind=tarfile.LNKTYPE, target="bin/cat", mode=0o755),
        folder("tmp", 0o1777),
        folder("proc"),
        folder("sys"),
        folder("dev"),
        Entry(name="hello", data=b"hello from the archive\n", mode=0o644, uid=12, gid=34),
    )

    @pytest.mark.parametrize("packed", ["plain", "gzip", "zstd"])
    def test_an_imported_image_is_read_and_runs(
        self, pybuild: Pybuild, store: Path, tmp_path: Path, packed: str
    ) -> None:
        import zstandard

        plain = layouts.layer(self.MEMBERS)
        pack = {"plain": bytes, "gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}[packed]
        done = pybuild.ok(
            *("import", "-", "imported", "-m", "by hand", "--json"),
            *("-c", 'CMD ["cat", "/hello"]', "--change", "ENV A=1\nLABEL b=c"),
            stdin=pack(plain),
        )
        told = json.loads(done.stdout)
        unpacked = unpack(store, tmp_path / "bundle", "imported")
        assert unpacked.run() == "hello from the archive\n"
        found = unpacked.files()["/hello"]
        assert (found.mode, found.uid, found.gid, found.mtime) == (0o644, 12, 34, 0)
        assert (unpacked.rootfs / "bin/cat").stat().st_nlink == 3
        assert unpacked.config["config"]["Cmd"] == ["cat", "/hello"]
        assert unpacked.config["config"]["Labels"] == {"b": "c"}
        assert "A=1" in unpacked.config["config"]["Env"]
        assert unpacked.config["history"][0]["comment"] == "by hand"
        seen = json.loads(cache.run("skopeo", "inspect", f"oci:{store}:imported"))
        assert seen["Digest"] == told["digest"]
        assert len(seen["Layers"]) == 1

    def test_equal_files_make_an_equal_image(self, pybuild: Pybuild, tmp_path: Path) -> None:
        members = list(self.MEMBERS)
        digests = set()
        for number, order in enumerate((members, [*members[:1], *reversed(members[5:]), *members[1:5]])):
            (tmp_path / f"{number}.tar").write_bytes(layouts.layer(order))
            digests.add(pybuild.ok("import", "-q", tmp_path / f"{number}.tar", f"n{number}").stdout)
        assert len(digests) == 1
        later = pybuild.having(SOURCE_DATE_EPOCH="86400").ok("import", "-q", tmp_path / "0.tar", "later").stdout
        assert later not in digests

    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            (Entry(name="../out", data=b"x"), "leads out"),
            (Entry(name="etc/.wh.gone"), "means a removal in a layer: /etc/.wh.gone"),
            (Entry(name=".wh..wh..opq"), "means a removal in a layer"),
            (Entry(name="a", kind=tarfile.LNKTYPE, target="nowhere"), "is no file"),
        ],
    )
    def test_what_no_layer_may_hold(self, pybuild: Pybuild, tmp_path: Path, entry: Entry, words: str) -> None:
        refused = pybuild("import", "-", "x", stdin=layouts.layer([entry]))
        assert refused.code == 11
        assert "the archive can't be" in refused.stderr
        assert words in refused.stderr
        assert names(pybuild) == []
        assert not (tmp_path / "out").exists()

    def test_a_link_leads_nowhere_outside(self, pybuild: Pybuild, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        entries = [link("door", str(tmp_path / "outside")), Entry(name="door/in", data=b"x")]
        pybuild("import", "-", "x", stdin=layouts.layer(entries))
        assert list((tmp_path / "outside").iterdir()) == []

    def test_attributes_of_a_machine_are_left_out(self, pybuild: Pybuild, store: Path) -> None:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            info = tarfile.TarInfo("d")
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            info.pax_headers = {"SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.kept": "1"}
            archive.addfile(info)
        pybuild.ok("import", "-", "x", stdin=out.getvalue())
        layer = json.loads(cache.run("skopeo", "inspect", f"oci:{store}:x"))["Layers"][0]
        plain = gzip.decompress(layouts.blob(store, layer).read_bytes())
        assert b"user.kept" in plain
        assert b"trusted" not in plain

    def test_a_change_makes_no_file(self, pybuild: Pybuild, tmp_path: Path) -> None:
        refused = pybuild("import", "-", "x", "-c", "RUN true", stdin=layouts.layer(self.MEMBERS))
        assert refused.code == 2
        assert "--change says something of the image" in refused.stderr
        wrong = pybuild("import", "-", "x", "-c", "CDM sh", stdin=b"")
        assert wrong.code == 3
        assert "CDM" in wrong.stderr

    @pytest.mark.parametrize("kind", ["oci", "docker"])
    def test_the_archive_of_an_image(self, pybuild: Pybuild, tmp_path: Path, kind: str) -> None:
        put(pybuild, tmp_path / "project", LOWER, name="app")
        pybuild.ok("build", "-q", "-o", f"type={kind},dest={tmp_path}/image.tar", cwd=tmp_path / "project")
        refused = pybuild("import", tmp_path / "image.tar", "x")
        assert refused.code == 14
        assert "`pybuild load`" in refused.stderr
        assert "x" not in names(pybuild)

    def test_no_archive(self, pybuild: Pybuild, tmp_path: Path) -> None:
        assert pybuild("import", tmp_path / "missing.tar", "x").code == 14
        assert pybuild("import", "-", "x", stdin=b"no tar at all" * 100).code == 11
        assert pybuild("import", "-", "x", stdin=layouts.layer(self.MEMBERS)[:3000]).code == 11
        assert names(pybuild) == []

    def test_an_export_is_what_others_unpack(self, pybuild: Pybuild, store: Path, tmp_path: Path) -> None:
        put(pybuild, tmp_path / "project", LOWER, UPPER, name="merged")
        out = tmp_path / "out.tar"
        told = json.loads(pybuild.ok("export", "-o", out, "merged", "--json").stdout)
        assert told["bytes"] == out.stat().st_size
        referee = unpack(tmp_path / "project/base", tmp_path / "bundle")
        (tmp_path / "files").mkdir()
        cache.run("tar", "--numeric-owner", "--same-owner", "-xpf", out, "-C", tmp_path / "files")
        mine = described(tmp_path / "files")
        assert mine == described(referee.rootfs)
        assert "etc/gone" not in mine
        assert "opt/hidden" not in mine
        streamed = subprocess.run(
            [sys.executable, "-m", "buildkit_py.cli", "export", "merged"],
            env=pybuild.variables(),
            capture_output=True,
            check=True,
        )
        assert streamed.stdout == out.read_bytes()

    def test_out_and_in_again(self, pybuild: Pybuild, tmp_path: Path) -> None:
        put(pybuild, tmp_path / "project", LOWER, UPPER, name="merged")
        for number in range(2):
            pybuild.ok("export", "-o", tmp_path / f"{number}.tar", "again" if number else "merged")
            pybuild.ok("import", tmp_path / f"{number}.tar", "again")
        assert (tmp_path / "0.tar").read_bytes() == (tmp_path / "1.tar").read_bytes()
        assert document(pybuild, "diff", "--files", "merged", "again")["files"] == []

    def test_one_platform_of_several(self, pybuild: Pybuild, tmp_path: Path) -> None:
        images = {
            name: ([layouts.layer([Entry(name=name, data=b"x")])], {})
            for name in (layouts.ARCHITECTURE, layouts.FOREIGN)
        }
        layouts.write_index(tmp_path / "base", images)
        (tmp_path / "Buildfile").write_text('buildfile 1\nimage a {\nfrom "oci:base"\n}\n')
        both = f"linux/{layouts.ARCHITECTURE},linux/{layouts.FOREIGN}"
        pybuild.ok("build", "-q", "--platform", both, "-t", "both", cwd=tmp_path)
        for words, name in (((), layouts.ARCHITECTURE), (("--platform", f"linux/{layouts.FOREIGN}"), layouts.FOREIGN)):
            pybuild.ok("export", "-o", tmp_path / "out.tar", *words, "both")
            with tarfile.open(tmp_path / "out.tar") as archive:
                assert archive.getnames() == [name]
        assert pybuild("export", "-o", tmp_path / "out.tar", "--platform", "linux/s390x", "both").code == 16

    @pytest.mark.parametrize(("output", "code"), [("x.tar.gz", 2), ("keep.txt", 15), ("/proc/out.tar", 15)])
    def test_where_no_archive_goes(self, pybuild: Pybuild, tmp_path: Path, output: str, code: int) -> None:
        put(pybuild, tmp_path / "project", LOWER)
        (tmp_path / "keep.txt").write_text("mine")
        assert pybuild("export", "-o", output, "app", cwd=tmp_path).code == code
        assert (tmp_path / "keep.txt").read_text() == "mine"
