//! Everything about a transaction but the words of its input and its lists.
//!
//! A transaction is predicted from those before it: from the one whose nonce is one lower (most
//! often the same sender's), from the last ones to the same contract with the same selector, and
//! from the one right before it.

use alloy_primitives::{Address, TxKind, U256};

use super::{
    coder::{Coder, plain_bytes},
    decimals, kinds as kind,
    model::{Contexts, Model, context},
    tables::Table,
};
use crate::encoding::parts::{EIP1559, EIP2930, EIP7702, LEGACY};

/// Stands for "none" where a number of a table is a context.
const NONE: u32 = u32::MAX;

/// Stands for the selector of an input without bytes.
const NO_INPUT: u32 = NONE - 1;

/// How an input is laid out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Layout {
    /// Bytes, or none at all.
    #[default]
    Text,
    /// A call by the ABI, with its selector.
    Call([u8; 4]),
}

/// Length and layout of an input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Bytes.
    pub(super) length: usize,
    /// What they are.
    pub(super) layout: Layout,
}

/// The fields of a transaction that are coded here.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fields {
    pub(super) ty: u8,
    pub(super) parity: bool,
    pub(super) chain_id: Option<u64>,
    pub(super) nonce: u64,
    pub(super) gas_limit: u64,
    pub(super) max_fee: u128,
    pub(super) max_priority_fee: u128,
    pub(super) to: TxKind,
    pub(super) value: U256,
    pub(super) shape: Shape,
}

/// What later transactions are predicted from.
#[derive(Debug, Clone, Copy)]
struct Seen {
    nonce: u64,
    kind: u32,
    to: u32,
    selector: u32,
    gas: u32,
    fee: u32,
    tip: u32,
    value: u32,
}

const NOTHING: Seen = Seen {
    nonce: 0,
    kind: NONE,
    to: NONE,
    selector: NONE,
    gas: NONE,
    fee: NONE,
    tip: NONE,
    value: NONE,
};

/// The state of the fields' coding.
#[derive(Debug, Clone)]
pub(super) struct FieldCoder {
    model: Model,
    addresses: Table<Address>,
    selectors: Table<[u8; 4]>,
    gas_limits: Table<u64>,
    fees: Table<u128>,
    surcharges: Table<u128>,
    tips: Table<u128>,
    values: Table<U256>,
    chain_id: u64,
    seen: Vec<Seen>,
    /// Only an encoder fills this: the last transaction with this nonce.
    by_nonce: alloy_primitives::map::HashMap<u64, u32>,
    links: u32,
}

impl FieldCoder {
    pub(super) fn new() -> Self {
        Self {
            model: Model::new(),
            addresses: Table::default(),
            selectors: Table::default(),
            gas_limits: Table::default(),
            fees: Table::default(),
            surcharges: Table::default(),
            tips: Table::default(),
            values: Table::default(),
            chain_id: 0,
            seen: Vec::new(),
            by_nonce: Default::default(),
            links: 0,
        }
    }

    /// Forgets the transactions, but not what was learnt from them.
    pub(super) fn start(&mut self) {
        self.seen.clear();
        self.by_nonce.clear();
        self.links = 0;
    }

    /// The recipients' numbers, one for each transaction.
    pub(super) fn recipients(&self) -> Vec<u32> {
        self.seen.iter().map(|seen| seen.to).collect()
    }

    /// The recipients so far.
    pub(super) const fn addresses(&self) -> &Table<Address> {
        &self.addresses
    }

