use std::{collections::BTreeMap, sync::LazyLock};

use alloy_primitives::{Address, B256, U256, keccak256};

use super::{
    Observed,
    call::Call,
    pattern::{Access, Entry, MAX_OFFSETS, Order, Pattern, Place},
};

/// Hashes that one observation may cost: each some 0.3 microseconds.
pub(super) const MAX_HASHES: usize = 2_000;

/// Accounts of an observation that are looked at.
const MAX_ACCOUNTS: usize = 32;

/// Slots of an observation that are told apart.
const MAX_SLOTS: usize = 48;

/// Observed accounts that are tried as keys.
const MAX_ACCOUNT_KEYS: usize = 8;

/// Keys that are tried in mappings of mappings.
const MAX_NESTED_KEYS: usize = 8;

/// A slot below this is taken for a variable's. No hash comes out so small.
const END_OF_VARIABLES: U256 = U256::from_limbs([1 << 16, 0, 0, 0]);

/// Slots of a namespace that are taken for variables.
const NAMESPACE_VARIABLES: U256 = U256::from_limbs([16, 0, 0, 0]);

/// Where the storage of OpenZeppelin's upgradeable contracts starts (EIP-7201).
fn namespace(name: &str) -> U256 {
    let id = U256::from_be_bytes(keccak256(format!("openzeppelin.storage.{name}")).0);
    let hash = keccak256(id.wrapping_sub(U256::ONE).to_be_bytes::<32>());
    U256::from_be_bytes(hash.0) & !U256::from(0xff)
}

/// Slots where mappings lie.
struct Mappings {
    /// Where those of most contracts do.
    common: Vec<U256>,
    others: Vec<U256>,
    namespaces: Vec<U256>,
}

static MAPPINGS: LazyLock<Mappings> = LazyLock::new(|| {
    let mut mappings = Mappings {
        common: (0..=10).map(U256::from).collect(),
        others: (11..=31).map(U256::from).collect(),
        namespaces: Vec::new(),
    };
    // Each with the positions of its mappings.
    let namespaces: [(&str, &[u64]); 9] = [
        ("ERC20", &[0, 1]),
        ("ERC721", &[2, 3, 4, 5]),
        ("ERC1155", &[0, 1]),
        ("AccessControl", &[0]),
        ("Nonces", &[0]),
        ("Ownable", &[]),
        ("Pausable", &[]),
        ("ReentrancyGuard", &[]),
        ("Initializable", &[]),
    ];
    for (name, positions) in namespaces {
        let start = namespace(name);
        let slots = positions
            .iter()
            .map(|position| start.saturating_add(U256::from(*position)));
        if name == "ERC20" {
            mappings.common.extend(slots);
        } else {
            mappings.others.extend(slots);
        }
        mappings.namespaces.push(start);
    }
    mappings
});

/// Whether the slot is a variable's, at the same place in every call.
pub(super) fn is_variable(slot: &B256) -> bool {
    let slot = U256::from_be_bytes(slot.0);
    slot < END_OF_VARIABLES
        || MAPPINGS.namespaces.iter().any(|start| {
            slot.checked_sub(*start)
                .is_some_and(|position| position < NAMESPACE_VARIABLES)
        })
}

/// Finds the mapping entries that slots are, by trying.
struct Search {
    /// In ascending order.
    open: Vec<U256>,
    found: BTreeMap<U256, Entry<B256>>,
    /// Hashes that may still be made.
    budget: usize,
}

impl Search {
    fn is_over(&self) -> bool {
        self.open.is_empty() || self.budget == 0
    }

    fn entry_slot(&mut self, order: Order, mapping: &B256, key: &B256) -> B256 {
        self.budget = self.budget.saturating_sub(1);
        order.entry_slot(mapping, key)
    }

    /// The entry's first slot is `start`.
    fn offer(&mut self, start: B256, entry: Entry<B256>) {
        let start = U256::from_be_bytes(start.0);
        let first = self.open.partition_point(|slot| *slot < start);
        while let Some(slot) = self.open.get(first).copied() {
            let distance = slot.saturating_sub(start);
            if distance >= U256::from(MAX_OFFSETS) {
                break;
            }
            let offset = distance.to::<u8>();
            self.found.insert(slot, Entry { offset, ..entry });
            self.open.remove(first);
        }
    }

    /// The entries that patterns expect in this call. It costs no more than the patterns do.
    fn expected(&mut self, call: &Call<'_>, patterns: &[Pattern]) {
        for pattern in patterns {
            let Some((_, Place::Entry(entry))) = pattern.at(call) else {
                continue;
            };
            if self.open.is_empty() {
                return;
            }
            let mut start = entry.order.entry_slot(&entry.base.into(), &entry.key);
            if let Some(inner_key) = &entry.inner_key {
                start = entry.order.entry_slot(&start, inner_key);
            }
            self.offer(start, entry);
        }
    }

    fn mappings(&mut self, order: Order, bases: &[U256], keys: &[B256]) {
        for base in bases {
            let mapping = (*base).into();
            for key in keys {
                if self.is_over() {
                    return;
                }
                let start = self.entry_slot(order, &mapping, key);
                let entry = Entry {
                    base: *base,
                    order,
                    key: *key,
                    inner_key: None,
                    offset: 0,
                };
                self.offer(start, entry);
            }
        }
    }

