use alloy_primitives::{U256, utils::parse_units as parse};

use super::BridgeError;

/// An amount in whole units as a number of the smallest ones. `option` is what an error names.
///
/// # Errors
/// When the text is no amount, or not one that is at least zero.
pub fn parse_units(option: &'static str, amount: &str, decimals: u8) -> Result<U256, BridgeError> {
    let not_an_amount = || BridgeError::Amount {
        option,
        found: amount.to_owned(),
    };
    // The parser takes nothing for zero, and wraps what is below zero around.
    if !amount.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(not_an_amount());
    }
    parse(amount, decimals)
        .map(|parsed| parsed.get_absolute())
        .map_err(|_| not_an_amount())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_in_units_and_not_negative() {
        let ether = |amount| parse_units("--amount", amount, 18);
        assert_eq!(
            ether("1.5").unwrap(),
            U256::from(1_500_000_000_000_000_000_u64)
        );
        assert_eq!(ether("0").unwrap(), U256::ZERO);
        assert_eq!(
            parse_units("--amount", "2.5", 6).unwrap(),
            U256::from(2_500_000)
        );
        for wrong in ["-1", "-0.5", "", "x", "1e400"] {
            let error = ether(wrong).unwrap_err().to_string();
            assert!(error.contains("--amount"), "{error}");
        }
    }
}
