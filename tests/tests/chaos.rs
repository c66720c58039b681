//! An L1 that does everything at once that an L1 can do, under a sequencer that is killed: what is left
//! is one right chain (I3), in batches without gap (I4), with each deposit executed once and each
//! withdrawal paid once (I5).
//!
//! `WEFT_CHAOS_ROUNDS` is the number of rounds, `WEFT_TEST_SEED` repeats a run. Most reorganisations are
//! deeper than the deposits that the chain has taken in, so that it has to go back;
//! `WEFT_CHAOS_CONFIRMATIONS` says how deep these are.

use std::{cell::Cell, time::Duration};

use alloy_primitives::{Address, U64, U256, keccak256};
use eyre::{Context, ContextCompat, ensure};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use tempfile::TempDir;
use weft_tests::{
    anvil::{Anvil, host_and_port},
    bridge::Ends,
    load::{self, L2_CHAIN_ID, all_included, send_all, transfers},
    lying_l1::LyingL1,
    ports::free_port,
    proxy::{Proxy, Weather},
    rollup::{self, L1_CHAIN_ID, check_tiling, posted_batches, test_account},
    rpc::Rpc,
    seed,
    sequencer::{Place, Sequencer},
    wait::until,
    weft::{Follower, watch_with},
};

/// Rounds of a run in the usual tests.
const ROUNDS: usize = 6;
/// Deepest reorganisation, in L1 blocks.
const DEEPEST: u64 = 60;
/// Blocks on top of a deposit.
const CONFIRMATIONS: usize = 4;
/// For what needs L1 to calm down first, on a busy machine.
const SLOW: Duration = Duration::from_secs(240);
/// For one answer.
const QUICK: Duration = Duration::from_secs(60);

/// A deposit that was made: nobody else sends anything to its receiver.
struct Deposited {
    to: Address,
    wei: U256,
}

struct Chaos {
    random: StdRng,
    anvil: Anvil,
    lying: LyingL1,
    proxy: Proxy,
    place: Place,
    contract: Address,
    sequencer: Option<Sequencer>,
    deposits: Vec<Deposited>,
    withdrawals: Vec<(u64, Address, U256)>,
    fresh: u64,
}

impl Chaos {
    fn fresh_account(&mut self) -> Address {
        self.fresh += 1;
        Address::from_word(keccak256(format!("chaos {}", self.fresh)))
    }

    fn wei(&mut self) -> U256 {
        U256::from(self.random.random_range(1..=1_000_000_000_000_u64))
    }

    fn l2(&self) -> eyre::Result<&Rpc> {
        Ok(&self.sequencer.as_ref().wrap_err("no sequencer")?.rpc)
    }

    fn ends(&self) -> eyre::Result<Ends> {
        Ok(Ends {
            l1: self.anvil.rpc.url().to_owned(),
            l2: self.l2()?.url().to_owned(),
            contract: self.contract,
        })
    }

    async fn mine(&self, blocks: u64) -> eyre::Result<()> {
        self.anvil
            .rpc
            .call("anvil_mine", json!([U64::from(blocks)]))
            .await
    }

    async fn automine(&self, on: bool) -> eyre::Result<()> {
        self.anvil.rpc.call("evm_setAutomine", json!([on])).await
    }

