//! EIP-7702 authorization lists.

use alloy_eips::eip7702::{Authorization, SignedAuthorization};

use crate::encoding::{BatchDecodeError, bytes::Reader, parts::TransactionParts};

/// Least bytes of an authorization: chain id 1, address 20, nonce 1, parity 1, `r` 32, `s` 32.
const AUTHORIZATION_BYTES: usize = 87;

/// For each transaction whose type has one: a varint with the number of authorizations, and for
/// each the chain id (256-bit number), the address, the nonce (varint), the y parity (a byte as
/// signed, not only 0 or 1), `r` and `s` (32 bytes each).
pub(super) fn authorizations(
    reader: &mut Reader<'_>,
    transactions: &mut [TransactionParts],
) -> Result<(), BatchDecodeError> {
    for tx in transactions.iter_mut().filter(|tx| tx.has_authorizations()) {
        let count = reader.count(AUTHORIZATION_BYTES)?;
        tx.authorizations = (0..count)
            .map(|_| {
                let authorization = Authorization {
                    chain_id: reader.uint()?,
                    address: reader.address()?,
                    nonce: reader.varint()?,
                };
                let y_parity = reader.byte()?;
                let r = reader.word()?.into();
                let s = reader.word()?.into();
                Ok(SignedAuthorization::new_unchecked(
                    authorization,
                    y_parity,
                    r,
                    s,
                ))
            })
            .collect::<Result<_, _>>()?;
    }
    Ok(())
}
