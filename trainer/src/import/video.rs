//! Video inside of DICOM: `ffmpeg` decodes it to full-range luma.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use nervelight_cine::Video;
use tempfile::NamedTempFile;

/// An `ffmpeg` that gives frames.
pub struct Decoded {
    child: Child,
    output: BufReader<ChildStdout>,
    /// Holds the stream while it is decoded: an MP4 is not read from front to back.
    _stream: NamedTempFile,
    luma: Vec<u8>,
    /// Frames that were read.
    read: u32,
}

impl Decoded {
    /// Starts it on `video`, whose frames have this size.
    ///
    /// # Errors
    /// When ffmpeg does not start, or finds frames of another size.
    pub fn start(mut video: Video, width: usize, height: usize) -> Result<Self> {
        let mut stream = NamedTempFile::new().context("a temporary file for the video")?;
        video.seek(SeekFrom::Start(0))?;
        std::io::copy(&mut video, &mut stream).context("copy the video out of the file")?;
        let mut child = Command::new("ffmpeg")
            .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-i"])
            .arg(stream.path())
            .args(["-vf", "scale=out_range=full,format=gray", "-fps_mode", "passthrough", "-strict", "-1"])
            .args(["-f", "yuv4mpegpipe", "pipe:1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context(
                "ffmpeg does not start; install it (Debian: apt install ffmpeg), or leave out the video",
            )?;
        let output = child.stdout.take().context("ffmpeg gives no output")?;
        let luma = vec![0; width * height];
        let mut this = Self { child, output: BufReader::new(output), _stream: stream, luma, read: 0 };
        let head = this.line()?;
        let has = |letter: char, size: usize| head.split(' ').any(|word| word == format!("{letter}{size}"));
        if !head.starts_with("YUV4MPEG2") || !has('W', width) || !has('H', height) {
            bail!("ffmpeg finds no video of {width}x{height} in it. Copy or export the file again");
        }
        Ok(this)
    }

    /// Frame `number`; none when the video ended before.
    ///
    /// # Errors
    /// When ffmpeg fails.
    pub fn get(&mut self, number: u32) -> Result<Option<&[u8]>> {
        while self.read <= number {
            let line = self.line()?;
            if line.is_empty() {
                let status = self.child.wait()?;
                return if status.success() {
                    Ok(None)
                } else {
                    bail!("ffmpeg failed ({status}); see its message above")
                };
            }
            self.output.read_exact(&mut self.luma).context("ffmpeg stopped within a frame")?;
            self.read += 1;
        }
        Ok(Some(&self.luma))
    }

    /// The next line of text; empty at the end.
    fn line(&mut self) -> Result<String> {
        let mut line = vec![];
        // Longer ones are no header.
        (&mut self.output).take(1024).read_until(b'\n', &mut line)?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

impl Drop for Decoded {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
