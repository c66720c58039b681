//! The smallest pieces of the encoding: integers, fixed strings, runs and bits.

use alloy_primitives::{Address, B256, U256};

use super::BatchDecodeError;

/// Appends an unsigned LEB128 varint.
pub(super) fn put_varint(out: &mut Vec<u8>, value: impl Into<u128>) {
    let mut value = value.into();
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a count or a length.
pub(super) fn put_length(out: &mut Vec<u8>, length: usize) {
    put_varint(out, length as u64);
}

/// Appends equal neighbours once: pairs of a run's length and its value.
pub(super) fn put_runs<T: PartialEq + Copy>(
    out: &mut Vec<u8>,
    values: impl Iterator<Item = T>,
    put: impl Fn(&mut Vec<u8>, T),
) {
    let mut run: Option<(u64, T)> = None;
    for value in values {
        run = match run {
            Some((length, current)) if current == value => Some((length + 1, current)),
            finished => {
                if let Some((length, current)) = finished {
                    put_varint(out, length);
                    put(out, current);
                }
                Some((1, value))
            }
        };
    }
    if let Some((length, current)) = run {
        put_varint(out, length);
        put(out, current);
    }
}

/// Reads a payload from front to back. Every method either gives a value or says which column broke.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    column: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(payload: &'a [u8]) -> Self {
        Self {
            rest: payload,
            column: "block count",
        }
    }

    /// Names the column that follows, for errors.
    pub(super) const fn enter(&mut self, column: &'static str) {
        self.column = column;
    }

    pub(super) const fn truncated(&self) -> BatchDecodeError {
        BatchDecodeError::Truncated {
            column: self.column,
        }
    }

    pub(super) const fn invalid(&self, reason: &'static str) -> BatchDecodeError {
        BatchDecodeError::Invalid {
            column: self.column,
            reason,
        }
    }

    pub(super) fn byte(&mut self) -> Result<u8, BatchDecodeError> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], BatchDecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BatchDecodeError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn address(&mut self) -> Result<Address, BatchDecodeError> {
        self.array::<20>().map(Address::from)
    }

    pub(super) fn word(&mut self) -> Result<B256, BatchDecodeError> {
        self.array::<32>().map(B256::from)
    }

    pub(super) fn varint_u128(&mut self) -> Result<u128, BatchDecodeError> {
        let mut value = 0u128;
        let mut shift = 0u32;
        loop {
            let byte = self.byte()?;
            let low = u128::from(byte & 0x7f);
            let placed = low << shift;
            if placed >> shift != low {
                return Err(self.invalid("varint above 128 bits"));
            }
            value |= placed;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(self.invalid("varint longer than it needs to be"));
                }
                return Ok(value);
            }
            shift += 7;
            if shift >= 128 {
                return Err(self.invalid("varint above 128 bits"));
            }
        }
    }

    pub(super) fn varint(&mut self) -> Result<u64, BatchDecodeError> {
        u64::try_from(self.varint_u128()?).map_err(|_| self.invalid("varint above 64 bits"))
    }

    /// A count of things that take at least `size` bytes each: one that the rest of the payload
    /// cannot hold is refused before anything is allocated for it.
    pub(super) fn count(&mut self, size: usize) -> Result<usize, BatchDecodeError> {
        let count = usize::try_from(self.varint()?).map_err(|_| self.truncated())?;
        self.has_room_for(count, size)?;
        Ok(count)
    }

    /// Whether the rest of the payload can hold `count` things of at least `size` bytes each.
    pub(super) const fn has_room_for(
        &self,
        count: usize,
        size: usize,
    ) -> Result<(), BatchDecodeError> {
        if count.saturating_mul(size) > self.rest.len() {
            return Err(self.truncated());
        }
        Ok(())
    }

    pub(super) fn uint(&mut self) -> Result<U256, BatchDecodeError> {
        let length = usize::from(self.byte()?);
        if length > 32 {
            return Err(self.invalid("number longer than 32 bytes"));
        }
        let bytes = self.take(length)?;
        if bytes.first() == Some(&0) {
            return Err(self.invalid("number with leading zeros"));
        }
        Ok(U256::from_be_slice(bytes))
    }

    /// `count` bits, the first in the lowest bit of the first byte.
    pub(super) fn bits(
        &mut self,
        count: usize,
    ) -> Result<impl Iterator<Item = bool> + use<'a>, BatchDecodeError> {
        let bytes = self.take(count.div_ceil(8))?;
        let used_of_last = count % 8;
        if used_of_last != 0 && bytes.last().is_some_and(|byte| byte >> used_of_last != 0) {
            return Err(self.invalid("padding bits are set"));
        }
        Ok(bytes
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1))
            .take(count))
    }

    /// Gives each of `targets` its value out of the runs that [`put_runs`] writes.
    pub(super) fn runs<T, V: Copy>(
        &mut self,
        targets: &mut [T],
        read: impl Fn(&mut Self) -> Result<V, BatchDecodeError>,
        set: impl Fn(&mut T, V),
    ) -> Result<(), BatchDecodeError> {
        let mut targets = targets.iter_mut();
        while targets.len() > 0 {
            let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
            if length == 0 || length > targets.len() {
                return Err(self.invalid("runs do not add up to the number of values"));
            }
            let value = read(self)?;
            for target in targets.by_ref().take(length) {
                set(target, value);
            }
        }
        Ok(())
    }

    /// Everything that was not read yet.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) const fn end(&self) -> Result<(), BatchDecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(BatchDecodeError::TrailingBytes(self.rest.len()))
        }
    }
}
