//! Where a batch lies on L1: calldata or blobs, whichever is cheaper.
//!
//! Blobs have their own price, and are paid for whole. So a small batch may be cheaper as calldata
//! while a large one is cheaper in blobs, and both change with L1's fees.

use serde::{Deserialize, Serialize};

/// Where the data of a batch lies on L1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// In the calldata of the transaction.
    Calldata,
    /// In blobs beside the transaction (EIP-4844).
    Blobs,
}

impl Placement {
    /// Its name in logs, metrics and the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calldata => "calldata",
            Self::Blobs => "blobs",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Calldata => Self::Blobs,
            Self::Blobs => Self::Calldata,
        }
    }
}

impl std::fmt::Display for Placement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What the blobs of one batch hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobSpace {
    /// Most blobs of one batch, at least 1.
    pub max_blobs: usize,
    /// Bytes that each blob adds, at least 1.
    pub bytes_per_blob: usize,
    /// Bytes that the encoding of blobs takes from the first.
    pub overhead_bytes: usize,
}

impl BlobSpace {
    /// Most bytes of one batch.
    pub const fn capacity(&self) -> usize {
        self.bytes_per_blob
            .saturating_mul(self.max_blobs)
            .saturating_sub(self.overhead_bytes)
    }

    /// Blobs that this many bytes take, at least 1.
    pub const fn blobs_needed(&self, bytes: usize) -> usize {
        let bytes = bytes.saturating_add(self.overhead_bytes);
        // `max` is not const.
        let per_blob = if self.bytes_per_blob == 0 {
            1
        } else {
            self.bytes_per_blob
        };
        bytes.div_ceil(per_blob)
    }
}

/// What L1 asks for now, and what may be posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct L1Market {
    /// Base fee, in wei per gas.
    pub base_fee: u128,
    /// Tip that gets a transaction included, in wei per gas.
    pub tip: u128,
    /// Blobs; `None` where none may be posted: L1 has none, or nobody could read them back.
    pub blobs: Option<BlobMarket>,
    /// Where the batch lies whose transaction is pending: one that takes its place must be of the
    /// same kind.
    pub pending: Option<Placement>,
}

/// What blobs cost and hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobMarket {
    /// Blob base fee, in wei per blob gas.
    pub base_fee: u128,
    /// What they hold.
    pub space: BlobSpace,
}

/// How the choice is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacementPolicy {
    /// Most bytes of a batch that is posted as calldata; at least 1.
    pub calldata_bytes: usize,
    /// How much cheaper the other place must be before batches move there, in percent of what they
    /// cost where they are. Keeps fees that go to and fro from moving them each time.
    pub margin_percent: u8,
}

impl Default for PlacementPolicy {
    fn default() -> Self {
        Self {
            calldata_bytes: 120_000,
            margin_percent: 20,
        }
    }
}

/// Gas of one blob (EIP-4844), in blob gas.
const GAS_PER_BLOB: u128 = 131_072;

/// Gas of any transaction.
const TRANSACTION_GAS: u128 = 21_000;

/// Calldata of a transaction without the data: selector, header, and the framing of the data. Hashes
/// make up 5 of the 11 words; of the rest most bytes are zero.
const OTHER_NONZERO_BYTES: u128 = 180;
/// See [`OTHER_NONZERO_BYTES`].
const OTHER_ZERO_BYTES: u128 = 180;

/// Gas of a byte of calldata that is not zero, and of one that is (EIP-2028). Compressed data has
/// next to no zeros.
const BYTE_GAS: u128 = 16;
/// See [`BYTE_GAS`].
const ZERO_BYTE_GAS: u128 = 4;

/// The least that such bytes cost in all (EIP-7623).
const BYTE_FLOOR_GAS: u128 = 40;
/// See [`BYTE_FLOOR_GAS`].
const ZERO_BYTE_FLOOR_GAS: u128 = 10;

/// Gas of the contract's own work on a batch, whatever its size: storage, the event, and settling. It
/// differs by some 20,000 from batch to batch, since some begin a new word of storage.
const CONTRACT_GAS: u128 = 60_000;

/// Gas of copying and hashing a word of calldata, without what memory costs.
const WORD_GAS: u128 = 12;

/// Gas that a transaction with this much data in its calldata uses.
fn calldata_gas(bytes: usize) -> u128 {
    let bytes = bytes as u128;
    let words = bytes.div_ceil(32);
    let memory = words
        .saturating_mul(3)
        .saturating_add(words.saturating_mul(words) / 512);
    let nonzero = bytes.saturating_add(OTHER_NONZERO_BYTES);
    let standard = nonzero
        .saturating_mul(BYTE_GAS)
        .saturating_add(OTHER_ZERO_BYTES * ZERO_BYTE_GAS)
        .saturating_add(words.saturating_mul(WORD_GAS))
        .saturating_add(memory)
        .saturating_add(CONTRACT_GAS);
    let floor = nonzero
        .saturating_mul(BYTE_FLOOR_GAS)
        .saturating_add(OTHER_ZERO_BYTES * ZERO_BYTE_FLOOR_GAS);
    TRANSACTION_GAS.saturating_add(standard.max(floor))
}

