use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, U256};
use weft_primitives::RecoveredTransaction;

use super::{
    MAX_LISTED, Predictor,
    call::Call,
    in_context,
    pattern::{Entry, Pattern, Place},
    table::Key,
    template::Template,
};

impl Predictor {
    /// Appends the accounts, and the slots of accounts, that the transaction is expected to look at;
    /// one may come more than once. It costs a hash for each mapping's entry among them.
    ///
    /// It does not count as use in a block.
    pub(crate) fn keys(
        &self,
        transaction: &RecoveredTransaction,
        keys: &mut Vec<(Address, Option<U256>)>,
    ) {
        declared_keys(transaction, keys);
        let Some(call) = Call::new(transaction) else {
            return;
        };
        let key = Key::new(&call);
        let table = self.table.read();
        let Some(shared) = table.get(&key) else {
            return;
        };
        template_keys(shared, &call, keys);
        if let Some(context) = shared.context(&call)
            && let Some(template) = table.get(&in_context(key, context))
        {
            template_keys(template, &call, keys);
        }
    }
}

/// What a transaction says itself: its sender, its receiver, and its access list (EIP-2930).
pub(crate) fn declared_keys(
    transaction: &RecoveredTransaction,
    keys: &mut Vec<(Address, Option<U256>)>,
) {
    keys.push((transaction.signer(), None));
    keys.extend(transaction.to().map(|to| (to, None)));
    let items = transaction
        .access_list()
        .into_iter()
        .flat_map(|list| &list.0);
    let listed = items.flat_map(|item| {
        let slots = item.storage_keys.iter();
        let slots = slots.map(|slot| (item.address, Some(U256::from_be_bytes(slot.0))));
        [(item.address, None)].into_iter().chain(slots)
    });
    keys.extend(listed.take(MAX_LISTED));
}

fn template_keys(template: &Template, call: &Call<'_>, keys: &mut Vec<(Address, Option<U256>)>) {
    let predicted = template
        .patterns
        .iter()
        .filter(|pattern| pattern.is_predicted());
    keys.extend(predicted.filter_map(|pattern| key(pattern, call)));
}

/// What the pattern stands for in this call; `None` when that is not known.
fn key(pattern: &Pattern, call: &Call<'_>) -> Option<(Address, Option<U256>)> {
    let (address, place) = pattern.at(call)?;
    let slot = match place {
        Place::Account => None,
        Place::Slot(slot) => Some(U256::from_be_bytes(slot.0)),
        Place::Entry(entry) => Some(entry.slot()),
        Place::Unknown => return None,
    };
    Some((address, slot))
}

impl Entry<B256> {
    /// The slot, by the state's own hash.
    fn slot(&self) -> U256 {
        let mut start = self.order.entry_slot(&self.base.into(), &self.key);
        if let Some(inner_key) = &self.inner_key {
            start = self.order.entry_slot(&start, inner_key);
        }
        U256::from_be_bytes(start.0).wrapping_add(U256::from(self.offset))
    }
}
