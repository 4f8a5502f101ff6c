"""A browser's pictures made smaller, with nothing but the standard library."""

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

COLOURS = 256


def smaller(png: bytes) -> bytes:
    """The same picture with at most 256 colours: a quarter of the size, and nobody sees it."""
    width, height, pixels = decoded(png)
    count = Counter(pixels)
    palette = [colour for colour, _ in count.most_common(COLOURS)]
    index = {colour: number for number, colour in enumerate(palette)}
    for colour in count.keys() - index.keys():
        index[colour] = index[nearest(colour, palette)]
    numbers = bytes(index[pixel] for pixel in pixels)
    rows = b"".join(b"\0" + numbers[y * width : (y + 1) * width] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(kind, body)
        for kind, body in (
            (b"IHDR", header),
            (b"PLTE", b"".join(palette)),
            (b"IDAT", zlib.compress(rows, 9)),
            (b"IEND", b""),
        )
    )


def nearest(colour: bytes, palette: list[bytes]) -> bytes:
    return min(palette, key=lambda one: sum((a - b) ** 2 for a, b in zip(one, colour, strict=True)))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def decoded(png: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and pixels of what a browser writes: 8 bits a channel, not interlaced."""
    width, height, depth, kind = struct.unpack(">IIBB", png[16:26])
    channels = {2: 3, 6: 4}[kind]
    assert depth == 8, "a browser's PNG has 8 bits a channel"
    packed, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            packed += png[at + 8 : at + 8 + length]
        at += length + 12
    rows = unfiltered(zlib.decompress(packed), width * channels, channels)
    return (
        width,
        height,
        [bytes(row[x : x + 3]) for row in rows for x in range(0, width * channels, channels)],
    )


def unfiltered(data: bytes, stride: int, step: int) -> Iterator[bytearray]:
    """The rows, each filter undone: https://www.w3.org/TR/png-3/#9Filters."""
    above = bytearray(stride)
    for start in range(0, len(data), stride + 1):
        kind, row = data[start], bytearray(data[start + 1 : start + 1 + stride])
        for x in range(stride):
            left = row[x - step] if x >= step else 0
            corner = above[x - step] if x >= step else 0
            row[x] = (row[x] + predicted(kind, left, above[x], corner)) & 255
        above = row
        yield row


def predicted(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 4:
        guess = left + up - corner
        return min((left, up, corner), key=lambda one: abs(guess - one))
    return (0, left, up, (left + up) // 2)[kind]
