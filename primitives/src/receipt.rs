use alloy_consensus::Typed2718;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bloom, Log, logs_bloom};
use alloy_rlp::{BufMut, Decodable, Encodable, Header, RlpDecodable, RlpEncodable};

use crate::TransactionType;

/// The outcome of one transaction as the receipts root commits to it.
///
/// Its RLP form is what the store keeps; the consensus form, with type byte and
/// bloom, is [`Encodable2718`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// EIP-2718 type byte of the transaction.
    pub tx_type: u8,
    /// Whether execution ended without revert or halt (EIP-658).
    pub success: bool,
    /// Gas used in the block up to and including this transaction, in gas.
    pub cumulative_gas_used: u64,
    /// Logs in the order in which they were emitted.
    pub logs: Vec<Log>,
    /// Nonce of a deposit's sender before the deposit; `None` for any other transaction.
    /// Encoded as OP Stack's receipts of version 1 (Canyon) are.
    pub deposit_nonce: Option<u64>,
}

/// Version field of a deposit's receipt: OP Stack's Canyon.
const DEPOSIT_RECEIPT_VERSION: u64 = 1;

impl Receipt {
    /// The bloom filter over the logs.
    pub fn bloom(&self) -> Bloom {
        logs_bloom(&self.logs)
    }

    /// Root of the receipts trie of a block (`receiptsRoot`).
    pub fn root(receipts: &[Self]) -> B256 {
        alloy_consensus::proofs::calculate_receipt_root(receipts)
    }

    /// Union of the receipts' blooms (`logsBloom`).
    pub fn block_bloom(receipts: &[Self]) -> Bloom {
        receipts
            .iter()
            .fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom())
    }

    fn fields_header(&self, bloom: &Bloom) -> Header {
        let deposit = self
            .deposit_nonce
            .map_or(0, |nonce| nonce.length() + DEPOSIT_RECEIPT_VERSION.length());
        Header {
            list: true,
            payload_length: self.success.length()
                + self.cumulative_gas_used.length()
                + bloom.length()
                + self.logs.length()
                + deposit,
        }
    }
}

/// The stored form: a nonce of zero and no nonce must stay apart, which RLP's trailing optionals
/// cannot say, so the nonce is a list of none or one.
#[derive(RlpEncodable, RlpDecodable)]
struct StoredReceipt {
    tx_type: u8,
    success: bool,
    cumulative_gas_used: u64,
    logs: Vec<Log>,
    deposit_nonce: Vec<u64>,
}

impl Encodable for Receipt {
    fn encode(&self, out: &mut dyn BufMut) {
        StoredReceipt {
            tx_type: self.tx_type,
            success: self.success,
            cumulative_gas_used: self.cumulative_gas_used,
            logs: self.logs.clone(),
            deposit_nonce: self.deposit_nonce.into_iter().collect(),
        }
        .encode(out);
    }
}

impl Decodable for Receipt {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let stored = StoredReceipt::decode(buf)?;
        if stored.deposit_nonce.len() > 1 {
            return Err(alloy_rlp::Error::Custom("more than one deposit nonce"));
        }
        Ok(Self {
            tx_type: stored.tx_type,
            success: stored.success,
            cumulative_gas_used: stored.cumulative_gas_used,
            logs: stored.logs,
            deposit_nonce: stored.deposit_nonce.first().copied(),
        })
    }
}

impl Typed2718 for Receipt {
    fn ty(&self) -> u8 {
        self.tx_type
    }
}

impl Encodable2718 for Receipt {
    fn encode_2718_len(&self) -> usize {
        let header = self.fields_header(&Bloom::ZERO);
        usize::from(self.tx_type != TransactionType::Legacy as u8)
            + header.length()
            + header.payload_length
    }

    fn encode_2718(&self, out: &mut dyn BufMut) {
        if self.tx_type != TransactionType::Legacy as u8 {
            out.put_u8(self.tx_type);
        }
        let bloom = self.bloom();
        self.fields_header(&bloom).encode(out);
        self.success.encode(out);
        self.cumulative_gas_used.encode(out);
        bloom.encode(out);
        self.logs.encode(out);
        if let Some(nonce) = self.deposit_nonce {
            nonce.encode(out);
            DEPOSIT_RECEIPT_VERSION.encode(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, Bytes};
    use op_alloy_consensus::{OpReceiptEnvelope, OpTxType};

    use super::*;

    /// The consensus form must be the one that OP Stack's own crate writes.
    #[test]
    fn consensus_encoding_equals_op_stacks() {
        let log = Log::new_unchecked(
            Address::repeat_byte(7),
            vec![B256::repeat_byte(1), B256::repeat_byte(2)],
            Bytes::from_static(b"data"),
        );
        for (op_type, nonce) in [
            (OpTxType::Legacy, None),
            (OpTxType::Eip2930, None),
            (OpTxType::Eip1559, None),
            (OpTxType::Eip7702, None),
            (OpTxType::Deposit, Some(0)),
            (OpTxType::Deposit, Some(300)),
        ] {
            for logs in [vec![], vec![log.clone(), log.clone()]] {
                let op = OpReceiptEnvelope::from_parts(
                    true,
                    123_456,
                    &logs,
                    op_type,
                    nonce,
                    nonce.map(|_| 1),
                );
                let ours = Receipt {
                    tx_type: op_type as u8,
                    success: true,
                    cumulative_gas_used: 123_456,
                    logs,
                    deposit_nonce: nonce,
                };
                assert_eq!(ours.encoded_2718(), op.encoded_2718());
                assert_eq!(ours.encode_2718_len(), op.encoded_2718().len());
                let stored = alloy_rlp::encode(&ours);
                let back: Receipt = alloy_rlp::decode_exact(&stored).unwrap();
                assert_eq!(back, ours);
            }
        }
    }
}
