//! The requests that wait for their turn: by priority, and the oldest now and then, so that none waits for ever.

use std::collections::VecDeque;

use crate::Priority;
use crate::runtime::in_flight::Key;

/// Every so many turns go to the oldest, whatever its priority.
const AGING: u64 = 8;

/// Requests by the keys under which they are in flight.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// From low to critical; each in the order of arrival, which is that of the keys.
    lanes: [VecDeque<Key>; 4],
    turns: u64,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.lanes.iter().map(VecDeque::len).sum()
    }

    /// Keys grow from one request to the next.
    pub(crate) fn push(&mut self, priority: Priority, key: Key) {
        self.lanes[lane(priority)].push_back(key);
    }

    /// The request whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<Key> {
        self.turns += 1;
        let waiting = self.lanes.iter_mut().filter(|lane| !lane.is_empty());
        let lane = if self.turns.is_multiple_of(AGING) {
            waiting.min_by_key(|lane| lane.front().copied())
        } else {
            waiting.last()
        };
        lane.and_then(VecDeque::pop_front)
    }

    /// Takes a request out that waits no more.
    pub(crate) fn remove(&mut self, priority: Priority, key: Key) {
        let lane = &mut self.lanes[lane(priority)];
        if let Ok(at) = lane.binary_search(&key) {
            lane.remove(at);
        }
    }
}

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

    fn key(number: u64) -> Key {
        Key { number, slot: 0 }
    }

    fn pop(queue: &mut Queue, times: usize) -> Vec<u64> {
        (0..times).filter_map(|_| queue.pop()).map(|key| key.number).collect()
    }

    #[test]
    fn the_most_urgent_is_first_and_among_equals_the_oldest() {
        let mut queue = Queue::default();
        let priorities = [Priority::Low, Priority::High, Priority::Normal, Priority::Critical, Priority::High];
        for (number, priority) in (0..).zip(priorities) {
            queue.push(priority, key(number));
        }
        assert_eq!(queue.len(), 5);
        assert_eq!(pop(&mut queue, 6), [3, 1, 4, 2, 0]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn every_eighth_turn_goes_to_the_oldest_so_that_low_never_starves() {
        let mut queue = Queue::default();
        queue.push(Priority::Low, key(0));
        queue.push(Priority::Low, key(1));
        for number in 2..30 {
            queue.push(Priority::Critical, key(number));
        }
        let order = pop(&mut queue, 30);
        assert_eq!((order[7], order[15]), (0, 1), "{order:?}");
        let others: Vec<u64> = order.into_iter().filter(|number| *number > 1).collect();
        assert_eq!(others, (2..30).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_removed_has_no_turn() {
        let mut queue = Queue::default();
        for number in 0..3 {
            queue.push(Priority::Normal, key(number));
        }
        queue.remove(Priority::Normal, key(1));
        queue.remove(Priority::Normal, key(7));
        queue.remove(Priority::Low, key(0));
        assert_eq!(pop(&mut queue, 3), [0, 2]);
    }
}
