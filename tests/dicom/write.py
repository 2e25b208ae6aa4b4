"""Writes DICOM cines with pydicom, dcmtk and ffmpeg, and beside each what those decode of it.

    write.py FOLDER

NAME.dcm has its pixels in NAME.raw: as they are stored before compression, or as dcmtk decodes them where that loses
something. Every text attribute that the standard knows holds ZZPLANTED, every date 19010203.
"""
import os
import subprocess
import sys

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

folder = sys.argv[1]
WIDTH, HEIGHT, FRAMES = 580, 420, 6
os.makedirs(folder, exist_ok=True)


def path(name, kind="dcm"):
    return os.path.join(folder, f"{name}.{kind}")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def plant(dataset):
    """Text in every attribute that takes text."""
    for tag, (vr, vm, _, _, _) in pydicom.datadict.DicomDictionary.items():
        group = tag >> 16
        if group in (0x0000, 0x0002, 0x0004, 0xFFFE) or tag in (0x00080005, 0x00287FE0) or tag in dataset:
            continue
        text = {"DA": "19010203", "TM": "010203", "DT": "19010203010203"}.get(vr)
        if vr in ("PN", "LO", "LT", "SH", "ST", "UT", "UC", "UR", "AE"):
            text = "ZZPLANTED"
        if text:
            dataset.add_new(tag, vr, text)
    private = dataset.private_block(0x0029, "ZZPLANTED", create=True)
    private.add_new(0x01, "LO", "ZZPLANTED")
    private.add_new(0x02, "OB", b"ZZPLANTED." * 20000)


def region(x0, y0, x1, y1):
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1, y1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = 0.0125
    return item


def cine(patient="ZZPLANTED-1", frames=FRAMES, **attributes):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.SourceApplicationEntityTitle = "ZZPLANTED"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "ZZPLANTED^X", patient, "19010203"
    dataset.Modality = "US"
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = HEIGHT, WIDTH, frames
    dataset.FrameTime = 25
    dataset.FrameIncrementPointer = 0x00181063
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.SequenceOfUltrasoundRegions = Sequence([region(0, 0, WIDTH - 1, HEIGHT - 1)])
    icon = Dataset()
    icon.Rows, icon.Columns, icon.PixelData = 2, 2, b"\0\0\0\0"
    icon["PixelData"].VR = "OB"
    dataset.IconImageSequence = Sequence([icon])
    for name, value in attributes.items():
        setattr(dataset, name, value)
    plant(dataset)
    return dataset


def save(dataset, name, pixels, syntax=ExplicitVRLittleEndian, raw=None):
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.PixelData = pixels
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 or syntax == ImplicitVRLittleEndian else "OB"
    dataset["PixelData"].is_undefined_length = UID(syntax).is_compressed
    dataset.save_as(path(name), enforce_file_format=True)
    if raw is not None:
        open(path(name, "raw"), "wb").write(raw)