    /// Codes one transaction. `None` when what is decoded is none.
    pub(super) fn transaction<C: Coder>(
        &mut self,
        coder: &mut C,
        given: &Fields,
    ) -> Option<Fields> {
        let before = self.seen.last().copied().unwrap_or(NOTHING);
        let parity = coder.plain(u64::from(given.parity), 1) == 1;
        let (ty, chain_id, kind) = self.kind(coder, given, before.kind)?;
        let (nonce, linked) = self.nonce(coder, given.nonce, kind)?;
        let (to, to_index) = self.recipient(coder, given.to, kind, &linked, &before)?;
        let (shape, selector) = self.shape(coder, given.shape, to_index, kind, &linked)?;
        let call = context(0, to_index, selector);
        let (value, value_class) =
            self.value(coder, given.value, call, selector, &linked, &before)?;
        let (gas_limit, gas) =
            self.gas(coder, given.gas_limit, call, selector, &linked, &before)?;
        let (max_fee, max_priority_fee, fee, tip) =
            self.fees(coder, given, ty, &linked, &before)?;
        let seen = Seen {
            nonce,
            kind,
            to: to_index,
            selector,
            gas,
            fee,
            tip,
            value: value_class,
        };
        if !C::DECODES {
            self.by_nonce.insert(nonce, self.seen.len() as u32);
        }
        self.seen.push(seen);
        Some(Fields {
            ty,
            parity,
            chain_id,
            nonce,
            gas_limit,
            max_fee,
            max_priority_fee,
            to,
            value,
            shape,
        })
    }

    /// Type and chain id.
    fn kind<C: Coder>(
        &mut self,
        coder: &mut C,
        given: &Fields,
        before: u32,
    ) -> Option<(u8, Option<u64>, u32)> {
        let kind = match (given.ty, given.chain_id) {
            (LEGACY, None) => 0,
            (LEGACY, Some(_)) => 1,
            (EIP2930, _) => 2,
            (EIP1559, _) => 3,
            _ => 4,
        };
        let earlier = self.seen.iter().rev().nth(1).map_or(NONE, |seen| seen.kind);
        let contexts = [
            context(kind::TYPE, before, earlier),
            context(kind::TYPE, before, NONE),
        ];
        let kind = self.model.symbol(coder, kind::TYPE, &contexts, 3, kind);
        let ty = match kind {
            0 => return Some((LEGACY, None, kind)),
            1 => LEGACY,
            2 => EIP2930,
            3 => EIP1559,
            4 => EIP7702,
            _ => return None,
        };
        let id = given.chain_id.unwrap_or_default();
        let same = [context(kind::CHAIN, 0, 0)];
        if !self
            .model
            .decide(coder, kind::CHAIN, &same, 0, id == self.chain_id)
        {
            self.chain_id = coder.plain(id, 64);
        }
        Some((ty, Some(self.chain_id), kind))
    }

    /// The nonce, and the transaction that it follows.
    fn nonce<C: Coder>(&mut self, coder: &mut C, given: u64, kind: u32) -> Option<(u64, Seen)> {
        let count = self.seen.len() as u32;
        let distance = given
            .checked_sub(1)
            .and_then(|last| self.by_nonce.get(&last))
            .map(|at| count - at)
            // Where a small nonce follows another by chance, the way there costs more than itself.
            .filter(|distance| {
                64 - u64::from(*distance).leading_zeros() < 64 - given.leading_zeros()
            });
        let history = self.links & 0xff;
        let flag = [
            context(kind::LINK, history, kind),
            context(kind::LINK, history & 3, NONE),
        ];
        let linked = self
            .model
            .decide(coder, kind::LINK, &flag, 0, distance.is_some());
        self.links = self.links << 1 | u32::from(linked);
        if linked {
            let contexts = [
                context(kind::DISTANCE, history & 7, 0),
                context(kind::DISTANCE, NONE, kind),
            ];
            let given = u128::from(distance.unwrap_or_default());
            let distance = self
                .model
                .number(coder, kind::DISTANCE, &contexts, 6, given);
            let back = usize::try_from(distance).ok()?;
            let seen = *self.seen.get(self.seen.len().checked_sub(back)?)?;
            return Some((seen.nonce.checked_add(1)?, seen));
        }
        let contexts = [
            context(kind::NONCE, kind, 0),
            context(kind::NONCE, history & 3, 1),
        ];
        let nonce = self
            .model
            .number(coder, kind::NONCE, &contexts, 4, u128::from(given));
        Some((u64::try_from(nonce).ok()?, NOTHING))
    }