    fn nested_mappings(&mut self, order: Order, bases: &[U256], keys: &[B256]) {
        for base in bases {
            let mapping = (*base).into();
            for key in keys {
                let inner = self.entry_slot(order, &mapping, key);
                for inner_key in keys {
                    if self.is_over() {
                        return;
                    }
                    let start = self.entry_slot(order, &inner, inner_key);
                    let entry = Entry {
                        base: *base,
                        order,
                        key: *key,
                        inner_key: Some(*inner_key),
                        offset: 0,
                    };
                    self.offer(start, entry);
                }
            }
        }
    }

    fn everything(&mut self, call: &Call<'_>, observed: &Observed<'_>) {
        if self.is_over() {
            return;
        }
        let mut named = vec![*call.sender()];
        for (_, word) in call.words() {
            if !named.contains(word) {
                named.push(*word);
            }
        }
        let accounts = observed.accounts.iter().map(|(address, _)| *address);
        let mut hidden = Vec::with_capacity(MAX_ACCOUNT_KEYS);
        for address in [call.to()].into_iter().chain(accounts) {
            let word = address.into_word();
            if hidden.len() < MAX_ACCOUNT_KEYS && !named.contains(&word) && !hidden.contains(&word)
            {
                hidden.push(word);
            }
        }
        // Room for the hidden ones: a router is the spender of an allowance.
        let nested: Vec<B256> = named
            .iter()
            .take(MAX_NESTED_KEYS / 4 * 3)
            .chain(&hidden)
            .take(MAX_NESTED_KEYS)
            .copied()
            .collect();
        let Mappings { common, others, .. } = &*MAPPINGS;
        self.mappings(Order::Solidity, common, &named);
        self.mappings(Order::Solidity, common, &hidden);
        self.mappings(Order::Solidity, others, &named);
        self.nested_mappings(Order::Solidity, common, &nested);
        self.mappings(Order::Vyper, common, &nested);
        self.mappings(Order::Vyper, others, &nested);
        self.nested_mappings(Order::Vyper, common, &nested);
    }
}

/// What a transaction was seen at, in the form that all templates share.
pub(super) struct Resolved {
    pub(super) accesses: Vec<Access>,
    /// Whether a search among all mappings found anything; `None` when none was needed.
    pub(super) search: Option<bool>,
}

/// Resolves an observation. `patterns` are those known of the call, and `budget` is the most hashes
/// that a search among all mappings may cost.
pub(super) fn resolve(
    call: &Call<'_>,
    observed: &Observed<'_>,
    patterns: &[Pattern],
    budget: usize,
) -> Resolved {
    let seen = observed.slots.get(..MAX_SLOTS).unwrap_or(observed.slots);
    let rest = observed.slots.get(MAX_SLOTS..).unwrap_or_default();
    let known: Vec<B256> = patterns
        .iter()
        .filter(|pattern| pattern.witness.is_none())
        .filter_map(|pattern| match pattern.at(call) {
            Some((_, Place::Slot(slot))) => Some(slot),
            _ => None,
        })
        .collect();
    let mut open: Vec<U256> = seen
        .iter()
        .map(|(_, slot, _)| *slot)
        .filter(|slot| {
            let word = B256::from(*slot);
            !is_variable(&word) && !is_argument(call, &word) && !known.contains(&word)
        })
        .collect();
    open.sort_unstable();
    open.dedup();
    let mut search = Search {
        open,
        found: BTreeMap::new(),
        budget,
    };
    search.expected(call, patterns);
    let open = search.open.len();
    search.everything(call, observed);
    let successful = (open > 0).then_some(search.open.len() < open);

    let mut accesses: Vec<Access> = Vec::new();
    for (address, written) in observed.accounts.iter().take(MAX_ACCOUNTS) {
        add(&mut accesses, *address, Place::Account, *written);
    }
    for (address, slot, written) in seen {
        let place = match search.found.get(slot) {
            Some(entry) => Place::Entry(*entry),
            None => Place::Slot((*slot).into()),
        };
        add(&mut accesses, *address, place, *written);
    }
    for (address, _, written) in rest {
        if accesses.len() < MAX_ACCOUNTS + 2 * MAX_SLOTS {
            add(&mut accesses, *address, Place::Unknown, *written);
        }
    }
    Resolved {
        accesses,
        search: successful,
    }
}

/// Whether the slot is the sender's address or a word of calldata as it stands.
pub(super) fn is_argument(call: &Call<'_>, slot: &B256) -> bool {
    slot == call.sender() || call.words().any(|(_, word)| word == slot)
}

/// Adds a place, or the write to one that is there.
fn add(accesses: &mut Vec<Access>, account: Address, place: Place<B256>, write: bool) {
    match accesses
        .iter_mut()
        .find(|access| access.account == account && access.place == place)
    {
        Some(access) => access.write |= write,
        None => accesses.push(Access {
            account,
            place,
            write,
        }),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::uint;

    use super::*;

    #[test]
    fn namespaces_are_where_openzeppelin_puts_them() {
        let expected =
            uint!(0x52c63247e1f47db19d5ce0460030c497f067ca4cebf71ba98eeadabe20bace00_U256);
        assert_eq!(namespace("ERC20"), expected);
    }
}
