import gzip
import io
import stat
import tarfile
import zipfile

import pytest

from kernelfit.common.errors import DataError, IntegrityError
from kernelfit.datasets.read import archives

FILES = {"top/a.txt": b"alpha", "top/deep/b.txt": b"", "c.txt": bytes(range(256)) * 40}


def tar(path, members, form=tarfile.PAX_FORMAT):
    """Write a tar; `members` lists (name, content) or TarInfo."""
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w", format=form) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def packed(folder, kind, members):
    path = folder / f"data.{kind}"
    if kind != "zip":
        return tar(path, members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def everything(path):
    return archives.read_members(path, lambda name: True)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_members_are_read_whole_and_by_name(tmp_path, kind):
    path = packed(tmp_path, kind, FILES.items())
    assert everything(path) == FILES
    assert archives.read_members(path, {"c.txt"}.__contains__) == {"c.txt": FILES["c.txt"]}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_dialects_folders_and_long_names(tmp_path, form):
    folder = tarfile.TarInfo("./")
    folder.type = tarfile.DIRTYPE
    name = "long/" * 25 + "é.txt"
    path = tar(tmp_path / "data.tar", [folder, ("./" + name, b"x")], form)
    assert everything(path) == {name: b"x"}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_backslashes_part_names_and_folders_hold_nothing(tmp_path, kind):
    folder = "top\\empty\\"
    if kind != "zip":
        folder = tarfile.TarInfo("top/empty")
        folder.type = tarfile.DIRTYPE
    path = packed(tmp_path, kind, [(folder, b"") if kind == "zip" else folder, ("top\\deep\\a.txt", b"x")])
    assert everything(path) == {"top/empty": None, "top/deep/a.txt": b"x"}
    path = packed(tmp_path, kind, [("a\\b.txt", b"x"), ("a/b.txt", b"y")])
    with pytest.raises(IntegrityError, match="twice"):
        everything(path)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "\\etc\\passwd",
        "..\\a.txt",
        "\\\\host\\a.txt",
        "C:\\a.txt",
        "../a.txt",
        "top/../../a.txt",
        "top\\..\\a.txt",
        "C:/a.txt",
        "C:a.txt",
        "//host/a.txt",
    ],
)
def test_a_name_that_points_outside_is_refused(tmp_path, kind, name):
    path = packed(tmp_path, kind, [("fine.txt", b"x"), (name, b"x")])
    with pytest.raises(IntegrityError, match="outside"):
        archives.read_members(path, {"fine.txt"}.__contains__)  # even where nobody wants it
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_name_that_occurs_twice_is_refused(tmp_path, kind):
    path = packed(tmp_path, kind, [("a/b.txt", b"x"), ("a/./b.txt", b"y")])
    with pytest.raises(IntegrityError, match="twice"):
        everything(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    info = tarfile.TarInfo("train/a/1.png")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(IntegrityError, match="link, a device"):
        everything(tar(tmp_path / "data.tar", [info]))


def test_a_sparse_member_is_refused(tmp_path):
    info = tarfile.TarInfo("a.txt")
    info.pax_headers = {"GNU.sparse.size": "4096", "GNU.sparse.map": "0,0"}
    with pytest.raises(IntegrityError, match="device or sparse"):
        everything(tar(tmp_path / "data.tar", [info]))


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, mode):
    info = zipfile.ZipInfo("train/a/1.png")
    info.external_attr = (mode | 0o777) << 16
    with pytest.raises(IntegrityError, match="link, a device"):
        everything(packed(tmp_path, "zip", [(info, b"/etc/passwd")]))


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_bomb_is_refused_before_it_goes_off(tmp_path, kind):
    path = packed(tmp_path, kind, [(f"train/a/{i}.png", bytes(12 << 20)) for i in range(6)])
    with pytest.raises(IntegrityError, match="bomb"):
        everything(path)
    assert path.stat().st_size < 1 << 20


def test_a_header_that_hides_a_bomb_is_refused(tmp_path):
    """A pax header is read into memory by tarfile itself: its size must be bounded too."""
    info = tarfile.TarInfo("header")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    path = tmp_path / "data.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096)))
    with pytest.raises(IntegrityError, match="bomb"):
        everything(path)


@pytest.mark.parametrize("declared", [10, 5000])
def test_a_zip_that_lies_about_a_size_is_refused(tmp_path, declared):
    path = packed(tmp_path, "zip", [("a.txt", b"x" * 1000)])
    data = path.read_bytes()
    path.write_bytes(data.replace((1000).to_bytes(4, "little"), declared.to_bytes(4, "little")))
    with pytest.raises(IntegrityError):
        everything(path)


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    with pytest.raises(IntegrityError, match="3 members"):
        everything(packed(tmp_path, "zip", FILES.items()))


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_truncation_anywhere_is_found(tmp_path, kind):
    path = packed(tmp_path, kind, FILES.items())
    data = path.read_bytes()
    # a tar ends in zero blocks, of which the first is needed
    end = len(data.rstrip(b"\0")) if kind == "tar" else len(data) - 1
    for length in (0, 1, 100, 512, 700, 1024, 1536, end // 2, end):
        if length < len(data):
            path.write_bytes(data[:length])
            with pytest.raises(IntegrityError):
                everything(path)


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path):
    path = tar(tmp_path / "data.tar", FILES.items(), tarfile.USTAR_FORMAT)
    data = bytearray(path.read_bytes())
    data[1024] ^= 1  # the header of the second member
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="damaged"):
        everything(path)


def test_an_encrypted_zip_is_refused(tmp_path):
    path = packed(tmp_path, "zip", [("a.txt", b"x")])
    data = bytearray(path.read_bytes())
    data[data.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        everything(path)
