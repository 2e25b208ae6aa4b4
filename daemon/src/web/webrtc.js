// The live picture by WebRTC: H.264 over WHEP, and what is true of each picture over a data channel.

// The first picture comes within a fraction of a second, or something is in the way.
const FIRST_MS = 3000;
// A connection over which no picture comes for so long is given up.
const GIVE_UP_MS = 5000;
// States and pictures arrive on ways of their own; of more than these none is waited for.
const MOST_STATES = 128;

/** Why this browser cannot; empty when it can. Words are shown only with their picture: the browser has to say which one it shows. */
export function obstacle() {
  if (!window.RTCPeerConnection) return "this browser has no WebRTC";
  if (!HTMLVideoElement.prototype.requestVideoFrameCallback || !window.VideoFrame)
    return "this browser does not say which picture of a video it shows";
  return "";
}

/**
 * Watches until `signal` aborts or no picture comes any more; returns why it ended.
 * Calls `show(state, picture)` for each picture with its own state; the picture is gone afterwards.
 */
export async function watch(signal, show) {
  const peer = new RTCPeerConnection();
  const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
  let location = null;
  try {
    return await new Promise((resolve, reject) => {
      let timer;
      const alive = wait => { clearTimeout(timer); timer = setTimeout(() => resolve("no picture comes by WebRTC"), wait); };
      alive(FIRST_MS);
      signal.addEventListener("abort", () => { clearTimeout(timer); resolve("it was stopped"); });
      peer.onconnectionstatechange = () => {
        if (["failed", "closed"].includes(peer.connectionState)) resolve("the connection was lost");
      };
      pair(peer, video, (state, picture) => { alive(GIVE_UP_MS); show(state, picture); }, resolve);
      join(peer, signal).then(at => { location = at; }, error => { clearTimeout(timer); reject(error); });
    });
  } finally {
    video.srcObject = null;
    // Else the cart notices by itself, some seconds later. First this: whose connection ends is known to nobody.
    if (location) await fetch(location, { method: "DELETE", keepalive: true, signal: AbortSignal.timeout(500) }).catch(() => {});
    peer.close();
  }
}

/** Why the cart takes no viewer, in its own words. */
export class Refused extends Error {}

/** Offers to receive video; returns the viewer's address. */
async function join(peer, signal) {
  const { receiver } = peer.addTransceiver("video", { direction: "recvonly" });
  // Pictures are shown as soon as they come.
  if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
  await peer.setLocalDescription();
  const answer = await fetch("/whep", {
    method: "POST", headers: { "Content-Type": "application/sdp" }, body: peer.localDescription.sdp,
    signal: AbortSignal.any ? AbortSignal.any([signal, AbortSignal.timeout(FIRST_MS)]) : signal,
  });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw Object.assign(new Refused(problem.detail ?? `the cart answers ${answer.status}`), { status: answer.status });
  }
  await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  return answer.headers.get("Location");
}

/** The picture's RTP time. The video may have gone on since the call that is `about` a picture: then that is another's. */
function timeOf(picture, about) {
  const own = picture.metadata?.().rtpTimestamp;
  if (own !== undefined) return own;
  // Where pictures do not say it, the call's holds for the picture of its media time; the next call brings the other.
  return Math.abs(picture.timestamp - about.mediaTime * 1e6) <= 1 ? about.rtpTimestamp : undefined;
}

/** Brings each picture together with the state of the same RTP time. */
function pair(peer, video, show, fail) {
  const states = new Map();
  let waiting = null; // a picture whose state has not come yet
  const keep = picture => { waiting?.picture.close(); waiting = picture; };
  const channel = peer.createDataChannel("state", { ordered: false, maxRetransmits: 0 });
  channel.onmessage = message => {
    for (const state of JSON.parse(message.data)) {
      states.set(state.rtp, state);
      if (states.size > MOST_STATES) states.delete(states.keys().next().value);
    }
    if (waiting && states.has(waiting.rtp)) {
      show(states.get(waiting.rtp), waiting.picture);
      keep(null);
    }
  };
  const next = () => video.requestVideoFrameCallback((_, about) => {
    next();
    if (about.rtpTimestamp === undefined) return fail("this browser does not say which picture of a video it shows");
    let picture;
    try { picture = new VideoFrame(video); } catch { return; }
    const rtp = timeOf(picture, about);
    if (rtp === undefined) return picture.close();
    keep(null);
    if (!states.has(rtp)) return keep({ rtp, picture });
    show(states.get(rtp), picture);
    picture.close();
  });
  next();
  peer.ontrack = event => {
    video.srcObject = new MediaStream([event.track]);
    video.play().catch(() => {});
  };
  peer.addEventListener("signalingstatechange", () => { if (peer.signalingState === "closed") keep(null); });
}