    /// The recipient and its number; creations have the number [`NONE`].
    fn recipient<C: Coder>(
        &mut self,
        coder: &mut C,
        given: TxKind,
        kind: u32,
        linked: &Seen,
        before: &Seen,
    ) -> Option<(TxKind, u32)> {
        let (class, place, address) = match given {
            TxKind::Create => (2, 0, Address::ZERO),
            TxKind::Call(address) => match self.addresses.find(&address) {
                Some(place) => (0, place, address),
                None => (1, 0, address),
            },
        };
        let contexts = [
            context(kind::RECIPIENT_CLASS, linked.to, linked.selector),
            context(kind::RECIPIENT_CLASS, before.selector, linked.selector),
            context(kind::RECIPIENT_CLASS, linked.value, kind),
        ];
        match self
            .model
            .symbol(coder, kind::RECIPIENT_CLASS, &contexts, 2, class)
        {
            0 => {
                let contexts = [
                    context(kind::RECIPIENT, linked.to, linked.selector),
                    context(kind::RECIPIENT, before.to, 1),
                    context(kind::RECIPIENT, linked.nonce.min(1) as u32, 2),
                ];
                let place = self.model.index(coder, kind::RECIPIENT, &contexts, place);
                Some((TxKind::Call(self.addresses.get(place)?), place))
            }
            1 => {
                let address = Address::from(plain_bytes(coder, &address.0.0));
                let place = self.addresses.append(address);
                Some((TxKind::Call(address), place))
            }
            2 => Some((TxKind::Create, NONE)),
            _ => None,
        }
    }

    /// Length and selector of the input, and the selector's number.
    fn shape<C: Coder>(
        &mut self,
        coder: &mut C,
        given: Shape,
        to: u32,
        kind: u32,
        linked: &Seen,
    ) -> Option<(Shape, u32)> {
        let given_selector = match given.layout {
            Layout::Call(selector) => Some(selector),
            Layout::Text => None,
        };
        let place = given_selector.and_then(|selector| self.selectors.find(&selector));
        let class = match (given_selector, place) {
            (None, _) if given.length == 0 => 0,
            (Some(_), Some(_)) => 1,
            (Some(_), None) => 2,
            (None, _) => 3,
        };
        let contexts = [
            context(kind::SHAPE, to, linked.selector),
            context(kind::SHAPE, to, NONE - 3),
            context(kind::SHAPE, linked.selector, linked.to),
            context(kind::SHAPE, kind, NONE - 2),
        ];
        let class = self.model.symbol(coder, kind::SHAPE, &contexts, 2, class);
        let (place, selector) = match class {
            0 => return Some((Shape::default(), NO_INPUT)),
            1 => {
                let contexts = [
                    context(kind::SELECTOR, to, linked.selector),
                    context(kind::SELECTOR, to, NONE - 3),
                    context(kind::SELECTOR, NONE, 1),
                ];
                let place = place.unwrap_or_default();
                let place = self.model.index(coder, kind::SELECTOR, &contexts, place);
                (place, self.selectors.get(place)?)
            }
            2 => {
                let selector = given_selector.unwrap_or_default();
                let selector = plain_bytes(coder, &selector);
                let place = self.selectors.append(selector);
                (place, selector)
            }
            _ => {
                let contexts = [context(kind::LENGTH, to, 0), context(kind::LENGTH, NONE, 1)];
                let length = given.length as u128;
                let length = self.model.number(coder, kind::LENGTH, &contexts, 6, length);
                let shape = Shape {
                    length: usize::try_from(length).ok()?,
                    layout: Layout::Text,
                };
                return Some((shape, NONE));
            }
        };
        let body = given.length.saturating_sub(4);
        let contexts = [
            context(kind::WORDS, to, place),
            context(kind::WORDS, NONE, place),
            context(kind::WORDS, NONE, NONE),
        ];
        let words = self
            .model
            .number(coder, kind::WORDS, &contexts, 8, (body / 32) as u128);
        let contexts = [
            context(kind::TAIL, place, words as u32),
            context(kind::TAIL, place, NONE),
            context(kind::TAIL, NONE, NONE),
        ];
        let tail = self
            .model
            .symbol(coder, kind::TAIL, &contexts, 5, (body % 32) as u32);
        let body = usize::try_from(words).ok()?.checked_mul(32)?;
        let shape = Shape {
            length: body.checked_add(4 + tail as usize)?,
            layout: Layout::Call(selector),
        };
        Some((shape, place))
    }

