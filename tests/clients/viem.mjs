// viem: deploy an OpenZeppelin ERC-20, send, read, estimate, filter, prove, watch over WebSocket.
import {
  check, counter, equal, failure, MNEMONIC, rpcUrl, runSteps, token, until, viem, viemAccounts,
  webSocketUrl, within,
} from "./tools.mjs";

const url = rpcUrl();
const transport = viem.http(url);
const chainId = await viem.createPublicClient({ transport }).getChainId();
const chain = viem.defineChain({
  id: chainId,
  name: "test",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [url], webSocket: [webSocketUrl(url)] } },
});
const account = viemAccounts.mnemonicToAccount(MNEMONIC, { addressIndex: 1 });
const receiver = viemAccounts.mnemonicToAccount(MNEMONIC, { addressIndex: 7 }).address;
const options = { chain, transport, pollingInterval: 100 };
const node = viem.createPublicClient(options);
const wallet = viem.createWalletClient({ ...options, account });
const socket = viem.createPublicClient({ chain, transport: viem.webSocket(webSocketUrl(url)) });

const SUPPLY = 1_000_000n * 10n ** 18n;
let contract;
let deployBlock;
const read = (functionName, args) =>
  node.readContract({ address: contract, abi: token.abi, functionName, args });
const mined = async (hash) => {
  const receipt = await within(30, node.waitForTransactionReceipt({ hash }), `receipt of ${hash}`);
  equal(receipt.status, "success", `status of ${hash}`);
  return receipt;
};
const transfer = async (amount) =>
  mined(
    await wallet.writeContract({
      address: contract,
      abi: token.abi,
      functionName: "transfer",
      args: [receiver, amount],
    }),
  );

