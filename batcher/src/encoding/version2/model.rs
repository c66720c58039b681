//! How likely a decision is: adaptive counters in several contexts, mixed by weights that adapt.
//!
//! All arithmetic is on integers, so that every machine comes to the same probabilities.

use super::{
    coder::Coder,
    logistic::{RATES, SQUASHED, STRETCHED},
};

/// Counters, as a power of two. Contexts are hashed onto them and may share one by chance, which
/// costs a little space and nothing else.
const COUNTER_BITS: u32 = 18;

/// Most contexts of a decision.
const MOST_CONTEXTS: usize = 6;

/// Kinds of decisions that have weights of their own.
const WEIGHT_SETS: usize = super::kinds::COUNT * CONFIDENCES * CONFIDENCES;

/// How often a context was met before, in classes.
const CONFIDENCES: usize = 4;

/// A counter: probability that the decision is true in the upper 22 bits, how often it was met in
/// the lower 10.
const FRESH: u32 = 1 << 31;

/// A counter counts no further, so that old decisions are forgotten.
const MOST_COUNTED: u32 = 20;

/// Weight of a context at the start, in 65536ths, by the number of contexts.
const FIRST_WEIGHT: [i32; MOST_CONTEXTS + 1] = [0, 65536, 42000, 32000, 27000, 24000, 21000];

/// How fast weights follow.
const LEARNING_RATE: i64 = 16;

/// One set of contexts of a symbol: hashes, the most specific first.
pub(super) type Contexts<const N: usize> = [u32; N];

