//! Random EVM programs that meet each other: they read, write, call, create and destroy among a few
//! places, and what they read decides what they write.
#![allow(dead_code, reason = "each test program uses a part")]

use alloy_primitives::{Address, U256};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use weft_primitives::Fork;

const ADD: u8 = 0x01;
const SUB: u8 = 0x03;
const AND: u8 = 0x16;
const ADDRESS: u8 = 0x30;
const BALANCE: u8 = 0x31;
const ORIGIN: u8 = 0x32;
const CALLER: u8 = 0x33;
const CALLVALUE: u8 = 0x34;
const CALLDATALOAD: u8 = 0x35;
const CODECOPY: u8 = 0x39;
const GASPRICE: u8 = 0x3a;
const EXTCODESIZE: u8 = 0x3b;
const EXTCODECOPY: u8 = 0x3c;
const RETURNDATASIZE: u8 = 0x3d;
const EXTCODEHASH: u8 = 0x3f;
const BLOCKHASH: u8 = 0x40;
const COINBASE: u8 = 0x41;
const TIMESTAMP: u8 = 0x42;
const PREVRANDAO: u8 = 0x44;
const GASLIMIT: u8 = 0x45;
const CHAINID: u8 = 0x46;
const SELFBALANCE: u8 = 0x47;
const BASEFEE: u8 = 0x48;
const POP: u8 = 0x50;
const MLOAD: u8 = 0x51;
const MSTORE: u8 = 0x52;
const SLOAD: u8 = 0x54;
const SSTORE: u8 = 0x55;
const JUMPI: u8 = 0x57;
const GAS: u8 = 0x5a;
const JUMPDEST: u8 = 0x5b;
const TLOAD: u8 = 0x5c;
const TSTORE: u8 = 0x5d;
const DUP1: u8 = 0x80;
const SWAP1: u8 = 0x90;
const LOG1: u8 = 0xa1;
const CREATE: u8 = 0xf0;
const CALL: u8 = 0xf1;
const CALLCODE: u8 = 0xf2;
const RETURN: u8 = 0xf3;
const DELEGATECALL: u8 = 0xf4;
const CREATE2: u8 = 0xf5;
const STATICCALL: u8 = 0xfa;
const REVERT: u8 = 0xfd;
const INVALID: u8 = 0xfe;
const SELFDESTRUCT: u8 = 0xff;

/// How many slots of a contract programs use.
pub(crate) const SLOTS: u64 = 4;

/// What programs may name.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) fork: Fork,
    pub(crate) number: u64,
    /// Accounts.
    pub(crate) places: Vec<Address>,
    /// Init code that creations run.
    pub(crate) init_codes: Vec<Vec<u8>>,
}

impl Scene {
    fn place(&self, rng: &mut StdRng) -> Address {
        *self.places.choose(rng).unwrap()
    }

    /// Whether an instruction of this fork may be used. Now and then one may that does not exist
    /// yet, which ends its frame.
    fn has(&self, fork: Fork, rng: &mut StdRng) -> bool {
        self.fork >= fork || rng.random_ratio(1, 50)
    }
}

/// A program in the making.
pub(crate) struct Program<'a> {
    code: Vec<u8>,
    scene: &'a Scene,
    rng: &'a mut StdRng,
}

/// A program of this many statements at most.
pub(crate) fn program(scene: &Scene, statements: usize, rng: &mut StdRng) -> Vec<u8> {
    let count = rng.random_range(1..=statements);
    let mut program = Program {
        code: Vec::new(),
        scene,
        rng,
    };
    for _ in 0..count {
        program.statement(true);
    }
    if program.rng.random_ratio(1, 4) {
        program.end();
    }
    program.code
}

/// Init code that runs a short program of its own and then deploys `runtime`.
pub(crate) fn init_code(scene: &Scene, runtime: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut program = Program {
        code: Vec::new(),
        scene,
        rng,
    };
    for _ in 0..program.rng.random_range(0..3) {
        program.statement(false);
    }
    let length = u64::try_from(runtime.len()).unwrap();
    // CODECOPY(0, offset, length), RETURN(0, length): the runtime follows.
    program.push(length);
    program.code.push(0x61);
    let offset_at = program.code.len();
    program.code.extend_from_slice(&[0, 0]);
    program.push(0);
    program.code.push(CODECOPY);
    program.push(length);
    program.push(0);
    program.code.push(RETURN);
    let offset = u16::try_from(program.code.len()).unwrap().to_be_bytes();
    program.code[offset_at..offset_at + 2].copy_from_slice(&offset);
    program.code.extend_from_slice(runtime);
    program.code
}

/// A contract that is gone when somebody has called it.
pub(crate) fn self_destructing(heir: Address) -> Vec<u8> {
    [&[0x73][..], heir.as_slice(), &[SELFDESTRUCT]].concat()
}