    /// Transfers on L2, a deposit from L1, a withdrawal from L2.
    async fn traffic(&mut self) -> eyre::Result<()> {
        let l2 = self.l2()?.clone();
        // A node that goes back does not answer for a moment.
        let signed = until("transfers to be taken", QUICK, || async {
            let mut sender = load::Sender::new(&test_account(1)?, L2_CHAIN_ID, &l2).await?;
            let signed = transfers(&mut sender, 5)?;
            send_all(&l2, &signed).await?;
            Ok(Some(signed))
        })
        .await?;
        all_included(&l2, &signed, QUICK).await?;

        let (to, wei) = (self.fresh_account(), self.wei());
        let l1 = self.anvil.rpc.clone();
        let mut depositor = load::Sender::new(&test_account(2)?, L1_CHAIN_ID, &l1).await?;
        let deposit = rollup::deposit(&mut depositor, self.contract, to, wei)?;
        send_all(&l1, std::slice::from_ref(&deposit)).await?;
        self.mine(1).await?;
        all_included(&l1, &[deposit], QUICK).await?;
        self.deposits.push(Deposited { to, wei });

        let (to, wei) = (self.fresh_account(), self.wei());
        let (ends, user) = (self.ends()?, test_account(3)?);
        let index = until("a withdrawal to be taken", QUICK, || async {
            ends.withdraw(&user, to, wei).await.map(Some)
        })
        .await?;
        self.withdrawals.push((index, to, wei));
        Ok(())
    }

    /// L1 drops its last blocks, and makes as many others and `more`. What was sent to it in the time
    /// before, `wait` long, is mined on the other side.
    async fn reorganise(&self, depth: u64, more: u64, wait: Duration) -> eyre::Result<()> {
        let l1 = &self.anvil.rpc;
        let head = async || -> eyre::Result<u64> {
            let head: U64 = l1.call("eth_blockNumber", json!([])).await?;
            Ok(head.to())
        };
        self.automine(false).await?;
        tokio::time::sleep(wait).await;
        // As one step for who looks from outside; and a block that anvil mines meanwhile would leave holes
        // in its chain.
        self.proxy.set(Weather::Down);
        let last = Cell::new(None);
        let before = until("anvil to stop mining", QUICK, || async {
            let now = head().await?;
            Ok((last.replace(Some(now)) == Some(now)).then_some(now))
        })
        .await?;
        let depth = depth.min(before / 2);
        eprintln!("L1 reorganises {depth} blocks");
        let () = l1.call("anvil_reorg", json!([depth, []])).await?;
        let now = head().await?;
        ensure!(
            now == before,
            "anvil was at block {before}, and is at {now}"
        );
        self.automine(true).await?;
        self.mine(more).await?;
        self.proxy.set(Weather::Clear);
        Ok(())
    }

    fn honest(&self) {
        let lies = self.lying.be_honest();
        if lies > 0 {
            eprintln!("L1 told {lies} lies");
        }
    }

    /// Something bad.
    async fn trouble(&mut self) -> eyre::Result<()> {
        self.honest();
        let kind = self.random.random_range(0..7);
        let seconds = Duration::from_millis(self.random.random_range(500..3_000));
        match kind {
            0 | 1 => {
                let depth = self.random.random_range(1..=DEEPEST);
                let more = self.random.random_range(1..4);
                let wait = Duration::from_millis(self.random.random_range(0..1_000));
                self.reorganise(depth, more, wait).await?;
            }
            2 => {
                let factor = self.random.random_range(2..=100_u64);
                let block: Value = self
                    .anvil
                    .rpc
                    .call("eth_getBlockByNumber", json!(["latest", false]))
                    .await?;
                let fee: U256 = serde_json::from_value(
                    block.get("baseFeePerGas").wrap_err("no base fee")?.clone(),
                )?;
                // Dearer, but not beyond what the batcher may ever pay.
                let dear = (fee * U256::from(factor)).min(U256::from(200_000_000_000_u64));
                eprintln!("the base fee goes from {fee} to {dear}");
                let params = json!([dear]);
                let () = self
                    .anvil
                    .rpc
                    .call("anvil_setNextBlockBaseFeePerGas", params)
                    .await?;
                self.mine(1).await?;
            }
            3 => {
                let weathers = [
                    Weather::Down,
                    Weather::Silent,
                    Weather::Errors,
                    Weather::Nonsense,
                    Weather::WrongTypes,
                ];
                let weather = *weathers.choose(&mut self.random).wrap_err("no weather")?;
                eprintln!("L1 is {weather:?} for {seconds:?}");
                self.proxy.set(weather);
                // How long it lasts is what is tested here: nothing is waited for.
                tokio::time::sleep(seconds).await;
                self.proxy.set(Weather::Clear);
            }
            4 => {
                eprintln!("the sequencer is killed");
                let mut sequencer = self.sequencer.take().wrap_err("no sequencer")?;
                sequencer.process.kill()?;
                drop(sequencer);
                self.sequencer = Some(self.place.start().await?);
            }
            5 => {
                // Until the next trouble.
                eprintln!("L1 lies");
                self.lying.lie(self.random.random());
            }
            _ => {
                eprintln!("L1 mines nothing for {seconds:?}");
                self.automine(false).await?;
                tokio::time::sleep(seconds).await;
                self.automine(true).await?;
                self.mine(1).await?;
            }
        }
        Ok(())
    }

