//! EVM contracts that do what Tally contracts do.

use alloy_primitives::Address;

use super::Word;

pub(crate) const ADD: u8 = 0x01;
pub(crate) const ADDRESS: u8 = 0x30;
pub(crate) const BALANCE: u8 = 0x31;
pub(crate) const CALLER: u8 = 0x33;
pub(crate) const CALLVALUE: u8 = 0x34;
pub(crate) const CALLDATALOAD: u8 = 0x35;
pub(crate) const POP: u8 = 0x50;
pub(crate) const SLOAD: u8 = 0x54;
pub(crate) const SSTORE: u8 = 0x55;
pub(crate) const GAS: u8 = 0x5a;
pub(crate) const CREATE: u8 = 0xf0;
pub(crate) const CALL: u8 = 0xf1;
pub(crate) const DELEGATECALL: u8 = 0xf4;
pub(crate) const CREATE2: u8 = 0xf5;
pub(crate) const STATICCALL: u8 = 0xfa;
pub(crate) const INVALID: u8 = 0xfe;
pub(crate) const SELFDESTRUCT: u8 = 0xff;

/// An EVM contract in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evm(Vec<u8>);

impl Evm {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// PUSH32: 3 gas.
    pub(crate) fn push(mut self, word: impl Into<Word>) -> Self {
        self.0.push(0x7f);
        self.0.extend(word.into().0.to_be_bytes::<32>());
        self
    }

    /// This, and then the other.
    pub(crate) fn then(mut self, other: &Self) -> Self {
        self.0.extend_from_slice(&other.0);
        self
    }

    pub(crate) fn op(mut self, op: u8) -> Self {
        self.0.push(op);
        self
    }

    pub(crate) fn ops(mut self, ops: &[u8]) -> Self {
        self.0.extend_from_slice(ops);
        self
    }

    pub(crate) fn store(self, slot: u64, value: u64) -> Self {
        self.push(value).push(slot).op(SSTORE)
    }

    /// Copies the calldata from `offset` on to memory.
    fn calldata(self, offset: u8) -> Self {
        // PUSH1 offset, CALLDATASIZE, SUB; PUSH1 offset, PUSH0, CALLDATACOPY.
        self.ops(&[0x60, offset, 0x36, 0x03, 0x60, offset, 0x5f, 0x37])
    }

    /// Calls with the calldata from `offset` on and all gas; leaves whether it returned.
    pub(crate) fn call(self, to: Address, value: u64, offset: u8) -> Self {
        self.calldata(offset)
            .ops(&[0x5f, 0x5f, 0x60, offset, 0x36, 0x03, 0x5f])
            .push(value)
            .push(to)
            .op(GAS)
            .op(CALL)
    }

    /// Calls without value, with the calldata.
    pub(crate) fn call_as(self, op: u8, to: Address) -> Self {
        self.calldata(0)
            .ops(&[0x5f, 0x5f, 0x36, 0x5f])
            .push(to)
            .op(GAS)
            .op(op)
    }

    /// Creates from the calldata from `offset` on; leaves the address.
    pub(crate) fn create(self, value: u64, offset: u8) -> Self {
        self.calldata(offset)
            .ops(&[0x60, offset, 0x36, 0x03, 0x5f])
            .push(value)
            .op(CREATE)
    }

    /// The first word of what the last call came back with.
    pub(crate) fn output(self) -> Self {
        // RETURNDATACOPY(0, 0, RETURNDATASIZE), MLOAD(0); memory is cleared before.
        self.ops(&[0x5f, 0x5f, 0x52, 0x3d, 0x5f, 0x5f, 0x3e, 0x5f, 0x51])
    }

    /// Returns the word on top.
    pub(crate) fn return_top(self) -> Self {
        self.ops(&[0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3])
    }

    /// Reverts with the word on top.
    pub(crate) fn revert_top(self) -> Self {
        self.ops(&[0x5f, 0x52, 0x60, 0x20, 0x5f, 0xfd])
    }

    pub(crate) fn log_top(self) -> Self {
        self.ops(&[0x5f, 0x52, 0x60, 0x20, 0x5f, 0xa0])
    }

    pub(crate) fn code(&self) -> Vec<u8> {
        self.0.clone()
    }
}

/// Init code that returns this code.
pub(crate) fn returning(code: &[u8]) -> Vec<u8> {
    let length = u16::try_from(code.len()).unwrap().to_be_bytes();
    // PUSH2 length, PUSH1 offset, PUSH0, CODECOPY, PUSH2 length, PUSH0, RETURN.
    let head = [
        0x61, length[0], length[1], 0x60, 12, 0x5f, 0x39, 0x61, length[0], length[1], 0x5f, 0xf3,
    ];
    [&head[..], code].concat()
}