impl Program<'_> {
    fn op(&mut self, op: u8) {
        self.code.push(op);
    }

    fn push(&mut self, value: u64) {
        let bytes = value.to_be_bytes();
        let zeros = (value.leading_zeros() / 8).min(7) as usize;
        self.push_bytes(&bytes[zeros..]);
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        self.code.push(0x5f + u8::try_from(bytes.len()).unwrap());
        self.code.extend_from_slice(bytes);
    }

    /// Puts a slot number on the stack.
    fn slot(&mut self) {
        if self.rng.random_ratio(1, 6) {
            // One that depends on what the state holds.
            self.push(SLOTS - 1);
            self.value(1);
            self.op(AND);
        } else {
            let slot = self.rng.random_range(0..SLOTS);
            self.push(slot);
        }
    }

    fn address(&mut self) {
        match self.rng.random_range(0..12) {
            0 => self.op(CALLER),
            1 => self.op(COINBASE),
            2 => {
                self.push(0);
                self.op(CALLDATALOAD);
            }
            // Wherever a creation has left its address.
            3 => {
                self.slot();
                self.op(SLOAD);
            }
            _ => {
                let place = self.scene.place(self.rng);
                self.push_bytes(place.as_slice());
            }
        }
    }

    /// Puts a word on the stack.
    fn value(&mut self, depth: u8) {
        match self.rng.random_range(0..20) {
            0..4 => {
                self.slot_or_constant(depth);
                self.op(SLOAD);
            }
            4..6 => {
                self.address();
                self.op(BALANCE);
            }
            6 => {
                self.op(COINBASE);
                self.op(BALANCE);
            }
            7 if self.scene.has(Fork::Istanbul, self.rng) => self.op(SELFBALANCE),
            8 => {
                self.address();
                self.op(EXTCODESIZE);
            }
            9 if self.scene.has(Fork::Petersburg, self.rng) => {
                self.address();
                self.op(EXTCODEHASH);
            }
            10 => {
                let back = *[0, 1, 2, 3, 256, 257].choose(self.rng).unwrap();
                self.push(self.scene.number - back);
                self.op(BLOCKHASH);
            }
            11 => {
                let ops = [
                    ADDRESS, ORIGIN, CALLER, CALLVALUE, GASPRICE, COINBASE, TIMESTAMP, PREVRANDAO,
                    GASLIMIT, GAS,
                ];
                let op = *ops.choose(self.rng).unwrap();
                self.op(op);
            }
            12 if self.scene.has(Fork::Byzantium, self.rng) => self.op(RETURNDATASIZE),
            13 if self.scene.has(Fork::London, self.rng) => {
                let op = *[BASEFEE, CHAINID].choose(self.rng).unwrap();
                self.op(op);
            }
            14 if self.scene.has(Fork::Cancun, self.rng) => {
                self.slot_or_constant(depth);
                self.op(TLOAD);
            }
            15 => {
                self.push(32);
                self.push(0);
                self.push(0);
                self.address();
                self.op(EXTCODECOPY);
                self.push(0);
                self.op(MLOAD);
            }
            16 => {
                self.push(0);
                self.op(CALLDATALOAD);
            }
            17 | 18 if depth > 0 => {
                self.value(depth - 1);
                self.value(depth - 1);
                self.op(ADD);
            }
            _ => {
                let value = self.rng.random_range(0..4);
                self.push(value);
            }
        }
    }

    fn slot_or_constant(&mut self, depth: u8) {
        if depth > 0 {
            self.slot();
        } else {
            let slot = self.rng.random_range(0..SLOTS);
            self.push(slot);
        }
    }

    /// Puts a number of wei on the stack that the account may well have.
    fn wei(&mut self) {
        match self.rng.random_range(0..10) {
            0 => {
                self.push(3);
                self.value(0);
                self.op(AND);
            }
            1 if self.scene.fork >= Fork::Istanbul => self.op(SELFBALANCE),
            2 => self.push(1_000_000_000),
            3..6 => {
                let wei = self.rng.random_range(1..4);
                self.push(wei);
            }
            _ => self.push(0),
        }
    }

    fn gas(&mut self) {
        // Before EIP-150 more than what is left ends the frame.
        if self.scene.fork >= Fork::Tangerine && self.rng.random_ratio(2, 3) {
            self.op(GAS);
        } else {
            let gas = *[0, 700, 3_000, 10_000, 30_000, 60_000]
                .choose(self.rng)
                .unwrap();
            self.push(gas);
        }
    }

    /// Leaves the top of the stack somewhere, or nowhere.
    fn consume(&mut self) {
        if self.rng.random_ratio(1, 3) {
            self.slot();
            self.op(SSTORE);
        } else {
            self.op(POP);
        }
    }

    fn call(&mut self) {
        let kind = match self.rng.random_range(0..8) {
            0 => CALLCODE,
            1 | 2 if self.scene.has(Fork::Homestead, self.rng) => DELEGATECALL,
            3 if self.scene.has(Fork::Byzantium, self.rng) => STATICCALL,
            _ => CALL,
        };
        // Some calldata: a place, which the callee may use.
        let input = if self.rng.random_ratio(1, 3) {
            let place = self.scene.place(self.rng);
            self.push_bytes(place.as_slice());
            self.push(0);
            self.op(MSTORE);
            32
        } else {
            0
        };
        self.push(32);
        self.push(0);
        self.push(input);
        self.push(0);
        if kind == CALL || kind == CALLCODE {
            self.wei();
        }
        self.address();
        self.gas();
        self.op(kind);
        if self.rng.random_ratio(1, 4) {
            self.op(POP);
            self.push(0);
            self.op(MLOAD);
        }
        self.consume();
    }

    fn create(&mut self) {
        let Some(init) = self.scene.init_codes.choose(self.rng).cloned() else {
            return;
        };
        for (index, chunk) in init.chunks(32).enumerate() {
            let mut word = [0; 32];
            word[..chunk.len()].copy_from_slice(chunk);
            self.push_bytes(&word);
            self.push(u64::try_from(index * 32).unwrap());
            self.op(MSTORE);
        }
        let length = u64::try_from(init.len()).unwrap();
        let value = *[0, 0, 0, 1].choose(self.rng).unwrap();
        if self.rng.random_ratio(2, 3) && self.scene.has(Fork::Petersburg, self.rng) {
            let salt = self.rng.random_range(0..2);
            self.push(salt);
            self.push(length);
            self.push(0);
            self.push(value);
            self.op(CREATE2);
        } else {
            self.push(length);
            self.push(0);
            self.push(value);
            self.op(CREATE);
        }
        match self.rng.random_range(0..4) {
            // Call what has come into being, which destroys some of them at once.
            0 | 1 => {
                self.push(0);
                for _ in 0..4 {
                    self.op(DUP1);
                }
                // address 0 0 0 0 0 -> CALL(30000, address, 0, 0, 0, 0, 0)
                self.op(0x85);
                self.push(30_000);
                self.op(CALL);
                self.op(POP);
                self.consume();
            }
            _ => self.consume(),
        }
    }

    /// Ends the program here.
    fn end(&mut self) {
        match self.rng.random_range(0..8) {
            0 | 1 => {
                self.address();
                self.op(SELFDESTRUCT);
            }
            2 => {
                self.push(0);
                self.push(0);
                self.op(REVERT);
            }
            3 => self.op(INVALID),
            4 => self.op(0),
            _ => {
                self.value(0);
                self.push(0);
                self.op(MSTORE);
                self.push(32);
                self.push(0);
                self.op(RETURN);
            }
        }
    }

    fn statement(&mut self, branches: bool) {
        match self.rng.random_range(0..24) {
            0..7 => {
                self.value(1);
                self.slot();
                self.op(SSTORE);
            }
            // A counter: what ERC-20 balances and pool reserves look like.
            7..10 => {
                let slot = self.rng.random_range(0..SLOTS);
                self.push(1);
                self.push(slot);
                self.op(SLOAD);
                self.op(ADD);
                self.push(slot);
                self.op(SSTORE);
            }
            10 => {
                self.value(1);
                self.op(POP);
            }
            11 => {
                self.value(0);
                self.push(2);
                self.push(0);
                self.op(LOG1);
            }
            12 if self.scene.has(Fork::Cancun, self.rng) => {
                self.value(0);
                self.slot();
                self.op(TSTORE);
            }
            13 | 14 if branches => self.create(),
            15 | 16 if branches => {
                self.value(1);
                self.push(1);
                self.op(AND);
                self.skip_if(|program| {
                    program.statement(false);
                    if program.rng.random_ratio(1, 3) {
                        program.end();
                    }
                });
            }
            17 => self.burn(),
            18 if self.rng.random_ratio(1, 4) => self.end(),
            _ => self.call(),
        }
    }

    /// Skips what `body` does when the top of the stack is not zero.
    fn skip_if(&mut self, body: impl FnOnce(&mut Self)) {
        self.op(0x61);
        let target_at = self.code.len();
        self.code.extend_from_slice(&[0, 0]);
        self.op(JUMPI);
        body(self);
        let target = u16::try_from(self.code.len()).unwrap().to_be_bytes();
        self.code[target_at..target_at + 2].copy_from_slice(&target);
        self.op(JUMPDEST);
    }

    /// A loop that only takes time.
    fn burn(&mut self) {
        let rounds = self.rng.random_range(1..100);
        self.push(rounds);
        let start = u16::try_from(self.code.len()).unwrap();
        self.op(JUMPDEST);
        self.push(1);
        self.op(SWAP1);
        self.op(SUB);
        self.op(DUP1);
        self.push_bytes(&start.to_be_bytes());
        self.op(JUMPI);
        self.op(POP);
    }
}

/// Slots to start with.
pub(crate) fn slots(scene: &Scene, rng: &mut StdRng) -> Vec<(U256, U256)> {
    (0..SLOTS)
        .filter_map(|slot| {
            let value = match rng.random_range(0..4) {
                0 => U256::from(rng.random_range(1..4)),
                1 => scene.place(rng).into_word().into(),
                _ => return None,
            };
            Some((U256::from(slot), value))
        })
        .collect()
}
