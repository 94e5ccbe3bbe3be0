//! Contestants take turns, so that a slow moment of the machine falls on all of them, and are compared round by round.

use std::time::Duration;

/// The order in which `contestants` contestants run in a round, as their indices.
///
/// Each order is followed by its mirror image in the next round, and the round after that starts with the next contestant. So nobody
/// always runs first, and nobody always runs after the same other one.
pub fn order(round: usize, contestants: usize) -> impl Iterator<Item = usize> {
    (0..contestants).map(move |turn| {
        let turn = if round.is_multiple_of(2) { turn } else { contestants - 1 - turn };
        (round / 2 + turn) % contestants
    })
}

/// Runs each contestant once to warm up, without recording it, and then once in each of `rounds` rounds.
///
/// Returns what each contestant returned, by contestant and then by round: the samples with the same index are of the same round. Ends
/// at the first error.
pub fn in_turns<T, const N: usize>(
    rounds: usize,
    mut contestants: [&mut dyn FnMut() -> anyhow::Result<T>; N],
) -> anyhow::Result<[Vec<T>; N]> {
    for run in &mut contestants {
        run()?;
    }
    let mut samples = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..rounds {
        for contestant in order(round, N) {
            samples[contestant].push(contestants[contestant]()?);
        }
    }
    Ok(samples)
}

/// Compares durations as [`in_turns`] runs them.
pub fn times_in_turns<const N: usize>(
    rounds: usize,
    contestants: [&mut dyn FnMut() -> anyhow::Result<Duration>; N],
) -> anyhow::Result<[Times; N]> {
    Ok(in_turns(rounds, contestants)?.map(Times))
}

/// The times of one contestant, one for each round.
pub struct Times(Vec<Duration>);

impl FromIterator<Duration> for Times {
    fn from_iter<T: IntoIterator<Item = Duration>>(times: T) -> Self {
        Self(times.into_iter().collect())
    }
}

impl Times {
    /// The median in milliseconds. Panics if there are no times.
    pub fn median(&self) -> f64 {
        median(self.0.iter().map(|time| time.as_secs_f64() * 1e3).collect())
    }

    /// The median in microseconds. Panics if there are no times.
    pub fn median_micros(&self) -> f64 {
        self.median() * 1e3
    }

    /// The ratio of this time to the other one's in the same round, over all rounds. Panics if the number of rounds differs, or is 0.
    pub fn ratio(&self, other: &Self) -> Ratio {
        assert_eq!(self.0.len(), other.0.len(), "both have a time for each round");
        Ratio::of(self.0.iter().zip(&other.0).map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect())
    }
}

/// A ratio that was taken in each round: the median of the rounds, the minimum and the maximum.
///
/// Is printed as `median (min–max)`.
pub struct Ratio {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Ratio {
    /// From the ratios of the rounds. Panics if there are none.
    pub fn of(rounds: Vec<f64>) -> Self {
        Self {
            min: rounds.iter().copied().fold(f64::INFINITY, f64::min),
            max: rounds.iter().copied().fold(0.0, f64::max),
            median: median(rounds),
        }
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.median < 0.1 { 3 } else { 2 };
        f.pad(&format!("{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.min, self.max))
    }
}

/// The time that this share of the times, from 0 to 1, doesn't exceed. `sorted` is in ascending order. `None` if it is empty.
pub fn quantile(sorted: &[Duration], share: f64) -> Option<Duration> {
    sorted.get((sorted.len().checked_sub(1)? as f64 * share) as usize).copied()
}

/// Of an even number of values, the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], values[middle]) } else { values[middle] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_give_everyone_each_place() {
        for contestants in 1..6 {
            let orders: Vec<Vec<usize>> =
                (0..2 * contestants).map(|round| order(round, contestants).collect()).collect();
            for place in 0..contestants {
                for contestant in 0..contestants {
                    assert_eq!(orders.iter().filter(|order| order[place] == contestant).count(), 2, "{orders:?}");
                }
            }
        }
        assert_eq!(order(0, 3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(order(1, 3).collect::<Vec<_>>(), [2, 1, 0]);
    }

    #[test]
    fn a_warm_up_is_not_recorded() {
        let mut runs = 0;
        let [samples] = in_turns(
            3,
            [&mut || {
                runs += 1;
                Ok(runs)
            }],
        )
        .unwrap();
        assert_eq!(samples, [2, 3, 4]);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let times = |millis: &[u64]| millis.iter().map(|millis| Duration::from_millis(*millis)).collect::<Times>();
        let ratio = times(&[10, 40, 90]).ratio(&times(&[10, 10, 10]));
        assert_eq!(ratio.to_string(), "4.00 (1.00–9.00)");
        assert_eq!(times(&[1, 2, 4, 9]).median(), 3.0);
    }

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let sorted: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(quantile(&sorted, 0.0), Some(Duration::from_millis(1)));
        assert_eq!(quantile(&sorted, 1.0), Some(Duration::from_millis(100)));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
