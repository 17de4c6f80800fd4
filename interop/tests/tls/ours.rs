//! Our client at Apache's servers, and clusters of both makers.

use crate::{with, Run};
use ferromq::{ClientOptions, Consumer, ConsumerOptions, ErrorKind, Instance, Message, ProducerOptions};
use ferromq_interop::java::Line;
use ferromq_interop::process::free_port;
use ferromq_interop::server::{set, start_broker, start_namesrv_with, Maker, Site};
use ferromq_interop::Outcome;
use list::{Scenario, Stage, Supports, World};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::{Duration, Instant};

#[path = "../../../core/tests/scenarios/mod.rs"]
mod list;

/// Those that differ in the bytes on the way.
const SCENARIOS: &[&str] = &["send", "consume", "pull", "group", "transactions", "request_reply"];

fn options(run: &Run, ns: &str, mut options: ClientOptions) -> ferromq::Result<ClientOptions> {
    options.set("namesrvAddr", ns)?;
    for (key, value) in run.certificates.client() {
        options.set(&key, &value)?;
    }
    Ok(options)
}

/// Our client at Apache's 5.3.3, whose processes take nothing but TLS and want certificates of clients.
pub fn at_apaches(run: &Run) -> Outcome {
    let mut keys = run.certificates.server(true);
    // The broker's own connections to the name server.
    keys.extend(run.certificates.client().into_iter().filter(|(key, _)| key.starts_with("tls.client.")));
    let mut settings = with(keys);
    set(&mut settings, "enablePropertyFilter", "true");
    let mut site = Site::start(&run.place, Maker::Apache(Line::V53), "apache", &settings)?;
    let ns = site.namesrv();
    scenarios(run, &ns)?;
    run.report.case("apache/ferromq/trusts-another-ca", || {
        let mut options = options(run, &ns, ClientOptions::default()).map_err(why)?;
        options.set("tls.client.trustCertPath", &run.others.ca()).map_err(why)?;
        refused(options, "unknown CA")
    });
    run.report.case("apache/ferromq/of-another-ca", || {
        let mut options = options(run, &ns, ClientOptions::default()).map_err(why)?;
        options.set("tls.client.certPath", &run.others.path("client.pem")).map_err(why)?;
        options.set("tls.client.keyPath", &run.others.path("client.key")).map_err(why)?;
        refused(options, "TLS: ")
    });
    run.report.case("apache/ferromq/plain", || refused(ClientOptions::new(ns.as_str()), ""));
    site.stop()
}

fn why(error: ferromq::Error) -> String {
    error.to_string()
}

/// A client with these options does not get through and says so.
fn refused(mut options: ClientOptions, says: &str) -> Outcome {
    // A JVM's first handshakes take their time.
    options.set("mqClientApiTimeout", "20000").map_err(why)?;
    let client = ferromq::connect_with(options).map_err(why)?;
    let error = client.create_topic("T", 1).err().ok_or("it got through")?;
    if error.kind() != ErrorKind::Connection || !error.to_string().contains(says) {
        return Err(format!("{says:?} expected: {error}"));
    }
    client.close().map_err(why)
}

