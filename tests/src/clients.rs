//! Clients of several kinds that load a node until it goes away, and note what they are told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy_primitives::{TxKind, U256};
use eyre::{Context, ContextCompat, bail};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::{
    load::{self, L2_CHAIN_ID, Sender},
    rpc::Rpc,
    weft::Account,
    witness::Witness,
};

/// How long one transaction may wait for its block, in milliseconds.
const SYNC_TIMEOUT_MS: u64 = 20_000;

/// Transactions that a client sends at once.
const BATCH: usize = 20;

/// How long a client may take to notice that its node is gone.
const NOTICED: Duration = Duration::from_secs(30);

/// Running clients.
#[derive(Debug)]
pub struct Clients {
    tasks: JoinSet<eyre::Result<()>>,
    going: Arc<AtomicBool>,
}

/// What a client shares with the others of its node.
#[derive(Debug, Clone)]
struct Client {
    rpc: Rpc,
    witness: Witness,
    /// Set before the node is stopped: an answer that fails from then on may be the stop's doing.
    going: Arc<AtomicBool>,
}

impl Clients {
    /// Starts clients, no two with the same account: two thirds send one transaction after the other
    /// and wait for each, one third sends many at once and asks for the receipts. Two more only
    /// watch.
    pub fn start(rpc: &Rpc, accounts: &[Account], witness: &Witness) -> Self {
        let client = Client {
            rpc: rpc.clone(),
            witness: witness.clone(),
            going: Arc::new(AtomicBool::new(false)),
        };
        let mut tasks = JoinSet::new();
        for (index, account) in accounts.iter().enumerate() {
            let (client, account) = (client.clone(), account.clone());
            tasks.spawn(async move {
                match index % 3 {
                    2 => client.send_many(&account).await,
                    _ => client.send_one_by_one(&account).await,
                }
            });
        }
        tasks.spawn(client.clone().subscribe());
        tasks.spawn(client.clone().look_around());
        Self {
            tasks,
            going: client.going,
        }
    }

    /// Adds a client that sends transactions of `bytes` random bytes.
    pub fn add_large(&mut self, rpc: &Rpc, account: &Account, witness: &Witness, bytes: usize) {
        let client = Client {
            rpc: rpc.clone(),
            witness: witness.clone(),
            going: self.going.clone(),
        };
        let account = account.clone();
        self.tasks
            .spawn(async move { client.send_large(&account, bytes).await });
    }

    /// The node is going away: from now on clients may be refused.
    pub fn expect_end(&self) {
        self.going.store(true, Ordering::SeqCst);
    }

    /// Waits until every client has noticed that its node is gone.
    ///
    /// # Errors
    /// The first client's that was told something that cannot be; when one still waits for an answer
    /// after [`NOTICED`].
    pub async fn join(mut self) -> eyre::Result<()> {
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                ended??;
            }
            Ok(())
        };
        tokio::time::timeout(NOTICED, all)
            .await
            .wrap_err("a client waits for an answer of a node that is gone")?
    }
}

impl Client {
    /// `None` when the call failed because the node is gone.
    fn unless_gone<T>(&self, result: eyre::Result<T>) -> eyre::Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.going.load(Ordering::SeqCst) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn sender(&self, account: &Account) -> eyre::Result<Option<Sender>> {
        self.unless_gone(Sender::new(account, L2_CHAIN_ID, &self.rpc).await)
    }

    async fn send_one_by_one(&self, account: &Account) -> eyre::Result<()> {
        let Some(mut sender) = self.sender(account).await? else {
            return Ok(());
        };
        loop {
            let signed = load::transfers(&mut sender, 1)?;
            let raw = &signed.first().wrap_err("no transaction")?.raw;
            if !self.send_and_wait(json!([raw, SYNC_TIMEOUT_MS])).await? {
                return Ok(());
            }
        }
    }

    async fn send_large(&self, account: &Account, bytes: usize) -> eyre::Result<()> {
        let Some(mut sender) = self.sender(account).await? else {
            return Ok(());
        };
        let to = TxKind::Call(load::sink(sender.address()));
        loop {
            let mut input = vec![0; bytes];
            rand::fill(input.as_mut_slice());
            let gas = 100_000 + 40 * u64::try_from(bytes)?;
            let signed = sender.sign(to, U256::ZERO, input.into(), gas)?;
            if !self
                .send_and_wait(json!([signed.raw, SYNC_TIMEOUT_MS]))
                .await?
            {
                return Ok(());
            }
        }
    }

    /// Whether the transaction got a receipt.
    async fn send_and_wait(&self, params: Value) -> eyre::Result<bool> {
        let answer = self.rpc.call("eth_sendRawTransactionSync", params).await;
        match self.unless_gone(answer)? {
            Some(receipt) => self.witness.receipt(&receipt).map(|()| true),
            None => Ok(false),
        }
    }

    async fn send_many(&self, account: &Account) -> eyre::Result<()> {
        let Some(mut sender) = self.sender(account).await? else {
            return Ok(());
        };
        loop {
            let signed = load::transfers(&mut sender, BATCH)?;
            let sent = load::send_all(&self.rpc, &signed).await;
            if self.unless_gone(sent)?.is_none() {
                return Ok(());
            }
            let mut waiting: Vec<Value> =
                signed.iter().map(|signed| json!([signed.hash])).collect();
            while !waiting.is_empty() {
                let answers = self
                    .rpc
                    .batch::<Value>("eth_getTransactionReceipt", waiting.clone())
                    .await;
                let Some(receipts) = self.unless_gone(answers)? else {
                    return Ok(());
                };
                let mut missing = Vec::new();
                for (params, receipt) in waiting.into_iter().zip(receipts) {
                    if receipt.is_null() {
                        missing.push(params);
                    } else {
                        self.witness.receipt(&receipt)?;
                    }
                }
                waiting = missing;
            }
        }
    }

    /// Follows the chain by `newHeads`.
    async fn subscribe(self) -> eyre::Result<()> {
        let url = self.rpc.url().replacen("http://", "ws://", 1);
        let connected = connect_async(&url).await.map_err(Into::into);
        let Some((mut socket, _)) = self.unless_gone(connected)? else {
            return Ok(());
        };
        let request = json!({
            "jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"],
        });
        let sent = socket.send(Message::text(request.to_string())).await;
        if self.unless_gone(sent.map_err(Into::into))?.is_none() {
            return Ok(());
        }
        loop {
            let message = match socket.next().await {
                Some(message) => message.map_err(Into::into),
                None => Err(eyre::eyre!("the subscription has ended")),
            };
            match self.unless_gone(message)? {
                Some(Message::Text(text)) => {
                    let notification: Value = serde_json::from_str(&text)?;
                    if let Some(header) = notification.pointer("/params/result") {
                        self.witness.header(header)?;
                    }
                }
                Some(Message::Close(_)) => {
                    return match self.going.load(Ordering::SeqCst) {
                        true => Ok(()),
                        false => bail!("the node has closed the subscription"),
                    };
                }
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }

    /// Looks at the newest block again and again, and at one before it.
    async fn look_around(self) -> eyre::Result<()> {
        loop {
            for label in ["latest", "safe"] {
                let params = json!([label, false]);
                let answer = self.rpc.call("eth_getBlockByNumber", params).await;
                let Some(block) = self.unless_gone::<Value>(answer)? else {
                    return Ok(());
                };
                self.witness.header(&block)?;
            }
        }
    }
}
