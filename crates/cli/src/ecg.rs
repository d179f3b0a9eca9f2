//! Readings from a recording: blocks of waveform, and a heart rate derived from its beats.

use crate::output::Failure;
use salus_clinical::{Decimal, Rate, Reading, Reject, Value, Waveform, kind};
use salus_wire::Code;
use salus_wire::ids::TimeMs;

/// ADC units a millivolt of the MIT-BIH recordings, as 1/200 mV a unit.
const SCALE_MANTISSA: i64 = 5;
const SCALE_EXPONENT: i8 = -3;
/// The ADC value of 0 mV.
const ORIGIN: i32 = 1_024;
/// IEEE 11073 code of ECG lead II, of which MLII is the modified form.
const LEAD: &str = "131330";
/// LOINC code of heart rate.
const HEART_RATE: &str = "8867-4";
/// Beats closer than this are one beat: 250 ms, the refractory period that Pan and Tompkins use.
const REFRACTORY_PER_SECOND: usize = 4;

/// The recording as waveform readings of `frame` samples each, the first at `start`.
pub(crate) fn waveforms(
    samples: &[i16],
    rate: u32,
    frame: u32,
    start: TimeMs,
) -> Result<Vec<Reading>, Failure> {
    let kind =
        kind::find(LEAD).ok_or_else(|| Failure::new(Code::Internal, "ECG lead II is not in the table"))?;
    let pace = Rate::new(rate, 1).map_err(reject)?;
    let length = usize::try_from(frame).unwrap_or(usize::MAX).max(1);
    let scale = Decimal::new(SCALE_MANTISSA, SCALE_EXPONENT).map_err(reject)?;
    let blocks = (0_u64..).zip(samples.chunks(length));
    blocks
        .map(|(index, block)| {
            let value = Waveform::new(pace, scale, ORIGIN, block.to_vec()).map_err(reject)?;
            let offset_ms = index.saturating_mul(u64::from(frame)).saturating_mul(1_000) / u64::from(rate);
            Reading::new(kind, start.plus_ms(offset_ms), Value::Waveform(value)).map_err(reject)
        })
        .collect()
}

/// One heart rate a second, from the interval between the last two beats.
pub(crate) fn heart_rates(samples: &[i16], rate: u32, start: TimeMs) -> Result<Vec<Reading>, Failure> {
    let kind = kind::find(HEART_RATE)
        .ok_or_else(|| Failure::new(Code::Internal, "heart rate is not in the table"))?;
    let per_second = usize::try_from(rate).unwrap_or(usize::MAX).max(1);
    let beats = beats(samples, per_second);
    let seconds = samples.len() / per_second;
    let mut readings = Vec::new();
    for second in 1..=seconds {
        let until = second.saturating_mul(per_second);
        let known = beats.partition_point(|beat| *beat < until);
        let Some([before, last]) = known.checked_sub(2).and_then(|from| beats.get(from..known)) else {
            continue;
        };
        let Some(interval) = last.checked_sub(*before).filter(|interval| *interval > 0) else { continue };
        let rate = per_second.saturating_mul(60) / interval;
        let value = Decimal::new(i64::try_from(rate).unwrap_or(i64::MAX), 0).map_err(reject)?;
        let at = start.plus_ms(u64::try_from(second).unwrap_or(u64::MAX).saturating_mul(1_000));
        readings.push(Reading::new(kind, at, Value::Quantity(value)).map_err(reject)?);
    }
    Ok(readings)
}

/// Where the slope is steeper than half of the steepest, once a beat. A plain form of the slope
/// criterion of Pan and Tompkins, "A Real-Time QRS Detection Algorithm", 1985.
fn beats(samples: &[i16], per_second: usize) -> Vec<usize> {
    let slopes: Vec<i32> = samples.windows(2).map(slope).collect();
    let mut beats: Vec<usize> = Vec::new();
    let refractory = (per_second / REFRACTORY_PER_SECOND).max(1);
    for (block, window) in slopes.chunks(per_second.saturating_mul(5)).enumerate() {
        let threshold = window.iter().max().copied().unwrap_or(0) / 2;
        for (offset, slope) in window.iter().enumerate() {
            let at = block.saturating_mul(per_second).saturating_mul(5).saturating_add(offset);
            let apart = beats.last().is_none_or(|last| at.saturating_sub(*last) >= refractory);
            if *slope > threshold && apart {
                beats.push(at);
            }
        }
    }
    beats
}

fn slope(pair: &[i16]) -> i32 {
    match pair {
        [before, after] => (i32::from(*after) - i32::from(*before)).abs(),
        _ => 0,
    }
}

fn reject(reject: Reject) -> Failure {
    Failure::new(reject.code(), reject.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_a_second_is_a_heart_rate_of_sixty() {
        let mut samples = vec![1_024_i16; 3_600];
        for beat in samples.chunks_mut(360) {
            beat[100] = 1_500;
        }
        let readings = heart_rates(&samples, 360, TimeMs::new(1_700_000_000_000)).unwrap();
        assert_eq!(readings.len(), 9);
        let sixty = Decimal::new(60, 0).unwrap();
        assert!(readings.iter().all(|reading| *reading.value() == Value::Quantity(sixty)));
    }

    #[test]
    fn waveform_blocks_hold_every_sample_in_order_at_its_time() {
        let samples: Vec<i16> = (0..1_000).collect();
        let readings = waveforms(&samples, 360, 360, TimeMs::new(1_700_000_000_000)).unwrap();
        assert_eq!(readings.len(), 3);
        assert_eq!(readings[2].effective(), TimeMs::new(1_700_000_002_000));
        let kept: Vec<i16> = readings
            .iter()
            .flat_map(|reading| match reading.value() {
                Value::Waveform(waveform) => waveform.samples().to_vec(),
                Value::Quantity(_) => Vec::new(),
            })
            .collect();
        assert_eq!(kept, samples);
    }
}