def grey(n):
    """Every grey, moving."""
    row = bytes((i * 3 // 2) % 256 for i in range(WIDTH + HEIGHT + 8 * FRAMES))
    return b"".join(row[y + 8 * n : y + 8 * n + WIDTH] for y in range(HEIGHT))


def smooth(n):
    """What JPEG and video take well: a slope and a bright block."""
    def pixel(x, y):
        return 230 if 40 + 8 * n <= x < 120 + 8 * n and 50 <= y < 130 else 20 + 180 * x // WIDTH
    rows = {inside: bytes(pixel(x, 60 if inside else 0) for x in range(WIDTH)) for inside in (False, True)}
    return b"".join(rows[50 <= y < 130] for y in range(HEIGHT))


def planes(n):
    """Three planes: grey on the left, colours on the right."""
    base = smooth(n)
    def plane(shift):
        tint = bytes((v + shift) % 200 + 20 for v in range(256))
        rows = []
        for y in range(HEIGHT):
            row = base[y * WIDTH : (y + 1) * WIDTH]
            rows.append(row[: WIDTH // 2] + row[WIDTH // 2 :].translate(tint))
        return b"".join(rows)
    return [plane(0), plane(60), plane(120)]


def interleaved(parts):
    out = bytearray(3 * len(parts[0]))
    out[0::3], out[1::3], out[2::3] = parts
    return bytes(out)


frames = range(FRAMES)
greys = b"".join(map(grey, frames))
smooths = b"".join(map(smooth, frames))
colours = b"".join(interleaved(planes(n)) for n in frames)
RGB = dict(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)

save(cine(), "grey", greys, raw=greys)
save(cine(patient="ZZPLANTED-2"), "implicit", greys, ImplicitVRLittleEndian, raw=greys)
save(cine(PhotometricInterpretation="MONOCHROME1"), "inverted", greys, raw=bytes(255 - v for v in greys))
save(cine(), "smooth", smooths, raw=smooths)
save(cine(**RGB), "rgb", colours, raw=colours)
save(
    cine(**RGB | dict(PlanarConfiguration=1)), "rgb_planar",
    b"".join(b"".join(planes(n)) for n in frames), raw=colours,
)
save(cine(**RGB | dict(PhotometricInterpretation="YBR_FULL")), "ybr", colours)
halved = bytearray()
for n in frames:
    y, b, r = planes(n)
    part = bytearray(2 * len(y))
    part[0::4], part[1::4], part[2::4], part[3::4] = y[0::2], y[1::2], b[0::2], r[0::2]
    halved += part
save(cine(**RGB | dict(PhotometricInterpretation="YBR_FULL_422")), "ybr_422", bytes(halved))
table = b"".join((v << 8 | v).to_bytes(2, "little") for v in range(255, -1, -1))
palette = dict(PhotometricInterpretation="PALETTE COLOR")
for colour in ("Red", "Green", "Blue"):
    palette[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
    palette[f"{colour}PaletteColorLookupTableData"] = table
save(cine(**palette), "palette", greys, raw=bytes(255 - v for v in greys))
deep = b"".join((v * 16 + 5).to_bytes(2, "little") for v in greys)
DEEP = dict(BitsAllocated=16, BitsStored=12, HighBit=11)
save(cine(**DEEP), "twelve", deep)
save(cine(**DEEP, WindowCenter=2048, WindowWidth=1024), "window", deep)
save(cine(frames=1), "single", greys[: WIDTH * HEIGHT], raw=greys[: WIDTH * HEIGHT])
steps = [0] + [20 + 5 * n for n in range(1, FRAMES)]
save(cine(FrameTimeVector=steps, FrameIncrementPointer=0x00181065), "vector", greys, raw=greys)
save(cine(FrameTime=400), "slow", greys, raw=greys)

# As a screen is grabbed: the ultrasound is a part of it, and around it is what the scanner writes.
SCREEN = dict(Rows=600, Columns=800, NumberOfFrames=2)
screen = b"".join(bytes((x * 7 + y * 3 + n) % 256 for x in range(800)) for n in range(2) for y in range(600))
for name, place in (("screen", [100, 60, 739, 539]), ("small", [100, 60, 499, 359]), ("nowhere", None)):
    regions = Sequence([region(*place)] if place else [])
    save(cine(SequenceOfUltrasoundRegions=regions, **SCREEN), name, screen, raw=screen)

# Compressed by dcmtk.
def compressed(name, source, tool, *options, loses=False):
    run(tool, *options, path(source), path(name))
    if loses:
        run("dcmdjpeg", "+ca" if source == "rgb" else "+cn", path(name), path("decoded"))
        open(path(name, "raw"), "wb").write(pydicom.dcmread(path("decoded")).PixelData)
        os.remove(path("decoded"))
    else:
        os.link(path(source, "raw"), path(name, "raw"))

compressed("rle", "grey", "dcmcrle")
compressed("rle_rgb", "rgb", "dcmcrle")
compressed("jpeg", "smooth", "dcmcjpeg", "+eb", loses=True)
compressed("jpeg_extended", "smooth", "dcmcjpeg", "+ee", "+ba", loses=True)
compressed("jpeg_rgb", "rgb", "dcmcjpeg", "+eb", loses=True)
compressed("jpeg_lossless", "grey", "dcmcjpeg", "+e1")
compressed("jpeg_lossless_14", "grey", "dcmcjpeg", "+el")
compressed("jpeg_lossless_rgb", "rgb", "dcmcjpeg", "+e1")
run("dcmcrle", path("twelve"), path("rle_twelve"))
run("dcmcjpeg", "+e1", path("twelve"), path("jpeg_lossless_twelve"))
run("dcmcjpls", path("grey"), path("jpeg_ls"))
run("dcmconv", "+tb", path("grey"), path("big_endian"))
run("dcmconv", "+td", path("grey"), path("deflated"))

# Frames in several fragments, by every table there is.
jpeg = pydicom.dcmread(path("jpeg_lossless"))
pictures = list(generate_frames(jpeg.PixelData, number_of_frames=FRAMES))
for name, table in (("fragments", True), ("fragments_untold", False)):
    jpeg.PixelData = encapsulate(pictures, fragments_per_frame=3, has_bot=table)
    jpeg.save_as(path(name))
    open(path(name, "raw"), "wb").write(greys)
jpeg.PixelData, jpeg.ExtendedOffsetTable, jpeg.ExtendedOffsetTableLengths = encapsulate_extended(pictures)
jpeg.save_as(path("extended_table"))
open(path("extended_table", "raw"), "wb").write(greys)

# Video, in every wrapping.
def video(name, uid, kind, *options, rate=40):
    run(
        "ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{WIDTH}x{HEIGHT}",
        "-r", str(rate), "-i", path("smooth", "raw"), "-vf",
        "scale=in_range=full:out_range=full,format=yuv420p", "-color_range", "pc", "-colorspace", "smpte170m",
        "-color_primaries", "smpte170m", "-color_trc", "smpte170m", *options, path(name, kind),
    )
    stream = open(path(name, kind), "rb").read()
    os.remove(path(name, kind))
    attributes = RGB | dict(PhotometricInterpretation="YBR_PARTIAL_420")
    save(cine(FrameTime=1000 // rate, **attributes), name, encapsulate([stream], has_bot=False), uid)
    os.link(path("smooth", "raw"), path(name, "raw"))

H264 = ("-c:v", "libx264", "-qp", "2", "-preset", "ultrafast", "-profile:v", "high", "-pix_fmt", "yuv420p")
video("h264", "1.2.840.10008.1.2.4.102", "h264", *H264)
video("h264_mp4", "1.2.840.10008.1.2.4.103", "mp4", *H264)
video("h264_ts", "1.2.840.10008.1.2.4.104", "ts", *H264)
video("h265", "1.2.840.10008.1.2.4.107", "hevc", "-c:v", "libx265", "-x265-params", "log-level=error:qp=2")
video("mpeg2", "1.2.840.10008.1.2.4.100", "m2v", "-c:v", "mpeg2video", "-q:v", "2", rate=25)
video("h264_slow", "1.2.840.10008.1.2.4.103", "mp4", *H264, rate=2)
