// viem, as a wallet uses the bridge: ether and tokens down to L2 and up again, a forced transaction,
// and everything that must be refused on the way.
import {
  bridgeArtifact, check, equal, failure, MNEMONIC, runSteps, token, until, viem, viemAccounts, within,
} from "./tools.mjs";

const [l2Url, l1Url, rollup, tokenBridge] = process.argv.slice(2);
if (!tokenBridge) {
  console.error(`usage: node ${process.argv[1]} L2_URL L1_URL ROLLUP TOKEN_BRIDGE`);
  process.exit(2);
}
const WITHDRAWALS = "0x4200000000000000000000000000000000000016";
const L2_TOKEN_BRIDGE = "0x4200000000000000000000000000000000000010";
const rollupAbi = bridgeArtifact("Rollup").abi;
const tokenBridgeAbi = bridgeArtifact("TokenBridge").abi;
const withdrawalsAbi = bridgeArtifact("Withdrawals").abi;
const l2TokenBridgeAbi = bridgeArtifact("L2TokenBridge").abi;

const account = viemAccounts.mnemonicToAccount(MNEMONIC, { addressIndex: 3 });
const stranger = viemAccounts.mnemonicToAccount(MNEMONIC, { addressIndex: 6 });

async function connect(url) {
  const transport = viem.http(url);
  const id = await viem.createPublicClient({ transport }).getChainId();
  const chain = viem.defineChain({
    id,
    name: `chain ${id}`,
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [url] } },
  });
  const options = { chain, transport, pollingInterval: 100, cacheTime: 0 };
  const node = viem.createPublicClient(options);
  const wallet = viem.createWalletClient({ ...options, account });
  const mined = async (hash) => {
    const receipt = await within(60, node.waitForTransactionReceipt({ hash }), `receipt of ${hash}`);
    equal(receipt.status, "success", `status of ${hash}`);
    return receipt;
  };
  return {
    node,
    wallet,
    mined,
    read: (address, abi, functionName, args = []) =>
      node.readContract({ address, abi, functionName, args }),
    write: async (address, abi, functionName, args, value = 0n) =>
      mined(await wallet.writeContract({ address, abi, functionName, args, value })),
    refused: async (address, abi, functionName, args, value = 0n) =>
      failure(
        node.simulateContract({ account, address, abi, functionName, args, value }),
        `${functionName} of ${address}`,
      ),
  };
}

const l1 = await connect(l1Url);
const l2 = await connect(l2Url);
const wait = (what, look) => until(120, look, what);
const AMOUNT = 3n * 10n ** 17n;
const GAS = 100_000n;

/** The withdrawal of an L2 transaction, once a batch on L1 holds it. */
async function proofOf(hash) {
  return wait(`batch with ${hash}`, async () => {
    const found = await l2.node.request({ method: "weft_getWithdrawalProof", params: [hash] });
    check(found, `L2 knows no withdrawal of ${hash}`);
    return found.batch ? found : null;
  });
}

const withdrawalOf = (found) => ({
  index: BigInt(found.withdrawal.index),
  sender: found.withdrawal.sender,
  target: found.withdrawal.target,
  value: BigInt(found.withdrawal.value),
  gasLimit: BigInt(found.withdrawal.gasLimit),
  data: found.withdrawal.data,
});

const headerOf = ({ batch: { header } }) => ({
  previousBatchHash: header.previousBatchHash,
  firstBlock: BigInt(header.firstBlock),
  lastBlock: BigInt(header.lastBlock),
  lastBlockHash: header.lastBlockHash,
  stateRoot: header.stateRoot,
  withdrawalsRoot: header.withdrawalsRoot,
  l1OriginNumber: BigInt(header.l1OriginNumber),
  l1OriginHash: header.l1OriginHash,
  depositsConsumed: BigInt(header.depositsConsumed),
  blobCount: Number(header.blobCount),
  dataHash: header.dataHash,
});

const proving = (found) =>
  [withdrawalOf(found), BigInt(found.batch.index), headerOf(found), found.batch.proof];

async function prove(found) {
  await l1.write(rollup, rollupAbi, "proveWithdrawal", proving(found));
}

/** Pays a proven withdrawal as soon as its batch can be settled. */
async function finalize(found) {
  const index = BigInt(found.batch.index);
  await wait(`batch ${index} settled`, async () => {
    if ((await l1.read(rollup, rollupAbi, "settledBatches")) > index) return true;
    const { result } = await l1.node.simulateContract({
      account, address: rollup, abi: rollupAbi, functionName: "settle", args: [1000n],
    });
    if (result > 0n) await l1.write(rollup, rollupAbi, "settle", [1000n]);
    return null;
  });
  await l1.write(rollup, rollupAbi, "finalizeWithdrawal", [withdrawalOf(found)]);
}

let etherWithdrawal;
let l1Token;
let l2Token;

