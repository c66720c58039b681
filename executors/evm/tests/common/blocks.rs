//! Random blocks on random states, each a function of its seed.
#![allow(dead_code, reason = "each test program uses a part")]

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
};

use alloy_consensus::{TxEip2930, TxEip4844, TxEip7702};
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use weft_executor_core::{Account, BlockEnv, MemoryState};
use weft_executor_evm::EvmLayer;
use weft_primitives::{Fork, RecoveredTransaction, Transaction, TxDeposit};

use super::{
    chain::{BASE_FEE, CHAIN_ID, block, deposit, dynamic_fee, legacy, recovered},
    code::{self, Scene},
    plain::PlainBlock,
};

/// A block to execute, and the state before it.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) env: BlockEnv,
    pub(crate) state: MemoryState,
    pub(crate) transactions: Vec<RecoveredTransaction>,
    /// The block in the plainest way; `None` when a deposit does not fit.
    pub(crate) plain: Option<PlainBlock>,
}

const NUMBER: u64 = 1_000;

const FORKS: [Fork; 14] = [
    Fork::Frontier,
    Fork::Homestead,
    Fork::Tangerine,
    Fork::SpuriousDragon,
    Fork::Byzantium,
    Fork::Petersburg,
    Fork::Istanbul,
    Fork::Berlin,
    Fork::London,
    Fork::Merge,
    Fork::Shanghai,
    Fork::Cancun,
    Fork::Prague,
    Fork::Osaka,
];

/// Accounts whose keys are known, so that they can sign authorizations.
static KEYS: LazyLock<Vec<PrivateKeySigner>> = LazyLock::new(|| {
    (1..=6u8)
        .map(|number| PrivateKeySigner::from_bytes(&B256::repeat_byte(number)).unwrap())
        .collect()
});

/// The same for all seeds, so that few authorizations have to be signed.
fn contract(index: usize) -> Address {
    Address::from_word(keccak256(format!("contract {index}")))
}

fn user(index: usize) -> Address {
    match KEYS.get(index) {
        Some(key) => key.address(),
        None => Address::from_word(keccak256(format!("user {index}"))),
    }
}

fn fresh(index: usize) -> Address {
    Address::from_word(keccak256(format!("fresh {index}")))
}

fn authorization(key: usize, chain_id: u64, address: Address, nonce: u64) -> SignedAuthorization {
    type Signed = HashMap<(usize, u64, Address, u64), SignedAuthorization>;
    static SIGNED: LazyLock<Mutex<Signed>> = LazyLock::new(Mutex::default);
    let mut signed = SIGNED.lock().unwrap();
    let entry = signed.entry((key, chain_id, address, nonce));
    let new = || {
        let authorization = Authorization {
            chain_id: U256::from(chain_id),
            address,
            nonce,
        };
        let signature = KEYS[key].sign_hash_sync(&authorization.signature_hash());
        authorization.into_signed(signature.unwrap())
    };
    entry.or_insert_with(new).clone()
}

/// A delegation's code (EIP-7702).
fn delegation(target: Address) -> Vec<u8> {
    [&[0xef, 0x01, 0x00][..], target.as_slice()].concat()
}

struct Generator {
    rng: StdRng,
    scene: Scene,
    env: BlockEnv,
    users: usize,
    contracts: usize,
    /// The transactions so far, so that most of the next ones can be right.
    plain: PlainBlock,
}

