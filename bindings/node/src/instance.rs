//! Opening, connecting, and what is made from an instance.

use std::sync::{Arc, OnceLock};

use ferromq::{ClientOptions, ConsumerOptions, OpenOptions, ProducerOptions, Result};
use napi_derive::napi;

use crate::admin::Admin;
use crate::consumer::Consumer;
use crate::error::{guard, invalid};
use crate::options::{limit, pairs};
use crate::producer::Producer;
use crate::push::PushConsumer;
use crate::reports::{Payload, Reports, Shared};
use crate::transaction::TransactionProducer;

/// A client, and the server in this process if it was opened; `lib/instance.cjs` has what programs see of it.
#[napi]
pub struct Instance {
    opened: Arc<OnceLock<Opened>>,
    pub(crate) reports: Arc<Shared>,
}

/// There once it has been opened.
struct Opened {
    instance: Arc<ferromq::Instance>,
    /// Whether sends are over when their calls return, in some microseconds: the broker is in this process, and answers
    /// before anything is on disk or elsewhere.
    is_swift: bool,
}

fn is_swift(options: &OpenOptions) -> bool {
    let is = |key: &str, value: &str| options.broker.get(key).as_deref() == Some(value);
    is("flushDiskType", "ASYNC_FLUSH") && is("brokerRole", "ASYNC_MASTER")
}

impl Drop for Instance {
    fn drop(&mut self) {
        // The end of a server writes files.
        self.reports.drop_elsewhere(self.opened.clone());
    }
}

#[napi]
impl Instance {
    /// Opens a server in this process with these options, pairs as JSON; reported, and not usable before.
    #[napi(factory)]
    pub fn open(reports: &Reports, id: u32, options: String) -> napi::Result<Instance> {
        Instance::make(reports, id, "open", move || {
            let options = OpenOptions::from_pairs(pairs(&options)?)?;
            let is_swift = is_swift(&options);
            Ok((ferromq::open_with(options)?, is_swift))
        })
    }

    /// Makes a client of a cluster with these options, pairs as JSON; reported, and not usable before.
    #[napi(factory)]
    pub fn connect(reports: &Reports, id: u32, options: String) -> napi::Result<Instance> {
        Instance::make(reports, id, "connect", move || {
            Ok((ferromq::connect_with(ClientOptions::from_pairs(pairs(&options)?)?)?, false))
        })
    }

    fn make(
        reports: &Reports,
        id: u32,
        operation: &'static str,
        open: impl FnOnce() -> Result<(ferromq::Instance, bool)> + Send + 'static,
    ) -> napi::Result<Instance> {
        let (slot, reports) = (Arc::new(OnceLock::new()), reports.shared.clone());
        let (filled, remembering) = (slot.clone(), reports.clone());
        guard(operation, || {
            reports.run(id, operation, move || {
                let (instance, is_swift) = open()?;
                let instance = Arc::new(instance);
                remembering.remember(&instance);
                // Nobody else fills it.
                let _ = filled.set(Opened { instance, is_swift });
                Ok(Payload::default())
            })
        })?;
        Ok(Instance { opened: slot, reports })
    }

    fn opened(&self) -> Result<&Opened> {
        self.opened.get().ok_or_else(|| invalid("use instance", "it is not open yet: await open or connect"))
    }

    fn instance(&self) -> Result<&Arc<ferromq::Instance>> {
        Ok(&self.opened()?.instance)
    }

    /// Runs a call on this instance that may wait, and reports its end.
    pub(crate) fn run(
        &self,
        id: u32,
        operation: &'static str,
        call: impl FnOnce(&ferromq::Instance) -> Result<Payload> + Send + 'static,
    ) -> napi::Result<()> {
        guard(operation, || {
            let instance = self.instance()?.clone();
            self.reports.run(id, operation, move || call(&instance))
        })
    }

    /// A producer with these options, pairs as JSON.
    #[napi]
    pub fn producer(&self, options: String) -> napi::Result<Producer> {
        guard("make producer", || {
            let options = ProducerOptions::from_pairs(pairs(&options)?)?;
            let Opened { instance, is_swift } = self.opened()?;
            Ok(Producer::of(instance.producer_with(options)?, *is_swift, self.reports.clone()))
        })
    }

    /// A producer of transactions; `check` is the number of what answers brokers.
    #[napi]
    pub fn transaction_producer(&self, options: String, check: u32) -> napi::Result<TransactionProducer> {
        guard("make producer", || {
            let options = ProducerOptions::from_pairs(pairs(&options)?)?;
            TransactionProducer::make(self.instance()?, options, self.reports.clone(), check)
        })
    }

    /// A push consumer with these options, pairs as JSON.
    #[napi]
    pub fn push_consumer(&self, options: String) -> napi::Result<PushConsumer> {
        guard("make consumer", || {
            let options = ConsumerOptions::from_pairs(pairs(&options)?)?;
            Ok(PushConsumer::of(self.instance()?.push_consumer_with(options)?, self.reports.clone()))
        })
    }

    /// A pull consumer with these options, pairs as JSON.
    #[napi]
    pub fn consumer(&self, options: String) -> napi::Result<Consumer> {
        guard("make consumer", || {
            let options = ConsumerOptions::from_pairs(pairs(&options)?)?;
            Ok(Consumer::of(self.instance()?.consumer_with(options)?, self.reports.clone()))
        })
    }

    /// Operators' calls.
    #[napi]
    pub fn admin(&self) -> napi::Result<Admin> {
        guard("admin", || Ok(Admin::of(self.instance()?.admin(), self.reports.clone())))
    }

    /// What brokers know it by.
    #[napi(getter)]
    pub fn client_id(&self) -> napi::Result<String> {
        guard("client id", || Ok(self.instance()?.client_id().to_owned()))
    }

    /// The name servers.
    #[napi(getter)]
    pub fn name_servers(&self) -> napi::Result<String> {
        guard("name servers", || Ok(self.instance()?.name_servers()))
    }

    /// The ports of name server and broker, if it listens.
    #[napi(getter)]
    pub fn listening(&self) -> napi::Result<Option<Vec<u32>>> {
        guard("listening", || {
            let ports = self.instance()?.listening();
            Ok(ports.map(|(name_server, broker)| vec![name_server.into(), broker.into()]))
        })
    }

    /// Ends it, within a number of ms if one is given; reported.
    #[napi]
    pub fn close(&self, id: u32, within: Option<f64>, ask: Option<u32>) -> napi::Result<()> {
        guard("close", || {
            let instance = self.instance()?.clone();
            self.reports.run_within(ask, id, "close", move || {
                match within {
                    Some(ms) => instance.close_within(limit(ms))?,
                    None => instance.close()?,
                }
                Ok(Payload::default())
            })
        })
    }
}
