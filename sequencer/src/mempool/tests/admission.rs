use alloy_consensus::{TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::address;
use weft_primitives::TxDeposit;

use super::*;

const SENDER: Address = address!("0x1111111111111111111111111111111111111111");

fn pool() -> Mempool {
    Mempool::new(limits(), rules(7))
}

fn refusal(transaction: RecoveredTransaction) -> String {
    let pool = pool();
    let stateless = pool.check_stateless(&transaction).unwrap_err();
    let added = pool.add(transaction, account(0, RICH)).unwrap_err();
    assert_eq!(stateless, added);
    assert_eq!(pool.status(), (0, 0));
    added.to_string()
}

fn refused(change: impl FnOnce(&mut TxEip1559)) -> String {
    let mut transaction = template();
    change(&mut transaction);
    refusal(signed(SENDER, transaction))
}

#[test]
fn types_that_come_from_l1_are_refused() {
    let blob = TxEip4844 {
        chain_id: CHAIN_ID,
        gas_limit: 21_000,
        ..TxEip4844::default()
    };
    assert_eq!(
        refusal(wrapped(SENDER, blob, Transaction::Eip4844)),
        "transaction type not supported: blob transactions (type 0x03)"
    );
    let deposit = RecoveredTransaction::new_unchecked(TxDeposit::default().into(), SENDER);
    assert_eq!(
        refusal(deposit),
        "transaction type not supported: deposit transactions (type 0x7e) come from L1"
    );
}

#[test]
fn sizes_are_bounded() {
    let text = refused(|tx| tx.input = vec![1; 128 << 10].into());
    assert!(
        text.starts_with("oversized data: transaction size ") && text.ends_with(", limit 115000"),
        "{text}"
    );
    let creation = |length: usize| {
        let mut tx = template();
        tx.to = TxKind::Create;
        tx.input = vec![0; length].into();
        tx.gas_limit = 5_000_000;
        signed(SENDER, tx)
    };
    assert_eq!(
        refusal(creation(49_153)),
        "max initcode size exceeded: code size 49153, limit 49152"
    );
    pool().add(creation(49_152), account(0, RICH)).unwrap();
}

#[test]
fn gas_has_a_floor_and_a_cap() {
    assert_eq!(
        refused(|tx| tx.gas_limit = 20_999),
        "intrinsic gas too low: gas 20999, minimum needed 21000"
    );
    // 100 non-zero bytes: 21000 + 100 * 16 up front, at least 21000 + 100 * 40 in the end.
    assert_eq!(
        refused(|tx| {
            tx.input = vec![1; 100].into();
            tx.gas_limit = 22_599;
        }),
        "intrinsic gas too low: gas 22599, minimum needed 22600"
    );
    assert_eq!(
        refused(|tx| {
            tx.input = vec![1; 100].into();
            tx.gas_limit = 24_999;
        }),
        "insufficient gas for floor data gas cost: gas 24999, minimum needed 25000"
    );
    assert_eq!(
        refused(|tx| tx.gas_limit = (1 << 24) + 1),
        "transaction gas limit too high (cap: 16777216, tx: 16777217)"
    );
    let small_blocks = Mempool::new(
        limits(),
        AdmissionRules {
            block_gas_limit: 30_000,
            ..rules(7)
        },
    );
    let mut tx = template();
    tx.gas_limit = 30_001;
    assert_eq!(
        small_blocks
            .add(signed(SENDER, tx), account(0, RICH))
            .unwrap_err()
            .to_string(),
        "exceeds block gas limit: tx gas 30001, block gas limit 30000"
    );
}

#[test]
fn fees_must_make_sense() {
    assert_eq!(
        refused(|tx| tx.max_priority_fee_per_gas = 101),
        "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: 101, maxFeePerGas: 100"
    );
    let pool = Mempool::new(
        MempoolLimits {
            min_tip: 2,
            ..limits()
        },
        rules(7),
    );
    assert_eq!(
        pool.check_stateless(&transfer(SENDER, 0, 100, 1))
            .unwrap_err()
            .to_string(),
        "transaction underpriced: gas tip cap 1, minimum needed 2"
    );
    // The largest fees a transaction can carry do not overflow.
    assert!(matches!(
        pool.add(transfer(SENDER, 0, u128::MAX, u128::MAX), account(0, RICH)),
        Err(MempoolError::InsufficientFunds { .. })
    ));
}

#[test]
fn signatures_must_be_for_this_chain() {
    assert_eq!(
        refused(|tx| tx.chain_id = 1),
        "invalid chain id for signer: have 1 want 31338"
    );
    let unprotected = || {
        wrapped(
            SENDER,
            TxLegacy {
                chain_id: None,
                gas_limit: 21_000,
                gas_price: 100,
                to: TxKind::Call(SENDER),
                ..TxLegacy::default()
            },
            Transaction::Legacy,
        )
    };
    assert_eq!(
        refusal(unprotected()),
        "only replay-protected (EIP-155) transactions allowed over RPC"
    );
    let open = Mempool::new(
        MempoolLimits {
            allow_unprotected: true,
            ..limits()
        },
        rules(7),
    );
    open.add(unprotected(), account(0, RICH)).unwrap();
}

#[test]
fn the_last_nonce_cannot_be_used() {
    assert_eq!(
        refused(|tx| tx.nonce = u64::MAX),
        "nonce has max value: 18446744073709551615"
    );
}

#[test]
fn authorizations_are_needed_and_paid_for() {
    let set_code = |authorizations: usize, gas_limit: u64| {
        let authorization = SignedAuthorization::new_unchecked(
            Authorization {
                chain_id: U256::from(CHAIN_ID),
                address: SENDER,
                nonce: 0,
            },
            0,
            U256::ONE,
            U256::ONE,
        );
        wrapped(
            SENDER,
            TxEip7702 {
                chain_id: CHAIN_ID,
                gas_limit,
                max_fee_per_gas: 100,
                max_priority_fee_per_gas: 1,
                to: SENDER,
                authorization_list: vec![authorization; authorizations],
                ..TxEip7702::default()
            },
            Transaction::Eip7702,
        )
    };
    assert_eq!(
        refusal(set_code(0, 21_000)),
        "EIP-7702 transaction with empty auth list"
    );
    assert_eq!(
        refusal(set_code(2, 70_999)),
        "intrinsic gas too low: gas 70999, minimum needed 71000"
    );
    pool().add(set_code(2, 71_000), account(0, RICH)).unwrap();
}

#[test]
fn only_delegations_are_code_that_may_send() {
    let mut delegation = vec![0xef, 0x01, 0x00];
    delegation.extend_from_slice(SENDER.as_slice());
    assert_eq!(check_sender_code(SENDER, &[]), Ok(()));
    assert_eq!(check_sender_code(SENDER, &delegation), Ok(()));
    for code in [
        &delegation[..22],
        &[0x60, 0x00],
        &[delegation.as_slice(), &[0]].concat(),
    ] {
        assert_eq!(
            check_sender_code(SENDER, code).unwrap_err().to_string(),
            "sender not an eoa: address 0x1111111111111111111111111111111111111111"
        );
    }
}
