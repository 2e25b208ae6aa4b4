//! Sums of absolute differences of bytes, with the widest instructions that the processor has.
//!
//! One instruction (`vpsadbw`) takes 64 byte differences and adds them up. Two loads feed it, so a
//! pair at a time is bound by loads; four frames against four take 8 loads for 16 of them.

#![allow(unsafe_code, reason = "the instructions; nothing else is in this file")]

/// Frames on each side of [`Sad::four_by_four`].
pub const FOUR: usize = 4;

/// Sums of four frames against four others, in pixel value units.
pub type Sums = [[u32; FOUR]; FOUR];

/// A way to sum, chosen once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sad(Path);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Sad {
    /// The fastest way on this machine.
    pub fn detect() -> Self {
        Self::all()[0]
    }

    /// Every way that this machine can go, fastest first.
    pub fn all() -> Vec<Self> {
        let mut all = vec![];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
                all.push(Self(Path::Avx512));
            }
            if is_x86_feature_detected!("avx2") {
                all.push(Self(Path::Avx2));
            }
        }
        all.push(Self(Path::Portable));
        all
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => "AVX2",
            Path::Portable => "portable",
        }
    }

    /// The sum of one pair of equally long slices of at most 16 MB.
    ///
    /// # Panics
    /// On slices of different length.
    pub fn pair(self, a: &[u8], b: &[u8]) -> u32 {
        assert_eq!(a.len(), b.len(), "frames of one size");
        match self.0 {
            // SAFETY: `Path::Avx512` is made only where the processor has F and BW; lengths are equal.
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => unsafe { x86::avx512::<1, 1>([a], [b])[0][0] },
            // SAFETY: `Path::Avx2` is made only where the processor has it; lengths are equal.
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => unsafe { x86::avx2::<1, 1>([a], [b])[0][0] },
            Path::Portable => portable(a, b),
        }
    }

    /// Every slice of `a` against every one of `b`; `sums[i][j]` belongs to `a[i]` and `b[j]`.
    ///
    /// # Panics
    /// On slices of different length.
    pub fn four_by_four(self, a: [&[u8]; FOUR], b: [&[u8]; FOUR]) -> Sums {
        let length = a[0].len();
        assert!(a.iter().chain(&b).all(|s| s.len() == length), "frames of one size");
        match self.0 {
            // SAFETY: `Path::Avx512` is made only where the processor has F and BW; lengths are equal.
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => unsafe { x86::avx512(a, b) },
            // Sixteen registers hold the sums of two frames against four.
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => {
                // SAFETY: `Path::Avx2` is made only where the processor has it; lengths are equal.
                let [top, bottom] =
                    [[a[0], a[1]], [a[2], a[3]]].map(|half| unsafe { x86::avx2::<2, FOUR>(half, b) });
                [top[0], top[1], bottom[0], bottom[1]]
            }
            Path::Portable => a.map(|a| b.map(|b| portable(a, b))),
        }
    }
}

/// Left to the compiler to vectorise.
fn portable(a: &[u8], b: &[u8]) -> u32 {
    a.iter().zip(b).map(|(&a, &b)| (i32::from(a) - i32::from(b)).unsigned_abs()).sum()
}

#[cfg(target_arch = "x86_64")]
#[allow(clippy::needless_range_loop, reason = "two indices at once; the compiler unrolls both")]
mod x86 {
    use std::arch::x86_64::*;