/// Gas, without blob gas, that a transaction whose data is in blobs uses.
const fn blob_transaction_gas() -> u128 {
    TRANSACTION_GAS
        + OTHER_NONZERO_BYTES * BYTE_GAS
        + OTHER_ZERO_BYTES * ZERO_BYTE_GAS
        + CONTRACT_GAS
}

impl L1Market {
    /// About what it costs to post so many bytes, in as many batches as that takes, in wei; `None`
    /// for blobs where there are none.
    pub fn cost(
        &self,
        placement: Placement,
        bytes: usize,
        policy: &PlacementPolicy,
    ) -> Option<u128> {
        let gas_price = self.base_fee.saturating_add(self.tip);
        match placement {
            Placement::Calldata => {
                let (full, rest) = split(bytes, policy.calldata_bytes);
                let gas = calldata_gas(policy.calldata_bytes)
                    .saturating_mul(full)
                    .saturating_add(calldata_gas(rest));
                Some(gas.saturating_mul(gas_price))
            }
            Placement::Blobs => {
                let BlobMarket { base_fee, space } = self.blobs?;
                let (full, rest) = split(bytes, space.capacity());
                let blobs = (space.max_blobs as u128)
                    .saturating_mul(full)
                    .saturating_add(space.blobs_needed(rest) as u128);
                let gas = blob_transaction_gas().saturating_mul(full.saturating_add(1));
                let blob_gas = GAS_PER_BLOB.saturating_mul(blobs);
                Some(
                    gas.saturating_mul(gas_price)
                        .saturating_add(blob_gas.saturating_mul(base_fee)),
                )
            }
        }
    }

    /// Where the next batch goes, when so many bytes wait to be posted. `current` is where the last
    /// one went; without it the cheaper place is taken.
    pub fn choose(
        &self,
        bytes: usize,
        current: Option<Placement>,
        policy: &PlacementPolicy,
    ) -> Placement {
        if let Some(pending) = self.pending {
            return pending;
        }
        let (Some(calldata), Some(blobs)) = (
            self.cost(Placement::Calldata, bytes, policy),
            self.cost(Placement::Blobs, bytes, policy),
        ) else {
            return Placement::Calldata;
        };
        let of = |placement| match placement {
            Placement::Calldata => calldata,
            Placement::Blobs => blobs,
        };
        let Some(current) = current else {
            return if blobs < calldata {
                Placement::Blobs
            } else {
                Placement::Calldata
            };
        };
        let kept = u128::from(100_u8.saturating_sub(policy.margin_percent));
        // Division first: costs may be near the limit of the type.
        let bound = (of(current) / 100).saturating_mul(kept);
        if of(current.other()) < bound {
            current.other()
        } else {
            current
        }
    }
}

