"""pyigtl at the other end: `peer.py client PORT OUT` or `peer.py server PORT WIDTH HEIGHT`."""

import json
import sys
import time

import numpy
import pyigtl


def receive(client, deadline):
    """A frame and the mask of the same time."""
    frames, masks = {}, {}
    while time.time() < deadline:
        for message in client.get_latest_messages():
            if message.device_name == "NervelightImage":
                frames[message.timestamp] = message
            elif message.device_name == "NervelightMask":
                masks[message.timestamp] = message
        both = frames.keys() & masks.keys()
        # A mask with a nerve in it, as soon as there is one.
        for at in sorted(both):
            if masks[at].image.any():
                return frames[at], masks[at]
        time.sleep(0.005)
    raise SystemExit(f"no frame with its mask: {len(frames)} frames, {len(masks)} masks")


def client(port, out):
    connection = pyigtl.OpenIGTLinkClient("127.0.0.1", int(port))
    frame, mask = receive(connection, time.time() + 50)
    frame.image.tofile(out + ".frame")
    mask.image.tofile(out + ".mask")
    print(json.dumps({
        "shape": frame.image.shape,
        "mask_shape": mask.image.shape,
        "values": numpy.unique(mask.image).tolist(),
        "matrix": frame.ijk_to_world_matrix.tolist(),
        "same_matrix": bool((frame.ijk_to_world_matrix == mask.ijk_to_world_matrix).all()),
        "age": time.time() - frame.timestamp,
    }), flush=True)
    while True:
        connection.get_latest_messages()
        time.sleep(0.01)


def server(port, width, height):
    width, height = int(width), int(height)
    connection = pyigtl.OpenIGTLinkServer(port=int(port), local_server=True)
    matrix = numpy.diag([0.1, 0.2, 1.0, 1.0])
    x, y = numpy.meshgrid(numpy.arange(width), numpy.arange(height))
    n = 0
    while True:
        if connection.is_connected():
            image = ((x + 2 * y + n) & 255).astype(numpy.uint8)[numpy.newaxis]
            n += 1
            message = pyigtl.ImageMessage(image, ijk_to_world_matrix=matrix, device_name="Probe")
            connection.send_message(message, wait=False)
        time.sleep(0.033)


{"client": client, "server": server}[sys.argv[1]](*sys.argv[2:])
