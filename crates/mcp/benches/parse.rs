//! How long it takes to read a call and a stream, beside `serde_json::Value` on the same bytes.
//! It refuses to judge: the figures go to the performance notes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mcp::sse::SseParser;
use mcp::{DuplicateKeys, Limits};

fn parse(criterion: &mut Criterion) {
    let read_levels = Limits { duplicate_keys: DuplicateKeys::ReadLevels, ..Limits::default() };
    for (name, body) in
        [("335_bytes", small_call()), ("58_kb", large_call()), ("58_kb_text", text_call())]
    {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(body.len().try_into().unwrap_or_default()));
        group.bench_function("parse", |bencher| {
            bencher.iter(|| mcp::parse(black_box(&body), &Limits::default()));
        });
        group.bench_function("parse_read_levels", |bencher| {
            bencher.iter(|| mcp::parse(black_box(&body), &read_levels));
        });
        group.bench_function("serde_json_value", |bencher| {
            bencher.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(&body)));
        });
        group.finish();
    }
}

fn stream(criterion: &mut Criterion) {
    let event =
        mcp::sse::encode(Some("message"), Some("7"), &String::from_utf8_lossy(&small_call()));
    let stream = event.unwrap_or_default().repeat(200);
    let mut group = criterion.benchmark_group("sse");
    group.throughput(Throughput::Bytes(stream.len().try_into().unwrap_or_default()));
    group.bench_function("200_events_in_chunks_of_8_kb", |bencher| {
        bencher.iter(|| {
            let mut parser = SseParser::new(1 << 20);
            let mut events = 0;
            for chunk in black_box(&stream).chunks(8_192) {
                if parser.push(chunk).is_err() {
                    return events;
                }
                while let Some(frame) = parser.next_frame() {
                    events += usize::from(!frame.raw.is_empty());
                }
            }
            events
        });
    });
    group.finish();
}

fn call(arguments: &str) -> Vec<u8> {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{{"name":"Bench","version":"1.0"}},"io.modelcontextprotocol/clientCapabilities":{{}}}},"name":"execute_sql","arguments":{arguments}}}}}"#
    )
    .into_bytes()
}

fn small_call() -> Vec<u8> {
    call(r#"{"region":"us-west1","query":"SELECT * FROM users WHERE id = 7"}"#)
}

/// Many small objects: keys to compare, strings to skip.
fn large_call() -> Vec<u8> {
    let row = r#"{"id":123456,"name":"Ada Lovelace","email":"ada@example.com","tags":["a","b","c"],"active":true,"score":12.75}"#;
    call(&format!(r#"{{"rows":[{}]}}"#, vec![row; 512].join(",")))
}

/// One long text.
fn text_call() -> Vec<u8> {
    call(&format!(
        r#"{{"text":"{}"}}"#,
        "The quick brown fox jumps over the lazy dog.\\n".repeat(1_250)
    ))
}

criterion_group!(benches, parse, stream);
criterion_main!(benches);
