//! Requests of many connections that wait for the same threads, served in turn.

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroUsize,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Whose turn it is: a connection, by a number that no other open connection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ConnectionKey(pub(super) u64);

/// Why a request was not queued. It is dropped: whoever waits for its answer is told this instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// The connection has as many requests waiting as one may have.
    #[error("server is busy: {0} requests of this connection are waiting, try later")]
    Connection(NonZeroUsize),
    /// What room is left is kept for connections that have fewer requests waiting.
    #[error("server is busy: {waiting} requests are waiting, try later")]
    Server {
        /// Requests of all connections.
        waiting: usize,
    },
    /// The queue takes nothing more in.
    #[error("server is stopping")]
    Closed,
}

/// A bounded queue that many connections push into and that is emptied in batches: one request of
/// each connection in turn, those of one connection in their order.
///
/// A connection may have at most as many requests waiting as there are free places, and never more
/// than its own bound. So one connection alone can take half of the places, `n` greedy ones settle at
/// about `1 / (n + 1)` each, and one that has nothing waiting is refused only when every place is
/// taken: greed makes the greedy wait, not the others.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    most: NonZeroUsize,
    most_per_connection: NonZeroUsize,
    state: Mutex<State<T>>,
    /// Tells one waiting consumer that there is something to pop, or that the queue is closed.
    changed: Notify,
}

#[derive(Debug)]
struct State<T> {
    /// Requests by connection; never an empty list.
    waiting: HashMap<ConnectionKey, VecDeque<T>>,
    /// The keys of `waiting`, each once: whose turn is next.
    turns: VecDeque<ConnectionKey>,
    /// Requests in `waiting`.
    total: usize,
    closed: bool,
}

impl<T> FairQueue<T> {
    /// An empty queue. `most` requests wait at a time, `most_per_connection` of one connection.
    pub(super) fn new(most: NonZeroUsize, most_per_connection: NonZeroUsize) -> Self {
        Self {
            most,
            most_per_connection,
            state: Mutex::new(State {
                waiting: HashMap::new(),
                turns: VecDeque::new(),
                total: 0,
                closed: false,
            }),
            changed: Notify::new(),
        }
    }

