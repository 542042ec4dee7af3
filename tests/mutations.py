"""Damage to bytes, text, JSON values and archives, drawn from a seeded `random.Random`, for `fuzz.py`."""

import copy
import io
import json
import random
import string
import zipfile

_EXTREME = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
_HEADER = 256  # Bytes: half of all damage falls on the beginning, where lengths and counts are.
_CELLS = (
    "",
    " ",
    "\x00",
    '"',
    "'",
    ";",
    ";;",
    "=1+1",
    "..",
    "../../etc/passwd",
    "/",
    "nan",
    "-1",
    "1e309",
    "9" * 30,
    "9" * 5000,
    "0x10",
    "١٢",
    "\ud7ff\ufeff",
    "\u202etxt.wav",
    "a" * 140_000,
    "a" * 300,
    "x\ny",
    "x\r\ny",
    "\u2028",
)
_ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp037")
_VALUES = (
    None,
    True,
    -1,
    0,
    10**9,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "../x",
    [],
    [[]],
    {},
    {"a": 1},
    "é" * 1000,
)


def damaged(data, rng, others=()):
    """Bytes with one to four changes: bits, extreme numbers, blocks gone, moved or doubled, an early end, a splice."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        _BYTES[rng.randrange(len(_BYTES))](data, rng)
    if others and rng.random() < 0.1:
        other = rng.choice(others)
        data[rng.randrange(len(data) + 1) :] = other[rng.randrange(len(other)) :]
    return bytes(data)


def damaged_text(text, rng, separator=","):
    """Bytes of a text with changed cells, lines, line ends, quotes or encoding; one in five is damaged as bytes."""
    if rng.random() < 0.2:
        return damaged(text.encode(), rng)
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 2, 4))):
        number, kind = rng.randrange(len(lines)), rng.randrange(8)
        cells = lines[number].split(separator)
        place = rng.randrange(len(cells))
        if kind <= 2:
            cells[place] = rng.choice(_CELLS)
        elif kind == 3:
            cells.insert(place, rng.choice(_CELLS))
        elif kind == 4:
            del cells[place]
        elif kind == 5:
            cells[place] = "".join(rng.choices(string.printable + "éß漢🎵\u0000", k=rng.randrange(20)))
        elif kind == 6:
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
        if kind == 7 and len(lines) > 1:
            del lines[number]
        else:
            lines[number] = separator.join(cells)
    content = rng.choice(("\n", "\n", "\n", "\r\n", "\r", "\n\n")).join(lines)
    encoding = rng.choice(_ENCODINGS) if rng.random() < 0.15 else "utf-8"
    return content.encode(encoding, "replace")


def damaged_json(text, rng):
    """Bytes of a JSON text whose values are replaced, removed, moved or nested; some are damaged as text."""
    if rng.random() < 0.2:
        return damaged_text(text, rng)
    if rng.random() < 0.02:
        return b"[" * 200_000
    value = json.loads(text)
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = list(_places(value))
        if not places:
            break
        holder, key = rng.choice(places)
        kind = rng.randrange(5)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            other, name = rng.choice(places)
            holder[key] = copy.deepcopy(other[name]) if name in range(len(other)) or name in other else None
        elif kind == 2 and isinstance(holder[key], int | float):
            holder[key] = rng.choice((-holder[key], holder[key] + 1, holder[key] * 1000, float(holder[key])))
        else:
            holder[key] = copy.deepcopy(rng.choice((*_VALUES, *_CELLS)))
    return json.dumps(value).encode()


def repacked(archive, changes):
    """A zip archive with other contents of some members, by name; valid checksums."""
    output = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(output, "w") as new:
        for info in old.infolist():
            new.writestr(info, changes.get(info.filename, old.read(info.filename)))
    return output.getvalue()


def with_ogg_checksums(data):
    """An Ogg stream with the right checksum in every page that is whole, so that a decoder looks at the damage."""
    data, start = bytearray(data), data.find(b"OggS")
    while start >= 0 and start + 27 < len(data):
        segments = data[start + 26]
        end = start + 27 + segments + sum(data[start + 27 : start + 27 + segments])
        data[start + 22 : start + 26] = bytes(4)
        remainder = 0
        for byte in data[start:end]:
            remainder = (remainder << 8 & 0xFFFFFFFF) ^ _OGG_TABLE[remainder >> 24 ^ byte]
        data[start + 22 : start + 26] = remainder.to_bytes(4, "little")
        start = data.find(b"OggS", start + 4)
    return bytes(data)


def rng_of(*key):
    """A generator that depends on a seed, a target and the number of an input."""
    return random.Random("/".join(map(str, key)))


def _ogg_remainder(byte):
    remainder = byte << 24
    for _ in range(8):
        remainder = (remainder << 1 ^ (0x04C11DB7 if remainder >> 31 else 0)) & 0xFFFFFFFF
    return remainder


_OGG_TABLE = [_ogg_remainder(byte) for byte in range(256)]


def _places(value):
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _place(data, rng):
    end = min(len(data), _HEADER) if rng.random() < 0.5 else len(data)
    return rng.randrange(end) if end else 0


def _block(data, rng):
    start = _place(data, rng)
    return slice(start, start + rng.choice((1, 2, 4, 8, 16, 64, 512)))


def _flip_bits(data, rng):
    for _ in range(rng.choice((1, 2, 8))):
        if data:
            data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _extreme_number(data, rng):
    width, place = rng.choice((1, 2, 4, 8)), _place(data, rng)
    number = (rng.choice(_EXTREME) + rng.choice((-1, 0, 0, 1))) % 256**width
    data[place : place + width] = number.to_bytes(width, rng.choice(("little", "big")))


def _cut(data, rng):
    del data[_place(data, rng) :]


def _remove(data, rng):
    del data[_block(data, rng)]


def _double(data, rng):
    block = _block(data, rng)
    data[block.start : block.start] = bytes(data[block]) * rng.choice((1, 1, 2, 100))


def _overwrite(data, rng):
    block = _block(data, rng)
    length = len(data[block])
    data[block] = bytes(length) if rng.random() < 0.3 else rng.randbytes(length)


def _move(data, rng):
    block = bytes(data[_block(data, rng)])
    place = _place(data, rng)
    data[place : place + len(block)] = block


def _append(data, rng):
    data += rng.randbytes(rng.choice((1, 7, 100)))


_BYTES = (_flip_bits, _flip_bits, _extreme_number, _extreme_number, _cut, _remove, _double, _overwrite, _move, _append)
