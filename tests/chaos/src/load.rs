//! Makes the requests, and records how each ended.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ixt_host::{CallError, Host};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::faults;
use crate::request::{Request, sum};
use crate::system::System;

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After this number of requests.
    Requests(u64),
    /// After this time.
    Time(Duration),
}

impl Until {
    pub(crate) fn tenth(self) -> Self {
        match self {
            Self::Requests(requests) => Self::Requests(requests / 10),
            Self::Time(time) => Self::Time(time / 10),
        }
    }
}

/// A request without an answer after this time was lost: the longest timeout of a request is half of it.
const LOST: Duration = Duration::from_secs(60);

/// The error codes that calls of modules may have that are killed, paused and restarted.
const EXPECTED: [&str; 4] = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED"];

/// How the requests ended. The lists from `lost` on have the numbers of requests that ended wrongly, and have to be empty.
#[derive(Debug, Default)]
pub struct Outcomes {
    pub(crate) seed: u64,
    /// The numbers of those that were answered with success.
    answered: Vec<u64>,
    /// The number of requests that were answered with each error code.
    pub refused: BTreeMap<String, u64>,
    /// How often each fault was made.
    pub faults: BTreeMap<&'static str, u64>,
    /// Requests that were not answered.
    pub lost: Vec<u64>,
    /// Requests that got the answer to another request.
    pub mixed_up: Vec<u64>,
    /// Requests that are not idempotent and entered a handler more than once.
    pub doubled: Vec<u64>,
    /// Requests that were answered with success and never entered a handler.
    pub invented: Vec<u64>,
    /// Requests that were answered with success, and whose value is not in the store.
    pub values_lost: Vec<u64>,
    /// Requests that were answered with an error that is not expected.
    pub unexpected: Vec<String>,
    /// The time that all requests took.
    pub took: Duration,
}

impl Outcomes {
    /// The number of requests.
    #[must_use]
    pub fn asked(&self) -> u64 {
        let wrong = self.lost.len() + self.mixed_up.len() + self.unexpected.len();
        (self.answered.len() + wrong) as u64 + self.refused.values().sum::<u64>()
    }

    /// The number of requests that were answered with success.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.len() as u64
    }

    /// A line for each kind of wrong end that has occurred. Empty if all is well.
    #[must_use]
    pub fn wrong(&self) -> Vec<String> {
        let lists = [
            ("lost", &self.lost),
            ("mixed up", &self.mixed_up),
            ("doubled", &self.doubled),
            ("invented", &self.invented),
            ("values lost", &self.values_lost),
        ];
        let told = lists.iter().filter(|(_, list)| !list.is_empty()).map(|(what, list)| {
            format!("{what}: {} requests, with the seed {}: {:?}", list.len(), self.seed, &list[..list.len().min(10)])
        });
        told.chain(self.unexpected.iter().map(|error| format!("unexpected: {error}"))).collect()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.answered.extend(other.answered);
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
        self.lost.extend(other.lost);
        self.mixed_up.extend(other.mixed_up);
        self.unexpected.extend(other.unexpected);
        self.took += other.took;
    }

    /// Compares the answers with the numbers of the requests that have entered a handler, once for each time.
    pub(crate) fn compare(&mut self, entries: &[u64]) {
        let mut times = BTreeMap::new();
        for id in entries {
            *times.entry(*id).or_insert(0_u64) += 1;
        }
        let doubled = times.iter().filter(|(id, times)| **times > 1 && !Request::new(**id, self.seed).is_idempotent());
        self.doubled.extend(doubled.map(|(id, _)| *id));
        self.invented.extend(self.answered.iter().filter(|id| !times.contains_key(id)));
    }

    /// The requests whose value has to be in the store.
    pub(crate) fn kept(&self) -> impl Iterator<Item = u64> {
        self.answered.iter().copied().filter(|id| Request::new(*id, self.seed).is_kept())
    }

    fn record(&mut self, request: &Request, outcome: Option<Result<serde_json::Value, CallError>>) {
        match outcome {
            None => self.lost.push(request.id),
            Some(Ok(mut data)) => {
                if request.topic == "relay.once" {
                    data = data["answer"].take();
                }
                let its = data["id"] == request.id && data["sum"] == sum(&request.payload);
                if its { &mut self.answered } else { &mut self.mixed_up }.push(request.id);
            }
            Some(Err(CallError::Replied(error))) if EXPECTED.contains(&error.code.as_str()) => {
                *self.refused.entry(error.code).or_default() += 1;
            }
            Some(Err(CallError::Gone { .. })) => *self.refused.entry("its process ended".to_owned()).or_default() += 1,
            Some(Err(error)) => self.unexpected.push(format!("{} {}: {error}", request.topic, request.id)),
        }
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let rate = self.asked() as f64 / seconds;
        writeln!(f, "{} requests in {seconds:.1} s ({rate:.0} a second), seed {}", self.asked(), self.seed)?;
        writeln!(f, "  answered           {}", self.answered())?;
        for (code, count) in &self.refused {
            writeln!(f, "  {code:18} {count}")?;
        }
        for (fault, count) in &self.faults {
            writeln!(f, "  fault: {fault:11} {count}")?;
        }
        let values = self.kept().count();
        writeln!(f, "  values acknowledged {values}, lost {}", self.values_lost.len())?;
        write!(
            f,
            "  lost {}, mixed up {}, doubled {}, invented {}, unexpected errors {}",
            self.lost.len(),
            self.mixed_up.len(),
            self.doubled.len(),
            self.invented.len(),
            self.unexpected.len()
        )
    }
}

