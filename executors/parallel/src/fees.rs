use alloy_primitives::U256;

/// What the block's beneficiary has earned since its account was last written, in wei.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Earned {
    /// The first credit: nothing, if it is that, deletes an empty account (EIP-161), and what comes
    /// later does not bring its storage back.
    first: Option<U256>,
    sum: U256,
}

impl Earned {
    pub(crate) fn add(&mut self, wei: U256) {
        self.first.get_or_insert(wei);
        self.sum = self.sum.saturating_add(wei);
    }

    /// Whether there is a credit, be it of nothing.
    pub(crate) const fn is_owed(&self) -> bool {
        self.first.is_some()
    }

    /// The first credit and the sum of all, if there is any. Afterwards there is none.
    pub(crate) fn take(&mut self) -> Option<(U256, U256)> {
        let Self { first, sum } = std::mem::take(self);
        first.map(|first| (first, sum))
    }
}
