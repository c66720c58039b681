use alloy_primitives::U256;

/// Gas that must be left for a storage write (EIP-2200).
pub(crate) const SENTRY_GAS: u64 = 2_300;
/// Gas of a slot that the transaction has not touched (EIP-2929).
pub(crate) const COLD_SLOT_GAS: u64 = 2_100;

const WARM_GAS: u64 = 100;
const SET_GAS: u64 = 20_000;
/// EIP-2929's 5000 less the cold access, which is charged apart.
const RESET_GAS: u64 = 5_000 - COLD_SLOT_GAS;
/// EIP-3529.
const CLEAR_REFUND: i64 = 4_800;

/// Gas of writing `new` over `current` where the slot was `original` before the transaction,
/// without the cold access (EIP-2200, EIP-2929), and the change of the refund counter (EIP-3529).
pub(crate) fn cost_and_refund(original: U256, current: U256, new: U256) -> (u64, i64) {
    if new == current {
        return (WARM_GAS, 0);
    }
    if original == current {
        if original.is_zero() {
            return (SET_GAS, 0);
        }
        let refund = if new.is_zero() { CLEAR_REFUND } else { 0 };
        return (RESET_GAS, refund);
    }
    let mut refund = 0;
    if !original.is_zero() {
        if current.is_zero() {
            refund -= CLEAR_REFUND;
        } else if new.is_zero() {
            refund += CLEAR_REFUND;
        }
    }
    if original == new {
        let first_write = if original.is_zero() {
            SET_GAS
        } else {
            RESET_GAS
        };
        refund += first_write.saturating_sub(WARM_GAS) as i64;
    }
    (WARM_GAS, refund)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EIP-3529's table of test cases: gas and refund of runs of writes to a warm slot, without
    /// the pushes.
    #[test]
    fn runs_of_writes_cost_what_eip_3529_lists() {
        let cases: [(&[u64], u64, u64, i64); 17] = [
            (&[0, 0], 0, 200, 0),
            (&[0, 1], 0, 20_100, 0),
            (&[1, 0], 0, 20_100, 19_900),
            (&[1, 2], 0, 20_100, 0),
            (&[1, 1], 0, 20_100, 0),
            (&[0, 0], 1, 3_000, 4_800),
            (&[0, 1], 1, 3_000, 2_800),
            (&[0, 2], 1, 3_000, 0),
            (&[2, 0], 1, 3_000, 4_800),
            (&[2, 3], 1, 3_000, 0),
            (&[2, 1], 1, 3_000, 2_800),
            (&[2, 2], 1, 3_000, 0),
            (&[1, 0], 1, 3_000, 4_800),
            (&[1, 2], 1, 3_000, 0),
            (&[1, 1], 1, 200, 0),
            (&[0, 1, 0], 1, 5_900, 7_600),
            (&[1, 0, 1], 0, 40_100, 19_900),
        ];
        for (writes, original, gas, refund) in cases {
            let mut current = U256::from(original);
            let mut total = (0, 0);
            for new in writes {
                let (cost, change) =
                    cost_and_refund(U256::from(original), current, U256::from(*new));
                total = (total.0 + cost, total.1 + change);
                current = U256::from(*new);
            }
            assert_eq!(total, (gas, refund), "{original} then {writes:?}");
        }
    }
}
