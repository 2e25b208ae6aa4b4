//! A disk that forgets what was not synced, for tests: turmoil-fs, with three things more.
//!
//! - Power fails at any step that changes something, and in the midst of a write. From then on nothing works until
//!   [`Power::back`].
//! - turmoil-fs forgets everything that was not synced. A disk may also keep some of it, in any order: before it forgets,
//!   files and folders drawn by chance are synced. A file whose name is kept and whose bytes are not is torn.
//! - turmoil-fs renames a folder without what is in it. Here the files in it move too, in the same step, and reach the disk
//!   together with the folder's new name.
//!
//! Not simulated: locks, access rights, times.

use std::cell::RefCell;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use turmoil_fs::shim::std::fs as sim;
use turmoil_fs::{Fs, FsEnterGuard};

use super::Kind;

thread_local! {
    static MACHINE: RefCell<Option<Machine>> = const { RefCell::new(None) };
}

/// The disk of this thread.
struct Machine {
    fs: Fs,
    _entered: FsEnterGuard,
    /// Steps until the power fails.
    left: Option<u64>,
    is_off: bool,
    steps: u64,
    free: u64,
    chance: u64,
    /// Folders that were renamed, and not synced since: the old name and the new one.
    moved: Vec<(PathBuf, PathBuf)>,
}

impl Machine {
    /// One step, or the end.
    fn step(&mut self) -> io::Result<()> {
        if self.is_off || self.left == Some(0) {
            self.is_off = true;
            return Err(io::Error::other("the power failed"));
        }
        self.left = self.left.map(|left| left - 1);
        self.steps += 1;
        Ok(())
    }

    /// A number below `end`, by chance (SplitMix64).
    fn below(&mut self, end: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    /// Syncs a folder, and with it what is in folders that were renamed into or out of it.
    fn sync(&mut self, folder: &Path) -> io::Result<()> {
        let is_here = |path: &Path| path.parent() == Some(folder);
        let (here, moved): (Vec<_>, Vec<_>) =
            self.moved.drain(..).partition(|(from, to)| is_here(from) || is_here(to));
        self.moved = moved;
        // Of a rename between two folders turmoil-fs keeps half: the new name only where its folder is synced first.
        for (_, to) in &here {
            sim::sync_dir(to.parent().unwrap_or(folder))?;
        }
        sim::sync_dir(folder)?;
        here.iter().try_for_each(|(_, to)| folders(to)?.iter().try_for_each(sim::sync_dir))
    }
}

/// What the test does about the disk of its thread; it is gone when this is dropped.
pub struct Power;

impl Power {
    /// A new, empty disk.
    pub fn on(chance: u64) -> Self {
        let fs = Fs::builder().seed(chance).block_size(512).build();
        let entered = fs.enter();
        let machine = Machine {
            fs,
            _entered: entered,
            left: None,
            is_off: false,
            steps: 0,
            free: u64::MAX,
            chance,
            moved: vec![],
        };
        MACHINE.with_borrow_mut(|place| *place = Some(machine));
        Self
    }

    /// The power will fail after so many more steps.
    pub fn fails_after(&self, steps: u64) {
        with(|machine| machine.left = Some(steps));
    }

    /// Whether it has failed.
    pub fn is_off(&self) -> bool {
        with(|machine| machine.is_off)
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        with(|machine| machine.steps)
    }

    /// So many bytes are free.
    pub fn leave_free(&self, bytes: u64) {
        with(|machine| machine.free = bytes);
    }

    /// Cuts the power, if it has not failed yet, and starts the machine again: what was not synced is lost, or torn, or not.
    pub fn back(&self) {
        with(|machine| {
            let all = folders(Path::new("/")).unwrap();
            for folder in all {
                // A folder's name is one thing: what is in it has not moved where that has not.
                if machine.moved.iter().any(|(_, to)| folder.starts_with(to)) {
                    continue;
                }
                let paths: Vec<_> =
                    sim::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
                for file in paths.into_iter().filter(|path| !is_folder(path)) {
                    if machine.below(4) == 0
                        && let Ok(file) = sim::File::open(&file)
                    {
                        let _ = file.sync_all();
                    }
                }
                if machine.below(4) == 0 {
                    let _ = machine.sync(&folder);
                }
            }
            machine.fs.crash();
            (machine.is_off, machine.left) = (false, None);
            machine.moved.clear();
        });
    }
}

impl Drop for Power {
    fn drop(&mut self) {
        MACHINE.take();
    }
}

/// Whether this thread has such a disk.
pub fn is_on() -> bool {
    MACHINE.with_borrow(Option::is_some)
}

fn with<T>(of: impl FnOnce(&mut Machine) -> T) -> T {
    MACHINE.with_borrow_mut(|machine| of(machine.as_mut().unwrap()))
}

fn step<T>(then: impl FnOnce(&mut Machine) -> io::Result<T>) -> io::Result<T> {
    with(|machine| {
        machine.step()?;
        then(machine)
    })
}

fn look<T>(then: impl FnOnce(&mut Machine) -> io::Result<T>) -> io::Result<T> {
    with(|machine| if machine.is_off { machine.step().and_then(|()| unreachable!()) } else { then(machine) })
}

/// A folder and all below it.
fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = vec![folder.to_path_buf()];
    let mut next = 0;
    while let Some(folder) = all.get(next) {
        let entries: Vec<_> = sim::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
        all.extend(entries.into_iter().filter(|path| is_folder(path)));
        next += 1;
    }
    Ok(all)
}