/// The block of this seed.
pub(crate) fn scenario(layer: &EvmLayer, seed: u64) -> Scenario {
    let mut rng = StdRng::seed_from_u64(seed);
    let fork = if rng.random_ratio(1, 2) {
        Fork::LATEST
    } else if rng.random_ratio(1, 3) {
        *[Fork::Cancun, Fork::Prague].choose(&mut rng).unwrap()
    } else {
        *FORKS.choose(&mut rng).unwrap()
    };
    let users = *[2, 4, 8, 40].choose(&mut rng).unwrap();
    let contracts = *[1, 3, 6, 16].choose(&mut rng).unwrap();
    let mut env = block(fork);
    env.number = NUMBER;
    if rng.random_ratio(1, 5) {
        env.base_fee = 0;
    }
    env.beneficiary = match rng.random_range(0..8) {
        0 => user(rng.random_range(0..users)),
        1 => contract(rng.random_range(0..contracts)),
        2 => fresh(0),
        3 => Address::with_last_byte(4),
        _ => env.beneficiary,
    };
    if rng.random_ratio(1, 8) {
        // Some do not fit any more. A deposit that does not is an error of the whole block.
        env.gas_limit = rng.random_range(300_000..2_000_000);
    }
    let mut generator = Generator {
        scene: Scene {
            fork,
            number: NUMBER,
            places: Vec::new(),
            init_codes: Vec::new(),
        },
        rng,
        env,
        users,
        contracts,
        plain: PlainBlock::default(),
    };
    let state = generator.state();
    generator.plain = PlainBlock::new(state.clone());
    let count = *[20, 60, 90, 150].choose(&mut generator.rng).unwrap();
    let count = generator.rng.random_range(count / 2..=count);
    let mut possible = true;
    let transactions = (0..count)
        .map(|_| {
            let transaction = generator.transaction();
            let included = generator.plain.push(layer, &generator.env, &transaction);
            possible &= included || !transaction.is_deposit();
            transaction
        })
        .collect();
    Scenario {
        env: generator.env,
        state,
        transactions,
        plain: possible.then_some(generator.plain),
    }
}

impl Generator {
    /// Accounts of all kinds, and with them what programs can name.
    fn state(&mut self) -> MemoryState {
        let mut state = MemoryState::default();
        let rng = &mut self.rng;
        let contracts: Vec<_> = (0..self.contracts).map(contract).collect();
        let mut places = contracts.clone();
        places.extend((0..self.users.min(8)).map(user));
        places.extend((0..4).map(fresh));
        places.extend([1, 2, 3, 4, 5, 9].map(Address::with_last_byte));
        places.push(self.env.beneficiary);
        places.extend(contracts.iter().map(|address| address.create(1)));
        places.push(user(0).create(0));
        self.scene.places = places;
        // First what creations deploy, then the programs that create.
        for _ in 0..3 {
            let runtime = match rng.random_range(0..3) {
                0 => code::self_destructing(*self.scene.places.choose(rng).unwrap()),
                _ => code::program(&self.scene, 3, rng),
            };
            let init = code::init_code(&self.scene, &runtime, rng);
            for creator in &contracts[..self.contracts.min(3)] {
                for salt in 0..2 {
                    let salt = B256::from(U256::from(salt));
                    self.scene
                        .places
                        .push(creator.create2(salt, keccak256(&init)));
                }
            }
            self.scene.init_codes.push(init);
        }
        for address in contracts {
            let mut code = code::program(&self.scene, 8, rng);
            if self.scene.fork < Fork::Cancun && rng.random_ratio(1, 4) {
                let heir = *self.scene.places.choose(rng).unwrap();
                code.extend(code::self_destructing(heir));
            }
            let balance = *[0, 0, 10, 1_000].choose(rng).unwrap();
            let slots = code::slots(&self.scene, rng);
            state.insert(address, 1, U256::from(balance), code.into(), slots);
        }
        for index in 0..self.users {
            let balance = match rng.random_range(0..6) {
                // Enough for one transaction or two.
                0 => rng.random_range(200_000_000..3_000_000_000),
                _ => 1u64 << 60,
            };
            let nonce = *[0, 0, 0, 5].choose(rng).unwrap();
            let delegated = self.scene.fork >= Fork::Prague && rng.random_ratio(1, 6);
            let code = if delegated {
                delegation(*self.scene.places.choose(rng).unwrap())
            } else {
                Vec::new()
            };
            let slots = if delegated {
                code::slots(&self.scene, rng)
            } else {
                Vec::new()
            };
            state.insert(user(index), nonce, U256::from(balance), code.into(), slots);
        }
        // An empty account, and one whose storage a creation collides with.
        if rng.random_ratio(1, 4) {
            state.accounts.insert(
                *[fresh(1), fresh(2)].choose(rng).unwrap(),
                Account::default(),
            );
        }
        if rng.random_ratio(1, 8) {
            let collision = *self.scene.places.choose(rng).unwrap();
            if !state.accounts.contains_key(&collision) {
                let slots = [(U256::ZERO, U256::ONE)];
                let balance = U256::from(rng.random_range(0..2));
                state.insert(collision, 0, balance, Bytes::new(), slots);
            }
        }
        state.block_hashes = (NUMBER - 256..NUMBER)
            .map(|number| (number, keccak256(number.to_be_bytes())))
            .collect();
        state
    }

    fn place(&mut self) -> Address {
        *self.scene.places.choose(&mut self.rng).unwrap()
    }

