//! Reads a file's header up to its pixel data.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use dicom_core::header::Header as _;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_encoding::TransferSyntax;
use dicom_parser::dataset::LazyDataToken;
use dicom_parser::dataset::lazy_read::LazyDataSetReader;
use dicom_parser::stateful::decode::StatefulDecode;
use dicom_transfer_syntax_registry::entries::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN};

use crate::attributes::{Attributes, is_wanted, is_wanted_of_region};
use crate::error::Problem;
use crate::syntax::{self, Syntax};

/// Bytes before the letters DICM.
const PREAMBLE: u64 = 128;
/// Most regions that are read of a file.
const REGIONS: usize = 64;
/// Sequences within sequences, at most.
const DEPTH: usize = 32;

/// What was read before the pixel data, and where that lies.
pub struct Header {
    pub syntax: Syntax,
    pub top: Attributes,
    pub regions: Vec<Attributes>,
    /// Where the value of the pixel data begins.
    pub at: u64,
    /// Its length; none where it comes in fragments.
    pub length: Option<u64>,
}

/// Whether the letters DICM are where a DICOM file has them.
pub fn has_magic(mut file: impl Read) -> bool {
    let mut head = [0; PREAMBLE as usize + 4];
    file.read_exact(&mut head).is_ok() && head.ends_with(b"DICM")
}

/// Reads the header of `file`.
pub fn read(file: &File) -> Result<Header, Problem> {
    let mut file = BufReader::with_capacity(1 << 16, file);
    if !has_magic(&mut file) {
        return Err(Problem::NotDicom);
    }
    let (uid, at) = syntax_uid(&mut file)?;
    let syntax = syntax::find(&uid)?;
    file.seek(SeekFrom::Start(at))?;
    let encoding: TransferSyntax = match syntax.is_implicit {
        true => IMPLICIT_VR_LITTLE_ENDIAN.erased(),
        false => EXPLICIT_VR_LITTLE_ENDIAN.erased(),
    };
    read_data_set(file, &encoding, syntax)
}

/// The transfer syntax that the file's first group names, and where the group ends.
fn syntax_uid(file: &mut BufReader<&File>) -> Result<(String, u64), Problem> {
    let mut at = file.stream_position()?;
    let mut attributes = Attributes::default();
    let damaged = |at| Problem::Damaged { at, what: "its first group of attributes makes no sense" };
    let mut reader =
        LazyDataSetReader::new_with_ts(file, &EXPLICIT_VR_LITTLE_ENDIAN.erased()).map_err(|_| damaged(at))?;
    while let Some(token) = reader.advance() {
        match token.map_err(|_| damaged(at))? {
            LazyDataToken::ElementHeader(header) if header.tag.group() == 2 => {}
            LazyDataToken::LazyValue { header, mut decoder } => {
                let (tag, length) = (header.tag, header.len.0);
                let value = LazyDataToken::LazyValue { header, decoder: &mut decoder };
                if is_wanted(tag, length) {
                    attributes.0.insert(tag, value.into_value().map_err(|_| damaged(at))?);
                } else {
                    value.skip().map_err(|_| damaged(at))?;
                }
                at = decoder.position();
            }
            // The first element of another group, in an encoding of its own.
            _ => break,
        }
    }
    let uid = attributes.text(tags::TRANSFER_SYNTAX_UID);
    if uid.is_empty() { Err(Problem::Missing("transfer syntax")) } else { Ok((uid, at)) }
}

fn read_data_set(
    file: BufReader<&File>,
    encoding: &TransferSyntax,
    syntax: Syntax,
) -> Result<Header, Problem> {
    const SENSELESS: &str = "its attributes make no sense";
    let mut at = 0;
    let damaged = |at| Problem::Damaged { at, what: SENSELESS };
    let mut reader = LazyDataSetReader::new_with_ts(file, encoding).map_err(|_| damaged(at))?;
    let (mut top, mut regions) = (Attributes::default(), vec![]);
    let mut inside: Vec<Tag> = vec![];
    loop {
        let Some(token) = reader.advance() else { return Err(Problem::NoPictures) };
        match token.map_err(|_| damaged(at))? {
            LazyDataToken::SequenceStart { tag: tags::DIRECTORY_RECORD_SEQUENCE, .. } => {
                return Err(Problem::Directory);
            }
            LazyDataToken::PixelSequenceStart if inside.is_empty() => break,
            LazyDataToken::PixelSequenceStart => inside.push(tags::PIXEL_DATA),
            LazyDataToken::SequenceStart { tag, .. } if inside.len() < DEPTH => inside.push(tag),
            LazyDataToken::SequenceStart { .. } => return Err(damaged(at)),
            LazyDataToken::SequenceEnd => _ = inside.pop(),
            LazyDataToken::ItemStart { .. } if inside == [tags::SEQUENCE_OF_ULTRASOUND_REGIONS] => {
                if regions.len() == REGIONS {
                    return Err(Problem::TooLarge {
                        what: "regions",
                        found: REGIONS as u64 + 1,
                        most: REGIONS as u64,
                    });
                }
                regions.push(Attributes::default());
            }
            LazyDataToken::LazyValue { header, mut decoder } => {
                at = decoder.position();
                let (tag, length) = (header.tag(), header.len.0);
                if tag == tags::PIXEL_DATA && inside.is_empty() {
                    return Ok(Header { syntax, top, regions, at, length: Some(length.into()) });
                }
                let value = LazyDataToken::LazyValue { header, decoder: &mut decoder };
                let kept = match inside[..] {
                    [] if is_wanted(tag, length) => Some(&mut top),
                    [tags::SEQUENCE_OF_ULTRASOUND_REGIONS] if is_wanted_of_region(tag, length) => {
                        regions.last_mut()
                    }
                    _ => None,
                };
                match kept {
                    // A value of a kind that its attribute cannot have is none.
                    Some(kept) if header.vr() != VR::SQ => {
                        kept.0.insert(tag, value.into_value().map_err(|_| damaged(at))?);
                    }
                    _ => value.skip().map_err(|_| damaged(at))?,
                }
            }
            LazyDataToken::LazyItemValue { len, mut decoder } => {
                LazyDataToken::LazyItemValue { len, decoder: &mut decoder }
                    .skip()
                    .map_err(|_| damaged(at))?;
            }
            _ => {}
        }
    }
    let at = reader.into_decoder().position();
    Ok(Header { syntax, top, regions, at, length: None })
}
