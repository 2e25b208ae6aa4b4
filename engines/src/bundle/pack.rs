//! A bundle as one tar, the same bytes each time: manifest and signature first, so that they can be judged before the
//! rest is unpacked, and nothing of the machine that made it.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use super::signature::LARGEST_SIGNATURE;
use super::{Bundle, MANIFEST, SIGNATURE, files};

impl Bundle {
    /// The bundle as a tar in a file that has no name and is gone when it is closed; to be read from its beginning.
    ///
    /// # Errors
    /// When the bundle cannot be read any more, or there is no room in the folder for temporary files.
    pub fn tar(&self) -> io::Result<File> {
        let mut file = tempfile::tempfile()?;
        self.pack(BufWriter::new(&mut file))?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }

    /// Writes the bundle as a tar.
    fn pack(&self, out: impl Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(out);
        append(&mut tar, MANIFEST, &self.manifest_text()?)?;
        if let Some(signature) = self.signature_text()? {
            append(&mut tar, SIGNATURE, signature.as_bytes())?;
        }
        for name in self.manifest.files.keys() {
            append(&mut tar, name, &self.read(name).map_err(io::Error::other)?)?;
        }
        tar.into_inner()?.flush()
    }

    /// The manifest as it is written, of which the bundle's digest is the SHA-256.
    ///
    /// # Errors
    /// When it cannot be read any more.
    pub fn manifest_text(&self) -> io::Result<Vec<u8>> {
        files::read(&self.root, MANIFEST, files::LARGEST_MANIFEST)
    }

    /// The signature of the manifest, as minisign writes it.
    ///
    /// # Errors
    /// When it is no text, or cannot be read.
    pub fn signature_text(&self) -> io::Result<Option<String>> {
        match files::read(&self.root, SIGNATURE, LARGEST_SIGNATURE) {
            Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| io::ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Appends a file to a bundle's tar.
pub fn append(tar: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    // Nobody's, and of no time: equal bundles are equal tars.
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    tar.append_data(&mut header, name, bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::digest::sha256_of;

    #[test]
    fn a_bundle_makes_the_same_tar_whatever_it_was_and_that_is_the_bundle() {
        let demo = Bundle::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("demo.bundle")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("demo.tar");
        io::copy(&mut demo.tar().unwrap(), &mut File::create(&path).unwrap()).unwrap();
        let packed = Bundle::open(&path).unwrap();
        assert_eq!(packed.digest, demo.digest);
        let digest = |bundle: &Bundle| sha256_of(bundle.tar().unwrap()).unwrap();
        assert_eq!(digest(&packed), digest(&demo));
        let mut tar = tar::Archive::new(File::open(&path).unwrap());
        let first = tar.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(first.path().unwrap().to_str(), Some(MANIFEST));
        assert_eq!((first.header().mtime().unwrap(), first.header().uid().unwrap()), (0, 0));
    }
}
