// What the client scripts share: the installed libraries, the test contract, the test accounts.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const installed = createRequire(new URL("../../.tools/package.json", import.meta.url));

export const ethers = installed("ethers");
export const viem = installed("viem");
export const viemAccounts = installed("viem/accounts");

const artifact = (name) =>
  JSON.parse(readFileSync(new URL(`../contracts/artifacts/${name}.json`, import.meta.url), "utf8"));

/** A contract of the bridge. */
export const bridgeArtifact = (name) =>
  JSON.parse(
    readFileSync(
      new URL(`../../l1-bridge/contracts/artifacts/${name}.json`, import.meta.url), "utf8",
    ),
  );

export const token = artifact("TestToken");
export const counter = artifact("Counter");
export const amm = artifact("Amm");
export const erc20 = artifact("Erc20");
export const hashing = artifact("Hashing");
export const relay = artifact("Relay");
export const treasury = artifact("Treasury");

export const MNEMONIC = "test test test test test test test test test test test junk";

/** The RPC URL that the script was given. */
export function rpcUrl() {
  const url = process.argv[2];
  if (!url) {
    console.error(`usage: node ${process.argv[1]} RPC_URL`);
    process.exit(2);
  }
  return url;
}

export const webSocketUrl = (url) => url.replace(/^http/, "ws");

export function equal(found, expected, what) {
  if (found !== expected) throw new Error(`${what}: expected ${expected}, found ${found}`);
}

export function check(condition, what) {
  if (!condition) throw new Error(what);
}

/** Fails when `promise` has not settled within `seconds`. */
export async function within(seconds, promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${seconds} s`)), seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The error that `promise` must end with. */
export async function failure(promise, what) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`${what}: expected an error, found ${value}`);
}

/** Looks until `look` gives something, for at most `seconds`. */
export async function until(seconds, look, what) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Runs a script's steps one after the other, and says how far it came. */
export async function runSteps(steps) {
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step();
    } catch (error) {
      console.error(`step "${name}" failed:`, error);
      process.exit(1);
    }
    console.log(`ok: ${name}`);
  }
  process.exit(0);
}