await runSteps({
  "deposit ether": async () => {
    const before = await l2.node.getBalance({ address: account.address });
    await l1.write(
      rollup, rollupAbi, "depositTransaction",
      [account.address, AMOUNT, GAS, false, "0x"], AMOUNT,
    );
    await wait("the deposit on L2", async () =>
      (await l2.node.getBalance({ address: account.address })) === before + AMOUNT || null);
  },

  "withdraw ether": async () => {
    const receipt = await l2.write(
      WITHDRAWALS, withdrawalsAbi, "initiateWithdrawal", [stranger.address, GAS, "0x"], AMOUNT,
    );
    etherWithdrawal = await proofOf(receipt.transactionHash);
    equal(etherWithdrawal.withdrawal.sender, account.address.toLowerCase(), "sender");
    const listed = await l2.node.request({
      method: "weft_getWithdrawals", params: [account.address, etherWithdrawal.withdrawal.index],
    });
    equal(listed[0].withdrawalHash, etherWithdrawal.withdrawalHash, "listed withdrawal");
  },

  "a wrong proof is refused": async () => {
    const [withdrawal, index, header, proof] = proving(etherWithdrawal);
    const more = { ...withdrawal, value: withdrawal.value + 1n };
    await l1.refused(rollup, rollupAbi, "proveWithdrawal", [more, index, header, proof]);
    const other = [viem.zeroHash, ...proof.slice(1)];
    const isRight = proof[0] === viem.zeroHash;
    if (!isRight) {
      await l1.refused(rollup, rollupAbi, "proveWithdrawal", [withdrawal, index, header, other]);
    }
    await l1.refused(rollup, rollupAbi, "proveWithdrawal", [
      withdrawal, index, { ...header, withdrawalsRoot: etherWithdrawal.withdrawalHash }, proof,
    ]);
    await l1.refused(rollup, rollupAbi, "finalizeWithdrawal", [withdrawal]);
  },

  "prove and finalize": async () => {
    await prove(etherWithdrawal);
    const before = await l1.node.getBalance({ address: stranger.address });
    await finalize(etherWithdrawal);
    const after = await l1.node.getBalance({ address: stranger.address });
    equal(after, before + AMOUNT, "balance on L1");
    await wait("the payment in L2's answers", async () =>
      (await l2.node.request({
        method: "weft_getWithdrawalProof", params: [etherWithdrawal.withdrawal.index],
      })).finalizedBy);
  },

  "a second payment is refused": async () => {
    await l1.refused(rollup, rollupAbi, "finalizeWithdrawal", [withdrawalOf(etherWithdrawal)]);
  },

  "deposit a token": async () => {
    const hash = await l1.wallet.deployContract({
      abi: token.abi, bytecode: token.bytecode, args: ["Bridged", "BRG", 10n ** 24n],
    });
    l1Token = (await l1.mined(hash)).contractAddress;
    await l1.write(l1Token, token.abi, "approve", [tokenBridge, AMOUNT]);
    await l1.write(tokenBridge, tokenBridgeAbi, "depositToken", [l1Token, account.address, AMOUNT]);
    l2Token = await l2.read(L2_TOKEN_BRIDGE, l2TokenBridgeAbi, "tokenOf", [l1Token]);
    await wait("the token on L2", async () => (await l2.node.getCode({ address: l2Token })) ?? null);
    equal(await l2.read(l2Token, token.abi, "balanceOf", [account.address]), AMOUNT, "balance on L2");
    equal(await l2.read(l2Token, token.abi, "symbol"), "BRG", "symbol on L2");
  },

  "nobody mints on L2": async () => {
    await l2.refused(L2_TOKEN_BRIDGE, l2TokenBridgeAbi, "finalizeDeposit", [
      l1Token, account.address, account.address, AMOUNT, "Bridged", "BRG", 18,
    ]);
    await l1.refused(tokenBridge, tokenBridgeAbi, "finalizeWithdrawal", [
      l1Token, account.address, AMOUNT,
    ]);
  },

  "withdraw the token": async () => {
    const receipt = await l2.write(
      L2_TOKEN_BRIDGE, l2TokenBridgeAbi, "withdraw", [l1Token, stranger.address, AMOUNT],
    );
    equal(await l2.read(l2Token, token.abi, "totalSupply"), 0n, "supply on L2");
    const found = await proofOf(receipt.transactionHash);
    await prove(found);
    await finalize(found);
    equal(await l1.read(l1Token, token.abi, "balanceOf", [stranger.address]), AMOUNT, "balance on L1");
    await l1.refused(rollup, rollupAbi, "finalizeWithdrawal", [withdrawalOf(found)]);
  },

  "force a withdrawal through L1": async () => {
    const data = viem.encodeFunctionData({
      abi: withdrawalsAbi, functionName: "initiateWithdrawal", args: [stranger.address, GAS, "0x"],
    });
    const index = await l2.read(WITHDRAWALS, withdrawalsAbi, "count");
    await l1.write(
      rollup, rollupAbi, "depositTransaction", [WITHDRAWALS, 7n, 400_000n, false, data],
    );
    const hash = await wait("the forced withdrawal", async () =>
      (await l2.node.request({
        method: "weft_getWithdrawalProof", params: [viem.numberToHex(index)],
      }))?.transactionHash);
    const found = await proofOf(hash);
    equal(found.withdrawal.sender, account.address.toLowerCase(), "sender of the forced withdrawal");
    equal(BigInt(found.withdrawal.value), 7n, "value of the forced withdrawal");
  },
});
