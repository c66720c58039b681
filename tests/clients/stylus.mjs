// viem: a program built with stylus-sdk and its Solidity twin, through the same ABI.
import { readFileSync } from "node:fs";
import { brotliCompressSync, constants } from "node:zlib";

import {
  amm, check, equal, erc20, failure, hashing, MNEMONIC, relay, rpcUrl, runSteps, treasury, viem,
  viemAccounts, within,
} from "./tools.mjs";

const ARB_WASM = "0x0000000000000000000000000000000000000071";
const arbWasm = viem.parseAbi([
  "function activateProgram(address program) payable returns (uint16 version, uint256 dataFee)",
  "function programVersion(address program) view returns (uint16 version)",
  "event ProgramActivated(bytes32 indexed codehash, bytes32 moduleHash, address program, uint256 dataFee, uint16 version)",
  "error ProgramNotWasm()",
]);

const HOOKS = "0x7765667400000000000000000000000000000001";
const BEFORE = 1;
const hooks = viem.parseAbi([
  "struct Bound { address hook; uint8 phases; uint64 gasLimit; }",
  "function bind(address target, address hook, uint8 phases, uint64 gasLimit) returns (uint256 position)",
  "function unbind(address target, address hook) returns (uint256 remaining)",
  "function hooksOf(address target) view returns (Bound[])",
  "error NotOwner(address caller, address target)",
]);
const guard = viem.parseAbi([
  "function setLimit(uint256 limit)",
  "event Allowed(address indexed caller, uint256 amount)",
  "error LimitExceeded(uint256 amount, uint256 limit)",
]);

const url = rpcUrl();
const transport = viem.http(url);
const chainId = await viem.createPublicClient({ transport }).getChainId();
const chain = viem.defineChain({
  id: chainId,
  name: "test",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [url] } },
});
const account = viemAccounts.mnemonicToAccount(MNEMONIC, { addressIndex: 2 });
const receiver = viemAccounts.mnemonicToAccount(MNEMONIC, { addressIndex: 8 }).address;
const options = { chain, transport, pollingInterval: 100 };
const node = viem.createPublicClient(options);
const wallet = viem.createWalletClient({ ...options, account });

/** Init code that returns a program's code, as `cargo stylus deploy` sends it. */
const initCode = (name) => {
  const module = readFileSync(new URL(`../stylus/modules/${name}.wasm`, import.meta.url));
  const compressed = brotliCompressSync(module, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 22 },
  });
  const code = Buffer.concat([Buffer.from("eff00000", "hex"), compressed]);
  const length = code.length.toString(16).padStart(64, "0");
  return `0x7f${length}8060295f395ff3${"00"}${code.toString("hex")}`;
};

const mined = async (hash) => {
  const receipt = await within(30, node.waitForTransactionReceipt({ hash }), `receipt of ${hash}`);
  equal(receipt.status, "success", `status of ${hash}`);
  return receipt;
};
const deploy = async (abi, bytecode) =>
  (await mined(await wallet.deployContract({ abi, bytecode }))).contractAddress;
const write = async (address, abi, functionName, args, value = 0n) =>
  mined(await wallet.writeContract({ address, abi, functionName, args, value }));
const read = (address, abi, functionName, args) =>
  node.readContract({ address, abi, functionName, args, account });

const forms = { evm: {}, wasm: {} };

