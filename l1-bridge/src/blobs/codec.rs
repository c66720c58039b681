//! Bytes in blobs.
//!
//! A blob is 4096 field elements of 32 bytes, big-endian and below the modulus of BLS12-381's scalar
//! field, which lies between 2^254 and 2^255. So 254 bits of each element are free: 130,048 bytes a
//! blob, against 126,976 when the first byte of each element is left out.
//!
//! Four elements hold 127 bytes: 31 bytes each, in their last 31 bytes, then 3 bytes whose 24 bits
//! lie, six by six, in the low bits of the four first bytes. The blobs of a batch hold one stream: a
//! version byte, the length of the data in 3 bytes, big-endian, the data, and zeros to the end of the
//! last blob. Decoding is total and accepts only what encoding makes: no second sequence of blobs
//! stands for the same data.

use std::borrow::Borrow;

use alloy_eips::eip4844::{BYTES_PER_BLOB, Blob};

/// Most blobs of one batch: what an L1 takes in one transaction since its Osaka fork (EIP-7594), and
/// a limit of every earlier one.
pub const MAX_BATCH_BLOBS: usize = 6;

/// Version of this encoding, the first byte of the stream.
pub const BLOB_ENCODING_VERSION: u8 = 0;

/// Bytes of the stream that one blob holds.
pub(crate) const STREAM_BYTES_PER_BLOB: usize = GROUPS_PER_BLOB * GROUP_BYTES;

/// Most bytes of data that the blobs of a batch hold.
const MAX_DATA_BYTES: usize = blob_capacity(MAX_BATCH_BLOBS);

/// Bytes in front of the data.
pub(crate) const HEADER_BYTES: usize = 4;

const ELEMENT_BYTES: usize = 32;
const ELEMENTS_PER_GROUP: usize = 4;
/// A group as it lies in a blob.
const PACKED_GROUP_BYTES: usize = ELEMENTS_PER_GROUP * ELEMENT_BYTES;
/// What a group holds.
const GROUP_BYTES: usize = PACKED_GROUP_BYTES - 1;
const GROUPS_PER_BLOB: usize = BYTES_PER_BLOB / PACKED_GROUP_BYTES;

/// Bytes of data that `blobs` blobs hold.
pub const fn blob_capacity(blobs: usize) -> usize {
    (STREAM_BYTES_PER_BLOB * blobs).saturating_sub(HEADER_BYTES)
}

/// Blobs that `bytes` bytes of data take.
pub const fn blobs_needed(bytes: usize) -> usize {
    bytes
        .saturating_add(HEADER_BYTES)
        .div_ceil(STREAM_BYTES_PER_BLOB)
}

/// Why data cannot be put into blobs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobEncodeError {
    /// There is nothing to post.
    #[error("blobs: expected at least one byte of data")]
    Empty,
    /// It takes more than [`MAX_BATCH_BLOBS`].
    #[error("blobs: expected at most {MAX_DATA_BYTES} bytes of data, found {0}")]
    TooLarge(usize),
}

/// Why blobs hold no data of this encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobDecodeError {
    /// None, or more than [`MAX_BATCH_BLOBS`].
    #[error("blobs: expected between 1 and {MAX_BATCH_BLOBS} of them, found {0}")]
    Count(usize),
    /// A field element has bits that no encoder sets.
    #[error("blobs: field element {element} of blob {blob} is above 2^254")]
    Element {
        /// Index of the blob.
        blob: usize,
        /// Index of the element in it.
        element: usize,
    },
    /// Another encoding.
    #[error("blobs: expected version {BLOB_ENCODING_VERSION}, found {0}")]
    Version(u8),
    /// The length says that the data is none, or takes another number of blobs.
    #[error("blobs: expected data that takes {blobs} of them, found a length of {length} bytes")]
    Length {
        /// Number of blobs.
        blobs: usize,
        /// Length as they say, in bytes.
        length: usize,
    },
    /// Something follows the data.
    #[error("blobs: expected zeros after the data's {0} bytes")]
    Trailing(usize),
}

/// Puts data into as few blobs as hold it.
///
/// # Errors
/// When it is empty or takes more than [`MAX_BATCH_BLOBS`].
pub fn encode_blobs(data: &[u8]) -> Result<Vec<Blob>, BlobEncodeError> {
    if data.is_empty() {
        return Err(BlobEncodeError::Empty);
    }
    let blobs = blobs_needed(data.len());
    if blobs > MAX_BATCH_BLOBS {
        return Err(BlobEncodeError::TooLarge(data.len()));
    }
    let length = u32::try_from(data.len()).map_err(|_| BlobEncodeError::TooLarge(data.len()))?;
    let [_, length @ ..] = length.to_be_bytes();
    let mut stream = Vec::with_capacity(blobs * STREAM_BYTES_PER_BLOB);
    stream.push(BLOB_ENCODING_VERSION);
    stream.extend_from_slice(&length);
    stream.extend_from_slice(data);
    stream.resize(blobs * STREAM_BYTES_PER_BLOB, 0);
    Ok(stream
        .chunks_exact(STREAM_BYTES_PER_BLOB)
        .map(pack)
        .collect())
}