    fn value<C: Coder>(
        &mut self,
        coder: &mut C,
        given: U256,
        call: u32,
        selector: u32,
        linked: &Seen,
        before: &Seen,
    ) -> Option<(U256, u32)> {
        let place = self.values.find(&given);
        let small = u128::try_from(given).ok();
        let class = match (place, small) {
            _ if given.is_zero() => 0,
            (Some(_), _) => 1,
            (None, Some(_)) => 2,
            (None, None) => 3,
        };
        let contexts = [
            context(kind::VALUE_CLASS, call, linked.value),
            context(kind::VALUE_CLASS, selector, linked.value),
            context(kind::VALUE_CLASS, call, NONE - 1),
            context(kind::VALUE_CLASS, selector, before.value),
        ];
        let class = self
            .model
            .symbol(coder, kind::VALUE_CLASS, &contexts, 2, class);
        match class {
            0 => Some((U256::ZERO, 0)),
            1 => {
                let contexts = [
                    context(kind::VALUE, linked.value, call),
                    context(kind::VALUE, NONE, selector),
                    context(kind::VALUE, NONE, NONE),
                ];
                let place = place.unwrap_or_default();
                let place = self.model.index(coder, kind::VALUE, &contexts, place);
                Some((self.values.get(place)?, place.saturating_add(16)))
            }
            _ => {
                let value = if class == 2 {
                    let contexts = [
                        context(kind::VALUE_DECIMAL, selector, linked.value.min(16)),
                        context(kind::VALUE_DECIMAL, linked.to, 1),
                        context(kind::VALUE_DECIMAL, NONE, 2),
                    ];
                    let value = small.unwrap_or_default();
                    U256::from(decimals::code(
                        &mut self.model,
                        coder,
                        kind::VALUE_DECIMAL,
                        &contexts,
                        3,
                        value,
                    )?)
                } else {
                    U256::from_be_bytes(plain_bytes(coder, &given.to_be_bytes::<32>()))
                };
                self.values.append(value);
                Some((value, class))
            }
        }
    }

    fn gas<C: Coder>(
        &mut self,
        coder: &mut C,
        given: u64,
        call: u32,
        selector: u32,
        linked: &Seen,
        before: &Seen,
    ) -> Option<(u64, u32)> {
        let place = self.gas_limits.find(&given);
        let contexts = [
            context(kind::GAS_KNOWN, call, linked.gas),
            context(kind::GAS_KNOWN, linked.gas, selector),
            context(kind::GAS_KNOWN, call, NONE - 1),
            context(kind::GAS_KNOWN, selector, NONE - 1),
        ];
        if self
            .model
            .decide(coder, kind::GAS_KNOWN, &contexts, 0, place.is_some())
        {
            let contexts = [
                context(kind::GAS, linked.gas, selector),
                context(kind::GAS, call, NONE - 1),
                context(kind::GAS, NONE, selector),
                context(kind::GAS, before.gas, NONE - 2),
                context(kind::GAS, NONE, NONE),
            ];
            let place = place.unwrap_or_default();
            let place = self.model.index(coder, kind::GAS, &contexts, place);
            return Some((self.gas_limits.get(place)?, place));
        }
        let contexts = [
            context(kind::GAS_DECIMAL, call, 0),
            context(kind::GAS_DECIMAL, selector, 1),
            context(kind::GAS_DECIMAL, NONE, 2),
        ];
        let gas = u128::from(given);
        let gas = decimals::code(&mut self.model, coder, kind::GAS_DECIMAL, &contexts, 5, gas)?;
        let gas = u64::try_from(gas).ok()?;
        Some((gas, self.gas_limits.append(gas)))
    }

