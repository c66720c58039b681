//! A binary arithmetic coder and a stream of plain bits, in both directions behind one trait.
//!
//! Every model is written once, against [`Coder`]: an encoder writes what it is given and gives it
//! back, a decoder ignores what it is given and gives what it read. So both directions cannot
//! drift apart.

/// One direction of coding.
pub(super) trait Coder {
    /// Whether values come out of the coder; what is passed in is then meaningless.
    const DECODES: bool;

    /// One decision, `one` being the probability that it is true, in 65536ths, from 1 to 65535.
    fn decide(&mut self, bit: bool, one: u32) -> bool;

    /// The lowest `count` bits (at most 64) of `value`, which are not modelled.
    fn plain(&mut self, value: u64, count: u32) -> u64;
}

/// Plain bytes, in place.
pub(super) fn plain_bytes<C: Coder, const N: usize>(coder: &mut C, bytes: &[u8; N]) -> [u8; N] {
    bytes.map(|byte| coder.plain(u64::from(byte), 8).to_le_bytes()[0])
}

/// Writes.
#[derive(Debug)]
pub(super) struct Encoder {
    low: u32,
    high: u32,
    modelled: Vec<u8>,
    plain: Vec<u8>,
    /// Bits that do not fill a byte yet, the first in the lowest bit.
    waiting: u64,
    waiting_bits: u32,
}

/// What an [`Encoder`] wrote.
#[derive(Debug)]
pub(super) struct Encoded {
    /// Decisions, entropy coded.
    pub(super) modelled: Vec<u8>,
    /// Bits as they are.
    pub(super) plain: Vec<u8>,
}

impl Encoder {
    pub(super) const fn new() -> Self {
        Self {
            low: 0,
            high: u32::MAX,
            modelled: Vec::new(),
            plain: Vec::new(),
            waiting: 0,
            waiting_bits: 0,
        }
    }

    /// Ends both streams. The decoder reads zeros behind the last byte, so that only the bytes that
    /// tell the last interval from others are written.
    pub(super) fn finish(mut self) -> Encoded {
        if self.low > 0 {
            for bytes in 1..=4u32 {
                let unit = 1u64 << (32 - 8 * bytes);
                let within = u64::from(self.low).div_ceil(unit) * unit;
                if within <= u64::from(self.high) {
                    let all = (within as u32).to_be_bytes();
                    self.modelled.extend(all.iter().take(bytes as usize));
                    break;
                }
            }
        }
        while self.modelled.last() == Some(&0) {
            self.modelled.pop();
        }
        if self.waiting_bits > 0 {
            self.plain.push(self.waiting.to_le_bytes()[0]);
        }
        Encoded {
            modelled: self.modelled,
            plain: self.plain,
        }
    }
}

/// Splits the interval from `low` to `high` at a probability.
fn split(low: u32, high: u32, one: u32) -> u32 {
    let width = u64::from(high - low);
    // Below `high`, because `one` is below 65536.
    low + ((width * u64::from(one)) >> 16) as u32
}

impl Coder for Encoder {
    const DECODES: bool = false;

    #[inline]
    fn decide(&mut self, bit: bool, one: u32) -> bool {
        let middle = split(self.low, self.high, one);
        if bit {
            self.high = middle;
        } else {
            self.low = middle + 1;
        }
        while (self.low ^ self.high) >> 24 == 0 {
            self.modelled.push((self.high >> 24) as u8);
            self.low <<= 8;
            self.high = self.high << 8 | 0xff;
        }
        bit
    }

    #[inline]
    fn plain(&mut self, value: u64, count: u32) -> u64 {
        let mut rest = value;
        let mut left = count;
        while left > 0 {
            let step = left.min(32);
            let part = rest & ((1 << step) - 1);
            self.waiting |= part << self.waiting_bits;
            self.waiting_bits += step;
            while self.waiting_bits >= 8 {
                self.plain.push(self.waiting.to_le_bytes()[0]);
                self.waiting >>= 8;
                self.waiting_bits -= 8;
            }
            rest >>= step;
            left -= step;
        }
        value
    }
}

/// Reads. Behind the end of its bytes it reads zeros and remembers that it did.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    low: u32,
    high: u32,
    code: u32,
    modelled: &'a [u8],
    /// Bytes of `modelled` that were read, those behind its end included.
    position: usize,
    plain: &'a [u8],
    plain_position: usize,
    waiting: u64,
    waiting_bits: u32,
}

/// Bytes that a decoder is ahead of what it needs.
const LOOK_AHEAD: usize = 4;

impl<'a> Decoder<'a> {
    pub(super) fn new(modelled: &'a [u8], plain: &'a [u8]) -> Self {
        let mut decoder = Self {
            low: 0,
            high: u32::MAX,
            code: 0,
            modelled,
            position: 0,
            plain,
            plain_position: 0,
            waiting: 0,
            waiting_bits: 0,
        };
        for _ in 0..LOOK_AHEAD {
            decoder.code = decoder.code << 8 | decoder.next_byte();
        }
        decoder
    }

    fn next_byte(&mut self) -> u32 {
        let byte = self.modelled.get(self.position).copied().unwrap_or(0);
        self.position = self.position.saturating_add(1);
        u32::from(byte)
    }

    /// Whether plain bits were read that are not there. Decisions cannot tell: their stream goes on
    /// with zeros, and what follows is bounded by other means.
    pub(super) const fn is_exhausted(&self) -> bool {
        self.plain_position > self.plain.len()
    }

    /// Whether exactly all bytes were used. An encoder leaves out zeros at the end of the decisions,
    /// so that these may end early but never late or with a zero.
    pub(super) fn is_finished(&self) -> bool {
        let whole = self.modelled.len() <= self.position;
        whole
            && self.modelled.last() != Some(&0)
            && self.plain_position == self.plain.len()
            && self.waiting == 0
    }
}

impl Coder for Decoder<'_> {
    const DECODES: bool = true;

    #[inline]
    fn decide(&mut self, _: bool, one: u32) -> bool {
        let middle = split(self.low, self.high, one);
        let bit = self.code <= middle;
        if bit {
            self.high = middle;
        } else {
            self.low = middle + 1;
        }
        while (self.low ^ self.high) >> 24 == 0 {
            self.low <<= 8;
            self.high = self.high << 8 | 0xff;
            self.code = self.code << 8 | self.next_byte();
        }
        bit
    }

    #[inline]
    fn plain(&mut self, _: u64, count: u32) -> u64 {
        let mut value = 0;
        let mut read = 0;
        while read < count {
            let step = (count - read).min(32);
            while self.waiting_bits < step {
                let byte = self.plain.get(self.plain_position).copied().unwrap_or(0);
                self.plain_position = self.plain_position.saturating_add(1);
                self.waiting |= u64::from(byte) << self.waiting_bits;
                self.waiting_bits += 8;
            }
            value |= (self.waiting & ((1 << step) - 1)) << read;
            self.waiting >>= step;
            self.waiting_bits -= step;
            read += step;
        }
        value
    }
}

/// Writes nothing: for models that only learn.
#[derive(Debug)]
pub(super) struct Silent;

impl Coder for Silent {
    const DECODES: bool = false;

    fn decide(&mut self, bit: bool, _: u32) -> bool {
        bit
    }

    fn plain(&mut self, value: u64, _: u32) -> u64 {
        value
    }
}