await runSteps({
  "deploy both forms": async () => {
    for (const [name, artifact] of Object.entries({ amm, erc20, hashing, relay })) {
      forms.evm[name] = await deploy(artifact.abi, artifact.bytecode);
      forms.wasm[name] = await deploy(artifact.abi, initCode(name));
    }
    for (const layer of ["evm", "wasm"]) {
      const info = await node.request({ method: "weft_getContractInfo", params: [forms[layer].erc20] });
      equal(info.layer, layer, "layer");
    }
  },

  "an ERC-20 behaves the same": async () => {
    const seen = [];
    for (const { erc20: token } of Object.values(forms)) {
      const minted = await write(token, erc20.abi, "mint", [account.address, 1000n]);
      const sent = await write(token, erc20.abi, "transfer", [receiver, 400n]);
      const [log] = viem.parseEventLogs({ abi: erc20.abi, logs: sent.logs });
      const error = await failure(
        node.simulateContract({
          address: token, abi: erc20.abi, functionName: "transfer", args: [receiver, 5000n], account,
        }),
        "too large a transfer",
      );
      const reverted = error.walk((cause) => cause instanceof viem.ContractFunctionRevertedError);
      seen.push(
        viem.stringify([
          await read(token, erc20.abi, "name"),
          await read(token, erc20.abi, "totalSupply"),
          await read(token, erc20.abi, "balanceOf", [receiver]),
          minted.logs.length,
          log.eventName,
          log.args,
          reverted.data.errorName,
          reverted.data.args,
        ]),
      );
    }
    equal(seen[1], seen[0], "what the program did");
    check(seen[0].includes("InsufficientBalance"), "the error has its name");
  },

  "hashes are the same": async () => {
    const args = [`0x${"ab".repeat(32)}`, 10n];
    const [evm, wasm] = await Promise.all(
      Object.values(forms).map((form) => read(form.hashing, hashing.abi, "sha256Chain", args)),
    );
    equal(wasm, evm, "hash");
  },

  "Solidity calls a program, and a program Solidity": async () => {
    const data = viem.encodeFunctionData({ abi: relay.abi, functionName: "increment" });
    for (const [outer, inner] of [["evm", "wasm"], ["wasm", "evm"]]) {
      const before = await read(forms[inner].relay, relay.abi, "counter");
      const receipt = await write(forms[outer].relay, relay.abi, "call", [forms[inner].relay, 0n, data]);
      equal(await read(forms[inner].relay, relay.abi, "counter"), before + 1n, "counter");
      equal(receipt.logs[0].address, forms[inner].relay.toLowerCase(), "log of the inner contract");
    }
  },

  "a program trades a Solidity token for a program's": async () => {
    const pool = forms.wasm.amm;
    const tokens = [forms.evm.erc20, forms.wasm.erc20];
    await write(pool, amm.abi, "initialize", tokens);
    for (const token of tokens) {
      await write(token, erc20.abi, "mint", [account.address, 1_000_000n]);
      await write(token, erc20.abi, "approve", [pool, 1_000_000n]);
    }
    await write(pool, amm.abi, "addLiquidity", [500_000n, 500_000n]);
    const before = await read(tokens[1], erc20.abi, "balanceOf", [account.address]);
    await write(pool, amm.abi, "swap", [true, 1000n, 1n]);
    const after = await read(tokens[1], erc20.abi, "balanceOf", [account.address]);
    equal(after - before, 995n, "amount out");
  },

  "the activation that tools ask for": async () => {
    const balance = await node.getBalance({ address: ARB_WASM });
    const receipt = await write(ARB_WASM, arbWasm, "activateProgram", [forms.wasm.erc20], 10n ** 15n);
    equal(await node.getBalance({ address: ARB_WASM }), balance, "what was paid goes back");
    const [log] = viem.parseEventLogs({ abi: arbWasm, logs: receipt.logs });
    equal(log.args.program.toLowerCase(), forms.wasm.erc20.toLowerCase(), "activated");
    equal(await read(ARB_WASM, arbWasm, "programVersion", [forms.wasm.erc20]), 2, "version");
    const error = await failure(
      read(ARB_WASM, arbWasm, "programVersion", [forms.evm.erc20]),
      "version of an EVM contract",
    );
    check(error.message.includes("ProgramNotWasm"), error.message);
  },

  "a program guards a Solidity contract as a hook": async () => {
    const target = await deploy(treasury.abi, treasury.bytecode);
    const hook = await deploy(guard, initCode("guard"));
    await mined(await wallet.sendTransaction({ to: target, value: 1000n }));
    await write(hook, guard, "setLimit", [100n]);

    const stranger = await failure(
      node.simulateContract({
        address: HOOKS, abi: hooks, functionName: "bind", args: [target, hook, BEFORE, 300_000n],
        account: receiver,
      }),
      "binding by a stranger",
    );
    check(stranger.message.includes("NotOwner"), stranger.message);
    await write(HOOKS, hooks, "bind", [target, hook, BEFORE, 300_000n]);
    const [bound] = await read(HOOKS, hooks, "hooksOf", [target]);
    equal(bound.hook.toLowerCase(), hook.toLowerCase(), "bound");
    const info = await node.request({ method: "weft_getContractInfo", params: [target] });
    equal(info.hooked, true, "hooked");
    equal(info.layer, "evm", "layer");

    const abi = [...treasury.abi, ...guard];
    const receipt = await write(target, abi, "pay", [receiver, 100n]);
    const [log] = viem.parseEventLogs({ abi: guard, logs: receipt.logs });
    equal(log.address.toLowerCase(), hook.toLowerCase(), "who logged");
    equal(log.args.amount, 100n, "amount");
    const vetoed = await failure(
      node.simulateContract({
        address: target, abi, functionName: "pay", args: [receiver, 101n], account,
      }),
      "too large a payment",
    );
    check(vetoed.message.includes("LimitExceeded"), vetoed.message);

    await write(HOOKS, hooks, "unbind", [target, hook]);
    await write(target, abi, "pay", [receiver, 101n]);
    equal(await node.getBalance({ address: target }), 799n, "what is left");
  },

  "a loop that never ends stops at its gas": async () => {
    const error = await failure(
      node.simulateContract({
        address: forms.wasm.relay, abi: relay.abi, functionName: "spin", account, gas: 5_000_000n,
      }),
      "spin",
    );
    check(error.message.includes("out of gas"), error.message);
  },
});
