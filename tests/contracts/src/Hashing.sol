// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// Hash chains computed inside the contract, without precompiles: the twin of the program in
/// tests/stylus/hashing.
contract Hashing {
    /// The round constants, 4 bytes each (FIPS 180-4, 4.2.2).
    bytes private constant ROUND_CONSTANTS =
        hex"428a2f9871374491b5c0fbcfe9b5dba53956c25b59f111f1923f82a4ab1c5ed5"
        hex"d807aa9812835b01243185be550c7dc372be5d7480deb1fe9bdc06a7c19bf174"
        hex"e49b69c1efbe47860fc19dc6240ca1cc2de92c6f4a7484aa5cb0a9dc76f988da"
        hex"983e5152a831c66db00327c8bf597fc7c6e00bf3d5a7914706ca635114292967"
        hex"27b70a852e1b21384d2c6dfc53380d13650a7354766a0abb81c2c92e92722c85"
        hex"a2bfe8a1a81a664bc24b8b70c76c51a3d192e819d6990624f40e3585106aa070"
        hex"19a4c1161e376c082748774c34b0bcb5391c0cb34ed8aa4a5b9cca4f682e6ff3"
        hex"748f82ee78a5636f84c878148cc7020890befffaa4506cebbef9a3f7c67178f2";

    /// Hashes a value of 32 bytes `rounds` times by SHA-256 (FIPS 180-4).
    function sha256Chain(bytes32 seed, uint256 rounds) external pure returns (bytes32 value) {
        value = seed;
        bytes memory constants = ROUND_CONSTANTS;
        // The message schedule, a word of 32 bytes for each of its 64 words.
        uint256[64] memory schedule;
        for (uint256 round = 0; round < rounds; ++round) {
            value = _hash(value, schedule, constants);
        }
    }

    /// The hash of 32 bytes: one block, padded.
    function _hash(bytes32 message, uint256[64] memory schedule, bytes memory constants)
        private
        pure
        returns (bytes32 digest)
    {
        assembly ("memory-safe") {
            function rotated(x, count) -> y {
                y := and(or(shr(count, x), shl(sub(32, count), x)), 0xffffffff)
            }
            for { let i := 0 } lt(i, 8) { i := add(i, 1) } {
                mstore(add(schedule, mul(i, 32)), and(shr(sub(224, mul(i, 32)), message), 0xffffffff))
            }
            mstore(add(schedule, 256), 0x80000000)
            for { let i := 9 } lt(i, 15) { i := add(i, 1) } { mstore(add(schedule, mul(i, 32)), 0) }
            mstore(add(schedule, 480), 256)
            for { let at := add(schedule, 512) } lt(at, add(schedule, 2048)) { at := add(at, 32) } {
                let x := mload(sub(at, 480))
                let small0 := xor(xor(rotated(x, 7), rotated(x, 18)), shr(3, x))
                x := mload(sub(at, 64))
                let small1 := xor(xor(rotated(x, 17), rotated(x, 19)), shr(10, x))
                let sum := add(add(mload(sub(at, 512)), small0), add(mload(sub(at, 224)), small1))
                mstore(at, and(sum, 0xffffffff))
            }

            let a := 0x6a09e667
            let b := 0xbb67ae85
            let c := 0x3c6ef372
            let d := 0xa54ff53a
            let e := 0x510e527f
            let f := 0x9b05688c
            let g := 0x1f83d9ab
            let h := 0x5be0cd19
            for { let i := 0 } lt(i, 64) { i := add(i, 1) } {
                let t := xor(xor(rotated(e, 6), rotated(e, 11)), rotated(e, 25))
                t := add(add(h, t), xor(g, and(e, xor(f, g))))
                t := add(t, mload(add(schedule, mul(i, 32))))
                t := add(t, shr(224, mload(add(add(constants, 32), mul(i, 4)))))
                h := g
                g := f
                f := e
                e := and(add(d, t), 0xffffffff)
                d := c
                t := add(t, or(and(a, b), and(c, or(a, b))))
                t := add(t, xor(xor(rotated(a, 2), rotated(a, 13)), rotated(a, 22)))
                c := b
                b := a
                a := and(t, 0xffffffff)
            }
            digest := or(shl(224, and(add(a, 0x6a09e667), 0xffffffff)), shl(192, and(add(b, 0xbb67ae85), 0xffffffff)))
            digest := or(digest, shl(160, and(add(c, 0x3c6ef372), 0xffffffff)))
            digest := or(digest, shl(128, and(add(d, 0xa54ff53a), 0xffffffff)))
            digest := or(digest, shl(96, and(add(e, 0x510e527f), 0xffffffff)))
            digest := or(digest, shl(64, and(add(f, 0x9b05688c), 0xffffffff)))
            digest := or(digest, shl(32, and(add(g, 0x1f83d9ab), 0xffffffff)))
            digest := or(digest, and(add(h, 0x5be0cd19), 0xffffffff))
        }
    }
}
