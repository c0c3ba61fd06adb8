"""Throws damaged images at the worker processes and counts crashes, hangs and memory.

`python -m benchmarks.fuzz_images` mutates the files of `benchmarks.corpus` (bits, cuts, splices, headers, chunks and
segments, with checksums set right), looks at each with `pipeline.images.workers.look` and prints one JSON object last.
Each mutant follows from the seed and its number alone. Bytes that crash a decoder, hang it or are not decoded to the
same pixels twice are kept.
"""

import argparse
import json
import multiprocessing
import random
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.corpus import chunk, corpus, segments
from pipeline.base import files
from pipeline.images import decoding, workers
from pipeline.images.decoding import Facts, View
from pipeline.images.workers import Job, Limits

LIMITS = Limits(max_pixels=64_000_000, seconds=5, memory=400 * 2**20)
PEAK_MB = 512
"""What a worker may take in all: the limit on its growth, and what it starts with."""

BATCH = 4000
SAMPLE = 50
"""One in so many accepted images is decoded twice more."""

INTERESTING = (b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1")

Mutation = Callable[[bytes, random.Random, Sequence[bytes]], bytes]


def main(argv: Sequence[str] | None = None) -> int:
    """Mutate, look and count; 0 if nothing crashed, hung, grew too large or was read in two ways."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz_images",
        description=__doc__.splitlines()[0],
        epilog="example: python -m benchmarks.fuzz_images --n 100000 --seed 1",
    )
    parser.add_argument("--n", type=int, default=100_000, help="mutants (default: 100000)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random (default: 1)")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="folder for bytes that fail")
    options = parser.parse_args(argv)
    originals = list(originals_of(corpus()))
    counts: Counter[str] = Counter(accepted=0, refused=0, crashes=0, hangs=0, out_of_memory=0, differing=0)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, _peak() as peak:
        for start in range(0, options.n, BATCH):
            numbers = range(start, min(start + BATCH, options.n))
            mutants = [mutant(originals, options.seed, number) for number in numbers]
            for number, content, word in zip(numbers, mutants, judge(mutants, Path(folder)), strict=True):
                counts[word] += 1
                if word in ("crashes", "hangs", "differing"):
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / f"{word}-{options.seed}-{number}").write_bytes(content)
            print(f"{numbers.stop:,} mutants: {dict(counts)}", flush=True)
    seconds = time.monotonic() - began
    ok = not (counts["crashes"] or counts["hangs"] or counts["differing"]) and max(peak) <= PEAK_MB
    figures = {"n": options.n, "seed": options.seed, "kinds": len(originals), **counts, "peak_worker_mb": max(peak)}
    rates = {"images_per_second": round(options.n / seconds), "target_peak_mb": PEAK_MB, "ok": ok}
    print(json.dumps({"benchmark": "fuzz_images", **figures, **rates}))
    return 0 if ok else 1


def originals_of(files: dict[str, bytes]) -> Iterator[bytes]:
    """What to mutate: not the bombs that are slow intact, nor files without bytes."""
    for name, content in files.items():
        if content and not (name.startswith("bomb") and len(content) > 30_000):
            yield content


def mutant(originals: Sequence[bytes], seed: int, number: int) -> bytes:
    """One damaged file."""
    dice = random.Random(f"{seed}-{number}")
    content = dice.choice(originals)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 5))):
        content = dice.choice(MUTATIONS)(content, dice, originals) or content
    return content


def judge(mutants: Sequence[bytes], folder: Path) -> list[str]:
    """What became of each, one word."""
    import numpy as np

    jobs = []
    for index, content in enumerate(mutants):
        path = folder / str(index)
        path.write_bytes(content)
        jobs.append(Job(files.md5(content), (str(path),)))
    out = folder / "pixels.npy"
    facts = workers.look(jobs, LIMITS, {View(32): out}, "fuzz")
    pixels = np.load(out, mmap_mode="r")
    words = [_word(fact) for fact in facts]
    for index in [index for index, word in enumerate(words) if word == "accepted"][::SAMPLE]:
        again = decoding.look(mutants[index], View(32))
        decoded = decoding.decode(mutants[index], 32, 3)
        if again[0] != facts[index] or not (pixels[index] == again[1]).all() or not (decoded == again[1]).all():
            words[index] = "differing"
    return words


def _word(facts: Facts | None) -> str:
    assert facts is not None
    if not facts.error:
        return "accepted"
    for start, word in (("crashed", "crashes"), ("took more than", "hangs"), ("needs more than", "out_of_memory")):
        if facts.error.startswith(start):
            return word
    return "refused"


def _flip(content: bytes, dice: random.Random, _: Sequence[bytes]) -> bytes:
    changed = bytearray(content)
    for _number in range(dice.choice((1, 1, 2, 8))):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _cut(content: bytes, dice: random.Random, _: Sequence[bytes]) -> bytes:
    return content[: dice.randrange(len(content))]


def _overwrite(content: bytes, dice: random.Random, _: Sequence[bytes]) -> bytes:
    """Mostly in the header, where sizes, depths and counts are."""
    place, value = dice.randrange(min(len(content), dice.choice((40, 200, 10**6)))), dice.choice(INTERESTING)
    return content[:place] + value + content[place + len(value) :]


def _splice(content: bytes, dice: random.Random, originals: Sequence[bytes]) -> bytes:
    other = dice.choice(originals)
    return content[: dice.randrange(len(content))] + other[dice.randrange(len(other)) :]


def _repeat(content: bytes, dice: random.Random, _: Sequence[bytes]) -> bytes:
    start, end = sorted(dice.randrange(len(content)) for _number in range(2))
    return content[:end] + content[start:end] * dice.choice((1, 2, 20)) + content[end:]


def _remove(content: bytes, dice: random.Random, _: Sequence[bytes]) -> bytes:
    start = dice.randrange(len(content))
    return content[:start] + content[start + dice.choice((1, 2, 4, 100)) :]


def _png_chunks(content: bytes, dice: random.Random, originals: Sequence[bytes]) -> bytes:
    """Change, repeat, drop or move chunks of a PNG, or take one of another; checksums are right."""
    pieces = _chunks(content)
    if not pieces:
        return _flip(content, dice, originals)
    place = dice.randrange(len(pieces))
    name, body = pieces[place]
    deed = dice.choice(("change", "change", "change", "repeat", "drop", "move", "take"))
    if deed == "change" and body:
        pieces[place] = (
            name,
            _overwrite(body, dice, originals) if dice.random() < 0.5 else _flip(body, dice, originals),
        )
    elif deed == "repeat":
        pieces[place:place] = [(name, body)] * dice.choice((1, 3, 50))
    elif deed == "drop":
        del pieces[place]
    elif deed == "move":
        pieces.insert(dice.randrange(len(pieces)), pieces.pop(place))
    else:
        pieces[place:place] = dice.sample(others := _chunks(dice.choice(originals)), min(1, len(others)))
    return content[:8] + b"".join(chunk(*piece) for piece in pieces)


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Names and contents of a PNG's chunks; none of another file."""
    pieces, place = [], 8
    while content.startswith(b"\x89PNG") and place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4], "big")
        pieces.append((content[place + 4 : place + 8], content[place + 8 : end]))
        place = end + 4
    return pieces