/// The hash of one context: which kind of symbol, and what is known.
pub(super) const fn context(kind: u32, first: u32, second: u32) -> u32 {
    let hash = kind.wrapping_mul(0x2c1b_3c6d) ^ first.wrapping_mul(0x9e37_79b1);
    let hash = (hash ^ hash >> 15).wrapping_add(second.wrapping_mul(0x85eb_ca6b));
    let hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

/// The probabilities and how they adapt.
#[derive(Debug, Clone)]
pub(super) struct Model {
    counters: Vec<u32>,
    weights: Vec<[i32; MOST_CONTEXTS]>,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            counters: vec![FRESH; 1 << COUNTER_BITS],
            weights: vec![[0; MOST_CONTEXTS]; WEIGHT_SETS],
        }
    }

    /// One decision. `node` tells the decisions of one symbol apart, `kind` the kinds of symbols.
    #[inline]
    pub(super) fn decide<C: Coder, const N: usize>(
        &mut self,
        coder: &mut C,
        kind: u32,
        contexts: &Contexts<N>,
        node: u32,
        bit: bool,
    ) -> bool {
        let mut slots = [0usize; N];
        let mut inputs = [0i32; N];
        let mut confidence = 0;
        for (order, ((slot, input), context)) in
            slots.iter_mut().zip(&mut inputs).zip(contexts).enumerate()
        {
            let hash = (context ^ node.wrapping_mul(0x85eb_ca6b)).wrapping_mul(0x9e37_79b1);
            *slot = (hash >> (32 - COUNTER_BITS)) as usize;
            let counter = self.counters.get(*slot).copied().unwrap_or(FRESH);
            let stretched = STRETCHED.get((counter >> 20) as usize);
            *input = i32::from(stretched.copied().unwrap_or(0));
            if order < 2 {
                let class = match counter & 1023 {
                    0 => 0,
                    1 => 1,
                    2..=7 => 2,
                    _ => 3,
                };
                confidence = confidence * CONFIDENCES + class;
            }
        }
        let set = kind as usize * CONFIDENCES * CONFIDENCES + confidence;
        let mut unused = [0; MOST_CONTEXTS];
        let weights = self.weights.get_mut(set).unwrap_or(&mut unused);
        let first = FIRST_WEIGHT.get(N).copied().unwrap_or(0);
        let sum: i64 = weights
            .iter()
            .zip(&inputs)
            .map(|(weight, input)| i64::from(weight + first) * i64::from(*input))
            .sum();
        let at = (sum >> 16).clamp(-2047, 2047) + 2048;
        let one = SQUASHED
            .get(at as usize)
            .copied()
            .map_or(1 << 15, u32::from);

        let bit = coder.decide(bit, one);

        let error = (if bit { 65_535 } else { 0 }) - i64::from(one);
        for (weight, input) in weights.iter_mut().zip(&inputs) {
            let step = (i64::from(*input) * error * LEARNING_RATE + (1 << 19)) >> 20;
            *weight = (*weight + step as i32).clamp(-(1 << 20), 1 << 20);
        }
        for slot in slots {
            let Some(counter) = self.counters.get_mut(slot) else {
                continue;
            };
            let met = *counter & 1023;
            let probability = i64::from(*counter >> 10);
            let target = if bit { (1 << 22) - 1 } else { 0 };
            let rate = i64::from(RATES.get(met as usize).copied().unwrap_or(0));
            let moved = probability + (((target - probability) * rate) >> 16);
            *counter = (moved as u32) << 10 | (met + 1).min(MOST_COUNTED);
        }
        bit
    }

    /// A symbol of `bits` bits.
    #[inline]
    pub(super) fn symbol<C: Coder, const N: usize>(
        &mut self,
        coder: &mut C,
        kind: u32,
        contexts: &Contexts<N>,
        bits: u32,
        symbol: u32,
    ) -> u32 {
        let mut node = 1;
        for shift in (0..bits).rev() {
            let bit = self.decide(coder, kind, contexts, node, symbol >> shift & 1 == 1);
            node = node << 1 | u32::from(bit);
        }
        node - (1 << bits)
    }

    /// A number below 2^128: how many bits it has, its `modelled` highest bits below the first, then
    /// the rest as it is.
    pub(super) fn number<C: Coder, const N: usize>(
        &mut self,
        coder: &mut C,
        kind: u32,
        contexts: &Contexts<N>,
        modelled: u32,
        number: u128,
    ) -> u128 {
        let bits = self.bit_count(coder, kind, contexts, 128 - number.leading_zeros());
        let Some(below) = bits.checked_sub(1) else {
            return 0;
        };
        let plain = below.saturating_sub(modelled);
        let mut value = 1u128;
        let mut node = 256 + bits;
        for shift in (plain..below).rev() {
            let bit = number >> shift & 1 == 1;
            let bit = self.decide(coder, kind, contexts, node, bit);
            value = value << 1 | u128::from(bit);
            node = node
                .wrapping_mul(2)
                .wrapping_add(u32::from(bit))
                .wrapping_mul(0x01f1_23bb);
        }
        let upper = plain.saturating_sub(64);
        if upper > 0 {
            let part = coder.plain((number >> 64) as u64, upper);
            value = value << upper | u128::from(part & mask(upper));
        }
        let lower = plain.min(64);
        if lower > 0 {
            let part = coder.plain(number as u64, lower);
            value = value << lower | u128::from(part & mask(lower));
        }
        value
    }

    /// A count of bits from 0 to 128, small and large ones alike in about seven decisions.
    fn bit_count<C: Coder, const N: usize>(
        &mut self,
        coder: &mut C,
        kind: u32,
        contexts: &Contexts<N>,
        count: u32,
    ) -> u32 {
        let large = self.decide(coder, kind, contexts, 0x4000, count >= 64);
        if !large {
            return self.symbol(coder, kind, contexts, 6, count);
        }
        let whole = self.decide(coder, kind, contexts, 0x4001, count == 128);
        if whole {
            return 128;
        }
        let mut node = 0x5000;
        let mut value = 0;
        for shift in (0..6).rev() {
            let bit = self.decide(coder, kind, contexts, node, count >> shift & 1 == 1);
            value = value << 1 | u32::from(bit);
            node = (node << 1 | u32::from(bit)) & 0x5fff | 0x5000;
        }
        64 + value
    }

    /// An index into a table: every bit of it is modelled.
    pub(super) fn index<C: Coder, const N: usize>(
        &mut self,
        coder: &mut C,
        kind: u32,
        contexts: &Contexts<N>,
        index: u32,
    ) -> u32 {
        let value = index.wrapping_add(1);
        let bits = self.symbol(coder, kind, contexts, 5, 31 - value.max(1).leading_zeros());
        let mut found = 1u32;
        for shift in (0..bits).rev() {
            let node = found.wrapping_add(bits << 26) ^ 0x0800_0000;
            let bit = self.decide(coder, kind, contexts, node, value >> shift & 1 == 1);
            found = found << 1 | u32::from(bit);
        }
        found - 1
    }
}

/// The lowest `bits` bits.
const fn mask(bits: u32) -> u64 {
    if bits >= 64 {
        u64::MAX
    } else {
        (1 << bits) - 1
    }
}
