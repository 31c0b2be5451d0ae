//! When a pool will be exhausted.

use asa_prefix::forecast::Samples;
use asa_prefix::prefix::{Family, Want};
use proptest::prelude::*;

const UNIT: Want = Want { family: Family::V6, length: 64 };
const HOUR: u64 = 3_600;

/// PM-L-03: the words have the rate, the time that was watched, and the time that is left.
#[test]
fn a_forecast_names_its_basis() {
    let mut samples = Samples::default();
    let block = UNIT.measure();
    for number in 0..=72 {
        samples.note(number * 300, (1_000 - u128::from(number)) * block);
    }
    let forecast = samples.forecast(6 * HOUR, UNIT);
    assert_eq!((forecast.samples, forecast.span_s, forecast.free, forecast.length), (73, 6 * HOUR, 928 * block, 64));
    let basis = "at 12 blocks of /64 per hour over the last 6 h: exhausted in about 3 days";
    assert_eq!(forecast.basis, basis);
    assert!((forecast.blocks_per_hour.unwrap() - 12.0).abs() < 0.01, "{forecast:?}");
    assert_eq!(forecast.exhausted_in_s.unwrap() / HOUR, 77);
    // Its numbers are larger than those of JSON.
    let json = serde_json::to_value(&forecast).unwrap();
    assert_eq!(json["free"], (928 * block).to_string());
    assert_eq!(serde_json::from_value::<asa_prefix::forecast::Forecast>(json).unwrap(), forecast);
}

#[test]
fn too_little_is_no_basis() {
    let mut samples = Samples::default();
    assert!(samples.is_idle());
    for number in 0..5 {
        samples.note(number * HOUR, 100 - u128::from(number));
    }
    let forecast = samples.forecast(4 * HOUR, UNIT);
    assert!(forecast.exhausted_in_s.is_none() && forecast.basis.contains("fewer than 6 changes"), "{forecast:?}");
    let mut samples = Samples::default();
    (0..50).for_each(|second| samples.note(second, 100 - u128::from(second)));
    assert_eq!(samples.forecast(50, UNIT).exhausted_in_s, None, "a minute has not passed");
}

#[test]
fn use_that_does_not_grow_exhausts_nothing() {
    let mut samples = Samples::default();
    (0..100).for_each(|number| samples.note(number * 60, 1_000 + u128::from(number % 2)));
    let forecast = samples.forecast(6_000, UNIT);
    assert!(forecast.exhausted_in_s.is_none() && forecast.basis.contains("has not grown"), "{forecast:?}");
    samples.note(7_000, 0);
    let forecast = samples.forecast(7_000, UNIT);
    assert_eq!((forecast.exhausted_in_s, forecast.basis.as_str()), (Some(0), "nothing is free"));
}

#[test]
fn another_aggregate_begins_anew_and_a_block_given_back_does_not() {
    let mut samples = Samples::default();
    (0..60_u64).for_each(|minute| samples.note(minute * 60, 1_000 - u128::from(minute)));
    samples.note(HOUR, 945);
    let before = samples.forecast(HOUR, UNIT);
    assert_eq!((before.samples, before.exhausted_in_s.map(|left| left / HOUR)), (61, Some(15)));
    samples.note(HOUR + 60, 1_000_000);
    assert_eq!(samples.forecast(HOUR + 60, UNIT).samples, 1);
}

/// A change in the same moment as another is not lost.
#[test]
fn what_comes_at_once_counts_as_a_whole() {
    let mut samples = Samples::default();
    let mut free = 100_000;
    for hour in 0..24 {
        for _ in 0..100 {
            samples.note(hour * HOUR, free);
            free -= 1;
        }
    }
    let forecast = samples.forecast(24 * HOUR, UNIT);
    assert_eq!(forecast.free, 100_000 - 2_399);
    let expected = 97_601.0 / 100.0;
    let hours = forecast.exhausted_in_s.unwrap() as f64 / HOUR as f64;
    assert!((hours / expected - 1.0).abs() < 0.2, "{hours} {expected} {forecast:?}");
}

proptest! {
    /// PM-L-03: steady consumption gives a forecast within 20 %, whatever the block, the pace, and the rhythm.
    #[test]
    fn steady_consumption_is_forecast_within_a_fifth(
        length in 32..=128_u8,
        pause in 1..5_000_u64,
        jitter in 0..50_u64,
        grants in 40..3_000_u64,
        left in 1..1_000_000_u128,
        churn in 0..4_u64,
    ) {
        let unit = Want { family: Family::V6, length };
        let block = unit.measure();
        let mut samples = Samples::default();
        let mut free = (left + u128::from(grants)) * block;
        let mut now = 0;
        for number in 0..grants {
            // Every grant comes up to a half of the pause too early or too late.
            now = number * pause + (number * 7_919) % (1 + pause * jitter / 100);
            free -= block;
            samples.note(now, free);
            // Somebody gets a block for a moment.
            if churn > 0 && number % (churn + 2) == 0 {
                samples.note(now, free - block.min(free));
                samples.note(now, free);
            }
        }
        prop_assume!(now >= 600);
        let forecast = samples.forecast(now, unit);
        let expected = left as f64 * pause as f64;
        match forecast.exhausted_in_s {
            Some(found) => {
                let off = (found as f64 - expected).abs();
                prop_assert!(off <= 0.2 * expected + pause as f64, "{} {}: {:?}", found, expected, forecast);
            }
            None => prop_assert!(expected > 99.0 * 365.0 * 86_400.0, "{:?}", forecast),
        }
    }

    /// Nothing that a pool can do brings it down, or makes it grow without bound.
    #[test]
    fn no_samples_panic(steps in prop::collection::vec((0..100_000_u64, any::<u128>()), 0..1_500)) {
        let mut samples = Samples::default();
        let mut now = 0;
        for (step, free) in steps {
            now += step;
            samples.note(now, free);
        }
        let forecast = samples.forecast(now, Want { family: Family::V4, length: 0 });
        prop_assert!(forecast.samples <= 362);
    }
}
