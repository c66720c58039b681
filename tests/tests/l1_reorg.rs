//! L1 reorganises under a chain that takes in the newest L1 blocks.

use std::time::Duration;

use alloy_primitives::{Address, U64, U256};
use eyre::{ContextCompat, WrapErr, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use weft_tests::{
    anvil::Anvil,
    load::{L2_CHAIN_ID, Sender, Signed, all_included, send_all, sink, transfers},
    lying_l1::LyingL1,
    rollup::{L1_CHAIN_ID, check_tiling, deposit, posted_batches, test_account},
    rpc::Rpc,
    sequencer::{Place, Sequencer, accounts},
    wait::until,
    weft::{Account, Dev, Follower},
};

const LIMIT: Duration = Duration::from_secs(60);

/// Includes one transaction on L2 and returns its receipt.
async fn include(dev: &Dev) -> eyre::Result<Value> {
    let account = dev.info.accounts.first().wrap_err("no account")?;
    let mut sender = Sender::new(account, L2_CHAIN_ID, &dev.l2).await?;
    let signed = transfers(&mut sender, 1)?;
    send_all(&dev.l2, &signed).await?;
    let receipts = all_included(&dev.l2, &signed, LIMIT).await?;
    receipts.into_iter().next().wrap_err("no receipt")
}

/// The node's record of the batches is what L1 has, and names a transaction that was included for
/// each.
async fn check_record(dev: &Dev, l1: &Rpc) -> eyre::Result<()> {
    let posted = posted_batches(l1, dev.info.contract).await?;
    let count = U64::from(posted.len());
    let status: Value = dev.l2.call("weft_nodeStatus", json!([])).await?;
    ensure!(
        status.pointer("/l1/batches") == Some(&json!(count)),
        "{status}"
    );
    for batch in &posted {
        let index = json!([U64::from(batch.index)]);
        let recorded: Value = dev.l2.call("weft_getBatch", index.clone()).await?;
        ensure!(
            recorded.get("hash") == Some(&json!(batch.hash))
                && recorded.get("l1TransactionHash") == Some(&json!(batch.l1_transaction)),
            "expected batch {} in transaction {}, found {recorded}",
            batch.hash,
            batch.l1_transaction
        );
        let attempts: Vec<Value> = dev.l2.call("weft_getBatchAttempts", index).await?;
        let included = attempts.iter().any(|attempt| {
            attempt.get("transactionHash") == recorded.get("l1TransactionHash")
                && attempt.get("status") == Some(&json!("included"))
                && attempt.get("l1BlockNumber") == recorded.get("l1BlockNumber")
        });
        ensure!(included, "batch {}: {attempts:?}", batch.index);
    }
    Ok(())
}

/// I4: a batch that L1 drops is posted again.
#[tokio::test]
async fn a_dropped_batch_is_posted_again() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let mut dev = Dev::start(&folder.path().join("dev"), &["--l1", anvil.rpc.url()]).await?;
    include(&dev).await?;
    dev.all_safe(LIMIT).await?;
    let kept = posted_batches(&anvil.rpc, dev.info.contract).await?.len();
    include(&dev).await?;
    let head = dev.all_safe(LIMIT).await?;
    until("the record of both", Duration::from_secs(20), || async {
        check_record(&dev, &anvil.rpc).await.map(Some)
    })
    .await?;
    // The last L1 block holds the batch, and no L2 block has taken it in.
    let () = anvil.rpc.call("anvil_reorg", json!([1, []])).await?;
    let posted = posted_batches(&anvil.rpc, dev.info.contract).await?;
    ensure!(posted.len() == kept, "the batch is still there: {posted:?}");
    until("the batch to be posted again", LIMIT, || async {
        let posted = posted_batches(&anvil.rpc, dev.info.contract).await?;
        Ok(posted
            .last()
            .is_some_and(|batch| batch.header.lastBlock >= head)
            .then_some(()))
    })
    .await?;
    until("the record to follow", Duration::from_secs(20), || async {
        check_record(&dev, &anvil.rpc).await.map(Some)
    })
    .await?;
    dev.process.check_running()?;
    check_tiling(&posted_batches(&anvil.rpc, dev.info.contract).await?)?;
    let report = dev.watch().await?;
    ensure!(report.verified && report.success, "{}", report.json);
    Ok(())
}