    /// `M` frames against `N`, 64 pixels at a time, the last ones masked.
    ///
    /// # Safety
    /// The processor has AVX-512 F and BW; all slices are equally long.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub unsafe fn avx512<const M: usize, const N: usize>(a: [&[u8]; M], b: [&[u8]; N]) -> [[u32; N]; M] {
        const LANES: usize = 64;
        let length = a[0].len();
        let mut sums = [[_mm512_setzero_si512(); N]; M];
        for at in (0..length).step_by(LANES) {
            let rest = length - at;
            let mask = if rest >= LANES { u64::MAX } else { (1 << rest) - 1 };
            let mut left = [_mm512_setzero_si512(); M];
            for i in 0..M {
                // SAFETY: the mask leaves only bytes before the end of the slice, `length` long.
                left[i] = unsafe { _mm512_maskz_loadu_epi8(mask, a[i].as_ptr().add(at).cast()) };
            }
            for j in 0..N {
                // SAFETY: as above.
                let right = unsafe { _mm512_maskz_loadu_epi8(mask, b[j].as_ptr().add(at).cast()) };
                for i in 0..M {
                    sums[i][j] = _mm512_add_epi64(sums[i][j], _mm512_sad_epu8(left[i], right));
                }
            }
        }
        let mut total = [[0; N]; M];
        for i in 0..M {
            for j in 0..N {
                total[i][j] = _mm512_reduce_add_epi64(sums[i][j]) as u32;
            }
        }
        total
    }

    /// `M` frames against `N`, 32 pixels at a time; the last ones by the compiler.
    ///
    /// # Safety
    /// The processor has AVX2; all slices are equally long.
    #[target_feature(enable = "avx2")]
    pub unsafe fn avx2<const M: usize, const N: usize>(a: [&[u8]; M], b: [&[u8]; N]) -> [[u32; N]; M] {
        const LANES: usize = 32;
        let whole = a[0].len() / LANES * LANES;
        let mut sums = [[_mm256_setzero_si256(); N]; M];
        for at in (0..whole).step_by(LANES) {
            let mut left = [_mm256_setzero_si256(); M];
            for i in 0..M {
                // SAFETY: `at + LANES` is at most `whole`, which every slice has.
                left[i] = unsafe { _mm256_loadu_si256(a[i].as_ptr().add(at).cast()) };
            }
            for j in 0..N {
                // SAFETY: as above.
                let right = unsafe { _mm256_loadu_si256(b[j].as_ptr().add(at).cast()) };
                for i in 0..M {
                    sums[i][j] = _mm256_add_epi64(sums[i][j], _mm256_sad_epu8(left[i], right));
                }
            }
        }
        let mut total = [[0; N]; M];
        for i in 0..M {
            for j in 0..N {
                let sum = sums[i][j];
                let half = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
                let lanes = _mm_cvtsi128_si64(half) + _mm_extract_epi64::<1>(half);
                total[i][j] = lanes as u32 + super::portable(&a[i][whole..], &b[j][whole..]);
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::Rng;

    fn bytes(rng: &mut Rng, length: usize) -> Vec<u8> {
        (0..length).map(|_| rng.next() as u8).collect()
    }

    fn brute(a: &[u8], b: &[u8]) -> u32 {
        a.iter().zip(b).map(|(&a, &b)| u32::from(a.max(b) - a.min(b))).sum()
    }

    #[test]
    fn every_path_equals_brute_force_at_any_length_and_alignment() {
        let mut rng = Rng::new(&[1]);
        for sad in Sad::all() {
            for length in (0..70).chain([127, 128, 129, 255, 1000, 4095, 4097]) {
                let frames: Vec<Vec<u8>> = (0..8).map(|_| bytes(&mut rng, length + 1)).collect();
                // From 0 or 1: aligned and not.
                let slice = |i: usize| &frames[i][i % 2..][..length];
                let (a, b) = ([0, 1, 2, 3].map(slice), [4, 5, 6, 7].map(slice));
                let want = a.map(|a| b.map(|b| brute(a, b)));
                assert_eq!(sad.four_by_four(a, b), want, "{} {length}", sad.name());
                assert_eq!(sad.pair(a[0], b[0]), want[0][0], "{} {length}", sad.name());
            }
        }
    }

    #[test]
    fn largest_differences_do_not_overflow() {
        let length = 580 * 420;
        let (black, white) = (vec![0; length], vec![255; length]);
        for sad in Sad::all() {
            let sums = sad.four_by_four([&black; 4], [&white; 4]);
            assert_eq!(sums, [[length as u32 * 255; 4]; 4], "{}", sad.name());
        }
    }

    #[test]
    #[should_panic(expected = "one size")]
    fn frames_of_different_sizes_are_refused() {
        Sad::detect().pair(&[1, 2], &[1]);
    }
}
