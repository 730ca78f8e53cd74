//! How sure a number of runs makes: bounds on a probability of which k of n runs are a sample.
//!
//! In: k failures in n runs. Out: an upper bound, an interval, and how many clean repeats speak
//! against a failure of a known rate.
//! Invariant: every bound is for 95 %, and no runs exclude nothing.
//! Source: Clopper and Pearson 1934 (exact), Wilson 1927; reference/faults.md §2.3, §2.4.

use statrs::distribution::{Beta, ContinuousCDF, Normal};

/// What a bound may miss: one time in twenty.
const DOUBT: f64 = 0.05;

/// The probability of failure that k failures in n runs exclude with 95 % confidence, one-sided
/// and exact (Clopper-Pearson): for k = 0 the rule of three, about 3/n.
pub fn upper_bound(failures: u64, runs: u64) -> f64 {
    if failures >= runs {
        return 1.0;
    }
    let clean = (runs - failures) as f64;
    match Beta::new(failures as f64 + 1.0, clean) {
        Ok(beta) if failures > 0 => beta.inverse_cdf(1.0 - DOUBT),
        // The distribution's closed form: (1 - p)^n = 5 %.
        _ => 1.0 - DOUBT.powf(1.0 / clean),
    }
}

/// Between which probabilities the true one lies with 95 % confidence (Wilson's score interval).
pub fn interval(failures: u64, runs: u64) -> (f64, f64) {
    if runs == 0 {
        return (0.0, 1.0);
    }
    let z = Normal::standard().inverse_cdf(1.0 - DOUBT / 2.0);
    let n = runs as f64;
    let rate = failures.min(runs) as f64 / n;
    let scale = 1.0 + z * z / n;
    let middle = (rate + z * z / (2.0 * n)) / scale;
    let half = z / scale * (rate * (1.0 - rate) / n + z * z / (4.0 * n * n)).sqrt();
    // Rounding must not exclude what was seen.
    let low = (middle - half).clamp(0.0, rate);
    let high = (middle + half).clamp(rate, 1.0);
    (low, high)
}

/// How many clean repeats reject that a failure of this reproduction rate is still there, when one
/// such rejection in twenty may be wrong. A failure that never came back cannot be rejected.
pub fn repeats_to_reject(rate: f64) -> u32 {
    if rate.is_nan() || rate <= 0.0 {
        return u32::MAX;
    }
    let missed = 1.0 - rate.min(1.0);
    // A rate of 1 misses nothing, and one clean run is enough.
    (DOUBT.ln() / missed.ln()).ceil().max(1.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, wanted: f64) -> bool {
        (value - wanted).abs() < 0.006
    }

    #[test]
    fn a_clean_n_excludes_what_the_rule_of_three_says() {
        for (failures, runs, wanted) in [
            (0, 1_000, 0.003),
            (0, 299, 0.01),
            (0, 80, 0.037),
            (0, 3, 0.632),
            (0, 1, 0.95),
            (1, 100, 0.0466),
            (5, 10, 0.7776),
            (10, 10, 1.0),
        ] {
            let bound = upper_bound(failures, runs);
            assert!(close(bound, wanted), "{failures}/{runs}: {bound}");
        }
        assert_eq!(
            upper_bound(0, 0).to_bits(),
            1.0_f64.to_bits(),
            "no run excludes nothing"
        );
        assert!(upper_bound(0, 100) < upper_bound(1, 100));
    }

    #[test]
    fn intervals_are_those_of_wilson() {
        for (failures, runs, low, high) in [
            (18, 20, 0.70, 0.97),
            (27, 30, 0.74, 0.97),
            (38, 40, 0.84, 0.99),
            (57, 60, 0.86, 0.98),
            (0, 5, 0.0, 0.434),
            (5, 5, 0.566, 1.0),
            (0, 0, 0.0, 1.0),
        ] {
            let (a, b) = interval(failures, runs);
            assert!(
                close(a, low) && close(b, high),
                "{failures}/{runs}: {a} to {b}"
            );
        }
    }

    #[test]
    fn rarer_failures_take_more_clean_runs_to_reject() {
        for (rate, wanted) in [
            (1.0, 1),
            (0.9, 2),
            (0.5, 5),
            (0.25, 11),
            (0.1, 29),
            (0.05, 59),
            (0.0, u32::MAX),
            (f64::NAN, u32::MAX),
        ] {
            assert_eq!(repeats_to_reject(rate), wanted, "r = {rate}");
        }
    }
}
