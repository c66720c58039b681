// ethers: deploy an OpenZeppelin ERC-20, send, read, estimate, query, watch over WebSocket.
import {
  check, counter, equal, ethers, failure, MNEMONIC, rpcUrl, runSteps, token, webSocketUrl, within,
} from "./tools.mjs";

const url = rpcUrl();
const provider = new ethers.JsonRpcProvider(url, undefined, {
  polling: true,
  pollingInterval: 100,
  cacheTimeout: -1,
});
const socket = new ethers.WebSocketProvider(webSocketUrl(url));
const path = (index) => `m/44'/60'/0'/0/${index}`;
const key = (index) => ethers.HDNodeWallet.fromPhrase(MNEMONIC, undefined, path(index)).privateKey;
const wallet = new ethers.Wallet(key(2), provider);
const from = wallet.address;
const receiver = new ethers.Wallet(key(8)).address;

const SUPPLY = 1000n;
let contract;
let count;
const mined = async (response) => {
  const receipt = await within(30, response.wait(), `receipt of ${response.hash}`);
  equal(receipt.status, 1, `status of ${response.hash}`);
  return receipt;
};

await runSteps({
  "send ether": async () => {
    const before = await provider.getBalance(receiver);
    const receipt = await mined(await wallet.sendTransaction({ to: receiver, value: 3n }));
    equal(receipt.gasUsed, 21_000n, "gas used");
    equal(await provider.getBalance(receiver, receipt.blockNumber), before + 3n, "balance");
  },

  "deploy contracts": async () => {
    contract = await new ethers.ContractFactory(token.abi, token.bytecode, wallet).deploy(
      "Other Token", "OT", SUPPLY,
    );
    await within(30, contract.waitForDeployment(), "token");
    count = await new ethers.ContractFactory(counter.abi, counter.bytecode, wallet).deploy();
    await within(30, count.waitForDeployment(), "counter");
    equal(await contract.symbol(), "OT", "symbol");
    equal(await contract.balanceOf(from), SUPPLY, "deployer's balance");
  },

  "watch Transfer logs over WebSocket": async () => {
    const watched = new ethers.Contract(await contract.getAddress(), token.abi, socket);
    let seen;
    const log = new Promise((resolve) => {
      seen = resolve;
    });
    await watched.on("Transfer", (_from, to, value, event) => seen({ to, value, event }));
    await socket.getBlockNumber();
    const receipt = await mined(await contract.transfer(receiver, 17n));
    const { to, value, event } = await within(30, log, "Transfer log");
    await watched.removeAllListeners();
    equal(to, receiver, "receiver in the log");
    equal(value, 17n, "value in the log");
    equal(event.log.transactionHash, receipt.hash, "transaction of the log");
  },

  "watch blocks and pending transactions over WebSocket": async () => {
    const block = new Promise((resolve) => socket.once("block", resolve));
    const pending = new Promise((resolve) => socket.once("pending", resolve));
    await socket.getBlockNumber();
    const receipt = await mined(await wallet.sendTransaction({ to: receiver, value: 1n }));
    check((await within(30, block, "block")) <= receipt.blockNumber, "block number");
    equal(await within(30, pending, "pending transaction"), receipt.hash, "pending transaction");
  },

  "read, estimate and explain failures": async () => {
    equal(await contract.balanceOf(receiver), 17n, "receiver's balance");
    const gas = await contract.transfer.estimateGas(receiver, 1n);
    check(gas > 21_000n && gas < 100_000n, `gas of a transfer: ${gas}`);
    const reason = await failure(count.requireWithReason(5n), "a revert with a reason");
    equal(reason.reason, "count too low", "reason");
    const custom = await failure(count.requireWithError(5n), "a custom error");
    equal(custom.revert?.name, "CountTooLow", "custom error");
    const panic = await failure(count.decrement.staticCall(1n), "an underflow");
    equal(panic.revert?.name, "Panic", "panic");
    const poor = await failure(
      wallet.sendTransaction({ to: receiver, value: 10n ** 30n, gasLimit: 21_000n }),
      "more than the balance",
    );
    equal(poor.code, "INSUFFICIENT_FUNDS", "error code");
  },

  "a failed transaction has a receipt": async () => {
    const response = await count.countAndFail({ gasLimit: 200_000n });
    const error = await failure(within(30, response.wait(), "receipt"), "a failing transaction");
    equal(error.code, "CALL_EXCEPTION", "error code");
    equal(error.receipt.status, 0, "status");
    equal(await count.count(), 0n, "count after a failure");
  },

  "query logs": async () => {
    const logs = await contract.queryFilter(contract.filters.Transfer(null, receiver));
    equal(logs.length, 1, "Transfer logs");
    equal(logs[0].args.value, 17n, "value");
  },

  "blocks, transactions and fees": async () => {
    const block = await provider.getBlock("latest", true);
    check(block.prefetchedTransactions.length > 0, "transactions in the block");
    const fees = await provider.getFeeData();
    check(fees.maxFeePerGas > 0n, "maxFeePerGas");
    const safe = await provider.getBlock("safe");
    const finalized = await provider.getBlock("finalized");
    check(safe.number >= finalized.number && safe.number <= block.number, "labels");
    equal((await provider.getNetwork()).chainId, BigInt(await provider.send("eth_chainId", [])), "chain id");
    equal(await provider.getTransactionCount(from), await wallet.getNonce(), "nonce");
  },
});