    fn gas_limit(&mut self) -> u64 {
        match self.rng.random_range(0..20) {
            // Out of gas anywhere.
            0..5 => self.rng.random_range(21_000..120_000),
            5 if self.rng.random_ratio(1, 4) => self.rng.random_range(0..21_000),
            6 => 21_000 + self.rng.random_range(0..3_000),
            7 => 2_000_000,
            8 => (1 << 24) + self.rng.random_range(0..2),
            _ => 300_000,
        }
    }

    fn next_nonce(&self, address: Address) -> u64 {
        let account = self.plain.state.accounts.get(&address);
        account.map_or(0, |account| account.nonce)
    }

    /// The nonce to send with, now and then a wrong one.
    fn nonce(&mut self, sender: Address) -> u64 {
        let next = self.next_nonce(sender);
        match self.rng.random_range(0..30) {
            0 => next + self.rng.random_range(1..3),
            1 => next.wrapping_sub(1),
            _ => next,
        }
    }

    fn input(&mut self) -> Bytes {
        match self.rng.random_range(0..6) {
            0 => Bytes::new(),
            1 => Bytes::from(vec![self.rng.random_range(0..4); 4]),
            2 => Bytes::from(vec![1; self.rng.random_range(0..600)]),
            _ => Bytes::from(self.place().into_word().to_vec()),
        }
    }

    fn access_list(&mut self) -> AccessList {
        let count = self.rng.random_range(0..3);
        AccessList(
            (0..count)
                .map(|_| AccessListItem {
                    address: self.place(),
                    storage_keys: vec![B256::from(U256::from(
                        self.rng.random_range(0..code::SLOTS),
                    ))],
                })
                .collect(),
        )
    }

    fn value(&mut self) -> u64 {
        match self.rng.random_range(0..10) {
            0..3 => 0,
            3 => 500_000_000,
            4 => 1 << 59,
            _ => self.rng.random_range(1..5),
        }
    }

    /// Maximum fee and tip, in wei per gas.
    fn fees(&mut self) -> (u128, u128) {
        let tip = self.rng.random_range(0..3);
        let most = match self.rng.random_range(0..80) {
            0 => BASE_FEE - 1,
            _ => BASE_FEE + self.rng.random_range(0..3),
        };
        (most.into(), tip)
    }

    fn transaction(&mut self) -> RecoveredTransaction {
        let sender = if self.rng.random_ratio(1, 25) {
            self.env.beneficiary
        } else {
            user(self.rng.random_range(0..self.users))
        };
        match self.rng.random_range(0..100) {
            0..30 => self.transfer(sender),
            30..37 => self.deposit(sender),
            37..47 if self.scene.fork >= Fork::Prague => self.delegation(sender),
            47..49 if self.scene.fork >= Fork::Cancun => self.blob(sender),
            _ => self.execution(sender),
        }
    }

    /// A plain transfer, to whomever.
    fn transfer(&mut self, sender: Address) -> RecoveredTransaction {
        let to = match self.rng.random_range(0..4) {
            0 => user(self.rng.random_range(0..self.users)),
            1 => fresh(self.rng.random_range(0..6)),
            2 => self.env.beneficiary,
            _ => self.place(),
        };
        let gas_limit = *[21_000, 21_000, 50_000, 300_000]
            .choose(&mut self.rng)
            .unwrap();
        self.signed(sender, TxKind::Call(to), gas_limit, Bytes::new(), false)
    }

    fn execution(&mut self, sender: Address) -> RecoveredTransaction {
        let gas_limit = self.gas_limit();
        if self.rng.random_ratio(1, 10) {
            let init = self.scene.init_codes.choose(&mut self.rng).unwrap().clone();
            return self.signed(sender, TxKind::Create, gas_limit, init.into(), true);
        }
        let to = match self.rng.random_range(0..5) {
            0 => self.place(),
            1 => user(self.rng.random_range(0..self.users)),
            // Most meet in one contract.
            2 => contract(0),
            _ => contract(self.rng.random_range(0..self.contracts)),
        };
        let input = self.input();
        self.signed(sender, TxKind::Call(to), gas_limit, input, true)
    }