/// I3: blocks that took in an L1 block which L1 has dropped can never be derived. They are taken back,
/// and what L1 keeps verifies. `weft dev` takes in the newest block of its L1.
#[tokio::test]
async fn a_chain_whose_l1_origin_is_gone_goes_back() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let mut dev = Dev::start(&folder.path().join("dev"), &["--l1", anvil.rpc.url()]).await?;
    include(&dev).await?;
    dev.all_safe(LIMIT).await?;

    // With mining off, L2 takes in an L1 block that nothing is posted on top of.
    let () = anvil.rpc.call("evm_setAutomine", json!([false])).await?;
    let _: Value = anvil.rpc.call("evm_mine", json!([])).await?;
    let newest: U64 = anvil.rpc.call("eth_blockNumber", json!([])).await?;
    until("L2 to take in the newest L1 block", LIMIT, || async {
        include(&dev).await?;
        let origin: Value = dev.l2.call("weft_getL1Origin", json!(["latest"])).await?;
        match origin.get("number") == Some(&json!(newest)) {
            true => Ok(Some(())),
            false => bail!("the origin is {origin}, L1 is at {newest}"),
        }
    })
    .await?;
    let () = anvil.rpc.call("anvil_reorg", json!([1, []])).await?;
    let () = anvil.rpc.call("evm_setAutomine", json!([true])).await?;

    until("the chain to go back", LIMIT, || {
        let look = dev.process.check_running();
        let log = dev.process.log();
        let l1 = &anvil.rpc;
        async move {
            look?;
            let _: Value = l1.call("evm_mine", json!([])).await?;
            Ok(log.contains("unwound the chain").then_some(()))
        }
    })
    .await?;
    until("a transaction to be included", LIMIT, || async {
        include(&dev).await.map(Some)
    })
    .await?;
    dev.all_safe(LIMIT).await?;
    let report = dev.watch().await?;
    ensure!(report.verified && report.success, "{}", report.json);
    check_tiling(&posted_batches(&anvil.rpc, dev.info.contract).await?)?;
    let log = dev.process.log();
    let repeated = log
        .lines()
        .filter(|line| line.contains("no deposits are taken in"))
        .count();
    ensure!(repeated <= 3, "the log repeats itself:\n{log}");
    Ok(())
}

/// Selector of the contract's `VERSION()`.
const VERSION: &str = "0xffa1ad74";

/// One ether, in wei.
const ETHER: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);

/// A sequencer on anvil, whose L1 drops a deposit that L2 has taken in and used.
struct Vanishing {
    anvil: Anvil,
    lying: LyingL1,
    place: Place,
    sequencer: Sequencer,
    folder: TempDir,
    /// Got the deposit.
    lucky: Account,
    /// Got ether on L2, after which it has sent some on.
    helped: Account,
    /// Transactions that did not need the deposit, in their order.
    kept: Vec<Signed>,
    /// The one that did.
    lost: Signed,
    /// The last block that L1 supports still, and its hash.
    last_good: (u64, String),
}

async fn send(rpc: &Rpc, signed: &[Signed]) -> eyre::Result<()> {
    send_all(rpc, signed).await?;
    all_included(rpc, signed, LIMIT).await?;
    Ok(())
}

async fn deposit_to(anvil: &Anvil, contract: Address, to: &Account) -> eyre::Result<()> {
    let payer = test_account(5)?;
    let mut payer = Sender::new(&payer, L1_CHAIN_ID, &anvil.rpc).await?;
    let signed = deposit(&mut payer, contract, to.address, ETHER)?;
    send(&anvil.rpc, &[signed]).await
}

async fn has_balance(rpc: &Rpc, of: &Account, expected: U256) -> eyre::Result<Option<()>> {
    let balance = rpc.balance(of.address).await?;
    match balance == expected {
        true => Ok(Some(())),
        false => bail!("expected {expected}, found {balance}"),
    }
}

