//! Where each frame lies in the file.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};

use crate::error::Problem;

/// Most fragments of a file.
const FRAGMENTS: usize = 1 << 22;
const ITEM: [u8; 4] = [0xfe, 0xff, 0x00, 0xe0];
const SEQUENCE_END: [u8; 4] = [0xfe, 0xff, 0xdd, 0xe0];
/// Of an item.
const HEAD: u64 = 8;

/// Bytes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub at: u64,
    pub length: u64,
}

/// Frames, each of one span or several.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Layout {
    spans: Vec<Span>,
    /// The first span of each frame, and the number of spans.
    firsts: Vec<u32>,
    /// The file ends before its pixel data does.
    pub is_cut: bool,
}

impl Layout {
    /// Whole frames.
    pub fn frames(&self) -> u32 {
        self.firsts.len().saturating_sub(1) as u32
    }

    /// The spans of frame `number`.
    pub fn frame(&self, number: u32) -> &[Span] {
        match self.firsts[..] {
            [] => &[],
            _ => {
                let number = number as usize;
                &self.spans[self.firsts[number] as usize..self.firsts[number + 1] as usize]
            }
        }
    }

    /// All spans, in their order.
    pub fn into_spans(self) -> Vec<Span> {
        self.spans
    }

    /// `frames` frames of `length` bytes each from `at` on, in a file that ends at `end`.
    pub fn native(at: u64, length: u64, frames: u32, end: u64) -> Self {
        let whole = end.saturating_sub(at) / length.max(1);
        let whole = u32::try_from(whole).unwrap_or(u32::MAX).min(frames);
        let spans = (0..whole).map(|n| Span { at: at + u64::from(n) * length, length }).collect();
        Self { spans, firsts: (0..=whole).collect(), is_cut: whole < frames }
    }

    /// The fragments from `at` on as one stream; what is left of one that was cut off belongs to it.
    pub fn stream(file: &File, at: u64) -> Result<Self, Problem> {
        let Fragments { mut spans, rest, is_cut, .. } = Fragments::read(file, at)?;
        spans.extend(rest);
        Ok(Self { firsts: vec![0, spans.len() as u32], spans, is_cut })
    }

    /// The fragments from `at` on as `frames` frames. `offsets` is the extended offset table.
    pub fn encapsulated(
        file: &File,
        at: u64,
        frames: u32,
        offsets: Option<Vec<u64>>,
        is_jpeg: bool,
    ) -> Result<Self, Problem> {
        let Fragments { table, spans, rest, is_cut } = Fragments::read(file, at)?;
        if spans.is_empty() {
            let nothing = Self { is_cut, ..Self::default() };
            return if is_cut { Ok(nothing) } else { Err(Problem::NoPictures) };
        }
        let (count, is_open) = (spans.len(), rest.is_some());
        let mut tables = offsets.into_iter().chain([basic_offsets(file, table)?]);
        let by_table = tables.find_map(|offsets| by_offsets(&spans, &offsets, frames, is_cut, is_open));
        let firsts = if let Some(firsts) = by_table {
            firsts
        } else if frames == 1 && !is_open {
            vec![0, count as u32]
        } else if count as u64 == u64::from(frames) && !is_cut {
            (0..=frames).collect()
        } else if let Some(firsts) =
            if is_jpeg { by_starts(file, &spans, frames, is_cut, is_open)? } else { None }
        {
            firsts
        } else if is_cut && count as u64 <= u64::from(frames) {
            // One fragment a frame, as everywhere where nothing else is said.
            (0..=count as u32).collect()
        } else {
            return Err(Problem::Fragments { fragments: count, frames });
        };
        Ok(Self { spans, firsts, is_cut })
    }
}

/// The items of encapsulated pixel data.
#[derive(Default)]
struct Fragments {
    /// The basic offset table.
    table: Option<Span>,
    /// Whole fragments.
    spans: Vec<Span>,
    /// What is there of one that was cut off.
    rest: Option<Span>,
    is_cut: bool,
}

impl Fragments {
    fn read(file: &File, mut at: u64) -> Result<Self, Problem> {
        let end = file.metadata()?.len();
        let mut file = BufReader::with_capacity(64, file);
        file.seek(SeekFrom::Start(at))?;
        let mut found = Self::default();
        loop {
            let mut head = [0; HEAD as usize];
            match file.read_exact(&mut head) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => found.is_cut = true,
                other => other?,
            }
            let length = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
            if found.is_cut || head[..4] == SEQUENCE_END {
                return Ok(found);
            }
            if head[..4] != ITEM || length == u64::from(u32::MAX) {
                return Err(Problem::Damaged { at, what: "its pixel data is no sequence of fragments" });
            }
            let span = Span { at: at + HEAD, length: length.min(end.saturating_sub(at + HEAD)) };
            found.is_cut = span.length < length;
            match found {
                Self { table: None, .. } => found.table = Some(span),
                Self { is_cut: true, .. } => found.rest = Some(span),
                _ => found.spans.push(span),
            }
            if found.spans.len() > FRAGMENTS {
                let (found, most) = (found.spans.len() as u64, FRAGMENTS as u64);
                return Err(Problem::TooLarge { what: "fragments", found, most });
            }
            at += HEAD + length;
            file.seek_relative(length as i64)?;
        }
    }
}

/// Offsets of frames from the table's end.
fn basic_offsets(file: &File, table: Option<Span>) -> Result<Vec<u64>, Problem> {
    let Some(Span { at, length }) = table.filter(|table| table.length <= 4 * FRAGMENTS as u64) else {
        return Ok(vec![]);
    };
    let mut bytes = vec![0; length as usize];
    let mut file = file;
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    let words = bytes.chunks_exact(4);
    Ok(words.map(|word| u64::from(u32::from_le_bytes([word[0], word[1], word[2], word[3]]))).collect())
}

