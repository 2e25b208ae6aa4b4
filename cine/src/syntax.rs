//! Transfer syntaxes: how pictures are coded (PS3.5, annex A).

use crate::error::Problem;

/// How pictures are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// As they are.
    Native,
    /// PackBits (PS3.5, annex G).
    Rle,
    /// Baseline, extended with 8 bits, or lossless.
    Jpeg,
    /// One stream of video for all frames.
    Video(Codec),
}

/// Video inside of DICOM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// MPEG-2.
    Mpeg2,
    /// MPEG-4 AVC.
    H264,
    /// High efficiency video coding.
    H265,
}

/// A transfer syntax that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syntax {
    /// What it is called.
    pub name: &'static str,
    /// How its pictures are coded.
    pub coding: Coding,
    /// Attributes without their kind.
    pub is_implicit: bool,
}

impl Codec {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mpeg2 => "MPEG-2 video",
            Self::H264 => "H.264 video",
            Self::H265 => "HEVC video",
        }
    }
}

/// The syntax of `uid`.
pub fn find(uid: &str) -> Result<Syntax, Problem> {
    const ROOT: &str = "1.2.840.10008.1.2";
    let video = |codec: Codec| (codec.name(), Coding::Video(codec));
    let Some(rest) = uid.strip_prefix(ROOT) else {
        return Err(unsupported("pictures of an unknown kind", uid));
    };
    let (name, coding) = match rest {
        "" => ("Implicit VR Little Endian", Coding::Native),
        ".1" => ("Explicit VR Little Endian", Coding::Native),
        ".5" => ("RLE", Coding::Rle),
        ".4.50" => ("JPEG baseline", Coding::Jpeg),
        ".4.51" => ("JPEG extended", Coding::Jpeg),
        ".4.57" | ".4.70" => ("JPEG lossless", Coding::Jpeg),
        ".4.100" | ".4.100.1" | ".4.101" | ".4.101.1" => video(Codec::Mpeg2),
        ".4.102" | ".4.102.1" | ".4.103" | ".4.103.1" | ".4.104" | ".4.104.1" => video(Codec::H264),
        ".4.107" | ".4.108" => video(Codec::H265),
        _ => {
            let what = match rest {
                ".2" => "attributes in big-endian order",
                ".1.99" => "a deflated data set",
                ".1.98" => "uncompressed pictures in fragments",
                ".4.80" | ".4.81" => "JPEG-LS pictures",
                ".4.90" | ".4.91" | ".4.92" | ".4.93" => "JPEG 2000 pictures",
                ".4.105" | ".4.105.1" | ".4.106" | ".4.106.1" => "stereoscopic video",
                ".4.110" | ".4.111" | ".4.112" => "JPEG XL pictures",
                ".4.201" | ".4.202" | ".4.203" => "HTJ2K pictures",
                _ => "pictures of an unknown kind",
            };
            return Err(unsupported(what, uid));
        }
    };
    Ok(Syntax { name, coding, is_implicit: rest.is_empty() })
}

fn unsupported(what: &str, uid: &str) -> Problem {
    // A UID is digits and dots; anything else is not repeated.
    let is_uid = uid.len() <= 64 && uid.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let uid = if is_uid { uid } else { "an invalid one" };
    let command = match what {
        "JPEG-LS pictures" => "dcmdjpls IN.dcm OUT.dcm",
        "attributes in big-endian order" | "a deflated data set" => "dcmconv +te IN.dcm OUT.dcm",
        _ => "gdcmconv --raw IN.dcm OUT.dcm",
    };
    Problem::Unsupported {
        what: format!("{what} (transfer syntax {uid})"),
        remedy: format!("Convert it to Explicit VR Little Endian, such as with `{command}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_syntax_is_read_or_refused_with_its_uid_and_a_remedy() {
        assert_eq!(find("1.2.840.10008.1.2").unwrap().coding, Coding::Native);
        assert!(find("1.2.840.10008.1.2").unwrap().is_implicit);
        assert!(!find("1.2.840.10008.1.2.4.70").unwrap().is_implicit);
        assert_eq!(find("1.2.840.10008.1.2.4.102").unwrap().coding, Coding::Video(Codec::H264));
        for (uid, tool) in
            [(".4.80", "dcmdjpls"), (".4.90", "gdcmconv"), (".2", "dcmconv +te"), (".9", "gdcmconv")]
        {
            let uid = format!("1.2.840.10008.1.2{uid}");
            let error = find(&uid).unwrap_err().to_string();
            assert!(error.contains(&uid) && error.contains(tool), "{error}");
        }
        let error = find("Smith^John").unwrap_err().to_string();
        assert!(!error.contains("Smith") && error.contains("an invalid one"), "{error}");
    }
}
