/// Most that is ever offered for a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeeCaps {
    /// Highest fee cap, in wei per gas.
    pub max_fee_per_gas: u128,
    /// Highest fee cap of blobs, in wei per blob gas.
    pub max_fee_per_blob_gas: u128,
    /// Highest tip that is taken over from what L1 suggests, in wei per gas. Replacements may go
    /// beyond it.
    pub max_suggested_tip: u128,
}

impl Default for FeeCaps {
    fn default() -> Self {
        Self {
            max_fee_per_gas: 1_000_000_000_000,
            max_fee_per_blob_gas: 1_000_000_000_000,
            max_suggested_tip: 100_000_000_000,
        }
    }
}

/// What L1 asks for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Market {
    /// Base fee of the newest block, in wei per gas.
    pub base_fee: u128,
    /// Suggested tip, in wei per gas.
    pub tip: u128,
    /// Blob base fee, in wei per blob gas; `None` when it was not asked for.
    pub blob_base_fee: Option<u128>,
}

/// What a transaction offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fees {
    /// Fee cap, in wei per gas.
    pub max_fee_per_gas: u128,
    /// Tip, in wei per gas.
    pub max_priority_fee_per_gas: u128,
    /// Fee cap of blobs, in wei per blob gas; `None` for a transaction without blobs.
    pub max_fee_per_blob_gas: Option<u128>,
}

/// A fee has to be higher than its cap allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fee}: expected at most {cap} wei, found that L1 asks for {needed} wei")]
pub struct CapReached {
    /// Which fee.
    pub fee: FeeKind,
    /// Its cap, in wei per gas or blob gas.
    pub cap: u128,
    /// What is needed, in the same unit.
    pub needed: u128,
}

/// One of the fees that have a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeeKind {
    /// Fee per gas.
    Gas,
    /// Fee per blob gas.
    BlobGas,
}

impl std::fmt::Display for FeeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gas => "fee cap per gas",
            Self::BlobGas => "fee cap per blob gas",
        })
    }
}

const fn within(fee: FeeKind, needed: u128, cap: u128) -> Result<(), CapReached> {
    if needed > cap {
        return Err(CapReached { fee, cap, needed });
    }
    Ok(())
}

/// What nodes ask of a replacement: a tenth more on each fee without blobs, twice as much on each
/// with them (go-ethereum's pools, which the others follow). An eighth leaves room for rounding.
fn raised(fee: u128, has_blobs: bool) -> u128 {
    let more = if has_blobs { fee } else { fee.div_ceil(8) };
    fee.saturating_add(more.max(1))
}

impl Fees {
    /// What a first transaction offers: room for the base fees to double, as far as the caps allow.
    ///
    /// # Errors
    /// When L1 asks for more than the caps allow: such a transaction would only lie in the pool.
    pub fn opening(market: &Market, caps: &FeeCaps) -> Result<Self, CapReached> {
        let tip = market.tip.min(caps.max_suggested_tip);
        within(
            FeeKind::Gas,
            market.base_fee.saturating_add(1),
            caps.max_fee_per_gas,
        )?;
        let max_fee_per_gas = market
            .base_fee
            .saturating_mul(2)
            .saturating_add(tip)
            .min(caps.max_fee_per_gas);
        let max_fee_per_blob_gas = match market.blob_base_fee {
            None => None,
            Some(now) => {
                let now = now.max(1);
                within(FeeKind::BlobGas, now, caps.max_fee_per_blob_gas)?;
                Some(now.saturating_mul(2).min(caps.max_fee_per_blob_gas))
            }
        };
        Ok(Self {
            max_fee_per_gas,
            max_priority_fee_per_gas: tip.min(max_fee_per_gas),
            max_fee_per_blob_gas,
        })
    }

