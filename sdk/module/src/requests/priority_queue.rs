//! The order in which queued requests begin: by priority, and the oldest first among equal ones. But every eighth time the oldest of all
//! is taken, so that low priorities don't starve. The queue has no limit: `Requests::accept` checks `max_queued`. The host has a queue
//! with the same rule, for a module that handles one request at a time: `sdk/host/src/connection/request_table/queue.rs`.

use std::collections::VecDeque;

use ixt_protocol::Priority;

/// Every 8th call of `pop` takes the oldest key, whatever its priority.
const OLDEST_EVERY: u64 = 8;

/// A queue of keys. Each key must be greater than those pushed before: the order of keys is their age.
#[derive(Debug)]
pub(super) struct PriorityQueue<K> {
    /// One lane for each priority, from low to critical.
    lanes: [VecDeque<K>; 4],
    /// The number of calls of `pop`.
    pops: u64,
}

impl<K> Default for PriorityQueue<K> {
    fn default() -> Self {
        Self { lanes: Default::default(), pops: 0 }
    }
}

impl<K: Copy + Ord> PriorityQueue<K> {
    /// The number of keys of all priorities together.
    pub(super) fn len(&self) -> usize {
        self.lanes.iter().map(VecDeque::len).sum()
    }

    /// Appends a key, which must be greater than all before.
    pub(super) fn push(&mut self, priority: Priority, key: K) {
        self.lanes[lane(priority)].push_back(key);
    }

    /// Takes the next key; `None` if the queue is empty.
    pub(super) fn pop(&mut self) -> Option<K> {
        self.pops += 1;
        let lanes = self.lanes.iter_mut().filter(|lane| !lane.is_empty());
        let lane = if self.pops.is_multiple_of(OLDEST_EVERY) {
            lanes.min_by_key(|lane| lane.front().copied())
        } else {
            lanes.last()
        };
        lane.and_then(VecDeque::pop_front)
    }

    /// Removes a key that was pushed with this priority. Does nothing if it is not in the queue.
    pub(super) fn remove(&mut self, priority: Priority, key: K) {
        let lane = &mut self.lanes[lane(priority)];
        if let Ok(at) = lane.binary_search(&key) {
            lane.remove(at);
        }
    }
}

/// The index in `lanes`.
fn lane(priority: Priority) -> usize {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
        Priority::Critical => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop(queue: &mut PriorityQueue<u64>, times: usize) -> Vec<u64> {
        (0..times).filter_map(|_| queue.pop()).collect()
    }

    #[test]
    fn the_highest_priority_is_first_and_among_equal_ones_the_oldest() {
        let mut queue = PriorityQueue::default();
        let priorities = [Priority::Low, Priority::High, Priority::Normal, Priority::Critical, Priority::High];
        for (number, priority) in (0..).zip(priorities) {
            queue.push(priority, number);
        }
        assert_eq!(queue.len(), 5);
        assert_eq!(pop(&mut queue, 6), [3, 1, 4, 2, 0]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn every_eighth_key_taken_is_the_oldest_so_that_low_never_starves() {
        let mut queue = PriorityQueue::default();
        queue.push(Priority::Low, 0);
        queue.push(Priority::Low, 1);
        for number in 2..30 {
            queue.push(Priority::Critical, number);
        }
        let order = pop(&mut queue, 30);
        assert_eq!((order[7], order[15]), (0, 1), "{order:?}");
        let others: Vec<u64> = order.into_iter().filter(|number| *number > 1).collect();
        assert_eq!(others, (2..30).collect::<Vec<_>>());
    }

    #[test]
    fn a_removed_key_is_not_taken() {
        let mut queue = PriorityQueue::default();
        for number in 0..3 {
            queue.push(Priority::Normal, number);
        }
        queue.remove(Priority::Normal, 1);
        queue.remove(Priority::Normal, 7);
        queue.remove(Priority::Low, 0);
        assert_eq!(pop(&mut queue, 3), [0, 2]);
    }
}
