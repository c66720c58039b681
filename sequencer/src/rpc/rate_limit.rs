//! How much each client may ask: token buckets by address or by key, in whole numbers and bounded
//! memory.

use std::{
    collections::HashMap,
    mem,
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use parking_lot::Mutex;

use super::{
    RpcConfig,
    api_keys::ApiKeys,
    client::{Address, Client},
};

/// Clients that are remembered by address. Further ones share a bucket.
const MOST_CLIENTS: usize = 65_536;
const SECOND: u64 = 1_000_000_000;

/// So much in a second in the long run, and a burst beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// Nanoseconds that one costs.
    cost: u64,
    /// Nanoseconds that may be owed.
    burst: u64,
}

impl Rate {
    /// `None` for a rate of 0: no limit.
    pub(super) fn new(per_second: u32, burst_seconds: u32) -> Option<Self> {
        let per_second = (per_second > 0).then_some(u64::from(per_second))?;
        Some(Self {
            cost: (SECOND / per_second).max(1),
            burst: u64::from(burst_seconds.max(1)).saturating_mul(SECOND),
        })
    }

    /// Most that fits into the bucket.
    const fn most(self) -> u64 {
        // The cost of one is at least 1.
        match self.burst.checked_div(self.cost) {
            Some(most) => most,
            None => 0,
        }
    }
}

/// A client's bucket, by the generic cell rate algorithm: the moment at which it will be full, in
/// nanoseconds since the limits were made. One in the past is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bucket {
    full_at: u64,
}

impl Bucket {
    /// Takes `count` out, or nothing.
    ///
    /// # Errors
    /// The nanoseconds after which there are so many; [`u64::MAX`] when there never are.
    fn take(&mut self, rate: Rate, count: u64, now: u64) -> Result<(), u64> {
        if count > rate.most() {
            return Err(u64::MAX);
        }
        let full_at = self
            .full_at
            .max(now)
            .saturating_add(count.saturating_mul(rate.cost));
        let early = full_at.saturating_sub(now).saturating_sub(rate.burst);
        if early > 0 {
            return Err(early);
        }
        self.full_at = full_at;
        Ok(())
    }

    /// How many are in it.
    fn left(&self, rate: Rate, now: u64) -> u64 {
        let owed = self.full_at.saturating_sub(now);
        rate.burst
            .saturating_sub(owed)
            .checked_div(rate.cost)
            .unwrap_or(0)
    }
}

/// Buckets by address. One that was not touched for as long as a burst takes to come back is full
/// again, as if it had never been: forgetting it changes nothing. So there are two generations, and
/// the older one is forgotten whenever it is that old. When they have no place left, addresses that
/// are in neither share one bucket, so that many addresses are no way to be forgotten.
#[derive(Debug)]
struct Buckets {
    rate: Rate,
    most: usize,
    young: HashMap<Address, Bucket>,
    old: HashMap<Address, Bucket>,
    turned_at: u64,
    others: Bucket,
}

impl Buckets {
    fn new(rate: Rate, most: usize) -> Self {
        Self {
            rate,
            most,
            young: HashMap::new(),
            old: HashMap::new(),
            turned_at: 0,
            others: Bucket::default(),
        }
    }

    fn bucket(&mut self, address: Address, now: u64) -> &mut Bucket {
        let idle = now.saturating_sub(self.turned_at);
        if idle >= self.rate.burst {
            self.old = mem::take(&mut self.young);
            self.turned_at = now;
            if idle / 2 >= self.rate.burst {
                self.old.clear();
            }
        }
        let known = self.young.contains_key(&address) || self.old.contains_key(&address);
        if !known && self.young.len() + self.old.len() >= self.most {
            return &mut self.others;
        }
        let old = &mut self.old;
        self.young
            .entry(address)
            .or_insert_with(|| old.remove(&address).unwrap_or_default())
    }
}

/// The buckets of one kind of thing: requests, or sent transactions.
#[derive(Debug)]
struct Limit {
    by_address: Option<Mutex<Buckets>>,
    by_key: HashMap<B256, (Rate, Mutex<Bucket>)>,
}

impl Limit {
    fn with<T>(&self, client: Client, now: u64, act: impl Fn(&mut Bucket, Rate) -> T) -> Option<T> {
        match client {
            Client::Key(key) => self
                .by_key
                .get(&key)
                .map(|(rate, bucket)| act(&mut bucket.lock(), *rate)),
            Client::Address(address) => self.by_address.as_ref().map(|buckets| {
                let mut buckets = buckets.lock();
                let rate = buckets.rate;
                act(buckets.bucket(address, now), rate)
            }),
        }
    }
}

/// A client has asked for too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany {
    /// How long to wait; `None` when so many at once are never answered.
    pub(super) retry_after: Option<Duration>,
}

/// What clients may ask.
#[derive(Debug)]
pub(super) struct RateLimits {
    started: Instant,
    requests: Limit,
    sends: Limit,
}

