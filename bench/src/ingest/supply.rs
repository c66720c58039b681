//! Signed transactions, ready before the clock starts.

use std::{
    fs::File,
    io::{BufWriter, Write},
    os::unix::fs::FileExt,
    path::Path,
};

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use super::{
    SigningError, TransactionKind,
    account::{Account, Action, Signed},
};
use crate::contracts::Token;

/// Bytes that one stored transaction takes: length, hash, encoding and what is left over.
const SLOT: usize = 256;
/// Bytes before the encoding.
const HEAD: usize = 1 + B256::len_bytes();
/// Most transactions that are kept in memory; more go to a file.
const IN_MEMORY: usize = 1 << 20;
/// Transactions that are signed before they are put away.
const CHUNK: usize = 1 << 16;
/// Gas limit of a token's transfer to an account that holds none yet.
const TOKEN_GAS: u64 = 80_000;

/// Who sends what to whom: transaction `n` is of sender `n % senders`, at the nonce `n / senders`
/// above where the sender is.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) kind: TransactionKind,
    pub(crate) chain_id: u64,
    pub(crate) seed: u64,
    pub(crate) senders: Vec<Account>,
    pub(crate) receivers: Vec<Address>,
    /// The token; not used by transfers.
    pub(crate) token: Address,
}

impl Plan {
    /// Most that one transaction can cost, in wei.
    pub(crate) fn most_cost(&self) -> U256 {
        let receiver = Address::ZERO;
        match self.kind {
            TransactionKind::Transfers => Action::transfer(receiver, U256::ONE).cost(),
            _ => self.token_transfer(receiver).cost(),
        }
    }

    fn token_transfer(&self, to: Address) -> Action {
        let call = Token::transferCall {
            to,
            value: U256::ONE,
        };
        Action {
            to: self.token.into(),
            value: U256::ZERO,
            input: call.abi_encode().into(),
            gas_limit: TOKEN_GAS,
        }
    }

    /// Receivers in an order without a pattern (splitmix64), and the same for the same seed.
    fn receiver(&self, number: u64) -> Address {
        let mut mixed = self
            .seed
            .wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let index = mixed % (self.receivers.len() as u64).max(1);
        self.receivers
            .get(index as usize)
            .copied()
            .unwrap_or_default()
    }

    fn action(&self, number: u64) -> Action {
        let to = self.receiver(number);
        let token = match self.kind {
            TransactionKind::Transfers => false,
            TransactionKind::Erc20 => true,
            // Each sender does one and the other in turn, and so does each round of the senders.
            TransactionKind::Mix => {
                let senders = (self.senders.len() as u64).max(1);
                (number % senders + number / senders).is_multiple_of(2)
            }
        };
        if token {
            self.token_transfer(to)
        } else {
            Action::transfer(to, U256::ONE)
        }
    }

    fn sign(&self, number: usize) -> Result<Signed, SigningError> {
        let count = self.senders.len().max(1);
        let number_u64 = number as u64;
        let Some(sender) = self.senders.get(number % count) else {
            return Err(SigningError::NotThere);
        };
        let nonce = sender.nonce + (number / count) as u64;
        sender.sign_at(self.chain_id, nonce, self.action(number_u64))
    }

    /// Signs the next `count` transactions on all cores. `folder` is for a file that takes what
    /// does not fit in memory.
    pub(crate) fn supply(&self, count: usize, folder: &Path) -> Result<Supply, SigningError> {
        self.store(count, IN_MEMORY, folder)
    }

    fn store(&self, count: usize, in_memory: usize, folder: &Path) -> Result<Supply, SigningError> {
        let mut store = if count <= in_memory {
            Writer::Memory(Vec::with_capacity(count))
        } else {
            let file = tempfile::tempfile_in(folder).map_err(SigningError::Store)?;
            Writer::File(BufWriter::new(file))
        };
        let mut start = 0;
        while start < count {
            let end = count.min(start + CHUNK);
            let signed: Vec<[u8; SLOT]> = (start..end)
                .into_par_iter()
                .with_min_len(64)
                .map(|number| slot(&self.sign(number)?))
                .collect::<Result<_, SigningError>>()?;
            store.push(&signed).map_err(SigningError::Store)?;
            start = end;
        }
        Ok(Supply {
            store: store.finish().map_err(SigningError::Store)?,
            count,
        })
    }

    /// Nonces go on after what was signed and taken.
    pub(crate) fn advance(&mut self, taken: &[u64]) {
        for (sender, taken) in self.senders.iter_mut().zip(taken) {
            sender.nonce += taken;
        }
    }
}

