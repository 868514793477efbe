"""Random mutations of a real spool: it always opens, and every record that is still intact is read, once.

400 of them in CI; ``make faults`` plays 10,000.
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import xxhash

from collector.spool import Reader, Writer
from fusebox import happenings

MIB = 1 << 20
SEEDS_PER_MUTATION = 40
SEEDS_BY_MAKE_FAULTS = 1000

Mutation = Callable[[Path, random.Random], None]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some twenty segments of records of all sizes."""
    folder = tmp_path_factory.mktemp("original") / "spool"
    chance = random.Random(1)
    writer = Writer(folder, 64 * MIB, segment_bytes=3000)
    for i in range(200):
        writer.append(b"%d:" % i + chance.randbytes(chance.choice([0, 1, 10, 100, 700])))
    writer.close()
    return folder


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.seg"))


def flip_bit(folder: Path, chance: random.Random) -> None:
    path = chance.choice(files(folder))
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def truncate(folder: Path, chance: random.Random) -> None:
    path = chance.choice(files(folder))
    with path.open("r+b") as file:
        file.truncate(chance.randrange(path.stat().st_size + 1))


def zero_page(folder: Path, chance: random.Random) -> None:
    path = chance.choice(files(folder))
    start = chance.randrange(path.stat().st_size)
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(min(chance.choice([64, 512, 4096]), path.stat().st_size - start)))


def cut_out(folder: Path, chance: random.Random) -> None:
    path = chance.choice(files(folder))
    data = path.read_bytes()
    start = chance.randrange(len(data))
    path.write_bytes(data[:start] + data[start + chance.randrange(1, 300) :])


def insert_garbage(folder: Path, chance: random.Random) -> None:
    path = chance.choice(files(folder))
    data = path.read_bytes()
    start = chance.randrange(len(data))
    path.write_bytes(data[:start] + chance.randbytes(200) + b"\xf5SPL" + chance.randbytes(50) + data[start:])


def swap(folder: Path, chance: random.Random) -> None:
    one, other = chance.sample(files(folder), 2)
    spare = folder / "spare"
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def duplicate(folder: Path, chance: random.Random) -> None:
    path = chance.choice(files(folder))
    base, salt = path.stem.split("-")
    shutil.copy(path, folder / f"{int(base) + chance.randrange(1, 400):020d}-{salt}.seg")


def foreign_files(folder: Path, chance: random.Random) -> None:
    (folder / "notes.txt").write_text("hello")
    (folder / f"{chance.randrange(500):020d}-{chance.randrange(1 << 32):08x}.seg").write_bytes(chance.randbytes(500))
    (folder / f"{chance.randrange(1 << 60):020d}-00000000.seg").touch()


def lose_marks(folder: Path, chance: random.Random) -> None:
    (folder / "durable").write_bytes(chance.randbytes(chance.randrange(20)))
    (folder / "cursors" / "watch").write_bytes(chance.randbytes(chance.randrange(30)))


def several(folder: Path, chance: random.Random) -> None:
    for mutation in chance.sample([flip_bit, truncate, zero_page, swap, duplicate, lose_marks], 3):
        mutation(folder, chance)


MUTATIONS = [
    flip_bit, truncate, zero_page, cut_out, insert_garbage, swap, duplicate, foreign_files, lose_marks, several
]  # fmt: skip


def intact(folder: Path, salt: int) -> dict[int, bytes]:
    """Every record that any file still holds whole: the oracle, with no notion of order or place."""
    return {number: payload for path in files(folder) for _, number, payload in records(path.read_bytes(), salt)}


def records(data: bytes, salt: int) -> Iterator[tuple[int, int, bytes]]:
    """Place, number and payload of every record in ``data``: the format as its description tells it, read anew here.

    Unlike the product it looks at every place, also within what it has found.
    """
    for match in re.finditer(rb"(?=\xf5SPL)", data):
        head = data[match.start() : match.start() + 28]
        if len(head) < 28 or xxhash.xxh32_intdigest(head[:24], salt) != int.from_bytes(head[24:], "little"):
            continue
        length, number, checksum = (int.from_bytes(head[a:b], "little") for a, b in ((4, 8), (8, 16), (16, 24)))
        payload = data[match.start() + 28 : match.start() + 28 + length]
        if len(payload) == length and xxhash.xxh64_intdigest(payload, salt) == checksum:
            yield match.start(), number, payload


@pytest.mark.faults
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.__name__)
def test_all_intact_records_survive(
    original: Path, tmp_path: Path, mutation: Mutation, request: pytest.FixtureRequest
) -> None:
    salt = int(files(original)[0].stem.split("-")[1], 16)
    damaged = 0
    for seed in range(SEEDS_BY_MAKE_FAULTS if request.config.getoption("--fault-cycles") else SEEDS_PER_MUTATION):
        folder = tmp_path / str(seed)
        shutil.copytree(original, folder)
        mutation(folder, random.Random(seed))
        expected = intact(folder, salt)
        damaged += _contents(folder) != _contents(original)
        writer = Writer(folder, 64 * MIB)
        expected[writer.append(b"after the damage")] = b"after the damage"
        for name in ("keep", "watch"):
            with closing(Reader(folder, name)) as reader:
                found = reader.read(10_000, 64 * MIB)
            assert {r.number: r.payload for r in found} == expected, f"seed {seed}"
            assert len(found) == len(expected), f"seed {seed}"
        writer.close()
        shutil.rmtree(folder)
    assert damaged > seed / 2, "the mutations did something"


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_damage_is_counted_exactly_and_kept_for_people(original: Path, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    shutil.copytree(original, folder)
    path = files(folder)[5]
    data = bytearray(path.read_bytes())
    starts = [start for start, _, payload in records(bytes(data), int(path.stem.split("-")[1], 16)) if payload]
    for start in (starts[1], starts[3], starts[-1]):
        data[start + 28] ^= 255
    path.write_bytes(data)
    lost = happenings.counts()["spool_records_lost"]
    Writer(folder, 64 * MIB).close()
    reader = Reader(folder, "keep")
    assert len(reader.read(10_000, 64 * MIB)) == 200 - 3
    assert happenings.counts()["spool_records_lost"] == lost + 3
    assert [p.name for p in (folder / "quarantine").iterdir()] == [path.name]
