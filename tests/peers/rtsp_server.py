"""An RTSP server that is none of Nervelight: gst-rtsp-server, with pictures that say when they were made.

    /usr/bin/python3 tests/peers/rtsp_server.py --port 8554 [--codec h265] [--auth digest] [--loss 0.2] ...

Pictures are 640x480. A sawtooth moves through them; the last 16 rows hold 40 squares, black or white: 32 bits of the time
in ms, the highest first, and the sum of their four bytes. With `--relay` it serves at /us what others push to /push.
"""

import argparse
import os
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtspServer  # noqa: E402

WIDTH, HEIGHT, SQUARE, BITS = 640, 480, 16, 40
TOOTH = 256
SLOPE = bytes(40 + i * 3 // 4 for i in range(TOOTH)) * (2 + WIDTH // TOOTH)
CHROMA = bytes([128]) * (WIDTH * HEIGHT // 2)


def picture(ms):
    """I420 of the time `ms`."""
    ms &= 0xFFFFFFFF
    shift = ms // 4
    body = [SLOPE[s : s + WIDTH] for s in ((shift + y) % TOOTH for y in range(HEIGHT - SQUARE))]
    four = ms.to_bytes(4, "big")
    code = int.from_bytes(four + bytes([sum(four) & 0xFF]), "big")
    row = b"".join((b"\xeb" if code >> bit & 1 else b"\x10") * SQUARE for bit in reversed(range(BITS)))
    return b"".join(body) + row * SQUARE + CHROMA


def encoder(options):
    gop, bits = options.gop, options.bitrate
    chain = {
        "h264": f"x264enc tune=zerolatency speed-preset=ultrafast bitrate={bits} key-int-max={gop} threads=1"
        f" ! video/x-h264,profile={options.profile} ! rtph264pay pt=96 config-interval=-1 mtu={options.mtu}",
        "h265": f"x265enc tune=zerolatency speed-preset=ultrafast bitrate={bits} key-int-max={gop}"
        f" ! h265parse ! rtph265pay pt=96 aggregate-mode=zero-latency config-interval=-1 mtu={options.mtu}",
        "jpeg": "jpegenc ! rtpjpegpay pt=26",
    }[options.codec]
    if options.loss:
        return f"{chain} ! identity name=pay0 drop-probability={options.loss}"
    return chain.replace("pay pt=", "pay name=pay0 pt=")


def feed(source, options):
    """Pushes pictures until nobody takes them for 5 s; an element that is started or flushed refuses some."""
    step, due = 1 / options.fps, time.monotonic()
    taken = due
    while True:
        if options.pause and time.monotonic() - source.begun > options.pause:
            return
        data = Gst.Buffer.new_wrapped(picture(int(time.time() * 1000)))
        if source.emit("push-buffer", data) == Gst.FlowReturn.OK:
            taken = time.monotonic()
        elif time.monotonic() - taken > 5:
            return
        due += step
        time.sleep(max(0, due - time.monotonic()))


def exit_when_stuck(source):
    """gst-rtsp-server 1.22 keeps one stream of forty or so blocked after PLAY, whoever asks for it (ffmpeg as well)."""
    time.sleep(0.6)
    if source.get_state(0)[1] == Gst.State.PLAYING and source.get_property("current-level-buffers") >= 2:
        print("stuck", flush=True)
        os._exit(3)


def configure(_factory, media, options):
    media.set_stop_on_disconnect(False)
    source = media.get_element().get_by_name_recurse_up("pictures")
    source.begun = time.monotonic()
    threading.Thread(target=feed, args=(source, options), daemon=True).start()
    if options.exit_when_stuck:
        threading.Thread(target=exit_when_stuck, args=(source,), daemon=True).start()


def authenticate(server, factory, options):
    auth = GstRtspServer.RTSPAuth.new()
    if options.tls:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_files(*options.tls))
    token = GstRtspServer.RTSPToken.new()
    token.set_string("media.factory.role", "viewer")
    if options.auth == "digest":
        from gi.repository import GstRtsp

        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(options.user, options.password, token)
    elif options.auth == "basic":
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(options.user, options.password), token)
    else:
        auth.set_default_token(token)
    factory.add_role_from_structure(role("viewer"))
    server.set_auth(auth)


def role(name):
    text = f'{name}, media.factory.access=(boolean)true, media.factory.construct=(boolean)true'
    return Gst.Structure.from_string(text)[0]


def relay(mounts, options):
    """What is pushed to /push is served at /us: two media joined by a channel of this process."""
    push = GstRtspServer.RTSPMediaFactory.new()
    push.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
    push.set_launch("( rtph264depay name=depay0 ! h264parse ! avdec_h264 ! intervideosink channel=pushed sync=false )")
    push.set_latency(0)
    mounts.add_factory("/push", push)
    return (
        "( intervideosrc channel=pushed ! video/x-raw,width=640,height=480 ! queue ! videoconvert"
        f" ! video/x-raw,format=I420 ! {encoder(options)} )"
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", required=True)
    parser.add_argument("--codec", default="h264")
    parser.add_argument("--profile", default="baseline")
    parser.add_argument("--auth", choices=["basic", "digest"])
    parser.add_argument("--user", default="cart")
    parser.add_argument("--password", default="planted-password")
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    parser.add_argument("--loss", type=float, default=0)
    parser.add_argument("--gop", type=int, default=30)
    parser.add_argument("--bitrate", type=int, default=2000)
    parser.add_argument("--mtu", type=int, default=1400)
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--pause", type=float, help="seconds after which no more pictures come")
    parser.add_argument("--multicast", action="store_true")
    parser.add_argument("--relay", action="store_true")
    parser.add_argument("--exit-when-stuck", action="store_true")
    parser.add_argument("--shared", action="store_true", help="all viewers get the same pictures")
    options = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service(options.port)
    factory = GstRtspServer.RTSPMediaFactory.new()
    if options.multicast:
        from gi.repository import GstRtsp

        factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP_MCAST)
        pool = GstRtspServer.RTSPAddressPool.new()
        pool.add_range("239.255.12.1", "239.255.12.8", 15000, 15010, 0)
        factory.set_address_pool(pool)
    if options.auth or options.tls:
        authenticate(server, factory, options)
    if options.relay:
        launch = relay(server.get_mount_points(), options)
    else:
        launch = (
            "( appsrc name=pictures is-live=true do-timestamp=true format=time block=true max-bytes=1000000"
            f" caps=video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={options.fps}/1 ! {encoder(options)} )"
        )
        factory.connect("media-configure", configure, options)
    factory.set_launch(launch)
    factory.set_shared(options.shared)
    server.get_mount_points().add_factory("/us", factory)
    if not server.attach(None):
        raise SystemExit(f"port {options.port} is taken")
    print("ready", flush=True)
    GLib.MainLoop().run()


main()