/// Takes the data out of the blobs that [`encode_blobs`] made.
///
/// # Errors
/// For any other blobs.
pub fn decode_blobs<B: Borrow<Blob>>(blobs: &[B]) -> Result<Vec<u8>, BlobDecodeError> {
    if !(1..=MAX_BATCH_BLOBS).contains(&blobs.len()) {
        return Err(BlobDecodeError::Count(blobs.len()));
    }
    let mut stream = Vec::with_capacity(blobs.len() * STREAM_BYTES_PER_BLOB);
    for (index, blob) in blobs.iter().enumerate() {
        unpack(blob.borrow(), &mut stream).map_err(|element| BlobDecodeError::Element {
            blob: index,
            element,
        })?;
    }
    let Some((&[version, a, b, c], rest)) = stream.split_first_chunk() else {
        return Err(BlobDecodeError::Count(0));
    };
    if version != BLOB_ENCODING_VERSION {
        return Err(BlobDecodeError::Version(version));
    }
    let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
    let wrong_length = BlobDecodeError::Length {
        blobs: blobs.len(),
        length,
    };
    if length == 0 || blobs_needed(length) != blobs.len() {
        return Err(wrong_length);
    }
    let (data, padding) = rest.split_at_checked(length).ok_or(wrong_length)?;
    if padding.iter().any(|&byte| byte != 0) {
        return Err(BlobDecodeError::Trailing(length));
    }
    Ok(data.to_vec())
}

fn pack(stream: &[u8]) -> Blob {
    let mut blob = Blob::ZERO;
    let groups = stream
        .chunks_exact(GROUP_BYTES)
        .zip(blob.0.chunks_exact_mut(PACKED_GROUP_BYTES));
    for (bytes, packed) in groups {
        let (tails, rest) = bytes.split_at(ELEMENTS_PER_GROUP * (ELEMENT_BYTES - 1));
        let bits = rest
            .iter()
            .fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte));
        let elements = packed
            .chunks_exact_mut(ELEMENT_BYTES)
            .zip(tails.chunks_exact(ELEMENT_BYTES - 1));
        for ((element, tail), shift) in elements.zip([18, 12, 6, 0]) {
            if let Some((first, place)) = element.split_first_mut() {
                *first = (bits >> shift) as u8 & LOW_BITS;
                place.copy_from_slice(tail);
            }
        }
    }
    blob
}

/// Bits of an element's first byte that hold data.
const LOW_BITS: u8 = 0x3f;

