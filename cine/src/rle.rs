//! RLE (PS3.5, annex G): each byte of a sample is a plane of its own, packed by PackBits.

/// Decodes one frame: `planes` planes of `pixels` bytes, samples of `bytes` bytes, in planar order.
///
/// # Errors
/// What is wrong with it.
pub fn decode(
    frame: &[u8],
    samples: usize,
    bytes: usize,
    pixels: usize,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    const HEAD: usize = 64;
    let word = |at: usize| -> Option<usize> {
        let word = frame.get(at..at + 4)?;
        Some(u32::from_le_bytes([word[0], word[1], word[2], word[3]]) as usize)
    };
    let planes = samples * bytes;
    if word(0) != Some(planes) || frame.len() < HEAD {
        return Err("its RLE header does not fit its pixels");
    }
    out.clear();
    out.resize(planes * pixels, 0);
    let mut plane = Vec::with_capacity(pixels);
    for number in 0..planes {
        let start = word(4 + 4 * number).unwrap_or(0);
        let end = if number + 1 < planes { word(8 + 4 * number).unwrap_or(0) } else { frame.len() };
        let packed = frame.get(start.max(HEAD)..end).ok_or("its RLE segments lie outside of it")?;
        unpack(packed, pixels, &mut plane)?;
        // The high byte of a sample comes first in RLE, and last in the samples.
        let (sample, byte) = (number / bytes, bytes - 1 - number % bytes);
        let samples = out[sample * pixels * bytes..][..pixels * bytes].chunks_exact_mut(bytes);
        samples.zip(&plane).for_each(|(sample, value)| sample[byte] = *value);
    }
    Ok(())
}

fn unpack(mut packed: &[u8], count: usize, plane: &mut Vec<u8>) -> Result<(), &'static str> {
    const SHORT: &str = "its RLE data ends before the picture does";
    plane.clear();
    while plane.len() < count {
        let (&head, rest) = packed.split_first().ok_or(SHORT)?;
        packed = match head {
            0..=127 => {
                let (run, rest) = rest.split_at_checked(usize::from(head) + 1).ok_or(SHORT)?;
                plane.extend_from_slice(run);
                rest
            }
            128 => rest,
            129..=255 => {
                let (&value, rest) = rest.split_first().ok_or(SHORT)?;
                plane.resize(plane.len() + 257 - usize::from(head), value);
                rest
            }
        };
    }
    // A run may be padded at the end.
    plane.truncate(count);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(segments: &[&[u8]]) -> Vec<u8> {
        let mut head = vec![segments.len() as u32];
        let mut at = 64;
        for segment in segments {
            head.push(at);
            at += segment.len() as u32;
        }
        head.resize(16, 0);
        let head = head.iter().flat_map(|word| word.to_le_bytes());
        head.chain(segments.concat()).collect()
    }

    #[test]
    fn runs_and_literals_are_unpacked() {
        let mut out = vec![];
        decode(&frame(&[&[1, 7, 8, 254, 9, 128]]), 1, 1, 5, &mut out).unwrap();
        assert_eq!(out, [7, 8, 9, 9, 9]);
        // 16 bits: the high bytes come first.
        decode(&frame(&[&[1, 1, 2], &[1, 3, 4]]), 1, 2, 2, &mut out).unwrap();
        assert_eq!(out, [3, 1, 4, 2]);
    }

    #[test]
    fn damage_is_an_error_wherever_it_lies() {
        let good = frame(&[&[1, 7, 8, 254, 9], &[255, 1, 255, 2, 0, 5], &[4, 1, 2, 3, 4, 5]]);
        let mut out = vec![];
        decode(&good, 3, 1, 5, &mut out).unwrap();
        for cut in 0..good.len() - 1 {
            assert!(decode(&good[..cut], 3, 1, 5, &mut out).is_err(), "cut at {cut}");
        }
        for at in 0..good.len() {
            for value in [0, 1, 127, 128, 129, 255] {
                let mut bad = good.clone();
                bad[at] = value;
                // Right or wrong, it returns.
                let _ = decode(&bad, 3, 1, 5, &mut out);
            }
        }
    }
}
