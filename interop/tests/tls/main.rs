//! Encrypted connections: Apache's clients against our servers, our client against Apache's, and mixed clusters.

mod certificates;
mod ours;

use certificates::Certificates;
use ferromq_interop::java::{self, Driver, Headers, Line};
use ferromq_interop::process::Workplace;
use ferromq_interop::report::Report;
use ferromq_interop::server::{set, settings, Maker, Settings, Site};
use ferromq_interop::Outcome;
use std::sync::Arc;
use std::time::Duration;

/// What clients need of a cluster: routes, sends, pulls, pushes, retries, queries, topics made and found.
const CASES: &[&str] = &[
    "send.sync",
    "send.batch",
    "push.concurrent",
    "push.orderly",
    "retry.success",
    "lite.subscribe",
    "query.key",
    "topic.create",
];

/// What all parts share.
pub struct Run {
    place: Arc<Workplace>,
    report: Report,
    certificates: Certificates,
    /// Of a CA that nobody trusts.
    others: Certificates,
}

impl Run {
    fn prepare() -> Outcome<Run> {
        let report = Report::from_args();
        ferromq_interop::server::our_binary()?;
        report.note("building the Java programs");
        java::build()?;
        let place = Workplace::new(std::env::var_os("FERROMQ_INTEROP_KEEP").is_some())?;
        let certificates = Certificates::make(&place.subdir("certificates")?)?;
        let others = Certificates::make(&place.subdir("others")?)?;
        Ok(Run { place, report, certificates, others })
    }

    fn driver(
        &self,
        line: Line,
        headers: Headers,
        extra: &str,
        properties: &[(String, String)],
    ) -> Outcome<Driver> {
        Driver::start_with(&self.place, line, headers, extra, properties)
    }

    /// Whether any case with a name of this beginning is asked for.
    fn wants_part(&self, part: &str, cases: &[&str]) -> bool {
        cases.iter().any(|case| self.report.matches(&format!("{part}/{case}")))
    }

    /// All cases with all of these clients, at the same time.
    fn java_cases(&self, part: &str, drivers: &[Driver], ns: &str) {
        std::thread::scope(|threads| {
            for driver in drivers {
                threads.spawn(move || {
                    if let Err(why) = driver.run("await", ns, &[]) {
                        self.report.outcome(&format!("{part}/{}/await", driver.name), Err(why));
                        return;
                    }
                    let begun: Vec<(String, u64)> = CASES
                        .iter()
                        .map(|case| (format!("{part}/{}/{case}", driver.name), driver.begin(case, ns, &[])))
                        .collect();
                    for (name, id) in begun {
                        self.report.outcome(&name, driver.verdict(id, Duration::from_secs(300)));
                    }
                });
            }
        });
    }
}

/// A name and what is done.
type Part = (&'static str, fn(&Run) -> Outcome);

/// Settings of a broker, with these keys besides.
fn with(keys: Vec<(String, String)>) -> Settings {
    let mut all = settings("1s");
    keys.iter().for_each(|(key, value)| set(&mut all, key, value));
    all
}

/// Our servers take nothing but TLS and want certificates of clients; Java clients verify them and have some.
fn verified(run: &Run) -> Outcome {
    let mut site = Site::start(&run.place, Maker::Ours, "verified", &with(run.certificates.server(true)))?;
    let properties = run.certificates.client();
    let drivers = [
        run.driver(Line::V53, Headers::Json, "-verified", &properties)?,
        run.driver(Line::V49, Headers::Binary, "-verified", &properties)?,
    ];
    run.java_cases("verified", &drivers, &site.namesrv());
    drop(drivers);

    // Who trusts another CA, or has a certificate of another one, or none, gets nowhere.
    let mut trusts_other = properties.clone();
    set(&mut trusts_other, "tls.client.trustCertPath", &run.others.ca());
    let mut of_other = properties.clone();
    set(&mut of_other, "tls.client.certPath", &run.others.path("client.pem"));
    set(&mut of_other, "tls.client.keyPath", &run.others.path("client.key"));
    let without: Vec<_> = properties
        .iter()
        .filter(|(key, _)| !key.starts_with("tls.client.cert") && !key.starts_with("tls.client.key"))
        .cloned()
        .collect();
    let strangers = [("trusts-another-ca", trusts_other), ("of-another-ca", of_other), ("without", without)];
    std::thread::scope(|threads| {
        for (name, properties) in &strangers {
            let ns = site.namesrv();
            threads.spawn(move || {
                run.report.case(&format!("verified/java-5.3.3/{name}"), || {
                    let driver = run.driver(Line::V53, Headers::Json, &format!("-{name}"), properties)?;
                    match driver.run("send.sync", &ns, &[]) {
                        Ok(_) => Err("it got through".to_owned()),
                        Err(_) => Ok(()),
                    }
                });
            });
        }
    });
    run.report.case("verified/the-log-says-why", || {
        let log = site.log_tail();
        match log.contains("TLS: the client") {
            true => Ok(()),
            false => Err(format!("nothing about refused clients in the log:\n{log}")),
        }
    });
    site.stop()
}

/// A server without any settings of TLS, Java clients with nothing but `tls.enable=true`, and plain ones beside them.
fn defaults(run: &Run) -> Outcome {
    let mut site = Site::start(&run.place, Maker::Ours, "defaults", &settings("1s"))?;
    let encrypted = [("tls.enable".to_owned(), "true".to_owned())];
    let drivers = [
        run.driver(Line::V53, Headers::Binary, "-encrypted", &encrypted)?,
        run.driver(Line::V49, Headers::Json, "-encrypted", &encrypted)?,
        run.driver(Line::V53, Headers::Json, "-plain", &[])?,
    ];
    run.java_cases("defaults", &drivers, &site.namesrv());
    run.report.case("defaults/a-certificate-was-made", || {
        let made = run.place.dir().join("data-defaults/config/tls-self-signed.crt");
        made.is_file().then_some(()).ok_or_else(|| format!("no {}", made.display()))
    });
    site.stop()
}

fn main() {
    if std::env::args().any(|a| a == "--list") {
        println!("tls: test");
        return;
    }
    let run = match Run::prepare() {
        Ok(run) => run,
        Err(why) => {
            eprintln!("interop cannot run: {why}");
            std::process::exit(1);
        }
    };
    let parts: [Part; 4] = [
        ("verified", verified),
        ("defaults", defaults),
        ("apache", ours::at_apaches),
        ("mixed", ours::mixed),
    ];
    for (name, part) in parts {
        if run.wants_part(name, &["java-5.3.3", "java-4.9.8", "ferromq", "scenarios"]) {
            run.report.note(name);
            if let Err(why) = part(&run) {
                run.report.outcome(&format!("{name}/servers"), Err(why));
            }
        }
    }
    let code = run.report.finish();
    drop(run);
    std::process::exit(code);
}
