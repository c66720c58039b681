// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Hash chains computed by the contract itself
/// @notice The twin of `tests/stylus/hashing`. Nothing is left to a precompile.
/// @dev A 32-bit word times 2**32 + 1 is the word twice: each shift of it to the right has a rotation
/// in its lowest 32 bits. What is above them is cut off where it matters. Memory from 0x1000 on holds
/// the tables: it is past the free memory pointer, and nothing allocates meanwhile.
contract Hashing {
    /// @notice Hashes `seed` `rounds` times with SHA-256 (FIPS 180-4).
    function sha256Chain(bytes32 seed, uint256 rounds) external pure returns (bytes32 value) {
        assembly ("memory-safe") {
            function unpack(to, words) {
                for { let shift := 224 } lt(shift, 256) { shift := sub(shift, 32) } {
                    mstore(to, and(shr(shift, words), 0xffffffff))
                    to := add(to, 0x20)
                }
            }

            // The message schedule is at 0x1000, the round constants are at 0x1800.
            function schedule(message) {
                unpack(0x1000, message)
                for { let at := 0x1200 } lt(at, 0x1800) { at := add(at, 0x20) } {
                    let early := mload(sub(at, 0x1e0))
                    let late := mload(sub(at, 0x40))
                    let early2 := mul(early, 0x100000001)
                    let late2 := mul(late, 0x100000001)
                    let sum := add(mload(sub(at, 0x200)), mload(sub(at, 0xe0)))
                    sum := add(sum, xor(xor(shr(7, early2), shr(18, early2)), shr(3, early)))
                    sum := add(sum, xor(xor(shr(17, late2), shr(19, late2)), shr(10, late)))
                    mstore(at, and(sum, 0xffffffff))
                }
            }

            function compress() -> digest {
                let a := 0x6a09e667
                let b := 0xbb67ae85
                let c := 0x3c6ef372
                let d := 0xa54ff53a
                let e := 0x510e527f
                let f := 0x9b05688c
                let g := 0x1f83d9ab
                let h := 0x5be0cd19
                for { let at := 0x1000 } lt(at, 0x1800) { at := add(at, 0x20) } {
                    let twice := mul(e, 0x100000001)
                    let sum := add(add(h, mload(at)), mload(add(at, 0x800)))
                    sum := add(sum, xor(xor(shr(6, twice), shr(11, twice)), shr(25, twice)))
                    sum := add(sum, xor(g, and(e, xor(f, g))))
                    h := g
                    g := f
                    f := e
                    e := and(add(d, sum), 0xffffffff)
                    sum := add(sum, or(and(a, b), and(c, or(a, b))))
                    twice := mul(a, 0x100000001)
                    sum := add(sum, xor(xor(shr(2, twice), shr(13, twice)), shr(22, twice)))
                    d := c
                    c := b
                    b := a
                    a := and(sum, 0xffffffff)
                }
                digest := or(shl(32, digest), and(add(a, 0x6a09e667), 0xffffffff))
                digest := or(shl(32, digest), and(add(b, 0xbb67ae85), 0xffffffff))
                digest := or(shl(32, digest), and(add(c, 0x3c6ef372), 0xffffffff))
                digest := or(shl(32, digest), and(add(d, 0xa54ff53a), 0xffffffff))
                digest := or(shl(32, digest), and(add(e, 0x510e527f), 0xffffffff))
                digest := or(shl(32, digest), and(add(f, 0x9b05688c), 0xffffffff))
                digest := or(shl(32, digest), and(add(g, 0x1f83d9ab), 0xffffffff))
                digest := or(shl(32, digest), and(add(h, 0x5be0cd19), 0xffffffff))
            }

            unpack(0x1800, 0x428a2f9871374491b5c0fbcfe9b5dba53956c25b59f111f1923f82a4ab1c5ed5)
            unpack(0x1900, 0xd807aa9812835b01243185be550c7dc372be5d7480deb1fe9bdc06a7c19bf174)
            unpack(0x1a00, 0xe49b69c1efbe47860fc19dc6240ca1cc2de92c6f4a7484aa5cb0a9dc76f988da)
            unpack(0x1b00, 0x983e5152a831c66db00327c8bf597fc7c6e00bf3d5a7914706ca635114292967)
            unpack(0x1c00, 0x27b70a852e1b21384d2c6dfc53380d13650a7354766a0abb81c2c92e92722c85)
            unpack(0x1d00, 0xa2bfe8a1a81a664bc24b8b70c76c51a3d192e819d6990624f40e3585106aa070)
            unpack(0x1e00, 0x19a4c1161e376c082748774c34b0bcb5391c0cb34ed8aa4a5b9cca4f682e6ff3)
            unpack(0x1f00, 0x748f82ee78a5636f84c878148cc7020890befffaa4506cebbef9a3f7c67178f2)
            // The padding of a message of 256 bits.
            unpack(0x1100, 0x8000000000000000000000000000000000000000000000000000000000000100)
            value := seed
            for {} rounds { rounds := sub(rounds, 1) } {
                schedule(value)
                value := compress()
            }
        }
    }

    /// @notice Hashes `seed` `rounds` times with BLAKE2s-256 (RFC 7693).
    function blake2sChain(bytes32 seed, uint256 rounds) external pure returns (bytes32 value) {
        assembly ("memory-safe") {
            function unpack(to, words) {
                for { let shift := 224 } lt(shift, 256) { shift := sub(shift, 32) } {
                    mstore(to, and(shr(shift, words), 0xffffffff))
                    to := add(to, 0x20)
                }
            }

            function swapBytesOfWords(words) -> swapped {
                let low := 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff
                swapped := or(shl(8, and(words, low)), and(shr(8, words), low))
                low := 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff
                swapped := or(shl(16, and(swapped, low)), and(shr(16, swapped), low))
            }

            // The working vector is at 0x1000, the message at 0x1200. `order` ends with the places of
            // the two words to mix in.
            function mix(atA, atB, atC, atD, order) {
                let b := mload(atB)
                let a := add(add(mload(atA), b), mload(add(0x1200, shl(1, and(order, 0xf0)))))
                let d := and(shr(16, mul(and(xor(mload(atD), a), 0xffffffff), 0x100000001)), 0xffffffff)
                let c := add(mload(atC), d)
                b := and(shr(12, mul(and(xor(b, c), 0xffffffff), 0x100000001)), 0xffffffff)
                a := and(add(add(a, b), mload(add(0x1200, shl(5, and(order, 0xf))))), 0xffffffff)
                d := and(shr(8, mul(xor(d, a), 0x100000001)), 0xffffffff)
                c := and(add(c, d), 0xffffffff)
                mstore(atA, a)
                mstore(atB, and(shr(7, mul(xor(b, c), 0x100000001)), 0xffffffff))
                mstore(atC, c)
                mstore(atD, d)
            }

            function round(order) {
                mix(0x1000, 0x1080, 0x1100, 0x1180, shr(56, order))
                mix(0x1020, 0x10a0, 0x1120, 0x11a0, shr(48, order))
                mix(0x1040, 0x10c0, 0x1140, 0x11c0, shr(40, order))
                mix(0x1060, 0x10e0, 0x1160, 0x11e0, shr(32, order))
                mix(0x1000, 0x10a0, 0x1140, 0x11e0, shr(24, order))
                mix(0x1020, 0x10c0, 0x1160, 0x1180, shr(16, order))
                mix(0x1040, 0x10e0, 0x1100, 0x11a0, shr(8, order))
                mix(0x1060, 0x1080, 0x1120, 0x11c0, order)
            }

            function compress() -> digest {
                unpack(0x1000, 0x6b08e647bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19)
                unpack(0x1100, 0x6a09e667bb67ae853c6ef372a54ff53a510e525f9b05688ce07c26545be0cd19)
                round(0x0123456789abcdef)
                round(0xea489fd61c02b753)
                round(0xb8c052fdae367194)
                round(0x7931dcbe265a40f8)
                round(0x905724afe1bc683d)
                round(0x2c6a0b834d75fe19)
                round(0xc51fed4a0763928b)
                round(0xdb7ec13950f4862a)
                round(0x6fe9b308c2d714a5)
                round(0xa2847615fb9e3cd0)
                digest := or(shl(32, digest), xor(mload(0x1000), mload(0x1100)))
                digest := or(shl(32, digest), xor(mload(0x1020), mload(0x1120)))
                digest := or(shl(32, digest), xor(mload(0x1040), mload(0x1140)))
                digest := or(shl(32, digest), xor(mload(0x1060), mload(0x1160)))
                digest := or(shl(32, digest), xor(mload(0x1080), mload(0x1180)))
                digest := or(shl(32, digest), xor(mload(0x10a0), mload(0x11a0)))
                digest := or(shl(32, digest), xor(mload(0x10c0), mload(0x11c0)))
                digest := or(shl(32, digest), xor(mload(0x10e0), mload(0x11e0)))
                digest := xor(digest, 0x6b08e647bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19)
            }

            // The message's second half stays zero: no memory there has been written before.
            value := swapBytesOfWords(seed)
            for {} rounds { rounds := sub(rounds, 1) } {
                unpack(0x1200, value)
                value := compress()
            }
            value := swapBytesOfWords(value)
        }
    }
}
