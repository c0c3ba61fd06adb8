"""What the markers of a JPEG say: its frame, its scans and where the data of each lies (ITU-T T.81). Pure."""

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

DHT, SOS, EOI, DRI = 0xC4, 0xDA, 0xD9, 0xDD
FRAMES = {*range(0xC0, 0xD0)} - {DHT, 0xC8, 0xCC}
SEQUENTIAL, PROGRESSIVE, ARITHMETIC = (0xC0, 0xC1), (0xC2, 0xCA), range(0xC9, 0xD0)
"""Markers (table B.1)."""

MARKER = re.compile(rb"\xff([\x01-\xfe])", re.DOTALL)
"""Neither a stuffed zero nor a fill byte (B.1.1.2, B.1.1.5). Like libjpeg, what lies between segments is skipped."""

RESTART = re.compile(rb"\xff([\xd0-\xd7])", re.DOTALL)
OTHER_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL)
ALONE = (0x01, *range(0xD0, 0xD9))
"""Markers that begin no segment."""

EVERY = (1 << 64) - 1
"""All coefficients of a block, a bit for each."""


class Scan(NamedTuple):
    """One pass over coefficients of a picture (B.2.3)."""

    start: int
    end: int
    """Where its data lies."""
    components: tuple[int, ...]
    coefficients: int
    """Which it gives in full, a bit for each; others it leaves to be refined."""
    may_have_zeros: bool
    """Whether zero bits can stand for a flat area. Else they stand for coefficients, none of which is zero."""
    expected_restarts: bytes
    """The last byte of each restart marker that it should have."""


@dataclass
class Jpeg:
    """What the headers said so far."""

    frame: int = 0
    """Its marker."""
    width: int = 0
    height: int = 0
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Across and down, by component."""
    restart_interval: int = 0
    """Units of data between restart markers; 0: there are none."""
    zeros: dict[int, int] = field(default_factory=dict)
    """What zero bits stand for, by table: the first code of each is zeros (C.2)."""
    scans: list[Scan] = field(default_factory=list)

    @property
    def is_sequential(self) -> bool:
        """Whether each bit of its data is needed once and for all; else later scans refine earlier ones."""
        return self.frame in SEQUENTIAL

    @property
    def is_complete(self) -> bool:
        """Whether each coefficient of each component is there in full.

        The standard would let an encoder leave refinements out (`jcmaster.c` of libjpeg); none is known that does.
        """
        seen = dict.fromkeys(self.sampling, 0)
        for scan in self.scans:
            for component in scan.components:
                seen[component] = seen.get(component, 0) | scan.coefficients
        return all(coefficients == EVERY for coefficients in seen.values())


def read(content: bytes) -> Jpeg:
    """Read the markers up to the picture's end; what follows that is not the picture's.

    Args:
        content: a JPEG that can be decoded.
    """
    jpeg, place = Jpeg(), 2
    while (found := MARKER.search(content, place)) and (marker := found[1][0]) != EOI:
        place = found.end()
        if marker in ALONE:
            continue
        end = place + int.from_bytes(content[place : place + 2], "big")
        segment, place = content[place + 2 : end], end
        if marker == SOS:
            after = (OTHER_MARKER if jpeg.restart_interval else MARKER).search(content, end)
            place = after.start() if after else len(content)
            jpeg.scans.append(_scan(jpeg, segment, end, place))
        else:
            _take(jpeg, marker, segment)
    return jpeg


def _take(jpeg: Jpeg, marker: int, segment: bytes) -> None:
    """What a segment says of the scans after it."""
    if marker in FRAMES:
        jpeg.frame = marker
        jpeg.height, jpeg.width, count = struct.unpack_from(">HHB", segment, 1)
        parts = (segment[place : place + 2] for place in range(6, 6 + 3 * count, 3))
        jpeg.sampling = {part[0]: (part[1] >> 4, part[1] & 15) for part in parts}
    elif marker == DRI:
        jpeg.restart_interval = int.from_bytes(segment[:2], "big")
    elif marker == DHT:
        jpeg.zeros.update(_zeros(segment))


def restarts(content: bytes, scan: Scan) -> bytes:
    """The last byte of each restart marker that a scan has."""
    return b"".join(RESTART.findall(content, scan.start, scan.end))


def _zeros(segment: bytes) -> Iterator[tuple[int, int]]:
    """Each Huffman table of a segment, and what zero bits stand for in it (B.2.4.2)."""
    place = 0
    while place + 17 < len(segment):
        yield segment[place], segment[place + 17]
        place += 17 + sum(segment[place + 1 : place + 17])


def _scan(jpeg: Jpeg, segment: bytes, start: int, end: int) -> Scan:
    count = segment[0]
    parts = [segment[place : place + 2] for place in range(1, 1 + 2 * count, 2)]
    components = tuple(part[0] for part in parts)
    first, last, precision = segment[1 + 2 * count : 4 + 2 * count] if jpeg.frame in PROGRESSIVE else (0, 63, 0)
    symbols = [jpeg.zeros.get(0x10 | part[1] & 15, 0) for part in parts]
    return Scan(
        start,
        end,
        components,
        coefficients=0 if precision & 15 else (1 << last + 1) - (1 << first),
        # Raw bits, means alone, or blocks that end at once (F.1.2, G.1.2).
        may_have_zeros=(
            jpeg.frame in ARITHMETIC or precision > 15 or last == 0 or not any(symbol & 15 for symbol in symbols)
        ),
        expected_restarts=_expected_restarts(jpeg, components),
    )


def _expected_restarts(jpeg: Jpeg, components: tuple[int, ...]) -> bytes:
    """A marker between any two intervals, numbered 0 to 7 again and again (B.2.1)."""
    if not jpeg.restart_interval:
        return b""
    count = (_units(jpeg.sampling, jpeg.width, jpeg.height, components) - 1) // jpeg.restart_interval
    return (bytes(range(0xD0, 0xD8)) * (count // 8 + 1))[:count]


def _units(sampling: Mapping[int, tuple[int, int]], width: int, height: int, components: tuple[int, ...]) -> int:
    """How many units of data a scan has: blocks of its one component, else all components' blocks of an area (A.2)."""
    most_across = max(across for across, _ in sampling.values())
    most_down = max(down for _, down in sampling.values())
    across, down = sampling[components[0]] if len(components) == 1 else (1, 1)
    rows, columns = -(-height * down // (8 * most_down)), -(-width * across // (8 * most_across))
    return rows * columns
