//! How bright frames are.

/// Pixels by grey level.
#[derive(Debug, Clone)]
pub struct Grey {
    /// Pixels of each level 0..=255.
    pub counts: [u64; 256],
}

impl Grey {
    /// Of some pixels.
    pub fn of(luma: &[u8]) -> Self {
        let mut counts = [0; 256];
        for &pixel in luma {
            counts[usize::from(pixel)] += 1;
        }
        Self { counts }
    }

    /// Of several parts together.
    pub fn sum<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self { counts: [0; 256] };
        for part in parts {
            for (sum, count) in sum.counts.iter_mut().zip(part.counts) {
                *sum += count;
            }
        }
        sum
    }

    fn pixels(&self) -> u64 {
        self.counts.iter().sum::<u64>().max(1)
    }

    /// 0..255
    pub fn mean(&self) -> f64 {
        let sum: u64 = self.counts.iter().zip(0u64..).map(|(count, level)| count * level).sum();
        sum as f64 / self.pixels() as f64
    }

    /// The least level that `share` (0..1) of the pixels do not exceed.
    pub fn percentile(&self, share: f64) -> usize {
        let wanted = share * self.pixels() as f64;
        let mut seen = 0;
        let reached = |count: &u64| {
            seen += count;
            seen as f64 >= wanted
        };
        self.counts.iter().position(reached).unwrap_or(255)
    }

    /// Share of the pixels at one level, 0..1.
    pub fn share(&self, level: u8) -> f64 {
        self.counts[usize::from(level)] as f64 / self.pixels() as f64
    }

    /// Whether all pixels are equal.
    pub fn is_flat(&self) -> bool {
        self.counts.iter().filter(|count| **count > 0).count() <= 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_ramp() {
        let ramp: Vec<u8> = (0..=255).collect();
        let grey = Grey::of(&ramp);
        assert_eq!((grey.mean(), grey.percentile(0.5), grey.percentile(0.99)), (127.5, 127, 253));
        assert_eq!((grey.percentile(0.0), grey.percentile(1.0), grey.share(255)), (0, 255, 1.0 / 256.0));
        let both = Grey::sum([&grey, &Grey::of(&[255; 256])]);
        assert_eq!((both.mean(), both.is_flat(), Grey::of(&[9, 9]).is_flat()), (191.25, false, true));
    }
}
