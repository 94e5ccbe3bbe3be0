//! Times of things that are compared: taken in turns, the order of which changes, so that whatever else the machine does
//! falls on all of them.

use std::time::Duration;

/// Runs each contestant once per round, and gives the times of each.
pub fn in_turns<const N: usize>(
    rounds: usize,
    run: [&mut dyn FnMut() -> anyhow::Result<Duration>; N],
) -> anyhow::Result<[Times; N]> {
    let mut times = std::array::from_fn(|_| Times(Vec::with_capacity(rounds)));
    for round in 0..rounds {
        for turn in 0..N {
            let contestant = (round + turn) % N;
            times[contestant].0.push(run[contestant]()?);
        }
    }
    Ok(times)
}

/// The times of one contestant, a round each.
pub struct Times(Vec<Duration>);

impl FromIterator<Duration> for Times {
    fn from_iter<T: IntoIterator<Item = Duration>>(times: T) -> Self {
        Self(times.into_iter().collect())
    }
}

impl Times {
    /// In milliseconds.
    pub fn median(&self) -> f64 {
        median(self.0.iter().map(|time| time.as_secs_f64() * 1e3).collect())
    }

    /// How many times as long as another, round by round: the median, the least and the most.
    pub fn ratio(&self, other: &Self) -> Ratio {
        let ratios: Vec<f64> = self.0.iter().zip(&other.0).map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect();
        Ratio {
            median: median(ratios.clone()),
            least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            most: ratios.iter().copied().fold(0.0, f64::max),
        }
    }
}

/// How many times as long.
pub struct Ratio {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.median < 0.1 { 3 } else { 2 };
        f.pad(&format!("{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.least, self.most))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
