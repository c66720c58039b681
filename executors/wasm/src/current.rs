use scoped_tls_hkt::scoped_thread_local;
use weft_executor_core::Host;

scoped_thread_local!(
    // wasmtime's store holds only what outlives every borrow, and a host does not. A program runs
    // from its first to its last instruction on one thread, so the thread keeps the borrow. Frames
    // nest: each sets its own host for as long as it runs.
    static mut HOST: for<'a> &'a mut (dyn Host + 'a)
);

/// Runs `program` with `host` as the host that [`with_host`] finds.
pub(crate) fn enter<R>(host: &mut dyn Host, program: impl FnOnce() -> R) -> R {
    HOST.set(host, program)
}

/// The host of the innermost program that runs on this thread. Only for what runs inside
/// [`enter`], outside of one another; a call of the host may enter another program.
pub(crate) fn with_host<R>(act: impl FnOnce(&mut dyn Host) -> R) -> R {
    HOST.with(|host| act(host))
}
