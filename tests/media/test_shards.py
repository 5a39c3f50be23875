"""Tar shards: what a folder's photos become in them, and what strange or damaged tars do."""

import contextlib
import io
import json
import os
import pickle
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.shard_writing import write_shards
from PIL import Image

from dino.errors import ImageError, UserError
from dino.media import images, shards
from dino.media.photo_folders import open_folder
from dino.media.shards import expand_braces, indexing, open_shards

BLOCK = tarfile.BLOCKSIZE


def png(value: int) -> bytes:
    """A grey PNG of 2×3 pixels."""
    file = io.BytesIO()
    Image.new("RGB", (3, 2), (value, value, value)).save(file, "PNG")
    return file.getvalue()


def write_tar(path: Path, members, **options) -> Path:
    """A tar of (name, content) pairs; a TarInfo stands for itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def names(found: shards.ShardSet) -> list[str]:
    return [found.name(index) for index in range(len(found))]


def greys(found: shards.ShardSet) -> list[int]:
    return [int(found.read(index)[0, 0, 0]) for index in range(len(found))]


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Seven photos of two classes; dots in the names, two files of one stem."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    files = ["cat/a.png", "cat/a.jpg", "cat/IMG.2020.01.png", "cat/é.webp"]
    for name in [*files, "wild dog/a.png", "wild dog/B.PNG", "wild dog/c..bmp"]:
        path = root / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    return root


# What a tar says, by hand ----------------------------------------------------------------------


def test_two_samples_by_hand(tmp_path):
    first, second = png(10), png(20)
    path = write_tar(
        tmp_path / "shard-000.tar",
        [("a/7.png", first), ("a/7.cls", b"5\n"), ("a/8.cls", b"3"), ("a/8.PNG", second)],
    )
    found = open_shards(path)
    assert len(found) == 2
    assert names(found) == ["shard-000.tar!a/7.png", "shard-000.tar!a/8.PNG"]
    # header and content, each rounded up to 512: 7.png, 7.cls and 8.cls take two blocks each
    assert found.index["offset"].tolist() == [BLOCK, 7 * BLOCK]
    assert found.index["size"].tolist() == [len(first), len(second)]
    assert found.classes == ("3", "5")
    assert found.labels.tolist() == [1, 0]
    assert found.problems == ()
    np.testing.assert_array_equal(found.read(1), np.full((2, 3, 3), 20, np.uint8))
    assert found.name(-1) == "shard-000.tar!a/8.PNG"
    with pytest.raises(IndexError):
        found.read(2)


def test_order_is_by_shard_name_and_place(tmp_path):
    write_tar(tmp_path / "b.tar", [("z.png", png(3)), ("a.png", png(4))])
    write_tar(tmp_path / "a.tar", [("y.png", png(1)), ("x.png", png(2))])
    write_tar(tmp_path / ".hidden.tar", [("h.png", png(9))])
    for pattern in (
        tmp_path,
        tmp_path / "*.tar",
        tmp_path / "{b,a}.tar",
        f"{tmp_path}/[ab].tar",
        f"{tmp_path}/{{a,a,b}}.tar",
    ):
        assert greys(open_shards(pattern)) == [1, 2, 3, 4], pattern


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.tar", ["a.tar"]),
        ("{08..10}.tar", ["08.tar", "09.tar", "10.tar"]),
        ("{8..10}", ["10", "8", "9"]),
        ("{3..1}", ["1", "2", "3"]),
        ("{000..006..3}", ["000", "003", "006"]),
        ("{a,b}-{0..1}", ["a-0", "a-1", "b-0", "b-1"]),
        ("{x,y{1..2}}", ["x", "y1", "y2"]),
        ("{,un}labelled", ["labelled", "unlabelled"]),
        ("{one}.tar", ["{one}.tar"]),
    ],
)
def test_braces_stand_for_names(pattern, expected):
    assert expand_braces(pattern) == expected


@pytest.mark.parametrize("pattern", ["{0..999999999}.tar", "{0..999}{0..999}{0..999}.tar"])
def test_braces_without_end_are_refused(pattern):
    with pytest.raises(UserError, match="100,000 names"):
        expand_braces(pattern)


def test_all_missing_shards_are_named_at_once(tmp_path):
    for number in (0, 2):
        write_tar(tmp_path / f"s-{number:03d}.tar", [("a.png", png(1))])
    with pytest.raises(UserError, match=r"s-001\.tar, .*s-003\.tar \(2 of 4\)"):
        open_shards(tmp_path / "s-{000..003}.tar")
    with pytest.raises(UserError, match=r"and 90 more \(100 of 100\)"):
        open_shards(tmp_path / "t-{000..099}.tar")
    with pytest.raises(UserError, match=r"no \.tar"):
        open_shards(tmp_path / "nowhere")
    assert len(open_shards(tmp_path / "s-{000..002..2}.tar")) == 2


def test_folders_in_braces_and_names_with_braces(tmp_path):
    write_tar(tmp_path / "[x]" / "0.tar", [("a.png", png(1))])
    write_tar(tmp_path / "y" / "{0,1}.tar", [("a.png", png(2))])
    assert greys(open_shards(f"{tmp_path}/{{[x],y}}")) == [1, 2]
    assert greys(open_shards(tmp_path / "y" / "{0,1}.tar")) == [2]


@pytest.mark.parametrize(("mode", "kind"), [("gz", "gzip"), ("bz2", "bzip2"), ("xz", "xz")])
def test_compressed_tars_are_refused_in_a_sentence(tmp_path, mode, kind):
    path = tmp_path / f"a.tar.{mode}"
    with tarfile.open(path, f"w:{mode}") as tar:
        tar.addfile(tarfile.TarInfo("a.png"))
    with pytest.raises(UserError, match=f"compressed with {kind}, expected .*decompress it"):
        open_shards(path)


# Grouping --------------------------------------------------------------------------------------


def test_the_key_ends_at_the_first_dot_of_the_base_name(tmp_path):
    members = [
        ("v1.0/7.png", png(1)),
        ("v1.0/7.thumb.png", png(9)),  # another extension of the same sample
        ("v1.0/7.cls", b"a"),
        ("v2.0/7.png", png(2)),  # another folder, another key
        ("v2.0/7.cls", b"b"),
        ("text.txt", b"no picture"),
        ("v1.0/7.png", png(3)),  # a key that comes again later is a sample of its own
        ("v1.0/7.cls", b"a"),
    ]
    found = open_shards(write_tar(tmp_path / "a.tar", members))
    assert greys(found) == [1, 2, 3]
    assert (found.classes, found.labels.tolist()) == (("a", "b"), [0, 1, 0])


def test_a_key_that_goes_on_in_the_next_shard_is_two_samples(tmp_path):
    write_tar(tmp_path / "a.tar", [("7.png", png(1))])
    write_tar(tmp_path / "b.tar", [("7.jpg", png(2))])
    assert greys(open_shards(tmp_path)) == [1, 2]


def test_what_is_no_sample_is_left_out(tmp_path):
    path = write_tar(
        tmp_path / "a.tar",
        [
            special("folder", tarfile.DIRTYPE),  # no sample
            ("folder/1.png", png(1)),
            special("folder/1.jpg", tarfile.SYMTYPE, "/etc/passwd"),
            special("folder/2.png", tarfile.LNKTYPE, "folder/1.png"),
            special("folder/3.png", tarfile.CHRTYPE),
            special("folder/4.png", tarfile.FIFOTYPE),
            ("folder/._1.png", b"a Mac's notes"),
            ("folder/1.png", png(9)),  # the same extension again: the first counts
            ("folder/1.cls", b"x"),
            ("README", b"no extension"),
            ("__meta__/5.png", png(9)),
        ],
    )
    found = open_shards(path)
    assert names(found) == ["a.tar!folder/1.png"]
    assert greys(found) == [1]
    assert found.classes == ("x",)


def test_sparse_members_are_ignored(tmp_path):
    info = special("a.png", tarfile.GNUTYPE_SPARSE)
    path = write_tar(tmp_path / "a.tar", [info, ("b.png", png(2))], format=tarfile.GNU_FORMAT)
    found = open_shards(path)
    assert names(found) == ["a.tar!b.png"]


def test_names_that_lead_outside_are_only_names(tmp_path):
    where = tmp_path / "in" / "a.tar"
    found = open_shards(write_tar(where, [("../out.png", png(1)), ("/abs.png", png(2))]))
    assert names(found) == ["a.tar!../out.png", "a.tar!/abs.png"]
    assert greys(found) == [1, 2]
    assert sorted(tmp_path.rglob("*")) == [where.parent, where]


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names(tmp_path, format):
    long = "folder/" * 40 + "é" * 150
    members = [
        (f"{long}.png", png(1)),
        (f"{long}.cls", b"x"),
        ("日本.png", png(2)),
        ("日本.cls", b"y"),
    ]
    found = open_shards(write_tar(tmp_path / "a.tar", members, format=format))
    assert names(found) == [f"a.tar!{long}.png", "a.tar!日本.png"]
    assert greys(found) == [1, 2]
    assert found.labels.tolist() == [0, 1]


def test_pax_headers_for_the_file_and_for_all(tmp_path):
    info = tarfile.TarInfo("short.png")
    info.pax_headers = {"path": "x/" * 100 + "1.png", "comment": "hello", "size": str(len(png(1)))}
    info.size = len(png(1))
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "all"}) as tar:
        tar.addfile(info, io.BytesIO(png(1)))
    found = open_shards(write_tar(tmp_path / "b.tar", [("2.png", png(2))]).parent)
    assert names(found) == ["a.tar!" + "x/" * 100 + "1.png", "b.tar!2.png"]
    assert greys(found) == [1, 2]


def test_a_name_that_is_not_utf8_can_be_shown(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("\udcff.png", png(1))], format=tarfile.GNU_FORMAT)
    assert names(open_shards(path)) == ["a.tar!\\xff.png"]


# Classes ---------------------------------------------------------------------------------------


def labelled(tmp_path: Path, *labels: tuple[str, bytes]) -> Path:
    """A sample for each (extension, content)."""
    members = []
    for number, (extension, content) in enumerate(labels):
        members += [(f"{number}.{extension}", content), (f"{number}.png", png(number))]
    return write_tar(tmp_path / "labelled.tar", members)


def test_integers_are_sorted_as_numbers_and_text_as_text(tmp_path):
    numbers = labelled(tmp_path, ("cls", b"10"), ("cls", b"9\n"), ("cls", b"-1"), ("cls", b"10"))
    found = open_shards(numbers)
    assert (found.classes, found.labels.tolist()) == (("-1", "9", "10"), [2, 1, 0, 2])
    assert found.labels.dtype == np.int64
    mixed = open_shards(labelled(tmp_path, ("cls", b"10"), ("cls", b"9"), ("cls", b"cat")))
    assert (mixed.classes, mixed.labels.tolist()) == (("10", "9", "cat"), [0, 1, 2])


def test_json_gives_the_class(tmp_path):
    values = [{"label": 3}, {"class": "3"}, {"label": "1", "class": "9", "more": [1]}]
    found = open_shards(labelled(tmp_path, *(("json", json.dumps(v).encode()) for v in values)))
    assert (found.classes, found.labels.tolist()) == (("1", "3"), [1, 1, 0])


def test_cls_goes_before_json(tmp_path):
    cls, text = ("7.cls", b"a"), ("7.json", b'{"label": "b"}')
    for order in ([cls, text], [text, cls]):
        path = write_tar(tmp_path / "a.tar", [("7.png", png(1)), *order])
        assert open_shards(path).classes == ("a",)


@pytest.mark.parametrize(
    "content",
    [b"", b"[1]", b"{", b'{"label": true}', b'{"label": [1]}', b'{"caption": "x"}', b"[" * 100_000],
)
def test_json_without_a_class_is_no_class(tmp_path, content):
    found = open_shards(labelled(tmp_path, ("json", content), ("cls", b"a")))
    assert (len(found), found.classes, found.labels.tolist()) == (2, (), [])
    assert found.problems == ()


def test_classes_on_some_samples_only_are_no_classes(tmp_path):
    found = open_shards(labelled(tmp_path, ("cls", b"a"), ("txt", b"a"), ("cls", b"b")))
    assert (len(found), found.classes, found.labels.tolist()) == (3, (), [])
    (problem,) = found.problems
    assert "'1.png' of labelled.tar has no class" in problem


def test_given_classes_number_the_labels(tmp_path):
    path = labelled(tmp_path, ("cls", b"b"), ("cls", b"a"))
    found = open_shards(path, classes=("c", "b", "a"))
    assert (found.classes, found.labels.tolist()) == (("c", "b", "a"), [1, 2])
    with pytest.raises(UserError, match="got the classes a, expected b"):
        open_shards(path, classes=("b",))
    with pytest.raises(UserError, match="without a class"):
        open_shards(write_tar(tmp_path / "a.tar", [("1.png", png(1))]), classes=("b",))


# Damage ----------------------------------------------------------------------------------------


def test_a_truncated_tar_gives_the_samples_before_the_damage(tmp_path):
    """Four samples of 4 blocks each (png and cls, header and content), cut at every half block."""
    members = []
    for number in range(4):
        members += [(f"{number}.png", png(number)), (f"{number}.cls", b"a")]
    whole = write_tar(tmp_path / "whole.tar", members).read_bytes()
    assert len(png(0)) < BLOCK
    for cut in range(0, 16 * BLOCK + 1, BLOCK // 2):
        path = tmp_path / "cut.tar"
        path.write_bytes(whole[:cut])
        # the .cls of a sample is whole when its header and its first byte are there
        complete = sum(cut > (4 * number + 3) * BLOCK for number in range(4))
        if complete == 0:
            with pytest.raises(UserError, match=r"without a picture \(cut\.tar is damaged"):
                open_shards(path)
            continue
        found = open_shards(path)
        assert greys(found) == list(range(complete)), cut
        assert found.labels.tolist() == [0] * complete
        (problem,) = found.problems
        assert "cut.tar is damaged at byte" in problem, cut
    path.write_bytes(whole[: 17 * BLOCK])  # a block of zeros is an end
    assert open_shards(path).problems == ()


def test_without_classes_every_whole_picture_before_the_damage_counts(tmp_path):
    whole = write_tar(tmp_path / "a.tar", [(f"{n}.png", png(n)) for n in range(3)]).read_bytes()
    cut = tmp_path / "b.tar"
    for size, expected in [(4 * BLOCK, [0, 1]), (4 * BLOCK + 9, [0, 1]), (5 * BLOCK + 9, [0, 1])]:
        cut.write_bytes(whole[:size])
        found = open_shards(tmp_path)
        assert greys(found) == [0, 1, 2, *expected]
        (problem,) = found.problems
        assert problem.startswith(f"b.tar is damaged at byte 2,048 of {size:,}")


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path):
    data = bytearray(
        write_tar(tmp_path / "a.tar", [(f"{n}.png", png(n)) for n in range(3)]).read_bytes()
    )
    data[2 * BLOCK + 100] ^= 0xFF
    write_tar(tmp_path / "b.tar", [("9.png", png(9))])
    (tmp_path / "a.tar").write_bytes(data)
    found = open_shards(tmp_path)
    assert "damaged at byte 1,024" in found.problems[0]
    assert greys(found)[-1] == 9


def test_random_damage_never_hangs_or_crashes(tmp_path):
    members = [("x/" * 80 + "1.png", png(1)), ("1.cls", b"a"), ("é.json", b'{"label": 1}')]
    rng = np.random.default_rng(0)
    path = tmp_path / "a.tar"
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        whole = np.frombuffer(write_tar(path, members, format=format).read_bytes(), np.uint8)
        for _ in range(300):
            data = whole.copy()
            places = rng.integers(0, 8 * BLOCK, 3)
            data[places] = rng.integers(0, 256, 3)
            for start in range(
                0, 8 * BLOCK, BLOCK
            ):  # sums that fit, so that damage passes for content
                header = data[start : start + BLOCK]
                header[148:156] = np.frombuffer(
                    b"%06o\0 " % (int(header.sum()) - int(header[148:156].sum()) + 256), np.uint8
                )
            path.write_bytes(data.tobytes())
            try:
                found = open_shards(path)
            except UserError:
                continue
            for index in range(len(found)):
                with contextlib.suppress(ImageError):
                    found.read(index)


def test_a_negative_size_does_not_lead_round_in_circles(tmp_path):
    info = tarfile.TarInfo("back.bin")
    info.type = b"Z"  # of an unknown kind, which tarfile skips by its size
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = tarfile.itn(-2 * BLOCK, 12, tarfile.GNU_FORMAT)
    header[148:156] = b"%06o\0 " % tarfile.calc_chksums(header)[0]
    (tmp_path / "a.tar").write_bytes(
        write_tar(tmp_path / "b.tar", [("1.png", png(1)), ("2.png", png(2))]).read_bytes()[
            : 4 * BLOCK
        ]
        + header
    )
    found = open_shards(tmp_path / "a.tar")
    assert greys(found) == [1, 2]
    assert "damaged at byte 2,048" in found.problems[0]


def test_files_that_are_no_tars(tmp_path):
    write_tar(tmp_path / "empty.tar", [])
    (tmp_path / "nothing.tar").write_bytes(b"")
    (tmp_path / "text.tar").write_bytes(b"hello " * 1000)
    with pytest.raises(
        UserError, match=r"got 3 shards without a picture \(nothing\.tar is damaged"
    ):
        open_shards(tmp_path)
    write_tar(tmp_path / "text2.tar", [("1.txt", b"x")])
    with pytest.raises(UserError, match="1 samples without"):
        open_shards(tmp_path / "text2.tar")


def test_a_shard_that_cannot_be_opened(tmp_path, monkeypatch):
    path = write_tar(tmp_path / "a.tar", [("1.png", png(1))])

    def refuse(file):
        raise OSError(5, "Input/output error")
        yield

    monkeypatch.setattr(indexing, "_members", refuse)
    with pytest.raises(UserError, match="cannot be read \\(Input/output error\\)"):
        open_shards(path)


def test_unreadable_samples_are_named(tmp_path):
    path = write_tar(
        tmp_path / "a.tar", [("1.png", png(1)[:45]), ("2.png", b""), ("3.png", png(3))]
    )
    found = open_shards(path)
    with pytest.raises(ImageError, match=r"^a\.tar!1\.png: got a PNG file that is cut short"):
        found.read(0)
    with pytest.raises(ImageError, match=r"^a\.tar!2\.png: got an empty file"):
        found.read(1)
    path.unlink()
    with pytest.raises(ImageError, match=r"^a\.tar!3\.png: got no shard to read"):
        found.read(2)


# Cache -----------------------------------------------------------------------------------------


def assert_same(left: shards.ShardSet, right: shards.ShardSet) -> None:
    assert left.index.keys() == right.index.keys()
    for name, column in left.index.items():
        np.testing.assert_array_equal(column, right.index[name])
        assert column.dtype == right.index[name].dtype
    np.testing.assert_array_equal(left.labels, right.labels)
    for name in ("shards", "classes", "problems"):
        assert getattr(left, name) == getattr(right, name)


def test_the_cache_saves_the_pass_until_a_shard_changes(tmp_path, monkeypatch):
    data, cache = tmp_path / "data", tmp_path / "new" / "cache"
    members = [
        ("1.png", png(1)),
        ("1.cls", b"x"),
        ("2.txt", b""),
        ("3.png", png(3)),
        ("3.cls", b"y"),
    ]
    write_tar(data / "a.tar", members)
    (data / "b.tar").write_bytes((data / "a.tar").read_bytes()[: 4 * BLOCK])
    built = open_shards(data)
    assert len(built.problems) == 1
    assert sorted(p.name for p in data.iterdir()) == ["a.tar", "b.tar"]
    assert_same(open_shards(data, cache=cache), built)
    (file,) = cache.iterdir()
    assert file.name.startswith("shards-")
    assert file.suffix == ".npz"

    with monkeypatch.context() as patch:
        patch.setattr(indexing, "build_index", lambda paths: pytest.fail("the cache was not used"))
        assert_same(open_shards(data, cache=cache), built)
        assert open_shards(data, cache=cache, classes=("y", "x")).labels.tolist() == [1, 0, 1]

    os.utime(data / "a.tar", ns=(1, 1))
    assert_same(open_shards(data, cache=cache), built)
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_cache_is_made_again(tmp_path):
    path, cache = write_tar(tmp_path / "a.tar", [("1.png", png(1))]), tmp_path / "cache"
    built = open_shards(path, cache=cache)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    middle = bytearray(whole)
    middle[whole.index(b"1.png")] ^= 1  # the name, which only the sum of the zip protects
    for damage in (b"", b"nonsense", whole[:-40], whole[: len(whole) // 2], bytes(middle)):
        file.write_bytes(damage)
        assert_same(open_shards(path, cache=cache), built)
        assert file.read_bytes()[:4] == whole[:4]
        assert [p.name for p in cache.iterdir()] == [file.name]


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("1.png", png(1))])
    assert_same(open_shards(path, cache=path / "below-a-file"), open_shards(path))
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


# Workers, threads, speed -----------------------------------------------------------------------


def test_two_thousand_members_are_indexed(tmp_path):
    members = []
    for number in range(1000):
        members += [(f"{number:06d}.jpg", bytes(5000)), (f"{number:06d}.cls", b"%d" % (number % 7))]
    path = write_tar(tmp_path / "a.tar", members)
    found = open_shards(path)
    assert len(found) == 1000
    assert found.labels.tolist() == [number % 7 for number in range(1000)]
    assert sum(column.nbytes for column in found.index.values()) < 50 * 1000


class Reads(torch.utils.data.Dataset):
    def __init__(self, found):
        self.found = found

    def __len__(self):
        return len(self.found)

    def __getitem__(self, index):
        return torch.from_numpy(self.found.read(index)), self.found.labels[index]


def test_workers_read_what_the_process_reads(photos, tmp_path):
    write_shards(open_folder(photos), tmp_path, samples_per_shard=2)
    found = open_shards(tmp_path)
    found.read(0)  # nothing that is open here may be shared
    loader = torch.utils.data.DataLoader(
        Reads(found), num_workers=2, multiprocessing_context="fork"
    )
    for index, (rgb, label) in enumerate(loader):
        np.testing.assert_array_equal(rgb[0].numpy(), found.read(index))
        assert label.item() == found.labels[index]
    assert index == 6


def test_threads_do_not_disturb_one_another(tmp_path):
    path = write_tar(tmp_path / "a.tar", [(f"{n:03d}.png", png(n)) for n in range(100)])
    found = open_shards(path)
    results: dict[int, list[int]] = {}

    def work(number: int) -> None:
        order = np.random.default_rng(number).permutation(100).tolist()
        results[number] = [int(found.read(i)[0, 0, 0]) - i for i in order]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [0] * 100 for number in range(4)}


def test_pickling_keeps_everything(photos, tmp_path):
    write_shards(open_folder(photos), tmp_path)
    found = open_shards(tmp_path)
    again = pickle.loads(pickle.dumps(found))
    assert_same(found, again)
    np.testing.assert_array_equal(again.read(3), found.read(3))


def test_reading_leaves_no_descriptor_open(tmp_path):
    for number in range(50):
        write_tar(tmp_path / f"{number:02d}.tar", [("a.png", png(number))])
    before = len(os.listdir("/proc/self/fd"))
    assert greys(open_shards(tmp_path)) == list(range(50))
    assert len(os.listdir("/proc/self/fd")) == before


# Of a folder ---------------------------------------------------------------------------------------


def test_shards_of_a_folder_equal_the_folder(photos, tmp_path):
    folder = open_folder(photos)
    paths = write_shards(folder, tmp_path / "out", samples_per_shard=3)
    assert [p.name for p in paths] == ["shard-000.tar", "shard-001.tar", "shard-002.tar"]
    assert sorted((tmp_path / "out").iterdir()) == paths
    found = open_shards(tmp_path / "out")
    assert found.problems == ()
    assert len(found) == len(folder.paths) == 7
    assert found.classes == folder.classes == ("cat", "wild dog")
    assert tuple(found.labels) == folder.labels
    for index, path in enumerate(folder.paths):
        np.testing.assert_array_equal(found.read(index), images.read(path))
    assert found.name(0) == "shard-000.tar!00000000-IMG_2020_01.png"
    with tarfile.open(paths[0]) as tar:  # the original bytes
        assert tar.extractfile("00000000-IMG_2020_01.png").read() == folder.paths[0].read_bytes()


def test_a_folder_without_classes_makes_shards_without(photos, tmp_path):
    write_shards(open_folder(photos / "cat"), tmp_path / "out")
    found = open_shards(tmp_path / "out")
    assert (len(found), found.classes, len(found.labels)) == (4, (), 0)


def test_more_than_a_thousand_shards_sort_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a thousand take seconds
    (tmp_path / "in").mkdir()
    for number in range(1001):
        (tmp_path / "in" / f"{number:04d}.png").write_bytes(png(number % 256))
    paths = write_shards(open_folder(tmp_path / "in"), tmp_path / "out", samples_per_shard=1)
    assert (paths[0].name, paths[-1].name) == ("shard-0000.tar", "shard-1000.tar")
    found = open_shards(tmp_path / "out")
    assert [found.name(i)[15:23] for i in (0, 999, 1000)] == ["00000000", "00000999", "00001000"]