def _jpeg_segments(content: bytes, dice: random.Random, originals: Sequence[bytes]) -> bytes:
    """Change, repeat, drop or move segments of a JPEG: frame, tables, scan header, metadata."""
    places = list(segments(content)) if content.startswith(b"\xff\xd8") else []
    if not places:
        return _flip(content, dice, originals)
    pieces, rest = [content[start:end] for _, start, end in places], content[places[-1][2] :]
    place = dice.randrange(len(pieces))
    deed = dice.choice(("change", "change", "change", "repeat", "drop", "move", "scan"))
    if deed == "change":
        pieces[place] = pieces[place][:4] + _overwrite(pieces[place][4:] or b"\0", dice, originals)
    elif deed == "repeat":
        pieces[place:place] = [pieces[place]] * dice.choice((1, 3, 50))
    elif deed == "drop":
        del pieces[place]
    elif deed == "move":
        pieces.insert(dice.randrange(len(pieces)), pieces.pop(place))
    else:
        rest += (pieces[-1] + rest) * dice.choice((1, 3, 20))
    return content[:2] + b"".join(pieces) + rest


MUTATIONS: tuple[Mutation, ...] = (
    _flip,
    _cut,
    _overwrite,
    _overwrite,
    _splice,
    _repeat,
    _remove,
    _png_chunks,
    _png_chunks,
    _jpeg_segments,
    _jpeg_segments,
)


@contextmanager
def _peak() -> Iterator[list[int]]:
    """The most memory that any worker had in RAM so far, MB, as the list's largest item; from Linux's /proc."""
    seen, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            for process in multiprocessing.active_children():
                try:
                    status = Path(f"/proc/{process.pid}/status").read_text()
                except OSError:
                    continue
                if peak := re.search(r"VmHWM:\s+(\d+) kB", status):
                    seen.append(int(peak[1]) // 1024)
            seen[:] = [max(seen)]

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(main())
