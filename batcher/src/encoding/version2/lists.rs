//! Access lists (EIP-2930) and authorization lists (EIP-7702).

use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, U256};

use super::{
    coder::{Coder, plain_bytes},
    kinds as kind,
    model::context,
    words::{Call, Frame, WordCoder},
};
use crate::encoding::budget::Budget;

/// The selector under which storage keys of access lists are predicted; no hash of a function is
/// as likely to be it.
const KEYS: u32 = 0x0000_2930;

impl WordCoder {
    pub(super) fn access_list<C: Coder>(
        &mut self,
        coder: &mut C,
        call: &Call,
        given: &AccessList,
        budget: &mut Budget,
    ) -> Option<AccessList> {
        let count = self.list_count(coder, call.to, given.len())?;
        budget.take(count, size_of::<AccessListItem>())?;
        let mut list = Vec::with_capacity(count);
        for index in 0..count {
            let item = given.get(index);
            let address = item.map(|item| item.address).unwrap_or_default();
            let (address, place) = self.list_address(coder, call.to, address)?;
            let given_keys = item.map_or(&[][..], |item| &item.storage_keys);
            let contexts = [
                context(kind::LIST_KEYS, place, call.to),
                context(kind::LIST_KEYS, place, u32::MAX),
                context(kind::LIST_KEYS, 0, 0),
            ];
            let keys = given_keys.len() as u128;
            let keys = self
                .model
                .number(coder, kind::LIST_KEYS, &contexts, 8, keys);
            let keys = usize::try_from(keys).ok()?;
            budget.take(keys, size_of::<B256>())?;
            let mut storage_keys = Vec::with_capacity(keys);
            let mut frame = Frame {
                selector: KEYS ^ place.wrapping_mul(0x9e37_79b1),
                index: 0,
                left: usize::MAX,
                padding: 0,
            };
            let mut history = [KEYS; 3];
            for key in 0..keys {
                let given = given_keys.get(key).copied().unwrap_or_default();
                let key = self.word(coder, call, &frame, &mut history, given.0)?;
                frame.index = frame.index.wrapping_add(1);
                storage_keys.push(B256::from(key));
            }
            list.push(AccessListItem {
                address,
                storage_keys,
            });
        }
        Some(AccessList(list))
    }

    /// Authorizations. Their signatures go where the transactions' own go.
    pub(super) fn authorizations<C: Coder>(
        &mut self,
        coder: &mut C,
        call: &Call,
        given: &[SignedAuthorization],
        budget: &mut Budget,
    ) -> Option<Vec<SignedAuthorization>> {
        let count = self.list_count(coder, call.to, given.len())?;
        budget.take(count, size_of::<SignedAuthorization>())?;
        let mut list = Vec::with_capacity(count);
        for index in 0..count {
            let given = given.get(index);
            let address = given.map(|given| *given.address()).unwrap_or_default();
            let (address, _) = self.list_address(coder, call.to, address)?;
            let chain_id = given.map(|given| *given.chain_id()).unwrap_or_default();
            let nonce = given.map(|given| given.nonce()).unwrap_or_default();
            let inner = Authorization {
                chain_id: self.list_number(coder, 0, chain_id),
                address,
                nonce: u64::try_from(self.list_number(coder, 1, U256::from(nonce))).ok()?,
            };
            let parity = given.map(|given| given.y_parity()).unwrap_or_default();
            let parity = u8::try_from(self.list_number(coder, 2, U256::from(parity))).ok()?;
            let r = given.map(|given| given.r()).unwrap_or_default();
            let s = given.map(|given| given.s()).unwrap_or_default();
            let r = U256::from_be_bytes(plain_bytes(coder, &r.to_be_bytes::<32>()));
            let s = U256::from_be_bytes(plain_bytes(coder, &s.to_be_bytes::<32>()));
            list.push(SignedAuthorization::new_unchecked(inner, parity, r, s));
        }
        Some(list)
    }

    fn list_count<C: Coder>(&mut self, coder: &mut C, to: u32, given: usize) -> Option<usize> {
        let contexts = [
            context(kind::LIST_COUNT, to, 0),
            context(kind::LIST_COUNT, u32::MAX, 1),
        ];
        let count = self
            .model
            .number(coder, kind::LIST_COUNT, &contexts, 8, given as u128);
        usize::try_from(count).ok()
    }

    fn list_address<C: Coder>(
        &mut self,
        coder: &mut C,
        to: u32,
        given: Address,
    ) -> Option<(Address, u32)> {
        let place = self.addresses.find(&given);
        let contexts = [
            context(kind::LIST_ADDRESS, to, 0),
            context(kind::LIST_ADDRESS, u32::MAX, 1),
        ];
        let known = self
            .model
            .decide(coder, kind::LIST_ADDRESS, &contexts, 0x77, place.is_some());
        if known {
            let place = place.unwrap_or_default();
            let place = self
                .model
                .index(coder, kind::LIST_ADDRESS, &contexts, place);
            return Some((self.addresses.get(place)?, place));
        }
        let address = Address::from(plain_bytes(coder, &given.0.0));
        let place = self.addresses.append(address);
        Some((address, place))
    }

    /// A 256-bit number.
    fn list_number<C: Coder>(&mut self, coder: &mut C, field: u32, given: U256) -> U256 {
        let contexts = [context(kind::LIST_NUMBER, field, 0)];
        let upper = (given >> 128usize).to::<u128>();
        let large = self
            .model
            .decide(coder, kind::LIST_NUMBER, &contexts, 0x77, upper != 0);
        let lower = (given & U256::from(u128::MAX)).to::<u128>();
        let lower = self
            .model
            .number(coder, kind::LIST_NUMBER, &contexts, 8, lower);
        if !large {
            return U256::from(lower);
        }
        let contexts = [context(kind::LIST_NUMBER, field, 1)];
        let upper = self
            .model
            .number(coder, kind::LIST_NUMBER, &contexts, 8, upper);
        U256::from(upper) << 128usize | U256::from(lower)
    }
}