/// Full parts of this size, and the rest, which is not empty unless all is.
const fn split(bytes: usize, part: usize) -> (u128, usize) {
    // `max` is not const.
    let part = if part == 0 { 1 } else { part };
    let full = bytes.saturating_sub(1) / part;
    (full as u128, bytes - full * part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPACE: BlobSpace = BlobSpace {
        max_blobs: 6,
        bytes_per_blob: 130_048,
        overhead_bytes: 4,
    };

    fn market(base_fee: u64, blob_base_fee: u64) -> L1Market {
        L1Market {
            base_fee: base_fee.into(),
            tip: 1_000_000,
            blobs: Some(BlobMarket {
                base_fee: blob_base_fee.into(),
                space: SPACE,
            }),
            pending: None,
        }
    }

    fn any_market() -> impl Strategy<Value = L1Market> {
        let fee = || prop_oneof![0..1_000_000_000_000_u128, any::<u128>()];
        (
            fee(),
            fee(),
            prop::option::of((fee(), 0..10_usize, 0..200_000_usize, 0..9_usize)),
        )
            .prop_map(|(base_fee, tip, blobs)| L1Market {
                base_fee,
                tip,
                blobs: blobs.map(|(base_fee, max_blobs, bytes_per_blob, overhead_bytes)| {
                    BlobMarket {
                        base_fee,
                        space: BlobSpace {
                            max_blobs,
                            bytes_per_blob,
                            overhead_bytes,
                        },
                    }
                }),
                pending: None,
            })
    }

    fn any_placement() -> impl Strategy<Value = Placement> {
        prop_oneof![Just(Placement::Calldata), Just(Placement::Blobs)]
    }

    fn any_policy() -> impl Strategy<Value = PlacementPolicy> {
        (0..200_000_usize, any::<u8>()).prop_map(|(calldata_bytes, margin_percent)| {
            PlacementPolicy {
                calldata_bytes,
                margin_percent,
            }
        })
    }

    proptest! {
        /// No fee, size or policy is too strange; and what waits is never posted as another kind than
        /// what is pending.
        #[test]
        fn any_market_gives_a_choice(
            market in any_market(),
            bytes in prop_oneof![0..10_000_000_usize, any::<usize>()],
            current in prop::option::of(any_placement()),
            pending in prop::option::of(any_placement()),
            policy in any_policy(),
        ) {
            let chosen = L1Market { pending, ..market }.choose(bytes, current, &policy);
            if let Some(pending) = pending {
                prop_assert_eq!(chosen, pending);
            } else if market.blobs.is_none() {
                prop_assert_eq!(chosen, Placement::Calldata);
            }
        }

        /// Without a history the cheaper place is taken; with one, never a place that is dearer than
        /// the current one, and always one that is cheaper by more than the margin.
        #[test]
        fn moves_save_more_than_the_margin(
            base_fee in 1..1_000_000_000_000_u64,
            blob_base_fee in 1..100_000_000_000_000_u64,
            bytes in 1..5_000_000_usize,
            current in any_placement(),
            margin_percent in 0..=90_u8,
        ) {
            let policy = PlacementPolicy { margin_percent, ..PlacementPolicy::default() };
            let market = market(base_fee, blob_base_fee);
            let cost = |placement| market.cost(placement, bytes, &policy).unwrap();
            let fresh = market.choose(bytes, None, &policy);
            prop_assert!(cost(fresh) <= cost(fresh.other()));
            let chosen = market.choose(bytes, Some(current), &policy);
            let (here, there) = (cost(current), cost(current.other()));
            let saved = here.saturating_sub(there).saturating_mul(100);
            let margin = here.saturating_mul(margin_percent.into());
            if chosen == current {
                // One percent of room for the division.
                prop_assert!(saved <= margin + here / 100 + 100);
            } else {
                prop_assert!(saved > margin);
            }
            // Where it moved to, it stays.
            prop_assert_eq!(market.choose(bytes, Some(chosen), &policy), chosen);
        }

        /// Fees that go up and down within the margin move nothing.
        #[test]
        fn fees_within_the_margin_move_nothing(
            base_fee in 1_000_000_u64..1_000_000_000_000,
            bytes in 1_000..5_000_000_usize,
            wobble in prop::collection::vec(91..=109_u64, 1..20),
            current in any_placement(),
        ) {
            let policy = PlacementPolicy::default();
            // The blob fee at which both cost the same.
            let free = market(base_fee, 0);
            let calldata = free.cost(Placement::Calldata, bytes, &policy).unwrap();
            let execution = free.cost(Placement::Blobs, bytes, &policy).unwrap();
            let unit = market(0, 1);
            let blob_gas = unit.cost(Placement::Blobs, bytes, &policy).unwrap()
                - market(0, 0).cost(Placement::Blobs, bytes, &policy).unwrap();
            prop_assume!(calldata > execution);
            let even = u64::try_from((calldata - execution) / blob_gas).unwrap();
            prop_assume!(even > 1_000);
            for percent in wobble {
                let market = market(base_fee, even / 100 * percent);
                prop_assert_eq!(market.choose(bytes, Some(current), &policy), current);
            }
        }

        /// More bytes never cost less.
        #[test]
        fn cost_grows_with_size(
            base_fee in 1..1_000_000_000_u64,
            blob_base_fee in 1..1_000_000_000_u64,
            bytes in 1..3_000_000_usize,
            more in 0..300_000_usize,
            placement in any_placement(),
        ) {
            let policy = PlacementPolicy::default();
            let market = market(base_fee, blob_base_fee);
            prop_assert!(
                market.cost(placement, bytes, &policy) <= market.cost(placement, bytes + more, &policy)
            );
        }
    }

    /// At equal fees per gas a full blob is forty times cheaper than calldata, while a handful of
    /// bytes is cheaper as calldata: the blob is paid for whole.
    #[test]
    fn size_decides_at_equal_fees() {
        let policy = PlacementPolicy::default();
        let market = market(1_000_000_000, 1_000_000_000);
        assert_eq!(market.choose(500_000, None, &policy), Placement::Blobs);
        assert_eq!(market.choose(1_000, None, &policy), Placement::Calldata);
    }

    /// The floor of EIP-7623 is what large calldata costs.
    #[test]
    fn large_calldata_costs_forty_gas_a_byte() {
        let gas = calldata_gas(120_000);
        assert!((4_800_000..4_850_000).contains(&gas), "{gas}");
    }
}