/// Appends what a blob holds; the error is the index of the first element that no encoder makes.
fn unpack(blob: &Blob, stream: &mut Vec<u8>) -> Result<(), usize> {
    for (group, packed) in blob.0.chunks_exact(PACKED_GROUP_BYTES).enumerate() {
        let mut bits = 0_u32;
        for (index, element) in packed.chunks_exact(ELEMENT_BYTES).enumerate() {
            let (&first, tail) = element.split_first().unwrap_or((&u8::MAX, &[]));
            if first & !LOW_BITS != 0 {
                return Err(group * ELEMENTS_PER_GROUP + index);
            }
            bits = bits << 6 | u32::from(first);
            stream.extend_from_slice(tail);
        }
        let [_, rest @ ..] = bits.to_be_bytes();
        stream.extend_from_slice(&rest);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{U256, uint};
    use proptest::prelude::*;

    use super::*;

    /// Modulus of the scalar field of BLS12-381 (EIP-4844).
    const MODULUS: U256 =
        uint!(0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001_U256);

    fn data() -> impl Strategy<Value = Vec<u8>> {
        let edges = prop::sample::select(vec![
            1,
            2,
            126,
            127,
            128,
            blob_capacity(1) - 1,
            blob_capacity(1),
            blob_capacity(1) + 1,
            blob_capacity(2),
            blob_capacity(2) + 1,
            blob_capacity(MAX_BATCH_BLOBS),
        ]);
        let sizes = prop_oneof![edges, 1..blob_capacity(3)];
        (sizes, any::<[u8; 32]>(), any::<bool>()).prop_map(|(size, seed, ones)| {
            // Cheaper than a random byte each, and no byte repeats with the groups' period.
            (0..size)
                .map(|index| match ones {
                    true => u8::MAX,
                    false => seed[index % 32] ^ (index / 32 % 251) as u8,
                })
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn data_comes_back_from_the_fewest_blobs(data in data()) {
            let blobs = encode_blobs(&data).unwrap();
            prop_assert_eq!(blobs.len(), blobs_needed(data.len()));
            prop_assert!(data.len() <= blob_capacity(blobs.len()));
            prop_assert!(blobs.len() == 1 || data.len() > blob_capacity(blobs.len() - 1));
            for element in blobs.iter().flat_map(|blob| blob.chunks_exact(32)) {
                prop_assert!(U256::from_be_slice(element) < MODULUS);
            }
            prop_assert_eq!(decode_blobs(&blobs).unwrap(), data);
        }

        /// Whatever decodes is what encoding makes of the result: one form only.
        #[test]
        fn a_change_is_refused_or_changes_the_data(
            data in data(),
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
        ) {
            let mut blobs = encode_blobs(&data).unwrap();
            let at = at.index(blobs.len() * BYTES_PER_BLOB);
            blobs[at / BYTES_PER_BLOB].0[at % BYTES_PER_BLOB] ^= 1 << bit;
            if let Ok(other) = decode_blobs(&blobs) {
                prop_assert_ne!(&other, &data);
                prop_assert_eq!(encode_blobs(&other).unwrap(), blobs);
            }
        }

        #[test]
        fn any_blob_decodes_or_is_refused(
            seed in any::<[u8; 32]>(),
            low in prop::bool::weighted(0.9),
            filled in 0..BYTES_PER_BLOB,
            length in 0..blob_capacity(1) + 2,
        ) {
            let mut blob = Blob::ZERO;
            for (index, byte) in blob.0.iter_mut().enumerate().take(filled) {
                *byte = seed[index % 31] ^ index.to_le_bytes()[1];
                if index % 32 == 0 && low {
                    *byte &= LOW_BITS;
                }
            }
            blob.0[1] = 0;
            blob.0[2..5].copy_from_slice(&(length as u32).to_be_bytes()[1..]);
            match decode_blobs(&[blob]) {
                Ok(data) => prop_assert_eq!(encode_blobs(&data).unwrap(), vec![blob]),
                // Nothing but the data's own bits was filled.
                Err(_) => prop_assert!(!low || length == 0 || filled > length || length > blob_capacity(1)),
            }
        }
    }

    #[test]
    fn counts_and_lengths_have_bounds() {
        assert_eq!(encode_blobs(&[]), Err(BlobEncodeError::Empty));
        let most = blob_capacity(MAX_BATCH_BLOBS);
        assert_eq!(
            encode_blobs(&vec![1; most + 1]),
            Err(BlobEncodeError::TooLarge(most + 1))
        );
        assert_eq!(decode_blobs::<Blob>(&[]), Err(BlobDecodeError::Count(0)));
        assert_eq!(
            decode_blobs(&vec![Blob::ZERO; MAX_BATCH_BLOBS + 1]),
            Err(BlobDecodeError::Count(MAX_BATCH_BLOBS + 1))
        );
        assert_eq!(
            decode_blobs(&[Blob::ZERO]),
            Err(BlobDecodeError::Length {
                blobs: 1,
                length: 0
            })
        );
        let one = encode_blobs(&[7]).unwrap();
        let two = [one[0], Blob::ZERO];
        assert_eq!(
            decode_blobs(&two),
            Err(BlobDecodeError::Length {
                blobs: 2,
                length: 1
            })
        );
        let mut trailing = one.clone();
        trailing[0].0[BYTES_PER_BLOB - 1] = 1;
        assert_eq!(decode_blobs(&trailing), Err(BlobDecodeError::Trailing(1)));
        let mut version = one.clone();
        version[0].0[1] = 1;
        assert_eq!(decode_blobs(&version), Err(BlobDecodeError::Version(1)));
        let mut element = one;
        element[0].0[64] = 0x40;
        assert_eq!(
            decode_blobs(&element),
            Err(BlobDecodeError::Element {
                blob: 0,
                element: 2
            })
        );
    }

    /// The layout that docs/batch-format.md describes, spelt out for a few bytes.
    #[test]
    fn the_layout_is_the_documented_one() {
        let data: Vec<u8> = (1..=123).collect();
        let blob = encode_blobs(&data).unwrap().remove(0);
        assert_eq!(blob[1..5], [0, 0, 0, 123]);
        assert_eq!(blob[5..32], data[..27]);
        assert_eq!(blob[33..64], data[27..58]);
        assert_eq!(blob[65..96], data[58..89]);
        assert_eq!(blob[97..128], data[89..120]);
        let [a, b, c] = [121_u32, 122, 123];
        let bits = a << 16 | b << 8 | c;
        let first = [blob[0], blob[32], blob[64], blob[96]].map(u32::from);
        assert_eq!(
            first,
            [bits >> 18, bits >> 12 & 63, bits >> 6 & 63, bits & 63]
        );
        assert!(blob[128..].iter().all(|&byte| byte == 0));
    }
}
