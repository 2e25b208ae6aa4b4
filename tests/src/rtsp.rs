//! Viewers of an RTSP stream, made of GStreamer's elements and by hand where one is to misbehave.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use gst::prelude::*;
use gst_app::AppSink;

/// A player: `rtspsrc`, and for one that looks a decoder. Dropped, it leaves.
pub struct Player {
    pipeline: gst::Pipeline,
    sink: AppSink,
    begun: Instant,
}

impl Player {
    /// Connects to `uri`; `protocol` is "tcp" or "udp".
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn watch(uri: &str, protocol: &str) -> Result<Self> {
        // One thread: more would hold pictures back.
        let decoder =
            "rtph264depay ! h264parse ! avdec_h264 max-threads=1 ! videoconvert ! video/x-raw,format=I420";
        Self::start(uri, protocol, decoder)
    }

    /// The same without decoding.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn receive(uri: &str, protocol: &str) -> Result<Self> {
        Self::start(uri, protocol, "rtph264depay ! video/x-h264,alignment=au")
    }

    fn start(uri: &str, protocol: &str, decoder: &str) -> Result<Self> {
        gst::init()?;
        let text = format!(
            "rtspsrc location={uri} protocols={protocol} latency=0 tls-validation-flags=0 ! {decoder} ! \
             appsink name=sink sync=false max-buffers=60"
        );
        let pipeline = gst::parse::launch(&text)?.downcast::<gst::Pipeline>().ok().context("pipeline")?;
        let sink = pipeline.by_name("sink").and_then(|e| e.downcast::<AppSink>().ok()).context("sink")?;
        let begun = Instant::now();
        pipeline.set_state(gst::State::Playing)?;
        Ok(Self { pipeline, sink, begun })
    }

    /// The next picture or unit, and how long after the connection it came.
    ///
    /// # Errors
    /// When none comes within 10 s, or the stream has failed.
    pub fn next(&self) -> Result<(gst::Sample, Duration)> {
        match self.sink.try_pull_sample(gst::ClockTime::from_seconds(10)) {
            Some(sample) => Ok((sample, self.begun.elapsed())),
            None => {
                let error = self.pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
                bail!("no picture: {error:?}")
            }
        }
    }

    /// Whether the stream has ended.
    pub fn has_ended(&self) -> bool {
        self.sink.is_eos()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // Nothing is to be done about one that cannot be stopped.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// A viewer over TCP that reads only when it is told to.
pub struct Stalling {
    stream: TcpStream,
}

impl Stalling {
    /// Has the stream sent.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn play(port: u16) -> Result<Self> {
        let mut this = Self { stream: TcpStream::connect(("127.0.0.1", port))? };
        this.stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let uri = format!("rtsp://127.0.0.1:{port}/nerve");
        this.ask(&format!("DESCRIBE {uri} RTSP/1.0\r\nCSeq: 1\r\n\r\n"))?;
        let answer = this.ask(&format!(
            "SETUP {uri}/stream=0 RTSP/1.0\r\nCSeq: 2\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"
        ))?;
        let session = answer.lines().find_map(|line| line.strip_prefix("Session: ")).context("no session")?;
        let session = session.split(';').next().unwrap_or(session).to_owned();
        this.ask(&format!("PLAY {uri} RTSP/1.0\r\nCSeq: 3\r\nSession: {session}\r\n\r\n"))?;
        Ok(this)
    }

    /// Sends a request; returns the answer's head. Its body is read, too.
    ///
    /// # Errors
    /// When the answer is not 200.
    fn ask(&mut self, request: &str) -> Result<String> {
        self.stream.write_all(request.as_bytes())?;
        let (mut head, mut byte) = (vec![], [0]);
        while !head.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head)?;
        ensure!(head.starts_with("RTSP/1.0 200"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(Ok(0), str::parse)?];
        self.stream.read_exact(&mut body)?;
        Ok(head)
    }

    /// Reads for `time`: the kinds of NAL units that packets begin with, in order.
    ///
    /// # Errors
    /// When the server has closed the connection.
    pub fn read(&mut self, time: Duration) -> Result<Vec<u8>> {
        let (begun, mut kinds) = (Instant::now(), vec![]);
        while begun.elapsed() < time {
            let mut head = [0; 4];
            self.stream.read_exact(&mut head)?;
            ensure!(head[0] == b'$', "no packet begins here: {head:?}");
            let mut packet = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
            self.stream.read_exact(&mut packet)?;
            if head[1] == 0 {
                let kind = packet[12] & 31;
                // Of a fragment only the first counts.
                if kind != 28 {
                    kinds.push(kind);
                } else if packet[13] & 0x80 != 0 {
                    kinds.push(packet[13] & 31);
                }
            }
        }
        Ok(kinds)
    }
}
