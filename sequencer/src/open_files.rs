//! How many files the process may have open. The store must always be able to open one, whatever
//! clients do: a write that fails stops the node (I6).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, as databases and servers do: shells often start with 1024.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// At most `wanted` connections for one server, and so few that files are left for the store, for
/// connections to L1 and for a second server (in `weft dev`).
pub(crate) fn affordable_connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let affordable = share_of(limit).min(wanted);
    if affordable < wanted {
        tracing::warn!(
            open_files = limit,
            wanted,
            affordable,
            "the limit of open files (ulimit -n) is too low for all RPC connections that the configuration allows"
        );
    }
    affordable
}

/// A quarter of the files; no limit when there is none.
fn share_of(limit: Option<u64>) -> usize {
    let share = limit.map_or(u64::MAX, |limit| (limit / 4).max(1));
    usize::try_from(share).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::share_of;

    #[test]
    fn connections_leave_files_for_the_store() {
        assert_eq!(share_of(Some(1024)), 256);
        assert_eq!(share_of(Some(0)), 1);
        assert_eq!(share_of(None), usize::MAX);
    }
}
