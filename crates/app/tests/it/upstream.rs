//! A server over HTTP that answers each request as it is told to. Knows one request for each connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// One request.
#[derive(Debug)]
pub(crate) struct Heard {
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Serves until the test is over; what was heard comes out of the channel.
pub(crate) fn serve(
    answer: impl Fn(&Heard) -> String + Send + 'static,
) -> (SocketAddr, Receiver<Heard>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (told, asked) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(heard) = heard(&mut stream) else { continue };
            let body = answer(&heard);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
            let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).ok();
            told.send(heard).ok();
        }
    });
    (address, asked)
}

/// One whole request; nothing when the other side leaves before.
fn heard(stream: &mut TcpStream) -> Option<Heard> {
    let (mut heard, mut buffer) = (String::new(), [0; 4_096]);
    loop {
        if let Some((head, body)) = heard.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.map_or(0, |length| length.parse().unwrap()) <= body.len() {
                return Some(Heard { head, body: body.to_owned() });
            }
        }
        match stream.read(&mut buffer).ok()? {
            0 => return None,
            read => heard.push_str(&String::from_utf8_lossy(&buffer[..read])),
        }
    }
}