impl Vanishing {
    /// `None` without an anvil.
    async fn start(setting: &str) -> eyre::Result<Option<Self>> {
        let Some(anvil) = Anvil::start().await? else {
            return Ok(None);
        };
        let folder = TempDir::new()?;
        let lying = LyingL1::start(anvil.rpc.url()).await?;
        let place = Place::on_anvil(&anvil, folder.path())
            .await?
            .through(lying.url())?
            .set(&format!("l1.on_deep_reorg={setting}"));
        let sequencer = place.start().await?;
        let rpc = sequencer.rpc.clone();
        let account = accounts()?.into_iter().next().wrap_err("no account")?;
        let mut rich = Sender::new(&account, L2_CHAIN_ID, &rpc).await?;
        send(&rpc, &transfers(&mut rich, 1)?).await?;
        let settled = until("the first blocks to be safe", LIMIT, || async {
            let (safe, head) = (
                rpc.block_number("safe").await?,
                rpc.block_number("latest").await?,
            );
            match safe == head {
                true => Ok(Some(head)),
                false => bail!("safe {safe}, latest {head}"),
            }
        })
        .await?;
        let last_good = (settled, rpc.block_hash(settled).await?);
        let fork: U64 = anvil.rpc.call("eth_blockNumber", json!([])).await?;

        let (lucky, helped) = (test_account(20)?, test_account(21)?);
        deposit_to(&anvil, place.contract()?, &lucky).await?;
        until("the deposit on L2", LIMIT, || {
            has_balance(&rpc, &lucky, ETHER)
        })
        .await?;
        let lost = Sender::new(&lucky, L2_CHAIN_ID, &rpc)
            .await?
            .transfer(sink(lucky.address), U256::from(7))?;
        send(&rpc, std::slice::from_ref(&lost)).await?;
        let mut kept = transfers(&mut rich, 5)?;
        kept.push(rich.transfer(helped.address, ETHER)?);
        send(&rpc, &kept).await?;
        let onward = Sender::new(&helped, L2_CHAIN_ID, &rpc)
            .await?
            .transfer(sink(helped.address), U256::from(9))?;
        send(&rpc, std::slice::from_ref(&onward)).await?;
        kept.push(onward);

        let now: U64 = anvil.rpc.call("eth_blockNumber", json!([])).await?;
        let depth = now.saturating_sub(fork);
        let () = anvil
            .rpc
            .call("anvil_reorg", json!([depth.to::<u64>(), []]))
            .await?;
        let locked = anvil.rpc.balance(place.contract()?).await?;
        ensure!(locked.is_zero(), "the deposit is still there: {locked}");
        Ok(Some(Self {
            anvil,
            lying,
            place,
            sequencer,
            folder,
            lucky,
            helped,
            kept,
            lost,
            last_good,
        }))
    }

    /// L1 goes on, as L1s do.
    async fn mine(&self) -> eyre::Result<()> {
        let _: Value = self.anvil.rpc.call("evm_mine", json!([])).await?;
        Ok(())
    }

    async fn receipt(&self, signed: &Signed) -> eyre::Result<Option<Value>> {
        let hash = json!([signed.hash]);
        let receipt: Value = self
            .sequencer
            .rpc
            .call("eth_getTransactionReceipt", hash)
            .await?;
        Ok((!receipt.is_null()).then_some(receipt))
    }

    /// The chain is one that L1 supports, with all that did not live on the deposit.
    async fn check_one_right_chain(&mut self) -> eyre::Result<()> {
        let rpc = self.sequencer.rpc.clone();
        until("the chain to go back", LIMIT, || async {
            self.mine().await?;
            has_balance(&rpc, &self.lucky, U256::ZERO).await
        })
        .await
        .wrap_err_with(|| self.sequencer.process.log_tail())?;
        let mut places = Vec::new();
        for signed in &self.kept {
            let receipt = until("a transaction to be in a block again", LIMIT, || async {
                self.mine().await?;
                self.receipt(signed).await
            })
            .await
            .wrap_err_with(|| self.sequencer.process.log_tail())?;
            ensure!(receipt.get("status") == Some(&json!("0x1")), "{receipt}");
            let number = |key: &str| {
                let value = receipt
                    .get(key)
                    .cloned()
                    .wrap_err("a receipt without a place")?;
                Ok::<_, eyre::Report>(serde_json::from_value::<U64>(value)?)
            };
            places.push((number("blockNumber")?, number("transactionIndex")?));
        }
        ensure!(places.is_sorted(), "{places:?}");
        ensure!(
            self.receipt(&self.lost).await?.is_none(),
            "it spent what nobody has"
        );
        ensure!(rpc.balance(sink(self.helped.address)).await? == U256::from(9));
        let (number, hash) = &self.last_good;
        ensure!(
            rpc.block_hash(*number).await? == *hash,
            "a block was replaced for nothing"
        );

        // The chain takes in deposits, and what was deposited is all that came from L1.
        deposit_to(&self.anvil, self.place.contract()?, &self.lucky).await?;
        until("a deposit after that", LIMIT, || async {
            self.mine().await?;
            has_balance(&rpc, &self.lucky, ETHER).await
        })
        .await
        .wrap_err_with(|| self.sequencer.process.log_tail())?;
        ensure!(self.anvil.rpc.balance(self.place.contract()?).await? == ETHER);

        let head = until("all of it to be safe", LIMIT, || async {
            self.mine().await?;
            let (safe, head) = (
                rpc.block_number("safe").await?,
                rpc.block_number("latest").await?,
            );
            match safe == head {
                true => Ok(Some(head)),
                false => bail!("safe {safe}, latest {head}"),
            }
        })
        .await
        .wrap_err_with(|| self.sequencer.process.log_tail())?;
        check_tiling(&posted_batches(&self.anvil.rpc, self.place.contract()?).await?)?;
        let data_dir = self.folder.path().join("follower");
        let mut follower =
            Follower::start(self.anvil.rpc.url(), self.place.contract()?, &data_dir).await?;
        ensure!(follower.hash_at(head, LIMIT).await? == rpc.block_hash(head).await?);
        for account in [&self.lucky, &self.helped] {
            let (theirs, ours) = (
                follower.rpc.balance(account.address).await?,
                rpc.balance(account.address).await?,
            );
            ensure!(theirs == ours, "{}: {theirs} and {ours}", account.address);
        }
        self.sequencer.process.check_running()
    }
}

