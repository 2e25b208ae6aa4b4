//! Agreement of an engine's map with the trained network's probabilities.

/// Largest distance of an unrounded value from a tie that may round either way.
const TIE: f32 = 0.02;

/// How a map differs from the probabilities it should show.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Difference {
    /// Pixels that are wrong: off by more than one, or by one without a tie.
    pub wrong: usize,
    /// Pixels that rounded the other way at a tie.
    pub ties: usize,
    /// Largest difference of bytes.
    pub worst: u8,
}

impl Difference {
    /// Compares `map` with `probability` x 255, pixel by pixel.
    pub fn of(map: &[u8], probability: &[f32]) -> Self {
        let mut difference = Self::default();
        for (&got, &probability) in map.iter().zip(probability) {
            let value = probability * 255.0;
            let off = got.abs_diff(value.round_ties_even() as u8);
            difference.worst = difference.worst.max(off);
            let tie = (value.fract() - 0.5).abs() <= TIE;
            match off {
                0 => {}
                1 if tie => difference.ties += 1,
                _ => difference.wrong += 1,
            }
        }
        difference
    }

    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            wrong: self.wrong + other.wrong,
            ties: self.ties + other.ties,
            worst: self.worst.max(other.worst),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ties_may_round_the_other_way() {
        let probability = [100.3, 100.51, 100.49, 100.45, 100.0].map(|v: f32| v / 255.0);
        let exact = Difference::of(&[100, 101, 100, 100, 100], &probability);
        assert_eq!(exact, Difference::default());
        let ties = Difference::of(&[100, 100, 101, 100, 100], &probability);
        assert_eq!(ties, Difference { wrong: 0, ties: 2, worst: 1 });
        let wrong = Difference::of(&[101, 101, 100, 101, 98], &probability);
        assert_eq!(wrong, Difference { wrong: 3, ties: 0, worst: 2 });
    }
}