/// The state that the clients share.
struct Load {
    host: Host,
    /// The number of the first request.
    from: u64,
    until: Until,
    seed: u64,
    start: Instant,
    made: watch::Sender<u64>,
    outcomes: Mutex<Outcomes>,
}

impl Load {
    fn next(&self) -> Option<Request> {
        let enough = |made| match self.until {
            Until::Requests(requests) => made >= requests,
            Until::Time(time) => self.start.elapsed() >= time,
        };
        let mut next = None;
        self.made.send_if_modified(|made| {
            next = (!enough(*made)).then_some(self.from + *made);
            *made += u64::from(next.is_some());
            next.is_some()
        });
        next.map(|id| Request::new(id, self.seed))
    }

    async fn client(&self) {
        while let Some(request) = self.next() {
            let call = self.host.call(request.topic, &request.payload, System::options(request.ttl));
            let answer = timeout(LOST, call).await.ok();
            let answer = answer.map(|answer| answer.map(|data| data.read().unwrap_or_default()));
            self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).record(&request, answer);
        }
    }
}

/// Makes requests with numbers from `from` on, `clients` at once.
pub(crate) async fn run(system: &System, from: u64, until: Until, clients: u64, seed: u64, faults: bool) -> Outcomes {
    let (made, progress) = watch::channel(0);
    let outcomes = Mutex::new(Outcomes { seed, ..Outcomes::default() });
    let load = Load { host: system.host.clone(), from, until, seed, start: Instant::now(), made, outcomes };
    let load = Arc::new(load);
    let faults = faults.then(|| tokio::spawn(faults::make(system.host.clone(), progress, seed)));
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let load = Arc::clone(&load);
        running.spawn(async move { load.client().await });
    }
    running.join_all().await;
    let mut outcomes = std::mem::take(&mut *load.outcomes.lock().unwrap_or_else(PoisonError::into_inner));
    outcomes.took = load.start.elapsed();
    // Without the sender they end by themselves.
    drop(load);
    if let Some(faults) = faults {
        outcomes.faults = faults.await.unwrap_or_else(|error| panic!("{error}"));
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(id: u64, topic: &'static str) -> Request {
        Request { id, topic, payload: id.to_be_bytes().to_vec(), ttl: 1 }
    }

    /// The number of a request with seed 7 that is idempotent, or not.
    fn number(idempotent: bool) -> u64 {
        (0..1000).find(|id| Request::new(*id, 7).is_idempotent() == idempotent).unwrap()
    }

    #[test]
    fn an_answer_to_another_request_and_none_at_all_are_told() {
        let mut outcomes = Outcomes { seed: 7, ..Outcomes::default() };
        let answer = |id: u64| json!({ "id": id, "sum": sum(&id.to_be_bytes()) });
        outcomes.record(&request(1, "ledger.once"), Some(Ok(answer(1))));
        outcomes.record(&request(2, "relay.once"), Some(Ok(json!({ "answer": answer(2) }))));
        assert_eq!((outcomes.answered(), outcomes.wrong().len()), (2, 0));
        outcomes.record(&request(3, "ledger.once"), Some(Ok(answer(4))));
        outcomes.record(&request(5, "ledger.once"), None);
        outcomes.record(&request(6, "ledger.once"), Some(Err(CallError::TooLong { bytes: 2, max_frame_bytes: 1 })));
        assert_eq!((&outcomes.mixed_up[..], &outcomes.lost[..]), (&[3][..], &[5][..]));
        assert_eq!((outcomes.asked(), outcomes.wrong().len()), (5, 3));
    }

    #[test]
    fn what_was_handled_twice_or_never_is_told() {
        let (once, again) = (number(false), number(true));
        let mut outcomes = Outcomes { seed: 7, answered: vec![once, again, 1000], ..Outcomes::default() };
        outcomes.compare(&[once, again, again, 5000]);
        assert_eq!((&outcomes.doubled[..], &outcomes.invented[..]), (&[][..], &[1000][..]));
        outcomes.compare(&[once, once, again, 1000]);
        assert_eq!(outcomes.doubled, [once]);
    }
}
