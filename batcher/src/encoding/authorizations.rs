//! EIP-7702 authorization lists.

use alloy_eips::eip7702::{Authorization, SignedAuthorization};

use super::{
    Column,
    bytes::{put_length, put_uint, put_varint},
};

/// Least bytes of an authorization: chain id 1, address 20, nonce 1, parity 1, `r` 32, `s` 32.
const AUTHORIZATION_BYTES: usize = 87;

/// For each transaction whose type has one: a varint with the number of authorizations, and for
/// each the chain id (256-bit number), the address, the nonce (varint), the y parity (a byte as
/// signed, not only 0 or 1), `r` and `s` (32 bytes each).
pub(super) const AUTHORIZATIONS: Column = Column {
    encode: |out, transactions| {
        for tx in transactions.iter().filter(|tx| tx.has_authorizations()) {
            put_length(out, tx.authorizations.len());
            for authorization in &tx.authorizations {
                put_uint(out, authorization.chain_id);
                out.extend_from_slice(authorization.address.as_slice());
                put_varint(out, authorization.nonce);
                out.push(authorization.y_parity());
                out.extend_from_slice(&authorization.r().to_be_bytes::<32>());
                out.extend_from_slice(&authorization.s().to_be_bytes::<32>());
            }
        }
    },
    decode: |reader, transactions| {
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
    },
};
