//! The only caller of Video4Linux (`linux/videodev2.h`). Types and numbers are the kernel's.
#![allow(unsafe_code, reason = "ioctls of a driver; nothing else is in this file")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::ioctl::{Getter, Opcode, Setter, Updater, ioctl, opcode};

use crate::frame::InputStatus;
use crate::source::v4l2::card::{Card, Mode};

/// `struct v4l2_input`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Input {
    index: u32,
    name: [u8; 32],
    kind: u32,
    audioset: u32,
    tuner: u32,
    std: u64,
    status: u32,
    capabilities: u32,
    reserved: [u32; 3],
}

/// `struct v4l2_dv_timings`, whose union holds `struct v4l2_bt_timings`.
#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Timings {
    kind: u32,
    width: u32,
    height: u32,
    interlaced: u32,
    polarities: u32,
    pixelclock: u64,
    rest: [u32; 26],
}

/// `struct v4l2_event`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Event {
    kind: u32,
    /// A union, here of `struct v4l2_event_src_change`; the kernel aligns it to 8 bytes.
    payload: [u64; 8],
    pending: u32,
    sequence: u32,
    timestamp: [i64; 2],
    id: u32,
    reserved: [u32; 8],
}

/// `struct v4l2_event_subscription`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Subscription {
    kind: u32,
    id: u32,
    flags: u32,
    reserved: [u32; 5],
}

const _: () = assert!(size_of::<Input>() == 80 && std::mem::offset_of!(Input, status) == 56);
const _: () = assert!(size_of::<Timings>() == 132 && std::mem::offset_of!(Timings, pixelclock) == 20);
const _: () = assert!(size_of::<Event>() == 136 && std::mem::offset_of!(Event, pending) == 72);
const _: () = assert!(size_of::<Subscription>() == 32);

const G_INPUT: Opcode = opcode::read::<i32>(b'V', 38);
const ENUM_INPUT: Opcode = opcode::read_write::<Input>(b'V', 26);
const S_DV_TIMINGS: Opcode = opcode::read_write::<Timings>(b'V', 87);
const G_DV_TIMINGS: Opcode = opcode::read_write::<Timings>(b'V', 88);
const QUERY_DV_TIMINGS: Opcode = opcode::read::<Timings>(b'V', 99);
const DQ_EVENT: Opcode = opcode::read::<Event>(b'V', 89);
const SUBSCRIBE_EVENT: Opcode = opcode::write::<Subscription>(b'V', 90);
const SOURCE_CHANGE: u32 = 5;

/// Bits of an input's status.
const NO_POWER: u32 = 1;
const NO_SIGNAL: u32 = 2;
const NO_LOCK: u32 = 0x100 | 0x400 | 0x800 | 0x10000 | 0x40000;

/// An open device.
pub struct Device(File);

impl Device {
    /// Opens it beside whoever streams.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::NONBLOCK.bits() as i32;
        Ok(Self(OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?))
    }

    /// Asks to be told of changes of the input; drivers that have none refuse.
    pub fn subscribe(&self) -> bool {
        let wish = Subscription { kind: SOURCE_CHANGE, id: 0, flags: 0, reserved: [0; 5] };
        // SAFETY: the kernel reads one `v4l2_event_subscription`.
        unsafe { ioctl(self.0.as_fd(), Setter::<SUBSCRIBE_EVENT, _>::new(wish)) }.is_ok()
    }

    /// Sets the timings that the input has; returns its size. None for a card without timings, or without signal.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn follow_timings(&self) -> io::Result<Option<(u32, u32)>> {
        let Ok(mut timings) = self.query() else { return Ok(None) };
        // SAFETY: the kernel reads and writes one `v4l2_dv_timings`.
        unsafe { ioctl(self.0.as_fd(), Updater::<S_DV_TIMINGS, _>::new(&mut timings)) }?;
        Ok(Some((timings.width, timings.height)))
    }

    fn query(&self) -> Result<Timings, Errno> {
        // SAFETY: the kernel writes one `v4l2_dv_timings`, which is valid whatever its bytes.
        unsafe { ioctl(self.0.as_fd(), Getter::<QUERY_DV_TIMINGS, Timings>::new()) }
    }

    fn input(&self) -> Result<Input, Errno> {
        // SAFETY: the kernel writes one `int`.
        let index = unsafe { ioctl(self.0.as_fd(), Getter::<G_INPUT, i32>::new()) }?;
        let mut input = Input {
            index: u32::try_from(index).map_err(|_| Errno::INVAL)?,
            name: [0; 32],
            kind: 0,
            audioset: 0,
            tuner: 0,
            std: 0,
            status: 0,
            capabilities: 0,
            reserved: [0; 3],
        };
        // SAFETY: the kernel reads and writes one `v4l2_input`, which is valid whatever its bytes.
        unsafe { ioctl(self.0.as_fd(), Updater::<ENUM_INPUT, _>::new(&mut input)) }?;
        Ok(input)
    }
}

