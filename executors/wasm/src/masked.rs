use alloy_primitives::{Address, B256, Bytes, U256, b256};
use weft_executor_core::{Account, StateView};

/// The EVM's STOP.
const STOP: &[u8] = &[0x00];

/// keccak-256 of [`STOP`].
pub(crate) const STOP_HASH: B256 =
    b256!("0xbc36789e7a1e281436464229828f817d6612f7b477d66591ff96a9e064bcc98a");

/// A state in which one account's code is a single STOP.
///
/// The inner layer executes a transaction to a program against this: it does all that a
/// transaction does around its code (checks, fees, nonce, value, authorizations), and the code
/// itself does nothing and costs nothing.
pub(crate) struct Masked<'a, S> {
    pub(crate) state: &'a mut S,
    pub(crate) program: Address,
}

impl<S: StateView> StateView for Masked<'_, S> {
    type Error = S::Error;

    fn account(&mut self, address: Address) -> Result<Option<Account>, S::Error> {
        let account = self.state.account(address)?;
        if address != self.program {
            return Ok(account);
        }
        Ok(account.map(|account| Account {
            code_hash: STOP_HASH,
            ..account
        }))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, S::Error> {
        self.state.storage(address, slot)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, S::Error> {
        if code_hash == STOP_HASH {
            return Ok(Bytes::from_static(STOP));
        }
        self.state.code(code_hash)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, S::Error> {
        self.state.block_hash(number)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    #[test]
    fn the_hash_is_that_of_the_code() {
        assert_eq!(keccak256(STOP), STOP_HASH);
    }
}
