//! A request: its number, and bytes that follow from the number. The clients and the modules share this code.

/// The number of the request with this payload.
#[must_use]
pub fn id(payload: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*payload.first_chunk()?))
}

/// A checksum of the payload, which is in the answer.
#[must_use]
pub fn sum(payload: &[u8]) -> u32 {
    payload.iter().fold(17, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)))
}

/// A request to one of the services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) topic: &'static str,
    pub(crate) payload: Vec<u8>,
    /// Its timeout in milliseconds.
    pub(crate) ttl: u64,
}

impl Request {
    /// The request with this number; always the same for the same seed.
    pub(crate) fn new(id: u64, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let topic = *random
            .choice(&["ledger.once", "ledger.again", "ledger.keep", "relay.once", "mute.once"])
            .unwrap_or(&"ledger.once");
        // Most are small; a few are larger than what a socket takes at once.
        let size = match random.u8(..) {
            0 => random.usize(..512 * 1024),
            1..16 => random.usize(..32 * 1024),
            _ => random.usize(..512),
        };
        let mut payload = id.to_be_bytes().to_vec();
        payload.resize_with(8 + size, || random.u8(..));
        // Some are given up while they are handled.
        let ttl = if random.u8(..) < 8 { random.u64(1..20) } else { 30_000 };
        Self { id, topic, payload, ttl }
    }

    /// Whether it may enter a handler more than once.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.topic == "ledger.again"
    }

    /// Whether its value is in the store once it was answered.
    pub(crate) fn is_kept(&self) -> bool {
        self.topic == "ledger.keep"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_follows_from_its_number_and_the_seed() {
        assert_eq!(Request::new(7, 1), Request::new(7, 1));
        assert_ne!(Request::new(7, 1).payload, Request::new(7, 2).payload);
        assert_eq!(id(&Request::new(7, 1).payload), Some(7));
        let kept = (0..1000).filter(|id| Request::new(*id, 1).is_kept()).count();
        assert!((150..250).contains(&kept), "{kept}");
    }
}
