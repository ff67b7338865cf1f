//! nginx as a plain reverse proxy, where it is installed: what operators know.

use crate::children::{Child, free_address};
use anyhow::Context as _;
use std::path::Path;
use std::process::Command;

/// Worker processes: as many as this machine has cores.
pub(crate) fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A plain reverse proxy, connections to the server kept open, no access log; or why there is none.
pub(crate) fn start(directory: &Path, to: &str) -> anyhow::Result<Child> {
    let version = Command::new("nginx").arg("-v").output();
    version.context("nginx is not installed (on Debian: apt-get install nginx-light)")?;
    let address = free_address()?;
    let here = directory.join("nginx");
    std::fs::create_dir_all(&here)?;
    let file = here.join("nginx.conf");
    let scratch = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}/{name};", here.display()))
        .join(" ");
    let text = format!(
        "daemon off; worker_processes {}; pid {1}/pid; error_log {1}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 100000000; {scratch}\n\
         upstream mcp {{ server {to}; keepalive 512; keepalive_requests 100000000; }}\n\
         server {{ listen {address} backlog=1024; location / {{ proxy_pass http://mcp;\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}\n",
        workers(),
        here.display()
    );
    std::fs::write(&file, text)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&here).arg("-c").arg(&file).args(["-e", "error.log"]);
    Child::other(command, address)
}