/// turmoil-fs takes a folder that was renamed for a file too.
fn is_folder(path: &Path) -> bool {
    sim::read_dir(path).is_ok()
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

pub fn kind(path: &Path) -> io::Result<Kind> {
    look(|_| match is_folder(path) {
        true => Ok(Kind::Folder),
        false => sim::metadata(path).map(|_| Kind::File),
    })
}

pub fn open(path: &Path) -> io::Result<File> {
    look(|_| {
        if is_folder(path) {
            Err(io::ErrorKind::IsADirectory.into())
        } else {
            sim::File::open(path).map(File::Simulated)
        }
    })
}

pub fn create_new(path: &Path) -> io::Result<File> {
    step(|_| sim::OpenOptions::new().write(true).create_new(true).open(path).map(File::Simulated))
}

pub fn entries(folder: &Path) -> io::Result<Vec<(PathBuf, Kind)>> {
    look(|_| {
        let paths = sim::read_dir(folder)?.map(|entry| Ok(entry?.path()));
        let mut paths = paths.collect::<io::Result<Vec<PathBuf>>>()?;
        // turmoil-fs has no order of its own, and a seed is to give the same run twice.
        paths.sort();
        let kind = |path: &Path| if is_folder(path) { Kind::Folder } else { Kind::File };
        Ok(paths.into_iter().map(|path| (path.clone(), kind(&path))).collect())
    })
}

pub fn create_folders(path: &Path) -> io::Result<()> {
    step(|_| sim::create_dir_all(path))
}

pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    step(|machine| {
        if !is_folder(from) {
            sim::metadata(from).map_err(|_| missing())?;
            return sim::rename(from, to);
        }
        let mut inside: Vec<PathBuf> = vec![];
        for folder in folders(from)? {
            inside.extend(sim::read_dir(folder)?.flatten().map(|entry| entry.path()));
        }
        sim::rename(from, to)?;
        // A folder comes before what is in it.
        inside.sort();
        for path in inside {
            let below = path.strip_prefix(from).map_err(io::Error::other)?;
            sim::rename(&path, to.join(below))?;
        }
        machine.moved.push((from.into(), to.into()));
        Ok(())
    })
}

pub fn remove_file(path: &Path) -> io::Result<()> {
    step(|_| sim::remove_file(path))
}

pub fn remove_folder(path: &Path) -> io::Result<()> {
    // A cut falls between two files too.
    let mut all = look(|_| folders(path))?;
    for folder in &all {
        let files = look(|_| Ok(sim::read_dir(folder)?.flatten().map(|e| e.path()).collect::<Vec<_>>()))?;
        for file in files.into_iter().filter(|path| !is_folder(path)) {
            step(|_| sim::remove_file(&file))?;
        }
    }
    all.reverse();
    all.iter().try_for_each(|folder| step(|_| sim::remove_dir(folder)))
}

pub fn sync(folder: &Path) -> io::Result<()> {
    step(|machine| machine.sync(folder))
}

pub fn free() -> io::Result<u64> {
    look(|machine| Ok(machine.free))
}

pub fn modified(path: &Path) -> io::Result<SystemTime> {
    look(|_| sim::metadata(path).map(|_| SystemTime::UNIX_EPOCH + Duration::from_secs(1)))
}

pub fn set_mode(_file: &File) -> io::Result<()> {
    look(|_| Ok(()))
}

pub fn is_regular(_file: &File) -> io::Result<bool> {
    look(|_| Ok(true))
}

pub fn lock() -> io::Result<Option<fs::File>> {
    look(|_| fs::File::open("/dev/null").map(Some))
}

/// A file of either kind.
#[derive(Debug)]
pub enum File {
    /// The system's.
    Real(fs::File),
    /// The simulated disk's.
    Simulated(sim::File),
}

impl From<fs::File> for File {
    fn from(file: fs::File) -> Self {
        Self::Real(file)
    }
}

impl File {
    /// The system's.
    pub fn real(&self) -> &fs::File {
        match self {
            Self::Real(file) => file,
            Self::Simulated(_) => panic!("a real file among simulated ones"),
        }
    }

    /// As [`fs::File::sync_all`].
    pub fn sync_all(&self) -> io::Result<()> {
        match self {
            Self::Real(file) => file.sync_all(),
            Self::Simulated(file) => step(|_| file.sync_all()),
        }
    }
}

impl Read for File {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Real(file) => file.read(bytes),
            Self::Simulated(file) => look(|_| file.read(bytes)),
        }
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Real(file) => file.write(bytes),
            // Not all at once, so that the power can fail in the midst of it.
            Self::Simulated(file) => step(|machine| {
                let most = (bytes.len() as u64).min(1 + machine.below(4096)) as usize;
                file.write(&bytes[..most])
            }),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Real(file) => file.seek(to),
            Self::Simulated(file) => look(|_| file.seek(to)),
        }
    }
}
