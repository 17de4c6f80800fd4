//! The table of request codes is what brokers and name servers do, and what the documentation says.

use std::fmt::Write;
use std::path::Path;

use ferromq::wire::treatment::{Line, Peer, Row, Treatment, REQUESTS};
use ferromq::wire::{RequestCode, ResponseCode};

use crate::support::{start_server, RawClient};

/// Every field that some request has, with a value that it may have.
const FIELDS: &str = r#"
    "topic":"T","group":"G","consumerGroup":"G","producerGroup":"P","groupName":"G","queueId":"0","offset":"0",
    "queueOffset":"0","commitOffset":"0","timestamp":"0","maxMsgNums":"1","sysFlag":"4","suspendTimeoutMillis":"0",
    "subscription":"*","subVersion":"0","defaultTopic":"TBW102","defaultTopicQueueNums":"1","bornTimestamp":"1",
    "flag":"0","readQueueNums":"1","writeQueueNums":"1","perm":"6","topicFilterType":"SINGLE_TAG","order":"false",
    "key":"k","maxNum":"1","beginTimestamp":"0","endTimestamp":"1","clientID":"c","clientId":"c","delayLevel":"1",
    "namespace":"N","value":"v","brokerName":"other","brokerAddr":"127.0.0.1:1","clusterName":"C","brokerId":"0",
    "cluster":"C","isForce":"true","srcGroup":"G","destGroup":"H","compareGroup":"G","statsName":"S","statsKey":"K",
    "isOrder":"false","index":"0","count":"1","a":"P","b":"T","c":"TBW102","d":"1","e":"0","f":"0","g":"1","h":"0",
    "tranStateTableOffset":"0","commitLogOffset":"0","commitOrRollback":"8","msgId":"x","transactionId":"x"
"#;

/// Sends a code with all fields; the response code and remark.
fn ask(client: &mut RawClient, code: RequestCode) -> (ResponseCode, String) {
    let fields = FIELDS.replace('\n', " ");
    let header = format!(
        r#"{{"code":{},"extFields":{{{fields}}},"flag":0,"language":"JAVA","opaque":{0},"version":401}}"#,
        code.0
    );
    let mut frame = (header.len() as u32 + 4 + 2).to_be_bytes().to_vec();
    frame.extend_from_slice(&(header.len() as u32).to_be_bytes());
    frame.extend_from_slice(header.as_bytes());
    frame.extend_from_slice(b"{}");
    client.write(&frame);
    loop {
        let answer = client.receive();
        if answer.frame().is_response() {
            assert_eq!(answer.frame().opaque, code.0);
            return (answer.code(), answer.remark());
        }
    }
}

#[test]
fn every_code_is_treated_as_the_table_says() {
    let server = start_server("");
    let port = server.name_server().rsplit_once(':').unwrap().1.parse().unwrap();
    for (peer, mut client) in [(Peer::Broker, server.broker()), (Peer::Namesrv, RawClient::connect(port))] {
        for row in REQUESTS {
            let (code, remark) = ask(&mut client, row.code);
            let answers = matches!(row.treatment, Treatment::Answered(by) if by.contains(&peer));
            let told = format!("{peer:?} to {}: {code} {remark}", row.code);
            assert_eq!(code != ResponseCode::REQUEST_CODE_NOT_SUPPORTED, answers, "{told}");
            if !answers {
                assert!(
                    remark.starts_with(&format!(" request type {} not supported (", row.code.0)),
                    "{told}"
                );
            }
        }
        // It still works after all that.
        let (code, _) = ask(&mut client, RequestCode(1999));
        assert_eq!(code, ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
    }
}

fn line(row: &Row) -> String {
    let line = match row.line {
        Line::Both => "4.9, 5.3",
        Line::V4 => "4.9",
        Line::V5 => "5.3",
    };
    let what = match row.treatment {
        Treatment::Answered(by) => {
            let by: Vec<&str> = by.iter().map(|peer| peer.plural()).collect();
            format!("answered by {}", by.join(" and "))
        }
        Treatment::Refused(why) => format!("refused with REQUEST_CODE_NOT_SUPPORTED: {why}"),
    };
    format!("| {} | {} | {line} | {what} | `{}` |\n", row.code.0, row.code.name(), row.test)
}

#[test]
fn the_documentation_has_the_table() {
    const BEGIN: &str = "<!-- request codes: do not edit by hand -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/request-codes.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, present) = page.split_once(BEGIN).unwrap();
    let mut table =
        "\n| code | name | known to Apache's | what is done with it | shown by |\n|---|---|---|---|---|\n"
            .to_owned();
    for row in REQUESTS {
        table.write_str(&line(row)).unwrap();
    }
    if std::env::var_os("FERROMQ_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{table}")).unwrap();
        return;
    }
    let again = "FERROMQ_WRITE_DOCS=1 cargo test -p ferromq --test it request_codes";
    assert!(present == table, "docs/request-codes.md is stale; make it again: {again}");
}

#[test]
fn the_tests_that_the_table_names_are_there() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    for row in REQUESTS {
        let (module, function) = row.test.split_once("::").unwrap();
        // That one sees which codes are answered, not what.
        let answered = matches!(row.treatment, Treatment::Answered(_));
        assert!(!answered || module != "request_codes", "{}: no test looks at the answer", row.code);
        let text = std::fs::read_to_string(dir.join(format!("{module}.rs"))).unwrap();
        assert!(text.contains(&format!("fn {function}(")), "{}: there is no test {}", row.code, row.test);
    }
}
