//! What must be on the chain before the clock starts: funds and a token.

use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_sol_types::SolCall;

use super::{
    IngestConfig, IngestError, SigningError,
    account::{Account, Action, FUNDED_ACCOUNTS, Signed},
    rpc::Rpc,
    supply::Plan,
};
use crate::contracts::Token;

/// Accounts that one call mints for: some 25,000 gas each.
const HOLDERS_A_MINT: usize = 400;
/// Gas limit of such a call, and of the token's deployment.
const MINT_GAS: u64 = 15_000_000;
/// Tokens that each holder gets.
const TOKENS: u64 = 1_000_000_000_000;
/// Transactions of one funded account that wait at a time.
const AT_A_TIME: usize = 1_000;
/// How long a transaction of the preparation may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The accounts that pay for everything.
#[derive(Debug)]
pub(super) struct Treasury {
    chain_id: u64,
    accounts: Vec<Account>,
}

impl Treasury {
    pub(super) async fn new(
        mnemonic: &str,
        chain_id: u64,
        rpc: &mut Rpc,
    ) -> Result<Self, IngestError> {
        let mut accounts = (0..FUNDED_ACCOUNTS)
            .map(|number| Account::of_mnemonic(mnemonic, number))
            .collect::<Result<Vec<_>, _>>()?;
        let addresses: Vec<Address> = accounts.iter().map(Account::address).collect();
        for (account, nonce) in accounts.iter_mut().zip(rpc.nonces(&addresses).await?) {
            account.nonce = nonce;
        }
        Ok(Self { chain_id, accounts })
    }

    /// Has the accounts do things in turn, and waits until all are done.
    async fn perform(
        &mut self,
        what: &'static str,
        actions: Vec<Action>,
        rpc: &mut Rpc,
    ) -> Result<(), IngestError> {
        let mut actions = actions.into_iter().peekable();
        while actions.peek().is_some() {
            let mut signed = Vec::new();
            for _ in 0..AT_A_TIME {
                for account in &mut self.accounts {
                    if let Some(action) = actions.next() {
                        signed.push(account.sign(self.chain_id, action)?);
                    }
                }
            }
            rpc.send_each(&signed).await?;
            confirmed(what, &signed, rpc).await?;
        }
        Ok(())
    }

    /// A transaction of one of the accounts.
    pub(super) fn sign(&mut self) -> Result<Signed, IngestError> {
        let account = self.accounts.first_mut().ok_or(SigningError::NotThere)?;
        let action = Action::transfer(account.address(), U256::ONE);
        Ok(account.sign(self.chain_id, action)?)
    }

    /// Gives each sender what so many transactions can cost, where it has less.
    pub(super) async fn fund(
        &mut self,
        plan: &Plan,
        rounds: usize,
        rpc: &mut Rpc,
    ) -> Result<(), IngestError> {
        let wanted = plan.most_cost() * U256::from(rounds);
        let senders: Vec<Address> = plan.senders.iter().map(Account::address).collect();
        let balances = rpc.balances(&senders).await?;
        let actions = senders
            .into_iter()
            .zip(balances)
            .filter(|(_, balance)| *balance < wanted)
            .map(|(sender, balance)| Action::transfer(sender, wanted - balance))
            .collect();
        self.perform("funds for the senders", actions, rpc).await
    }

    /// Deploys a token of which the holders have enough, and returns its address.
    pub(super) async fn token(
        &mut self,
        holders: &[Address],
        rpc: &mut Rpc,
    ) -> Result<Address, IngestError> {
        let Some(owner) = self.accounts.first() else {
            return Err(SigningError::NotThere.into());
        };
        let token = owner.address().create(owner.nonce);
        let deployment = Action {
            to: TxKind::Create,
            value: U256::ZERO,
            input: Token::BYTECODE.clone(),
            gas_limit: MINT_GAS,
        };
        self.perform("the token", vec![deployment], rpc).await?;
        let mints = holders
            .chunks(HOLDERS_A_MINT)
            .map(|holders| {
                let call = Token::mintCall {
                    holders: holders.to_vec(),
                    value: U256::from(TOKENS),
                };
                Action {
                    to: TxKind::Call(token),
                    value: U256::ZERO,
                    input: call.abi_encode().into(),
                    gas_limit: MINT_GAS,
                }
            })
            .collect();
        self.perform("tokens for the senders", mints, rpc).await?;
        Ok(token)
    }
}

/// Waits until each is in a block and has succeeded.
async fn confirmed(
    what: &'static str,
    signed: &[Signed],
    rpc: &mut Rpc,
) -> Result<(), IngestError> {
    let started = Instant::now();
    let mut waiting: Vec<B256> = signed.iter().map(|signed| signed.hash).collect();
    while !waiting.is_empty() {
        let receipts = rpc.receipts(&waiting).await?;
        let mut left = Vec::new();
        for (hash, receipt) in waiting.into_iter().zip(receipts) {
            match receipt.get("status").and_then(|status| status.as_str()) {
                Some("0x1") => {}
                Some(_) => {
                    return Err(IngestError::Setup {
                        what,
                        reason: format!("transaction {hash} failed"),
                    });
                }
                None => left.push(hash),
            }
        }
        if !left.is_empty() {
            if started.elapsed() > PATIENCE {
                return Err(IngestError::Setup {
                    what,
                    reason: format!(
                        "{} of {} transactions have no receipt after {} s",
                        left.len(),
                        signed.len(),
                        PATIENCE.as_secs()
                    ),
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        waiting = left;
    }
    Ok(())
}

/// Senders, receivers and, where they move one, a token: as the seed has it.
pub(super) async fn prepare(
    config: &IngestConfig,
    chain_id: u64,
    treasury: &mut Treasury,
    rpc: &mut Rpc,
) -> Result<Plan, IngestError> {
    let mut senders = (0..config.senders.get() as u64)
        .map(|number| Account::of_seed(config.seed, number))
        .collect::<Result<Vec<_>, _>>()?;
    let addresses: Vec<Address> = senders.iter().map(Account::address).collect();
    for (sender, nonce) in senders.iter_mut().zip(rpc.nonces(&addresses).await?) {
        sender.nonce = nonce;
    }
    let receivers = (0..config.receivers.get() as u64)
        .map(|number| {
            let text = [
                &config.seed.to_be_bytes()[..],
                b"receiver",
                &number.to_be_bytes(),
            ]
            .concat();
            Address::from_word(alloy_primitives::keccak256(text))
        })
        .collect();
    let token = if config.kind.has_tokens() {
        treasury.token(&addresses, rpc).await?
    } else {
        Address::ZERO
    };
    Ok(Plan {
        kind: config.kind,
        chain_id,
        seed: config.seed,
        senders,
        receivers,
        token,
    })
}