await runSteps({
  "send ether": async () => {
    const before = await node.getBalance({ address: receiver });
    await mined(await wallet.sendTransaction({ to: receiver, value: 5n }));
    equal(await node.getBalance({ address: receiver }), before + 5n, "balance");
  },

  "deploy an ERC-20": async () => {
    const hash = await wallet.deployContract({
      abi: token.abi,
      bytecode: token.bytecode,
      args: ["Test Token", "TT", SUPPLY],
    });
    const receipt = await mined(hash);
    contract = receipt.contractAddress;
    deployBlock = receipt.blockNumber;
    equal((await node.getCode({ address: contract })).length > 2, true, "code");
    equal(await read("name"), "Test Token", "name");
    equal(await read("balanceOf", [account.address]), SUPPLY, "deployer's balance");
  },

  "watch Transfer logs over WebSocket": async () => {
    let stop;
    const seen = new Promise((resolve, reject) => {
      stop = socket.watchContractEvent({
        address: contract,
        abi: token.abi,
        eventName: "Transfer",
        args: { to: receiver },
        onLogs: ([log]) => resolve(log),
        onError: reject,
      });
    });
    // eth_chainId on the same socket is answered after the subscription that was asked for first.
    await socket.getChainId();
    const receipt = await transfer(42n);
    const log = await within(30, seen, "Transfer log");
    stop();
    equal(log.args.value, 42n, "value in the log");
    equal(log.transactionHash, receipt.transactionHash, "transaction of the log");
    equal(log.blockHash, receipt.blockHash, "block of the log");
    equal(await read("balanceOf", [receiver]), 42n, "receiver's balance");
  },

  "watch new heads over WebSocket": async () => {
    let stop;
    const seen = new Promise((resolve, reject) => {
      stop = socket.watchBlocks({ onBlock: resolve, onError: reject, emitMissed: true });
    });
    await socket.getChainId();
    const receipt = await transfer(1n);
    const block = await within(30, seen, "new head");
    stop();
    check(block.number <= receipt.blockNumber && block.hash.length === 66, `head ${block.number}`);
  },

  "estimate and call": async () => {
    const gas = await node.estimateContractGas({
      account,
      address: contract,
      abi: token.abi,
      functionName: "transfer",
      args: [receiver, 1n],
    });
    check(gas > 21_000n && gas < 100_000n, `gas of a transfer: ${gas}`);
    const error = await failure(
      node.simulateContract({
        account: receiver,
        address: contract,
        abi: token.abi,
        functionName: "transfer",
        args: [account.address, SUPPLY],
      }),
      "transfer of too much",
    );
    check(/ERC20InsufficientBalance/.test(error.message), `revert reason: ${error.message}`);
    const balance = await node.readContract({
      address: contract,
      abi: token.abi,
      functionName: "balanceOf",
      args: [account.address],
      blockNumber: deployBlock,
    });
    equal(balance, SUPPLY, "balance at the block of the deployment");
  },

  "eth_call with state override": async () => {
    const { result } = await node.simulateContract({
      address: receiver,
      abi: counter.abi,
      functionName: "requireWithReason",
      args: [0n],
      stateOverride: [{ address: receiver, code: counter.deployedBytecode }],
    });
    equal(result, 0n, "count of the overridden account");
  },

  "get logs and filters": async () => {
    const logs = await node.getContractEvents({
      address: contract,
      abi: token.abi,
      eventName: "Transfer",
      fromBlock: deployBlock,
    });
    equal(logs.length, 3, "Transfer logs since the deployment");
    const filter = await node.createContractEventFilter({
      address: contract,
      abi: token.abi,
      eventName: "Transfer",
    });
    await transfer(7n);
    const changes = await until(
      30,
      async () => {
        const found = await node.getFilterChanges({ filter });
        return found.length > 0 && found;
      },
      "filter changes",
    );
    equal(changes[0].args.value, 7n, "value in the filter's log");
    equal((await node.getFilterChanges({ filter })).length, 0, "changes after a look");
    equal(await node.uninstallFilter({ filter }), true, "filter removed");
  },

  "prove an account and a slot": async () => {
    const block = await node.getBlock();
    const slot = viem.keccak256(
      viem.encodeAbiParameters([{ type: "address" }, { type: "uint256" }], [receiver, 0n]),
    );
    const proof = await node.getProof({
      address: contract,
      storageKeys: [slot],
      blockNumber: block.number,
    });
    equal(viem.keccak256(proof.accountProof[0]), block.stateRoot, "root of the account proof");
    equal(proof.storageProof[0].value, 50n, "receiver's balance in storage");
    equal(viem.keccak256(proof.storageProof[0].proof[0]), proof.storageHash, "root of the slot proof");
  },

  "eth_sendRawTransactionSync": async () => {
    const request = await wallet.prepareTransactionRequest({ to: receiver, value: 1n });
    const serializedTransaction = await wallet.signTransaction(request);
    const receipt = await node.request({
      method: "eth_sendRawTransactionSync",
      params: [serializedTransaction],
    });
    equal(receipt.transactionHash, viem.keccak256(serializedTransaction), "hash");
    equal(receipt.status, "0x1", "status");
    equal((await node.getTransactionReceipt({ hash: receipt.transactionHash })).blockHash, receipt.blockHash, "block");
  },

  "fees, access lists, legacy and EIP-7702": async () => {
    const fees = await node.estimateFeesPerGas();
    check(fees.maxFeePerGas > 0n, "maxFeePerGas");
    const history = await node.getFeeHistory({ blockCount: 4, rewardPercentiles: [25, 75] });
    check(history.baseFeePerGas.length >= 2 && history.reward.length >= 1, "fee history");
    const { accessList, gasUsed } = await node.createAccessList({
      account: account.address,
      to: contract,
      data: viem.encodeFunctionData({ abi: token.abi, functionName: "transfer", args: [receiver, 1n] }),
    });
    check(accessList.length > 0 && gasUsed > 21_000n, "access list");
    await mined(await wallet.sendTransaction({ to: receiver, value: 1n, type: "eip2930", accessList }));
    await mined(await wallet.sendTransaction({ to: receiver, value: 1n, type: "legacy" }));
    const hash = await wallet.deployContract({ abi: counter.abi, bytecode: counter.bytecode });
    const { contractAddress } = await mined(hash);
    const authorization = await wallet.signAuthorization({ contractAddress, executor: "self" });
    const receipt = await mined(
      await wallet.sendTransaction({ to: account.address, authorizationList: [authorization], gas: 200_000n }),
    );
    equal(receipt.type, "eip7702", "type");
    const code = await node.getCode({ address: account.address });
    equal(code.toLowerCase(), `0xef0100${contractAddress.slice(2).toLowerCase()}`, "delegation");
  },
});
