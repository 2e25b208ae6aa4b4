"""WHEP viewers by aiortc, a WebRTC stack that shares nothing with the daemon's. Prints one line of JSON for each thing that happens.

    whep.py ENDPOINT watch SECONDS      decodes; the picture's size, count and mean luma
    whep.py ENDPOINT crowd N SECONDS    N viewers at once that count pictures and decode none
    whep.py ENDPOINT churn N            one after the other: joins, sees a picture, leaves
    whep.py ENDPOINT stay               joins, says so, and stays until it is killed
"""

import asyncio
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import aiortc.rtcrtpreceiver
from aiortc import RTCPeerConnection, RTCSessionDescription


def say(**what):
    print(json.dumps(what), flush=True)


def ask(method, url, body=None):
    """Status, headers and text of the answer."""
    origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(url))
    headers = {"Content-Type": "application/sdp", "Origin": origin}
    request = urllib.request.Request(url, body and body.encode(), headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def count_only(loop, units, pictures, _error):
    """Stands in for aiortc's decoder: passes on when each unit was whole."""
    while (unit := units.get()) is not None:
        asyncio.run_coroutine_threadsafe(pictures.put(unit[1]), loop)
    asyncio.run_coroutine_threadsafe(pictures.put(None), loop)


class Viewer:
    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.peer = RTCPeerConnection()
        self.times = []
        self.picture = None
        self.states = {}
        self.location = None
        self.first = asyncio.Event()

    async def join(self):
        self.begun = time.monotonic()
        self.peer.addTransceiver("video", direction="recvonly")
        channel = self.peer.createDataChannel("state", ordered=False, maxRetransmits=0)
        channel.on("message", self.told)
        self.peer.on("track", lambda track: asyncio.ensure_future(self.receive(track)))
        await self.peer.setLocalDescription(await self.peer.createOffer())
        offer = self.peer.localDescription.sdp
        status, headers, text = await asyncio.to_thread(ask, "POST", self.endpoint, offer)
        if status != 201:
            await self.peer.close()
            return status, text
        self.location = urllib.parse.urljoin(self.endpoint, headers["Location"])
        await self.peer.setRemoteDescription(RTCSessionDescription(text, "answer"))
        return status, text

    def told(self, message):
        for state in json.loads(message):
            self.states[state["rtp"]] = state

    async def receive(self, track):
        try:
            while True:
                self.picture = await track.recv()
                self.times.append(time.monotonic() - self.begun)
                self.first.set()
        except aiortc.mediastreams.MediaStreamError:
            pass

    async def leave(self):
        status = None
        if self.location:
            status, _, _ = await asyncio.to_thread(ask, "DELETE", self.location)
        await self.peer.close()
        return status


async def watch(endpoint, seconds):
    viewer = Viewer(endpoint)
    status, text = await viewer.join()
    say(status=status, answer=text)
    await asyncio.sleep(float(seconds))
    picture = viewer.picture
    luma = picture and picture.to_ndarray(format="gray")
    say(
        pictures=len(viewer.times), first=viewer.times[0] if viewer.times else None, states=len(viewer.states),
        width=picture and picture.width, height=picture and picture.height,
        mean=float(luma.mean()) if picture else None, deviation=float(luma.std()) if picture else None,
    )
    say(left=await viewer.leave())


async def crowd(endpoint, count, seconds):
    aiortc.rtcrtpreceiver.decoder_worker = count_only
    viewers = [Viewer(endpoint) for _ in range(int(count))]
    for viewer in viewers:
        status, text = await viewer.join()
        say(status=status, text=text if status != 201 else "")
    viewers = [viewer for viewer in viewers if viewer.location]
    await asyncio.wait_for(asyncio.gather(*(viewer.first.wait() for viewer in viewers)), 60)
    say(all=len(viewers))
    for viewer in viewers:
        viewer.times.clear()
    await asyncio.sleep(float(seconds))
    for viewer in viewers:
        times = viewer.times
        say(pictures=len(times), gap=max((b - a for a, b in zip(times, times[1:])), default=None))
    await asyncio.gather(*(viewer.leave() for viewer in viewers))


async def churn(endpoint, count):
    aiortc.rtcrtpreceiver.decoder_worker = count_only
    for _ in range(int(count)):
        viewer = Viewer(endpoint)
        status, text = await viewer.join()
        if status != 201:
            return say(status=status, text=text)
        await asyncio.wait_for(viewer.first.wait(), 20)
        say(first=viewer.times[0], left=await viewer.leave())


async def stay(endpoint):
    aiortc.rtcrtpreceiver.decoder_worker = count_only
    viewer = Viewer(endpoint)
    status, text = await viewer.join()
    await asyncio.wait_for(viewer.first.wait(), 20)
    say(status=status)
    await asyncio.Event().wait()


endpoint, command, *rest = sys.argv[1:]
asyncio.run({"watch": watch, "crowd": crowd, "churn": churn, "stay": stay}[command](endpoint, *rest))
