use std::fmt;

use alloy_primitives::utils::format_ether;

use super::{DEV_MNEMONIC, DevInfo, FUNDED_BALANCE};

/// What a person reads when `weft dev` has started, in the manner of anvil.
impl fmt::Display for DevInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let balance = format_ether(FUNDED_BALANCE);
        let balance = balance
            .split_once('.')
            .map_or(balance.as_str(), |(whole, _)| whole);
        writeln!(f, "weft {}", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "\nAvailable accounts (both chains, {balance} ETH each)")?;
        writeln!(f, "==================")?;
        for (index, account) in self.accounts.iter().enumerate() {
            writeln!(f, "({index}) {}", account.address)?;
        }
        writeln!(f, "\nPrivate keys (public knowledge: for tests only)")?;
        writeln!(f, "==================")?;
        for (index, account) in self.accounts.iter().enumerate() {
            writeln!(f, "({index}) {}", account.private_key)?;
        }
        writeln!(f, "\nMnemonic:    {DEV_MNEMONIC}")?;
        writeln!(
            f,
            "L2 RPC:      {}  (chain id {})",
            self.l2_rpc, self.l2_chain_id
        )?;
        writeln!(
            f,
            "L1 RPC:      {}  (chain id {})",
            self.l1_rpc, self.l1_chain_id
        )?;
        writeln!(f, "Contract:    {}  (on L1)", self.contract)?;
        writeln!(f, "Tokens:      {}  (bridge on L1)", self.token_bridge)?;
        writeln!(f, "Data folder: {}", self.data_dir.display())?;
        writeln!(
            f,
            "\nCheck it:    weft watch --l1 {} --contract {} --once",
            self.l1_rpc, self.contract
        )?;
        write!(f, "Stop it:     Ctrl-C")
    }
}
