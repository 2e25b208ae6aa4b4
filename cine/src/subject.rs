//! Whether two files are of one person, and nothing else about that person.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use dicom_dictionary_std::tags;

use crate::attributes::Attributes;

/// Says whether two files that this process opened are of one person.
///
/// It is a digest with a key that is drawn anew in every process and never leaves it: nothing can be looked up with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject(u64);

impl Subject {
    /// Of a file's attributes; none where they name nobody.
    pub(crate) fn of(top: &Attributes) -> Option<Self> {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        let id = top.text(tags::PATIENT_ID);
        let issuer = top.text(tags::ISSUER_OF_PATIENT_ID);
        (!id.is_empty()).then(|| Self(KEY.get_or_init(RandomState::new).hash_one((id, issuer))))
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subject")
    }
}
