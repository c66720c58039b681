//! How values stand in SQL: BIGINT for numbers, lower-case hex text for hashes and addresses,
//! decimal text for wei.

use std::str::FromStr;

use alloy_primitives::{Address, B256};
use sqlx::{Row, any::AnyRow};

use super::LedgerError;

pub(super) fn number(field: &'static str, value: u64) -> Result<i64, LedgerError> {
    i64::try_from(value).map_err(|_| LedgerError::TooLarge { field, value })
}

pub(super) fn optional_number(
    field: &'static str,
    value: Option<u64>,
) -> Result<Option<i64>, LedgerError> {
    value.map(|value| number(field, value)).transpose()
}

pub(super) fn hash(value: B256) -> String {
    format!("{value:#x}")
}

pub(super) fn address(value: Address) -> String {
    format!("{value:#x}")
}

pub(super) fn read_number(row: &AnyRow, column: &'static str) -> Result<u64, LedgerError> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|_| LedgerError::Damaged {
        column,
        expected: "a number that is not negative",
        found: value.to_string(),
    })
}

pub(super) fn read_small(row: &AnyRow, column: &'static str) -> Result<u8, LedgerError> {
    let value = read_number(row, column)?;
    u8::try_from(value).map_err(|_| LedgerError::Damaged {
        column,
        expected: "a number below 256",
        found: value.to_string(),
    })
}

pub(super) fn read_optional_number(
    row: &AnyRow,
    column: &'static str,
) -> Result<Option<u64>, LedgerError> {
    match row.try_get::<Option<i64>, _>(column)? {
        None => Ok(None),
        Some(_) => read_number(row, column).map(Some),
    }
}

pub(super) fn read_hash(row: &AnyRow, column: &'static str) -> Result<B256, LedgerError> {
    read_text(row, column, "a 32-byte hash in hex")
}

pub(super) fn read_address(row: &AnyRow, column: &'static str) -> Result<Address, LedgerError> {
    read_text(row, column, "a 20-byte address in hex")
}

pub(super) fn read_optional_address(
    row: &AnyRow,
    column: &'static str,
) -> Result<Option<Address>, LedgerError> {
    match row.try_get::<Option<String>, _>(column)? {
        None => Ok(None),
        Some(_) => read_address(row, column).map(Some),
    }
}

pub(super) fn read_wei<T: FromStr>(row: &AnyRow, column: &'static str) -> Result<T, LedgerError> {
    read_text(row, column, "an amount of wei in decimal")
}

pub(super) fn read_optional_wei<T: FromStr>(
    row: &AnyRow,
    column: &'static str,
) -> Result<Option<T>, LedgerError> {
    match row.try_get::<Option<String>, _>(column)? {
        None => Ok(None),
        Some(_) => read_wei(row, column).map(Some),
    }
}

fn read_text<T: FromStr>(
    row: &AnyRow,
    column: &'static str,
    expected: &'static str,
) -> Result<T, LedgerError> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|_| LedgerError::Damaged {
        column,
        expected,
        found: text,
    })
}