impl Card for Device {
    fn input_status(&mut self) -> InputStatus {
        match self.input().map(|input| input.status) {
            Ok(status) if status & NO_POWER != 0 => return InputStatus::NoPower,
            Ok(status) if status & NO_SIGNAL != 0 => return InputStatus::NoSignal,
            Ok(status) if status & NO_LOCK != 0 => return InputStatus::NoLock,
            _ => {}
        }
        status_of(self.query().map(drop))
    }

    fn modes(&mut self) -> Option<(Mode, Mode)> {
        let mode = |t: Timings| Mode {
            width: t.width,
            height: t.height,
            interlaced: t.interlaced,
            clock: t.pixelclock,
        };
        let input = self.query().ok()?;
        // SAFETY: the kernel writes one `v4l2_dv_timings`, which is valid whatever its bytes.
        let card = unsafe { ioctl(self.0.as_fd(), Getter::<G_DV_TIMINGS, Timings>::new()) }.ok()?;
        Some((mode(card), mode(input)))
    }

    fn has_changed(&mut self) -> bool {
        let mut is_changed = false;
        // SAFETY: the kernel writes one `v4l2_event`, which is valid whatever its bytes. The device does not block.
        while let Ok(event) = unsafe { ioctl(self.0.as_fd(), Getter::<DQ_EVENT, Event>::new()) } {
            // Bit 0: the resolution.
            is_changed |= event.kind == SOURCE_CHANGE && event.payload[0] & 1 != 0;
        }
        is_changed
    }
}

/// What a query of the input's timings says of it.
fn status_of(query: Result<(), Errno>) -> InputStatus {
    match query {
        Ok(()) => InputStatus::Present,
        Err(Errno::NOLINK) => InputStatus::NoSignal,
        Err(Errno::NOLCK) => InputStatus::NoLock,
        Err(Errno::RANGE) => InputStatus::OutOfRange,
        // A card without timings: most, and all on USB.
        Err(_) => InputStatus::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_header() {
        // As a C compiler computes them from linux/videodev2.h on 64-bit machines.
        let expected =
            [0x8004_5626, 0xc050_561a, 0xc084_5657, 0xc084_5658, 0x8084_5663, 0x8088_5659, 0x4020_565a];
        let found =
            [G_INPUT, ENUM_INPUT, S_DV_TIMINGS, G_DV_TIMINGS, QUERY_DV_TIMINGS, DQ_EVENT, SUBSCRIBE_EVENT];
        assert_eq!(found.map(|opcode| opcode as u64), expected);
    }

    #[test]
    fn what_the_kernel_says_of_timings() {
        assert_eq!(status_of(Ok(())), InputStatus::Present);
        assert_eq!(status_of(Err(Errno::NOLINK)), InputStatus::NoSignal);
        assert_eq!(status_of(Err(Errno::NOLCK)), InputStatus::NoLock);
        assert_eq!(status_of(Err(Errno::RANGE)), InputStatus::OutOfRange);
        assert_eq!(status_of(Err(Errno::NOTTY)), InputStatus::Unknown);
    }

    #[test]
    fn what_is_no_card_is_unknown() {
        let mut device = Device::open(Path::new("/dev/null")).unwrap();
        assert_eq!(device.input_status(), InputStatus::Unknown);
        assert!(!device.has_changed() && !device.subscribe() && device.modes().is_none());
        assert!(device.follow_timings().unwrap().is_none());
    }
}