    /// Puts a request behind the others of its connection, and returns how many requests wait then:
    /// 1 says that the queue was empty.
    ///
    /// # Errors
    /// [`Busy`] when there is no place for it; the queue is then as it was.
    pub(super) fn push(&self, connection: ConnectionKey, request: T) -> Result<usize, Busy> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Busy::Closed);
        }
        let own = state.waiting.get(&connection).map_or(0, VecDeque::len);
        if own >= self.most_per_connection.get() {
            return Err(Busy::Connection(self.most_per_connection));
        }
        if own >= self.most.get().saturating_sub(state.total) {
            return Err(Busy::Server {
                waiting: state.total,
            });
        }
        state
            .waiting
            .entry(connection)
            .or_default()
            .push_back(request);
        if own == 0 {
            state.turns.push_back(connection);
        }
        state.total += 1;
        let total = state.total;
        drop(state);
        self.changed.notify_one();
        Ok(total)
    }

    /// Takes at most `most` requests out: one of each connection in turn, starting with the one that
    /// has waited longest for its turn.
    pub(super) fn pop_batch(&self, most: usize) -> Vec<T> {
        let mut state = self.state.lock();
        let mut batch = Vec::with_capacity(most.min(state.total));
        while batch.len() < most
            && let Some(connection) = state.turns.pop_front()
        {
            let Some(own) = state.waiting.get_mut(&connection) else {
                continue;
            };
            batch.extend(own.pop_front());
            if own.is_empty() {
                state.waiting.remove(&connection);
            } else {
                state.turns.push_back(connection);
            }
        }
        state.total -= batch.len();
        let more = state.total > 0;
        drop(state);
        if more {
            self.changed.notify_one();
        }
        batch
    }

    /// Requests that wait.
    pub(super) fn len(&self) -> usize {
        self.state.lock().total
    }

    /// Waits until there is something to pop: `true`. Once the queue is closed and empty: `false`.
    pub(super) async fn ready(&self) -> bool {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.state.lock();
                if state.total > 0 {
                    return true;
                }
                if state.closed {
                    // Another consumer may be waiting for the same news.
                    self.changed.notify_one();
                    return false;
                }
            }
            changed.await;
        }
    }

    /// Takes nothing more in; what waits can still be popped.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc, thread};

    use proptest::prelude::*;

    use super::*;

    fn queue<T>(most: usize, most_per_connection: usize) -> FairQueue<T> {
        let bound = |most| NonZeroUsize::new(most).unwrap();
        FairQueue::new(bound(most), bound(most_per_connection))
    }

    #[test]
    fn connections_take_turns_and_keep_their_own_order() {
        let queue = queue(100, 100);
        for request in 0..10 {
            queue.push(ConnectionKey(1), (1, request)).unwrap();
        }
        queue.push(ConnectionKey(2), (2, 0)).unwrap();
        queue.push(ConnectionKey(3), (3, 0)).unwrap();
        queue.push(ConnectionKey(2), (2, 1)).unwrap();
        assert_eq!(queue.pop_batch(4), [(1, 0), (2, 0), (3, 0), (1, 1)]);
        assert_eq!(queue.pop_batch(3), [(2, 1), (1, 2), (1, 3)]);
        assert_eq!(queue.len(), 6);
    }

    #[test]
    fn one_connection_alone_takes_half_of_the_places() {
        let queue = queue(100, 1000);
        let taken = (0..200)
            .take_while(|request| queue.push(ConnectionKey(1), *request).is_ok())
            .count();
        assert_eq!(taken, 50);
        assert_eq!(
            queue.push(ConnectionKey(1), 0),
            Err(Busy::Server { waiting: 50 })
        );
        assert_eq!(queue.push(ConnectionKey(2), 0), Ok(51));
    }

    #[test]
    fn the_bound_of_a_connection_is_kept_and_named() {
        let queue = queue(100, 2);
        queue.push(ConnectionKey(1), ()).unwrap();
        queue.push(ConnectionKey(1), ()).unwrap();
        let refused = queue.push(ConnectionKey(1), ()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "server is busy: 2 requests of this connection are waiting, try later"
        );
        queue.pop_batch(1);
        assert_eq!(queue.push(ConnectionKey(1), ()), Ok(2));
    }

    #[test]
    fn greedy_connections_settle_at_equal_shares() {
        let queue = queue(1000, 1000);
        let greedy: Vec<_> = (0..4).map(ConnectionKey).collect();
        // The first takes what it can before the others come.
        while queue.push(greedy[0], 0).is_ok() {}
        for _ in 0..2000 {
            for connection in &greedy {
                while queue.push(*connection, connection.0).is_ok() {}
            }
            queue.pop_batch(10);
        }
        let state = queue.state.lock();
        for connection in &greedy {
            let own = state.waiting[connection].len();
            assert!((180..=220).contains(&own), "{connection:?}: {own}");
        }
    }

    #[tokio::test]
    async fn a_closed_queue_is_emptied_and_then_ends() {
        let queue = Arc::new(queue(10, 10));
        queue.push(ConnectionKey(1), 7).unwrap();
        queue.close();
        assert_eq!(queue.push(ConnectionKey(1), 8), Err(Busy::Closed));
        assert!(queue.ready().await);
        assert_eq!(queue.pop_batch(10), [7]);
        let ends: Vec<_> = (0..3)
            .map(|_| {
                let queue = Arc::clone(&queue);
                tokio::spawn(async move { queue.ready().await })
            })
            .collect();
        for end in ends {
            assert!(!end.await.unwrap());
        }
    }

    /// Several producers on threads, several consumers on a runtime: nothing is lost or doubled, no
    /// consumer sleeps while there is work.
    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn many_threads_lose_nothing() {
        const EACH: u64 = 5000;
        let queue = Arc::new(queue(64, 64));
        let consumers: Vec<_> = (0..3)
            .map(|_| {
                let queue = Arc::clone(&queue);
                tokio::spawn(async move {
                    let mut taken = Vec::new();
                    while queue.ready().await {
                        taken.extend(queue.pop_batch(7));
                    }
                    taken
                })
            })
            .collect();
        let producers: Vec<_> = (0..4)
            .map(|connection| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    for request in 0..EACH {
                        while queue
                            .push(ConnectionKey(connection), (connection, request))
                            .is_err()
                        {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        tokio::task::spawn_blocking(move || {
            for producer in producers {
                producer.join().unwrap();
            }
        })
        .await
        .unwrap();
        queue.close();
        let mut all = Vec::new();
        for consumer in consumers {
            all.extend(consumer.await.unwrap());
        }
        all.sort_unstable();
        let expected: Vec<_> = (0..4)
            .flat_map(|connection| (0..EACH).map(move |request| (connection, request)))
            .collect();
        assert_eq!(all, expected);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(u64),
        Pop(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..6_u64).prop_map(Step::Push),
            1 => (0..8_usize).prop_map(Step::Pop),
        ]
    }

    proptest! {
        /// Against the rules said in the plainest way.
        #[test]
        fn as_the_model(
            most in 1..20_usize,
            most_per_connection in 1..20_usize,
            steps in proptest::collection::vec(step(), 0..200),
        ) {
            let queue = queue(most, most_per_connection);
            // Requests in order of arrival, and connections in order of turn.
            let mut waiting: Vec<(u64, u64)> = Vec::new();
            let mut turns: Vec<u64> = Vec::new();
            for (request, step) in (0_u64..).zip(steps) {
                match step {
                    Step::Push(connection) => {
                        let own = waiting.iter().filter(|(of, _)| *of == connection).count();
                        let expected = if own >= most_per_connection {
                            Err(Busy::Connection(NonZeroUsize::new(most_per_connection).unwrap()))
                        } else if own >= most - waiting.len() {
                            Err(Busy::Server { waiting: waiting.len() })
                        } else {
                            if own == 0 {
                                turns.push(connection);
                            }
                            waiting.push((connection, request));
                            Ok(waiting.len())
                        };
                        let pushed = queue.push(ConnectionKey(connection), (connection, request));
                        prop_assert_eq!(pushed, expected);
                        // Whoever has nothing waiting comes in as long as there is a place.
                        if own == 0 && pushed.is_err() {
                            prop_assert_eq!(waiting.len(), most);
                        }
                    }
                    Step::Pop(count) => {
                        let mut expected = Vec::new();
                        while expected.len() < count && !turns.is_empty() {
                            let connection = turns.remove(0);
                            let first = waiting.iter().position(|(of, _)| *of == connection);
                            expected.push(waiting.remove(first.unwrap()));
                            if waiting.iter().any(|(of, _)| *of == connection) {
                                turns.push(connection);
                            }
                        }
                        prop_assert_eq!(queue.pop_batch(count), expected);
                    }
                }
                prop_assert!(waiting.len() <= most);
                prop_assert_eq!(queue.len(), waiting.len());
                let state = queue.state.lock();
                prop_assert_eq!(state.waiting.len(), state.turns.len());
                prop_assert!(state.waiting.values().all(|own| !own.is_empty()));
            }
        }

        /// A connection that keeps its requests coming never waits longer than one turn of each other
        /// connection, however many requests those have.
        #[test]
        fn nobody_waits_longer_than_one_turn_of_each_other(
            crowds in proptest::collection::vec(0..50_usize, 1..10),
        ) {
            let queue = queue(10_000, 100);
            let mut others = BTreeMap::new();
            for (connection, crowd) in (1_u64..).zip(&crowds) {
                for _ in 0..*crowd {
                    queue.push(ConnectionKey(connection), connection).unwrap();
                }
                others.insert(connection, *crowd);
            }
            queue.push(ConnectionKey(0), 0).unwrap();
            let ahead = others.values().filter(|crowd| **crowd > 0).count();
            let batch = queue.pop_batch(ahead + 1);
            prop_assert_eq!(batch.last(), Some(&0));
        }
    }
}