    /// Fee cap and tip, and what later transactions are predicted from.
    fn fees<C: Coder>(
        &mut self,
        coder: &mut C,
        given: &Fields,
        ty: u8,
        linked: &Seen,
        before: &Seen,
    ) -> Option<(u128, u128, u32, u32)> {
        let dynamic = matches!(ty, EIP1559 | EIP7702);
        let mut tip = 0;
        let mut tip_place = NONE;
        if dynamic {
            let contexts = [
                context(kind::TIP, linked.tip, 0),
                context(kind::TIP, before.tip, 1),
                context(kind::TIP, NONE, 2),
            ];
            let kinds = (kind::TIP_KNOWN, kind::TIP, kind::TIP_DECIMAL);
            (tip, tip_place) = money(
                &mut self.model,
                coder,
                &mut self.tips,
                kinds,
                &contexts,
                given.max_priority_fee,
            )?;
        }
        // The cap is often twice the base fee plus the tip: then the difference repeats.
        let surcharge = given.max_fee.wrapping_sub(tip);
        let by_surcharge = dynamic
            && self.fees.find(&given.max_fee).is_none()
            && (self.surcharges.find(&surcharge).is_some());
        let mut with_surcharge = false;
        if dynamic {
            let contexts = [
                context(kind::SURCHARGED, linked.fee, linked.tip),
                context(kind::SURCHARGED, before.fee, tip_place),
                context(kind::SURCHARGED, tip_place, NONE),
            ];
            with_surcharge = self
                .model
                .decide(coder, kind::SURCHARGED, &contexts, 0, by_surcharge);
        }
        let group = u32::from(dynamic);
        if with_surcharge {
            let contexts = [
                context(kind::SURCHARGE, linked.fee, tip_place),
                context(kind::SURCHARGE, before.fee, 1),
                context(kind::SURCHARGE, NONE, 2),
            ];
            let place = self.surcharges.find(&surcharge).unwrap_or_default();
            let place = self.model.index(coder, kind::SURCHARGE, &contexts, place);
            let max_fee = self.surcharges.get(place)?.wrapping_add(tip);
            let fee = match self.fees.find(&max_fee) {
                Some(fee) => fee,
                None => self.fees.append(max_fee),
            };
            return Some((max_fee, tip, fee, tip_place));
        }
        let contexts = [
            context(kind::FEE, linked.fee, linked.tip ^ group),
            context(kind::FEE, before.fee, tip_place ^ group),
            context(kind::FEE, tip_place, 2 + group),
            context(kind::FEE, NONE, 4),
        ];
        let kinds = (kind::FEE_KNOWN, kind::FEE, kind::FEE_DECIMAL);
        let (max_fee, fee) = money(
            &mut self.model,
            coder,
            &mut self.fees,
            kinds,
            &contexts,
            given.max_fee,
        )?;
        if dynamic {
            let surcharge = max_fee.wrapping_sub(tip);
            if self.surcharges.find(&surcharge).is_none() {
                self.surcharges.append(surcharge);
            }
        }
        Some((max_fee, tip, fee, tip_place))
    }
}

/// An amount of wei that was there before, or a new one.
fn money<C: Coder, const N: usize>(
    model: &mut Model,
    coder: &mut C,
    table: &mut Table<u128>,
    (known, index, decimal): (u32, u32, u32),
    contexts: &Contexts<N>,
    given: u128,
) -> Option<(u128, u32)> {
    let place = table.find(&given);
    if model.decide(coder, known, contexts, 0x77, place.is_some()) {
        let place = model.index(coder, index, contexts, place.unwrap_or_default());
        return Some((table.get(place)?, place));
    }
    let value = decimals::code(model, coder, decimal, contexts, 8, given)?;
    Some((value, table.append(value)))
}
