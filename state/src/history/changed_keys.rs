use alloy_primitives::{Address, U256};

/// The keys of one account that a block changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChangedAccount {
    pub(crate) address: Address,
    /// Whether nonce, balance, code or existence changed: `account_history` has an entry.
    pub(crate) account: bool,
    /// Slots that changed, in no order: `storage_history` has an entry for each.
    pub(crate) slots: Vec<U256>,
}

/// Collects the keys that a block changed, as they are stored: for each account its address, a
/// varint of twice the number of slots plus one if the account itself changed, and the slots, 32
/// bytes each.
#[derive(Debug, Default)]
pub(crate) struct ChangedKeys {
    bytes: Vec<u8>,
    keys: usize,
}

impl ChangedKeys {
    /// Adds an account's keys, each address at most once. `slots` yields exactly `count`.
    pub(crate) fn push<'a>(
        &mut self,
        address: Address,
        account: bool,
        count: usize,
        slots: impl Iterator<Item = &'a U256>,
    ) {
        if !account && count == 0 {
            return;
        }
        self.bytes.extend_from_slice(address.as_slice());
        push_varint(&mut self.bytes, (count as u64) << 1 | u64::from(account));
        for slot in slots {
            self.bytes.extend_from_slice(&slot.to_be_bytes::<32>());
        }
        self.keys += count + usize::from(account);
    }

    /// How many accounts and slots there are.
    pub(crate) const fn len(&self) -> usize {
        self.keys
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Any bytes decode to keys or an error, in memory that the bytes bound.
pub(crate) fn decode_changed_keys(
    mut bytes: &[u8],
) -> Result<Vec<ChangedAccount>, alloy_rlp::Error> {
    let mut accounts = Vec::new();
    while !bytes.is_empty() {
        let (address, rest) = bytes
            .split_first_chunk::<20>()
            .ok_or(alloy_rlp::Error::InputTooShort)?;
        let (number, rest) = take_varint(rest)?;
        let (slots, rest) = usize::try_from(number >> 1)
            .ok()
            .and_then(|count| rest.split_at_checked(count.checked_mul(32)?))
            .ok_or(alloy_rlp::Error::InputTooShort)?;
        let (slots, _) = slots.as_chunks::<32>();
        accounts.push(ChangedAccount {
            address: Address::from(address),
            account: number & 1 == 1,
            slots: slots
                .iter()
                .map(|slot| U256::from_be_bytes(*slot))
                .collect(),
        });
        bytes = rest;
    }
    Ok(accounts)
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_varint(bytes: &[u8]) -> Result<(u64, &[u8]), alloy_rlp::Error> {
    let mut number = 0;
    for (index, byte) in (0..10).zip(bytes) {
        let bits = u64::from(byte & 0x7f);
        let shifted = bits << (7 * index);
        if shifted >> (7 * index) != bits {
            return Err(alloy_rlp::Error::Overflow);
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return Ok((number, bytes.get(index + 1..).unwrap_or_default()));
        }
    }
    Err(alloy_rlp::Error::InputTooShort)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn account() -> impl Strategy<Value = ChangedAccount> {
        let slots = vec(any::<[u8; 32]>().prop_map(U256::from_be_bytes), 0..80);
        (any::<[u8; 20]>(), any::<bool>(), slots).prop_map(|(address, account, slots)| {
            ChangedAccount {
                address: address.into(),
                account,
                slots,
            }
        })
    }

    proptest! {
        #[test]
        fn keys_come_back(accounts in vec(account(), 0..20)) {
            let mut keys = ChangedKeys::default();
            for account in &accounts {
                keys.push(account.address, account.account, account.slots.len(), account.slots.iter());
            }
            let changed: Vec<_> = accounts
                .into_iter()
                .filter(|account| account.account || !account.slots.is_empty())
                .collect();
            let count: usize = changed
                .iter()
                .map(|account| account.slots.len() + usize::from(account.account))
                .sum();
            prop_assert_eq!(keys.len(), count);
            prop_assert_eq!(decode_changed_keys(&keys.into_bytes()), Ok(changed));
        }

        #[test]
        fn numbers_come_back(number in any::<u64>(), rest in vec(any::<u8>(), 0..4)) {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, number);
            bytes.extend_from_slice(&rest);
            prop_assert_eq!(take_varint(&bytes), Ok((number, rest.as_slice())));
        }

        #[test]
        fn any_bytes_decode_or_fail(bytes in vec(any::<u8>(), 0..300)) {
            if let Ok(accounts) = decode_changed_keys(&bytes) {
                let mut keys = ChangedKeys::default();
                for account in &accounts {
                    keys.push(account.address, account.account, account.slots.len(), account.slots.iter());
                }
                prop_assert!(keys.into_bytes().len() <= bytes.len());
            }
        }
    }
}
