"""Writes pictures of every kind that Pillow reads, and beside each what Image.open(...).convert("RGB") makes of it."""
import io
import json
import pathlib
import struct
import sys
import zlib

import numpy
from PIL import Image, ImageOps

folder = pathlib.Path(sys.argv[1])
random = numpy.random.default_rng(7)
manifest = []


def record(name, data):
    (folder / name).write_bytes(data)
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    (folder / (name + ".rgb")).write_bytes(numpy.asarray(picture).tobytes())
    manifest.append({"file": name, "width": picture.width, "height": picture.height})


def record_upright(name, data):
    """What ImageOps.exif_transpose makes of the picture that was recorded last."""
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    (folder / (name + ".upright")).write_bytes(numpy.asarray(upright).tobytes())
    manifest[-1]["upright"] = [upright.width, upright.height]


def scene(width, height, channels):
    """Smooth shapes with some noise: JPEG's chroma upsampling shows on edges, not on pure noise."""
    y, x = numpy.mgrid[0:height, 0:width]
    planes = [127 + 90 * numpy.sin(x / (3 + c) + y / (7 - c)) + random.normal(0, 12, (height, width)) for c in range(channels)]
    return numpy.clip(numpy.stack(planes, -1), 0, 255).astype(numpy.uint8)


def jpeg(name, mode, size, **options):
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = scene(*size, channels)
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels, mode)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    record(name, buffer.getvalue())
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(name, width, height, depth, colour, extra=b"", palette_size=None, transparency=None, interlace=0):
    """A PNG written by hand, so that every depth and colour type exists, with and without Adam7."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]

    def image_rows(columns, rows):
        data = b""
        for _ in range(rows):
            bits = columns * samples * depth
            row = bytearray(random.integers(0, 256, (bits + 7) // 8, dtype=numpy.uint8).tobytes())
            if colour == 3 and depth == 8 and palette_size:
                row = bytearray(value % palette_size for value in row)
            data += b"\0" + bytes(row)
        return data

    if interlace:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
        data = b""
        for left, top, step_x, step_y in passes:
            columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
            if columns > 0 and rows > 0:
                data += image_rows(columns, rows)
    else:
        data = image_rows(width, height)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra
    if palette_size:
        out += chunk(b"PLTE", random.integers(0, 256, 3 * palette_size, dtype=numpy.uint8).tobytes())
    if transparency is not None:
        out += chunk(b"tRNS", transparency)
    record(name, out + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))


for size in [(48, 48), (1, 1), (7, 5), (16, 16), (33, 17), (130, 70)]:
    tag = "%dx%d" % size
    jpeg(f"grey-{tag}.jpg", "L", size, quality=90)
    jpeg(f"grey-progressive-{tag}.jpg", "L", size, quality=60, progressive=True)
    jpeg(f"cmyk-{tag}.jpg", "CMYK", size, quality=85)
    for subsampling in range(3):
        jpeg(f"colour-{subsampling}-{tag}.jpg", "RGB", size, quality=92, subsampling=subsampling)
        jpeg(f"progressive-{subsampling}-{tag}.jpg", "RGB", size, quality=50, subsampling=subsampling, progressive=True)
jpeg("rgb-not-ycc.jpg", "RGB", (40, 30), keep_rgb=True)
jpeg("restarts.jpg", "RGB", (90, 60), restart_marker_blocks=2)

# All orientations, as EXIF and as XMP, and what ImageOps.exif_transpose makes of them.
for orientation in range(1, 10):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name, options in {f"turned-{orientation}.jpg": {"exif": exif}, f"turned-xmp-{orientation}.jpg": {
            "xmp": b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>' % orientation}}.items():
        data = jpeg(name, "RGB", (37, 22), quality=95, **options)
        record_upright(name, data)

# The orientation in every type of number that TIFF has, also several of them, in both byte orders.
types = {"byte": (1, "B"), "ascii": (2, "c"), "short": (3, "H"), "long": (4, "I"), "sbyte": (6, "b"), "undefined": (7, "B"),
         "sshort": (8, "h"), "slong": (9, "i"), "float": (11, "f")}
plain = jpeg("plain-rgb.jpg", "RGB", (37, 22), quality=95)
for order, mark in ("<", b"II"), (">", b"MM"):
    for kind, (number, form) in types.items():
        for count in 1, 2, 3:
            value = struct.pack(f"{order}{count}{form}", *[b"6" if form == "c" else 6] * count)
            entry = struct.pack(order + "HHI", 0x0112, number, count)
            entry += value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(order + "I", 26)
            tiff = mark + struct.pack(order + "HIH", 42, 8, 1) + entry + struct.pack(order + "I", 0) + value
            segment = b"Exif\0\0" + tiff
            data = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
            name = f"turned-{kind}-{count}-{mark.decode()}.jpg"
            record(name, data)
            record_upright(name, data)

# An EXIF orientation is not applied; YCCK is CMYK with Adobe's transform flag, here set by hand.
exif = Image.Exif()
exif[0x0112] = 6
jpeg("rotated-by-exif.jpg", "RGB", (31, 20), exif=exif)
cmyk = jpeg("plain-cmyk.jpg", "CMYK", (40, 24), quality=90)
adobe = cmyk.find(b"Adobe")
if adobe >= 0:
    marked = bytearray(cmyk)
    marked[adobe + 11] = 2
    record("ycck.jpg", bytes(marked))
# Bytes between and behind the markers are no damage.
whole = jpeg("whole.jpg", "RGB", (32, 32))
record("bytes-behind.jpg", whole + b"tail")
record("png-named.jpg.png", whole)

for interlace in (0, 1):
    for width, height in [(1, 1), (9, 4), (37, 21)]:
        tag = f"{width}x{height}-i{interlace}"
        for colour, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 4: (8, 16), 6: (8, 16)}.items():
            for depth in depths:
                png(f"c{colour}-d{depth}-{tag}.png", width, height, depth, colour, interlace=interlace)
        for depth in (1, 2, 4, 8):
            png(f"palette-d{depth}-{tag}.png", width, height, depth, 3, palette_size=2**depth, interlace=interlace)
png("short-palette.png", 30, 20, 8, 3, palette_size=11)
png("palette-beyond.png", 30, 20, 4, 3, palette_size=5)
png("palette-trns.png", 30, 20, 8, 3, palette_size=64, transparency=bytes(range(0, 64, 4)))
png("grey-trns.png", 30, 20, 8, 0, transparency=struct.pack(">H", 90))
png("grey16-trns.png", 30, 20, 16, 0, transparency=struct.pack(">H", 90))
png("colour-trns.png", 30, 20, 8, 2, transparency=struct.pack(">HHH", 1, 2, 3))
png("gamma.png", 30, 20, 8, 2, extra=chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sBIT", b"\5\6\5"))

(folder / "manifest.json").write_text(json.dumps(manifest))
