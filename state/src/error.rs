/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Placeholder: owned by the state helper.
    #[error("{0}")]
    Todo(String),
}