    fn signed(
        &mut self,
        sender: Address,
        to: TxKind,
        gas_limit: u64,
        input: Bytes,
        lists: bool,
    ) -> RecoveredTransaction {
        let nonce = self.nonce(sender);
        let value = self.value();
        let (max_fee, tip) = self.fees();
        let fork = self.scene.fork;
        match self.rng.random_range(0..4) {
            0 | 1 if fork >= Fork::London => {
                let mut transaction = dynamic_fee(nonce, to, value.into());
                transaction.gas_limit = gas_limit;
                transaction.max_fee_per_gas = max_fee;
                transaction.max_priority_fee_per_gas = tip;
                transaction.input = input;
                if lists {
                    transaction.access_list = self.access_list();
                }
                recovered(sender, Transaction::Eip1559, transaction)
            }
            2 if fork >= Fork::Berlin && lists => recovered(
                sender,
                Transaction::Eip2930,
                TxEip2930 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_price: max_fee,
                    gas_limit,
                    to,
                    value: U256::from(value),
                    access_list: self.access_list(),
                    input,
                },
            ),
            _ => {
                let mut transaction = legacy(nonce, to, value.into());
                transaction.gas_limit = gas_limit;
                transaction.gas_price = max_fee;
                transaction.input = input;
                if self.rng.random_ratio(1, 50) {
                    transaction.chain_id = None;
                }
                recovered(sender, Transaction::Legacy, transaction)
            }
        }
    }

    fn deposit(&mut self, sender: Address) -> RecoveredTransaction {
        // An aliased contract may send one too.
        let sender = if self.rng.random_ratio(1, 4) {
            self.place()
        } else {
            sender
        };
        let to = if self.rng.random_ratio(1, 8) {
            TxKind::Create
        } else {
            TxKind::Call(self.place())
        };
        let input = if to.is_create() {
            self.scene.init_codes[0].clone().into()
        } else {
            self.input()
        };
        deposit(TxDeposit {
            from: sender,
            to,
            mint: *[0, 5, 1_000_000_000_000].choose(&mut self.rng).unwrap(),
            value: U256::from(self.value()),
            gas_limit: self.gas_limit().min(400_000),
            input,
            ..TxDeposit::default()
        })
    }

    /// Sets, replaces or clears delegations.
    fn delegation(&mut self, sender: Address) -> RecoveredTransaction {
        let nonce = self.nonce(sender);
        let count = self.rng.random_range(1..4);
        // Nonces of the authorities when their turn comes.
        let mut nonces = HashMap::from([(sender, self.next_nonce(sender) + 1)]);
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            let key = self.rng.random_range(0..KEYS.len().min(self.users));
            let authority = KEYS[key].address();
            let target = match self.rng.random_range(0..6) {
                0 => Address::ZERO,
                1 => user(self.rng.random_range(0..self.users.min(4))),
                2 => Address::with_last_byte(2),
                _ => contract(self.rng.random_range(0..self.contracts)),
            };
            let chain_id = *[0, CHAIN_ID, CHAIN_ID, CHAIN_ID, 5]
                .choose(&mut self.rng)
                .unwrap();
            let next = self.next_nonce(authority);
            let nonce = nonces.entry(authority).or_insert(next);
            if self.rng.random_ratio(1, 8) {
                list.push(authorization(key, chain_id, target, *nonce + 1));
                continue;
            }
            list.push(authorization(key, chain_id, target, *nonce));
            if chain_id != 5 {
                *nonce += 1;
            }
        }
        let (max_fee, tip) = self.fees();
        recovered(
            sender,
            Transaction::Eip7702,
            TxEip7702 {
                chain_id: CHAIN_ID,
                nonce,
                gas_limit: self.gas_limit().max(100_000),
                max_fee_per_gas: max_fee,
                max_priority_fee_per_gas: tip,
                to: self.place(),
                value: U256::from(self.value()),
                access_list: self.access_list(),
                authorization_list: list,
                input: self.input(),
            },
        )
    }

    fn blob(&mut self, sender: Address) -> RecoveredTransaction {
        let nonce = self.nonce(sender);
        let (max_fee, tip) = self.fees();
        let mut hash = B256::repeat_byte(7);
        hash[0] = 1;
        recovered(
            sender,
            Transaction::Eip4844,
            TxEip4844 {
                chain_id: CHAIN_ID,
                nonce,
                gas_limit: self.gas_limit(),
                max_fee_per_gas: max_fee,
                max_priority_fee_per_gas: tip,
                to: self.place(),
                value: U256::from(self.value()),
                access_list: self.access_list(),
                blob_versioned_hashes: vec![hash],
                max_fee_per_blob_gas: 1,
                input: self.input(),
            },
        )
    }
}
