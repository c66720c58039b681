// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Rollup} from "../../src/Rollup.sol";

/// @notice Notes how it is called.
contract RecordingTarget {
    Rollup private immutable rollup;
    address public l2Sender;
    address public sender;
    uint256 public value;
    uint256 public gas;
    bytes public data;

    constructor(Rollup rollup_) {
        rollup = rollup_;
    }

    receive() external payable {
        _record(gasleft());
    }

    fallback() external payable {
        _record(gasleft());
    }

    function _record(uint256 found) private {
        (gas, sender, value, data) = (found, msg.sender, msg.value, msg.data);
        l2Sender = rollup.l2Sender();
    }
}

/// @notice Fails as long as it is told to.
contract ReluctantTarget {
    bool private _accepts;

    error NotYet(uint256 value);

    function accept() external {
        _accepts = true;
    }

    receive() external payable {
        if (!_accepts) revert NotYet(msg.value);
    }
}

/// @notice Does most of its work in a call whose failure it does not care about.
contract CarelessTarget {
    uint256 public done;

    function work() external {
        for (uint256 step; step < 20; ++step) {
            done = gasleft();
        }
        done = 1;
    }

    fallback() external {
        try this.work() {} catch {}
    }
}

/// @notice Calls the rollup while it is called by it, and notes what came of it.
contract ReentrantTarget {
    address private immutable rollup;
    bytes private _call;
    bool public succeeded;
    bytes public returned;

    constructor(address rollup_) {
        rollup = rollup_;
    }

    function set(bytes calldata call) external {
        _call = call;
    }

    receive() external payable {
        (succeeded, returned) = rollup.call(_call);
    }
}

/// @notice Answers with more bytes than anybody wants to have.
contract LoudTarget {
    receive() external payable {
        assembly ("memory-safe") {
            return(0, 100000)
        }
    }
}