    /// What a transaction offers that takes the place of one with these fees: as much more as nodes
    /// ask for, or what a first one would offer where that is more.
    ///
    /// # Errors
    /// When L1's rule or its fees ask for more than the caps allow.
    pub fn replacement(&self, market: &Market, caps: &FeeCaps) -> Result<Self, CapReached> {
        let has_blobs = self.max_fee_per_blob_gas.is_some();
        let opening = Self::opening(market, caps)?;
        let max_priority_fee_per_gas =
            raised(self.max_priority_fee_per_gas, has_blobs).max(opening.max_priority_fee_per_gas);
        let max_fee_per_gas = raised(self.max_fee_per_gas, has_blobs)
            .max(opening.max_fee_per_gas)
            .max(max_priority_fee_per_gas);
        within(FeeKind::Gas, max_fee_per_gas, caps.max_fee_per_gas)?;
        let max_fee_per_blob_gas = self
            .max_fee_per_blob_gas
            .map(|fee| raised(fee, true).max(opening.max_fee_per_blob_gas.unwrap_or_default()));
        if let Some(fee) = max_fee_per_blob_gas {
            within(FeeKind::BlobGas, fee, caps.max_fee_per_blob_gas)?;
        }
        Ok(Self {
            max_fee_per_gas,
            max_priority_fee_per_gas,
            max_fee_per_blob_gas,
        })
    }

    /// Whether L1 can take a transaction with these fees into its next block.
    pub fn cover(&self, market: &Market) -> bool {
        self.max_fee_per_gas >= market.base_fee
            && match (self.max_fee_per_blob_gas, market.blob_base_fee) {
                (Some(offered), Some(asked)) => offered >= asked,
                _ => true,
            }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn market() -> impl Strategy<Value = Market> {
        (any::<u64>(), any::<u64>(), any::<Option<u64>>()).prop_map(|(base, tip, blob)| Market {
            base_fee: base.into(),
            tip: tip.into(),
            blob_base_fee: blob.map(u128::from),
        })
    }

    fn caps() -> impl Strategy<Value = FeeCaps> {
        any::<[u128; 3]>().prop_map(|[gas, blob, tip]| FeeCaps {
            max_fee_per_gas: gas,
            max_fee_per_blob_gas: blob,
            max_suggested_tip: tip,
        })
    }

    fn within_caps(fees: &Fees, caps: &FeeCaps) -> bool {
        fees.max_fee_per_gas <= caps.max_fee_per_gas
            && fees.max_priority_fee_per_gas <= fees.max_fee_per_gas
            && fees
                .max_fee_per_blob_gas
                .is_none_or(|fee| fee <= caps.max_fee_per_blob_gas)
    }

    proptest! {
        /// Whatever L1 says: fees are within the caps, and enough for the block after this one.
        #[test]
        fn opening_fees_cover_the_market_within_the_caps(market in market(), caps in caps()) {
            if let Ok(fees) = Fees::opening(&market, &caps) {
                prop_assert!(within_caps(&fees, &caps));
                prop_assert!(fees.cover(&market));
            } else {
                prop_assert!(
                    market.base_fee >= caps.max_fee_per_gas
                        || market.blob_base_fee.unwrap_or_default().max(1) > caps.max_fee_per_blob_gas
                );
            }
        }

        /// The rules of go-ethereum's pools, written as they stand there: integer percentages, and
        /// strictly more on each fee.
        #[test]
        fn replacements_are_accepted_by_the_pools_rules(
            first in market(),
            then in proptest::collection::vec(market(), 1..8),
            caps in caps(),
        ) {
            let Ok(mut fees) = Fees::opening(&first, &caps) else { return Ok(()) };
            for mut market in then {
                market.blob_base_fee = fees.max_fee_per_blob_gas.map(|_| market.blob_base_fee.unwrap_or(1));
                let Ok(next) = fees.replacement(&market, &caps) else { return Ok(()) };
                prop_assert!(within_caps(&next, &caps));
                prop_assert!(next.cover(&market));
                let percent = if fees.max_fee_per_blob_gas.is_some() { 200 } else { 110 };
                let accepted = |old: u128, new: u128| {
                    let asked = alloy_primitives::U256::from(old) * alloy_primitives::U256::from(percent)
                        / alloy_primitives::U256::from(100);
                    new > old && alloy_primitives::U256::from(new) >= asked
                };
                prop_assert!(accepted(fees.max_fee_per_gas, next.max_fee_per_gas));
                prop_assert!(accepted(fees.max_priority_fee_per_gas, next.max_priority_fee_per_gas));
                prop_assert_eq!(fees.max_fee_per_blob_gas.is_some(), next.max_fee_per_blob_gas.is_some());
                if let (Some(old), Some(new)) = (fees.max_fee_per_blob_gas, next.max_fee_per_blob_gas) {
                    prop_assert!(accepted(old, new));
                }
                fees = next;
            }
        }
    }
}
