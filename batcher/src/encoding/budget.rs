//! How much memory a batch may still take when it is decoded.

use super::MAX_INPUT_BYTES;

/// Bytes of inputs and lists that may still come. Encoders keep the same account, so that no batch
/// is posted that nobody decodes.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
}

impl Budget {
    pub(super) const fn new() -> Self {
        Self {
            left: MAX_INPUT_BYTES,
        }
    }

    /// Takes `count` things of `size` bytes each; `None` when they are too many.
    pub(super) fn take(&mut self, count: usize, size: usize) -> Option<()> {
        self.left = self.left.checked_sub(count.checked_mul(size)?)?;
        Some(())
    }
}