/// First spans by a table; none where it does not fit. Of a file that was cut off the last frame may be missing a part,
/// and is left out: surely where its last fragment `is_open`.
fn by_offsets(spans: &[Span], offsets: &[u64], frames: u32, is_cut: bool, is_open: bool) -> Option<Vec<u32>> {
    if offsets.len() != frames as usize || offsets.first() != Some(&0) {
        return None;
    }
    let begin = spans.first()?.at - HEAD;
    let mut firsts = vec![];
    for offset in offsets {
        match spans.binary_search_by_key(&(begin + offset), |span| span.at - HEAD) {
            Ok(first) if firsts.last().is_none_or(|before| *before < first as u32) => {
                firsts.push(first as u32)
            }
            // Beyond the end.
            Err(first) if is_cut && first == spans.len() => break,
            _ => return None,
        }
    }
    let is_whole = firsts.len() == frames as usize && !is_open;
    let next = offsets.get(firsts.len()).map(|offset| begin + offset);
    let ends_at_a_frame =
        next.is_some_and(|next| spans.last().is_some_and(|last| last.at + last.length == next));
    if is_whole || ends_at_a_frame {
        firsts.push(spans.len() as u32);
    }
    Some(firsts)
}

/// First spans by the marker that begins a JPEG picture; none where there are too few or too many of them.
fn by_starts(
    file: &File,
    spans: &[Span],
    frames: u32,
    is_cut: bool,
    is_open: bool,
) -> Result<Option<Vec<u32>>, Problem> {
    let mut file = file;
    let mut firsts = vec![];
    for (number, span) in spans.iter().enumerate() {
        let mut start = [0; 2];
        file.seek(SeekFrom::Start(span.at))?;
        if span.length >= 2 {
            file.read_exact(&mut start)?;
        }
        if start == [0xff, 0xd8] {
            firsts.push(number as u32);
        }
    }
    let is_short = firsts.len() < frames as usize;
    if firsts.first() != Some(&0) || firsts.len() > frames as usize || (is_short && !is_cut) {
        return Ok(None);
    }
    let is_one_each = firsts.len() == spans.len();
    // Of a file that was cut off nobody knows whether the last one is whole.
    if is_one_each || (!is_short && !is_open) {
        firsts.push(spans.len() as u32);
    }
    Ok(Some(firsts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(items: &[&[u8]]) -> File {
        use std::io::Write;
        let mut file = tempfile::tempfile().unwrap();
        for item in items {
            file.write_all(&[&ITEM[..], &(item.len() as u32).to_le_bytes(), item].concat()).unwrap();
        }
        file.write_all(&[&SEQUENCE_END[..], &[0; 4]].concat()).unwrap();
        file
    }

    fn lengths(layout: &Layout) -> Vec<Vec<u64>> {
        (0..layout.frames()).map(|n| layout.frame(n).iter().map(|span| span.length).collect()).collect()
    }

    #[test]
    fn fragments_become_frames_in_every_way_that_is_stated() {
        let jpeg = [0xff, 0xd8, 1, 2];
        let made = |items: &[&[u8]], frames, offsets, is_jpeg| {
            Layout::encapsulated(&file(items), 0, frames, offsets, is_jpeg).map(|layout| lengths(&layout))
        };
        assert_eq!(made(&[&[], &[1; 4], &[1; 6]], 2, None, false).unwrap(), [[4], [6]], "one each");
        assert_eq!(made(&[&[], &[1; 4], &[1; 6]], 1, None, false).unwrap(), [[4, 6]], "all one");
        let table = [0, 0, 0, 0, 26, 0, 0, 0];
        let items: [&[u8]; 4] = [&table, &[1; 4], &[1; 6], &[1; 8]];
        assert_eq!(made(&items, 2, None, false).unwrap(), [vec![4, 6], vec![8]], "basic table");
        let items: [&[u8]; 4] = [&[], &[1; 4], &[1; 6], &[1; 8]];
        assert_eq!(
            made(&items, 2, Some(vec![0, 26]), false).unwrap(),
            [vec![4, 6], vec![8]],
            "extended table"
        );
        let items: [&[u8]; 4] = [&[], &jpeg, &[1; 6], &jpeg];
        assert_eq!(made(&items, 2, None, true).unwrap(), [vec![4, 6], vec![4]], "JPEG's first marker");
        let error = made(&items, 2, None, false).unwrap_err().to_string();
        assert!(error.contains("3 fragments for 2 frames"), "{error}");
        assert!(made(&items, 2, Some(vec![0, 3]), false).is_err(), "a table that points anywhere");
    }

    #[test]
    fn of_a_file_that_was_cut_off_whole_frames_are_left() {
        let whole = file(&[&[0, 0, 0, 0, 26, 0, 0, 0], &[1; 4], &[1; 6], &[1; 8]]);
        let end = whole.metadata().unwrap().len();
        for cut in (16..end - 8).rev() {
            whole.set_len(cut).unwrap();
            let layout = Layout::encapsulated(&whole, 0, 2, None, false).unwrap();
            assert!(layout.is_cut);
            let expected: &[Vec<u64>] = if cut >= 16 + 26 { &[vec![4, 6]] } else { &[] };
            assert_eq!(lengths(&layout), expected, "cut at {cut}");
        }
        let native = Layout::native(100, 10, 5, 135);
        assert_eq!((native.frames(), native.is_cut), (3, true));
    }
}
