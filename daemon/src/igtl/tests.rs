//! Messages there and back, and what is none.

use std::time::Duration;

use super::*;

fn picture(out: &mut Vec<u8>, width: u16, height: u16) {
    let header = ImageHeader::gray(width, height, Some([0.1, 0.2]));
    let pixels = (0..usize::from(width) * usize::from(height)).map(|i| i as u8);
    image(out, Name::new("Image"), 5 << 32 | 1 << 31, &header, |out| out.extend(pixels));
}

/// Every message in `bytes`, which come in pieces of `size`.
fn read(bytes: &[u8], size: usize) -> Result<Vec<(Header, Vec<u8>)>, IgtlError> {
    let (mut incoming, mut found) = (Incoming::default(), vec![]);
    for piece in bytes.chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() {
            incoming.fill(|room| std::io::Read::read(&mut rest, room)).unwrap();
        }
        while let Some((header, body)) = incoming.next()? {
            found.push((header, incoming.body(body).to_vec()));
        }
    }
    Ok(found)
}

/// The same as with header version 2: an extended header before the content, metadata behind it.
fn extended(message: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 12, 0, 10, 0, 0, 0, 8, 0, 0, 0, 1];
    body.extend(&message[HEADER..]);
    body.extend([0, 1, 0, 5, 0, 3, 0, 0, 0, 3]);
    body.extend(b"Modelx.y");
    let mut out = vec![];
    Header::message(&mut out, "IMAGE", Name::new("Image"), 0, |out| out.extend(&body));
    out[1] = 2;
    out
}

#[test]
fn an_image_comes_back_however_it_is_cut() {
    let mut bytes = vec![];
    for size in [1, 7, 300] {
        picture(&mut bytes, size, 5);
    }
    status(&mut bytes, Name::new("S"), 0, Status::Ok, "AI ON", "well");
    for size in [1, 57, 58, 59, 1000, 100_000] {
        let found = read(&bytes, size).unwrap();
        let kinds: Vec<_> = found.iter().map(|(header, _)| header.kind.to_string()).collect();
        assert_eq!(kinds, ["IMAGE", "IMAGE", "IMAGE", "STATUS"]);
        let (header, body) = &found[2];
        assert_eq!((header.body, header.device.is("Image")), (72 + 1500, true));
        assert_eq!(header.time(), Some(Duration::from_millis(5500)));
        let (image, pixels) = ImageHeader::read(content(header, body).unwrap()).unwrap();
        assert_eq!(image, ImageHeader::gray(300, 5, Some([0.1, 0.2])));
        assert!(pixels.iter().enumerate().all(|(i, &p)| p == i as u8));
        assert_eq!(image.spacing(), Some([0.1, 0.2]));
        assert_eq!(image.matrix[3], [149.5 * 0.1, 2.0 * 0.2, 0.0], "the centre");
    }
}

#[test]
fn the_checksum_is_ecma_182() {
    let mut out = vec![];
    Header::message(&mut out, "TEST", Name::new(""), 0, |out| out.extend(b"123456789"));
    assert_eq!(out[50..58], 0x6c40_df5f_0b49_7347_u64.to_be_bytes(), "the catalogue's check value");
    let (header, body) = read(&out, 99).unwrap().remove(0);
    assert_eq!(content(&header, &body).unwrap(), b"123456789");
    for i in 0..9 {
        let mut damaged = body.clone();
        damaged[i] ^= 1;
        assert_eq!(content(&header, &damaged), Err(IgtlError::Checksum("TEST".into())));
    }
}

#[test]
fn header_version_2_is_read() {
    let mut message = vec![];
    picture(&mut message, 4, 3);
    let extended = extended(&message);
    let (header, body) = read(&extended, 99).unwrap().remove(0);
    assert_eq!((header.version, header.time()), (2, None));
    assert_eq!(content(&header, &body).unwrap(), &message[HEADER..]);
    // Lengths that lie, under a checksum that is right.
    for (at, value) in [(0, 255), (1, 11), (2, 255), (4, 255), (7, 255)] {
        let mut body = body.clone();
        body[at] = value;
        let mut out = vec![];
        Header::message(&mut out, "IMAGE", Name::new(""), 0, |out| out.extend(&body));
        let header = Header { version: 2, ..Header::read(out.first_chunk().unwrap()).unwrap() };
        let is_refused = matches!(content(&header, &body), Err(IgtlError::Malformed { .. }));
        // Metadata may be longer than these; then content is cut, and the image refuses it.
        assert!(is_refused || ImageHeader::read(content(&header, &body).unwrap()).is_err(), "{at}");
    }
}