fn slot(signed: &Signed) -> Result<[u8; SLOT], SigningError> {
    let mut slot = [0; SLOT];
    let too_large = || SigningError::TooLarge {
        found: signed.raw.len(),
        limit: SLOT - HEAD,
    };
    let length = u8::try_from(signed.raw.len()).map_err(|_| too_large())?;
    let (head, rest) = slot.split_at_mut(HEAD);
    if let Some((first, hash)) = head.split_first_mut() {
        *first = length;
        hash.copy_from_slice(signed.hash.as_slice());
    }
    rest.get_mut(..signed.raw.len())
        .ok_or_else(too_large)?
        .copy_from_slice(&signed.raw);
    Ok(slot)
}

#[derive(Debug)]
enum Writer {
    Memory(Vec<[u8; SLOT]>),
    File(BufWriter<File>),
}

impl Writer {
    fn push(&mut self, slots: &[[u8; SLOT]]) -> std::io::Result<()> {
        match self {
            Self::Memory(all) => {
                all.extend_from_slice(slots);
                Ok(())
            }
            Self::File(file) => slots.iter().try_for_each(|slot| file.write_all(slot)),
        }
    }

    fn finish(self) -> std::io::Result<Store> {
        Ok(match self {
            Self::Memory(slots) => Store::Memory(slots),
            Self::File(file) => {
                let file = file.into_inner().map_err(|error| error.into_error())?;
                // What is still to be written must not compete with the node for the disk.
                file.sync_all()?;
                Store::File(file)
            }
        })
    }
}

#[derive(Debug)]
enum Store {
    Memory(Vec<[u8; SLOT]>),
    File(File),
}

/// Signed transactions by number.
#[derive(Debug)]
pub(crate) struct Supply {
    store: Store,
    count: usize,
}

impl Supply {
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// The transaction with this number.
    pub(crate) fn get(&self, number: usize) -> Result<Ready, SigningError> {
        let slot = match &self.store {
            Store::Memory(slots) => *slots.get(number).ok_or(SigningError::NotThere)?,
            Store::File(file) => {
                let mut slot = [0; SLOT];
                file.read_exact_at(&mut slot, (number * SLOT) as u64)
                    .map_err(SigningError::Store)?;
                slot
            }
        };
        Ok(Ready(slot))
    }
}

/// A signed transaction as it is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready([u8; SLOT]);

impl Ready {
    pub(crate) fn hash(&self) -> B256 {
        self.0.get(1..HEAD).map_or(B256::ZERO, B256::from_slice)
    }

    /// EIP-2718 encoding.
    pub(crate) fn raw(&self) -> &[u8] {
        let [length, ..] = self.0;
        self.0
            .get(HEAD..HEAD + usize::from(length))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use alloy_consensus::{Transaction as _, TxEnvelope, transaction::SignerRecoverable};
    use alloy_eips::eip2718::Decodable2718;

    use super::*;

    fn plan(kind: TransactionKind) -> Plan {
        Plan {
            kind,
            chain_id: 31337,
            seed: 5,
            senders: (0..3)
                .map(|number| Account::of_seed(5, number).unwrap())
                .collect(),
            receivers: (1..=4).map(Address::repeat_byte).collect(),
            token: Address::repeat_byte(0xee),
        }
    }

    #[test]
    fn each_is_its_senders_next_and_of_the_workload() {
        for kind in [
            TransactionKind::Transfers,
            TransactionKind::Erc20,
            TransactionKind::Mix,
        ] {
            let mut plan = plan(kind);
            plan.advance(&[0, 10, 0]);
            let supply = plan.supply(12, &std::env::temp_dir()).unwrap();
            let mut tokens = [0; 3];
            for number in 0..12 {
                let ready = supply.get(number).unwrap();
                let envelope = TxEnvelope::decode_2718_exact(ready.raw()).unwrap();
                assert_eq!(*envelope.tx_hash(), ready.hash());
                let sender = &plan.senders[number % 3];
                assert_eq!(envelope.recover_signer().unwrap(), sender.address());
                assert_eq!(envelope.nonce(), sender.nonce + number as u64 / 3);
                if envelope.to() == Some(plan.token) {
                    tokens[number % 3] += 1;
                } else {
                    assert!(plan.receivers.contains(&envelope.to().unwrap()));
                    assert_eq!(envelope.value(), U256::ONE);
                }
            }
            let expected = match kind {
                TransactionKind::Transfers => 0,
                TransactionKind::Erc20 => 4,
                TransactionKind::Mix => 2,
            };
            assert_eq!(tokens, [expected; 3], "{kind:?}");
            assert!(supply.get(12).is_err());
        }
    }

    #[test]
    fn a_file_holds_what_memory_would() {
        let plan = plan(TransactionKind::Mix);
        let folder = std::env::temp_dir();
        let memory = plan.store(50, 50, &folder).unwrap();
        let file = plan.store(50, 49, &folder).unwrap();
        assert!(matches!(file.store, Store::File(_)));
        assert_eq!((memory.len(), file.len()), (50, 50));
        for number in 0..50 {
            let (memory, file) = (memory.get(number).unwrap(), file.get(number).unwrap());
            assert_eq!(memory.0, file.0);
        }
        assert!(file.get(50).is_err());
    }
}