fn scenarios(run: &Run, ns: &str) -> Outcome {
    let chosen: Vec<&Scenario> = list::ALL
        .iter()
        .filter(|(name, _)| SCENARIOS.iter().any(|part| name.contains(part)))
        .filter(|(name, _)| run.report.wants(&format!("apache/scenarios/{name}")))
        .collect();
    let open = |options_of: ClientOptions| ferromq::connect_with(options(run, ns, options_of)?);
    let client = open(list::quick()).map_err(why)?;
    std::thread::scope(|threads| {
        for scenarios in chosen.chunks(chosen.len().div_ceil(6).max(1)) {
            let client = client.clone();
            threads.spawn(move || {
                let (ns, certificates) = (ns.to_owned(), run.certificates.client());
                let world = World {
                    client: Box::new(move || client.clone()),
                    open: Box::new(move |mut options| {
                        options.set("namesrvAddr", &ns)?;
                        certificates.iter().try_for_each(|(key, value)| options.set(key, value))?;
                        ferromq::connect_with(options)
                    }),
                    supports: Supports {
                        sql: true,
                        no_offset: true,
                        exact_times: true,
                        all_compressions: true,
                    },
                    restart: None,
                    dir: run.place.dir().join("offsets-apache"),
                };
                for (name, body) in scenarios {
                    run.report.case(&format!("apache/scenarios/{name}"), || {
                        catch_unwind(AssertUnwindSafe(|| body(&Stage::new(&world, name)))).map_err(|panic| {
                            let text = panic.downcast_ref::<String>().cloned();
                            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                                .unwrap_or_default()
                        })
                    });
                }
            });
        }
    });
    client.close().map_err(why)
}

/// A broker of one maker at a name server of the other, all encrypted: it registers, and our client sends and receives.
pub fn mixed(run: &Run) -> Outcome {
    let apache = Maker::Apache(Line::V53);
    for (name, namesrv, broker) in
        [("apache-broker", Maker::Ours, apache), ("apache-namesrv", apache, Maker::Ours)]
    {
        let name = format!("mixed/ferromq/{name}");
        if run.report.wants(&name) {
            run.report.case(&name, || mixture(run, namesrv, broker));
        }
    }
    Ok(())
}

fn mixture(run: &Run, namesrv: Maker, broker: Maker) -> Outcome {
    let name = if namesrv == Maker::Ours { "mixed-ours" } else { "mixed-apaches" };
    let mut keys = run.certificates.server(true);
    keys.extend(run.certificates.client().into_iter().filter(|(key, _)| key.starts_with("tls.client.")));
    let settings = with(keys);
    let (namesrv_port, broker_port) = (free_port()?, free_port()?);
    let ns = format!("127.0.0.1:{namesrv_port}");
    let names = start_namesrv_with(&run.place, namesrv, name, namesrv_port, &settings)?;
    let store = run.place.subdir(&format!("data-{name}"))?;
    let process = start_broker(&run.place, broker, name, broker_port, &ns, &store, &settings)?;
    let client = ferromq::connect_with(options(run, &ns, list::quick()).map_err(why)?).map_err(why)?;
    there_and_back(&client)?;
    client.close().map_err(why)?;
    process.terminate(Duration::from_secs(60))?;
    names.terminate(Duration::from_secs(60)).map(|_| ())
}

fn there_and_back(client: &Instance) -> Outcome {
    let end = Instant::now() + Duration::from_secs(60);
    // The broker may not be registered yet.
    while client.create_topic("T", 4).is_err() || client.queues("T").is_err() {
        if Instant::now() > end {
            return client.create_topic("T", 4).map_err(why);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut options = ProducerOptions::new("P");
    options.set("sendMsgTimeout", "20000").map_err(why)?;
    let producer = client.producer_with(options).map_err(why)?;
    let bodies: Vec<String> =
        (0..40).map(|number| format!("{number}:{}", "x".repeat(number * 1000))).collect();
    for body in &bodies {
        producer.send(&Message::new("T", body.clone())).map_err(why)?;
    }
    let mut options = ConsumerOptions::new("G");
    options.set("consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET").map_err(why)?;
    let consumer: Consumer = client.consumer_with(options).map_err(why)?;
    consumer.subscribe("T", "*").map_err(why)?;
    let mut got = Vec::new();
    while got.len() < bodies.len() && Instant::now() < end + Duration::from_secs(60) {
        let polled = consumer.poll(Duration::from_millis(500)).map_err(why)?;
        got.extend(polled.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()));
    }
    got.sort_by_key(|body| body.len());
    let mut expected = bodies;
    expected.sort_by_key(|body| body.len());
    (got == expected).then_some(()).ok_or_else(|| format!("{} of {} arrived", got.len(), expected.len()))
}
