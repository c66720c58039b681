//! What nodes mean when they do not take a transaction. There is no standard: the texts are those of
//! go-ethereum, reth, nethermind, besu, erigon and anvil.

/// Why a node did not take a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It has this very transaction.
    Known,
    /// The nonce is used in a block.
    NonceUsed,
    /// Another transaction with this nonce pays too much to be replaced by this one, or the pool is
    /// full of better ones.
    Underpriced,
    /// A pending transaction of the account is of another kind, with blobs or without.
    OtherKind,
    /// The next block could not take it: its fees are below the base fees.
    BelowMarket,
    /// Something else.
    Other,
}

impl Refusal {
    pub(super) fn from_message(message: &str) -> Self {
        let message = message.to_lowercase();
        let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
        if says(&[
            "already known",
            "already imported",
            "alreadyknown",
            "known transaction",
        ]) {
            Self::Known
        } else if says(&["nonce too low", "nonce is too low", "oldnonce"]) {
            Self::NonceUsed
        } else if says(&[
            "already reserved",
            "conflictingtype",
            "conflicting with existing",
        ]) {
            Self::OtherKind
        } else if says(&[
            "underpriced",
            "replacementnotallowed",
            "replacement not allowed",
            "too low to replace",
            "feetoolowtocompete",
        ]) {
            Self::Underpriced
        } else if says(&[
            "less than block base fee",
            "less than base fee",
            "less than basefee",
            "less than block blob",
            "greater than max fee per blob gas",
            "below the base fee",
            "below current base fee",
            "fee cap less than",
        ]) {
            Self::BelowMarket
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_say_is_understood() {
        let texts = [
            ("already known", Refusal::Known),
            ("[0xab] already Imported", Refusal::Known),
            (
                "nonce too low: next nonce 5, tx nonce 4",
                Refusal::NonceUsed,
            ),
            ("replacement transaction underpriced", Refusal::Underpriced),
            (
                "replacement transaction underpriced: new tx gas fee cap 2 <= 4 queued",
                Refusal::Underpriced,
            ),
            ("transaction underpriced", Refusal::Underpriced),
            ("address already reserved", Refusal::OtherKind),
            (
                "max fee per gas less than block base fee: address 0xab, maxFeePerGas: 1, baseFee: 2",
                Refusal::BelowMarket,
            ),
            ("insufficient funds for gas * price + value", Refusal::Other),
            ("", Refusal::Other),
        ];
        for (text, expected) in texts {
            assert_eq!(Refusal::from_message(text), expected, "{text}");
        }
    }
}