    /// Until everything that L2 has is on L1, with L1 calm.
    async fn settle_down(&mut self) -> eyre::Result<u64> {
        self.honest();
        self.proxy.set(Weather::Clear);
        let (l1, l2) = (self.anvil.rpc.clone(), self.l2()?.clone());
        let contract = self.contract;
        // L2 makes a block a second: what is there now is waited for.
        let head = until("L2 to answer", QUICK, || async {
            l2.block_number("latest").await.map(Some)
        })
        .await?;
        until(&format!("block {head} to be on L1"), SLOW, || {
            let (l1, l2) = (l1.clone(), l2.clone());
            async move {
                // L1's base fee falls, its confirmations come, and L2 takes in what is there.
                let () = l1.call("anvil_mine", json!(["0x1"])).await?;
                let posted = posted_batches(&l1, contract).await?;
                let last = posted.last().map_or(0, |batch| batch.header.lastBlock);
                ensure!(last >= head, "L1 is at block {last}");
                ensure!(
                    l2.block_number("safe").await? >= head,
                    "block {head} is not safe"
                );
                Ok(Some(head))
            }
        })
        .await
    }

    /// I5: what is on L2 are the deposits that L1 holds, each once. An L1 that reorganised has
    /// dropped some of those that were made, and then they are on neither.
    async fn deposits_arrived_once(&self) -> eyre::Result<()> {
        let (l1, l2) = (&self.anvil.rpc, self.l2()?);
        let held = rollup::deposited(l1, self.contract).await?;
        for Deposited { to, wei } in &self.deposits {
            let times = held.iter().filter(|deposit| deposit.0 == *to).count();
            let expected = wei * U256::from(times);
            until(&format!("the deposit to {to}"), QUICK, || async {
                let found = l2.balance(*to).await?;
                ensure!(
                    found == expected,
                    "{to}: expected {expected}, found {found}"
                );
                Ok(Some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// I5: every withdrawal that L2 still has is paid, once.
    async fn withdrawals_are_paid_once(&mut self) -> eyre::Result<U256> {
        let mut paid = U256::ZERO;
        let l2 = self.l2()?.clone();
        let ends = self.ends()?;
        let user = test_account(4)?;
        for (index, to, wei) in self.withdrawals.clone() {
            let known: Option<Value> = l2
                .call("weft_getWithdrawalProof", json!([U64::from(index)]))
                .await?;
            // A chain that went back may have it at another index, or not at all.
            let target = known
                .as_ref()
                .and_then(|found| found.pointer("/withdrawal/target"));
            if target != Some(&json!(to)) {
                continue;
            }
            let _: Value = self
                .anvil
                .rpc
                .call("evm_increaseTime", json!(["0x20"]))
                .await?;
            self.mine(1).await?;
            ends.prove_and_finalize(&user, index, QUICK)
                .await
                .wrap_err_with(|| format!("withdrawal {index}"))?;
            let found = self.anvil.rpc.balance(to).await?;
            ensure!(found == wei, "{to}: expected {wei}, found {found}");
            let number = index.to_string();
            let again = ends.run("finalize", &user, &["--index", &number]).await;
            let error = format!("{:#}", again.err().wrap_err("paid twice")?);
            ensure!(error.contains("paid already"), "{error}");
            paid += wei;
        }
        Ok(paid)
    }
}

#[tokio::test]
async fn an_l1_in_every_kind_of_trouble_leads_to_one_right_chain() -> eyre::Result<()> {
    let Some(anvil) = Anvil::start().await? else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let lying = LyingL1::start(anvil.rpc.url()).await?;
    let proxy = Proxy::start(host_and_port(&Rpc::new(lying.url())?)?).await?;
    let confirmations = seed::number("WEFT_CHAOS_CONFIRMATIONS", CONFIRMATIONS)?;
    let windows = ["--challenge-window", "5", "--resolution-time", "5"];
    let place = Place::on_anvil_with(&anvil, folder.path(), &windows)
        .await?
        .through(proxy.url())?
        .set(&format!("l1.deposit_confirmations={confirmations}"))
        .set(&format!("l1.beacon_url={}", anvil.rpc.url()))
        .set("l1.timeout_ms=2000")
        .set(&format!("rpc.port={}", free_port()?))
        .set("block.heartbeat_s=1");
    let contract = place.contract()?;
    let sequencer = Some(place.start().await?);
    let mut chaos = Chaos {
        random: seed::random()?,
        anvil,
        lying,
        proxy,
        place,
        contract,
        sequencer,
        deposits: Vec::new(),
        withdrawals: Vec::new(),
        fresh: 0,
    };
    // What the genesis gave is not in the contract: withdrawals are paid out of this.
    let funds = U256::from(1_000_000_000_000_000_000_u64);
    let mut depositor = load::Sender::new(&test_account(2)?, L1_CHAIN_ID, &chaos.anvil.rpc).await?;
    let to = test_account(3)?.address;
    let deposit = rollup::deposit(&mut depositor, contract, to, funds)?;
    send_all(&chaos.anvil.rpc, &[deposit]).await?;
    // No reorganisation may reach the deployment.
    chaos.mine(2 * DEEPEST).await?;
    for round in 0..seed::number("WEFT_CHAOS_ROUNDS", ROUNDS)? {
        eprintln!("round {round}");
        chaos.traffic().await?;
        chaos.trouble().await?;
        let sequencer = chaos.sequencer.as_mut().wrap_err("no sequencer")?;
        sequencer.process.check_running()?;
    }
    chaos.traffic().await?;
    let log = chaos.place.log();
    let head = chaos.settle_down().await.wrap_err_with(|| {
        let log = std::fs::read_to_string(log).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(60).collect();
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    })?;
    check_tiling(&posted_batches(&chaos.anvil.rpc, contract).await?)?;
    chaos.mine(confirmations as u64 + 1).await?;
    chaos.deposits_arrived_once().await?;

    let l1 = chaos.anvil.rpc.url().to_owned();
    let blobs = ["--beacon", &l1];
    let data_dir = folder.path().join("follower");
    let mut follower = Follower::start_with(&l1, contract, &data_dir, &blobs).await?;
    let expected = chaos.l2()?.block_hash(head).await?;
    let found = follower.hash_at(head, SLOW).await?;
    ensure!(
        found == expected,
        "block {head}: expected {expected}, found {found}"
    );
    let report = watch_with(&l1, contract, &blobs).await?;
    ensure!(report.verified && report.success, "{}", report.json);

    let paid = chaos.withdrawals_are_paid_once().await?;
    let left = chaos.anvil.rpc.balance(contract).await?;
    let held: U256 = rollup::deposited(&chaos.anvil.rpc, contract)
        .await?
        .iter()
        .map(|deposit| deposit.1)
        .sum();
    ensure!(
        left + paid == held,
        "{held} wei came in, {paid} were paid, {left} are left"
    );
    Ok(())
}