impl RateLimits {
    /// The limits of the configuration, and of these keys.
    pub(super) fn new(config: &RpcConfig, keys: &ApiKeys) -> Self {
        let burst = config.rate_limit_burst_s;
        let limit = |per_address: u32, per_key: fn(&super::api_keys::ApiKey) -> u32| Limit {
            by_address: Rate::new(per_address, burst)
                .map(|rate| Mutex::new(Buckets::new(rate, MOST_CLIENTS))),
            by_key: keys
                .iter()
                .filter_map(|key| {
                    let rate = Rate::new(per_key(key), burst)?;
                    Some((key.hash, (rate, Mutex::default())))
                })
                .collect(),
        };
        Self {
            started: Instant::now(),
            requests: limit(config.rate_limit_per_ip, |key| key.requests),
            sends: limit(config.send_limit_per_ip, |key| key.sends),
        }
    }

    /// Counts the requests of a message.
    ///
    /// # Errors
    /// When they are too many; none is counted then.
    pub(super) fn take_requests(&self, client: Client, count: usize) -> Result<(), TooMany> {
        let now = self.now();
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let taken = self
            .requests
            .with(client, now, |bucket, rate| bucket.take(rate, count, now));
        taken.unwrap_or(Ok(())).map_err(|wait| TooMany {
            retry_after: (wait < u64::MAX).then_some(Duration::from_nanos(wait)),
        })
    }

    /// Counts sent transactions, as many of `count` as are allowed. Returns how many, and when one
    /// more is.
    pub(super) fn take_sends(&self, client: Client, count: usize) -> (usize, Duration) {
        let now = self.now();
        let taken = self.sends.with(client, now, |bucket, rate| {
            let wanted = u64::try_from(count).unwrap_or(u64::MAX);
            let granted = wanted.min(bucket.left(rate, now));
            // So many are left.
            let _ = bucket.take(rate, granted, now);
            (usize::try_from(granted).unwrap_or(count), rate.cost)
        });
        let (granted, wait) = taken.unwrap_or((count, 0));
        (granted, Duration::from_nanos(wait))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn address(index: u32) -> Address {
        Address::of(Ipv4Addr::from(index).into())
    }

    proptest! {
        /// In any stretch of time no more is let through than the burst and what the rate brings
        /// meanwhile; and what was refused comes in after the wait that was named.
        #[test]
        fn never_more_than_burst_and_rate(
            per_second in 1..10_000_u32,
            burst_seconds in 1..5_u32,
            asks in proptest::collection::vec((0..SECOND, 1..50_u64), 1..200),
        ) {
            let rate = Rate::new(per_second, burst_seconds).unwrap();
            let mut bucket = Bucket::default();
            let (mut now, mut taken) = (0, Vec::new());
            for (pause, count) in asks {
                now += pause;
                match bucket.take(rate, count, now) {
                    Ok(()) => taken.push((now, count)),
                    Err(u64::MAX) => prop_assert!(count > rate.most()),
                    Err(wait) => {
                        let mut later = bucket;
                        prop_assert!(later.take(rate, count, now + wait - 1).is_err());
                        prop_assert_eq!(later.take(rate, count, now + wait), Ok(()));
                    }
                }
            }
            for (first, (from, _)) in taken.iter().enumerate() {
                let mut total = 0;
                for (at, count) in &taken[first..] {
                    total += count;
                    prop_assert!(total * rate.cost <= rate.burst + (at - from));
                }
            }
        }

        /// Forgetting is not noticed: as long as clients need not share, each is answered as by a
        /// bucket of its own.
        #[test]
        fn forgotten_buckets_are_not_missed(
            asks in proptest::collection::vec((0..SECOND, 0..8_u32, 1..4_u64), 1..300),
        ) {
            let rate = Rate::new(3, 2).unwrap();
            let mut buckets = Buckets::new(rate, 8);
            let mut alone = [Bucket::default(); 8];
            let mut now = 0;
            for (pause, client, count) in asks {
                now += pause;
                let expected = alone[client as usize].take(rate, count, now);
                let found = buckets.bucket(address(client), now).take(rate, count, now);
                prop_assert_eq!(found, expected);
                prop_assert!(buckets.young.len() + buckets.old.len() <= 8);
            }
        }
    }

    #[test]
    fn many_addresses_are_no_way_to_be_forgotten() {
        let rate = Rate::new(10, 1).unwrap();
        let mut buckets = Buckets::new(rate, 100);
        let mut take = |client: u32, now: u64| {
            buckets
                .bucket(address(client), now)
                .take(rate, 10, now)
                .is_ok()
        };
        assert!(take(0, 0));
        // A crowd that fills the table, and the bucket that further ones share.
        let passed = (1..10_000).filter(|client| take(*client, 1)).count();
        assert_eq!(passed, 100);
        assert!(!take(0, 2));
        // They come back as slowly as anybody.
        assert!(!take(0, SECOND / 2));
        assert!(take(0, SECOND + 10));
    }

    #[test]
    fn a_rate_of_nothing_is_no_limit() {
        assert_eq!(Rate::new(0, 5), None);
    }
}
