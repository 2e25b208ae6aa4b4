//! Patients as numbers.

use std::collections::{BTreeMap, HashMap};

use nervelight_cine::Subject;

/// Whom a cine shows, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Whom {
    /// Somebody whose files compare as equal.
    Subject(Subject),
    /// Nobody is named: all such files of one argument are taken for one person's, so that no person is in two numbers.
    Argument(usize),
}

/// Gives out numbers of patients and frames.
pub struct Numbers {
    given: Option<u32>,
    next: u32,
    patients: HashMap<Whom, u32>,
    /// The last frame's number of each patient.
    frames: BTreeMap<u32, u32>,
}

impl Numbers {
    /// Behind those that are `taken`: each patient's highest frame. All are patient `given` where that is set.
    pub fn new(taken: BTreeMap<u32, u32>, given: Option<u32>) -> Self {
        let next = taken.keys().next_back().map_or(1, |highest| highest + 1);
        Self { given, next, patients: HashMap::new(), frames: taken }
    }

    /// The number of a patient.
    pub fn patient(&mut self, whom: Whom) -> u32 {
        if let Some(given) = self.given {
            return given;
        }
        *self.patients.entry(whom).or_insert_with(|| {
            let number = self.next;
            self.next += 1;
            number
        })
    }

    /// The number of the patient's next frame.
    pub fn frame(&mut self, patient: u32) -> u32 {
        let last = self.frames.entry(patient).or_insert(0);
        *last += 1;
        *last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patients_get_numbers_in_their_order() {
        let mut numbers = Numbers::new(BTreeMap::new(), None);
        assert_eq!([5, 9, 5].map(|whom| numbers.patient(Whom::Argument(whom))), [1, 2, 1]);
        assert_eq!([numbers.frame(1), numbers.frame(1), numbers.frame(2)], [1, 2, 1]);
    }

    #[test]
    fn what_is_there_keeps_its_numbers() {
        let taken = || BTreeMap::from([(3, 40), (7, 2)]);
        let mut numbers = Numbers::new(taken(), None);
        assert_eq!((numbers.patient(Whom::Argument(0)), numbers.frame(8)), (8, 1));
        let mut numbers = Numbers::new(taken(), Some(3));
        assert_eq!((numbers.patient(Whom::Argument(0)), numbers.frame(3)), (3, 41));
    }
}
