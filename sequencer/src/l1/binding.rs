use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::error::NodeError;

/// Name of the file in the data folder.
const FILE: &str = "l1.json";

/// The contract that a data folder belongs to. Two contracts can have one genesis: without this, a
/// folder that is used with the wrong one would serve another contract's chain and record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Binding {
    pub(super) l1_chain_id: u64,
    pub(super) contract: Address,
}

impl Binding {
    /// Checks that the folder belongs to this contract, or makes it so when it belongs to none yet.
    pub(super) fn check(&self, data_dir: &Path) -> Result<(), NodeError> {
        let path = data_dir.join(FILE);
        let found: Self = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| NodeError::file(&path)(error.into()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.write(&path).map_err(NodeError::file(&path));
            }
            Err(error) => return Err(NodeError::file(&path)(error)),
        };
        if found == *self {
            return Ok(());
        }
        Err(NodeError::Setup(format!(
            "data folder {} belongs to contract {} on L1 chain {}, found contract {} on L1 chain {}: use that contract, or an empty data folder",
            data_dir.display(),
            found.contract,
            found.l1_chain_id,
            self.contract,
            self.l1_chain_id,
        )))
    }

    /// A reader sees all of it or none.
    fn write(&self, path: &Path) -> io::Result<()> {
        let partial = path.with_extension("json.partial");
        let mut file = fs::File::create(&partial)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_folder_belongs_to_the_first_contract_that_uses_it() {
        let folder = TempDir::new().unwrap();
        let first = Binding {
            l1_chain_id: 1,
            contract: Address::repeat_byte(1),
        };
        first.check(folder.path()).unwrap();
        first.check(folder.path()).unwrap();
        let others = [
            Binding {
                l1_chain_id: 2,
                ..first.clone()
            },
            Binding {
                contract: Address::repeat_byte(2),
                ..first.clone()
            },
        ];
        for other in others {
            let error = other.check(folder.path()).unwrap_err().to_string();
            assert!(error.contains("belongs to contract"), "{error}");
        }
        first.check(folder.path()).unwrap();
    }
}
