//! What is on record of every outcome, for every kind of client and every kind of server. The table says
//! all of it; the tests play each of its cells and compare.

mod servers;
mod stage;

use self::servers::Server;
use self::stage::{Client, Stage};
use std::collections::BTreeMap;

/// The recorded value for each outcome: the status, then the JSON-RPC code, the number of hidden items, the
/// state of the task and the HTTP status, as far as there are any; or the reason of the refusal.
/// Clients: `legacy` (Streamable HTTP with a session), `modern` (2026-07-28), `http+sse` (2024-11-05),
/// `wrap` (standard input and output). Servers: Streamable HTTP that answers in `json` or with a stream
/// (`sse`), a program (`stdio`), and `http+sse`. A letter says why there is nothing to record.
const TABLE: &str = "
outcome           | clients              | json                     | sse                      | stdio                    | http+sse
ok                | all                  | ok                       | ok                       | ok                       | ok
tool-error        | all                  | tool-error               | tool-error               | tool-error               | tool-error
protocol-error    | all                  | protocol-error -32602    | protocol-error -32602    | protocol-error -32602    | protocol-error -32602
input-required    | all                  | input-required           | input-required           | input-required           | input-required
task              | all                  | task working             | task working             | task working             | task working
task-2025         | all                  | task working             | task working             | task working             | task working
state-working     | all                  | task working             | task working             | task working             | task working
state-input       | all                  | task input-required      | task input-required      | task input-required      | task input-required
state-completed   | all                  | ok completed             | ok completed             | ok completed             | ok completed
state-cancelled   | all                  | ok cancelled             | ok cancelled             | ok cancelled             | ok cancelled
state-failed      | all                  | tool-error -32001 failed | tool-error -32001 failed | tool-error -32001 failed | tool-error -32001 failed
list-filtered     | all                  | list-filtered 1          | list-filtered 1          | list-filtered 1          | list-filtered 1
http-error        | all                  | http-error 503           | a                        | b                        | http-error 503
malformed-reply   | all                  | malformed-reply          | malformed-reply          | c                        | c
transport-failure | all                  | transport-failure        | transport-failure        | transport-failure        | transport-failure
timed-out         | legacy modern sse    | timed-out                | timed-out                | timed-out                | timed-out
timed-out         | wrap                 | timed-out                | timed-out                | d                        | w
cancelled         | legacy sse wrap      | cancelled                | cancelled                | cancelled                | cancelled
cancelled         | modern               | e                        | e                        | e                        | m
client-gone       | legacy sse wrap      | client-gone              | client-gone              | client-gone              | client-gone
client-gone       | modern               | cancelled                | cancelled                | cancelled                | m
unauthenticated   | legacy modern sse    | identity.missing         | identity.missing         | identity.missing         | identity.missing
unauthenticated   | wrap                 | f                        | f                        | f                        | w
forbidden         | all                  | policy.forbid            | policy.forbid            | policy.forbid            | policy.forbid
malformed         | all                  | malformed.duplicate-key  | malformed.duplicate-key  | malformed.duplicate-key  | malformed.duplicate-key
";

/// Why a cell has no value.
const REASONS: [(&str, &str); 8] = [
    ("a", "an HTTP error is no stream of events: it is what `json` says"),
    ("b", "a program knows no HTTP status"),
    (
        "c",
        "an answer to something else belongs to no call there: it is withheld, and the call waits on",
    ),
    ("d", "a wrapped program has as long as its only client likes"),
    ("e", "a client of 2026-07-28 cancels by leaving: see `client-gone`"),
    ("f", "the local user is known by the operating system"),
    ("m", "a server of HTTP+SSE has sessions only: `protocol-error -32601` whatever is asked"),
    ("w", "`wrap --url` speaks Streamable HTTP"),
];

/// What ends its session or its client, or needs limits of its own: each gets a gateway to itself.
const ALONE: [&str; 3] = ["transport-failure", "timed-out", "client-gone"];

/// The cells of one kind of client and one kind of server, in the order of the table.
fn cells(client: Client, server: Server) -> Vec<(&'static str, &'static str)> {
    let mut rows = TABLE.trim().lines().map(|line| line.split('|').map(str::trim));
    let head: Vec<&str> = rows.next().unwrap().collect();
    let column = head.iter().position(|name| *name == server.name()).unwrap();
    rows.filter_map(|row| {
        let row: Vec<&str> = row.collect();
        let mut clients = row[1].split(' ');
        clients.any(|name| name == "all" || name == client.name()).then(|| (row[0], row[column]))
    })
    .collect()
}

fn is_reason(cell: &str) -> bool {
    REASONS.iter().any(|(letter, _)| *letter == cell)
}

/// Plays all cells of one kind of server and compares.
async fn compare(server: Server) {
    let (mut expected, mut found) = (BTreeMap::new(), BTreeMap::new());
    for client in Client::ALL {
        if !client.can_meet(server) {
            continue;
        }
        let cells = cells(client, server);
        let played = cells.iter().filter(|(_, cell)| !is_reason(cell));
        let mut stage = Stage::open(client, server, "").await;
        for (outcome, cell) in played {
            expected.insert((client.name(), *outcome), (*cell).to_owned());
            let value = if ALONE.contains(outcome) {
                let mut alone = Stage::open(client, server, outcome).await;
                let value = alone.play(outcome).await;
                alone.end().await;
                value
            } else {
                stage.play(outcome).await
            };
            found.insert((client.name(), *outcome), value);
        }
        stage.end().await;
    }
    assert_eq!(found, expected, "in front of a server of {}", server.name());
}

#[tokio::test]
async fn servers_that_answer_in_json() {
    compare(Server::Json).await;
}

#[tokio::test]
async fn servers_that_answer_with_streams() {
    compare(Server::Sse).await;
}

#[tokio::test]
async fn server_programs() {
    compare(Server::Stdio).await;
}

#[tokio::test]
async fn servers_of_http_with_sse() {
    compare(Server::HttpSse).await;
}

#[test]
fn the_table_has_each_combination_once() {
    let lines: Vec<&str> = TABLE.trim().lines().skip(1).collect();
    let outcomes: std::collections::BTreeSet<&str> =
        lines.iter().filter_map(|line| line.split('|').next()).map(str::trim).collect();
    for client in Client::ALL {
        for server in Server::ALL {
            let cells = cells(client, server);
            let named: Vec<&str> = cells.iter().map(|(outcome, _)| *outcome).collect();
            let mut once = named.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(named.len(), once.len(), "{client:?} {server:?}");
            assert_eq!(once.into_iter().collect::<std::collections::BTreeSet<_>>(), outcomes);
        }
    }
}
