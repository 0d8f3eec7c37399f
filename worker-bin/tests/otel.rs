//! A run tells an OpenTelemetry collector of its batches and its metrics.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use prost::Message as _;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

/// Takes requests until the test ends, and answers that all is well.
fn collector() -> (SocketAddr, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if sender.send(request(stream.expect("a connection"))).is_err() {
                return;
            }
        }
    });
    (address, requests)
}

fn request(mut stream: TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a head");
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    assert!(head.iter().any(|line| line == "Content-Type: application/x-protobuf"), "{head:?}");
    let length = head.iter().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
    let mut body = vec![0; length.expect("a length")];
    reader.read_exact(&mut body).expect("a body");
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("it waits for the answer");
    (head[0].clone(), body)
}

fn named(attributes: &[KeyValue]) -> BTreeMap<&str, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.as_str(), text(attribute))).collect()
}

#[test]
fn a_collector_gets_a_span_for_each_batch_and_the_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let (address, requests) = collector();
    std::fs::write(dir.path().join("in.txt"), "one\ntwo\n").unwrap();
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_worker"))
        .args(["run", "-i", "in.txt", "-s", "sh -c 'cat; echo said >&2'", "-o", "out.txt"])
        .args(["-v", "--admin", "none", "--otel", &format!("http://{address}")])
        .current_dir(dir.path())
        .env("WORKER_RUNTIME_DIR", dir.path().join("entries"))
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    let (mut spans, mut metrics) = (Vec::new(), Vec::new());
    for (line, body) in requests.try_iter() {
        match line.as_str() {
            "POST /v1/traces HTTP/1.1" => {
                spans.extend(ExportTraceServiceRequest::decode(body.as_slice()).unwrap().resource_spans);
            }
            "POST /v1/metrics HTTP/1.1" => {
                metrics
                    .extend(ExportMetricsServiceRequest::decode(body.as_slice()).unwrap().resource_metrics);
            }
            _ => panic!("{line}"),
        }
    }
    let resource = named(&spans[0].resource.as_ref().unwrap().attributes);
    assert_eq!(
        (resource["service.name"].as_str(), resource["service.instance.id"].as_str()),
        ("worker", "local")
    );
    let all = spans.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
    let batches: Vec<_> = all.filter(|span| span.name == "batch").collect();
    assert!(!batches.is_empty(), "{spans:?}");
    for batch in &batches {
        let of = named(&batch.attributes);
        assert!(of.contains_key("stage") && of.contains_key("batch") && of.contains_key("attempt"), "{of:?}");
        assert!(batch.end_time_unix_nano > batch.start_time_unix_nano && batch.parent_span_id.is_empty());
        assert!(batch.events.iter().any(|event| event.name.contains("said")), "{:?}", batch.events);
    }
    let all = metrics.iter().flat_map(|resource| &resource.scope_metrics).flat_map(|scope| &scope.metrics);
    let written = all.filter(|metric| metric.name == "worker_task_out_records").flat_map(|metric| {
        let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
        assert!(sum.is_monotonic);
        sum.data_points.iter().map(|point| (named(&point.attributes)["stage"].clone(), point.value))
    });
    let two = Some(number_data_point::Value::AsInt(2));
    assert!(written.collect::<Vec<_>>().contains(&("out".to_owned(), two)), "{metrics:?}");
}