/// I3, I5: the chain goes back by itself, and no ether is left that L1 does not hold.
#[tokio::test]
async fn a_chain_goes_back_behind_a_deposit_that_l1_has_dropped() -> eyre::Result<()> {
    let Some(mut chain) = Vanishing::start("unwind").await? else {
        return Ok(());
    };
    let address = chain.sequencer.rpc.url().to_owned();
    // L1 is there until the chain has gone back, and then not for a moment: a start reads the contract.
    chain.lying.be_silent_on(VERSION);
    until("the node to find no L1", LIMIT, || async {
        chain.mine().await?;
        let log = chain.sequencer.process.log();
        Ok(log
            .contains("the node cannot start again yet")
            .then_some(()))
    })
    .await?;
    chain.lying.be_honest();
    chain.check_one_right_chain().await?;
    let log = chain.sequencer.process.log();
    ensure!(log.contains("unwound the chain"), "{log}");
    let served: Vec<_> = log
        .lines()
        .filter(|line| line.contains("JSON-RPC"))
        .collect();
    let port = address.rsplit(':').next().wrap_err("no port")?;
    ensure!(
        served.len() == 2 && served.iter().all(|line| line.contains(port)),
        "{served:?}"
    );
    ensure!(
        !chain.place.data_dir.join("returned").exists(),
        "what is in blocks is still on disk"
    );
    Ok(())
}

/// Without leave the chain stays as it is, says so, and goes back when it is started with leave.
#[tokio::test]
async fn a_chain_stops_at_a_deposit_that_l1_has_dropped() -> eyre::Result<()> {
    let Some(mut chain) = Vanishing::start("stop").await? else {
        return Ok(());
    };
    let rpc = chain.sequencer.rpc.clone();
    until("the node to say so", LIMIT, || async {
        chain.mine().await?;
        let status: Value = rpc.call("weft_nodeStatus", json!([])).await?;
        let problem = status.pointer("/l1/originProblem").and_then(Value::as_str);
        Ok(problem
            .is_some_and(|problem| problem.contains("L1 reorganised"))
            .then_some(()))
    })
    .await?;
    let (_, metrics) = rpc.get("/metrics").await?;
    let gauge = metrics
        .lines()
        .find(|line| line.starts_with("weft_l1_origin_dropped"))
        .wrap_err("no such metric")?;
    ensure!(gauge.ends_with(" 1"), "{gauge}");
    // L2 goes on, and nothing is posted that could not be derived.
    let account = accounts()?.into_iter().nth(1).wrap_err("no account")?;
    let mut sender = Sender::new(&account, L2_CHAIN_ID, &rpc).await?;
    let later = transfers(&mut sender, 1)?;
    send(&rpc, &later).await?;
    // The last one of the others has to wait for a block that gives its sender ether.
    let last = chain.kept.len().saturating_sub(1);
    chain.kept.splice(last..last, later);
    ensure!(
        chain.receipt(&chain.lost).await?.is_some(),
        "the chain went back without leave"
    );
    let posted = posted_batches(&chain.anvil.rpc, chain.place.contract()?).await?;
    ensure!(
        posted
            .iter()
            .all(|batch| batch.header.lastBlock <= chain.last_good.0),
        "{posted:?}"
    );
    chain.sequencer.process.kill()?;

    chain.place = chain.place.clone().set("l1.on_deep_reorg=unwind");
    chain.sequencer = chain.place.start().await?;
    chain.check_one_right_chain().await
}
