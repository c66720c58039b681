//! Which form of blobs L1 wants.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::SidecarForm;
use crate::L1Client;

/// What has been found out. Clones share it. It is a hint that saves a refused attempt: a node that
/// refuses one form is offered the other.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownForm(Arc<Mutex<Option<SidecarForm>>>);

impl KnownForm {
    fn get(&self) -> Option<SidecarForm> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the form that L1 has taken.
    pub(super) fn set(&self, form: SidecarForm) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(form);
    }

    /// The form to try first: the one that L1 took last, else the one of its fork.
    pub(super) async fn first_guess(&self, client: &L1Client) -> SidecarForm {
        if let Some(form) = self.get() {
            return form;
        }
        let config: Result<Value, _> = client.request("eth_config", ()).await;
        let form = config.map_or(SidecarForm::CellProofs, |config| from_config(&config));
        self.set(form);
        form
    }
}

/// Reads an answer to `eth_config` (EIP-7910). Osaka, the fork that brings cell proofs, also brings
/// the precompile P256VERIFY. What says nothing of the present fork counts as after Osaka.
fn from_config(config: &Value) -> SidecarForm {
    match config.pointer("/current/precompiles") {
        Some(Value::Object(precompiles)) if !precompiles.contains_key("P256VERIFY") => {
            SidecarForm::BlobProofs
        }
        _ => SidecarForm::CellProofs,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_fork_says_which_form() {
        let config = |precompiles: Value| json!({"current": {"precompiles": precompiles}});
        let cases = [
            (config(json!({"ECREC": "0x01"})), SidecarForm::BlobProofs),
            (
                config(json!({"ECREC": "0x01", "P256VERIFY": "0x0100"})),
                SidecarForm::CellProofs,
            ),
            (json!({}), SidecarForm::CellProofs),
            (json!(null), SidecarForm::CellProofs),
            (config(json!([1])), SidecarForm::CellProofs),
        ];
        for (answer, form) in cases {
            assert_eq!(from_config(&answer), form, "{answer}");
        }
    }
}
