use alloy_primitives::{Address, B256, Bytes, Log, U256, b256, keccak256};

use crate::predeploys;

/// `keccak256("MessagePassed(uint256,address,address,uint256,uint256,bytes,bytes32)")`, the event of
/// the OP Stack's message passer, which weft's withdrawals predeploy emits too.
pub const MESSAGE_PASSED_TOPIC: B256 =
    b256!("0x02a52367d10742d8032712c1bb8e0144ff1ec5ffda1ed7d70bb05a2744955054");

/// A message from L2 to L1: what an account on L2 wants to be called on L1, with the ether that it
/// gave up for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// Position among all withdrawals of the chain, from zero; its leaf in the tree.
    pub index: u64,
    /// Account that started it on L2.
    pub sender: Address,
    /// Account that is called on L1.
    pub target: Address,
    /// Ether that is paid to it, in wei.
    pub value: U256,
    /// Gas that the call on L1 gets at least, in gas.
    pub gas_limit: U256,
    /// Input of the call.
    pub data: Bytes,
}

/// Why a log of the withdrawals predeploy is not a withdrawal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WithdrawalError {
    /// The log's topics are not those of the event.
    #[error(
        "withdrawal log: expected topic {MESSAGE_PASSED_TOPIC} and three indexed fields, found {0} topics"
    )]
    Topics(usize),
    /// The number of the withdrawal does not fit 64 bits.
    #[error("withdrawal log: expected an index below 2^64, found {0}")]
    Index(U256),
    /// The event's data is not what its fields give.
    #[error("withdrawal log: data of {0} bytes is not two numbers, a byte string and a hash")]
    Data(usize),
    /// The hash in the event is not that of its fields.
    #[error("withdrawal log: expected hash {expected}, found {found}")]
    Hash {
        /// Hash of the fields.
        expected: B256,
        /// Hash in the log.
        found: B256,
    },
}

impl Withdrawal {
    /// What identifies a withdrawal, and its leaf:
    /// `keccak256(abi.encode(index, sender, target, value, gasLimit, data))`.
    pub fn hash(&self) -> B256 {
        let mut encoded = Vec::with_capacity(7 * 32 + self.data.len().next_multiple_of(32));
        encoded.extend(U256::from(self.index).to_be_bytes::<32>());
        encoded.extend(self.sender.into_word());
        encoded.extend(self.target.into_word());
        encoded.extend(self.value.to_be_bytes::<32>());
        encoded.extend(self.gas_limit.to_be_bytes::<32>());
        encoded.extend(U256::from(6 * 32).to_be_bytes::<32>());
        encoded.extend(U256::from(self.data.len()).to_be_bytes::<32>());
        encoded.extend_from_slice(&self.data);
        encoded.resize(encoded.len().next_multiple_of(32), 0);
        keccak256(encoded)
    }

    /// The withdrawal that a log of a block stands for; `None` for any other log.
    ///
    /// # Errors
    /// When a log of the predeploy with the event's topic is none: never, unless the chain was
    /// started with another contract at the address.
    pub fn from_log(log: &Log) -> Option<Result<Self, WithdrawalError>> {
        let is_one = log.address == predeploys::WITHDRAWALS
            && log.topics().first() == Some(&MESSAGE_PASSED_TOPIC);
        is_one.then(|| Self::parse(log))
    }

    fn parse(log: &Log) -> Result<Self, WithdrawalError> {
        let &[_, index, sender, target] = log.topics() else {
            return Err(WithdrawalError::Topics(log.topics().len()));
        };
        let index = U256::from_be_bytes(index.0);
        let index = u64::try_from(index).map_err(|_| WithdrawalError::Index(index))?;
        let data = &log.data.data;
        let broken = || WithdrawalError::Data(data.len());
        let word =
            |at: usize| -> Option<[u8; 32]> { data.get(at * 32..)?.first_chunk::<32>().copied() };
        let number = |at| word(at).map(U256::from_be_bytes::<32>).ok_or_else(broken);
        let found = B256::from(word(3).ok_or_else(broken)?);
        if number(2)? != U256::from(4 * 32) {
            return Err(broken());
        }
        let length = usize::try_from(number(4)?).map_err(|_| broken())?;
        let content = data.get(5 * 32..).and_then(|rest| rest.get(..length));
        let withdrawal = Self {
            index,
            sender: Address::from_word(sender),
            target: Address::from_word(target),
            value: number(0)?,
            gas_limit: number(1)?,
            data: Bytes::copy_from_slice(content.ok_or_else(broken)?),
        };
        let expected = withdrawal.hash();
        if expected == found {
            Ok(withdrawal)
        } else {
            Err(WithdrawalError::Hash { expected, found })
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::LogData;
    use proptest::prelude::*;

    use super::*;

    fn log_of(withdrawal: &Withdrawal) -> Log {
        let mut data = Vec::new();
        data.extend(withdrawal.value.to_be_bytes::<32>());
        data.extend(withdrawal.gas_limit.to_be_bytes::<32>());
        data.extend(U256::from(128).to_be_bytes::<32>());
        data.extend(withdrawal.hash());
        data.extend(U256::from(withdrawal.data.len()).to_be_bytes::<32>());
        data.extend_from_slice(&withdrawal.data);
        data.resize(data.len().next_multiple_of(32), 0);
        Log {
            address: predeploys::WITHDRAWALS,
            data: LogData::new_unchecked(
                vec![
                    MESSAGE_PASSED_TOPIC,
                    U256::from(withdrawal.index).into(),
                    withdrawal.sender.into_word(),
                    withdrawal.target.into_word(),
                ],
                data.into(),
            ),
        }
    }

    proptest! {
        #[test]
        fn a_withdrawal_comes_back_from_its_log(
            index: u64,
            accounts: [[u8; 20]; 2],
            numbers: [u64; 2],
            data in proptest::collection::vec(any::<u8>(), 0..100),
            cut in 0usize..64,
        ) {
            let withdrawal = Withdrawal {
                index,
                sender: accounts[0].into(),
                target: accounts[1].into(),
                value: U256::from(numbers[0]),
                gas_limit: U256::from(numbers[1]),
                data: data.into(),
            };
            let mut log = log_of(&withdrawal);
            prop_assert_eq!(Withdrawal::from_log(&log), Some(Ok(withdrawal)));
            let kept = log.data.data.len().saturating_sub(cut + 32);
            log.data.data = log.data.data.slice(..kept);
            prop_assert!(matches!(Withdrawal::from_log(&log), Some(Err(_))));
            log.address = Address::ZERO;
            prop_assert_eq!(Withdrawal::from_log(&log), None);
        }
    }

    #[test]
    fn the_topic_is_that_of_the_op_stack_s_event() {
        let signature = "MessagePassed(uint256,address,address,uint256,uint256,bytes,bytes32)";
        assert_eq!(keccak256(signature), MESSAGE_PASSED_TOPIC);
    }
}
