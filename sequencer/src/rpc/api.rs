use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use jsonrpsee_core::{
    RegisterMethodError,
    server::{Methods, RpcModule},
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{
    RpcConfig, RpcContext, RpcError,
    client::Client,
    context::L1Info,
    fair_queue::ConnectionKey,
    filters::Filters,
    ingress::Ingress,
    params::Arguments,
    rate_limit::RateLimits,
    workers::{Deadline, Workers},
};
use crate::{chain::ChainHandle, mempool::Mempool};

/// What the methods work on.
pub(super) struct Api {
    pub(super) config: RpcConfig,
    pub(super) chain: ChainHandle,
    pub(super) mempool: Option<Mempool>,
    ingress: Option<Ingress>,
    pub(super) l1: Arc<dyn L1Info>,
    pub(super) workers: Workers,
    pub(super) filters: Filters,
    pub(super) limits: RateLimits,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}

impl Api {
    pub(super) fn new(
        config: RpcConfig,
        context: RpcContext,
        limits: RateLimits,
    ) -> Result<Self, StartError> {
        let workers = Workers::new(
            config.threads,
            config.call_timeout,
            config.max_waiting_calls,
        )?;
        let ingress = match &context.mempool {
            Some(mempool) => Some(Ingress::start(
                &context.chain,
                mempool,
                context.preloader.as_ref(),
                workers.threads(),
                config.max_waiting_sends,
            )?),
            None => None,
        };
        let filters = Filters::new(config.max_filters, config.filter_ttl);
        Ok(Self {
            chain: context.chain,
            mempool: context.mempool,
            ingress,
            l1: context.l1,
            workers,
            filters,
            limits,
            config,
        })
    }

    /// # Errors
    /// [`RpcError::ReadOnly`] on a node that takes no transactions.
    pub(super) fn mempool(&self) -> Result<&Mempool, RpcError> {
        self.mempool.as_ref().ok_or(RpcError::ReadOnly)
    }

    /// # Errors
    /// [`RpcError::ReadOnly`] on a node that takes no transactions.
    pub(super) fn ingress(&self) -> Result<&Ingress, RpcError> {
        self.ingress.as_ref().ok_or(RpcError::ReadOnly)
    }
}

/// Why the server's threads did not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Workers(#[from] rayon::ThreadPoolBuildError),
    #[error(transparent)]
    Ingress(#[from] std::io::Error),
}

/// Who sent a message, and when it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) connection: ConnectionKey,
    pub(super) received: Instant,
    /// Whose limits it counts in.
    pub(super) client: Client,
}

/// Seconds since the Unix epoch.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

/// Collects the methods. Each is registered with the number of arguments that it takes at most and
/// the place where it may run.
pub(super) struct Registry {
    module: RpcModule<Api>,
    failure: Option<RegisterMethodError>,
}

impl Registry {
    pub(super) fn new(api: Arc<Api>) -> Self {
        Self {
            module: RpcModule::from_arc(api),
            failure: None,
        }
    }

    /// A method that is answered from memory.
    pub(super) fn quick<T: Serialize + 'static>(
        &mut self,
        name: &'static str,
        most: usize,
        method: fn(&Api, Arguments) -> Result<T, RpcError>,
    ) {
        let registered = self
            .module
            .register_method(name, move |params, api, _| {
                to_json(
                    Arguments::parse(&params, most).and_then(|arguments| method(api, arguments)),
                )
            })
            .err();
        self.failure = self.failure.take().or(registered);
    }

    /// A method that reads a little from disk.
    pub(super) fn read<T: Serialize + 'static>(
        &mut self,
        name: &'static str,
        most: usize,
        method: fn(&Api, Arguments) -> Result<T, RpcError>,
    ) {
        self.asynchronous(name, most, move |api, arguments| async move {
            let worker_api = Arc::clone(&api);
            api.workers
                .short(move || to_json(method(&worker_api, arguments)))
                .await?
        });
    }

    /// A method that executes or searches: a bounded number of them runs at a time.
    pub(super) fn long<T: Serialize + 'static>(
        &mut self,
        name: &'static str,
        most: usize,
        method: fn(&Api, Arguments, Deadline) -> Result<T, RpcError>,
    ) {
        self.asynchronous(name, most, move |api, arguments| async move {
            let worker_api = Arc::clone(&api);
            api.workers
                .long(move |deadline| to_json(method(&worker_api, arguments, deadline)))
                .await?
        });
    }

    /// A method that waits for something.
    pub(super) fn asynchronous<F, Answer>(&mut self, name: &'static str, most: usize, method: F)
    where
        F: Fn(Arc<Api>, Arguments) -> Answer + Clone + Send + Sync + 'static,
        Answer: Future<Output = Result<Box<RawValue>, RpcError>> + Send,
    {
        let registered = self
            .module
            .register_async_method(name, move |params, api, _| {
                let answer =
                    Arguments::parse(&params, most).map(|arguments| method(api, arguments));
                async move {
                    match answer {
                        Ok(answer) => answer.await,
                        Err(error) => Err(error),
                    }
                }
            })
            .err();
        self.failure = self.failure.take().or(registered);
    }

    /// As [`Registry::asynchronous`], for a method that asks where the request comes from.
    pub(super) fn asynchronous_with_origin<F, Answer>(
        &mut self,
        name: &'static str,
        most: usize,
        method: F,
    ) where
        F: Fn(Arc<Api>, Arguments, Origin) -> Answer + Clone + Send + Sync + 'static,
        Answer: Future<Output = Result<Box<RawValue>, RpcError>> + Send,
    {
        let registered = self
            .module
            .register_async_method(name, move |params, api, extensions| {
                let answer = Arguments::parse(&params, most).and_then(|arguments| {
                    let origin = extensions
                        .get::<Origin>()
                        .copied()
                        .ok_or(RpcError::Internal("a request without an origin"))?;
                    Ok(method(api, arguments, origin))
                });
                async move {
                    match answer {
                        Ok(answer) => answer.await,
                        Err(error) => Err(error),
                    }
                }
            })
            .err();
        self.failure = self.failure.take().or(registered);
    }

    /// The module itself, for what is no plain method.
    pub(super) fn with_module(
        &mut self,
        register: impl FnOnce(&mut RpcModule<Api>) -> Result<(), RegisterMethodError>,
    ) {
        let registered = register(&mut self.module).err();
        self.failure = self.failure.take().or(registered);
    }

    /// All methods.
    ///
    /// # Errors
    /// When a name was registered twice.
    pub(super) fn finish(self) -> Result<Methods, RegisterMethodError> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(self.module.into()),
        }
    }
}

/// Writes a result as JSON.
pub(super) fn to_json<T: Serialize>(
    result: Result<T, RpcError>,
) -> Result<Box<RawValue>, RpcError> {
    to_raw_value(&result?).map_err(|_| RpcError::Internal("the result could not be written"))
}