#[test]
fn a_size_is_not_believed() {
    let mut bomb = vec![];
    picture(&mut bomb, 4, 3);
    bomb[42..50].copy_from_slice(&(1u64 << 60).to_be_bytes());
    let said = read(&bomb, 1000).unwrap_err().to_string();
    assert!(said.contains("1152921504606846976 bytes"), "{said}");
    // The longest that is taken costs no memory until it comes.
    bomb[42..50].copy_from_slice(&LONGEST.to_be_bytes());
    let mut incoming = Incoming::default();
    let mut rest = &bomb[..];
    incoming.fill(|room| std::io::Read::read(&mut rest, room)).unwrap();
    assert!(incoming.next().unwrap().is_none() && incoming.fill(|room| Ok(room.len().min(1))).is_ok());
    assert!(incoming.body(0..1).len() == 1 && !incoming.is_full());
}

#[test]
fn images_that_contradict_themselves_are_refused() {
    let mut message = vec![];
    picture(&mut message, 4, 3);
    let good = &message[HEADER..];
    assert!(ImageHeader::read(good).is_ok());
    for (at, value) in
        [(1, 2), (2, 0), (2, 3), (3, 0), (3, 5), (3, 99), (4, 0), (4, 3), (7, 3), (61, 1), (67, 5)]
    {
        let mut bad = good.to_vec();
        bad[at] = value;
        assert!(matches!(ImageHeader::read(&bad), Err(IgtlError::Malformed { .. })), "byte {at} = {value}");
    }
    for length in [0, 71, 72, good.len() - 1] {
        assert!(ImageHeader::read(&good[..length]).is_err(), "{length}");
    }
    // All at their largest: the product is computed, and is wrong.
    let mut largest = good.to_vec();
    largest[2] = 255;
    largest[3] = 11;
    largest[6..12].fill(255);
    largest[66..72].fill(255);
    assert!(ImageHeader::read(&largest).is_err());
}

#[test]
fn garbage_is_refused_and_nothing_else_happens() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut good = vec![];
    picture(&mut good, 40, 30);
    picture(&mut good, 40, 30);
    let (mut refused, mut damaged) = (0, 0);
    for _ in 0..2000 {
        let noise: Vec<u8> = (0..random() % 4000).map(|_| random() as u8).collect();
        refused += usize::from(read(&noise, 1 + random() as usize % 999).is_err());
        // A good message of which a few bytes are not, or which ends early.
        let mut bytes = good.clone();
        for _ in 0..1 + random() % 4 {
            let at = random() as usize % bytes.len();
            bytes[at] = random() as u8;
        }
        bytes.truncate(random() as usize % (bytes.len() * 2) + 1);
        for (header, body) in read(&bytes, 1 + random() as usize % 5000).unwrap_or_default() {
            match content(&header, &body) {
                Ok(content) => drop(ImageHeader::read(content)),
                Err(_) => damaged += 1,
            }
        }
    }
    assert!(refused > 1900 && damaged > 100, "{refused} {damaged}");
}

#[test]
fn spacing_that_nobody_measured_is_unknown() {
    let of = |spacing| ImageHeader::gray(4, 3, spacing).spacing();
    assert_eq!(of(Some([0.08, 0.09])), Some([0.08, 0.09]));
    for unknown in [None, Some([1.0, 1.0]), Some([0.0, 0.1]), Some([f32::NAN, 0.1]), Some([0.1, 4e9])] {
        assert_eq!(of(unknown), None, "{unknown:?}");
    }
}

#[test]
fn the_time_of_now_is_read_back() {
    let mut out = vec![];
    Header::message(&mut out, "TEST", Name::new(""), now(Duration::ZERO), |_| {});
    let time = Header::read(out.first_chunk().unwrap()).unwrap().time().unwrap();
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    assert!(since >= time && since - time < Duration::from_secs(5), "{time:?} {since:?}");
}
