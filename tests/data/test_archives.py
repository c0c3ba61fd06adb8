"""Archives are unpacked whole and inside, or refused in one line."""

import io
import random
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.base.errors import DataError
from pipeline.data import archives

FILES = {"cat/1.png": b"one", "dog/deep/2.png": b"two" * 1000}


def zipped(path: Path, contents: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def packed(path: Path, contents: dict[str, bytes], mode: str = "w", *infos: tarfile.TarInfo) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in infos:
            archive.addfile(info)
    return path


def unpacked(archive: Path) -> dict[str, bytes]:
    folder = archive.parent / "out"
    archives.unpack(archive, folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_is_unpacked(tmp_path: Path, mode: str) -> None:
    assert unpacked(packed(tmp_path / "photos.tar", FILES, mode)) == FILES


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_is_unpacked(tmp_path: Path, kind: int) -> None:
    assert unpacked(zipped(tmp_path / "photos.zip", FILES | {"empty/": b""}, kind)) == FILES


def test_the_content_counts_not_the_ending(tmp_path: Path) -> None:
    assert unpacked(packed(tmp_path / "photos.zip", FILES)) == FILES


@pytest.mark.parametrize(
    ("name", "stem"),
    {"a.zip": "a", "b.tar.gz": "b", "C.TGZ": "C", "d.1.tar": "d.1", "e.png": "", "f.gz": "", "zip": ""}.items(),
)
def test_names_of_archives_are_known_by_their_endings(name: str, stem: str) -> None:
    assert archives.stem(Path(name)) == stem


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/out.png", "..\\out.png", "C:/out.png", "a//b"])
@pytest.mark.parametrize("pack", [zipped, packed])
def test_nothing_leads_out(tmp_path: Path, name: str, pack: object) -> None:
    archive = pack(tmp_path / "photos.zip", FILES | {name: b"out"})  # type: ignore[operator]
    with pytest.raises(DataError, match="which would lie outside of it; expected folders and plain files of their own"):
        unpacked(archive)
    assert not list(tmp_path.rglob("out.png"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("cat/link.png")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(DataError, match=r"holds 'cat/link\.png', a (link|device); expected folders and plain files"):
        unpacked(packed(tmp_path / "photos.tar", FILES, "w", info))
    assert not (tmp_path / "out/cat/link.png").exists()


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("cat/link.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match=r"holds 'cat/link\.png', a link"):
        unpacked(path)


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 2**20)
    zeros = {f"{number}.png": bytes(2**20) for number in range(40)}
    for archive in (zipped(tmp_path / "a.zip", zeros), packed(tmp_path / "b.tar.gz", zeros, "w:gz")):
        folder = tmp_path / archive.stem
        with pytest.raises(DataError, match=r"unpacks to more than \d+ MiB, 100 times its size, as only a bomb does"):
            archives.unpack(archive, folder)
        written = sum(path.stat().st_size for path in folder.rglob("*.png"))
        assert written <= max(archives.MAX_RATIO * archive.stat().st_size, 2**20)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 10)
    for archive in (
        zipped(tmp_path / "a.zip", {str(n): b"" for n in range(11)}),
        packed(tmp_path / "b.tar", {str(n): b"" for n in range(11)}),
    ):
        with pytest.raises(DataError, match="holds more than 10 files; unpack it yourself if you trust it"):
            archives.unpack(archive, tmp_path / archive.stem)


def test_a_zip_that_lies_about_sizes_is_damaged(tmp_path: Path) -> None:
    path = zipped(tmp_path / "photos.zip", {"1.png": bytes(100_000)})
    content = path.read_bytes()
    path.write_bytes(content.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(DataError, match="a damaged archive, or none"):
        unpacked(path)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_every_kind_of_damage_is_one_line(tmp_path: Path, name: str) -> None:
    content = random.Random(7).randbytes(3000)
    files = {f"{number}.png": content for number in range(4)}
    mode = {"a.tar": "w"}.get(name, f"w:{name.rpartition('.')[2]}")
    whole = (zipped(tmp_path / name, files) if name == "a.zip" else packed(tmp_path / name, files, mode)).read_bytes()
    damages = [b"", b"PK\x03\x04", whole[:1000], whole[: len(whole) // 2], bytes(2000)]
    damages += [whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :] for at in range(0, len(whole), 997)]
    for number, damaged in enumerate(damages):
        archive = tmp_path / f"{number}-{name}"
        archive.write_bytes(damaged)
        with suppress(DataError):
            archives.unpack(archive, tmp_path / f"out{number}")
    with pytest.raises(DataError, match="damaged archive"):
        archives.unpack(tmp_path / f"3-{name}", tmp_path / "half")


def test_an_encrypted_zip_and_a_name_twice_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "photos.zip", {"1.png": b"one"})
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"holds '1\.png', which is encrypted"):
        unpacked(path)
    with pytest.raises(DataError, match=r"holds '\./1\.png' twice"):
        archives.unpack(packed(tmp_path / "b.tar", {"1.png": b"", "./1.png": b""}), tmp_path / "b")
