use std::{fmt, num::NonZeroU64, str::FromStr};

/// How far back states are kept, in blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum History {
    /// The states of all blocks.
    #[default]
    All,
    /// The states of this many blocks, the last one and at least its parent included. With a smaller
    /// number than before, older ones are removed as blocks are added; what was removed does not come
    /// back with a larger number.
    Blocks(NonZeroU64),
}

impl History {
    /// The oldest block whose state is to be kept when `head` is the last block.
    pub(crate) fn oldest(self, head: u64) -> u64 {
        match self {
            Self::All => 0,
            Self::Blocks(blocks) => {
                let after = head.saturating_add(1).saturating_sub(blocks.get());
                after.min(head.saturating_sub(1))
            }
        }
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Blocks(blocks) => blocks.fmt(f),
        }
    }
}

/// A text that is not a [`History`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("history: expected all or a number of blocks from 1, found {0:?}")]
pub struct ParseHistoryError(String);

impl FromStr for History {
    type Err = ParseHistoryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            return Ok(Self::All);
        }
        text.parse()
            .map(Self::Blocks)
            .map_err(|_| ParseHistoryError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        for text in ["all", "1", "128", "18446744073709551615"] {
            assert_eq!(text.parse::<History>().unwrap().to_string(), text);
        }
        for text in ["", "0", "-1", "All", "1.5", "18446744073709551616"] {
            let error = text.parse::<History>().unwrap_err();
            assert_eq!(error, ParseHistoryError(text.to_owned()));
        }
    }

    #[test]
    fn as_many_states_as_asked_are_kept() {
        let blocks = |number| History::Blocks(NonZeroU64::new(number).unwrap());
        assert_eq!(History::All.oldest(100), 0);
        assert_eq!(blocks(10).oldest(100), 91);
        assert_eq!(blocks(10).oldest(9), 0);
        assert_eq!(blocks(10).oldest(10), 1);
        assert_eq!(blocks(2).oldest(100), 99);
        assert_eq!(blocks(1).oldest(100), 99);
        assert_eq!(blocks(1).oldest(0), 0);
        assert_eq!(blocks(u64::MAX).oldest(100), 0);
    }
}
