//! Intervals by the bootstrap over patients: frames of one patient are alike, so patients are drawn,
//! not frames.

use crate::util::Rng;

/// Times that the patients are drawn anew.
pub const RESAMPLES: usize = 5000;
/// What is left out at each end of a 95% interval.
const TAIL: f64 = 0.025;

/// `statistic` of every resample, in ascending order: as many of `patients` as there are, drawn with
/// replacement. The same patients give the same draws. Resamples without a statistic are left out.
pub fn resample<T>(
    patients: &[T],
    statistic: impl Fn(&mut dyn Iterator<Item = &T>) -> Option<f64>,
) -> Vec<f64> {
    let mut rng = Rng::new(&[0xb007, patients.len() as u64]);
    let mut values: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let drawn: Vec<usize> = patients.iter().map(|_| rng.below(patients.len())).collect();
            statistic(&mut drawn.into_iter().map(|i| &patients[i]))
        })
        .collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The 95% percentile interval of sorted `values`; none where there are none.
pub fn interval(values: &[f64]) -> Option<[f64; 2]> {
    Some([quantile(values, TAIL)?, quantile(values, 1.0 - TAIL)?])
}

/// The value below which `part` of the sorted `values` lie, linear between neighbours.
pub fn quantile(values: &[f64], part: f64) -> Option<f64> {
    let place = part * values.len().checked_sub(1)? as f64;
    let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
    Some(low + (high - low) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &mut dyn Iterator<Item = &f64>) -> Option<f64> {
        let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), Some(3.0));
        assert_eq!((quantile(&[7.0], 0.975), quantile(&[], 0.5), interval(&[])), (Some(7.0), None, None));
    }

    #[test]
    fn interval_is_that_of_the_normal_law() {
        // The mean of 400 values 0 or 1 has a standard error of 0.5 / 20.
        let patients: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let [low, high] = interval(&resample(&patients, mean)).unwrap();
        assert!((low - (0.5 - 1.96 * 0.025)).abs() < 4e-3, "{low}");
        assert!((high - (0.5 + 1.96 * 0.025)).abs() < 4e-3, "{high}");
        assert_eq!(resample(&patients, mean), resample(&patients, mean));
    }

    #[test]
    fn two_patients_are_all_of_one_all_of_the_other_or_both() {
        let values = resample(&[0.0, 1.0], mean);
        assert_eq!(values.len(), RESAMPLES);
        let part = |wanted: f64| values.iter().filter(|v| **v == wanted).count() as f64 / values.len() as f64;
        assert!((part(0.0) - 0.25).abs() < 0.02 && (part(0.5) - 0.5).abs() < 0.02);
        assert_eq!(resample(&[0.3], mean), vec![0.3; RESAMPLES]);
        assert!(resample(&[], mean).is_empty());
    }
}
